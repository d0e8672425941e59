-- exchange: definitions as a text, for code review and from one database to another.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SELECT cdp.identify(user_id => 'anna', traits => '{"country": "NL"}') IS NOT NULL AS known;
SELECT cdp.create_segment('abandoned_cart', $$
      count(*) FILTER (WHERE event = 'Product Added') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed') = 0
$$, per => $$properties ->> 'product_id'$$, time_zone => 'Europe/Amsterdam') > 0 AS created;
SELECT cdp.create_segment('everybody', query => 'SELECT profile_id FROM cdp.profiles', refresh => '90 minutes', time_zone => 'Asia/Tokyo') > 0 AS created;
SELECT cdp.create_list('vips') > 0 AS created;
SELECT cdp.disable_segment('everybody');

-- Sorted, a block a segment, a line a line.
SELECT cdp.export_definitions();
SELECT cdp.export_definitions() AS definitions \gset

-- What is the same is left alone.
SELECT * FROM cdp.import_definitions(:'definitions');

-- To see what an import would do: dry_run.
SELECT cdp.drop_segment('vips');
SELECT cdp.alter_segment('abandoned_cart', rule => 'count(*) > 0', background => false);
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT cdp.enable_segment('everybody');
SELECT * FROM cdp.import_definitions(:'definitions', dry_run => true);
SELECT name, kind, version, state FROM cdp.segments ORDER BY name;
SELECT * FROM cdp.import_definitions(:'definitions');
CALL cdp.run();
SELECT name, kind, version, state FROM cdp.segments ORDER BY name;
SELECT cdp.drop_segment('dutch');
SELECT cdp.export_definitions() = :'definitions' AS as_it_was;

-- Into a database without any.
SELECT cdp.drop_segment(name) FROM cdp.segments;
SELECT * FROM cdp.import_definitions(:'definitions');
CALL cdp.run();
SELECT cdp.export_definitions() = :'definitions' AS as_it_was;
SELECT * FROM cdp.verify();

-- All or none, and an error says where.
SELECT * FROM cdp.import_definitions('{"segments": {"a": {"rule": "count(*) > 0"}, "b": {"rule": "count(*) > "}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"a": {"rule": "crm.no_such_function()"}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"a": {"rules": "count(*) > 0"}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"vips": {"rule": "count(*) > 0"}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"a": {"rule": "count(*) > 0", "kind": "roule"}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"a": {"rule": "count(*) > 0", "kind": "list"}}}');
SELECT * FROM cdp.import_definitions('{"segments": {"a": null}}');
SELECT * FROM cdp.import_definitions('{}');
SELECT * FROM cdp.import_definitions('nonsense');
SELECT name FROM cdp.segments ORDER BY name;

-- Other people's are left alone as well, if they are the same; only who may change them can alter them.
CREATE ROLE regress_exchange_marketer;
SELECT cdp.grant_access('regress_exchange_marketer', 'marketer');
SET ROLE regress_exchange_marketer;
SELECT cdp.create_segment('mine', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT cdp.export_definitions() AS definitions \gset
SELECT * FROM cdp.import_definitions(:'definitions', dry_run => true);
SELECT * FROM cdp.import_definitions(:'definitions');
SELECT * FROM cdp.import_definitions(replace(:'definitions', '01:30:00', '01:45:00'), dry_run => true);
SELECT * FROM cdp.import_definitions(replace(:'definitions', '''NL''', '''BE'''));
SELECT * FROM cdp.import_definitions('{"segments": {"everybody": {"query": "SELECT profile_id FROM cdp.profiles"}}}');
-- An error says what is wrong, and where in what the caller wrote; not which functions met it.
\set SHOW_CONTEXT errors
SELECT cdp.create_segment('peek', 'EXISTS (SELECT FROM pg_catalog.pg_authid)');
SELECT people FROM cdp.preview_segment('EXISTS (SELECT FROM pg_catalog.pg_authid)');
SELECT cdp.create_segment('nonsense', 'count(*) >> traits');
SELECT cdp.drop_segment('everybody');
DO $$ BEGIN PERFORM cdp.drop_segment('nobody'); END $$;
\set SHOW_CONTEXT never
RESET ROLE;
SELECT cdp.drop_segment('mine');
DROP OWNED BY regress_exchange_marketer;
DROP ROLE regress_exchange_marketer;

DROP EXTENSION cdp CASCADE;
