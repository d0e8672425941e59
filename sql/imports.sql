-- Imports: loaded together, taken back together. And quarantine: looked at by reason, corrected by an expression.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 2$$) > 0 AS created;
SELECT cdp.identify(user_id => 'anna', traits => '{"city": "Delft"}');
SELECT cdp.track('Order Completed', user_id => 'anna', properties => '{"total": 10}');

-- What is said with the name of an import belongs to it.
SELECT cdp.begin_import('crm', 'January');
COPY cdp.inbox (source, import, message) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
crmJanuary{"type": "identify", "messageId": "1", "userId": "anna", "traits": {"email": "anna@example.com", "city": "Rome"}}
crmJanuary{"type": "track", "messageId": "2", "event": "Order Completed", "context": {"traits": {"email": "anna@example.com"}}, "properties": {"total": 20}}
crmJanuary{"type": "identify", "messageId": "3", "userId": "bob", "traits": {"email": "bob@example.com"}}
crmJanuary{"type": "identify", "messageId": "3", "userId": "bob", "traits": {"email": "bob@example.com"}}
crmJanuary{"type": "trak", "messageId": "4", "userId": "bob"}
\.
SELECT name, state, accepted, waiting FROM cdp.imports;
CALL cdp.run();
SELECT cdp.ingest('{"type": "track", "messageId": "5", "event": "Order Completed", "userId": "bob"}', 'crm', import => 'January');
SELECT cdp.end_import(1);

-- Live messages about the same people come in between; what is received under the name of an import that has ended does not get in.
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'a1', traits => '{"plan": "gold"}');
SELECT cdp.ingest('{"type": "track", "messageId": "6", "event": "Order Completed", "userId": "bob"}', 'crm', import => 'January');
SELECT name, state, accepted, duplicates, quarantined, waiting FROM cdp.imports;
SELECT code, source, reason, messages FROM cdp.quarantine_reasons;
SELECT p.profile_id, p.traits, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events FROM cdp.profiles AS p ORDER BY 1;
SELECT profile_id FROM cdp.members('buyers');

-- Taken back: the worker, or cdp.run, withdraws it batch by batch.
SELECT cdp.undo_import(1);
SELECT task, done, total FROM cdp.progress;
SET cdp.batch_size = 3;
SELECT cdp_internal.undo_imports();
SELECT state, accepted, undone FROM cdp.imports;
SELECT * FROM cdp.verify();
CALL cdp.run();
SELECT state, accepted, undone FROM cdp.imports;
SELECT p.profile_id, p.traits, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events FROM cdp.profiles AS p ORDER BY 1;
SELECT profile_id FROM cdp.members('buyers');
SELECT * FROM cdp.verify();
SELECT kind, message_id, reason FROM cdp.withdrawn_messages ORDER BY decision_seq;

-- What is left of it in quarantine stays out.
SELECT * FROM cdp.fix_quarantined($$replace(text, '"trak"', '"track"')$$, code => 'unknown_type');
SELECT code, source, reason, messages FROM cdp.quarantine_reasons ORDER BY code;
SELECT cdp.undo_import(1);
SELECT cdp.end_import(1);
SELECT cdp.undo_import(7);
SELECT cdp.begin_import('crm', 'January');
SELECT cdp.begin_import('crm', '');

-- Its messages can come again, as another import.
SELECT cdp.begin_import('crm', 'January, corrected');
SELECT accepted, duplicate FROM cdp.ingest('{"type": "identify", "messageId": "1", "userId": "anna", "traits": {"email": "anna@example.com", "city": "Paris"}}', 'crm', import => 'January, corrected');
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('email', 'anna@example.com');
SELECT * FROM cdp.verify();

-- Messages with the same mistake, corrected by one expression over each of them.
SELECT cdp.ingest('{"batch": [
  {"type": "track", "messageId": "q1", "event": "Order Completed", "properties": {"customer": "anna"}},
  {"type": "track", "messageId": "q2", "event": "Order Completed", "properties": {"customer": "bob"}},
  {"type": "track", "messageId": "q3", "event": "Order Completed", "properties": {}}]}', 'till');
SELECT code, reason, messages FROM cdp.quarantine_reasons WHERE source = 'till';
SELECT fixed, unchanged FROM cdp.fix_quarantined($$jsonb_set(message, '{userId}', message #> '{properties,customer}')$$, source => 'till', dry_run => true);
SELECT * FROM cdp.fix_quarantined($$jsonb_set(message, '{userId}', message #> '{properties,customer}')$$, source => 'till');
SELECT message_id, resolution FROM cdp.quarantine WHERE source = 'till' ORDER BY 1;
SELECT * FROM cdp.fix_quarantined($$jsonb_set(message, '{userId}', '"nobody"')$$, "where" => $$message_id = 'q3'$$);
SELECT * FROM cdp.fix_quarantined($$message || nonsense$$);
SELECT * FROM cdp.fix_quarantined(NULL);
SELECT * FROM cdp.verify();

-- It runs with the rights of the caller.
CREATE ROLE regress_cdp_mender;
SELECT cdp.grant_access('regress_cdp_mender', 'steward');
CREATE TABLE hidden (a text);
SELECT cdp.ingest('{"type": "trak", "messageId": "q4", "userId": "anna"}', 'till');
SET ROLE regress_cdp_mender;
SELECT * FROM cdp.fix_quarantined($$(SELECT a FROM hidden)$$);
SELECT * FROM cdp.fix_quarantined($$message || '{"type": "page"}'$$, code => 'unknown_type', source => 'till');
SELECT cdp.undo_import(2);
RESET ROLE;
SET client_min_messages = warning;
DROP TABLE hidden;
DROP EXTENSION cdp CASCADE;
DROP OWNED BY regress_cdp_mender;
DROP ROLE regress_cdp_mender;
