-- collect: messages in Segment's spec, one by one, in batches, and in bulk.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

-- One by one, with named arguments; each returns the profile.
SELECT cdp.identify(user_id => 'u1', anonymous_id => 'a1', traits => '{"email": "Anna@Example.com", "city": "Utrecht"}');
SELECT cdp.track('Product Added', anonymous_id => 'a1', properties => '{"product_id": "p7", "price": 49.95}');
SELECT cdp.page('Home', anonymous_id => 'a1', properties => '{"path": "/"}');
SELECT cdp.screen('Basket', anonymous_id => 'a1');
SELECT cdp.group('acme', user_id => 'u1', traits => '{"plan": "gold"}');
SELECT cdp.alias('u0', 'u1');
SELECT profile_id, type, event, properties FROM cdp.events ORDER BY event_id;
SELECT type, group_id, traits FROM cdp.assertions ORDER BY decision_seq;

-- Two equal calls are two events; a repeated message_id changes nothing and finds the same person.
SELECT cdp.track('Ping', user_id => 'u1'), cdp.track('Ping', user_id => 'u1');
SELECT cdp.track('Pong', user_id => 'u1', message_id => 'm-1', "timestamp" => '2026-01-01 12:00Z'),
       cdp.track('Pong', user_id => 'u1', message_id => 'm-1', "timestamp" => '2026-01-01 12:00Z');
SELECT event, count(*) FROM cdp.events WHERE event IN ('Ping', 'Pong') GROUP BY event ORDER BY event;

-- A message that cannot be used is an error for the caller.
SELECT cdp.track('Nobody did this');
SELECT cdp.track(NULL, user_id => 'u1');
SELECT cdp.track('Pong', user_id => 'u2', message_id => 'm-1', "timestamp" => '2026-01-01 12:00Z');
SELECT cdp.identify(user_id => 'u1', traits => '[1, 2]');
SELECT cdp.identify(user_id => 'u1', identifiers => '"L-42"');
SELECT cdp.track('Too late', user_id => 'u1', "timestamp" => 'infinity');

-- A batch: what is bad goes to quarantine with the reason, the rest goes on.
SELECT * FROM cdp.ingest($${"batch": [
  {"type": "track", "messageId": "b-1", "userId": "u1", "event": "Order Completed", "timestamp": "2026-02-01T10:00:00Z"},
  {"type": "track", "messageId": "b-1", "userId": "u1", "event": "Order Completed", "timestamp": "2026-02-01T10:00:00Z"},
  {"type": "track", "messageId": "b-1", "userId": "u1", "event": "Something Else", "timestamp": "2026-02-01T10:00:00Z"},
  {"type": "trak", "messageId": "b-2", "userId": "u1", "event": "Typo"},
  {"type": "track", "messageId": "b-3", "userId": "u1", "event": "When?", "timestamp": "yesterday"},
  {"type": "track", "messageId": "b-4", "event": "Whose?"},
  {"type": "identify", "messageId": "b-5", "traits": {"email": "not an address"}},
  {"type": "identify", "messageId": "b-6", "userId": "u1", "traits": {"phone": "06-12345678"}}
], "sentAt": "2026-02-01T10:00:01Z"}$$, received_at => '2026-02-01 10:00:02Z');
SELECT message_id, code, reason, detail FROM cdp.quarantine ORDER BY quarantine_id;
-- An identifier that is left out of a message that was accepted is a row, too.
SELECT type, value, reason FROM cdp.refusals;

-- Mend and retry.
UPDATE cdp.quarantine SET message = replace(message, '"trak"', '"track"') WHERE message_id = 'b-2';
UPDATE cdp.quarantine SET resolved_at = now(), resolution = 'discarded' WHERE message_id = 'b-4';
SELECT * FROM cdp.retry_quarantined();
SELECT message_id, code, resolution FROM cdp.quarantine ORDER BY quarantine_id;
SELECT * FROM cdp.retry_quarantined(code => 'no_identifier');

-- Messages without an id: with a timestamp the content is the id, without one each is new.
SELECT * FROM cdp.ingest('[{"type": "track", "userId": "u7", "event": "X", "timestamp": "2026-03-01T00:00:00Z"},
                           {"userId": "u7", "type": "track", "event": "X", "timestamp": "2026-03-01T00:00:00.000Z", "sentAt": null},
                           {"type": "track", "userId": "u7", "event": "Y"}, {"type": "track", "userId": "u7", "event": "Y"}]');
-- Ids are scoped by source.
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "messageId": "s-1", "userId": "u7", "event": "X"}', source => 'web');
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "messageId": "s-1", "userId": "u7", "event": "X"}', source => 'app');

-- When it happened, by Segment's clock-skew rule.
SELECT accepted FROM cdp.ingest('[
  {"type": "track", "userId": "u8", "event": "device clock two hours fast", "originalTimestamp": "2026-03-01T14:00:00Z",
   "sentAt": "2026-03-01T14:00:05Z"},
  {"type": "track", "userId": "u8", "event": "corrected upstream", "timestamp": "2026-03-01T09:00:00Z",
   "originalTimestamp": "2026-03-01T11:00:00Z", "sentAt": "2026-03-01T11:00:01Z"},
  {"type": "track", "userId": "u8", "event": "no time at all"}]', received_at => '2026-03-01 12:00:05Z');
SELECT event, occurred_at FROM cdp.events WHERE event IN ('device clock two hours fast', 'corrected upstream', 'no time at all') ORDER BY event;

-- Bulk: newline-delimited JSON by COPY, as it is, with quotes and backslashes in it; CALL cdp.run() drains the inbox.
COPY cdp.inbox (message) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
{"type": "track", "messageId": "n-1", "userId": "u9", "event": "Said \"hi\"", "properties": {"path": "C:\\temp", "tab": "a\tb"}}
{"type": "track", "messageId": "n-2", "userId": "u9", "event": "broken"
{"type": "track", "messageId": "n-3", "userId": "u9", "event": "NUL \u0000"}
\.
CALL cdp.run();
SELECT event, properties FROM cdp.events WHERE profile_id = cdp.lookup('user_id', 'u9');
SELECT message_id, code, reason FROM cdp.quarantine WHERE quarantine_id > 5 ORDER BY quarantine_id;
SELECT count(*) AS waiting FROM cdp.inbox;

-- A receipt time is a fact: it cannot lie in the future.
INSERT INTO cdp.inbox (received_at, message) VALUES (now() + interval '1 day', '{"type": "track", "userId": "u9", "event": "Later"}');
CALL cdp.run();
SELECT code, reason FROM cdp.quarantine ORDER BY quarantine_id DESC LIMIT 1;

-- Writing needs READ COMMITTED.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT cdp.track('X', user_id => 'u1');
ROLLBACK;

SELECT * FROM cdp.verify();

-- An empty line and a byte order mark are nothing.
COPY cdp.inbox (message) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
﻿{"type": "track", "messageId": "bom-1", "userId": "u9", "event": "After a BOM"}

\.
CALL cdp.run();
SELECT count(*) FROM cdp.events WHERE event = 'After a BOM';
SELECT count(*) AS waiting FROM cdp.inbox;

-- A restore brings the lines before it sets the sequence: while all are beyond it, the worker leaves them alone.
BEGIN;
INSERT INTO cdp.inbox (inbox_id, message) OVERRIDING SYSTEM VALUE VALUES (1000000000, '{}');
SELECT cdp_internal.restore_is_running() AS of_a_line_beyond_all;
INSERT INTO cdp.inbox (message) VALUES ('{}');
SELECT cdp_internal.restore_is_running() AS beside_one_that_is_not;
DELETE FROM cdp.inbox WHERE inbox_id < 1000000000;
SELECT setval('cdp.inbox_inbox_id_seq', 1000000000) > 0 AS set;
SELECT cdp_internal.restore_is_running() AS when_the_sequence_is_set;
ROLLBACK;
SELECT setval('cdp.inbox_inbox_id_seq', (SELECT coalesce(max(inbox_id), 0) + 1000 FROM cdp.inbox)) > 0 AS set;
