-- Events are kept by the month in which they occurred: a table each, made ahead by the worker or CALL cdp.run(), and after the first message of it came.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- One batch, of messages that are late and in no order: months are those of UTC.
SELECT cdp.ingest('{"batch": [
  {"type": "track", "messageId": "1", "event": "Seen", "userId": "anna", "timestamp": "2025-03-15T12:00:00Z"},
  {"type": "track", "messageId": "2", "event": "Seen", "userId": "anna", "timestamp": "2024-12-31T23:30:00-01:00"},
  {"type": "page", "messageId": "3", "name": "Home", "userId": "bob", "timestamp": "2024-12-31T23:59:59.999999Z"},
  {"type": "identify", "messageId": "4", "userId": "bob", "timestamp": "2011-01-01T00:00:00Z", "traits": {"city": "Delft"}}]}');
-- Nobody waits for a table: until it is made, its events are kept with those of other such months.
CREATE VIEW months AS SELECT month, "table" FROM cdp.event_months WHERE coalesce(month < date_trunc('month', now(), 'UTC'), true);
TABLE months ORDER BY 1;
SELECT count(*) FROM cdp.events;
CALL cdp.run();
TABLE months ORDER BY 1;
SELECT tableoid::regclass AS "table", message_id, occurred_at FROM cdp.event_records ORDER BY event_id;

-- What was kept before is found by an id of its message, whatever its month; a month that is there is used.
SELECT cdp.ingest('{"type": "track", "messageId": "1", "event": "Seen", "userId": "anna", "timestamp": "2025-03-15T12:00:00Z"}');
SELECT cdp.ingest('{"type": "track", "messageId": "5", "event": "Seen", "userId": "anna", "timestamp": "2025-03-01T00:00:00Z"}');
SELECT tableoid::regclass AS "table", message_id FROM cdp.event_records WHERE message_id = '5';

-- This month and the next are made ahead.
SELECT count(*) FROM cdp.event_months WHERE month IN (date_trunc('month', now()), date_trunc('month', now() + interval '1 month'));

-- A rule sees them all.
SELECT cdp.create_segment('seen_twice', $$count(*) FILTER (WHERE event = 'Seen') >= 2$$) > 0 AS created;
CALL cdp.run();
SELECT count(*) FROM cdp.members('seen_twice');
SELECT * FROM cdp.verify();

-- Times that cannot be, seen from the receipt, are put aside; both bounds are settings.
SELECT cdp.ingest('{"batch": [
  {"type": "track", "messageId": "6", "event": "Seen", "userId": "anna", "timestamp": "1970-01-01T00:00:00Z"},
  {"type": "identify", "messageId": "7", "userId": "anna", "timestamp": "4711-01-01T00:00:00Z", "traits": {"city": "Rome"}}]}');
SELECT message_id, code, reason, detail FROM cdp.quarantine ORDER BY 1;
SET cdp.max_event_age = 36525;
SELECT * FROM cdp.retry_quarantined();
RESET cdp.max_event_age;
-- The same by hand, at once and however many events wait.
SELECT cdp.make_months();
SELECT cdp.make_months();
TABLE months ORDER BY month LIMIT 1;
SELECT cdp.make_months('-1 s');
SET cdp.max_event_lead = 0;
SELECT cdp.ingest(jsonb_build_object('type', 'track', 'messageId', '8', 'event', 'Seen', 'userId', 'anna', 'timestamp', now() + interval '1 minute'));
RESET cdp.max_event_lead;
SELECT * FROM cdp.verify();

-- Events can be changed and taken out whatever table they are in; nothing else is different.
SELECT cdp_internal.withdraw(ARRAY(SELECT event_id FROM cdp.event_records WHERE message_id IN ('2', '3')), 'a test');
SELECT tableoid::regclass AS "table", message_id FROM cdp.event_records ORDER BY event_id;
SELECT * FROM cdp.verify();

-- A batch goes to all its months at once, and what somebody hangs on one of them is obeyed.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'message % is kept in %', NEW.message_id, TG_TABLE_NAME; RETURN NEW; END $$;
CREATE FUNCTION send(messages text[], times text[]) RETURNS bigint LANGUAGE sql AS $$
  SELECT (cdp.ingest(jsonb_build_object('batch', (SELECT jsonb_agg(jsonb_build_object('type', 'track', 'messageId', m.id, 'event', 'Seen', 'userId', 'cleo', 'timestamp', m.at))
    FROM unnest(messages, times) AS m (id, at))))).accepted $$;
SELECT send('{10,11,12,13}', '{2025-03-16,2012-07-01,2024-12-30,2025-03-01}');
SELECT tableoid::regclass AS "table", message_id FROM cdp.event_records WHERE message_id BETWEEN '10' AND '13' ORDER BY event_id;
CREATE TRIGGER note BEFORE INSERT ON cdp_months.events_2025_03 FOR EACH ROW EXECUTE FUNCTION note();
SELECT send('{14,15,16}', '{2025-03-31T23:59:59.999999Z,2012-07-02,2024-12-31T23:59:59Z}');
DROP TRIGGER note ON cdp_months.events_2025_03;
ALTER TABLE cdp_months.events_2024_12 ADD CONSTRAINT closed CHECK (message_id <> '18');
\set VERBOSITY terse
SELECT send('{17,18}', '{2025-03-02,2024-12-01}');
\set VERBOSITY default
ALTER TABLE cdp_months.events_2024_12 DROP CONSTRAINT closed;
SELECT send('{17,18}', '{2025-03-02,2024-12-01}');
SELECT tableoid::regclass AS "table", message_id FROM cdp.event_records WHERE message_id BETWEEN '14' AND '18' ORDER BY event_id;
DROP FUNCTION send, note;
SELECT cdp.make_months();
SELECT * FROM cdp.verify();

-- Where a name is taken, events stay where they are, and all goes on.
CREATE TABLE cdp_months.events_2013_05 (mine text);
SELECT cdp.ingest('{"type": "track", "messageId": "9", "event": "Seen", "userId": "anna", "timestamp": "2013-05-15T12:00:00Z"}');
SELECT cdp.make_months();
SELECT tableoid::regclass AS "table", message_id FROM cdp.event_records WHERE message_id = '9';
SELECT status, value FROM cdp.health() WHERE check_name = 'months of events';
DROP TABLE cdp_months.events_2013_05;
SELECT cdp.make_months();
SELECT status, value FROM cdp.health() WHERE check_name = 'months of events';

-- Where many lines wait, a sample of them tells which months are coming: their tables are there before their events, which so need not
-- be moved.
COPY cdp.inbox (message) FROM PROGRAM $$seq 5000 | awk '{ printf "{\"type\": \"track\", \"messageId\": \"ahead %d\", \"event\": \"Seen\", \"userId\": \"anna\", \"timestamp\": \"2022-%02d-02T00:00:00Z\", \"properties\": {\"note\": \"%0500d\"}}\n", $1, 1 + ($1 - 1) / 1000, 0 }'$$;
SET cdp.batch_size = 1000;
CALL cdp.run(1);
SELECT count(*) FROM cdp.inbox;
SELECT month, (SELECT count(*) FROM cdp.events AS e WHERE date_trunc('month', e.occurred_at) = m.month) AS events FROM months AS m WHERE month BETWEEN '2022-01-01' AND '2022-12-01' ORDER BY 1;
RESET cdp.batch_size;
CALL cdp.run();
-- One for which nothing came after all goes again after an hour.
SELECT cdp_internal.make_missing_months(1000, 0, '{2021-01-01}');
UPDATE cdp_internal.empty_months SET not_before = now();
SELECT count(*) FROM months WHERE month = '2021-01-01';
SELECT cdp.make_months();
SELECT count(*) FROM months WHERE month = '2021-01-01';
SELECT month, (SELECT count(*) FROM cdp.events AS e WHERE date_trunc('month', e.occurred_at) = m.month) AS events FROM months AS m WHERE month BETWEEN '2022-01-01' AND '2022-12-01' ORDER BY 1;
SELECT * FROM cdp.verify();

-- The tables go with the extension.
SET client_min_messages = warning;
DROP VIEW months;
DROP EXTENSION cdp CASCADE;
SELECT count(*) FROM pg_class WHERE relname ~ '^events_\d{4}';
