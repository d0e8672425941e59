-- marketing: the usual campaigns, as docs/marketing.md tells them.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT count(cdp.identify(user_id => who, traits => jsonb_build_object('name', who, 'email', lower(who) || '@example.com'))) AS people
FROM unnest(ARRAY['Anna', 'Bob', 'Cleo', 'Dirk', 'Eva']) AS who;
CREATE TABLE happened (who text, what text, ago interval, props jsonb DEFAULT '{}');
INSERT INTO happened VALUES
  -- Anna added two products and bought one; Bob was mailed about his; Cleo was mailed long ago.
  ('Anna', 'Product Added', '2 days', '{"product_id": "p1"}'), ('Anna', 'Product Added', '2 days', '{"product_id": "p2"}'), ('Anna', 'Order Completed', '1 day', '{"product_id": "p1", "total": 60}'),
  ('Bob', 'Product Added', '3 days', '{"product_id": "p1"}'), ('Bob', 'Cart Reminder Sent', '2 days', '{"product_id": "p1"}'),
  ('Cleo', 'Cart Reminder Sent', '9 days', '{"product_id": "p1"}'), ('Cleo', 'Product Added', '1 day', '{"product_id": "p1"}'),
  -- Cleo looks again and again at something else; Dirk has not ordered for long; Eva signed up and did nothing.
  ('Cleo', 'Product Viewed', '3 days', '{"product_id": "p3"}'), ('Cleo', 'Product Viewed', '2 days', '{"product_id": "p3"}'), ('Cleo', 'Product Viewed', '1 day', '{"product_id": "p3"}'),
  ('Eva', 'Signed Up', '3 days', '{}');
-- Anna is a champion, Dirk was one; Bob buys in sales.
INSERT INTO happened SELECT who, 'Order Completed', since + n * interval '20 days', jsonb_build_object('total', 120, 'product_id', 'p9')
  FROM (VALUES ('Anna', interval '5 days'), ('Dirk', '200 days')) AS v (who, since), generate_series(1, 4) AS n
  UNION ALL SELECT 'Bob', 'Order Completed', n * interval '40 days', jsonb_build_object('total', 30, 'product_id', 'p9', 'coupon', 'SPRING') FROM generate_series(1, 3) AS n;
SELECT count(cdp.track(what, user_id => who, "timestamp" => now() - ago, properties => props)) AS events FROM happened;

-- The campaigns.
SELECT cdp.create_segment_from('abandoned_product', 'cart_reminder', '{"quiet": "7 days", "mail_events": ["Cart Reminder Sent"]}') AS segment_id;
SELECT traits ->> 'name' AS name, key AS product FROM cdp_segments.cart_reminder ORDER BY 1;
-- The same as a rule.
SELECT cdp.create_segment('cart_reminder_rule', $$
      max(occurred_at) FILTER (WHERE event = 'Product Added') > now() - interval '7 days'
  AND max(occurred_at) FILTER (WHERE event = 'Product Added') <= now() - interval '1 hour'
  AND max(occurred_at) FILTER (WHERE event = 'Product Added') >
      coalesce(max(occurred_at) FILTER (WHERE event IN ('Order Completed', 'Product Removed')), '-infinity')
  AND count(*) FILTER (WHERE event = 'Cart Reminder Sent' AND occurred_at > now() - interval '7 days') = 0
$$, per => $$properties ->> 'product_id'$$) AS segment_id;
SELECT traits ->> 'name' AS name, key AS product FROM cdp_segments.cart_reminder_rule ORDER BY 1;
SELECT cdp.create_segment_from('lapsed_buyers', 'lapsed', '{"silence": "180 days"}') AS segment_id;
SELECT cdp.create_segment_from('win_back', 'win_back', '{"silence": "90 days", "lost": "1 year"}') AS segment_id;
SELECT cdp.create_segment_from('repeat_viewers', 'undecided', '{"views": 3, "window": "14 days"}') AS segment_id;
SELECT cdp.create_segment_from('discount_lovers', 'sale_hunters', '{"share": 70, "orders": 3}') AS segment_id;
SELECT cdp.create_segment_from('champions', 'champions', '{"recency": "30 days", "frequency": 4, "monetary": 400}') AS segment_id;
SELECT cdp.create_segment_from('champions_at_risk', 'champions_at_risk', '{"silence": "60 days", "frequency": 4, "monetary": 400}') AS segment_id;
SELECT cdp.create_segment_from('onboarding_unfinished', 'stuck_at_start', '{"wait": "1 day", "key_events": ["Order Completed"]}') AS segment_id;
SELECT cdp.create_segment_from('random_holdout', 'holdout', '{"salt": "spring 2026", "percent": 10}') AS segment_id;
SELECT segment, string_agg(concat_ws(' ', traits ->> 'name', key), ', ' ORDER BY traits ->> 'name', key) AS who
FROM cdp_segments.all_segments JOIN cdp.profiles USING (profile_id) WHERE segment <> 'holdout' GROUP BY segment ORDER BY segment;

-- What the marketer sees.
SELECT traits ->> 'name' AS name, traits ->> 'email' AS email, key AS product FROM cdp_segments.cart_reminder ORDER BY name;
SELECT cdp.segment_size('cart_reminder - sale_hunters');
SELECT * FROM cdp.segment_overlap('{cart_reminder,sale_hunters,undecided}');
CALL cdp.run();
SELECT position, segment, profile_id, key, change FROM cdp.read_changes('mailer', segments => '{cart_reminder}');
-- The mail is sent, which is an event like any other; so the person leaves, and the next to read is told.
SELECT cdp.track('Cart Reminder Sent', user_id => 'Anna', properties => '{"product_id": "p2"}') AS profile_id;
SELECT traits ->> 'name' AS name, key AS product FROM cdp_segments.cart_reminder;
CALL cdp.run();
SELECT segment, profile_id, key, change FROM cdp.read_changes('mailer', segments => '{cart_reminder}') ORDER BY position DESC LIMIT 1;
-- Why is Bob not in, and Anna no longer?
SELECT condition, holds FROM cdp.why_member('cart_reminder', cdp.lookup('user_id', 'Bob')) WHERE key = 'p1';
SELECT "values" FROM cdp.why_member('cart_reminder', cdp.lookup('user_id', 'Anna')) WHERE key = 'p2' AND NOT holds;

-- Orders with several products: one membership a line.
SELECT cdp.create_segment('cart_lines', $$
      max(occurred_at) FILTER (WHERE event = 'Product Added') > now() - interval '7 days'
  AND max(occurred_at) FILTER (WHERE event = 'Product Added') >
      coalesce(max(occurred_at) FILTER (WHERE event = 'Order Completed'), '-infinity')
$$, per => $$jsonb_array_elements(CASE jsonb_typeof(properties -> 'products')
               WHEN 'array' THEN properties -> 'products' ELSE jsonb_build_array(properties) END) ->> 'product_id'$$) AS segment_id;
SELECT cdp.track('Order Completed', user_id => 'Cleo', properties => '{"products": [{"product_id": "p1"}, {"product_id": "p5"}]}') AS profile_id;
SELECT traits ->> 'name' AS name, key AS product FROM cdp_segments.cart_lines ORDER BY 1, 2;
SELECT traits ->> 'name' AS name, m.key AS product FROM cdp.members('cart_lines', at => now() + interval '4 days 12 hours') AS m JOIN cdp.profiles USING (profile_id) ORDER BY 1, 2;
SELECT traits ->> 'name' AS name, m.key AS product FROM cdp.members('cart_lines', at => now() + interval '8 days') AS m JOIN cdp.profiles USING (profile_id) ORDER BY 1, 2;
SELECT count(*) AS errors FROM cdp.segment_errors;
SELECT count(*) AS wrong FROM cdp.verify();
DROP TABLE happened;
