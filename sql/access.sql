-- access: PUBLIC gets nothing; grant_access gives each role what its work needs.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
CREATE ROLE regress_cdp_sender;
CREATE ROLE regress_cdp_analyst;
CREATE ROLE regress_cdp_marketer;
CREATE ROLE regress_cdp_nobody;
RESET client_min_messages;
SELECT cdp.grant_access('regress_cdp_sender', 'ingest');
SELECT cdp.grant_access('regress_cdp_analyst', 'analyst');
SELECT cdp.grant_access('regress_cdp_marketer', 'marketer');
SELECT cdp.grant_access('regress_cdp_nobody', 'king');
SELECT cdp.grant_access('no_such_role', 'ingest');

-- A sender sends, and reads nothing.
SET ROLE regress_cdp_sender;
SELECT cdp.identify(user_id => 'u1', traits => '{"country": "NL"}');
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "X"}');
INSERT INTO cdp.inbox (message) VALUES ('{"type": "track", "userId": "u1", "event": "Y"}');
SELECT * FROM cdp.profiles;
SELECT cdp.lookup('user_id', 'u1');
SELECT message FROM cdp.inbox;

-- An analyst reads, and sends nothing.
SET ROLE regress_cdp_analyst;
SELECT profile_id, traits FROM cdp.profiles;
SELECT event FROM cdp.events;
SELECT cdp.profile(cdp.lookup('user_id', 'u1')) -> 'traits' AS traits;
SELECT cdp.track('Z', user_id => 'u1');
SELECT cdp.create_segment('mine', 'count(*) > 0');
SELECT * FROM cdp.secrets;

-- A marketer makes segments; the rule runs as the marketer.
SET ROLE regress_cdp_marketer;
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT profile_id FROM cdp.members('dutch');
SELECT profile_id FROM cdp_segments.dutch;
SELECT cdp_internal.query_as_owner('postgres', 'UTC', '', 'ISO', 'postgres', 'SELECT 1');
RESET ROLE;
SELECT name, owner FROM cdp.segments;

-- From whom people are hidden can make no rule about everybody, nor keep one.
SELECT cdp.track('Order Completed', user_id => 'u1');
REVOKE SELECT ON cdp.event_records FROM regress_cdp_marketer;
SET ROLE regress_cdp_marketer;
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$);
RESET ROLE;
GRANT SELECT ON cdp.event_records TO regress_cdp_marketer;
ALTER TABLE cdp.profiles ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cdp_marketer;
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$);
RESET ROLE;
SELECT cdp.identify(user_id => 'u1', traits => '{"country": "BE"}');
SELECT s.name, e.profile_id IS NULL AS for_all, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id);
ALTER TABLE cdp.profiles DISABLE ROW LEVEL SECURITY;
SELECT cdp.refresh_segment('dutch');
SELECT count(*) AS errors FROM cdp.segment_errors;

-- Who may see some people only is told of these only, also by what judges as the owner of a segment.
ALTER TABLE cdp.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY germans ON cdp.profiles TO regress_cdp_analyst USING (traits ->> 'country' = 'DE');
SELECT cdp.identify(user_id => 'seen', traits => '{"country": "DE"}') AS seen, cdp.identify(user_id => 'hidden', traits => '{"country": "NL"}') AS hidden \gset
SELECT cdp.create_segment('known', $$traits ->> 'country' IS NOT NULL$$) > 0 AS created, cdp.create_computed_trait('land', $$traits ->> 'country'$$) > 0 AS trait;
SET ROLE regress_cdp_analyst;
SELECT count(*) FROM cdp.members('known', now(), as_known => 'now');
SELECT condition, "values" FROM cdp.why_member('known', :seen) WHERE condition <> 'until';
SELECT condition, "values" FROM cdp.why_member('known', :hidden);
SELECT value FROM cdp.why_computed_trait('land', :seen);
SELECT value FROM cdp.why_computed_trait('land', :hidden);
RESET ROLE;
SELECT cdp.drop_segment('known'), cdp.drop_computed_trait('land');
DROP POLICY germans ON cdp.profiles;
ALTER TABLE cdp.profiles DISABLE ROW LEVEL SECURITY;

-- Nobody may do nothing, but pure functions are everybody's.
SET ROLE regress_cdp_nobody;
SELECT cdp.identify(user_id => 'u1');
SELECT count(*) FROM cdp.events;
SELECT cdp.normalize_email('A@b.nl');
RESET ROLE;

SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_sender, regress_cdp_analyst, regress_cdp_marketer, regress_cdp_nobody;
