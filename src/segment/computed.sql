-- computed: traits that are an expression over a person's events, kept by the engine that keeps segments. A definition is a row
-- of cdp.segments of kind trait; that a person has a value is a membership, and its key is the value.

CREATE FUNCTION cdp_internal.refuse_computed_trait(name text) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF $1 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('computed trait "%s" does not exist', $1),
    HINT = coalesce((SELECT 'There are: ' || string_agg(c.name, ', ') || '.' FROM (SELECT s.name FROM cdp.segments AS s
                       WHERE s.kind = 'trait' AND s.replaces IS NULL ORDER BY lower(left(s.name, 1)) <> lower(left($1, 1)), s.name LIMIT 5) AS c),
                    'There are none yet: cdp.create_computed_trait(name, expression) makes one.');
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_computed_trait(text) IS 'Raises the error of an unknown computed trait, or of none';

CREATE VIEW cdp.computed_traits WITH (security_invoker) AS
  SELECT s.name, s.rule AS expression, s.time_zone, s.owner, s.state, s.version, s.created_at,
         ARRAY(SELECT o.name FROM cdp.segment_dependencies AS d JOIN cdp.segments AS o ON o.segment_id = d.on_segment_id
               WHERE d.segment_id = s.segment_id ORDER BY o.name) AS asks_about
  FROM cdp.segments AS s WHERE s.kind = 'trait' AND s.replaces IS NULL;
COMMENT ON VIEW cdp.computed_traits IS 'Every computed trait with its expression; see cdp.create_computed_trait';

-- A segment's keys are no JSON: what asks for a value must not be tried before what the row is of.
CREATE VIEW cdp.computed_trait_values WITH (security_invoker) AS
  SELECT s.name AS trait, m.profile_id, CASE s.kind WHEN 'trait' THEN m.key::jsonb END AS value, m.entered_at AS since, m.left_at AS until
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE m.entered_at <= pg_catalog.now() AND m.left_at > pg_catalog.now() AND s.kind = 'trait' AND s.replaces IS NULL;
COMMENT ON VIEW cdp.computed_trait_values IS
  'What everybody''s computed traits are now; until: when the value changes if nothing new happens. Who has none has no row';

CREATE VIEW cdp.computed_trait_history WITH (security_invoker) AS
  SELECT s.name AS trait, m.profile_id, CASE s.kind WHEN 'trait' THEN m.key::jsonb END AS value, m.entered_at AS since, m.left_at AS until, m.decision_seq
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE m.entered_at <= pg_catalog.now() AND s.kind = 'trait' AND s.replaces IS NULL;
COMMENT ON VIEW cdp.computed_trait_history IS 'Every value a computed trait has had, from when until when, as it was known';

-- A person's, by the index of people: as cheap as the person's traits.
CREATE VIEW cdp.people WITH (security_invoker) AS
  SELECT p.profile_id, p.public_id, p.traits,
         (SELECT coalesce(jsonb_object_agg(s.name, m.key::jsonb), '{}') FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
          WHERE m.profile_id = p.profile_id AND m.entered_at <= pg_catalog.now() AND m.left_at > pg_catalog.now()
            AND s.kind = 'trait' AND s.replaces IS NULL) AS computed,
         p.last_seen_at
  FROM cdp.profiles AS p;
COMMENT ON VIEW cdp.people IS 'One row a person, with the golden traits and the computed traits of now';

CREATE FUNCTION cdp_internal.create_computed_trait(caller jsonb, named text, expression text, time_zone text, background boolean) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.segments;
BEGIN
  IF expression IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a computed trait needs an expression',
      HINT = 'For example count(*) FILTER (WHERE event = ''Order Completed'').';
  END IF;
  d := cdp_internal.begin_definition(caller, named, 'trait');
  d.rule := expression;
  d.time_zone := coalesce(time_zone, 'UTC');
  d := cdp_internal.compile_definition(d);
  d.segment_id := nextval('cdp.segments_segment_id_seq');
  PERFORM cdp_internal.add_definition(d, background);
  RETURN d.segment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.create_computed_trait(jsonb, text, text, text, boolean) IS 'See cdp.create_computed_trait';
CREATE FUNCTION cdp.create_computed_trait(name text, expression text, time_zone text DEFAULT 'UTC', background boolean DEFAULT false)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.create_computed_trait(text, text, text, boolean) IS
  'Creates a trait that is an expression over a person''s events and traits, in the language of segment rules but of any type, and keeps it exact: sum((properties->>''total'')::numeric) FILTER (WHERE event = ''Order Completed''). Rules and other computed traits ask for it as computed->>''name''. Who has no value (null) has no such trait. background: the worker, or CALL cdp.run(), finds everybody''s. Errors: 42601 and others at the character of the expression, 42710 the name is taken, 0A000 what could not be kept exact';

CREATE FUNCTION cdp_internal.alter_computed_trait(caller jsonb, named text, expression text, time_zone text, background boolean) RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.alter_segment(caller || '{"computed": true}', named, expression, NULL, NULL, NULL, time_zone, background)
$$;
COMMENT ON FUNCTION cdp_internal.alter_computed_trait(jsonb, text, text, text, boolean) IS 'See cdp.alter_computed_trait';
CREATE FUNCTION cdp.alter_computed_trait(name text, expression text DEFAULT NULL, time_zone text DEFAULT NULL, background boolean DEFAULT true)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.alter_computed_trait(text, text, text, boolean) IS
  'Gives a computed trait a new version of its expression and returns its number. Values stay as they are until the worker, or CALL cdp.run(), has judged everybody, and change in one commit then; background => false: in this one, and messages wait';

CREATE FUNCTION cdp_internal.rename_computed_trait(caller jsonb, named text, new_name text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.rename_segment(caller || '{"computed": true}', named, new_name)
$$;
COMMENT ON FUNCTION cdp_internal.rename_computed_trait(jsonb, text, text) IS 'See cdp.rename_computed_trait';
CREATE FUNCTION cdp.rename_computed_trait(name text, new_name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.rename_computed_trait(text, text) IS 'Gives a computed trait another name, and rewrites the rules that ask for it';

CREATE FUNCTION cdp_internal.drop_computed_trait(caller jsonb, named text, cascading boolean) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.drop_segment(caller || '{"computed": true}', named, cascading)
$$;
COMMENT ON FUNCTION cdp_internal.drop_computed_trait(jsonb, text, boolean) IS 'See cdp.drop_computed_trait';
CREATE FUNCTION cdp.drop_computed_trait(name text, cascade boolean DEFAULT false) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.drop_computed_trait(text, boolean) IS
  'Drops a computed trait with its values and their history. cascade: and the segments and computed traits that ask for it. Errors: 2BP01 when there are such';

CREATE FUNCTION cdp_internal.why_computed_trait(caller jsonb, name text, profile_id bigint)
  RETURNS TABLE (value jsonb, since timestamptz, until timestamptz, "values" jsonb, evidence jsonb)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  chosen cdp.segments := cdp_internal.find_segment($2, true);
  person bigint := cdp_internal.visible_profile($1, $3);
BEGIN
  RETURN QUERY SELECT m.key::jsonb, m.entered_at, m.left_at, e."values", e.evidence
    FROM cdp.profiles AS p CROSS JOIN LATERAL cdp_internal.explain_segment(chosen.segment_id, p.profile_id, p.traits::text) AS e
    LEFT JOIN cdp.memberships AS m ON m.segment_id = chosen.segment_id AND m.profile_id = p.profile_id AND m.entered_at <= now() AND m.left_at > now()
    WHERE p.profile_id = person;
END $$;
COMMENT ON FUNCTION cdp_internal.why_computed_trait(jsonb, text, bigint) IS 'See cdp.why_computed_trait';
CREATE FUNCTION cdp.why_computed_trait(name text, profile_id bigint)
  RETURNS TABLE (value jsonb, since timestamptz, until timestamptz, "values" jsonb, evidence jsonb)
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.why_computed_trait(text, bigint) IS
  'Why a person''s computed trait is what it is: its value since and until when, what each aggregate and trait in the expression is, and how many and which events each counts. Errors: 42704 no such computed trait';
