-- Objects are made into jsonb by a shorter way than PostgreSQL's own: what is stored is the same, to the byte, and so is the content
-- by which a repeat is known, however it was written.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
CREATE TEMP TABLE written (message_id text, properties text);

-- Some JSON value: keys of all lengths that come again, numbers as people write them, escapes, spaces where they may be.
CREATE FUNCTION pg_temp.some_json(depth integer, is_object boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  kind  integer := CASE WHEN is_object THEN 0 WHEN depth = 0 THEN 2 + (random() * 6)::integer ELSE (random() * 8)::integer END;
  space text := (ARRAY['', '', ' ', E'\n', E' \t '])[1 + (random() * 4)::integer];
  parts text[] := '{}';
BEGIN
  IF kind > 1 THEN
    RETURN (ARRAY['null', 'true', 'false', (random() * 1000)::integer::text, round((random() * 100 - 50)::numeric, (random() * 8)::integer)::text,
                  '"' || repeat('aß€𝄞 z', (random() * 8)::integer) || '"', (ARRAY['""', '"a\"b"', '"\\"', '"tab\tnew\nline"', '"/ \b\f\r"', '"\/"', '"\u00e9\u20ac"',
                  '1e3', '1.50E-2', '-0', '-0.0', '0.000', '123456789012345678901234567890.50', '1E+2'])[1 + (random() * 13)::integer]])[kind - 1];
  END IF;
  FOR i IN 1 .. (random() * CASE WHEN random() < 0.05 THEN 100 ELSE 5 END)::integer LOOP
    parts := parts || (CASE WHEN kind = 0 THEN format('%s"%s"%s:%s', space, repeat(chr(97 + (random() * 5)::integer), (random() * 4)::integer) ||
                         (ARRAY['', 'é', '\n', '\"', i::text])[1 + (random() * 4)::integer], space, space) ELSE space END || pg_temp.some_json(depth - 1) || space);
  END LOOP;
  RETURN CASE WHEN kind = 0 THEN '{' ELSE '[' END || array_to_string(parts, ',') || CASE WHEN kind = 0 THEN space || '}' ELSE space || ']' END;
END $$;

SELECT setseed(0.4) \gset
INSERT INTO written SELECT 'm' || n, pg_temp.some_json(4, true) FROM generate_series(1, 3000) AS n;
SELECT sum(i.accepted) AS accepted, sum(i.quarantined) AS quarantined FROM written AS w CROSS JOIN LATERAL
  cdp.ingest(format('{"type": "track", "event": "E", "userId": "u", "messageId": "%s", "properties": %s}', w.message_id, w.properties)) AS i;

-- The same value, spelt the same, and as long (where neither may be compressed).
CREATE TEMP TABLE theirs AS SELECT w.message_id, w.properties::jsonb AS properties FROM written AS w;
SELECT count(*) AS messages, count(*) FILTER (WHERE e.properties = t.properties) AS same, count(*) FILTER (WHERE e.properties::text = t.properties::text) AS spelt_same,
       count(*) FILTER (WHERE length(t.properties::text) > 1000 OR pg_column_size(e.properties) = pg_column_size(t.properties)) AS as_long,
       count(DISTINCT t.properties) > 2000 AS various
  FROM theirs AS t JOIN cdp.events AS e USING (message_id);
-- Every key finds its value.
SELECT count(*) > 5000 AS keys, count(*) FILTER (WHERE e.properties -> k.key IS DISTINCT FROM k.value) AS wrong
  FROM theirs AS t JOIN cdp.events AS e USING (message_id) CROSS JOIN LATERAL jsonb_each(t.properties) AS k;

-- Written otherwise it is the same content: as jsonb spells it, and with an escape that takes the long way.
SELECT sum(i.duplicate) AS duplicate, sum(i.accepted + i.quarantined) AS others FROM theirs AS t CROSS JOIN LATERAL
  cdp.ingest(format('{"messageId": "%s", "properties": %s, "userId": "u", "event": "E", "type": "track"}', t.message_id, t.properties)) AS i;
SELECT sum(i.duplicate) AS duplicate, sum(i.accepted + i.quarantined) AS others FROM written AS w CROSS JOIN LATERAL
  cdp.ingest(format('{"type": "track", "event": "E", "userId": "u", "messageId": "%s", "properties": %s}', w.message_id,
    replace(w.properties, 'd', '\u0064'))) AS i;
