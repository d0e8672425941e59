# Sourced by scripts/bench attach_data: the tables of a grocer and of a gift shop, attached as they are, loaded with progress, and
# what every customer spent, net of returns, held against plain SQL, to the cent. The gift shop's file is in $ONLINE_RETAIL.
ONLINE_RETAIL=${ONLINE_RETAIL:-$ROOT/../shared/data/online_retail/online_retail.csv.gz}
GROCER=$ROOT/test/data/complete_journey

load() { # DATABASE TABLE FILE
  gzip -dc "$3" | psql -d "$1" -c "\\copy $2 FROM STDIN WITH (FORMAT csv, HEADER)"
}

# follow DATABASE: runs, and shows how far it is, now and then.
follow() {
  local run
  (time psql -d "$1" -c 'CALL cdp.run()') 2>"$WORK/time" &
  run=$!
  while sleep 5 && kill -0 "$run" 2>/dev/null; do
    psql -d "$1" -At -c "SELECT format('  %s: %s of about %s', task, done, coalesce(total::text, 'some')) FROM cdp.progress WHERE task ~ '^attach' ORDER BY 1"
  done
  wait "$run"
  psql -d "$1" -At -c "SELECT format('%s: %s rows as %s, %s waiting, %s quarantined, %s', relation, rows, source, waiting, quarantined, state) FROM cdp.attached_tables ORDER BY attachment_id"
  sed -n 's/^real/time/p' "$WORK/time"
}

# same DATABASE QUERY: (customer, total) as plain SQL has it, beside the same of people.
same() {
  psql -d "$1" -At -c "WITH plain AS ($2),
    people AS (SELECT i.value AS customer, sum((e.properties ->> 'spent')::numeric) AS total
      FROM cdp.identifiers AS i JOIN cdp.events AS e USING (profile_id) WHERE i.type = 'customer_no' AND e.event = 'Product Purchased' GROUP BY 1)
    SELECT format('%s customers spent %s; people who differ from plain SQL: %s', (SELECT count(*) FROM plain), (SELECT sum(total) FROM plain),
      (SELECT count(*) FROM plain AS p FULL JOIN people AS q USING (customer) WHERE p.total IS DISTINCT FROM q.total))"
}

new_database() {
  "$BIN/createdb" -h "$WORK/server" -U postgres "$1"
  psql -d "$1" -c 'CREATE EXTENSION cdp' -c 'CREATE SCHEMA shop' -o /dev/null -c "SELECT cdp.create_identifier_type('customer_no')"
}

echo 'a grocer, five tables'
new_database grocer
psql -d grocer <<'SQL'
CREATE TABLE shop.demographics (household_id integer PRIMARY KEY, age text, income text, home_ownership text, marital_status text, household_size text, household_comp text, kids_count text);
CREATE TABLE shop.transactions (household_id integer, store_id integer, basket_id numeric, product_id integer, quantity numeric, sales_value numeric(10, 2), retail_disc numeric(10, 2),
  coupon_disc numeric(10, 2), coupon_match_disc numeric(10, 2), transaction_timestamp timestamp);
CREATE TABLE shop.campaigns (campaign_id integer, household_id integer, PRIMARY KEY (campaign_id, household_id));
CREATE TABLE shop.coupon_redemptions (household_id integer, coupon_upc bigint, campaign_id integer, redemption_date date);
CREATE TABLE shop.campaign_descriptions (campaign_id integer PRIMARY KEY, campaign_type text, start_date date, end_date date);
SQL
for table in demographics transactions campaigns coupon_redemptions campaign_descriptions; do load grocer "shop.$table" "$GROCER/$table.csv.gz"; done
psql -d grocer <<'SQL'
ALTER TABLE shop.transactions ADD line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE shop.coupon_redemptions ADD line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE shop.campaigns ADD mailed_on date;
UPDATE shop.campaigns AS c SET mailed_on = d.start_date FROM shop.campaign_descriptions AS d WHERE d.campaign_id = c.campaign_id;
CREATE TABLE shop.baskets AS SELECT basket_id, min(household_id) AS household_id, sum(sales_value) AS total, max(transaction_timestamp) AS paid_at FROM shop.transactions GROUP BY 1;
ALTER TABLE shop.baskets ADD PRIMARY KEY (basket_id);
ANALYZE;
\o /dev/null
SELECT cdp.attach_table('shop.demographics', 'panel', '{"customer_no": "household_id"}');
SELECT cdp.attach_table('shop.transactions', 'till', '{"customer_no": "household_id"}', event => 'Product Purchased', occurred_at => 'transaction_timestamp',
  properties => '{"product_id": "product_id", "quantity": "quantity", "spent": "sales_value"}');
SELECT cdp.attach_table('shop.baskets', 'baskets', '{"customer_no": "household_id"}', event => 'Order Completed', occurred_at => 'paid_at');
SELECT cdp.attach_table('shop.campaigns', 'mailings', '{"customer_no": "household_id"}', event => 'Campaign Mailed', occurred_at => 'mailed_on');
SELECT cdp.attach_table('shop.coupon_redemptions', 'coupons', '{"customer_no": "household_id"}', event => 'Coupon Redeemed', occurred_at => 'redemption_date');
SQL
follow grocer
grocer="SELECT household_id::text AS customer, sum(sales_value) AS total FROM shop.transactions GROUP BY 1"
same grocer "$grocer"
psql -d grocer -c "UPDATE shop.transactions SET sales_value = sales_value + 0.01 WHERE line % 97 = 0" -c "DELETE FROM shop.transactions WHERE line % 101 = 0"
follow grocer
same grocer "$grocer"
psql -d grocer -At -c "SELECT 'cdp.verify() finds ' || count(*) || ' differences' FROM cdp.verify()"

if [ ! -e "$ONLINE_RETAIL" ]; then
  say "no $ONLINE_RETAIL"
  return 0
fi
echo 'a gift shop, 541,909 lines of invoices; a quarter without a customer'
new_database gifts
psql -d gifts -c "CREATE TABLE shop.lines (invoice text, stock_code text, description text, quantity integer, invoiced_at timestamp, price numeric, customer numeric, country text)"
load gifts shop.lines "$ONLINE_RETAIL"
psql -d gifts <<'SQL'
ALTER TABLE shop.lines ADD line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ANALYZE shop.lines;
SELECT cdp.attach_table('shop.lines', 'shop', '{"customer_no": "customer::integer"}', event => 'Product Purchased', occurred_at => 'invoiced_at',
  properties => '{"product": "stock_code", "quantity": "quantity", "spent": "quantity * price", "country": "country"}', filter => 'customer IS NOT NULL') \g /dev/null
SQL
follow gifts
same gifts "SELECT customer::integer::text AS customer, sum(quantity * price) AS total FROM shop.lines WHERE customer IS NOT NULL GROUP BY 1"
