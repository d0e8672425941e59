-- bi: views of people with typed columns, for tools that know nothing of JSON.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
CREATE ROLE regress_cdp_bi_analyst;
CREATE ROLE regress_cdp_bi_marketer;
SELECT cdp.grant_access('regress_cdp_bi_analyst', 'analyst'), cdp.grant_access('regress_cdp_bi_marketer', 'marketer');
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SELECT cdp.identify(user_id => n, traits => t::jsonb) IS NOT NULL AS known
FROM (VALUES ('anna', '{"name": "Anna", "email": "anna@example.com", "country": "NL", "age": 41, "born": "1985-02-03", "address": {"city": "Delft"}}'),
             ('bert', '{"name": "Bert", "country": "BE", "age": "38", "born": "03/02/88"}'),
             ('cleo', '{"name": "Cleo", "country": "NL", "age": "unknown", "born": "1990-12-31T23:00:00-05:00"}')) AS p (n, t);
SELECT cdp.track('Order Completed', user_id => n, properties => jsonb_build_object('total', t)) IS NOT NULL AS known
FROM (VALUES ('anna', '120.00'), ('anna', '30.50'), ('cleo', '90')) AS o (n, t);
SELECT cdp.create_computed_trait('total_spend', $$
  sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_computed_trait('orders', $$count(*) FILTER (WHERE event = 'Order Completed')$$) > 0 AS created;
SELECT cdp.create_segment('vip', $$(computed ->> 'total_spend')::numeric > 100$$) > 0 AS created;

SELECT cdp.create_profile_view('people', '{
  "name":        "trait name",
  "email":       "identifier email",
  "country":     "trait country varchar(2)",
  "age":         "trait age integer",
  "born":        "trait born date",
  "city":        "trait address.city",
  "total_spend": "computed total_spend numeric(12,2)",
  "orders":      "computed orders",
  "vip":         "segment vip"
}', description => 'Our customers');
SELECT * FROM cdp_views.people ORDER BY name;

-- What does not fit is null, and is not forgotten.
SELECT column_name, source, type, filled, misfits, example FROM cdp.check_profile_view('people');
SELECT example_profile_id = cdp.lookup('user_id', 'cleo') AS is_cleo FROM cdp.check_profile_view('people') WHERE column_name = 'age';

-- Sums are sums of what fits.
SELECT country, count(*) AS people, avg(age)::numeric(4, 1) AS age, sum(total_spend) AS spend, count(*) FILTER (WHERE vip) AS vips
FROM cdp_views.people GROUP BY country ORDER BY country;

-- What tools ask: names, types, comments.
SELECT column_name, data_type, character_maximum_length AS length, numeric_precision AS precision, numeric_scale AS scale
FROM information_schema.columns WHERE table_schema = 'cdp_views' AND table_name = 'people' ORDER BY ordinal_position;
SELECT a.attname AS column, col_description(a.attrelid, a.attnum) AS comment FROM pg_attribute AS a
WHERE a.attrelid = 'cdp_views.people'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT obj_description('cdp_views.people'::regclass);

-- Other columns, with names of their own; a type is that of the expression when none is said.
SELECT cdp.create_profile_view('more', '["public_id", "first_seen_at", "last_seen_at", "identifiers user_id", "segment vip since", "segment vip until",
  {"source": "trait address", "type": "jsonb", "description": "Where they live"}, {"column": "Full name", "source": "trait \"name\""}]');
SELECT attname AS column, format_type(atttypid, atttypmod) AS type, col_description(attrelid, attnum) AS comment
FROM pg_attribute WHERE attrelid = 'cdp_views.more'::regclass AND attnum > 1 ORDER BY attnum;
SELECT "Full name", user_id, vip_since IS NOT NULL AS is_vip, vip_until, address FROM cdp_views.more ORDER BY 1;

-- A view is right at every instant.
SELECT cdp.track('Order Completed', user_id => 'bert', properties => '{"total": 1000}') IS NOT NULL AS known;
SELECT name, total_spend, vip FROM cdp_views.people WHERE name = 'Bert';

-- Materialized: kept as a table, with an index, and refreshed on schedule.
SELECT cdp.create_profile_view('people_kept', '["trait name", "trait age integer", "computed total_spend", "segment vip"]',
  materialized => true, refresh => '15 minutes');
SELECT * FROM cdp_views.people_kept ORDER BY name;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'cdp_views';
SELECT cdp.track('Order Completed', user_id => 'bert', properties => '{"total": 1}') IS NOT NULL AS known;
CALL cdp.run();
SELECT total_spend AS not_due_yet FROM cdp_views.people_kept WHERE name = 'Bert';
SELECT cdp.refresh_profile_view('people_kept');
SELECT total_spend AS refreshed FROM cdp_views.people_kept WHERE name = 'Bert';
UPDATE cdp_internal.profile_view_refreshes SET tried_at = tried_at - interval '16 minutes', refreshed_at = refreshed_at - interval '16 minutes';
SELECT cdp.track('Order Completed', user_id => 'bert', properties => '{"total": 1}') IS NOT NULL AS known;
CALL cdp.run();
SELECT total_spend AS was_due FROM cdp_views.people_kept WHERE name = 'Bert';
SELECT name, relation, materialized, refresh, lag < interval '1 minute' AS is_fresh, took > '0' AS took, people, misfits, error FROM cdp.profile_views ORDER BY name;
SELECT status, regexp_replace(value, 'last.*ago', '…') AS value, advice FROM cdp.health() WHERE check_name = 'profile views';

-- What goes wrong is kept, with what was there before.
ALTER MATERIALIZED VIEW cdp_views.people_kept RENAME TO taken_away;
UPDATE cdp_internal.profile_view_refreshes SET tried_at = tried_at - interval '16 minutes';
CALL cdp.run();
SELECT name, error FROM cdp.profile_views WHERE error IS NOT NULL;
SELECT status, regexp_replace(value, 'last.*ago', '…') AS value, advice FROM cdp.health() WHERE check_name = 'profile views';
ALTER MATERIALIZED VIEW cdp_views.taken_away RENAME TO people_kept;
SELECT cdp.refresh_profile_view('people_kept');
UPDATE cdp_internal.profile_view_refreshes SET refreshed_at = refreshed_at - interval '2 hours';
SELECT status, advice FROM cdp.health() WHERE check_name = 'profile views';
SELECT cdp.refresh_profile_view('people_kept');
SELECT cdp.refresh_profile_view('people');

-- Segments and computed traits may be renamed, and are not dropped from under a view.
SELECT cdp.rename_segment('vip', 'very_important');
SELECT cdp.rename_computed_trait('total_spend', 'spent');
SELECT name, total_spend, vip FROM cdp_views.people ORDER BY name;
SELECT col_description('cdp_views.people'::regclass, 10) AS vip, col_description('cdp_views.people'::regclass, 8) AS total_spend;
SELECT cdp.drop_segment('very_important');
SELECT cdp.drop_computed_trait('orders');

-- Altering. Views that are made of it stay when columns are only added.
GRANT SELECT ON cdp_views.people TO PUBLIC;
CREATE VIEW adults AS SELECT * FROM cdp_views.people WHERE age >= 18;
SELECT cdp.alter_profile_view('people', '{"name": "trait name", "age": "trait age"}');
DROP VIEW adults;
SELECT cdp.alter_profile_view('people', '{"name": "trait name", "age": "trait age", "vip": "segment very_important"}', description => 'People');
SELECT * FROM cdp_views.people ORDER BY name;
SELECT has_table_privilege('public', 'cdp_views.people', 'SELECT') AS still_granted;
CREATE VIEW important AS SELECT * FROM cdp_views.people WHERE vip;
SELECT cdp.alter_profile_view('people', '{"name": "trait name", "age": "trait age", "vip": "segment very_important", "city": "trait address.city"}');
SELECT name, city FROM cdp_views.people ORDER BY name;
SELECT cdp.alter_profile_view('people_kept', refresh => '0', description => 'Kept by hand');
SELECT name, refresh, description FROM cdp.profile_views ORDER BY name;
SELECT cdp.alter_profile_view('more', materialized => true, refresh => '1 day');
SELECT name, materialized, refresh FROM cdp.profile_views WHERE name = 'more';
SELECT count(*) FROM cdp_views.more;
SELECT cdp.rename_profile_view('people', 'customers');
SELECT count(*) FROM important;
SELECT cdp.drop_profile_view('customers');
SELECT cdp.drop_profile_view('customers', cascade => true);

-- Who may do what. What is materialized was read with the rights of who made it: nobody else reads it until they say so.
SET ROLE regress_cdp_bi_marketer;
SELECT cdp.create_profile_view('mine', '["trait name", "trait age integer"]');
SELECT cdp.create_profile_view('mine_kept', '["trait name"]', materialized => true);
SELECT count(*) FROM cdp_views.mine_kept;
SELECT cdp.drop_profile_view('people_kept');
SET ROLE regress_cdp_bi_analyst;
SELECT name, age FROM cdp_views.mine ORDER BY name;
SELECT name FROM cdp_views.mine_kept;
SELECT column_name, filled, misfits FROM cdp.check_profile_view('mine');
SELECT name, owner FROM cdp.profile_views WHERE name LIKE 'mine%' ORDER BY name;
SELECT cdp.refresh_profile_view('mine_kept');
SET ROLE regress_cdp_bi_marketer;
GRANT SELECT ON cdp_views.mine_kept TO regress_cdp_bi_analyst;
SET ROLE regress_cdp_bi_analyst;
SELECT name FROM cdp_views.mine_kept ORDER BY name;
RESET ROLE;
-- From whom people are hidden they are hidden in views, and in what is materialized as them.
ALTER TABLE cdp.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY dutch ON cdp.profiles USING (traits ->> 'country' = 'NL');
SET ROLE regress_cdp_bi_marketer;
SELECT name FROM cdp_views.mine ORDER BY name;
SELECT cdp.refresh_profile_view('mine_kept');
SELECT name FROM cdp_views.mine_kept ORDER BY name;
RESET ROLE;
DROP POLICY dutch ON cdp.profiles;
ALTER TABLE cdp.profiles DISABLE ROW LEVEL SECURITY;

-- Errors.
SELECT cdp.create_profile_view('Bad', '["trait name"]');
SELECT cdp.create_profile_view('mine', '["trait name"]');
SELECT cdp.create_profile_view('bad', NULL);
SELECT cdp.create_profile_view('bad', '"trait name"');
SELECT cdp.create_profile_view('bad', '{}');
SELECT cdp.create_profile_view('bad', '{"x": 7}');
SELECT cdp.create_profile_view('bad', '{"x": {"source": "trait name", "typ": "text"}}');
SELECT cdp.create_profile_view('bad', '{"x": "golden name"}');
SELECT cdp.create_profile_view('bad', '["trait name", "trait name"]');
SELECT cdp.create_profile_view('bad', '["trait profile_id"]');
SELECT cdp.create_profile_view('bad', '{"x": "trait age intger"}');
SELECT cdp.create_profile_view('bad', '{"x": "trait age numeric(2000)"}');
SELECT cdp.create_profile_view('bad', '{"x": "trait age int; DROP TABLE cdp.profiles"}');
SELECT cdp.create_profile_view('bad', '{"x": "identifier emial"}');
SELECT cdp.create_profile_view('bad', '{"x": "computed spend"}');
SELECT cdp.create_profile_view('bad', '{"x": "segment very_imporant"}');
SELECT cdp.create_profile_view('bad', '{"x": "segment very_important integer"}');
SELECT cdp.create_profile_view('bad', '["trait name"]', refresh => '1 minute');
SELECT cdp.create_profile_view('bad', '["trait name"]', materialized => true, refresh => '1 ms');
SELECT cdp.drop_profile_view('min');
-- A trait that nobody has may come.
SELECT cdp.create_profile_view('early', '["trait contry"]');

-- Values that are hard to read.
SELECT v, cdp_internal.as_type(v, NULL::integer, -1) AS int, cdp_internal.as_type(v, NULL::bigint, -1) AS bigint, cdp_internal.as_type(v, NULL::numeric, -1) AS numeric,
  cdp_internal.as_type(v, NULL::numeric, 262150) AS "numeric(4,2)", cdp_internal.as_type(v, NULL::float8, -1) AS float8, cdp_internal.as_type(v, NULL::boolean, -1) AS bool,
  cdp_internal.as_type(v, NULL::text, -1) AS text, cdp_internal.as_type(v, NULL::varchar, 9) AS "varchar(5)", cdp_internal.as_type(v, NULL::text[], -1) AS "text[]", cdp_internal.as_type(v, NULL::integer[], -1) AS "int[]"
FROM unnest(ARRAY['41', '41.0', '41.5', '"41"', '" 41 "', '"41.50"', '"4e1"', '2147483648', '"NaN"', '"Infinity"', '1e40', 'true', '"yes"', '1', '""', 'null', '{"a": 1}', '[1, 2]', '["1", null]', '[1, "a"]', '[]', '[[1]]']::jsonb[]) AS v;
SELECT v, cdp_internal.as_type(v, NULL::date, -1) AS date, cdp_internal.as_type(v, NULL::timestamp, -1) AS timestamp, cdp_internal.as_type(v, NULL::timestamptz, -1) AS timestamptz,
  cdp_internal.as_type(v, NULL::time, -1) AS time, cdp_internal.as_type(v, NULL::interval, -1) AS interval, cdp_internal.as_type(v, NULL::uuid, -1) IS NOT NULL AS uuid
FROM unnest(ARRAY['"2026-02-28"', '"2026-02-30"', '"2026-02-28T23:30:00-05:00"', '"2026-02-28 23:30:00.123456"', '"today"', '"02/03/2026"', '1700000000', '"12:30"', '"1 day"', '"6ba7b810-9dad-11d1-80b4-00c04fd430c8"']::jsonb[]) AS v;
SELECT cdp_internal.as_type('{}', NULL::point, -1);

SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_bi_analyst, regress_cdp_bi_marketer;
