-- computed_traits: traits that are an expression over a person's events, exact at every instant.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SELECT cdp.identify(user_id => n, traits => jsonb_build_object('country', c)) IS NOT NULL AS known
FROM (VALUES ('anna', 'NL'), ('bert', 'NL'), ('cleo', 'BE')) AS p (n, c);
SELECT cdp.track(e, user_id => n, properties => jsonb_build_object('total', t, 'category', c, 'channel', h), "timestamp" => now() - d) IS NOT NULL AS known
FROM (VALUES ('anna', 'Order Completed', '120.00', 'shoes', 'web', interval '29 days'),
             ('anna', 'Order Completed', '30.50', 'hats', 'app', interval '3 days'),
             ('anna', 'Order Completed', '8', 'hats', 'app', interval '1 day'),
             ('anna', 'Order Refunded', '30.50', 'hats', 'web', interval '12 hours'),
             ('cleo', 'Order Completed', '90', 'shoes', 'shop', interval '2 days')) AS o (n, e, t, c, h, d);
CREATE VIEW who AS
  SELECT v.trait, i.value AS who, v.value FROM cdp.computed_trait_values AS v
  JOIN cdp.identifiers AS i ON i.identifier_id = v.profile_id AND i.type = 'user_id';

SELECT cdp.create_computed_trait('total_spend', $$
  sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('net_spend', $$
  coalesce(sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed'), 0)
  - coalesce(sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Refunded'), 0)
$$) > 0 AS created;
SELECT cdp.create_computed_trait('orders_this_week', $$
  count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('favourite_channel', $$
  cdp.most_frequent(properties ->> 'channel') FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('favourite_hour', $$
  cdp.most_frequent(extract(hour FROM occurred_at)::text)
$$, time_zone => 'Europe/Amsterdam') > 0 AS created;
SELECT cdp.create_computed_trait('categories', $$
  array_agg(DISTINCT properties ->> 'category') FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('category_count', $$
  count(DISTINCT properties ->> 'category') FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('first_category', $$
  cdp.first(properties ->> 'category', occurred_at, event_id) FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT * FROM who WHERE trait <> 'favourite_hour' ORDER BY 1, 2;

-- The keys of segments are no values, and no JSON, however a query comes to them.
SELECT cdp.create_segment('fan', 'count(*) > 0', per => $$properties ->> 'category'$$) > 0 AS created;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SELECT trait, count(*) FROM cdp.computed_trait_values WHERE value > '100' AND jsonb_typeof(value) = 'number' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM cdp.computed_trait_history WHERE trait = 'total_spend' AND value > '100';
RESET enable_nestloop;
RESET enable_mergejoin;
SELECT cdp.drop_segment('fan');

-- Of other computed traits, too; and rules ask for them.
SELECT cdp.create_computed_trait('tier', $$
  CASE WHEN (computed ->> 'net_spend')::numeric >= 100 THEN 'gold'
       WHEN (computed ->> 'net_spend')::numeric > 0 THEN 'silver' END
$$) > 0 AS created;
SELECT cdp.create_segment('dutch_gold', $$computed ->> 'tier' = 'gold' AND traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT who, value FROM who WHERE trait = 'tier' ORDER BY 1;
SELECT segment, value AS who FROM cdp.segment_members JOIN cdp.identifiers USING (profile_id) WHERE type = 'user_id';
SELECT traits, computed - 'favourite_hour' AS computed FROM cdp.people WHERE profile_id = cdp.lookup('user_id', 'anna');

-- One message, one commit: the trait, what is made of it, and who is in.
SELECT cdp.track('Order Completed', user_id => 'bert', properties => '{"total": 250, "category": "coats", "channel": "web"}') > 0 AS accepted;
SELECT trait, value FROM who WHERE who = 'bert' AND trait <> 'favourite_hour' ORDER BY 1;
SELECT segment, value AS who FROM cdp.segment_members JOIN cdp.identifiers USING (profile_id) WHERE type = 'user_id' ORDER BY 2;

-- Time alone changes them: what will be, if nothing new happens, is known.
SELECT h.value, ceil(extract(epoch FROM h.entered_at - now()) / 86400) AS from_day, nullif(h.left_at, 'infinity') IS NULL AS for_ever
FROM (SELECT m.key AS value, m.entered_at, m.left_at FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
      WHERE s.name = 'orders_this_week' AND m.profile_id = cdp.lookup('user_id', 'anna')) AS h ORDER BY 2;

-- People who become one have what both did.
SELECT cdp.identify(user_id => 'anna', identifiers => '{"email": "anna@example.com"}') > 0 AS accepted;
SELECT cdp.track('Order Completed', anonymous_id => 'phone', properties => '{"total": 1.00, "category": "socks", "channel": "app"}', identifiers => '{"email": "anna@example.com"}') > 0 AS accepted;
SELECT value FROM who WHERE who = 'anna' AND trait = 'total_spend';
SELECT * FROM cdp.verify();

-- Why it is what it is.
SELECT value, "values", evidence FROM cdp.why_computed_trait('tier', cdp.lookup('user_id', 'cleo'));
SELECT w.value, v.key, v.value AS is, w.evidence -> v.key -> 'count' AS events
FROM cdp.why_computed_trait('net_spend', cdp.lookup('user_id', 'cleo')) AS w, jsonb_each(w."values") AS v ORDER BY 2;

-- What it was. A new version is found in the background, and put in force in one commit.
SELECT cdp.alter_computed_trait('tier', $$CASE WHEN (computed ->> 'net_spend')::numeric >= 200 THEN 'gold' ELSE 'silver' END$$);
SELECT who, value FROM who WHERE trait = 'tier' ORDER BY 1;
CALL cdp.run();
SELECT who, value FROM who WHERE trait = 'tier' ORDER BY 1;
SELECT value, until = 'infinity' AS is_now FROM cdp.computed_trait_history WHERE trait = 'tier' AND profile_id = cdp.lookup('user_id', 'cleo') ORDER BY since;
SELECT cdp.alter_computed_trait('tier', $$CASE WHEN (computed ->> 'net_spend')::numeric >= 100 THEN 'gold' END$$, background => false);
SELECT who, value FROM who WHERE trait = 'tier' ORDER BY 1;
SELECT segment, value AS who FROM cdp.segment_members JOIN cdp.identifiers USING (profile_id) WHERE type = 'user_id' ORDER BY 2;
SELECT * FROM cdp.verify();

-- Definitions: renamed everywhere, and nothing is dropped that others ask for.
SELECT cdp.rename_computed_trait('net_spend', 'netSpend');
SELECT name, version, asks_about, expression FROM cdp.computed_traits WHERE name IN ('tier', 'netSpend') ORDER BY 1;
SELECT cdp.drop_computed_trait('netSpend');
SELECT definitions = cdp.export_definitions() AS unchanged, d.name, d.change
FROM (SELECT cdp.export_definitions() AS definitions) AS e, cdp.import_definitions(definitions) AS d (name, change) WHERE d.change <> 'unchanged';
SELECT cdp.drop_computed_trait('netSpend', cascade => true);
SELECT name FROM cdp.computed_traits ORDER BY 1;
SELECT name FROM cdp.segments WHERE kind <> 'trait';

-- They are no segments, to whoever reads or names segments.
SELECT count(*) FROM cdp.segment_members;
SELECT cdp.drop_segment('total_spend');
SELECT cdp.create_segment('total_spend', 'count(*) > 1');
SELECT cdp.create_segment('any', $$cdp.in_segment('total_spend')$$);
SELECT cdp.drop_computed_trait('any');

-- Ranks are of the computed trait, where there is one of the name.
SELECT value AS who, cdp.rank('total_spend', profile_id), round(cdp.percentile('total_spend', profile_id)::numeric, 2) AS percentile
FROM cdp.identifiers WHERE type = 'user_id' ORDER BY 1;

-- A long value is a value.
SELECT cdp.identify(user_id => 'dora', traits => jsonb_build_object('bio', repeat('long ', 1000))) IS NOT NULL AS known;
SELECT cdp.create_computed_trait('biography', $$traits -> 'bio'$$) > 0 AS created;
SELECT who, length(value #>> '{}') FROM who WHERE trait = 'biography';

-- For whom it fails nothing changes, and nobody else is held up.
SELECT cdp.track('Order Completed', user_id => 'cleo', properties => '{"total": "a lot"}') > 0 AS accepted;
SELECT who, value FROM who WHERE trait = 'total_spend' ORDER BY 1;
SELECT s.name, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id);
SELECT * FROM cdp.verify();
UPDATE cdp.memberships SET key = '1.00' WHERE profile_id = cdp.lookup('user_id', 'anna') AND segment_id = (SELECT segment_id FROM cdp.segments WHERE name = 'total_spend');
SELECT problem, stored, expected FROM cdp.verify() ORDER BY 2;

-- What cannot be said.
SELECT cdp.create_computed_trait('recency', $$now() - max(occurred_at)$$);
SELECT cdp.create_computed_trait('all_of_them', $$computed$$);
SELECT cdp.create_computed_trait('misspelt', $$(computed ->> 'total_spent')::numeric * 2$$);
SELECT cdp.create_computed_trait('inside', $$sum((computed ->> 'total_spend')::numeric + (properties ->> 'total')::numeric)$$);
SELECT cdp.create_computed_trait('elsewhere', $$(SELECT count(*) FROM pg_class)$$);
SELECT cdp.create_computed_trait('constant', $$'x'$$);
SELECT cdp.create_computed_trait('two', $$count(*), sum(1)$$);
SELECT cdp.create_computed_trait('no name', $$count(*)$$);
SELECT cdp.create_computed_trait('nothing', NULL);
SELECT cdp.alter_computed_trait('total_spend', $$computed ->> 'total_spend'$$);
SELECT cdp.why_computed_trait('total', 1);
