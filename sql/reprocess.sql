-- A source whose messages are kept is processed again as it is set up now.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed' AND (properties ->> 'total')::numeric > 5) >= 1$$) > 0 AS created;
SELECT cdp.create_source('till', region => 'DE', keep_messages => true) > 0 AS created;
SELECT cdp.create_source('web') > 0 AS created;

-- The till stands in the Netherlands, which nobody said; one of its messages has no id, one came as a batch with a context for all.
SELECT cdp.ingest('{"type": "identify", "messageId": "w1", "userId": "anna", "traits": {"phone": "+31201234567", "city": "Delft"}}', 'web', '2026-03-01 10:00Z');
SELECT cdp.ingest('{"type": "identify", "messageId": "1", "traits": {"phone": "020 1234567", "city": "Rome"}}', 'till', '2026-03-01 11:00Z');
SELECT cdp.ingest('{"batch": [{"type": "track", "event": "Order Completed", "anonymousId": "t-1", "timestamp": "2026-03-01T09:30:00", "properties": {"total": 10, "card": "4111"}}], "context": {"traits": {"phone": "020 1234567"}}}', 'till', '2026-03-01 12:00Z');
SELECT cdp.ingest('{"type": "track", "event": "Order Completed", "messageId": "3", "userId": "t-2", "properties": {"total": "ten"}}', 'till', '2026-03-01 13:00Z');
SELECT p.profile_id, p.traits, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events FROM cdp.profiles AS p ORDER BY 1;
SELECT message_id LIKE 'content-%' AS was_given_one, received_at, message FROM cdp.kept_messages ORDER BY decision_seq;
CREATE TEMP TABLE given AS SELECT message_id FROM cdp.kept_messages;

-- Set right, and said of what came before, too.
SELECT cdp.alter_source('till', region => 'NL', time_zone => 'Europe/Amsterdam', drops => '{properties.card}');
SELECT cdp.create_tracking_plan('till', '{"events": {"Order Completed": {"properties": {"total": {"type": "number"}}}}}', mode => 'quarantine') IS NOT NULL AS created;
SELECT cdp.reprocess_source('till');
SELECT source, state, done, refused, total FROM cdp.reprocessings;
SELECT task, done, total FROM cdp.progress;
CALL cdp.run();
SELECT source, state, done, refused, total FROM cdp.reprocessings;
SELECT p.profile_id, p.traits, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events FROM cdp.profiles AS p ORDER BY 1;
SELECT event, occurred_at, received_at, properties FROM cdp.events ORDER BY event_id;
SELECT s.segment, p.traits ->> 'city' AS city FROM cdp.segment_members AS s JOIN cdp.profiles AS p USING (profile_id);
SELECT code, message_id, received_at FROM cdp.quarantine;
SELECT source, accepted, quarantined FROM cdp.source_activity ORDER BY source;
SELECT * FROM cdp.verify();

-- A repeat is still one, whether it had an id or was given one; other content under an id is still a conflict.
SELECT count(*) AS of_old FROM cdp.kept_messages AS k JOIN given AS g USING (message_id);
SELECT cdp.ingest('{"type": "identify", "messageId": "1", "traits": {"phone": "020 1234567", "city": "Rome"}}', 'till');
SELECT cdp.ingest('{"type": "identify", "messageId": "1", "traits": {"phone": "020 1234567", "city": "Oslo"}}', 'till');
-- What was refused may come again, corrected.
SELECT * FROM cdp.fix_quarantined($$jsonb_set(message, '{properties,total}', '12')$$, code => 'plan_violation');
SELECT * FROM cdp.verify();

-- Again, with nothing changed: nothing changes.
CREATE TEMP TABLE before AS SELECT profile_id, traits FROM cdp.profiles;
SELECT cdp.reprocess_source('till');
SET cdp.batch_size = 1;
CALL cdp.run();
RESET cdp.batch_size;
SELECT source, state, done, refused, total FROM cdp.reprocessings ORDER BY began_at;
SELECT count(*) AS differ FROM ((TABLE before EXCEPT SELECT profile_id, traits FROM cdp.profiles) UNION ALL (SELECT profile_id, traits FROM cdp.profiles EXCEPT TABLE before)) AS d;
SELECT * FROM cdp.verify();

-- Only what was received in a time; and no further than one likes.
SELECT cdp.reprocess_source('till', received_from => '2026-03-01 12:00Z', received_until => '2026-03-01 13:00Z');
SELECT cdp.stop_reprocessing('till');
SELECT state, done, total FROM cdp.reprocessings ORDER BY reprocessing_id DESC LIMIT 1;

-- A message of an import stays one of it: what it said goes when the import is undone, and so does what was kept of it.
SELECT cdp.begin_import('till', 'February') AS import \gset
SELECT cdp.ingest('{"type": "identify", "messageId": "9", "userId": "t-9", "traits": {"city": "Gent"}}', 'till', import => 'February');
SELECT cdp.end_import(:import);
SELECT cdp.reprocess_source('till');
CALL cdp.run();
SELECT name, state, accepted FROM cdp.imports;
SELECT cdp.undo_import(:import);
CALL cdp.run();
SELECT count(*) AS people_from_gent FROM cdp.profiles WHERE traits ->> 'city' = 'Gent';
SELECT count(*) AS kept FROM cdp.kept_messages WHERE message_id = '9';
SELECT * FROM cdp.verify();

-- What retention removes is not kept either.
SELECT cdp.set_retention('till', keep => '1 day');
CALL cdp.apply_retention();
SELECT k.message ->> 'type' AS type, count(*) FROM (SELECT cdp_internal.as_jsonb(message) AS message FROM cdp.kept_messages) AS k GROUP BY 1 ORDER BY 1;
SELECT cdp.drop_retention('till');

-- A person who is suppressed meanwhile is not said anything about.
SELECT cdp.suppress('phone', '+31 20 1234567', 'asked for it') IS NOT NULL AS suppressed;
SELECT cdp.reprocess_source('till');
CALL cdp.run();
SELECT state, done, refused, total FROM cdp.reprocessings ORDER BY reprocessing_id DESC LIMIT 1;
SELECT count(*) AS said FROM cdp.assertions AS a JOIN cdp.sources AS s USING (source_id) WHERE s.source = 'till';
SELECT * FROM cdp.verify();

-- What was hashed is not hashed again, and a repeat is known by what came.
SELECT cdp.create_source('shop', hashes => '{traits.ssn}', keep_messages => true) > 0 AS created;
SELECT cdp.ingest('{"type": "identify", "messageId": "s1", "userId": "eve", "traits": {"ssn": "123", "city": "Gent", "birthday": "2000-01-01"}}', 'shop');
CREATE TEMP TABLE said AS SELECT traits FROM cdp.assertions WHERE message_id = 's1';
SELECT cdp.alter_source('shop', drops => '{traits.birthday}');
SELECT cdp.reprocess_source('shop');
CALL cdp.run();
SELECT a.traits - 'ssn' AS traits, a.traits -> 'ssn' = s.traits -> 'ssn' AS same_hash FROM cdp.assertions AS a, said AS s WHERE a.message_id = 's1';
SELECT k.message::jsonb #> '{traits}' = a.traits AS kept_as_stored, k.hashed FROM cdp.kept_messages AS k JOIN cdp.assertions AS a USING (decision_seq) WHERE a.message_id = 's1';
SELECT cdp.ingest('{"type": "identify", "messageId": "s1", "userId": "eve", "traits": {"ssn": "123", "city": "Gent", "birthday": "2000-01-01"}}', 'shop');
SELECT * FROM cdp.verify();

-- What cannot be.
SELECT cdp.reprocess_source('nobody');
SELECT cdp.reprocess_source('web');
SELECT cdp.ingest('{"type": "identify", "messageId": "10", "userId": "t-3", "traits": {"city": "Gent"}}', 'till');
SELECT cdp.disable_source('till');
SELECT cdp.reprocess_source('till');
SELECT cdp.enable_source('till');
SELECT cdp.reprocess_source('till');
SELECT cdp.reprocess_source('till');
CALL cdp.run();
SELECT cdp.stop_reprocessing('till');

-- Kept for as long as one likes.
SELECT cdp.drop_kept_messages('till', received_before => '2020-01-01');
SELECT cdp.drop_kept_messages('till');
SELECT cdp.alter_source('till', keep_messages => false);
SELECT cdp.ingest('{"type": "identify", "messageId": "11", "userId": "t-3", "traits": {"city": "Gent"}}', 'till');
SELECT count(*) AS kept FROM cdp.kept_messages;
