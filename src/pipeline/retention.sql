-- retention: how long events are kept. What goes is a deletion: the people it was about are judged again by what is left; who
-- they are, what was said about them and that the message came stays known.

CREATE TABLE cdp.retention_rules (
  source text CHECK (source <> ''),
  event  text CHECK (event <> ''),
  type   text CHECK (type IN ('track', 'page', 'screen')),
  keep   interval,
  set_by text NOT NULL DEFAULT session_user,
  set_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE UNIQUE INDEX retention_rules_of ON cdp.retention_rules (coalesce(source, ''), coalesce(event, ''), coalesce(type, ''));
COMMENT ON TABLE cdp.retention_rules IS 'How long events are kept; of several rules that name an event the one with its source holds, else its name, else its type';
COMMENT ON COLUMN cdp.retention_rules.keep IS 'From when the event happened; null: for ever';

-- One row. A pass looks at events that became too old since the pass before, and at all that came since and were too old then.
CREATE TABLE cdp_internal.retention_passes (
  is_only      boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  kept_as_of   timestamptz NOT NULL DEFAULT '-infinity',
  kept_through bigint NOT NULL DEFAULT 0,
  as_of        timestamptz,
  through      bigint,
  newest_xid   xid8,
  saw_all      boolean,
  month        timestamptz,
  place        bigint,
  began_at     timestamptz,
  updated_at   timestamptz,
  removed      bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE cdp_internal.retention_passes IS 'How far retention is';
COMMENT ON COLUMN cdp_internal.retention_passes.kept_as_of IS 'The rules hold as of then for messages numbered up to kept_through';
COMMENT ON COLUMN cdp_internal.retention_passes.as_of IS 'Of the pass that is running, as are the columns that follow; null: none is';
COMMENT ON COLUMN cdp_internal.retention_passes.saw_all IS 'Whether no message up to that number was on its way while events were read';

CREATE TABLE cdp_internal.retention_queue (
  identifier_id bigint NOT NULL,
  event_id      bigint NOT NULL,
  occurred_at   timestamptz NOT NULL,
  PRIMARY KEY (identifier_id, event_id)
);
COMMENT ON TABLE cdp_internal.retention_queue IS 'Events that were found too old, in the order of their owners';
SELECT pg_catalog.pg_extension_config_dump('cdp.retention_rules', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.retention_passes', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.retention_queue', '');

CREATE VIEW cdp_internal.governed_events WITH (security_invoker) AS
  SELECT r.event_id, r.identifier_id, r.occurred_at, k.source AS rule_source, k.event AS rule_event, k.type AS rule_type, k.keep, s.source, r.event, r.type
  FROM cdp.event_records AS r JOIN cdp.sources AS s USING (source_id)
  CROSS JOIN LATERAL (
    SELECT o.* FROM cdp.retention_rules AS o
    WHERE (o.source IS NULL OR o.source = s.source) AND (o.event IS NULL OR o.event = r.event) AND (o.type IS NULL OR o.type = r.type)
    ORDER BY o.source IS NULL, o.event IS NULL, o.type IS NULL LIMIT 1) AS k;
COMMENT ON VIEW cdp_internal.governed_events IS 'Events for which a rule of retention holds, and which';

CREATE VIEW cdp.retention WITH (security_invoker) AS
  SELECT k.source, k.event, k.type, k.keep, coalesce(e.events, 0) AS events, coalesce(e.due, 0) AS due, e.oldest
  FROM cdp.retention_rules AS k
  LEFT JOIN (SELECT g.rule_source, g.rule_event, g.rule_type, count(*) AS events, pg_catalog.min(g.occurred_at) AS oldest,
                    count(*) FILTER (WHERE g.occurred_at < (pg_catalog.now() AT TIME ZONE 'UTC' - g.keep) AT TIME ZONE 'UTC') AS due
             FROM cdp_internal.governed_events AS g GROUP BY 1, 2, 3) AS e
    ON (e.rule_source, e.rule_event, e.rule_type) IS NOT DISTINCT FROM (k.source, k.event, k.type);
COMMENT ON VIEW cdp.retention IS 'Rules of retention: for how many events each holds, and how many of these are too old. Reads all events';
COMMENT ON COLUMN cdp.retention.due IS 'What the next pass removes';

CREATE VIEW cdp.retention_due WITH (security_invoker) AS
  SELECT g.source, g.event, g.type, pg_catalog.date_trunc('month', g.occurred_at, 'UTC') AS month, count(*) AS events, count(DISTINCT i.profile_id) AS people
  FROM cdp_internal.governed_events AS g JOIN cdp.identifiers AS i USING (identifier_id)
  WHERE g.occurred_at < (pg_catalog.now() AT TIME ZONE 'UTC' - g.keep) AT TIME ZONE 'UTC'
  GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW cdp.retention_due IS 'What will go, by source, event and month. Reads all events';
REVOKE ALL ON TABLE cdp.retention_rules, cdp.retention, cdp.retention_due, cdp_internal.governed_events, cdp_internal.retention_passes, cdp_internal.retention_queue FROM PUBLIC;

-- Other rules: all is looked at again, and what was found by the old ones stays.
CREATE FUNCTION cdp_internal.reset_retention() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.take_turn('cdp.retention_rules');
  DELETE FROM cdp_internal.retention_queue;
  DELETE FROM cdp_internal.retention_passes;
$$;
COMMENT ON FUNCTION cdp_internal.reset_retention() IS 'Part of cdp.set_retention';

CREATE FUNCTION cdp.set_retention(source text DEFAULT NULL, event text DEFAULT NULL, keep interval DEFAULT NULL, type text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF keep <= interval '0' OR keep > interval '1000 years' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('keep must be more than nothing and at most 1000 years, not %s', keep),
      HINT = 'Without it events are kept for ever.';
  ELSIF type NOT IN ('track', 'page', 'screen') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('type must be track, page or screen, not "%s"', type),
      HINT = 'Other messages say something about people, and are kept as facts.';
  ELSIF source = '' OR event = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'source and event must not be empty', HINT = 'NULL is any.';
  ELSIF NOT EXISTS (SELECT FROM cdp.sources AS s WHERE s.source = set_retention.source) AND source IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('source "%s" does not exist', source),
      HINT = 'SELECT source FROM cdp.sources lists them.';
  END IF;
  PERFORM cdp_internal.reset_retention();
  INSERT INTO cdp.retention_rules (source, event, type, keep) VALUES (set_retention.source, set_retention.event, set_retention.type, set_retention.keep)
    ON CONFLICT (coalesce(retention_rules.source, ''), coalesce(retention_rules.event, ''), coalesce(retention_rules.type, ''))
    DO UPDATE SET keep = excluded.keep, set_by = session_user, set_at = clock_timestamp();
END $$;
COMMENT ON FUNCTION cdp.set_retention(text, text, interval, text) IS
  'Says how long events of a source, name and type are kept after they happened; null is any, and for ever. The worker, CALL cdp.run() or CALL cdp.apply_retention() removes what is older, see cdp.retention_due. Errors: 42704 no such source, 22023 no time, or another type';

CREATE FUNCTION cdp.drop_retention(source text DEFAULT NULL, event text DEFAULT NULL, type text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.reset_retention();
  DELETE FROM cdp.retention_rules AS k
    WHERE (k.source, k.event, k.type) IS NOT DISTINCT FROM (drop_retention.source, drop_retention.event, drop_retention.type);
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object',
      MESSAGE = format('there is no retention of %s', coalesce(nullif(concat_ws(' and ', 'source "' || source || '"', 'event "' || event || '"', 'type ' || type), ''), 'everything')),
      HINT = 'SELECT * FROM cdp.retention_rules lists what there is.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp.drop_retention(text, text, text) IS
  'Takes a rule of retention back, and what it is about to remove stays; what it removed is gone. Errors: 42704 no such rule';

-- Of these events those that are still these identifiers'. In ranges of time, so that few months are looked into.
CREATE FUNCTION cdp_internal.take_events(identifiers bigint[], events bigint[], since timestamptz, until timestamptz, archive text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  taken bigint;
  rows  cdp.event_records[];
BEGIN
  WITH gone AS (
    DELETE FROM cdp.event_records AS r
      WHERE r.event_id = ANY (events) AND r.identifier_id = ANY (identifiers) AND r.occurred_at >= since AND r.occurred_at <= until RETURNING r.*
  ), forgotten AS (
    DELETE FROM cdp.kept_messages AS k USING gone AS g WHERE k.decision_seq = g.event_id AND archive IS NULL
  ), trace AS (
    INSERT INTO cdp.removed_events (event_id, identifier_id, source_id, type, occurred_at, received_at, message_id, carried, archive)
    SELECT g.event_id, g.identifier_id, g.source_id, g.type, g.occurred_at, g.received_at, g.message_id, g.carried, take_events.archive FROM gone AS g
  )
  SELECT count(*), array_agg(g::cdp.event_records) FILTER (WHERE archive IS NOT NULL) INTO taken, rows FROM gone AS g;
  IF rows IS NOT NULL THEN
    EXECUTE format('INSERT INTO %s SELECT t.* FROM unnest($1) AS t', archive) USING rows;
  END IF;
  RETURN taken;
END $$;
COMMENT ON FUNCTION cdp_internal.take_events(bigint[], bigint[], timestamptz, timestamptz, text) IS 'Part of cdp_internal.move_events';

CREATE FUNCTION cdp_internal.move_events(identifiers bigint[], events bigint[], since timestamptz, until timestamptz, archive text, back boolean, reason text)
  RETURNS bigint LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_move_events';
COMMENT ON FUNCTION cdp_internal.move_events(bigint[], bigint[], timestamptz, timestamptz, text, boolean, text) IS
  'Takes events out, or puts archived ones back, and judges their people by what is there then; how many';

-- The first month from a place on in which there may be events; null: there is none.
CREATE FUNCTION cdp_internal.month_from(place timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT min(x.month) FROM (
    SELECT m.month FROM cdp.event_months AS m WHERE m.month >= place
    UNION ALL
    SELECT date_trunc('month', min(o.occurred_at), 'UTC') FROM cdp_months.events_other AS o WHERE o.occurred_at >= place) AS x
$$;
COMMENT ON FUNCTION cdp_internal.month_from(timestamptz) IS 'Part of cdp.apply_retention';

CREATE FUNCTION cdp_internal.begin_retention() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  numbered bigint;
  newest   xid8;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.retention_rules');
  numbered := (SELECT s.last_value FROM cdp.decision_seq AS s);
  -- Who drew such a number and is not done has an xid below one that is assigned now: see find_old_events. The xmax of a snapshot may be that
  -- of somebody who is not done. Null: nobody can say, as we have had ours before.
  IF pg_current_xact_id_if_assigned() IS NULL THEN
    newest := pg_current_xact_id();
  END IF;
  INSERT INTO cdp_internal.retention_passes DEFAULT VALUES ON CONFLICT DO NOTHING;
  UPDATE cdp_internal.retention_passes AS p
    SET as_of = now(), through = numbered, newest_xid = newest, saw_all = NULL, month = cdp_internal.month_from('-infinity'),
        place = NULL, began_at = clock_timestamp(), updated_at = clock_timestamp(), removed = 0
    WHERE p.as_of IS NULL AND EXISTS (SELECT FROM cdp.retention_rules AS k WHERE k.keep IS NOT NULL);
END $$;
COMMENT ON FUNCTION cdp_internal.begin_retention() IS 'Part of cdp.apply_retention';

-- Reads on, so many events at most, and queues those that are too old. Those of months before all that became too old since the pass
-- before only where they came since: their numbers say so.
CREATE FUNCTION cdp_internal.find_old_events(most integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p      cdp_internal.retention_passes;
  upto   timestamptz;
  known  timestamptz;
  until  timestamptz;
  number bigint;
  last   bigint;
  seen   bigint := 0;
BEGIN
  SELECT * INTO p FROM cdp_internal.retention_passes;
  SELECT max((p.as_of AT TIME ZONE 'UTC' - k.keep) AT TIME ZONE 'UTC'), min((p.kept_as_of AT TIME ZONE 'UTC' - k.keep) AT TIME ZONE 'UTC') INTO upto, known
    FROM cdp.retention_rules AS k WHERE k.keep IS NOT NULL;
  p.saw_all := coalesce(p.saw_all, pg_snapshot_xmin(pg_current_snapshot()) >= p.newest_xid);
  WHILE p.month < upto AND seen < most LOOP
    until := cdp_internal.next_month(p.month);
    p.place := coalesce(p.place, CASE WHEN until <= known THEN p.kept_through ELSE 0 END);
    SELECT count(*), max(x.event_id) INTO number, last
      FROM (SELECT r.event_id FROM cdp.event_records AS r WHERE r.occurred_at >= p.month AND r.occurred_at < until AND r.event_id > p.place
            ORDER BY r.event_id LIMIT most) AS x;
    INSERT INTO cdp_internal.retention_queue (identifier_id, event_id, occurred_at)
      SELECT g.identifier_id, g.event_id, g.occurred_at FROM cdp_internal.governed_events AS g
      WHERE g.occurred_at >= p.month AND g.occurred_at < until AND g.event_id > p.place AND g.event_id <= last
        AND g.occurred_at < (p.as_of AT TIME ZONE 'UTC' - g.keep) AT TIME ZONE 'UTC'
        AND (g.occurred_at >= (p.kept_as_of AT TIME ZONE 'UTC' - g.keep) AT TIME ZONE 'UTC' OR g.event_id > p.kept_through)
      ON CONFLICT DO NOTHING;
    seen := seen + number;
    p.place := last;
    IF number < most THEN
      p.month := cdp_internal.month_from(until);
      p.place := NULL;
    END IF;
  END LOOP;
  IF p.month >= upto THEN
    p.month := NULL;
  END IF;
  UPDATE cdp_internal.retention_passes SET saw_all = p.saw_all, month = p.month, place = p.place, updated_at = clock_timestamp();
END $$;
COMMENT ON FUNCTION cdp_internal.find_old_events(integer) IS 'Part of cdp.apply_retention';

CREATE FUNCTION cdp_internal.remove_old_events(most integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owners bigint[];
  events bigint[];
  since  timestamptz;
  until  timestamptz;
  gone   bigint;
BEGIN
  WITH batch AS (
    SELECT q.identifier_id, q.event_id FROM cdp_internal.retention_queue AS q ORDER BY q.identifier_id, q.event_id LIMIT most
  ), taken AS (
    DELETE FROM cdp_internal.retention_queue AS q USING batch AS b WHERE q.identifier_id = b.identifier_id AND q.event_id = b.event_id RETURNING q.*
  )
  SELECT array_agg(DISTINCT t.identifier_id), array_agg(t.event_id), min(t.occurred_at), max(t.occurred_at) INTO owners, events, since, until FROM taken AS t;
  gone := cdp_internal.move_events(owners, events, since, until, NULL, false, 'retention');
  -- They have another owner by now.
  INSERT INTO cdp_internal.retention_queue (identifier_id, event_id, occurred_at)
    SELECT r.identifier_id, r.event_id, r.occurred_at FROM cdp.event_records AS r
    WHERE r.event_id = ANY (events) AND r.occurred_at >= since AND r.occurred_at <= until ON CONFLICT DO NOTHING;
  UPDATE cdp_internal.retention_passes SET removed = removed + gone, updated_at = clock_timestamp();
END $$;
COMMENT ON FUNCTION cdp_internal.remove_old_events(integer) IS 'Part of cdp.apply_retention';

-- Events of withdrawn messages are kept for no longer than others. Looks at so many; whether there are more.
CREATE FUNCTION cdp_internal.forget_withdrawn_events(most integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p      cdp_internal.retention_passes;
  number bigint;
  last   bigint;
BEGIN
  SELECT * INTO p FROM cdp_internal.retention_passes;
  WITH seen AS MATERIALIZED (
    SELECT w.event_id, w.source_id, w.event, w.type, w.occurred_at FROM cdp.withdrawn_events AS w
      WHERE w.event_id > coalesce(p.place, 0) ORDER BY w.event_id LIMIT most
  ), gone AS (
    DELETE FROM cdp.withdrawn_events AS d USING seen AS w JOIN cdp.sources AS s USING (source_id)
      WHERE d.event_id = w.event_id AND w.occurred_at < (
        SELECT (p.as_of AT TIME ZONE 'UTC' - k.keep) AT TIME ZONE 'UTC' FROM cdp.retention_rules AS k
        WHERE (k.source IS NULL OR k.source = s.source) AND (k.event IS NULL OR k.event = w.event) AND (k.type IS NULL OR k.type = w.type)
        ORDER BY k.source IS NULL, k.event IS NULL, k.type IS NULL LIMIT 1)
  )
  SELECT count(*), max(n.event_id) INTO number, last FROM seen AS n;
  UPDATE cdp_internal.retention_passes SET place = last, updated_at = clock_timestamp() WHERE number = most;
  RETURN number = most;
END $$;
COMMENT ON FUNCTION cdp_internal.forget_withdrawn_events(integer) IS 'Part of cdp.apply_retention';

CREATE FUNCTION cdp_internal.end_retention() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p        cdp_internal.retention_passes;
  it       record;
  is_empty boolean;
BEGIN
  SELECT * INTO p FROM cdp_internal.retention_passes;
  FOR it IN SELECT m.month, m."table" FROM cdp.event_months AS m WHERE m.month < date_trunc('month', now(), 'UTC') AND p.removed > 0 LOOP
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', it."table") INTO is_empty;
    IF is_empty THEN
      INSERT INTO cdp_internal.empty_months (month) VALUES (it.month) ON CONFLICT DO NOTHING;
    END IF;
  END LOOP;
  UPDATE cdp_internal.retention_passes
    SET kept_as_of = p.as_of, kept_through = CASE WHEN p.saw_all THEN p.through ELSE p.kept_through END, as_of = NULL, updated_at = clock_timestamp();
END $$;
COMMENT ON FUNCTION cdp_internal.end_retention() IS 'Part of cdp.apply_retention';

-- One batch in this transaction. waiting: goes on with the pass that began; else begins one every hour, and leaves others alone who are at it.
CREATE FUNCTION cdp_internal.keep_events(waiting boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p    cdp_internal.retention_passes;
  most constant integer := least(500, coalesce(current_setting('cdp.batch_size', true), '500')::integer);
BEGIN
  IF waiting THEN
    PERFORM cdp_internal.take_turn('cdp.retention_rules');
  ELSIF NOT EXISTS (SELECT FROM cdp.retention_rules) OR NOT cdp_internal.try_turn('cdp.retention_rules') THEN
    RETURN 0;
  END IF;
  SELECT * INTO p FROM cdp_internal.retention_passes;
  IF NOT EXISTS (SELECT FROM cdp.retention_rules AS k WHERE k.keep IS NOT NULL) THEN
    RETURN 0;
  ELSIF p.as_of IS NULL THEN
    IF waiting OR p.kept_as_of > now() - interval '1 hour' THEN
      RETURN 0;
    END IF;
    PERFORM cdp_internal.begin_retention();
  ELSIF EXISTS (SELECT FROM cdp_internal.retention_queue) THEN
    PERFORM cdp_internal.remove_old_events(most);
  ELSIF p.month IS NOT NULL THEN
    PERFORM cdp_internal.find_old_events(20000);
  ELSIF NOT cdp_internal.forget_withdrawn_events(20000) THEN
    PERFORM cdp_internal.end_retention();
  END IF;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.keep_events(boolean) IS 'Part of cdp.run and cdp.apply_retention: a batch of retention; 0: nothing is too old';

-- First the pass that is running, which began before now.
CREATE PROCEDURE cdp.apply_retention() LANGUAGE plpgsql AS $$
DECLARE
  done pg_catalog.int8;
BEGIN
  PERFORM cdp_internal.need_own_transactions('cdp.apply_retention');
  FOR pass IN 1 .. 2 LOOP
    LOOP
      done := cdp_internal.keep_events(true);
      COMMIT;
      EXIT WHEN done OPERATOR(pg_catalog.=) 0;
    END LOOP;
    IF pass OPERATOR(pg_catalog.=) 1 THEN
      PERFORM cdp_internal.begin_retention();
      COMMIT;
    END IF;
  END LOOP;
END $$;
COMMENT ON PROCEDURE cdp.apply_retention() IS
  'Removes what is too old by cdp.retention_rules now, as the worker does every hour: a transaction a batch, so that cancelling leaves nothing half done; the worker goes on with it. See cdp.progress. Errors: 25001 inside a transaction block';
CREATE FUNCTION cdp_internal.retention_health() RETURNS TABLE (check_name text, status text, value text, advice text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'retention', CASE WHEN l.is_late THEN 'warning' ELSE 'ok' END,
         CASE WHEN k.rules = 0 THEN 'all events are kept for ever'
              ELSE format('%s, %s', CASE k.rules WHEN 1 THEN '1 rule' ELSE k.rules || ' rules' END,
                          CASE WHEN p.kept_as_of > '-infinity' THEN 'applied ' || to_char(p.kept_as_of, 'YYYY-MM-DD HH24:MI:SS') ELSE 'not applied yet' END) END,
         CASE WHEN l.is_late THEN 'The worker, or CALL cdp.apply_retention(), removes what is too old: is one running? cdp.retention_due shows what waits.' END
  FROM (SELECT count(*) AS rules, max(o.set_at) AS set_at FROM cdp.retention_rules AS o WHERE o.keep IS NOT NULL) AS k
  LEFT JOIN cdp_internal.retention_passes AS p ON true
  CROSS JOIN LATERAL (SELECT k.rules > 0 AND greatest(p.kept_as_of, k.set_at, p.updated_at) < now() - interval '2 hours' AS is_late) AS l
$$;
COMMENT ON FUNCTION cdp_internal.retention_health() IS 'Part of cdp.health(): whether events that are too old go';

REVOKE ALL ON FUNCTION cdp_internal.take_events(bigint[], bigint[], timestamptz, timestamptz, text), cdp_internal.begin_retention() FROM PUBLIC;
