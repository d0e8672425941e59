-- A month of events is moved to a plain table, kept elsewhere, and brought back: meanwhile people are judged by what is left, and
-- afterwards all is as if it had never been away.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT accepted FROM cdp.ingest(jsonb_build_object('batch', (SELECT jsonb_agg(jsonb_build_object('type', 'track', 'messageId', 'm' || n, 'userId', 'u' || n % 4,
  'anonymousId', 'a' || n % 8, 'event', CASE WHEN n % 3 = 0 THEN 'Order Completed' ELSE 'Product Viewed' END, 'properties', jsonb_build_object('total', n),
  'timestamp', timestamptz '2025-01-10' + interval '1 day' * n * 3) ORDER BY n) FROM generate_series(1, 24) AS n)));
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 2$$) > 0 AS made;
SELECT cdp.create_segment('careful', $$count(*) FILTER (WHERE event = 'Product Viewed') >= 3 AND count(*) FILTER (WHERE event = 'Order Completed') < 2$$) > 0 AS made;
SELECT cdp.create_computed_trait('spent', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')$$) > 0 AS made;
CALL cdp.run();
CREATE VIEW stored AS
  SELECT p.profile_id, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events,
         EXISTS (SELECT FROM cdp.members('buyers') AS m WHERE m.profile_id = p.profile_id) AS buyer,
         EXISTS (SELECT FROM cdp.members('careful') AS m WHERE m.profile_id = p.profile_id) AS careful,
         (SELECT (v.value #>> '{}')::numeric FROM cdp.computed_trait_values AS v WHERE v.profile_id = p.profile_id AND v.trait = 'spent') AS spent, p.last_seen_at
  FROM cdp.profiles AS p;
CREATE VIEW expected AS
  SELECT p.profile_id, count(e.event_id) AS events, count(*) FILTER (WHERE e.event = 'Order Completed') >= 2 AS buyer,
         count(*) FILTER (WHERE e.event = 'Product Viewed') >= 3 AND count(*) FILTER (WHERE e.event = 'Order Completed') < 2 AS careful,
         sum((e.properties ->> 'total')::numeric) FILTER (WHERE e.event = 'Order Completed') AS spent, p.last_seen_at
  FROM cdp.profiles AS p LEFT JOIN cdp.events AS e USING (profile_id) GROUP BY p.profile_id;
TABLE expected EXCEPT TABLE stored;
CREATE TEMP TABLE before AS TABLE stored;
CREATE TEMP TABLE events_before AS TABLE cdp.event_records;
SELECT profile_id, events, buyer, careful, spent FROM before ORDER BY 1;

-- February goes. Its events are in an ordinary table then, of which nobody but its owner knows.
SELECT cdp.detach_events('2025-02-14');
SELECT state, total FROM cdp.detached_months;
SELECT task, done, total FROM cdp.progress;
CALL cdp.run();
SELECT month, state, archive, done, total FROM cdp.detached_months;
SELECT count(*), min(occurred_at), max(occurred_at) FROM cdp_months.detached_2025_02;
SELECT count(*) FROM cdp.events WHERE occurred_at >= '2025-02-01' AND occurred_at < '2025-03-01';
SELECT count(*) FROM cdp.event_months WHERE month = '2025-02-01';
SELECT profile_id, events, buyer, careful, spent FROM stored ORDER BY 1;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();
-- A message of it that comes again is known; one that is new is kept as any.
SELECT accepted, duplicate, quarantined FROM cdp.ingest((SELECT jsonb_build_object('type', 'track', 'messageId', e.message_id, 'userId', 'u' || n.n % 4, 'anonymousId', 'a' || n.n % 8,
  'event', e.event, 'properties', e.properties, 'timestamp', e.occurred_at) FROM events_before AS e, LATERAL (SELECT substr(e.message_id, 2)::integer AS n) AS n WHERE e.message_id = 'm8'));
SELECT accepted FROM cdp.ingest('{"type": "track", "messageId": "late", "userId": "u1", "event": "Order Completed", "properties": {"total": 100}, "timestamp": "2025-02-20T00:00:00Z"}');
SELECT cdp.detach_events('2025-02-01');

-- It is kept elsewhere: dumped, dropped, restored under another name. Meanwhile two people turn out to be one, and a message is withdrawn.
CREATE SCHEMA attic;
ALTER TABLE cdp_months.detached_2025_02 SET SCHEMA attic;
SELECT cdp.attach_events('2025-02-01');
SELECT cdp.allow_link('{"user_id": "u1"}', '{"user_id": "u2"}', 'the same person') IS NOT NULL AS merged;
SELECT cdp_internal.withdraw(ARRAY(SELECT event_id FROM attic.detached_2025_02 WHERE message_id = 'm9'), 'a test');
SELECT * FROM cdp.verify();
CREATE TABLE attic.other (event_id bigint);
SELECT cdp.attach_events('2025-02-01', 'attic.other');
SELECT cdp.attach_events('2025-03-01');
SELECT cdp.attach_events('2025-02-01', 'attic.detached_2025_02');
CALL cdp.run();
TABLE cdp.detached_months;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();
SELECT count(*) FROM cdp.removed_events;
SELECT message_id, reason FROM cdp.withdrawn_messages;
SELECT message_id, properties FROM cdp.withdrawn_events;
-- All events are there again, whole, but for the one.
SELECT message_id FROM (SELECT event_id, source_id, type, event, occurred_at, received_at, message_id, properties, context, extra FROM events_before
  EXCEPT SELECT event_id, source_id, type, event, occurred_at, received_at, message_id, properties, context, extra FROM cdp.event_records) AS missing;
DROP TABLE attic.detached_2025_02;

-- Without anything in between all is as it was, and the table is gone. Those that came since go along.
SELECT cdp.revoke_decision(decision_id, 'not the same after all') IS NOT NULL AS revoked FROM cdp.identity_decisions WHERE kind = 'allow_link';
CREATE TEMP TABLE now_there AS TABLE stored;
CREATE TEMP TABLE events_now AS TABLE cdp.event_records;
CREATE TEMP TABLE evidence_now AS TABLE cdp.evidence;
SELECT cdp.detach_events('2025-02-01');
SELECT cdp.detach_events('2025-03-01');
CALL cdp.run();
SELECT count(*) FROM cdp_months.detached_2025_02;
TABLE expected EXCEPT TABLE stored;
SELECT cdp.attach_events('2025-03-01'), cdp.attach_events('2025-02-01');
CALL cdp.run();
SELECT count(*) FROM (TABLE now_there EXCEPT TABLE stored) AS changed;
SELECT count(*) FROM (TABLE events_now EXCEPT TABLE cdp.event_records) AS changed;
SELECT count(*) FROM (TABLE evidence_now EXCEPT TABLE cdp.evidence) AS changed;
SELECT to_regclass('cdp_months.detached_2025_02') AS gone;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();

-- What is not in the archive any more is gone, as if retention had removed it.
SELECT cdp.detach_events('2025-02-01');
CALL cdp.run();
DELETE FROM cdp_months.detached_2025_02 WHERE message_id IN ('m10', 'm11');
SELECT cdp.attach_events('2025-02-01');
CALL cdp.run();
SELECT message_id, archive FROM cdp.removed_events ORDER BY 1;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();
-- Who takes the table away meanwhile has what is in it; the rest stays where it is.
SELECT cdp.detach_events('2025-02-01');
SET cdp.batch_size = 3;
SELECT cdp_internal.move_months();
ALTER TABLE cdp_months.detached_2025_02 SET SCHEMA attic;
CALL cdp.run();
SELECT state, done FROM cdp.detached_months;
SELECT count(*) FROM attic.detached_2025_02;
TABLE expected EXCEPT TABLE stored;
SELECT cdp.attach_events('2025-02-01', 'attic.detached_2025_02');
CALL cdp.run();
TABLE cdp.detached_months;
TABLE expected EXCEPT TABLE stored;
SELECT * FROM cdp.verify();
RESET cdp.batch_size;
-- This month is not over.
\set VERBOSITY sqlstate
SELECT cdp.detach_events(now());
SELECT cdp.detach_events('infinity');
SELECT cdp.detach_events(NULL);
SELECT cdp.attach_events(NULL);
\set VERBOSITY default
DROP VIEW stored, expected;
DROP SCHEMA attic CASCADE;
