-- Single messages: people are locked and written without statements, and by statements where somebody hung something on a table or took an
-- index away, with the same result.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

-- What happens to Anna and Bert of some round, who share an address, and on Anna's third device: a call a message.
CREATE FUNCTION tell(round text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE m text;
BEGIN
  FOREACH m IN ARRAY ARRAY[
    '{"type": "track", "event": "Seen", "anonymousId": "a-%1$s"}',
    '{"type": "identify", "userId": "anna-%1$s", "anonymousId": "a-%1$s", "traits": {"name": "Anna", "city": "Utrecht"}}',
    '{"type": "identify", "userId": "bert-%1$s", "traits": {"email": "both-%1$s@example.com", "name": "Bert"}}',
    '{"type": "track", "event": "Seen", "anonymousId": "a-%1$s", "userId": "anna-%1$s"}',
    '{"type": "track", "event": "Seen", "anonymousId": "b-%1$s", "context": {"traits": {"email": "both-%1$s@example.com"}}}',
    '{"type": "identify", "anonymousId": "a-%1$s", "traits": {"email": "both-%1$s@example.com"}}',
    '{"type": "page", "anonymousId": "c-%1$s"}',
    '{"type": "track", "event": "Seen", "anonymousId": "c-%1$s", "userId": "anna-%1$s"}',
    '{"type": "group", "anonymousId": "b-%1$s", "groupId": "g-%1$s"}',
    '{"type": "track", "event": "Seen", "anonymousId": "a-%1$s", "userId": "anna-%1$s"}']
  LOOP
    PERFORM cdp.ingest(format(m, round)::jsonb);
  END LOOP;
END $$;
-- What is known of a round, without ids.
CREATE FUNCTION known(round text) RETURNS TABLE (what text, value jsonb) LANGUAGE sql AS $$
  WITH people AS (SELECT DISTINCT profile_id FROM cdp.identifiers WHERE value LIKE '%-' || round || '%')
  SELECT 'profile', jsonb_build_array(replace(p.traits::text, round, '?')::jsonb, p.last_seen_at = max(e.received_at), count(*)) FROM people JOIN cdp.profiles AS p USING (profile_id) JOIN cdp.events AS e USING (profile_id) GROUP BY p.profile_id
  UNION ALL SELECT 'identifier', jsonb_build_array(type, replace(value, round, '?')) FROM people JOIN cdp.identifiers USING (profile_id)
  UNION ALL SELECT 'evidence', jsonb_build_array(cardinality(e.identifiers), e.refused IS NULL) FROM cdp.evidence AS e WHERE e.identifiers && ARRAY(SELECT identifier_id FROM people JOIN cdp.identifiers USING (profile_id))
  UNION ALL SELECT 'change', jsonb_build_array(c.change, count(*)) FROM people JOIN cdp.identifiers AS i USING (profile_id) JOIN cdp.identity_changes AS c ON i.identifier_id IN (c.profile_id, c.from_profile_id) GROUP BY c.change
  UNION ALL SELECT 'assertion', jsonb_build_array(a.type, a.traits) FROM people JOIN cdp.identifiers USING (profile_id) JOIN cdp.assertions AS a USING (identifier_id)
  ORDER BY 1, 2 $$;
CREATE FUNCTION differs(round text, other text) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT * FROM ((SELECT round, what, replace(value::text, round, '?') FROM known(round) EXCEPT ALL SELECT round, what, replace(value::text, other, '?') FROM known(other))
    UNION ALL (SELECT other, what, replace(value::text, other, '?') FROM known(other) EXCEPT ALL SELECT other, what, replace(value::text, round, '?') FROM known(round))) AS d $$;

SELECT tell('plain');
SELECT * FROM known('plain');

-- Whoever hangs a trigger on a table hears of each row.
CREATE TABLE heard (at text, op text);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.heard VALUES (TG_TABLE_NAME, TG_OP); RETURN NEW; END $$;
CREATE TRIGGER hear BEFORE INSERT OR UPDATE ON cdp.profiles FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER INSERT ON cdp.identifiers FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER INSERT ON cdp.identity_changes FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER INSERT ON cdp.assertions FOR EACH ROW EXECUTE FUNCTION hear();
SELECT tell('heard');
SELECT at, op, count(*) FROM heard GROUP BY at, op ORDER BY at, op;
SELECT * FROM differs('plain', 'heard') AS d (round text, what text, value text);
DROP TRIGGER hear ON cdp.profiles;
DROP TRIGGER hear ON cdp.identifiers;
DROP TRIGGER hear ON cdp.identity_changes;
DROP TRIGGER hear ON cdp.assertions;

-- A constraint of somebody's own is checked, and nothing of the message stays.
ALTER TABLE cdp.profiles ADD CONSTRAINT no_list CHECK (NOT traits ? 'list');
SELECT tell('checked');
SELECT * FROM differs('plain', 'checked') AS d (round text, what text, value text);
\set VERBOSITY terse
SELECT cdp.ingest('{"type": "identify", "userId": "anna-checked", "messageId": "listed", "traits": {"list": true}}'::jsonb);
\set VERBOSITY default
ALTER TABLE cdp.profiles DROP CONSTRAINT no_list;
SELECT cdp.ingest('{"type": "identify", "userId": "anna-checked", "messageId": "listed", "traits": {"list": true}}'::jsonb);

-- Without an index the rows are found all the same.
ALTER INDEX cdp.profiles_pkey RENAME TO profiles_mine;
ALTER INDEX cdp.evidence_identifiers RENAME TO evidence_mine;
ALTER INDEX cdp.identifiers_type_value_key RENAME TO identifiers_mine;
ALTER INDEX cdp.secrets_pkey RENAME TO secrets_mine;
SELECT tell('found');
SELECT * FROM differs('plain', 'found') AS d (round text, what text, value text);
ALTER INDEX cdp.profiles_mine RENAME TO profiles_pkey;
ALTER INDEX cdp.evidence_mine RENAME TO evidence_identifiers;
ALTER INDEX cdp.identifiers_mine RENAME TO identifiers_type_value_key;
ALTER INDEX cdp.secrets_mine RENAME TO secrets_pkey;

-- Several calls in one transaction write the same row again, also where a part of them is taken back; an index of an own column is filled.
CREATE INDEX profiles_seen ON cdp.profiles (last_seen_at);
BEGIN;
SELECT tell('together');
SAVEPOINT before;
SELECT cdp.ingest('{"type": "identify", "userId": "anna-together", "traits": {"gone": 1}}'::jsonb);
ROLLBACK TO before;
SELECT tell('again');
COMMIT;
SELECT * FROM differs('plain', 'together') AS d (round text, what text, value text);
SELECT * FROM differs('plain', 'again') AS d (round text, what text, value text);
SET enable_seqscan = off;
SELECT count(*) FROM cdp.profiles WHERE last_seen_at > '2000-01-01';
RESET enable_seqscan;
DROP INDEX cdp.profiles_seen;

-- Traits that are too long for a row are kept elsewhere, and stay when the row is written again.
SELECT cdp.ingest(format('{"type": "identify", "userId": "long", "traits": {"essay": "%s"}}', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 5000) AS i))::jsonb);
SELECT cdp.ingest('{"type": "track", "event": "Seen", "userId": "long"}'::jsonb);
SELECT cdp.ingest('{"type": "identify", "userId": "long", "traits": {"short": 1}}'::jsonb);
SELECT length(traits ->> 'essay'), md5(traits ->> 'essay') = (SELECT md5(string_agg(md5(i::text), '')) FROM generate_series(1, 5000) AS i), traits -> 'short'
  FROM cdp.profiles WHERE traits ? 'essay';

-- A trigger of somebody else's writes the person's row in between.
ALTER TABLE cdp.profiles ADD COLUMN seen integer NOT NULL DEFAULT 0;
CREATE FUNCTION count_seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE cdp.profiles AS p SET seen = p.seen + 1 FROM cdp.identifiers AS i WHERE i.identifier_id = NEW.identifier_id AND p.profile_id = i.profile_id;
  RETURN NULL;
END $$;
CREATE TRIGGER count_seen AFTER INSERT ON cdp.event_records FOR EACH ROW EXECUTE FUNCTION count_seen();
SELECT cdp.ingest('{"type": "track", "event": "Seen", "userId": "long", "messageId": "counted 1"}'::jsonb);
SELECT cdp.ingest('{"batch": [{"type": "track", "event": "Seen", "userId": "long", "messageId": "counted 2"},
  {"type": "identify", "userId": "long", "messageId": "counted 3", "traits": {"short": 2}}]}'::jsonb);
SELECT seen, traits -> 'short' FROM cdp.profiles WHERE traits ? 'essay';
DROP TRIGGER count_seen ON cdp.event_records;
DROP FUNCTION count_seen;
ALTER TABLE cdp.profiles DROP COLUMN seen;

-- Calls by the thousand in one transaction leave no memory behind each.
SELECT cdp.create_segment('often_seen', $$count(*) FILTER (WHERE event = 'Seen') > 2$$);
CALL cdp.run();
BEGIN;
DO $$ BEGIN FOR i IN 1 .. 300 LOOP PERFORM cdp.track('Seen', user_id => 'long'); END LOOP; END $$;
SELECT count(*) <= 101 AS few FROM pg_backend_memory_contexts WHERE name = 'CurTransactionContext';
COMMIT;
SELECT cdp.drop_segment('often_seen');

SELECT * FROM cdp.verify();
DROP FUNCTION tell, known, differs, hear;
DROP TABLE heard;
