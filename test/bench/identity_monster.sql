-- People of very many identifiers: one user on 100,000 devices, everybody as "guest", and two halves with one link.

-- "guest" is junk by default, and nobody may have fifty addresses: this database knows no better.
SELECT cdp.alter_identifier_type('user_id', blocks_junk => false);
SELECT cdp.alter_identifier_type('email', clear => '{max_values}');
SELECT cdp.create_identifier_type('crm_id');

CREATE TABLE took (size text, what text, seconds double precision);

CREATE FUNCTION send(message jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO cdp.inbox (message) VALUES ((message || '{"type": "identify", "timestamp": "2025-01-01T00:00:00Z"}')::text) $$;

CREATE FUNCTION grow(name text, first integer, last integer) RETURNS void LANGUAGE sql AS $$
  SELECT send(jsonb_build_object('userId', name, 'anonymousId', name || n, 'messageId', name || n)) FROM generate_series(first, last) AS n $$;

CREATE FUNCTION ordinary(people integer) RETURNS void LANGUAGE sql AS $$
  SELECT send(jsonb_build_object('userId', 'somebody' || n, 'anonymousId', 'somebody' || n, 'messageId', 'somebody' || n)) FROM generate_series(1, people) AS n $$;

-- Customers with an address each, who then buy as guest.
CREATE FUNCTION guests(people integer) RETURNS void LANGUAGE sql AS $$
  SELECT send(jsonb_build_object('messageId', 'crm' || n, 'traits', jsonb_build_object('email', 'g' || n || '@shop.example'),
    'context', jsonb_build_object('externalIds', jsonb_build_array(jsonb_build_object('id', 'c' || n, 'type', 'crm_id')))))
  FROM generate_series(1, people) AS n;
  SELECT send(jsonb_build_object('userId', 'guest', 'messageId', 'guest' || n, 'traits', jsonb_build_object('email', 'g' || n || '@shop.example')))
  FROM generate_series(1, people) AS n $$;

CREATE FUNCTION halves(devices integer) RETURNS void LANGUAGE sql AS $$
  SELECT grow('left', 1, devices);
  SELECT send(jsonb_build_object('anonymousId', 'right' || n, 'messageId', 'right' || n, 'traits', '{"email": "right@shop.example"}'::jsonb))
  FROM generate_series(1, devices) AS n;
  SELECT send('{"userId": "left", "messageId": "both", "traits": {"email": "right@shop.example"}}') $$;

-- Kinds of messages on the large person and on ordinary ones, taking turns.
CREATE PROCEDURE measure(of_size text) LANGUAGE plpgsql AS $$
DECLARE
  start timestamptz;
  message jsonb;
  kind record;
BEGIN
  FOR n IN 1 .. 220 LOOP
    FOR kind IN SELECT * FROM (VALUES ('monster', true), ('somebody', false)) AS k (name, is_monster) LOOP
      FOREACH message IN ARRAY ARRAY[
          jsonb_build_object('what', 'that says nothing new', 'anonymousId', kind.name || n),
          jsonb_build_object('what', 'with a new device', 'anonymousId', of_size || kind.name || n),
          jsonb_build_object('what', 'with a new address', 'traits', jsonb_build_object('email', replace(of_size, ' ', '') || kind.name || n || '@shop.example')),
          jsonb_build_object('what', 'with somebody else''s login, refused', 'anonymousId', kind.name || n, 'userId', 'somebody' || 1000 + n)] LOOP
        message := jsonb_build_object('type', 'identify', 'userId', CASE WHEN kind.is_monster THEN 'monster' ELSE 'somebody' || n END,
          'messageId', concat_ws(' ', of_size, message ->> 'what', kind.name, n), 'timestamp', '2025-01-02T00:00:00Z') || message;
        COMMIT;
        start := clock_timestamp();
        PERFORM cdp.ingest(message - 'what');
        COMMIT;
        IF n > 20 THEN
          INSERT INTO took VALUES (of_size, format('%s, %s', message ->> 'what', kind.name), extract(epoch FROM clock_timestamp() - start));
        END IF;
      END LOOP;
    END LOOP;
  END LOOP;
END $$;

CREATE FUNCTION report() RETURNS TABLE (what text, ms numeric, times numeric) LANGUAGE sql AS $$
  WITH m AS (
    SELECT t.size, split_part(t.what, ', monster', 1) AS what, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds) AS monster
    FROM took AS t WHERE t.what LIKE '%, monster' GROUP BY 1, 2
  ), o AS (
    SELECT t.size, split_part(t.what, ', somebody', 1) AS what, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds) AS ordinary
    FROM took AS t WHERE t.what LIKE '%, somebody' GROUP BY 1, 2
  )
  SELECT l.what, round((l.seconds * 1000)::numeric, 3), round((l.seconds / l.base)::numeric, 2)
  FROM m JOIN o USING (size, what)
  CROSS JOIN LATERAL (VALUES (1, format('%s: ordinary, beside %s', m.what, m.size), o.ordinary, o.ordinary),
    (2, format('%s: %s', m.what, m.size), m.monster, o.ordinary)) AS l (place, what, seconds, base)
  ORDER BY m.what, m.size, l.place $$;
