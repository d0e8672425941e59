-- attach_mend: what goes wrong with attached tables, how cdp says so, and how they go on.
\set SHOW_CONTEXT never
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
DROP SCHEMA IF EXISTS crm CASCADE;
CREATE EXTENSION cdp;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA crm;
CREATE TABLE crm.customers (customer_no integer PRIMARY KEY, email text, first_name text, phone text);
INSERT INTO crm.customers VALUES (1, 'anna@example.com', 'Anna', '030'), (2, 'bob@example.com', 'Bob', '020'), (3, 'cleo@example.com', 'Cleo', NULL);
SELECT cdp.create_identifier_type('crm_id', priority => 80);
SELECT cdp.attach_table('crm.customers', source => 'crm', identifiers => '{"crm_id": "customer_no"}', traits => '["email", "first_name", "phone"]') > 0 AS attached;
CALL cdp.run();

-- A mapped column that is renamed is said at once, before anything changes and whether or not somebody runs; changes wait, and are counted.
ALTER TABLE crm.customers RENAME COLUMN first_name TO given_name;
SELECT relation, state, waiting, error, hint FROM cdp.attached_tables;
UPDATE crm.customers SET phone = '031' WHERE customer_no = 1;
CALL cdp.run();
SELECT state, rows, waiting, error FROM cdp.attached_tables;
-- When the cause has gone it goes on by itself, and nothing is lost.
ALTER TABLE crm.customers RENAME COLUMN given_name TO first_name;
CALL cdp.run();
SELECT state, waiting, error, hint FROM cdp.attached_tables;
SELECT traits ->> 'phone' AS phone FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');

-- The key, too: which rows changed meanwhile nobody could note, so all are compared.
ALTER TABLE crm.customers RENAME COLUMN customer_no TO number;
UPDATE crm.customers SET phone = '032' WHERE number = 1;
DELETE FROM crm.customers WHERE number = 3;
CALL cdp.run();
SELECT state, waiting, error FROM cdp.attached_tables;
ALTER TABLE crm.customers RENAME COLUMN number TO customer_no;
CALL cdp.run();
SELECT state, rows, waiting, error FROM cdp.attached_tables;
SELECT i.value, p.traits ->> 'phone' AS phone FROM cdp.identifiers AS i JOIN cdp.profiles AS p USING (profile_id) WHERE i.type = 'crm_id' ORDER BY 1;

-- Who attached it may not read it any more, or not all of it: its rows do not count as gone.
CREATE ROLE regress_cdp_operator;
SELECT cdp.grant_access('regress_cdp_operator', 'admin');
GRANT USAGE ON SCHEMA crm TO regress_cdp_operator;
GRANT SELECT, TRIGGER ON crm.customers TO regress_cdp_operator;
SET ROLE regress_cdp_operator;
SELECT cdp.attach_table('crm.customers', source => 'theirs', identifiers => '{"crm_id": "customer_no"}', traits => '{"theirs": "email"}') > 0 AS attached;
RESET ROLE;
CALL cdp.run();
REVOKE SELECT ON crm.customers FROM regress_cdp_operator;
SELECT cdp.recompare_table('crm.customers', 'theirs') > 0 AS comparing;
CALL cdp.run();
SELECT state, rows, error, hint FROM cdp.attached_tables WHERE source = 'theirs';
GRANT SELECT ON crm.customers TO regress_cdp_operator;
ALTER TABLE crm.customers ENABLE ROW LEVEL SECURITY;
CALL cdp.run();
SELECT state, rows, error, hint FROM cdp.attached_tables WHERE source = 'theirs';
ALTER TABLE crm.customers DISABLE ROW LEVEL SECURITY;
CALL cdp.run();
SELECT state, rows, error, hint FROM cdp.attached_tables WHERE source = 'theirs';
SELECT cdp.detach_table('crm.customers', keep_data => false, source => 'theirs');
CALL cdp.run();

-- Under session_replication_role = replica, as some tools load data, its triggers fire all the same.
SET session_replication_role = replica;
UPDATE crm.customers SET phone = '034' WHERE customer_no = 1;
RESET session_replication_role;
SELECT waiting FROM cdp.attached_tables;
CALL cdp.run();

-- Triggers that are disabled, a parent, a table that a crash would empty: each has its error and its way out.
ALTER TABLE crm.customers DISABLE TRIGGER USER;
SELECT state, error, hint FROM cdp.attached_tables;
UPDATE crm.customers SET phone = '033' WHERE customer_no = 1;
CALL cdp.run();
ALTER TABLE crm.customers ENABLE TRIGGER USER;
CALL cdp.run();
SELECT state, error FROM cdp.attached_tables;
SELECT traits ->> 'phone' AS phone FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
CREATE TABLE crm.everybody (LIKE crm.customers);
ALTER TABLE crm.customers INHERIT crm.everybody;
SELECT state, error, hint FROM cdp.attached_tables;
ALTER TABLE crm.customers NO INHERIT crm.everybody;
ALTER TABLE crm.customers SET UNLOGGED;
SELECT state, error, hint FROM cdp.attached_tables;
ALTER TABLE crm.customers SET LOGGED;
CALL cdp.run();
SELECT state, error FROM cdp.attached_tables;
-- Made anew, it has no triggers; they are made again, and everything is read.
CREATE TABLE crm.copy AS TABLE crm.customers;
DROP TABLE crm.customers;
SELECT state, error, hint FROM cdp.attached_tables;
ALTER TABLE crm.copy RENAME TO customers;
ALTER TABLE crm.customers ADD PRIMARY KEY (customer_no);
UPDATE crm.customers SET phone = '035' WHERE customer_no = 1;
SELECT state, error, hint FROM cdp.attached_tables;
SELECT cdp.recompare_table('crm.customers', 'crm') > 0 AS comparing;
SELECT state FROM cdp.attached_tables;
CALL cdp.run();
SELECT state, rows, error FROM cdp.attached_tables;
SELECT traits ->> 'phone' AS phone FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');

-- A phone that changed is new; the address beside it is not, and keeps the time at which it was first said.
SELECT pg_sleep(0.01);
SELECT cdp.identify(identifiers => '{"crm_id": "2"}', traits => '{"email": "bob@home.example"}') > 0 AS said;
UPDATE crm.customers SET phone = '021' WHERE customer_no = 2;
CALL cdp.run();
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '2');
SELECT regexp_replace(message_id, '/\d+', '/…', 'g') AS message, traits FROM cdp.assertions WHERE message_id LIKE 'crm.customers/2/%' ORDER BY decision_seq;
SELECT * FROM cdp.verify();

-- Changes that nobody saw, deletions too, are found by comparing all rows.
CREATE TABLE crm.visits (visit_no integer PRIMARY KEY, who integer, seen timestamptz NOT NULL, changed_at timestamptz NOT NULL);
INSERT INTO crm.visits SELECT n, 1 + n % 2, '2026-01-01', '2026-01-01' FROM generate_series(1, 25) AS n;
CREATE VIEW crm.visits_view AS TABLE crm.visits;
SELECT cdp.attach_table('crm.visits_view', source => 'shop', identifiers => '{"crm_id": "who"}', key => '{visit_no}',
  event => 'Visited', occurred_at => 'seen', watermark => 'changed_at', every => '1 hour') > 0 AS attached;
SET cdp.batch_size = 10;
CALL cdp.run();
DELETE FROM crm.visits WHERE visit_no IN (3, 4);
UPDATE crm.visits SET seen = '2026-01-02' WHERE visit_no = 5;
SELECT cdp.recompare_table('crm.visits_view') > 0 AS comparing;
SELECT task, done, total FROM cdp.progress;
CALL cdp.run();
SELECT state, rows FROM cdp.attached_tables WHERE source = 'shop';
SELECT count(*), count(*) FILTER (WHERE occurred_at = '2026-01-02') AS moved FROM cdp.events;
SELECT count(*) AS taken_back FROM cdp.withdrawn_messages WHERE message_id LIKE 'crm.visits_view/%';
-- What did not change was compared, and nothing was written.
SELECT cdp.recompare_table('crm.visits_view') > 0 AS comparing;
SELECT array_agg(r.xmin::text ORDER BY row_key) AS before FROM cdp_internal.attached_rows AS r \gset
CALL cdp.run();
SELECT array_agg(r.xmin::text ORDER BY row_key) = :'before' AS unwritten FROM cdp_internal.attached_rows AS r;
RESET cdp.batch_size;

-- A row in quarantine is read again by its key.
INSERT INTO crm.customers VALUES (7, 'gone@example.com'), (8, 'late@example.com');
SELECT cdp.attach_table('crm.customers', source => 'ages', identifiers => '{"crm_id": "nullif(customer_no, 7)"}', traits => '{"age": "length(email) / (customer_no - 8)"}') > 0 AS attached;
CALL cdp.run();
SELECT quarantine_id, message_id ~ '^crm.customers/[78]/' AS shown, code, reason, detail FROM cdp.quarantine WHERE resolved_at IS NULL;
SELECT * FROM cdp.retry_quarantined();
SELECT code, reason, detail FROM cdp.quarantine WHERE resolved_at IS NULL;
ALTER TABLE crm.customers DISABLE TRIGGER USER;
DELETE FROM crm.customers WHERE customer_no = 7;
UPDATE crm.customers SET customer_no = 80 WHERE customer_no = 8;
INSERT INTO crm.customers VALUES (8, NULL);
ALTER TABLE crm.customers ENABLE TRIGGER USER;
SELECT * FROM cdp.retry_quarantined();
SELECT code, reason, resolution FROM cdp.quarantine ORDER BY quarantine_id;
SELECT cdp.detach_table('crm.customers', keep_data => false, source => 'ages');

-- Attached in another way, without detaching: what rows said stays until what they say now takes its place.
SELECT cdp.alter_attached_table('crm.customers', 'crm', identifiers => '{"crm_id": "customer_no", "email": "email"}', traits => '{"firstName": "first_name"}') > 0 AS altered;
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
CALL cdp.run();
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
UPDATE crm.customers SET first_name = 'Anne' WHERE customer_no = 1;
CALL cdp.run();
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('email', 'anna@example.com');
SELECT cdp.alter_attached_table('crm.visits_view', 'shop', identifiers => '{"crm_id": "who"}', key => '{visit_no,who}', event => 'Visited', occurred_at => 'seen', watermark => 'changed_at');
SELECT cdp.alter_attached_table('crm.customers', 'erp', identifiers => '{"crm_id": "customer_no"}');
SELECT cdp.alter_attached_table('crm.customers', 'crm', identifiers => '{"customer_no": "crm_id"}');
SELECT cdp.alter_attached_table('crm.customers', 'crm', identifiers => '{"mail": "email"}');

-- Detached and kept, and attached again: what was kept is taken up, nothing is said twice.
SELECT count(*) AS assertions FROM cdp.assertions WHERE message_id LIKE 'crm.%' \gset
SELECT cdp.detach_table('crm.customers', keep_data => true);
SELECT count(*) FROM cdp.attached_tables WHERE relation = 'crm.customers';
UPDATE crm.customers SET first_name = 'Annie' WHERE customer_no = 1;
SELECT cdp.attach_table('crm.customers', source => 'crm', identifiers => '{"crm_id": "customer_no", "email": "email"}', traits => '{"firstName": "first_name"}') > 0 AS attached;
CALL cdp.run();
SELECT count(*) - :assertions AS more FROM cdp.assertions WHERE message_id LIKE 'crm.%';
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
SELECT cdp.detach_table('crm.customers', keep_data => true);
SELECT cdp.detach_table('crm.customers', keep_data => false);
CALL cdp.run();
SELECT count(*) FROM cdp.assertions WHERE message_id LIKE 'crm.%';

-- An expression that takes too long is a row in quarantine; when several do, it is not the rows.
SET cdp.expression_timeout = 200;
CREATE FUNCTION crm.slow(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF name LIKE 'slow%' THEN LOOP PERFORM 1; END LOOP; END IF;
  RETURN upper(name);
END $$;
CREATE TABLE crm.leads (id integer PRIMARY KEY, name text);
INSERT INTO crm.leads VALUES (1, 'one'), (2, 'slow'), (3, 'three');
SELECT cdp.attach_table('crm.leads', source => 'leads', identifiers => '{"user_id": "id"}', traits => '{"name": "crm.slow(name)", "plain": "lower(name)"}') > 0 AS attached;
CALL cdp.run();
SELECT state, rows, quarantined FROM cdp.attached_tables WHERE source = 'leads';
SELECT reason, detail FROM cdp.quarantine WHERE source = 'leads';
UPDATE crm.leads SET name = 'two' WHERE id = 2;
INSERT INTO crm.leads SELECT n, 'slow ' || n FROM generate_series(10, 14) AS n;
INSERT INTO crm.visits VALUES (30, 1, '2026-01-03', '2026-01-03');
SELECT cdp.recompare_table('crm.visits_view') > 0 AS comparing;
CALL cdp.run();
SELECT source, state, rows, waiting, error, hint FROM cdp.attached_tables ORDER BY source;
UPDATE crm.leads SET name = 'fast' WHERE id >= 10;
CALL cdp.run();
SELECT source, state, rows, waiting, error FROM cdp.attached_tables ORDER BY source;
-- A cancel of the user, and the server's own time for a statement, stay what they are.
UPDATE crm.leads SET name = 'slow' WHERE id = 1;
SET cdp.expression_timeout = '20s';
SET statement_timeout = '100ms';
CALL cdp.run();
RESET statement_timeout;
RESET cdp.expression_timeout;
UPDATE crm.leads SET name = 'one' WHERE id = 1;
CALL cdp.run();
SELECT * FROM cdp.verify();

-- A row that is several messages may be refused as several: all of them are its own, tried again, changed or taken back.
CREATE TABLE crm.members (no integer PRIMARY KEY, name text, level text, since timestamptz);
INSERT INTO crm.members SELECT n, 'one', 'one', '2026-01-01' FROM generate_series(1, 3) AS n;
SELECT cdp.attach_table('crm.members', source => 'club', identifiers => '{"crm_id": "no"}', traits => '["name", "level"]', occurred_at => 'since') > 0 AS attached;
CALL cdp.run();
SELECT cdp.disable_source('club');
UPDATE crm.members SET level = 'two', since = '2026-01-02';
CALL cdp.run();
UPDATE crm.members SET level = 'three', since = '2026-01-03' WHERE no = 2;
DELETE FROM crm.members WHERE no = 3;
CALL cdp.run();
SELECT rows, quarantined FROM cdp.attached_tables WHERE source = 'club';
SELECT split_part(message_id, '/', 2) AS row, code, resolution, count(*) FROM cdp.quarantine WHERE source = 'club' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT cdp.enable_source('club');
SELECT * FROM cdp.retry_quarantined();
SELECT split_part(message_id, '/', 2) AS row, traits, asserted_at FROM cdp.assertions WHERE message_id LIKE 'crm.members/%' ORDER BY 1, asserted_at;
UPDATE crm.members SET level = 'four', since = '2026-01-04';
CALL cdp.run();
SELECT split_part(message_id, '/', 2) AS row, traits, asserted_at FROM cdp.assertions WHERE message_id LIKE 'crm.members/%' ORDER BY 1, asserted_at;
-- Whom a suppression keeps out comes in when it was lifted and all rows are compared.
SELECT cdp.suppress('crm_id', '4', 'asked for it') AS suppression \gset
INSERT INTO crm.members VALUES (4, 'Dora');
CALL cdp.run();
SELECT cdp.recompare_table('crm.members', 'club') > 0 AS comparing;
CALL cdp.run();
SELECT cdp.lookup('crm_id', '4') IS NULL AS kept_out;
SELECT cdp.lift_suppression(:suppression, 'changed her mind');
SELECT cdp.recompare_table('crm.members', 'club') > 0 AS comparing;
CALL cdp.run();
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '4');
SELECT cdp.detach_table('crm.members', keep_data => false);
CALL cdp.run();
SELECT count(*) FROM cdp.assertions WHERE message_id LIKE 'crm.members/%';
SELECT * FROM cdp.verify();

-- Its messages name the table as their import, so no import of the source may be called as it is.
SELECT cdp.begin_import('papers', 'crm.members') > 0 AS begun;
SELECT cdp.attach_table('crm.members', source => 'papers', identifiers => '{"crm_id": "no"}', traits => '["name"]');

-- A row of a source with a tracking plan is told whole: all that the plan asks for is there.
SELECT cdp.create_source('lists') > 0 AS created;
SELECT cdp.create_tracking_plan('lists', '{"traits": {"required": ["name", "level"]}}', 'quarantine');
SELECT cdp.attach_table('crm.members', source => 'lists', identifiers => '{"crm_id": "no"}', traits => '["name", "level"]', occurred_at => 'since') > 0 AS attached;
CALL cdp.run();
UPDATE crm.members SET level = 'five', since = '2026-01-05';
CALL cdp.run();
SELECT split_part(message_id, '/', 2) AS row, traits, asserted_at FROM cdp.assertions WHERE message_id LIKE 'crm.members/%' ORDER BY 1, asserted_at;
SELECT code, count(*) FROM cdp.quarantine WHERE source = 'lists' GROUP BY 1;
SELECT cdp.detach_table('crm.members', keep_data => false);
CALL cdp.run();

-- Who may run cdp sees what is attached.
REVOKE USAGE ON SCHEMA crm FROM regress_cdp_operator;
SET ROLE regress_cdp_operator;
SELECT relation, state FROM cdp.attached_tables ORDER BY 1;
RESET ROLE;
DROP SCHEMA crm CASCADE;
CALL cdp.run();
SELECT relation, state, error FROM cdp.attached_tables ORDER BY 1;
DROP EXTENSION cdp CASCADE;
DROP OWNED BY regress_cdp_operator;
DROP ROLE regress_cdp_operator;
