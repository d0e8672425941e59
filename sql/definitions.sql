-- definitions: queries as segments, versions of rules, building in the background, names, switching off, dropping.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
CREATE SCHEMA crm;
CREATE TABLE crm.customers (id text PRIMARY KEY, tier text, store text);
INSERT INTO crm.customers VALUES ('anna', 'gold', 'Utrecht'), ('bob', 'silver', 'Breda'), ('cleo', 'gold', 'Breda'), ('nobody', 'gold', 'Breda');
SELECT cdp.identify(user_id => u, traits => jsonb_build_object('country', CASE u WHEN 'bob' THEN 'DE' ELSE 'NL' END, 'spent', s))
  IS NOT NULL AS known FROM (VALUES ('anna', 100), ('bob', 200), ('cleo', 300)) AS v (u, s);
CREATE VIEW who AS SELECT m.segment, i.value AS member, m.key, m.until FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id;

-- Any SQL can be a segment: a query that returns profile_id. It is run again every refresh, and only what changed is written.
SELECT cdp.create_segment('gold', query => $$
  SELECT cdp.lookup('user_id', id) AS profile_id FROM crm.customers WHERE tier = 'gold'
$$, refresh => '15 minutes') > 0 AS created;
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;

-- What changes in other tables shows at the next refresh: by the worker or CALL cdp.run() when it is due, or at once.
UPDATE crm.customers SET tier = CASE id WHEN 'anna' THEN 'silver' ELSE 'gold' END;
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;
SELECT cdp.refresh_segment('gold');
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;
SELECT i.value AS member, m.entered_at = min(m.entered_at) OVER () AS since_the_beginning, m.left_at < 'infinity' AS over
FROM cdp.membership_history AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id ORDER BY 1;
SELECT s.name, s.class, s.refresh, r.members, r.entered, r.left_it, r.unknown, r.refreshed_at <= now() AS refreshed
FROM cdp.segments AS s JOIN cdp.segment_refreshes AS r USING (segment_id);

-- A second column, key, makes a membership of each value.
SELECT cdp.create_segment('shops_in', query => $$SELECT store AS key, cdp.lookup('user_id', id) AS profile_id FROM crm.customers$$) > 0 AS created;
SELECT member, key FROM who WHERE segment = 'shops_in' ORDER BY 1;

-- A profile that is merged away leaves every segment in that commit; a query finds who it is now when it is run next.
CREATE TABLE crm.picked AS SELECT cdp.lookup('user_id', 'cleo') AS profile_id;
SELECT cdp.create_segment('picked', query => 'TABLE crm.picked;') > 0 AS created;
SELECT cdp.allow_link('{"user_id": "bob"}', '{"user_id": "cleo"}', 'one person') IS NOT NULL AS decided;
SELECT segment, member FROM who ORDER BY 1, 2;
SELECT cdp.refresh_segment(name) IS NOT NULL AS refreshed FROM cdp.segments ORDER BY name;
SELECT segment, member, key FROM who ORDER BY 1, 2, 3;
SELECT * FROM cdp.verify();

-- CALL cdp.run() refreshes what is due. What fails leaves everybody where they were, and is shown.
UPDATE cdp.segment_refreshes SET refreshed_at = refreshed_at - interval '1 day', tried_at = tried_at - interval '1 day';
UPDATE cdp.memberships SET entered_at = entered_at - interval '1 day';
ALTER TABLE crm.picked RENAME TO chosen;
UPDATE crm.customers SET tier = 'none' WHERE id = 'anna';
CALL cdp.run();
SELECT segment, member FROM who ORDER BY 1, 2;
SELECT s.name, e.sqlstate, e.message, e.profile_id FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id);
SELECT check_name, status, regexp_replace(value, '\d{4}-.*', '…') AS value FROM cdp.health() WHERE check_name LIKE 'segment%' ORDER BY 1;
SELECT cdp.refresh_segment('picked');
ALTER TABLE crm.chosen RENAME TO picked;
SELECT cdp.refresh_segment('picked');
SELECT count(*) FROM cdp.segment_errors;
SELECT condition, holds, "values" - 'refreshed_at' AS "values" FROM cdp.why_member('picked', cdp.lookup('user_id', 'cleo')) WHERE condition <> 'until';

-- A query runs as who created it, and only reads. What cannot be one is refused, with the place.
SELECT cdp.create_segment('x', query => 'SELECT id FROM crm.customers');
SELECT cdp.create_segment('x', query => 'SELECT id AS profile_id FROM crm.customers');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id, 2 AS key, 3 AS more');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id; SELECT 2');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id FROM crm.customer');
SELECT cdp.create_segment('x', query => 'SELECT FROM WHERE');
SELECT cdp.create_segment('x', query => '');
SELECT cdp.create_segment('x', query => 'DELETE FROM crm.customers RETURNING 1 AS profile_id');
SELECT cdp.create_segment('x', query => 'WITH d AS (DELETE FROM crm.customers RETURNING 1 AS profile_id) TABLE d');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id INTO crm.y');
SELECT cdp.create_segment('x', query => 'SELECT profile_id FROM crm.picked FOR UPDATE');
SELECT cdp.create_segment('x', query => 'SELECT $1 AS profile_id');
CREATE FUNCTION crm.sneak() RETURNS bigint LANGUAGE sql AS $$INSERT INTO crm.picked VALUES (1) RETURNING profile_id$$;
SELECT cdp.create_segment('x', query => 'SELECT crm.sneak() AS profile_id');
SELECT cdp.create_segment('x', rule => 'true', query => 'SELECT 1 AS profile_id');
SELECT cdp.create_segment('x');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id', per => 'event');
SELECT cdp.create_segment('x', query => 'SELECT 1 AS profile_id', refresh => '0');
SELECT cdp.create_segment('x', 'count(*) > 0', refresh => '1 hour');
SELECT count(*) FROM crm.picked;

-- A new version of a rule. Everybody stays where they were until the worker, or CALL cdp.run(), has judged all people; then
-- memberships change in one commit. Who is in both stays since whenever it was.
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT cdp.identify(user_id => 'dirk', traits => '{"country": "NL", "spent": 1000}') IS NOT NULL AS known;
SELECT member FROM who WHERE segment = 'dutch' ORDER BY 1;
SELECT cdp.alter_segment('dutch', rule => $$traits ->> 'country' IN ('NL', 'BE') AND (traits ->> 'spent')::numeric > 100$$) AS version;
SELECT member FROM who WHERE segment = 'dutch' ORDER BY 1;
SELECT name, state, version FROM cdp.segments WHERE name LIKE 'dutch%' ORDER BY 1;
SELECT task, pid, done, total FROM cdp.progress WHERE task LIKE 'build%';
-- Messages go on meanwhile, by the version in force as by the one that is built.
SELECT cdp.identify(user_id => 'erik', traits => '{"country": "BE", "spent": 500}') IS NOT NULL AS known;
CALL cdp.run();
SELECT member, until FROM who WHERE segment = 'dutch' ORDER BY 1;
SELECT i.value AS member, m.entered_at < v.applied_at AS since_before, m.left_at = v.applied_at AS left_then
FROM cdp.membership_history AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id, cdp.segment_versions AS v
WHERE m.segment = 'dutch' AND v.name = 'dutch' AND v.version = 2 ORDER BY 1;
SELECT version, rule, applied_at IS NOT NULL AS applied, retired_at IS NOT NULL AS retired FROM cdp.segment_versions WHERE name = 'dutch' ORDER BY 1;
SELECT count(*) FROM cdp.progress;

-- The same again changes nothing. A version that is altered before it is built never is.
SELECT cdp.alter_segment('dutch', time_zone => 'UTC') AS version;
SELECT cdp.alter_segment('dutch', rule => 'count(*) > 0') AS version;
SELECT cdp.alter_segment('dutch', rule => $$traits ->> 'country' = 'DE'$$, background => false) AS version;
SELECT member FROM who WHERE segment = 'dutch';
SELECT version, applied_at IS NOT NULL AS applied, retired_at IS NOT NULL AS retired FROM cdp.segment_versions WHERE name = 'dutch' ORDER BY 1;
SELECT cdp.alter_segment('gold', query => $$SELECT cdp.lookup('user_id', id) AS profile_id FROM crm.customers WHERE store = 'Utrecht'$$) AS version;
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;
CALL cdp.run();
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;
SELECT cdp.alter_segment('gold', refresh => '1 day') AS version;
SELECT version, refresh FROM cdp.segments WHERE name = 'gold';

-- What cannot be is refused, and the version in force stays.
SELECT cdp.alter_segment('dutch', rule => 'count(*) > ');
SELECT cdp.alter_segment('dutch', query => 'SELECT 1 AS profile_id');
SELECT cdp.alter_segment('gold', rule => 'true');
SELECT cdp.alter_segment('dutch', refresh => '1 hour');
SELECT cdp.alter_segment('nobody', rule => 'true');

-- A large segment is built in the background from the start.
SELECT cdp.create_segment('spenders', $$(traits ->> 'spent')::numeric >= 500$$, background => true) > 0 AS created;
SELECT name, state FROM cdp.segments WHERE name = 'spenders';
SELECT count(*) FROM cdp_segments.spenders;
CALL cdp.run();
SELECT name, state FROM cdp.segments WHERE name = 'spenders';
SELECT member FROM who WHERE segment = 'spenders' ORDER BY 1;
-- A rule that cannot run says so, and is tried again every minute.
CREATE FUNCTION crm.limit_of() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 900';
SELECT cdp.alter_segment('spenders', rule => $$(traits ->> 'spent')::numeric >= crm.limit_of()$$) AS version;
DROP FUNCTION crm.limit_of;
CALL cdp.run();
SELECT member FROM who WHERE segment = 'spenders' ORDER BY 1;
SELECT check_name, status, value FROM cdp.health() WHERE check_name LIKE 'segment%' ORDER BY 1;
SELECT cdp.alter_segment('spenders', rule => $$(traits ->> 'spent')::numeric >= 900$$, background => false) AS version;
SELECT member FROM who WHERE segment = 'spenders' ORDER BY 1;

-- Another name, and the view with it.
SELECT cdp.rename_segment('spenders', 'big_spenders');
SELECT count(*) FROM cdp_segments.big_spenders;
SELECT cdp.rename_segment('big_spenders', 'gold');
SELECT cdp.rename_segment('big_spenders', 'Gold');

-- Switched off: its memberships end, its definition and its history stay. Switched on: everybody is judged.
SELECT cdp.disable_segment('big_spenders');
SELECT count(*) FROM cdp.members('big_spenders');
SELECT cdp.identify(user_id => 'fred', traits => '{"spent": 2000}') IS NOT NULL AS known;
SELECT count(*) FROM cdp.members('big_spenders');
SELECT condition, holds FROM cdp.why_member('big_spenders', cdp.lookup('user_id', 'fred'));
SELECT cdp.refresh_segment('big_spenders');
SELECT cdp.enable_segment('big_spenders');
SELECT member FROM who WHERE segment = 'big_spenders' ORDER BY 1;
SELECT cdp.disable_segment('gold');
SELECT cdp.enable_segment('gold', background => true);
CALL cdp.run();
SELECT member FROM who WHERE segment = 'gold' ORDER BY 1;
SELECT * FROM cdp.verify();

-- Dropping names what depends on a segment: views over its view, and segments that ask about it.
CREATE VIEW crm.best AS SELECT profile_id FROM cdp_segments.big_spenders;
SELECT cdp.alter_segment('dutch', $$traits ->> 'country' = 'NL' AND NOT cdp.in_segment('big_spenders')$$, background => false) AS version;
SELECT cdp.drop_segment('big_spenders');
SELECT cdp.drop_segment('big_spenders', cascade => true);
SELECT to_regclass('crm.best') IS NULL AS view_is_gone;
SELECT name FROM cdp.segments ORDER BY 1;
SELECT name, max(version) AS versions, every(retired_at IS NOT NULL) AS retired FROM cdp.segment_versions GROUP BY 1 ORDER BY 1;

-- Only its owner, or an administrator, changes a segment. Who rewrites somebody else's is whose rights it runs with.
CREATE ROLE regress_cdp_marketer;
CREATE ROLE regress_cdp_admin;
SELECT cdp.grant_access('regress_cdp_marketer', 'marketer'), cdp.grant_access('regress_cdp_admin', 'admin');
SET ROLE regress_cdp_marketer;
SELECT cdp.create_segment('ours', query => 'SELECT profile_id FROM cdp.profiles') > 0 AS created;
SELECT cdp.create_segment('theirs', query => 'TABLE crm.picked');
SELECT cdp.alter_segment('picked', query => 'SELECT profile_id FROM cdp.profiles');
SELECT cdp.rename_segment('picked', 'p'), cdp.disable_segment('picked');
SELECT cdp.drop_segment('picked');
SELECT cdp_internal.drop_segment('{"role": "postgres"}', 'picked', true);
SET ROLE regress_cdp_admin;
SELECT cdp.disable_segment('ours'), cdp.enable_segment('ours');
SELECT cdp.alter_segment('ours', query => 'SELECT profile_id FROM cdp.profiles LIMIT 1', background => false) AS version;
RESET ROLE;
SELECT name, owner FROM cdp.segments WHERE name = 'ours';

SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
DROP VIEW who;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_marketer, regress_cdp_admin;
