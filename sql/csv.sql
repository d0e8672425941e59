-- Files by COPY: what is wrong is told with the line of the file that it is in, and all else goes in.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET TimeZone = 'UTC';
\pset null -

-- Newline-delimited JSON, as it is.
COPY cdp.inbox (message) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
{"type": "track", "event": "Visited", "messageId": "f-1", "userId": "file-1", "timestamp": "2026-01-05T10:00:00Z"}
{"type": "track", "event": "Visited", "messageId": "f-2", "userId": "file-1", "timestamp": "2026-01-05T

{"type": "track", "event": "Visited", "messageId": "f-4", "timestamp": "2026-01-05T10:00:00Z"}
{"type": "track", "event": "Said \"hi\"\t", "messageId": "f-5", "userId": "file-1", "timestamp": "2026-01-05T10:00:01Z"}
\.
CALL cdp.run();
SELECT line, code, message_id FROM cdp.quarantine ORDER BY quarantine_id;
SELECT message_id, event FROM cdp.events ORDER BY message_id;
-- Each statement counts anew.
INSERT INTO cdp.inbox (message) SELECT '{"type": "track", "event": "E"' || n FROM generate_series(1, 3) AS n;
INSERT INTO cdp.inbox (message) VALUES ('nothing'), ('at all');
SELECT line, message FROM cdp.inbox ORDER BY inbox_id;
TRUNCATE cdp.inbox, cdp.quarantine;

-- CSV: the file into a table, line by line, and from there by its header.
SELECT cdp.create_identifier_type('customer_no', priority => 80);
CREATE TEMP TABLE file (line_number bigint GENERATED ALWAYS AS IDENTITY, line text);
COPY file (line) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
No,E-mail,Name,"Remarks, free"
1,anna@example.com,Anna,"She said ""hi"""
2,bob@example.com,Bob

3,carla@example.com,"de Vries, Carla","two
lines"
4,dirk@example.com,Di"rk,
,,Nobody,
5,"eva@example.com,Eva,
6,frank@example.com,Frank,last
\.
SELECT * FROM cdp.load_csv('file', source => 'crm', identifiers => '{"customer_no": "No", "email": "E-mail"}', traits => '{"name": "Name", "remarks": "Remarks, free"}', import => 'january');
CALL cdp.run();
SELECT line, code, reason, message FROM cdp.quarantine ORDER BY line;
SELECT (SELECT i.value FROM cdp.identifiers AS i WHERE i.type = 'customer_no' AND i.profile_id = p.profile_id) AS no, p.traits FROM cdp.profiles AS p WHERE p.traits ? 'name' ORDER BY 1;

-- Events, with a semicolon between fields; without a mapping all other columns are properties.
CREATE TEMP TABLE tills (line_number bigint GENERATED ALWAYS AS IDENTITY, line text);
COPY tills (line) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
receipt;at;card;total;currency
t-1;2026-01-05 10:00:00;1;49,95;EUR
t-2;yesterday;1;10,00;EUR
t-1;2026-01-05 10:00:00;1;49,95;EUR
\.
SELECT * FROM cdp.load_csv('tills', source => 'till', identifiers => '{"customer_no": "card"}', event => 'Paid', occurred_at => 'at', message_id => 'receipt', delimiter => ';');
CALL cdp.run();
SELECT message_id, event, occurred_at, properties FROM cdp.events WHERE source = 'till';
SELECT line, code, message_id FROM cdp.quarantine WHERE source = 'till';

-- Mistakes in the mapping are errors, and nothing is loaded.
SELECT cdp.load_csv('tills', source => 'till', identifiers => '{"customer_no": "crad"}', delimiter => ';');
SELECT cdp.load_csv('tills', source => 'till', identifiers => '{"customer_no": "card"}', event => 'Paid', delimiter => ';');
SELECT cdp.load_csv('tills', source => 'till', identifiers => '{"customer_no": "card"}', delimiter => ';;');
SELECT cdp.load_csv('cdp.inbox', source => 'till', identifiers => '{"customer_no": "card"}');
UPDATE tills SET line = 'a;b;a' WHERE line_number = 1;
SELECT cdp.load_csv('tills', source => 'till', identifiers => '{"customer_no": "a"}', delimiter => ';');
SELECT count(*) FROM cdp.inbox;

-- Text and bytes that are no JSON.
SELECT * FROM cdp.ingest('{"type": "track", "event": "Torn');
SELECT * FROM cdp.ingest('\x7b2274797065223a22ff00227d'::bytea);
SELECT * FROM cdp.ingest('{"type": "track", "event": "E", "userId": "u\u0000", "messageId": "nul-1"}'::text);
SELECT code, message FROM cdp.quarantine WHERE source = 'default' ORDER BY quarantine_id;
DROP TABLE file, tills;
DROP EXTENSION cdp CASCADE;
