-- The same events once more, as small integers: what somebody builds who knows all questions beforehand.
-- Instants are microseconds since 1970; codes are places in these lists, 0 is anything else.
CREATE TABLE ne AS SELECT (extract(epoch FROM ts) * 1000000)::bigint AS ts, pid::integer AS pid, (value * 100)::integer AS cents,
  coalesce(array_position(ARRAY['Product Viewed', 'Product Added', 'Checkout Started', 'Order Completed', 'Products Searched', 'Product Removed',
    'Email Delivered', 'Email Opened', 'Email Link Clicked', 'Unsubscribed', 'Signed Up'], event), 0)::smallint AS ev,
  substr(product_id, 5)::smallint AS prod,
  coalesce(array_position(ARRAY['Garden', 'Shoes', 'Jackets', 'Dresses', 'Electronics', 'Home', 'Beauty', 'Sports', 'Toys', 'Books', 'Grocery',
    'Accessories'], category), 0)::smallint AS cat
  FROM dw ORDER BY ev, ts;
-- Every query finds all it needs in an index: of one event by time, of one event by person, of all by time.
CREATE INDEX ON ne (ev, ts) INCLUDE (pid, prod, cat, cents);
CREATE INDEX ON ne (ev, pid, ts) INCLUDE (prod, cents);
CREATE INDEX ON ne (ts) INCLUDE (pid);
CREATE TABLE np AS SELECT pid::integer AS pid,
  coalesce(array_position(ARRAY['DE', 'US', 'GB', 'FR', 'NL', 'PL', 'BR', 'IN', 'AU', 'CA'], country), 0)::smallint AS country,
  coalesce(array_position(ARRAY['gold', 'silver', 'bronze'], tier), 0)::smallint AS tier, consent FROM pr;
CREATE INDEX ON np (country, tier);
CREATE UNIQUE INDEX ON np (pid) INCLUDE (country, consent);
VACUUM ANALYZE ne;
VACUUM ANALYZE np;
