-- why: each condition of a segment for one person, what it saw, and what is missing.

CREATE FUNCTION cdp_internal.explain_segment(segment_id integer, profile_id bigint, traits text)
  RETURNS TABLE (condition text, holds boolean, "values" jsonb, evidence jsonb, key text, needed text, part_of text, asked text[])
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_explain_segment';
REVOKE ALL ON FUNCTION cdp_internal.explain_segment(integer, bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.explain_segment(integer, bigint, text) IS 'The conditions of a rule for one person';

CREATE FUNCTION cdp_internal.trait_evidence(profile_id bigint, asked text[]) RETURNS jsonb LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg('trait ' || t.name, jsonb_strip_nulls(jsonb_build_object(
           'since', timestamptz '2000-01-01 00:00:00+00' + make_interval(secs => (p.trait_origins -> t.name ->> 0)::numeric / 1000000),
           'source', s.source, 'decision_seq', p.trait_origins -> t.name -> 1))), '{}')
  FROM unnest(asked) AS t (name) JOIN cdp.profiles AS p ON p.profile_id = $1
  LEFT JOIN cdp.assertions AS a ON a.decision_seq = (p.trait_origins -> t.name ->> 1)::bigint
  LEFT JOIN cdp.sources AS s USING (source_id)
  WHERE p.trait_origins ? t.name
$$;
REVOKE ALL ON FUNCTION cdp_internal.trait_evidence(bigint, text[]) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.trait_evidence(bigint, text[]) IS 'Since when a person has these traits, and who said so';

-- Row level security is asked as the caller: a rule's values are told as its owner sees them.
CREATE FUNCTION cdp_internal.visible_profile(caller jsonb, profile_id bigint) RETURNS bigint LANGUAGE sql
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.id FROM cdp.current_profile(profile_id) AS p (id)
  WHERE EXISTS (SELECT FROM cdp_internal.query_as_owner((caller ->> 'role')::name, 'UTC', 'pg_catalog', 'ISO, MDY', 'postgres',
                  format('SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id = %L', p.id)))
$$;
COMMENT ON FUNCTION cdp_internal.visible_profile(jsonb, bigint) IS 'Who a profile_id stands for today, if the caller may see them';

CREATE FUNCTION cdp_internal.why_member(caller jsonb, name text, profile_id bigint)
  RETURNS TABLE (condition text, holds boolean, "values" jsonb, evidence jsonb, key text, needed text, part_of text)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  chosen cdp.segments := (SELECT s FROM cdp.segments AS s WHERE s.name = $2 AND s.kind <> 'trait');
  person bigint := cdp_internal.visible_profile($1, $3);
  known  text := (SELECT p.traits::text FROM cdp.profiles AS p WHERE p.profile_id = person);
BEGIN
  IF chosen.segment_id IS NULL THEN
    PERFORM cdp_internal.refuse_segment($2);
  ELSIF $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'profile_id must not be null',
      HINT = 'cdp.lookup(type, value) is null where nobody has that identifier.';
  ELSIF known IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('profile %s does not exist', $3),
      HINT = 'cdp.lookup(type, value) finds a person''s profile_id.';
  END IF;
  BEGIN
    RETURN QUERY
      SELECT x.condition, x.holds, x."values", x.evidence || cdp_internal.trait_evidence(person, x.asked), x.key, x.needed, x.part_of
      FROM cdp_internal.explain_segment(chosen.segment_id, person, known) AS x;
  EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('the rule of segment "%s" fails for this person: %s', $2, SQLERRM),
      HINT = 'Their membership stays as it was before: SELECT * FROM cdp.segment_errors;';
  END;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'per ' || chosen.per, false, '{}'::jsonb, '{}'::jsonb, NULL::text, 'is nothing, needs an event'::text, NULL::text;
  END IF;
  -- A row for each membership, or the next one to come: when time alone would change it.
  RETURN QUERY
    SELECT 'until'::text, m.entered_at <= now(),
           jsonb_build_object('since', m.entered_at, 'until', m.left_at),
           jsonb_build_object('decision_seq', m.decision_seq), m.key,
           CASE WHEN m.entered_at > now() THEN format('is out, needs time alone: in from %s on', m.entered_at) END, NULL::text
    FROM cdp.memberships AS m
    WHERE m.segment_id = chosen.segment_id AND m.profile_id = person AND m.left_at > now() ORDER BY m.key, m.entered_at;
END $$;
COMMENT ON FUNCTION cdp_internal.why_member(jsonb, text, bigint) IS 'See cdp.why_member';
CREATE FUNCTION cdp.why_member(name text, profile_id bigint)
  RETURNS TABLE (condition text, holds boolean, "values" jsonb, evidence jsonb, key text, needed text, part_of text)
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.why_member(text, bigint) IS
  'Why a person is in a segment, or is not: each condition, its values, the events and traits behind it, and what it needs; then when time alone changes it';
