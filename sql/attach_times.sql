-- Times of an attached row's traits: each is since its own change, whatever of the row is dropped, hashed or refused in between.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
DROP SCHEMA IF EXISTS crm CASCADE;
CREATE EXTENSION cdp;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT cdp.create_identifier_type('crm_id', priority => 80);
CREATE SCHEMA crm;

-- What the rows say, and since when; a hash is shown as one.
CREATE VIEW said AS
  SELECT i.value AS crm_id, t.key AS trait, CASE WHEN t.value::text ~ '^"[0-9a-f]{64}"$' THEN '(a hash)' ELSE t.value #>> '{}' END AS value, a.asserted_at::date AS since
  FROM cdp.assertions AS a JOIN cdp.identifiers AS i USING (identifier_id) CROSS JOIN LATERAL jsonb_each(a.traits) AS t ORDER BY 1, 2;

--
-- A source that drops and hashes
--
SELECT cdp.create_source('crm', drops => '{traits.birthday,traits.address.note}', hashes => '{traits.ssn}') IS NOT NULL AS created;
CREATE TABLE crm.people (no integer PRIMARY KEY, city text, ssn text, birthday date, address jsonb, at timestamptz NOT NULL);
INSERT INTO crm.people VALUES (1, 'Delft', '111', '1990-01-01', '{"street": "Oude Delft 1", "note": "dog"}', '2026-01-01');
SELECT cdp.attach_table('crm.people', 'crm', '{"crm_id": "no"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT * FROM said;

-- The city alone is new; the other traits are as old as they were.
UPDATE crm.people SET city = 'Oslo', at = '2026-02-01';
CALL cdp.run();
SELECT * FROM said;

-- What is dropped is not there, and so says nothing when it changes: no message at all.
SELECT count(*) AS messages FROM cdp.assertions \gset
UPDATE crm.people SET birthday = '1991-01-01', address = '{"street": "Oude Delft 1", "note": "two dogs"}', at = '2026-03-01';
CALL cdp.run();
SELECT * FROM said;
SELECT count(*) - :messages AS more_messages, (SELECT count(*) FROM cdp.withdrawn_messages) AS withdrawn FROM cdp.assertions;

-- A hash is of what it was, until that is another.
UPDATE crm.people SET ssn = '222', at = '2026-04-01';
CALL cdp.run();
SELECT * FROM said;

-- A path that is added later holds for what a row says from its next change on; its time is as it was.
SELECT cdp.alter_source('crm', hashes => '{traits.ssn,traits.city}');
UPDATE crm.people SET ssn = '333', at = '2026-05-01';
CALL cdp.run();
SELECT * FROM said;
SELECT * FROM cdp.verify();

-- What was refused as a whole message is read again when it is tried again, as it is now.
SELECT cdp.disable_source('crm');
UPDATE crm.people SET city = 'Rome', at = '2026-06-01';
CALL cdp.run();
SELECT code, message::jsonb -> 'traits' ? 'birthday' AS has_birthday FROM cdp.quarantine WHERE resolved_at IS NULL;
ALTER TABLE crm.people DISABLE TRIGGER USER;
UPDATE crm.people SET city = 'Oslo', at = '2026-07-01';
ALTER TABLE crm.people ENABLE TRIGGER USER;
SELECT cdp.enable_source('crm');
SELECT * FROM cdp.retry_quarantined();
SELECT * FROM said;

--
-- Rows that are refused for a while
--
CREATE TABLE crm.leads (no integer PRIMARY KEY, name text, points integer, at timestamptz);
INSERT INTO crm.leads VALUES (10, 'Ann', 5, '2026-01-01'), (11, 'Bob', 4, '2026-01-01');
SELECT cdp.attach_table('crm.leads', 'leads', '{"crm_id": "no"}', traits => '{"name": "name", "share": "100 / points"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
UPDATE crm.leads SET points = 0, at = '2026-02-01';
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
SELECT rows, quarantined, kept_out FROM cdp.attached_tables WHERE source = 'leads';

-- Corrected: what is as it was is since then; what is another is since the correction.
UPDATE crm.leads SET points = CASE no WHEN 10 THEN 5 ELSE 2 END, at = '2026-03-01';
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
SELECT message_id, reason, resolution FROM cdp.quarantine ORDER BY message_id;

-- Nothing was known of it while it was refused.
SELECT c.document -> 'traits' AS known_then FROM (SELECT q.quarantined_at FROM cdp.quarantine AS q WHERE q.message_id LIKE 'crm.leads/10/%') AS t,
  LATERAL (SELECT cdp.profile(cdp.lookup('crm_id', '10'), at => t.quarantined_at, as_known => 'then') AS document) AS c;

-- A refused row that is deleted is gone with all that it said; a later one with its key is new.
UPDATE crm.leads SET points = 0, at = '2026-04-01' WHERE no = 11;
CALL cdp.run();
DELETE FROM crm.leads WHERE no = 11;
CALL cdp.run();
INSERT INTO crm.leads VALUES (11, 'Bob', 2, '2026-05-01');
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
SELECT * FROM cdp.verify();

--
-- Whose messages are kept out are no errors
--
SELECT cdp.suppress('crm_id', '11', 'asked for it') IS NOT NULL AS suppressed;
UPDATE crm.leads SET name = 'Bo', at = '2026-06-01' WHERE no = 11;
UPDATE crm.leads SET points = 0, at = '2026-06-01' WHERE no = 10;
CALL cdp.run();
SELECT rows, quarantined, kept_out FROM cdp.attached_tables WHERE source = 'leads';

--
-- Detached, kept, and called otherwise
--
UPDATE crm.leads SET points = 5 WHERE no = 10;
SELECT cdp.lift_suppression(suppression_id, 'changed his mind') FROM cdp.suppressed;
SELECT cdp.recompare_table('crm.leads') > 0 AS comparing;
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
SELECT count(*) AS facts FROM cdp.assertions \gset
SELECT cdp.detach_table('crm.leads', keep_data => true);
ALTER TABLE crm.leads RENAME TO prospects;
SELECT cdp.attach_table('crm.prospects', 'leads', '{"crm_id": "no"}', traits => '{"name": "name", "share": "100 / points"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT count(*) - :facts AS more_facts FROM cdp.assertions;
SELECT relation, state, rows FROM cdp.attached_tables WHERE source = 'leads';

-- A new table of the old name is another one.
CREATE TABLE crm.leads (LIKE crm.prospects INCLUDING ALL);
INSERT INTO crm.leads VALUES (10, 'Zed', 1, '2026-07-01');
SELECT cdp.detach_table('crm.prospects', keep_data => true);
SELECT cdp.attach_table('crm.leads', 'leads', '{"crm_id": "no"}', traits => '{"name": "name", "share": "100 / points"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';

-- What was kept of a table is taken back by the name it has now.
SELECT cdp.detach_table('crm.prospects', keep_data => false);
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';

-- One that was dropped and made again, by its name.
SELECT cdp.detach_table('crm.leads', keep_data => true);
CREATE TABLE crm.copy AS TABLE crm.leads;
DROP TABLE crm.leads;
CREATE TABLE crm.leads (LIKE crm.copy INCLUDING ALL, PRIMARY KEY (no));
INSERT INTO crm.leads TABLE crm.copy;
SELECT cdp.attach_table('crm.leads', 'leads', '{"crm_id": "no"}', traits => '{"name": "name", "share": "100 / points"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT count(*) AS facts FROM cdp.assertions WHERE source_id = (SELECT source_id FROM cdp.sources WHERE source = 'leads');

--
-- Tried again when nobody can read the row: it stays as it is, with its reason
--
UPDATE crm.leads SET points = 0;
CALL cdp.run();
SELECT cdp.detach_table('crm.leads', keep_data => true);
SELECT * FROM cdp.retry_quarantined();
SELECT message_id, code, reason FROM cdp.quarantine WHERE resolved_at IS NULL;
SELECT * FROM cdp.verify();
-- Attached again, its row is read again.
UPDATE crm.leads SET points = 1;
SELECT cdp.attach_table('crm.leads', 'leads', '{"crm_id": "no"}', traits => '{"name": "name", "share": "100 / points"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT * FROM said WHERE crm_id >= '10';
SELECT rows, quarantined, kept_out FROM cdp.attached_tables WHERE source = 'leads';
-- Nor can it be while something is wrong with the table.
UPDATE crm.leads SET points = 0;
CALL cdp.run();
ALTER TABLE crm.leads RENAME COLUMN name TO called;
SELECT * FROM cdp.retry_quarantined();
SELECT code, reason FROM cdp.quarantine WHERE resolved_at IS NULL;

-- Two were kept under one name and the first one is gone: the other is the one it was itself.
CREATE TABLE crm.twins (no integer PRIMARY KEY, city text);
INSERT INTO crm.twins VALUES (21, 'delft');
SELECT cdp.attach_table('crm.twins', 'twins', '{"crm_id": "no"}') > 0 AS attached;
CALL cdp.run();
SELECT cdp.detach_table('crm.twins', keep_data => true);
ALTER TABLE crm.twins RENAME TO elder;
CREATE TABLE crm.twins (no integer PRIMARY KEY, city text);
INSERT INTO crm.twins VALUES (22, 'rome');
SELECT cdp.attach_table('crm.twins', 'twins', '{"crm_id": "no"}') > 0 AS attached;
CALL cdp.run();
SELECT cdp.detach_table('crm.twins', keep_data => true);
DROP TABLE crm.elder;
UPDATE crm.twins SET city = 'oslo';
SELECT cdp.attach_table('crm.twins', 'twins', '{"crm_id": "no"}') > 0 AS attached;
CALL cdp.run();
SELECT i.value AS crm_id, a.traits FROM cdp.assertions AS a JOIN cdp.identifiers AS i USING (identifier_id) WHERE i.value IN ('21', '22') ORDER BY 1, a.decision_seq;

-- What is said again as it is hashed now has its old times, and yet was not stored before: what was known then is what was stored then.
SELECT cdp.create_source('shop') IS NOT NULL AS created;
CREATE TABLE crm.cards (no integer PRIMARY KEY, points integer, at timestamptz NOT NULL);
INSERT INTO crm.cards VALUES (31, 1, '2026-01-01');
SELECT cdp.attach_table('crm.cards', 'shop', '{"crm_id": "no"}', occurred_at => 'at') > 0 AS attached;
CALL cdp.run();
SELECT clock_timestamp() AS before \gset
SELECT cdp.alter_source('shop', hashes => '{traits.points}') IS NOT NULL AS altered;
UPDATE crm.cards SET at = '2026-02-01';
CALL cdp.run();
SELECT value, since FROM said WHERE crm_id = '31';
SELECT cdp.profile(cdp.lookup('crm_id', '31'), at => :'before', as_known => 'then') -> 'traits' ->> 'points' AS known_then,
       length(cdp.profile(cdp.lookup('crm_id', '31')) -> 'traits' ->> 'points') AS length_now;
DROP EXTENSION cdp CASCADE;
DROP SCHEMA crm CASCADE;
