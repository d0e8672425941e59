-- How long events are kept. What goes is a deletion: people are judged again by what is left; who they are, and what was said about
-- them, stays, and no message that came is ever taken twice.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- Messages of two sources, so many days ago.
CREATE FUNCTION send(source text, id text, who text, event text, days integer) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN i.accepted = 1 THEN 'accepted' WHEN i.duplicate = 1 THEN 'duplicate' ELSE 'quarantined' END
  FROM cdp.ingest(jsonb_build_object('type', 'track', 'messageId', id, 'userId', who, 'event', event, 'timestamp', now() - interval '1 day' * days,
    'context', jsonb_build_object('device', jsonb_build_object('id', 'd-' || who)), 'properties', jsonb_build_object('total', days)), source) AS i $$;
SELECT send('web', 'w' || n, CASE WHEN n % 2 = 0 THEN 'anna' ELSE 'bob' END, CASE WHEN n % 3 = 0 THEN 'Order Completed' ELSE 'Product Viewed' END, n * 30)
FROM generate_series(1, 12) AS n;
SELECT send('shop', 's' || n, 'anna', 'Order Completed', n * 60) FROM generate_series(1, 4) AS n;
SELECT send('web', 'old', 'cleo', 'Product Viewed', 500);
SELECT cdp.identify(user_id => 'cleo', traits => '{"city": "Delft"}') > 0 AS said;
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 3$$) > 0 AS made;
SELECT cdp.create_segment('viewers', $$count(*) FILTER (WHERE event = 'Product Viewed') > 0$$) > 0 AS made;
SELECT cdp.create_computed_trait('spent', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')$$) > 0 AS made;
CALL cdp.run();
-- Who they are, and who is in what, by plain SQL over what is there.
CREATE VIEW people AS SELECT p.profile_id, i.value AS who FROM cdp.profiles AS p JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id';
CREATE VIEW expected AS
  SELECT p.who, count(e.event_id) AS events, count(*) FILTER (WHERE e.event = 'Order Completed') >= 3 AS buyer, count(*) FILTER (WHERE e.event = 'Product Viewed') > 0 AS viewer,
         sum((e.properties ->> 'total')::numeric) FILTER (WHERE e.event = 'Order Completed') AS spent
  FROM people AS p LEFT JOIN cdp.events AS e USING (profile_id) GROUP BY p.who;
CREATE VIEW stored AS
  SELECT p.who, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events,
         EXISTS (SELECT FROM cdp.members('buyers') AS m WHERE m.profile_id = p.profile_id) AS buyer,
         EXISTS (SELECT FROM cdp.members('viewers') AS m WHERE m.profile_id = p.profile_id) AS viewer,
         (SELECT (v.value #>> '{}')::numeric FROM cdp.computed_trait_values AS v WHERE v.profile_id = p.profile_id AND v.trait = 'spent') AS spent
  FROM people AS p;
TABLE stored ORDER BY who;
TABLE expected EXCEPT TABLE stored;

-- Nothing goes without a rule. One for everything, one for a source, one for an event, and one for an event of a source: the closest holds.
CALL cdp.apply_retention();
SELECT cdp.set_retention(keep => '13 months');
SELECT cdp.set_retention('web', keep => '200 days');
SELECT cdp.set_retention('web', 'Order Completed', '300 days');
SELECT cdp.set_retention(event => 'Order Completed');
-- What will go, before anything does.
SELECT source, event, type, keep, events, due FROM cdp.retention ORDER BY source, event;
SELECT source, event, type, sum(events) AS events, sum(people) AS people FROM cdp.retention_due GROUP BY 1, 2, 3 ORDER BY 1, 2;
CREATE TEMP TABLE known AS SELECT profile_id, identifier_id, type, value FROM cdp.identifiers;
CREATE TEMP TABLE links AS SELECT * FROM cdp.links;
CREATE TEMP TABLE seen AS SELECT profile_id, last_seen_at, traits - 'spent' AS traits FROM cdp.profiles;
CALL cdp.apply_retention();
SELECT source, event, keep, events, due FROM cdp.retention ORDER BY source, event;
TABLE cdp.retention_due;
TABLE stored ORDER BY who;
TABLE expected EXCEPT TABLE stored;
SELECT message_id, type, archive FROM cdp.removed_events ORDER BY message_id COLLATE "C";
-- Who is who, and what was said, stays.
SELECT count(*) FROM (TABLE known EXCEPT SELECT profile_id, identifier_id, type, value FROM cdp.identifiers) AS gone;
SELECT count(*) FROM (TABLE links EXCEPT TABLE cdp.links) AS gone;
SELECT count(*) FROM (TABLE seen EXCEPT SELECT profile_id, last_seen_at, traits - 'spent' FROM cdp.profiles) AS changed;
-- Months without events have no table any more.
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE month < now() - interval '14 months') AS old FROM cdp.event_months WHERE month IS NOT NULL;
SELECT cdp.make_months();
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE month < now() - interval '14 months') AS old FROM cdp.event_months WHERE month IS NOT NULL;
SELECT * FROM cdp.verify();

-- A message that comes again is not taken again, and what is too old on arrival goes with the next pass.
SELECT send('web', 'old', 'cleo', 'Product Viewed', 500);
SELECT send('web', 'late', 'cleo', 'Product Viewed', 400);
SELECT count(*) FROM cdp.members('viewers') AS m JOIN people USING (profile_id) WHERE who = 'cleo';
CALL cdp.apply_retention();
SELECT count(*) FROM cdp.members('viewers') AS m JOIN people USING (profile_id) WHERE who = 'cleo';
SELECT (SELECT count(*) FROM cdp.events WHERE message_id IN ('old', 'late')) AS there, (SELECT count(*) FROM cdp.removed_events WHERE message_id IN ('old', 'late')) AS removed;

-- History as it was known is what was stored then; as it is known now it is what can still be found.
SELECT count(*) > 0 AS were_in FROM cdp.membership_history WHERE left_at IS NOT NULL;

-- A merge, and a split, take along what stays of removed events.
SELECT cdp.allow_link('{"user_id": "anna"}', '{"user_id": "bob"}', 'the same person') IS NOT NULL AS merged;
SELECT * FROM cdp.verify();
SELECT cdp.remove_link('{"user_id": "anna"}', '{"user_id": "bob"}', 'not the same') IS NOT NULL AS split;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();
-- Who is taken out of a link owns what stays of his own events, and of no other's.
SELECT p.who, count(*) FROM cdp.removed_events AS g JOIN cdp.identifiers AS i USING (identifier_id) JOIN people AS p USING (profile_id) GROUP BY 1 ORDER BY 1;

-- An import whose events were removed is undone as any other.
SELECT cdp.begin_import('crm', 'old orders') AS import \gset
SELECT accepted FROM cdp.ingest(jsonb_build_object('batch', (SELECT jsonb_agg(jsonb_build_object('type', 'track', 'messageId', 'c' || n, 'userId', 'dora', 'anonymousId', 'x' || n,
  'event', 'Order Completed', 'timestamp', now() - interval '1 day' * n * 100)) FROM generate_series(1, 6) AS n)), 'crm', import => 'old orders');
SELECT cdp.set_retention('crm', keep => '350 days');
CALL cdp.apply_retention();
SELECT (SELECT count(*) FROM cdp.events WHERE source = 'crm') AS events, (SELECT count(*) FROM cdp.removed_events AS g JOIN cdp.sources USING (source_id) WHERE source = 'crm') AS removed;
SELECT count(*) FROM cdp.identifiers WHERE profile_id = cdp.lookup('user_id', 'dora');
SELECT * FROM cdp.verify();
SELECT cdp.undo_import(:import);
CALL cdp.run();
SELECT state, undone FROM cdp.imports;
SELECT (SELECT count(*) FROM cdp.events WHERE source = 'crm') AS events, (SELECT count(*) FROM cdp.removed_events AS g JOIN cdp.sources USING (source_id) WHERE source = 'crm') AS removed;
SELECT cdp.lookup('user_id', 'dora');
SELECT count(*) AS left_of_withdrawn FROM cdp.withdrawn_events WHERE message_id LIKE 'c%';
SELECT * FROM cdp.verify();

-- A rule is taken back; what was removed is gone.
SELECT cdp.drop_retention('web', 'Order Completed');
SELECT cdp.drop_retention('web', 'Order Completed');
SELECT source, event, keep, due FROM cdp.retention ORDER BY source, event;

-- Admins set rules, analysts see them.
CREATE ROLE regress_cdp_keeper;
CREATE ROLE regress_cdp_reader;
SELECT cdp.grant_access('regress_cdp_keeper', 'admin');
SELECT cdp.grant_access('regress_cdp_reader', 'analyst');
SET ROLE regress_cdp_keeper;
SELECT cdp.set_retention(type => 'page', keep => '1 day');
CALL cdp.apply_retention();
SELECT cdp.detach_events('2020-01-01');
CALL cdp.run();
SELECT cdp.attach_events('2020-01-01');
CALL cdp.run();
SET ROLE regress_cdp_reader;
SELECT count(*) AS rules, sum(due) AS due FROM cdp.retention;
SELECT count(*) FROM cdp.retention_due;
SELECT count(*) > 0 AS removed FROM cdp.removed_events;
SELECT cdp.set_retention(keep => '1 day');
RESET ROLE;
DROP OWNED BY regress_cdp_keeper, regress_cdp_reader;
DROP ROLE regress_cdp_keeper, regress_cdp_reader;

-- Whether it happens is in cdp.health().
SELECT status, regexp_replace(value, 'applied 2.*', 'applied …') AS value FROM cdp.health() WHERE check_name = 'retention';
UPDATE cdp.retention_rules SET set_at = now() - interval '3 hours';
UPDATE cdp_internal.retention_passes SET kept_as_of = now() - interval '3 hours', updated_at = now() - interval '3 hours';
SELECT status, advice FROM cdp.health() WHERE check_name = 'retention';
CALL cdp.apply_retention();
SELECT status FROM cdp.health() WHERE check_name = 'retention';
BEGIN;
DELETE FROM cdp.retention_rules;
SELECT status, value FROM cdp.health() WHERE check_name = 'retention';
ROLLBACK;

-- What cannot be.
SELECT cdp.set_retention('wbe', keep => '1 day');
SELECT cdp.set_retention('web', keep => '-1 day');
SELECT cdp.set_retention('web', type => 'identify', keep => '1 day');
SELECT cdp.set_retention('', keep => '1 day');
DROP VIEW stored, expected, people;
DROP FUNCTION send;
