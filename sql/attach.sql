-- attach: tables and views that are there already, as sources of messages, and what follows when their rows change.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
DROP SCHEMA IF EXISTS crm CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA crm;
CREATE TABLE crm.customers (customer_no integer PRIMARY KEY, email text, first_name text, city text, notes text);
INSERT INTO crm.customers VALUES
  (1, 'anna@example.com', 'Anna', 'delft', 'likes tea'), (2, 'bob@example.com', 'Bob', 'rome', NULL), (3, NULL, 'Cleo', 'oslo', NULL);
CREATE TABLE crm.orders (order_no integer PRIMARY KEY, customer_no integer NOT NULL, total numeric(10, 2) NOT NULL, ordered_at timestamptz NOT NULL);
INSERT INTO crm.orders VALUES (100, 1, 49.95, '2026-01-05 10:00'), (101, 1, 10.00, '2026-01-06 11:00'), (102, 2, 8.50, '2026-01-07 12:00');

-- A key of a system is an identifier type of its own.
SELECT cdp.create_identifier_type('crm_id', priority => 80);

-- Each row says traits about whom it names,
SELECT cdp.attach_table('crm.customers', source => 'crm',
  identifiers => '{"crm_id": "customer_no", "email": "email"}',
  traits => '{"firstName": "first_name", "city": "initcap(city)"}') > 0 AS attached;
-- or is something that happened.
SELECT cdp.attach_table('crm.orders', source => 'erp',
  identifiers => '{"crm_id": "customer_no"}',
  event => 'Order Completed', occurred_at => 'ordered_at') > 0 AS attached;

-- The rows that are there are read in batches, by the worker or by hand.
SELECT task FROM cdp.progress ORDER BY task;
CALL cdp.run();
SELECT relation, source, kind, state, rows, waiting FROM cdp.attached_tables ORDER BY attachment_id;
SELECT cdp.lookup('crm_id', '1') = cdp.lookup('email', 'anna@example.com') AS is_one_person;
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
SELECT event, occurred_at, properties, message_id FROM cdp.events WHERE profile_id = cdp.lookup('crm_id', '1') ORDER BY occurred_at;
-- To whom nothing is known under that column, nothing is said of it.
SELECT type, value FROM cdp.identifiers WHERE profile_id = cdp.lookup('crm_id', '3');

-- Changes are followed, corrections too.
SELECT cdp.create_segment('spent_50', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed') >= 50$$) > 0 AS created;
SELECT count(*) FROM cdp.members('spent_50');
UPDATE crm.orders SET total = 29.95 WHERE order_no = 100;
UPDATE crm.customers SET first_name = 'Anne' WHERE customer_no = 1;
SELECT relation, waiting FROM cdp.attached_tables ORDER BY attachment_id;
CALL cdp.run();
SELECT count(*) FROM cdp.members('spent_50');
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
SELECT properties ->> 'total' AS total, message_id FROM cdp.events WHERE event = 'Order Completed' ORDER BY event_id;
SELECT message_id, kind, reason FROM cdp.withdrawn_messages ORDER BY decision_seq;

-- A change of what is not mapped costs nothing, and one that ends up as it began says so again.
UPDATE crm.customers SET notes = 'likes coffee';
SELECT relation, waiting FROM cdp.attached_tables ORDER BY attachment_id;

-- Rows that come, go, and change their key; who is who follows.
INSERT INTO crm.customers VALUES (4, 'bob@example.com', 'Bobby', 'rome', NULL);
DELETE FROM crm.customers WHERE customer_no = 3;
UPDATE crm.customers SET customer_no = 20 WHERE customer_no = 2;
CALL cdp.run();
SELECT i.type, i.value, i.profile_id = cdp.lookup('email', 'bob@example.com') AS is_bob FROM cdp.identifiers AS i WHERE i.type = 'crm_id' ORDER BY 2;
SELECT p.traits FROM cdp.profiles AS p ORDER BY p.profile_id;
UPDATE crm.customers SET email = 'bobby@example.com' WHERE customer_no = 4;
CALL cdp.run();
SELECT i.type, i.value, i.profile_id = cdp.lookup('email', 'bob@example.com') AS is_bob FROM cdp.identifiers AS i WHERE i.type = 'crm_id' ORDER BY 2;
SELECT * FROM cdp.verify();

-- A user's transaction that is rolled back leaves nothing, and COPY, ON CONFLICT and MERGE are writes like others.
BEGIN;
DELETE FROM crm.orders;
ROLLBACK;
INSERT INTO crm.orders VALUES (102, 2, 9, '2026-01-07 12:00'), (103, 2, 1, '2026-01-08') ON CONFLICT (order_no) DO UPDATE SET total = excluded.total;
COPY crm.orders FROM STDIN WITH (FORMAT csv);
104,4,7.77,2026-01-09
\.
MERGE INTO crm.orders AS o USING (VALUES (104, 7.78), (105, 1.00)) AS n (order_no, total) ON o.order_no = n.order_no
  WHEN MATCHED THEN UPDATE SET total = n.total WHEN NOT MATCHED THEN INSERT VALUES (n.order_no, 4, n.total, '2026-01-10');
CALL cdp.run();
SELECT order_no, o.total, (e.properties ->> 'total')::numeric = o.total AS is_same FROM crm.orders AS o
  LEFT JOIN cdp.events AS e ON (e.properties ->> 'order_no')::integer = o.order_no ORDER BY 1;

-- Emptied, and filled again.
BEGIN;
TRUNCATE crm.orders;
INSERT INTO crm.orders VALUES (200, 1, 5.00, '2026-02-01');
COMMIT;
CALL cdp.run();
SELECT properties FROM cdp.events;
SELECT * FROM cdp.verify();

-- Rows that cannot be used are put aside with their key, and the others go on; a row that is corrected is taken.
UPDATE crm.customers SET email = NULL WHERE customer_no = 20;
INSERT INTO crm.orders VALUES (201, 4, 5.00, 'infinity'), (202, 4, 6.00, '2026-02-02');
CALL cdp.run();
SELECT source, import, message_id, code, reason FROM cdp.quarantine WHERE resolved_at IS NULL;
SELECT relation, quarantined FROM cdp.attached_tables ORDER BY attachment_id;
UPDATE crm.orders SET ordered_at = '2026-02-02' WHERE order_no = 201;
CALL cdp.run();
SELECT message_id, resolution FROM cdp.quarantine;
-- What quarantine lets through after all is that row's message, and goes when the row does.
INSERT INTO crm.orders VALUES (203, 4, 7.00, 'infinity');
CALL cdp.run();
UPDATE cdp.quarantine SET message = replace(message, 'infinity', '2026-02-03T00:00:00Z') WHERE resolved_at IS NULL;
SELECT * FROM cdp.retry_quarantined();
SELECT relation, quarantined FROM cdp.attached_tables ORDER BY attachment_id;
DELETE FROM crm.orders WHERE order_no = 203;
CALL cdp.run();
SELECT * FROM cdp.verify();
SELECT count(*) FROM cdp.events;

-- A view, or a table without triggers, by a column that grows with every change. Rows that go are not seen to go.
CREATE TABLE crm.visits (visit_no integer, customer integer, seen_on date, changed_at timestamptz);
CREATE VIEW crm.recent_visits AS SELECT visit_no, customer, seen_on, changed_at, 'shop' AS place FROM crm.visits;
INSERT INTO crm.visits VALUES (1, 1, '2026-03-01', '2026-03-01 09:00'), (2, 20, '2026-03-01', '2026-03-01 09:00'), (3, 4, '2026-03-01', '2026-03-01 09:00');
SELECT cdp.attach_table('crm.recent_visits', source => 'shop', identifiers => '{"crm_id": "customer"}', key => '{visit_no}',
  event => 'Visited', occurred_at => 'seen_on', properties => '["place"]', watermark => 'changed_at', every => '10 milliseconds') > 0 AS attached;
SET cdp.batch_size = 2;
CALL cdp.run();
SELECT count(*), min(properties::text) FROM cdp.events WHERE event = 'Visited';
INSERT INTO crm.visits VALUES (4, 1, '2026-03-02', '2026-03-01 09:00');
UPDATE crm.visits SET seen_on = '2026-03-03', changed_at = '2026-03-03' WHERE visit_no = 2;
SELECT pg_sleep(0.02);
CALL cdp.run();
SELECT message_id ~ '/[124]/' AS shown, occurred_at::date FROM cdp.events WHERE event = 'Visited' ORDER BY occurred_at, 1;
SELECT message_id ~ '^crm.recent_visits/2/' AS second_visit FROM cdp.withdrawn_messages WHERE message_id ~ 'visits';
RESET cdp.batch_size;
SELECT * FROM cdp.verify();

-- What is wrong is said at once, and nothing is half attached.
\set attach 'SELECT cdp.attach_table('
:attach 'crm.orders', 'again', '{"crm_id": "customer_n"}');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}', event => 'Sold');
:attach 'crm.orders', 'again', '{"crmid": "customer_no"}', event => 'Sold', occurred_at => 'ordered_at');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}', event => 'Sold', occurred_at => 'total');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}', event => 'Sold', occurred_at => 'ordered_at', key => '{ordered_at}');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}', event => 'Sold', occurred_at => 'ordered_at', key => '{orderno}');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no) OR (true"}');
:attach 'crm.orders', 'again', '{"crm_id": "max(customer_no)"}');
:attach 'crm.orders', 'again', '{"crm_id": "(SELECT 1)"}');
:attach 'crm.orders', 'again', '{"crm_id": 7}');
:attach 'crm.orders', 'again', '{}');
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}', traits => '{"a": "total"}', event => 'Sold');
:attach 'crm.orders', 'erp', '{"crm_id": "customer_no"}');
:attach 'crm.visits', 'again', '{"crm_id": "customer"}');
:attach 'crm.recent_visits', 'again', '{"crm_id": "customer"}');
:attach 'cdp.profiles', 'again', '{"crm_id": "profile_id"}');
CREATE TEMPORARY TABLE mine (id integer PRIMARY KEY);
:attach 'mine', 'again', '{"crm_id": "id"}');
CREATE UNLOGGED TABLE crm.unlogged (id integer PRIMARY KEY);
:attach 'crm.unlogged', 'again', '{"crm_id": "id"}');
CREATE TABLE crm.parts (id integer PRIMARY KEY) PARTITION BY RANGE (id);
:attach 'crm.parts', 'again', '{"crm_id": "id"}');
CREATE TABLE crm.child () INHERITS (crm.visits);
:attach 'crm.visits', 'again', '{"crm_id": "customer"}', key => '{visit_no}');
CREATE ROLE regress_cdp_attacher;
SELECT cdp.grant_access('regress_cdp_attacher', 'admin');
GRANT USAGE ON SCHEMA crm TO regress_cdp_attacher;
SET ROLE regress_cdp_attacher;
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}');
RESET ROLE;
GRANT SELECT ON crm.orders TO regress_cdp_attacher;
SET ROLE regress_cdp_attacher;
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}');
RESET ROLE;
GRANT TRIGGER ON crm.orders TO regress_cdp_attacher;
ALTER TABLE crm.orders ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cdp_attacher;
:attach 'crm.orders', 'again', '{"crm_id": "customer_no"}');
RESET ROLE;
ALTER TABLE crm.orders DISABLE ROW LEVEL SECURITY;
SELECT relation, source FROM cdp.attached_tables ORDER BY attachment_id;

-- Whoever writes to an attached table needs no right in cdp.
GRANT INSERT ON crm.orders TO regress_cdp_attacher;
SELECT cdp.attach_table('crm.orders', 'leads', '{"crm_id": "customer_no"}', traits => '{"lastOrder": "order_no"}', filter => 'total > 100') > 0 AS attached;
CREATE ROLE regress_cdp_clerk;
GRANT USAGE ON SCHEMA crm TO regress_cdp_clerk;
GRANT INSERT ON crm.orders TO regress_cdp_clerk;
SET ROLE regress_cdp_clerk;
INSERT INTO crm.orders VALUES (300, 1, 500, '2026-03-05'), (301, 1, 50, '2026-03-06');
RESET ROLE;
CALL cdp.run();
SELECT traits ->> 'lastOrder' AS last_order FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
UPDATE crm.orders SET total = 99 WHERE order_no = 300;
CALL cdp.run();
SELECT traits ->> 'lastOrder' AS last_order FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');

-- Whatever becomes of the table, its users are not held up, and cdp says what is wrong.
ALTER TABLE crm.customers RENAME COLUMN first_name TO given_name;
UPDATE crm.customers SET given_name = 'Ann' WHERE customer_no = 1;
UPDATE crm.orders SET total = 1 WHERE order_no = 301;
CALL cdp.run();
SELECT relation, source, state, waiting, error FROM cdp.attached_tables ORDER BY attachment_id;
SELECT check_name, status, value FROM cdp.health() WHERE check_name = 'attached tables';
SELECT cdp.detach_table('crm.customers', keep_data => false);
SELECT cdp.attach_table('crm.customers', source => 'crm', identifiers => '{"crm_id": "customer_no", "email": "email"}',
  traits => '{"firstName": "given_name", "city": "initcap(city)"}') > 0 AS attached;
CALL cdp.run();
SELECT traits FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '1');
-- A table may be called otherwise.
ALTER TABLE crm.orders RENAME TO sales;
UPDATE crm.sales SET total = 2 WHERE order_no = 301;
CALL cdp.run();
SELECT properties ->> 'total' AS total FROM cdp.events WHERE properties ->> 'order_no' = '301';
SELECT relation, source, state FROM cdp.attached_tables ORDER BY attachment_id;

-- Detached: what came from it stays, or is taken back; nothing else is left.
SELECT cdp.detach_table('crm.sales', keep_data => true, source => 'erp');
SELECT cdp.detach_table('crm.sales', keep_data => true, source => 'erp');
SELECT count(*) FROM cdp.events WHERE event = 'Order Completed';
DROP TABLE crm.sales;
SELECT relation, source, state FROM cdp.attached_tables ORDER BY attachment_id;
SELECT cdp.detach_table('crm.orders', keep_data => false);
SELECT cdp.detach_table('crm.recent_visits', keep_data => false);
SELECT cdp.detach_table('crm.customers', keep_data => false);
SELECT task FROM cdp.progress ORDER BY task;
CALL cdp.run();
SELECT count(*) FROM cdp.attached_tables;
SELECT (SELECT count(*) FROM cdp_internal.attached_rows) AS rows, (SELECT count(*) FROM cdp_internal.attached_changes) AS changes,
       (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^cdp_') AS triggers;
SELECT event, count(*) FROM cdp.events GROUP BY event;
SELECT count(*) AS assertions FROM cdp.assertions;
SELECT * FROM cdp.verify();

-- One row that fails is one row, however the table is read; what is mended counts.
CREATE TABLE crm.scores (id integer PRIMARY KEY, who text, score text);
INSERT INTO crm.scores VALUES (1, 'anna', '1'), (2, 'bert', 'much'), (3, 'cleo', '3');
ANALYZE crm.scores;
SELECT cdp.attach_table('crm.scores', 'scores', '{"user_id": "who"}', traits => '{"score": "score::integer"}') > 0 AS attached;
CALL cdp.run();
SELECT i.value AS who, p.traits FROM cdp.profiles AS p JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id' ORDER BY 1;
SELECT code, reason, detail FROM cdp.quarantine WHERE resolved_at IS NULL AND source = 'scores';
UPDATE crm.scores SET score = '2' WHERE id = 2;
CALL cdp.run();
SELECT count(*) FROM cdp.profiles;
SELECT cdp.detach_table('crm.scores', keep_data => false);

-- A key that is spelled another way is the same row.
CREATE TABLE crm.amounts (id numeric PRIMARY KEY, who text);
SELECT cdp.attach_table('crm.amounts', 'amounts', '{"user_id": "who"}') > 0 AS attached;
INSERT INTO crm.amounts VALUES (1.0, 'anna');
CALL cdp.run();
UPDATE crm.amounts SET id = 1.00;
CALL cdp.run();
SELECT rows FROM cdp.attached_tables WHERE source = 'amounts';
DELETE FROM crm.amounts;
CALL cdp.run();
SELECT count(*) FROM cdp.profiles;

-- An event without its time is none. A table with several sources is detached from one at a time.
CREATE TABLE crm.visits2 (id integer PRIMARY KEY, who text, at timestamptz);
INSERT INTO crm.visits2 VALUES (1, 'anna', NULL), (2, 'anna', '2026-01-02Z');
SELECT cdp.attach_table('crm.visits2', s, '{"user_id": "who"}', event => 'Visited', occurred_at => 'at') > 0 AS attached FROM unnest('{one,two}'::text[]) AS s;
CALL cdp.run();
SELECT source, reason FROM cdp.quarantine WHERE resolved_at IS NULL ORDER BY 1;
SELECT cdp.attach_table('crm.visits2', 'two', '{"user_id": "who"}', event => 'Visited', occurred_at => 'at');
SELECT cdp.detach_table('crm.visits2', keep_data => false);
SELECT cdp.detach_table('crm.visits2', keep_data => false, source => s) FROM unnest('{one,two}'::text[]) AS s;

-- A time to come does not hide what is written until then.
CREATE TABLE crm.polled (id integer PRIMARY KEY, who text, changed timestamptz);
INSERT INTO crm.polled VALUES (1, 'bert', '9999-12-31Z');
SELECT cdp.attach_table('crm.polled', 'polled', '{"user_id": "who"}', watermark => 'changed', every => '1 millisecond') > 0 AS attached;
CALL cdp.run();
INSERT INTO crm.polled VALUES (2, 'dora', now());
SELECT pg_sleep(0.01);
CALL cdp.run();
SELECT rows FROM cdp.attached_tables WHERE source = 'polled';
SELECT * FROM cdp.verify();

SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_attacher, regress_cdp_clerk;
