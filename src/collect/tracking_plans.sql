-- tracking plans: what a source is expected to send, and where its messages do not keep to it.

CREATE TABLE cdp.tracking_plans (
  source_id  integer NOT NULL PRIMARY KEY,
  plan       jsonb NOT NULL,
  mode       text NOT NULL DEFAULT 'observe' CHECK (mode IN ('observe', 'quarantine')),
  is_enabled boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  changed_by name NOT NULL DEFAULT session_user
);
COMMENT ON TABLE cdp.tracking_plans IS 'What each source is expected to send: events by name, and JSON Schemas of their properties and of traits';
COMMENT ON COLUMN cdp.tracking_plans.mode IS
  'observe: messages that do not keep to it are counted and taken; quarantine: they are counted and go to quarantine';
SELECT pg_catalog.pg_extension_config_dump('cdp.tracking_plans', '');

CREATE VIEW cdp.tracking_violations WITH (security_invoker) AS
  SELECT c.source, c.type, c.event, c.property, c.violation, pg_catalog.sum(c.messages)::bigint AS messages,
         pg_catalog.min(c.first_at) AS first_at, pg_catalog.max(c.last_at) AS last_at,
         (pg_catalog.array_agg(c.found ORDER BY c.last_at DESC))[1] AS found,
         (pg_catalog.array_agg(c.message_id ORDER BY c.last_at DESC))[1] AS message_id
  FROM cdp_internal.all_source_counts AS c WHERE c.what = 'violation' GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW cdp.tracking_violations IS
  'Where messages do not keep to the tracking plan of their source, by event and property: how many, since when, and an example';
COMMENT ON COLUMN cdp.tracking_violations.violation IS
  'The keyword of the schema that does not hold; unplanned: the plan has no such event; more: of a message with over 100 different ones, the rest';
COMMENT ON COLUMN cdp.tracking_violations.found IS 'What the latest of these messages had there, shortened';

CREATE FUNCTION cdp_internal.check_plan(plan jsonb) RETURNS void
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_check_plan';
COMMENT ON FUNCTION cdp_internal.check_plan(jsonb) IS '22023 for a tracking plan that cannot be used, with the place and the reason';

CREATE FUNCTION cdp_internal.check_plan_mode(mode text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF mode NOT IN ('observe', 'quarantine') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('unknown mode "%s" of a tracking plan', mode),
      HINT = 'It is observe or quarantine.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_plan_mode(text) IS '22023 for another mode than there are';

-- Not a trigger, which would run when a dump is restored.
CREATE FUNCTION cdp_internal.version_plan(source_id integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE cdp.sources AS s SET settings = NULL WHERE s.source_id = version_plan.source_id
$$;
COMMENT ON FUNCTION cdp_internal.version_plan(integer) IS 'Gives the settings of a plan''s source a new version';

CREATE FUNCTION cdp.create_tracking_plan(source text, plan jsonb, mode text DEFAULT 'observe') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_source(source);
BEGIN
  IF plan IS NULL OR mode IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a plan and its mode must not be null';
  END IF;
  PERFORM cdp_internal.check_plan_mode(mode), cdp_internal.check_plan(plan);
  INSERT INTO cdp.tracking_plans (source_id, plan, mode) VALUES (id, plan, mode) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('source "%s" has a tracking plan', source),
      HINT = 'cdp.alter_tracking_plan changes it.';
  END IF;
  PERFORM cdp_internal.version_plan(id);
END $$;
COMMENT ON FUNCTION cdp.create_tracking_plan(text, jsonb, text) IS
  'Holds the messages to come of a source against {"events": {"Order Completed": SCHEMA}, "pages": {…}, "screens": {…}, "traits": SCHEMA, "group_traits": SCHEMA}; parts that are absent are not looked at, "*" is any other name. mode: observe, or quarantine. Errors: 42704 no such source, 42710 it has a plan, 22023 what is wrong with the plan, and where';

CREATE FUNCTION cdp_internal.known_plan(source text) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_source(source);
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.tracking_plans AS p WHERE p.source_id = id) THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('source "%s" has no tracking plan', source),
      HINT = 'cdp.create_tracking_plan makes one, cdp.discover_tracking_plan writes one from what has been seen.';
  END IF;
  RETURN id;
END $$;
COMMENT ON FUNCTION cdp_internal.known_plan(text) IS 'The id of a source that has a tracking plan; 42704 when it has none';

CREATE FUNCTION cdp.alter_tracking_plan(source text, plan jsonb DEFAULT NULL, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_plan(source);
BEGIN
  PERFORM cdp_internal.check_plan_mode(mode), cdp_internal.check_plan(plan);
  UPDATE cdp.tracking_plans AS p SET plan = coalesce(alter_tracking_plan.plan, p.plan),
      mode = coalesce(alter_tracking_plan.mode, p.mode), changed_at = now(), changed_by = session_user
    WHERE p.source_id = id;
  PERFORM cdp_internal.version_plan(id);
END $$;
COMMENT ON FUNCTION cdp.alter_tracking_plan(text, jsonb, text) IS
  'Changes the plan, its mode, or both, for messages to come. Errors: 42704 no such source or plan, 22023 what is wrong with the plan, and where';

CREATE FUNCTION cdp_internal.switch_plan(source text, is_enabled boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_plan(source);
BEGIN
  UPDATE cdp.tracking_plans AS p SET is_enabled = switch_plan.is_enabled, changed_at = now(), changed_by = session_user
    WHERE p.source_id = id AND p.is_enabled <> switch_plan.is_enabled;
  PERFORM cdp_internal.version_plan(id);
END $$;
COMMENT ON FUNCTION cdp_internal.switch_plan(text, boolean) IS 'Part of cdp.enable_tracking_plan and cdp.disable_tracking_plan';

CREATE FUNCTION cdp.disable_tracking_plan(source text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT cdp_internal.switch_plan(source, false) $$;
COMMENT ON FUNCTION cdp.disable_tracking_plan(text) IS 'Holds no more messages against the plan, and keeps it. Errors: 42704 no such source or plan';
CREATE FUNCTION cdp.enable_tracking_plan(source text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT cdp_internal.switch_plan(source, true) $$;
COMMENT ON FUNCTION cdp.enable_tracking_plan(text) IS 'Holds messages against the plan again. Errors: 42704 no such source or plan';

CREATE FUNCTION cdp.drop_tracking_plan(source text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_plan(source);
BEGIN
  DELETE FROM cdp.tracking_plans AS p WHERE p.source_id = id;
  PERFORM cdp_internal.version_plan(id);
END $$;
COMMENT ON FUNCTION cdp.drop_tracking_plan(text) IS 'Removes the plan; what was counted by it stays. Errors: 42704 no such source or plan';

CREATE FUNCTION cdp.clear_tracking_violations(source text, before timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant integer := cdp_internal.known_source(source);
  cleared bigint;
  waiting bigint;
BEGIN
  PERFORM cdp_internal.take_turn('cdp_internal.source_counts');
  DELETE FROM cdp_internal.source_totals AS t
    WHERE t.source = clear_tracking_violations.source AND t.what = 'violation' AND t.last_at <= before;
  GET DIAGNOSTICS cleared = ROW_COUNT;
  DELETE FROM cdp_internal.source_counts AS c
    WHERE c.source = clear_tracking_violations.source AND c.what = 'violation' AND c.last_at <= before;
  GET DIAGNOSTICS waiting = ROW_COUNT;
  RETURN cleared + waiting;
END $$;
COMMENT ON FUNCTION cdp.clear_tracking_violations(text, timestamptz) IS
  'Forgets what was counted of violations that were last seen before, once their cause is mended; how many rows. Errors: 42704 no such source';

-- The schema of objects: what types their members had, and which were always there.
CREATE FUNCTION cdp_internal.infer_schemas(objects text, source_id integer, since timestamptz)
  RETURNS TABLE (type text, event text, schema jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY EXECUTE format($query$
    WITH said AS (%s), everything AS (
      SELECT s.type, s.event, count(*) AS messages FROM said AS s GROUP BY 1, 2
    ), members AS (
      SELECT s.type, s.event, m.key, count(*) AS messages,
             array_agg(DISTINCT CASE jsonb_typeof(m.value) WHEN 'number' THEN
               CASE WHEN (m.value)::numeric = trunc((m.value)::numeric) THEN 'integer' ELSE 'number' END
               ELSE jsonb_typeof(m.value) END) AS types
      FROM said AS s CROSS JOIN LATERAL jsonb_each(s.object) AS m GROUP BY 1, 2, 3
    )
    SELECT e.type, e.event, jsonb_strip_nulls(jsonb_build_object('type', 'object',
      'properties', jsonb_object_agg(m.key, jsonb_build_object('type',
          CASE WHEN cardinality(n.types) = 1 THEN to_jsonb(n.types[1]) ELSE to_jsonb(n.types) END)) FILTER (WHERE m.key IS NOT NULL),
      'required', jsonb_agg(m.key ORDER BY m.key) FILTER (WHERE m.messages = e.messages)))
    FROM everything AS e
    LEFT JOIN members AS m ON m.type = e.type AND m.event IS NOT DISTINCT FROM e.event
    LEFT JOIN LATERAL (SELECT CASE WHEN 'number' = ANY (m.types) THEN array_remove(m.types, 'integer') ELSE m.types END AS types) AS n ON true
    GROUP BY e.type, e.event$query$, objects) USING source_id, since;
END $$;
COMMENT ON FUNCTION cdp_internal.infer_schemas(text, integer, timestamptz) IS 'Part of cdp.discover_tracking_plan';

CREATE FUNCTION cdp.discover_tracking_plan(source text, since timestamptz DEFAULT '-infinity') RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id   constant integer := cdp_internal.known_source(source);
  plan jsonb := '{}';
  part record;
BEGIN
  FOR part IN
    SELECT CASE i.type WHEN 'track' THEN 'events' WHEN 'page' THEN 'pages' ELSE 'screens' END AS name,
           jsonb_object_agg(coalesce(i.event, ''), i.schema) AS value
    FROM cdp_internal.infer_schemas('SELECT r.type, r.event, coalesce(r.properties, ''{}'') AS object FROM cdp.event_records AS r
      WHERE r.source_id = $1 AND r.received_at >= $2', id, since) AS i GROUP BY 1
    UNION ALL
    SELECT CASE i.type WHEN 'identify' THEN 'traits' ELSE 'group_traits' END, i.schema
    FROM cdp_internal.infer_schemas('SELECT a.type, NULL::text AS event, coalesce(a.traits, ''{}'') AS object FROM cdp.assertions AS a
      WHERE a.source_id = $1 AND a.received_at >= $2 AND a.type IN (''identify'', ''group'')', id, since) AS i
  LOOP
    plan := plan || jsonb_build_object(part.name, part.value);
  END LOOP;
  RETURN plan;
END $$;
COMMENT ON FUNCTION cdp.discover_tracking_plan(text, timestamptz) IS
  'Writes a tracking plan from what a source has sent, since then: events, their properties and traits with the types that were seen, required what was always there. Reads all its messages. Whatever it was made from keeps to it. Errors: 42704 no such source';
