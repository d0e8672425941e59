-- archive: a month of events moved to a plain table, and back. Who they were about is judged again, batch by batch, by what is there; what
-- stays of an event meanwhile follows merges and splits, so that it comes back to whoever it is about then.

CREATE TABLE cdp.detached_months (
  month      timestamptz PRIMARY KEY,
  state      text NOT NULL DEFAULT 'detaching' CHECK (state IN ('detaching', 'detached', 'attaching')),
  archive    text NOT NULL,
  done       bigint NOT NULL DEFAULT 0,
  total      bigint NOT NULL,
  place      bigint NOT NULL DEFAULT 0,
  began_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  done_by    text NOT NULL DEFAULT session_user,
  kept_in    text NOT NULL
);
COMMENT ON TABLE cdp.detached_months IS 'Months of which events were moved to a plain table, or are on their way';
COMMENT ON COLUMN cdp.detached_months.archive IS 'The table as it was called when the month was detached';
COMMENT ON COLUMN cdp.detached_months.kept_in IS 'The table from which events come back';
SELECT pg_catalog.pg_extension_config_dump('cdp.detached_months', '');
REVOKE ALL ON TABLE cdp.detached_months FROM PUBLIC;

CREATE FUNCTION cdp.detach_events(month timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  start constant timestamptz := date_trunc('month', month, 'UTC');
  name  constant text := replace(cdp_internal.name_of_month(start), 'events_', 'detached_');
BEGIN
  IF month IS NULL OR NOT isfinite(month) OR cdp_internal.next_month(start) > now() THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s is in no month that is over', coalesce(month::text, 'null')),
      HINT = 'SELECT cdp.detach_events(''2020-01-01''); months are those of UTC.';
  END IF;
  PERFORM cdp_internal.take_turn('cdp.detached_months');
  IF EXISTS (SELECT FROM cdp.detached_months AS d WHERE d.month = start) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('%s is detached already', to_char(start AT TIME ZONE 'UTC', 'YYYY-MM')),
      DETAIL = (SELECT format('It is %s, in %s.', d.state, d.archive) FROM cdp.detached_months AS d WHERE d.month = start),
      HINT = 'Events of it that came since are kept as any: attach it first, then detach them all.';
  END IF;
  EXECUTE format('CREATE TABLE cdp_months.%I (LIKE cdp.event_records INCLUDING COMMENTS, PRIMARY KEY (event_id))', name);
  EXECUTE format('COMMENT ON TABLE cdp_months.%I IS %L', name, format('Events of %s, detached; cdp.attach_events() brings them back', to_char(start AT TIME ZONE 'UTC', 'YYYY-MM')));
  INSERT INTO cdp.detached_months (month, archive, kept_in, total)
    SELECT start, 'cdp_months.' || name, 'cdp_months.' || name, count(*) FROM cdp.event_records AS r
    WHERE r.occurred_at >= start AND r.occurred_at < cdp_internal.next_month(start);
  RETURN 'cdp_months.' || name;
END $$;
COMMENT ON FUNCTION cdp.detach_events(timestamptz) IS
  'Detaches the month, in UTC, of this instant: the worker, or CALL cdp.run(), moves its events to a plain table, a batch a transaction, and judges their people by what is left; returns its name. See cdp.detached_months and cdp.progress. Errors: 22023 a month that is not over, 55000 one that is detached already, 42P07 such a table is there';

CREATE FUNCTION cdp_internal.is_archive(archive regclass) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.relkind = 'r' AND NOT c.relrowsecurity AND NOT c.relispartition
     AND NOT EXISTS (SELECT FROM pg_attribute AS e WHERE e.attrelid = 'cdp.event_records'::regclass AND e.attnum > 0 AND NOT e.attisdropped
                     AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = e.attname AND a.atttypid = e.atttypid))
     AND EXISTS (SELECT FROM pg_index AS x JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
                 WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indnkeyatts = 1 AND a.attname = 'event_id')
  FROM pg_class AS c WHERE c.oid = archive
$$;
COMMENT ON FUNCTION cdp_internal.is_archive(regclass) IS 'Whether events can come back from this table';

CREATE FUNCTION cdp.attach_events(month timestamptz, archive regclass DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  start    constant timestamptz := date_trunc('month', month, 'UTC');
  it       cdp.detached_months;
  where_is regclass;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.detached_months');
  SELECT * INTO it FROM cdp.detached_months AS d WHERE d.month = start;
  IF NOT FOUND OR it.state <> 'detached' THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('%s is not detached', coalesce(to_char(start AT TIME ZONE 'UTC', 'YYYY-MM'), 'null')),
      DETAIL = coalesce('It is ' || it.state || '.', 'None of its events were detached.'), HINT = 'SELECT * FROM cdp.detached_months lists those that are.';
  END IF;
  where_is := coalesce(archive, to_regclass(it.archive));
  IF where_is IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('%s is not there any more', it.archive),
      HINT = 'Restore it, or say where it is: cdp.attach_events(month, archive => ''schema.table'').';
  ELSIF archive IS NOT NULL AND NOT has_table_privilege(session_user, where_is, 'SELECT') THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('permission denied for table %s', where_is), HINT = 'GRANT SELECT on it.';
  ELSIF NOT cdp_internal.is_archive(where_is) THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is no archive of events', where_is),
      HINT = 'It has to be a plain table with the columns of cdp.event_records and a unique index on event_id.';
  END IF;
  UPDATE cdp.detached_months AS d
    SET state = 'attaching', kept_in = (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = where_is),
        done = 0, place = 0, began_at = clock_timestamp(), updated_at = clock_timestamp(), done_by = session_user,
        total = (SELECT count(*) FROM cdp.removed_events AS g WHERE g.archive = it.archive)
    WHERE d.month = start RETURNING total INTO it.total;
  RETURN it.total;
END $$;
COMMENT ON FUNCTION cdp.attach_events(timestamptz, regclass) IS
  'Brings the events of a detached month back, from where they were put or from the table to which they went since: the worker, or CALL cdp.run(), a batch a transaction. All is then as if they had never been away. Returns how many. Errors: 55000 it is not detached, 42P01 its table is gone, 42809 the table is no archive, 42501 no right to read it';

-- Of these archived events those that are still these identifiers': who owns them, and what they carried, is what stayed of them.
CREATE FUNCTION cdp_internal.put_events(identifiers bigint[], events bigint[], archive text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  number bigint;
BEGIN
  EXECUTE format($q$
    WITH back AS (
      DELETE FROM cdp.removed_events AS g USING %s AS a
        WHERE g.event_id = ANY ($1) AND g.identifier_id = ANY ($2) AND a.event_id = g.event_id RETURNING g.*, a.event, a.properties, a.context, a.extra
    ), stored AS (
      INSERT INTO cdp.event_records (event_id, identifier_id, source_id, type, event, occurred_at, received_at, message_id, properties, context, extra, carried)
        SELECT b.event_id, b.identifier_id, b.source_id, b.type, b.event, b.occurred_at, b.received_at, b.message_id, b.properties, b.context, b.extra, b.carried FROM back AS b
    )
    SELECT count(*) FROM back$q$, archive) INTO number USING events, identifiers;
  -- What they did then is not in their timelines.
  INSERT INTO cdp_internal.timelines AS t (identifier_id, from_at, until_at, inputs, events)
    SELECT DISTINCT i.id, '-infinity'::timestamptz, '-infinity'::timestamptz, 0, ''::bytea FROM unnest(identifiers) AS i (id)
    ON CONFLICT (identifier_id, from_at) DO NOTHING;
  UPDATE cdp_internal.timelines AS t SET inputs = 0 WHERE t.identifier_id = ANY (identifiers);
  RETURN number;
END $$;
COMMENT ON FUNCTION cdp_internal.put_events(bigint[], bigint[], text) IS 'Part of cdp_internal.move_events';

CREATE FUNCTION cdp_internal.detach_batch(it cdp.detached_months, most integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  until  constant timestamptz := cdp_internal.next_month(it.month);
  owners bigint[];
  events bigint[];
  moved  bigint;
BEGIN
  SELECT array_agg(DISTINCT x.identifier_id), array_agg(x.event_id) INTO owners, events
    FROM (SELECT r.identifier_id, r.event_id FROM cdp.event_records AS r
          WHERE r.occurred_at >= it.month AND r.occurred_at < until AND r.identifier_id >= it.place ORDER BY r.identifier_id, r.occurred_at LIMIT most) AS x;
  IF owners IS NOT NULL THEN
    moved := cdp_internal.move_events(owners, events, it.month, until - interval '1 microsecond', it.archive, false, format('%s is detached', it.archive));
    UPDATE cdp.detached_months AS d SET done = d.done + moved, place = (SELECT max(o) FROM unnest(owners) AS o), updated_at = clock_timestamp() WHERE d.month = it.month;
  ELSIF it.place > 0 THEN -- there may be those that came since, or belong to another by now
    UPDATE cdp.detached_months AS d SET place = 0 WHERE d.month = it.month;
  ELSE
    UPDATE cdp.detached_months AS d SET state = 'detached', updated_at = clock_timestamp() WHERE d.month = it.month;
    INSERT INTO cdp_internal.empty_months (month) VALUES (it.month) ON CONFLICT DO NOTHING;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.detach_batch(cdp.detached_months, integer) IS 'Part of cdp.detach_events';

CREATE FUNCTION cdp_internal.attach_batch(it cdp.detached_months, most integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  owners bigint[];
  events bigint[];
  moved  bigint;
BEGIN
  SELECT array_agg(DISTINCT x.identifier_id), array_agg(x.event_id) INTO owners, events
    FROM (SELECT g.identifier_id, g.event_id FROM cdp.removed_events AS g
          WHERE g.archive = it.archive AND g.identifier_id >= it.place ORDER BY g.identifier_id, g.event_id LIMIT most) AS x;
  IF owners IS NOT NULL THEN
    moved := cdp_internal.move_events(owners, events, it.month, it.month, it.kept_in, true, format('%s is attached', it.archive));
    UPDATE cdp.detached_months AS d SET done = d.done + moved, place = (SELECT max(o) FROM unnest(owners) AS o), updated_at = clock_timestamp() WHERE d.month = it.month;
    IF moved > 0 THEN
      RETURN;
    END IF;
    -- They belong to another by now, or are not in the archive any more: then they are gone.
    EXECUTE format('UPDATE cdp.removed_events AS g SET archive = NULL WHERE g.event_id = ANY ($1) AND NOT EXISTS (SELECT FROM %s AS a WHERE a.event_id = g.event_id)', it.kept_in)
      USING events;
  ELSIF it.place > 0 THEN
    UPDATE cdp.detached_months AS d SET place = 0 WHERE d.month = it.month;
  ELSE
    PERFORM cdp_internal.end_attaching(it);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.attach_batch(cdp.detached_months, integer) IS 'Part of cdp.attach_events';

-- What was withdrawn meanwhile is known as any other withdrawn event; retention looks at what came back.
CREATE FUNCTION cdp_internal.end_attaching(it cdp.detached_months) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('INSERT INTO cdp.withdrawn_events (event_id, identifier_id, source_id, type, event, occurred_at, received_at, message_id, properties, context, extra, carried, withdrawn_at)
    SELECT a.event_id, w.identifier_id, a.source_id, a.type, a.event, a.occurred_at, a.received_at, a.message_id, a.properties, a.context, a.extra, a.carried, w.withdrawn_at
    FROM %s AS a JOIN cdp.withdrawn_messages AS w ON w.decision_seq = a.event_id ON CONFLICT DO NOTHING', it.kept_in);
  IF it.kept_in = it.archive THEN
    EXECUTE format('DROP TABLE %s', it.archive);
  END IF;
  DELETE FROM cdp.detached_months AS d WHERE d.month = it.month;
  PERFORM cdp_internal.reset_retention();
END $$;
COMMENT ON FUNCTION cdp_internal.end_attaching(cdp.detached_months) IS 'Part of cdp.attach_events';

CREATE FUNCTION cdp_internal.move_months() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  it   cdp.detached_months;
  most constant integer := least(500, coalesce(current_setting('cdp.batch_size', true), '500')::integer);
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.detached_months AS d WHERE d.state <> 'detached') OR NOT cdp_internal.try_turn('cdp.detached_months') THEN
    RETURN 0;
  END IF;
  SELECT * INTO it FROM cdp.detached_months AS d WHERE d.state <> 'detached' ORDER BY d.month LIMIT 1;
  IF NOT FOUND THEN
    RETURN 0;
  ELSIF to_regclass(it.kept_in) IS NULL THEN -- somebody moved or dropped it
    UPDATE cdp.detached_months AS d SET state = 'detached', updated_at = clock_timestamp() WHERE d.month = it.month;
    RAISE WARNING '% is not there any more; % events were moved before', it.kept_in, it.done
      USING HINT = 'cdp.attach_events() brings back what is in it, from where it is now.';
  ELSIF it.state = 'detaching' THEN
    PERFORM cdp_internal.detach_batch(it, most);
  ELSE
    PERFORM cdp_internal.attach_batch(it, most);
  END IF;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.move_months() IS 'Part of cdp.run: a batch of events that are detached or attached; 0: there is none';
REVOKE ALL ON FUNCTION cdp.detach_events(timestamptz), cdp.attach_events(timestamptz, regclass) FROM PUBLIC;
