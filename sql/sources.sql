-- sources: what is known of where messages come from, before they come.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

-- A name that is new is registered by its first message; or it is created, with what is known of it.
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u0", "event": "Seen"}', source => 'web');
SELECT cdp.create_source('till', party => 'first', kind => 'till', brand => 'Bakery', owner => 'shops@example.com',
                         region => 'nl', time_zone => 'Europe/Amsterdam') IS NOT NULL AS created;
SELECT source, party, kind, brand, owner, region, time_zone, is_enabled, may_link FROM cdp.sources ORDER BY source_id;

-- What cannot be is named.
SELECT cdp.create_source('till');
SELECT cdp.create_source('');
SELECT cdp.create_source('x', party => 'fourth');
SELECT cdp.create_source('x', region => 'Netherlands');
SELECT cdp.create_source('x', region => 'UK');
SELECT cdp.create_source('x', time_zone => 'Mars/Olympus');
SELECT cdp.create_source('x', drops => '{traits..a}');
SELECT cdp.create_source('x', drops => '{messageId}');
SELECT cdp.create_source('x', hashes => '{*.email}');
SELECT cdp.alter_source('nowhere', kind => 'app');

-- Its region is that of national phone numbers, its time zone that of times that name none, summer and winter; a message
-- that says so itself is right.
SELECT accepted FROM cdp.ingest('[
  {"type": "identify", "messageId": "t-1", "userId": "u1", "traits": {"phone": "06-12345678"}},
  {"type": "identify", "messageId": "t-2", "userId": "u2", "traits": {"phone": "030-1234567", "country": "DE"}},
  {"type": "track", "messageId": "t-3", "userId": "u1", "event": "winter", "timestamp": "2026-01-15T12:00:00"},
  {"type": "track", "messageId": "t-4", "userId": "u1", "event": "summer", "timestamp": "2026-07-15 12:00"},
  {"type": "track", "messageId": "t-5", "userId": "u1", "event": "date", "timestamp": "2026-07-15"},
  {"type": "track", "messageId": "t-6", "userId": "u1", "event": "zone", "timestamp": "2026-07-15T12:00:00Z"},
  {"type": "track", "messageId": "t-7", "userId": "u1", "event": "skew", "originalTimestamp": "2026-07-15T12:00:00", "sentAt": "2026-07-15T10:00:05Z"}
]', source => 'till', received_at => '2026-07-16 08:00:05Z');
SELECT type, value FROM cdp.identifiers WHERE type = 'phone' ORDER BY value;
SELECT event, occurred_at FROM cdp.events WHERE source = 'till' ORDER BY event;
-- The same message is the same, whatever its source's time zone is by now.
SELECT cdp.alter_source('till', time_zone => 'America/New_York');
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "messageId": "t-3", "userId": "u1", "event": "winter", "timestamp": "2026-01-15T12:00:00"}', source => 'till');
-- The hour that clocks skip is read as PostgreSQL reads it.
SELECT accepted FROM cdp.ingest('{"type": "track", "messageId": "t-8", "userId": "u1", "event": "skipped", "timestamp": "2026-03-08T02:30:00"}', source => 'till');
SELECT occurred_at, occurred_at = '2026-03-08 02:30'::timestamp AT TIME ZONE 'America/New_York' AS as_postgresql FROM cdp.events WHERE event = 'skipped';
SELECT accepted, quarantined FROM cdp.ingest('{"type": "track", "messageId": "t-9", "userId": "u1", "event": "X", "timestamp": "9999-12-31T23:00:00"}', source => 'till');
SELECT code, reason FROM cdp.quarantine WHERE message_id = 't-9';
SELECT cdp.alter_source('till', time_zone => '', owner => '');
SELECT time_zone, owner, region FROM cdp.sources WHERE source = 'till';

-- A source that is disabled loses nothing: its messages wait in quarantine.
SELECT cdp.disable_source('till');
SELECT * FROM cdp.ingest('{"type": "track", "messageId": "d-1", "userId": "u1", "event": "Paid"}', source => 'till');
SELECT cdp.track('Paid', user_id => 'u1', source => 'till');
INSERT INTO cdp.inbox (source, message) VALUES ('till', '{"type": "track", "messageId": "d-2", "userId": "u1", "event": "Paid"}');
CALL cdp.run();
SELECT message_id, code, reason, detail FROM cdp.quarantine WHERE code = 'source_disabled' ORDER BY 1;
SELECT cdp.enable_source('till');
SELECT * FROM cdp.retry_quarantined(code => 'source_disabled');
SELECT count(*) FROM cdp.events WHERE event = 'Paid';
SELECT cdp.disable_source('nowhere');

-- Where sources must be known, others wait, too.
SET cdp.register_sources = off;
SELECT * FROM cdp.ingest('{"type": "track", "messageId": "k-1", "userId": "u1", "event": "Who?"}', source => 'who');
SELECT code, reason, detail FROM cdp.quarantine WHERE message_id = 'k-1';
SELECT count(*) FROM cdp.sources WHERE source = 'who';
SELECT cdp.create_source('who') IS NOT NULL AS created;
SELECT * FROM cdp.retry_quarantined(code => 'unknown_source');
RESET cdp.register_sources;

-- Write keys: for doors that take messages of many. A key is shown once, its hash is kept.
SELECT cdp.create_write_key('web') AS key \gset
SELECT :'key' ~ '^cdp_[0-9a-f]{64}$' AS is_random, (SELECT count(*) FROM cdp_internal.write_keys WHERE key_hash = sha256(convert_to(:'key', 'UTF8'))) AS kept;
SELECT accepted FROM cdp.ingest('{"type": "track", "messageId": "w-1", "userId": "u1", "event": "By key"}', write_key => :'key');
SELECT accepted FROM cdp.ingest('{"type": "track", "messageId": "w-2", "userId": "u1", "event": "By key"}', source => 'web', write_key => :'key');
SELECT source, count(*) FROM cdp.events WHERE event = 'By key' GROUP BY source;
DO $$ BEGIN PERFORM cdp.ingest('{"type": "track", "userId": "u1", "event": "X"}', write_key => 'not a key of anybody');
EXCEPTION WHEN invalid_authorization_specification THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$;
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "X"}', source => 'till', write_key => :'key');
-- One that is in use already comes along; each source may have several, each key has one source.
SELECT cdp.create_source('app', write_key => 'a key that others gave us') IS NOT NULL AS created;
SELECT accepted FROM cdp.ingest('{"type": "track", "messageId": "w-3", "userId": "u1", "event": "From the app"}', write_key => 'a key that others gave us');
SELECT cdp.create_source('app2', write_key => 'a key that others gave us');
SELECT cdp.create_source('app2', write_key => 'short');
SELECT source, count(*) FROM cdp.write_keys GROUP BY source ORDER BY source;
SELECT cdp.drop_write_key((SELECT write_key_id FROM cdp.write_keys WHERE source = 'web'));
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "X"}', write_key => :'key');
SELECT cdp.drop_write_key(-1);

-- What is bought may say things about people, and never joins them: the strongest identifier of a message counts, the
-- others are refusals, and it is the same after everything is folded anew.
SELECT cdp.create_source('bought', party => 'third', may_link => false) IS NOT NULL AS created;
SELECT cdp.identify(user_id => 'ida', traits => '{"email": "ida@example.com"}') AS ida \gset
SELECT cdp.identify(user_id => 'ole', traits => '{"email": "ole@example.com"}') AS ole \gset
SELECT cdp.identify(user_id => 'ida', traits => '{"email": "ole@example.com", "income": "high"}', message_id => 'third-1', source => 'bought') = :ida AS is_ida;
SELECT cdp.identify(traits => '{"email": "new@example.com"}', identifiers => '{"loyalty_id": "L-1"}', source => 'bought') AS new \gset
SELECT cdp.lookup('email', 'new@example.com') = :new AS somebody_new;
SELECT cdp.lookup('user_id', 'ida') <> cdp.lookup('email', 'ole@example.com') AS two_people, cdp.lookup('loyalty_id', 'L-1') IS NULL AS not_linked;
SELECT type, value, rule, reason FROM cdp.refusals WHERE rule = 'source' ORDER BY refusal_id;
SELECT one, other, rule, reason, source, message_id FROM cdp.why_same('{"user_id": "ida"}', '{"email": "ole@example.com"}');
CALL cdp.rebuild();
SELECT cdp.lookup('user_id', 'ida') = :ida AND cdp.lookup('email', 'ole@example.com') = :ole AS as_before;
SELECT * FROM cdp.verify();
-- Whoever is allowed to may link them afterwards.
SELECT cdp.alter_source('bought', may_link => true);
SELECT cdp.identify(identifiers => '{"loyalty_id": "L-1", "email": "new@example.com"}', source => 'bought') AS new \gset
SELECT cdp.lookup('loyalty_id', 'L-1') = :new AS linked;
SELECT * FROM cdp.verify();

-- What came from each, and when last; kept without any row that two writers would wait for.
SELECT source, is_enabled, accepted, duplicates, quarantined, suppressed, last_seen_at IS NOT NULL AS seen, last_error_at IS NOT NULL AS erred
FROM cdp.source_activity ORDER BY source;
SELECT cdp_internal.fold_source_counts(0) > 0 AS folded;
SELECT count(*) AS still_there FROM cdp_internal.source_counts;
SELECT source, accepted, duplicates, quarantined FROM cdp.source_activity ORDER BY source;
SELECT source, accepted, duplicates, quarantined FROM cdp.source_days WHERE source = 'till';
SELECT accepted FROM cdp.ingest('[{"type": "track", "messageId": "w-1", "userId": "u1", "event": "Again"}, {"type": "trak"}, {"type": "track", "userId": "u1", "event": "More"}]', source => 'till');
SELECT cdp_internal.fold_source_counts(0) AS folded;
SELECT source, accepted, duplicates, quarantined FROM cdp.source_activity WHERE source = 'till';
