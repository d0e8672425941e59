-- Batches of 1,000 identify messages, with links and with one known identifier, through both doors of cdp and by SQL.

CREATE TABLE expected (n integer, user_id text, email text, anonymous_id text);
CREATE TABLE batch (way text, number integer, messages jsonb);
CREATE TABLE took (way text, number integer, seconds double precision);

-- Everybody has an address and a device. Each message has a new device, and the address, too, in half of them.
CREATE PROCEDURE prepare(batches integer, people integer) LANGUAGE plpgsql AS $$
DECLARE
  way text;
BEGIN
  INSERT INTO cdp.inbox (message) SELECT jsonb_build_object('type', 'identify', 'userId', 'u' || n, 'anonymousId', 'first' || n,
      'traits', jsonb_build_object('email', 'u' || n || '@shop.example'), 'timestamp', '2025-01-01T00:00:00Z')
    FROM generate_series(1, people) AS n;
  PERFORM rival_link(ARRAY['user_id', 'email', 'anonymous_id'], ARRAY['u' || n, 'u' || n || '@shop.example', 'first' || n])
    FROM generate_series(1, people) AS n;
  FOREACH way IN ARRAY ARRAY['ingest_links', 'ingest_single', 'inbox_links', 'inbox_single', 'sql'] LOOP
    CREATE TEMP TABLE one AS
      SELECT n, 'u' || (1 + (hashint4(n) & 2147483647) % people) AS user_id,
             way || n AS anonymous_id, n % 2 = 0 AS has_email
      FROM generate_series(1, batches * 1000) AS n;
    INSERT INTO batch SELECT way, (n - 1) / 1000 + 1, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'type', 'identify', 'messageId', way || n, 'userId', user_id, 'timestamp', '2025-01-02T00:00:00Z',
        'anonymousId', CASE WHEN way NOT LIKE '%single' THEN anonymous_id END,
        'traits', jsonb_build_object('n', n % 100, 'email', CASE WHEN has_email AND way NOT LIKE '%single' THEN user_id || '@shop.example' END)))
        ORDER BY n)
      FROM one GROUP BY (n - 1) / 1000;
    INSERT INTO expected SELECT n, user_id, CASE WHEN has_email THEN user_id || '@shop.example' END, anonymous_id FROM one
      WHERE way IN ('ingest_links', 'inbox_links');
    DROP TABLE one;
  END LOOP;
  COMMIT;
END $$;

-- The ways take turns, so that what else the machine does meets all of them.
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
DECLARE
  b record;
  start timestamptz;
  message jsonb;
BEGIN
  FOR b IN SELECT * FROM batch ORDER BY number, way LOOP
    IF b.way LIKE 'inbox%' THEN
      INSERT INTO cdp.inbox (message) SELECT m::text FROM jsonb_array_elements(b.messages) AS m;
      COMMIT;
    END IF;
    start := clock_timestamp();
    IF b.way LIKE 'ingest%' THEN
      PERFORM cdp.ingest(b.messages);
    ELSIF b.way LIKE 'inbox%' THEN
      PERFORM cdp_internal.drain_inbox(1000);
    ELSE
      FOR message IN SELECT * FROM jsonb_array_elements(b.messages) LOOP
        IF message -> 'traits' ? 'email' THEN
          PERFORM rival_link(ARRAY['user_id', 'email', 'anonymous_id'],
            ARRAY[message ->> 'userId', message -> 'traits' ->> 'email', message ->> 'anonymousId']);
        ELSE
          PERFORM rival_link(ARRAY['user_id', 'anonymous_id'], ARRAY[message ->> 'userId', message ->> 'anonymousId']);
        END IF;
      END LOOP;
    END IF;
    COMMIT;
    INSERT INTO took VALUES (b.way, b.number, extract(epoch FROM clock_timestamp() - start));
  END LOOP;
END $$;
