-- months: events are kept by the month, in UTC, in which they occurred: a table a month in the schema cdp_months.

-- Events of months that have no table yet. So no message ever waits for a table, or makes one.
CREATE TABLE cdp_months.events_other PARTITION OF cdp.event_records DEFAULT;
CREATE UNIQUE INDEX events_other_event_id ON cdp_months.events_other (event_id);
CREATE INDEX events_other_owner ON cdp_months.events_other (identifier_id, occurred_at);
CREATE INDEX events_other_occurred ON cdp_months.events_other (occurred_at);
COMMENT ON TABLE cdp_months.events_other IS 'Events of months that have no table yet; the worker makes it, and moves them there';
SELECT pg_catalog.pg_extension_config_dump('cdp_months.events_other', '');

CREATE FUNCTION cdp_internal.name_of_month(month timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM') $$;
COMMENT ON FUNCTION cdp_internal.name_of_month(timestamptz) IS 'The table of a month in cdp_months';

CREATE FUNCTION cdp_internal.has_month(month timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhparent = 'cdp.event_records'::regclass
                 AND h.inhrelid = to_regclass('cdp_months.' || cdp_internal.name_of_month(month)))
$$;
COMMENT ON FUNCTION cdp_internal.has_month(timestamptz) IS 'Whether a month has its table';

-- The month after.
CREATE FUNCTION cdp_internal.next_month(month timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' $$;
COMMENT ON FUNCTION cdp_internal.next_month(timestamptz) IS 'When the month after this one begins, in UTC';

-- How many events may be moved while nobody may read: what takes some tenths of a second.
CREATE FUNCTION cdp_internal.events_moved_at_once() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp RETURN 50000;
COMMENT ON FUNCTION cdp_internal.events_moved_at_once() IS 'How many events are moved to their months without being asked';

-- Months to make: this one, the next, and those of events that wait, as many as can be moved at once.
CREATE FUNCTION cdp_internal.missing_months(most bigint DEFAULT cdp_internal.events_moved_at_once()) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  missing timestamptz[] := '{}';
  month   timestamptz;
  place   timestamptz := '-infinity';
BEGIN
  FOREACH month IN ARRAY ARRAY[date_trunc('month', now(), 'UTC'), cdp_internal.next_month(date_trunc('month', now(), 'UTC'))] LOOP
    IF NOT cdp_internal.has_month(month) THEN
      missing := missing || month;
    END IF;
  END LOOP;
  LOOP
    SELECT date_trunc('month', min(o.occurred_at), 'UTC') INTO month FROM cdp_months.events_other AS o WHERE o.occurred_at >= place;
    EXIT WHEN month IS NULL;
    place := cdp_internal.next_month(month);
    IF month <> ALL (missing) THEN
      missing := missing || month;
    END IF;
  END LOOP;
  RETURN ARRAY( -- a month whose name another table has must do without
    SELECT s.month FROM (
      SELECT m.month, sum(c.events) OVER (ORDER BY c.events, m.month) AS events
      FROM unnest(missing) AS m (month) CROSS JOIN LATERAL (
        SELECT count(*) AS events FROM (SELECT FROM cdp_months.events_other AS o WHERE o.occurred_at >= m.month
                                        AND o.occurred_at < cdp_internal.next_month(m.month) LIMIT most + 1) AS x) AS c
      WHERE to_regclass('cdp_months.' || cdp_internal.name_of_month(m.month)) IS NULL) AS s
    WHERE s.events <= most ORDER BY 1);
END $$;
COMMENT ON FUNCTION cdp_internal.missing_months(bigint) IS 'Months that want a table, those for which fewest events wait first, as long as these are no more than this together';

-- Nobody reads or writes events meanwhile. Only so no reader can miss a month: one who plans beside ATTACH PARTITION may see the
-- messages of a month as committed before he is told that there is such a table. So it is the first lock, and not held for long.
-- Indexes are each month's own, and the tables no members of the extension, or what pg_dump writes could not be restored.
CREATE FUNCTION cdp_internal.make_month(month timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name  constant text := cdp_internal.name_of_month(month);
  until constant timestamptz := cdp_internal.next_month(month);
BEGIN
  LOCK TABLE cdp.event_records IN ACCESS EXCLUSIVE MODE;
  IF cdp_internal.has_month(month) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE cdp_months.%I (LIKE cdp.event_records INCLUDING COMMENTS)', name);
  EXECUTE format('WITH moved AS (DELETE FROM cdp_months.events_other AS o WHERE o.occurred_at >= %L AND o.occurred_at < %L RETURNING o.*)
                  INSERT INTO cdp_months.%I SELECT * FROM moved', month, until, name);
  EXECUTE format('CREATE UNIQUE INDEX %I ON cdp_months.%I (event_id)', name || '_event_id', name);
  EXECUTE format('CREATE INDEX %I ON cdp_months.%I (identifier_id, occurred_at)', name || '_owner', name);
  EXECUTE format('ALTER TABLE cdp.event_records ATTACH PARTITION cdp_months.%I FOR VALUES FROM (%L) TO (%L)', name, month, until);
END $$;
COMMENT ON FUNCTION cdp_internal.make_month(timestamptz) IS 'Makes the table of a month and moves its events there. Before any other lock';

-- Months that retention or detaching left empty, before this one: their tables can go. So can, after an hour, those that were made for
-- lines that turned out to bring nothing.
CREATE TABLE cdp_internal.empty_months (month timestamptz PRIMARY KEY, not_before timestamptz NOT NULL DEFAULT '-infinity');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.empty_months', '');
COMMENT ON TABLE cdp_internal.empty_months IS 'Months that may have no events any more: whoever makes months drops their tables, if so';

CREATE FUNCTION cdp_internal.drop_month(month timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name     constant text := cdp_internal.name_of_month(month);
  is_empty boolean;
BEGIN
  LOCK TABLE cdp.event_records IN ACCESS EXCLUSIVE MODE;
  IF cdp_internal.has_month(month) THEN
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM cdp_months.%I)', name) INTO is_empty;
    IF is_empty THEN
      EXECUTE format('DROP TABLE cdp_months.%I', name);
    END IF;
  END IF;
  DELETE FROM cdp_internal.empty_months AS e WHERE e.month = drop_month.month;
END $$;
COMMENT ON FUNCTION cdp_internal.drop_month(timestamptz) IS 'Drops the table of a month that has no events. Before any other lock';

-- Waits no longer than so many milliseconds for those who read or write, who queue behind it for as long: how many months were
-- made; -1: somebody would not let go.
CREATE FUNCTION cdp_internal.make_missing_months(patience integer, most bigint, coming timestamptz[] DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = 0 AS $$
DECLARE
  missing constant timestamptz[] := cdp_internal.missing_months(most);
  wanted  constant timestamptz[] := missing || ARRAY(SELECT c FROM unnest(coming) AS c WHERE c <> ALL (missing));
  month   timestamptz;
BEGIN
  IF wanted = '{}' AND NOT EXISTS (SELECT FROM cdp_internal.empty_months AS e WHERE e.not_before <= now()) THEN
    RETURN 0;
  END IF;
  PERFORM set_config('lock_timeout', patience::text, true);
  FOR month IN SELECT e.month FROM cdp_internal.empty_months AS e WHERE e.month <> ALL (wanted) AND e.not_before <= now() LOOP
    PERFORM cdp_internal.drop_month(month);
  END LOOP;
  FOREACH month IN ARRAY wanted LOOP
    PERFORM cdp_internal.make_month(month);
  END LOOP;
  INSERT INTO cdp_internal.empty_months SELECT c, now() + interval '1 hour' FROM unnest(coming) AS c ON CONFLICT DO NOTHING;
  RETURN cardinality(wanted);
EXCEPTION WHEN lock_not_available THEN
  RETURN -1;
END $$;
COMMENT ON FUNCTION cdp_internal.make_missing_months(integer, bigint, timestamptz[]) IS 'Makes the months that are missing, and these; how many, or -1 when who reads or writes events would not let go in time';

CREATE FUNCTION cdp_internal.times_that_wait() RETURNS timestamptz[]
  LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_times_that_wait';
COMMENT ON FUNCTION cdp_internal.times_that_wait() IS 'When events of lines in the inbox occurred, by a sample, if many wait and none was taken for ten seconds; else none';

-- A table that is there before its events costs them nothing; once they are elsewhere they have to be moved. Not too many under one lock.
CREATE FUNCTION cdp_internal.coming_months() RETURNS timestamptz[]
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY(SELECT w.month FROM (SELECT DISTINCT date_trunc('month', t, 'UTC') AS month FROM unnest(cdp_internal.times_that_wait()) AS t) AS w
    WHERE to_regclass('cdp_months.' || cdp_internal.name_of_month(w.month)) IS NULL AND NOT EXISTS (
      SELECT FROM cdp_months.events_other AS o WHERE o.occurred_at >= w.month AND o.occurred_at < cdp_internal.next_month(w.month))
    ORDER BY w.month LIMIT 12)
$$;
COMMENT ON FUNCTION cdp_internal.coming_months() IS 'Months without a table, and without events, of lines in the inbox';

-- In a database that was never used a restore may be about to
-- bring the same tables.
CREATE FUNCTION cdp_internal.make_months() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN EXISTS (SELECT FROM cdp.secrets AS s WHERE s.name = 'public_id') THEN cdp_internal.make_missing_months(100, cdp_internal.events_moved_at_once(), cdp_internal.coming_months()) ELSE 0 END
$$;
COMMENT ON FUNCTION cdp_internal.make_months() IS 'Part of cdp.run and the worker';

CREATE FUNCTION cdp.make_months(patience interval DEFAULT interval '10 seconds') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made bigint;
BEGIN
  IF patience IS NULL OR patience <= interval '0' OR patience > interval '1 day' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('patience must be between 1 ms and a day, not %s', coalesce(patience::text, 'null')),
      HINT = 'SELECT cdp.make_months(''1 minute'');';
  END IF;
  made := cdp_internal.make_missing_months(greatest(1, (extract(epoch FROM patience) * 1000)::integer), 9223372036854775806);
  IF made < 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = 'the events are in use',
      DETAIL = format('Somebody has been reading or writing them for longer than %s.', patience),
      HINT = 'SELECT pid, query FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE relation = ''cdp.event_records''::regclass; then again, or with more patience.';
  END IF;
  RETURN made;
END $$;
COMMENT ON FUNCTION cdp.make_months(interval) IS
  'Makes the tables of months whose events wait for one, however many they are, and of this month and the next, as the worker does with few; nobody reads or writes events meanwhile. Returns how many. Errors: 55P03 when the events are in use for longer than patience';

-- Who is who, who was last seen and what came before is known of these as of any event.
CREATE TABLE cdp.removed_events (
  event_id      bigint NOT NULL PRIMARY KEY,
  identifier_id bigint NOT NULL,
  source_id     integer NOT NULL,
  type          text NOT NULL,
  occurred_at   timestamptz NOT NULL,
  received_at   timestamptz NOT NULL,
  message_id    text NOT NULL,
  carried       bigint[],
  archive       text,
  removed_at    timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX removed_events_owner ON cdp.removed_events (identifier_id, occurred_at);
CREATE INDEX removed_events_archived ON cdp.removed_events (archive, identifier_id, event_id) WHERE archive IS NOT NULL;
COMMENT ON TABLE cdp.removed_events IS 'What stays of events that retention removed, or whose month is detached: that they were, not what they said';
COMMENT ON COLUMN cdp.removed_events.archive IS 'The table in which the event is kept while its month is detached; null: it is gone';
SELECT pg_catalog.pg_extension_config_dump('cdp.removed_events', '');

CREATE VIEW cdp_internal.event_traces WITH (security_invoker) AS
  SELECT r.event_id, r.identifier_id, r.source_id, r.type, r.occurred_at, r.received_at, r.message_id, r.carried FROM cdp.event_records AS r
  UNION ALL
  SELECT g.event_id, g.identifier_id, g.source_id, g.type, g.occurred_at, g.received_at, g.message_id, g.carried FROM cdp.removed_events AS g;
COMMENT ON VIEW cdp_internal.event_traces IS 'What is known of every event that was accepted and not withdrawn, whether or not it is still there';
REVOKE ALL ON TABLE cdp.removed_events, cdp_internal.event_traces FROM PUBLIC;

CREATE VIEW cdp.event_months WITH (security_invoker) AS
  SELECT CASE WHEN c.relname ~ '^events_\d{4,}_\d\d$' THEN pg_catalog.to_timestamp(pg_catalog.substr(c.relname, 8) || ' +00', 'YYYY_MM TZH') END AS month,
         c.oid::regclass AS "table", greatest(c.reltuples, 0)::bigint AS events, pg_catalog.pg_total_relation_size(c.oid) AS bytes
  FROM pg_catalog.pg_inherits AS h JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid
  WHERE h.inhparent = 'cdp.event_records'::regclass;
COMMENT ON VIEW cdp.event_months IS 'The months, in UTC, of which events are kept, a table each; without a month: events that wait for theirs';
COMMENT ON COLUMN cdp.event_months.events IS 'About how many, as of the last VACUUM or ANALYZE';
REVOKE ALL ON TABLE cdp.event_months, cdp_months.events_other FROM PUBLIC;
REVOKE ALL ON FUNCTION cdp.make_months(interval), cdp_internal.make_months(), cdp_internal.make_missing_months(integer, bigint, timestamptz[]), cdp_internal.times_that_wait(), cdp_internal.coming_months(), cdp_internal.make_month(timestamptz),
  cdp_internal.drop_month(timestamptz), cdp_internal.missing_months(bigint), cdp_internal.has_month(timestamptz), cdp_internal.name_of_month(timestamptz), cdp_internal.next_month(timestamptz) FROM PUBLIC;
