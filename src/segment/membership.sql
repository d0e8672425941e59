-- membership: who is in which segment, from when until when; the past, the present and the known future.

CREATE TABLE cdp.memberships (
  segment_id   integer NOT NULL,
  profile_id   bigint NOT NULL,
  key          text,
  entered_at   timestamptz NOT NULL,
  left_at      timestamptz NOT NULL DEFAULT 'infinity',
  decision_seq bigint,
  CHECK (entered_at < left_at)
);
-- A key may be longer than an index can hold: a computed trait's value is one.
CREATE UNIQUE INDEX memberships_person ON cdp.memberships (profile_id, segment_id, entered_at, pg_catalog.hashtextextended(key, 0))
  NULLS NOT DISTINCT;
CREATE INDEX memberships_present ON cdp.memberships (segment_id, left_at) INCLUDE (entered_at);
COMMENT ON TABLE cdp.memberships IS
  'Ranges [entered_at, left_at) of being in a segment, ahead into the known future: read cdp.segment_members';
COMMENT ON COLUMN cdp.memberships.key IS 'What the membership is for, by the segment''s per expression; of a computed trait its value, as JSON';
COMMENT ON COLUMN cdp.memberships.left_at IS 'When the person leaves if nothing new happens';
COMMENT ON COLUMN cdp.memberships.decision_seq IS
  'The last decision received at the instant of entry; null when time alone, or the creation of the segment, let the person in';
SELECT pg_catalog.pg_extension_config_dump('cdp.memberships', '');

CREATE VIEW cdp.segment_members WITH (security_invoker) AS
  SELECT s.name AS segment, m.profile_id, m.key, m.entered_at AS since, m.left_at AS until
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE m.entered_at <= pg_catalog.now() AND m.left_at > pg_catalog.now() AND s.replaces IS NULL AND s.kind <> 'trait';
COMMENT ON VIEW cdp.segment_members IS 'Who is in which segment now; until: when they leave if nothing new happens';

CREATE VIEW cdp.membership_history WITH (security_invoker) AS
  SELECT s.name AS segment, m.profile_id, m.key, m.entered_at, m.left_at, m.decision_seq
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE m.entered_at <= pg_catalog.now() AND s.replaces IS NULL AND s.kind <> 'trait';
COMMENT ON VIEW cdp.membership_history IS 'Every membership that has begun, with its end, as it was known';

CREATE FUNCTION cdp_internal.refuse_segment(name text) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  near text;
BEGIN
  IF $1 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  END IF;
  -- Alike: of the letters of both names, the most at the same or a neighbouring place.
  SELECT string_agg(quote_literal(c.name), ', ' ORDER BY c.score DESC, c.name) INTO near
  FROM (SELECT s.name, (SELECT count(*) FROM generate_series(1, length($1)) AS i
                        WHERE strpos(substr(s.name, greatest(i - 1, 1), 3), substr($1, i, 1)) > 0)::numeric
                       / greatest(length(s.name), length($1), 1) AS score
        FROM cdp.segments AS s WHERE s.replaces IS NULL AND s.kind <> 'trait' ORDER BY 2 DESC, 1 LIMIT 3) AS c;
  RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('segment "%s" does not exist', $1),
    HINT = coalesce('Nearest: ' || near || '.', 'There are no segments yet: cdp.create_segment(name, rule) makes one.');
END $$;
REVOKE ALL ON FUNCTION cdp_internal.refuse_segment(text) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.refuse_segment(text) IS 'Raises the error of an unknown segment, or of none';

CREATE FUNCTION cdp.in_segment(name text, profile_id bigint) RETURNS boolean LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen integer := (SELECT s.segment_id FROM cdp.segments AS s WHERE s.name = $1 AND s.replaces IS NULL AND s.kind <> 'trait');
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.refuse_segment($1);
  END IF;
  RETURN EXISTS (SELECT FROM cdp.memberships AS m
                 WHERE m.profile_id = $2 AND m.segment_id = chosen AND m.entered_at <= now() AND m.left_at > now());
END $$;
REVOKE ALL ON FUNCTION cdp.in_segment(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION cdp.in_segment(text, bigint) IS
  'Whether a person is in a segment now, under any key; of somebody who was merged away ask by cdp.current_profile(id). Error: 42704 no such segment';

CREATE FUNCTION cdp.in_segment(name text) RETURNS boolean LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'cdp.in_segment(name) stands in the rule of a segment',
    HINT = 'Elsewhere say who: cdp.in_segment(name, profile_id).';
END $$;
REVOKE ALL ON FUNCTION cdp.in_segment(text) FROM PUBLIC;
COMMENT ON FUNCTION cdp.in_segment(text) IS
  'In rules: whether the person is in another segment, under any key, at the instant the rule is judged. The name is a constant; renaming that segment rewrites the rule';

-- Of all that was said of the trait, the first since something else was said.
CREATE FUNCTION cdp.trait_since(name text, profile_id bigint) RETURNS timestamptz LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  WITH said AS (
    SELECT a.asserted_at, a.decision_seq, (a.traits -> name)::text AS value
    FROM cdp.identifiers AS i CROSS JOIN LATERAL (SELECT * FROM cdp.assertions AS o WHERE o.identifier_id = i.identifier_id OFFSET 0) AS a
    WHERE i.profile_id = $2 AND a.type = 'identify' AND a.traits ? name
  ), latest AS (
    SELECT s.value FROM said AS s ORDER BY s.asserted_at DESC, s.decision_seq DESC LIMIT 1
  )
  SELECT min(s.asserted_at) FROM said AS s
  WHERE NOT EXISTS (SELECT FROM said AS o JOIN latest AS l ON o.value <> l.value
                    WHERE (o.asserted_at, o.decision_seq) >= (s.asserted_at, s.decision_seq))
$$;
REVOKE ALL ON FUNCTION cdp.trait_since(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION cdp.trait_since(text, bigint) IS
  'Since when a person''s trait has had the value it has, or has been removed, with nothing else said in between; null when nothing was ever said of it';

CREATE FUNCTION cdp.trait_since(name text) RETURNS timestamptz LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'cdp.trait_since(name) stands in the rule of a segment',
    HINT = 'Elsewhere say whose: cdp.trait_since(name, profile_id).';
END $$;
REVOKE ALL ON FUNCTION cdp.trait_since(text) FROM PUBLIC;
COMMENT ON FUNCTION cdp.trait_since(text) IS 'In rules: cdp.trait_since(name, profile_id) of the person it is about. The name is a constant';

CREATE FUNCTION cdp_internal.judge_at(segment_id integer, at timestamptz)
  RETURNS TABLE (profile_id bigint, key text) LANGUAGE c STRICT STABLE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_judge_segment_at';
REVOKE ALL ON FUNCTION cdp_internal.judge_at(integer, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.judge_at(integer, timestamptz) IS 'Part of cdp.members(): by the rule and all that is known today';

CREATE FUNCTION cdp.members(name text, at timestamptz DEFAULT pg_catalog.now(), as_known text DEFAULT 'then')
  RETURNS TABLE (profile_id bigint, key text, since timestamptz, until timestamptz) LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  chosen integer := (SELECT s.segment_id FROM cdp.segments AS s WHERE s.name = $1 AND s.kind <> 'trait');
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.refuse_segment($1);
  ELSIF num_nulls($2, $3) > 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s must not be null', CASE WHEN $2 IS NULL THEN 'at' ELSE 'as_known' END);
  END IF;
  IF as_known = 'then' THEN
    RETURN QUERY SELECT m.profile_id, m.key, m.entered_at, m.left_at FROM cdp.memberships AS m
      WHERE m.segment_id = chosen AND m.entered_at <= $2 AND m.left_at > $2;
  ELSIF as_known = 'now' THEN
    RETURN QUERY SELECT j.profile_id, j.key, NULL::timestamptz, NULL::timestamptz FROM cdp_internal.judge_at(chosen, $2) AS j
      JOIN cdp.profiles AS p ON p.profile_id = j.profile_id; -- nobody but whom the caller may see
  ELSE
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('as_known cannot be "%s"', as_known),
      HINT = 'then: what was stored at that instant; now: the rule of today over all that is known today, as of that instant.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION cdp.members(text, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION cdp.members(text, timestamptz, text) IS
  'Who is in a segment, now or at another instant. as_known: then (the past as it was stored, the future if nothing new happens) or now (today''s rule over all that is known today, late messages too, as of that instant; judges everybody, seconds for 100,000 people; since and until are null). Errors: 42704 no such segment, 22023 another as_known, 22004 NULL';

-- A view a segment. Whoever may read cdp.segment_members may read it; being security_invoker it shows nobody more.
-- Who may read members may read the views made of them.
CREATE FUNCTION cdp_internal.grant_readers(view regclass) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  grantee text;
BEGIN
  FOR grantee IN
    SELECT coalesce(quote_ident(r.rolname), 'PUBLIC') FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
    LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE c.oid = 'cdp.segment_members'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', view, grantee);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.grant_readers(regclass) IS 'Gives a view the readers of cdp.segment_members';


CREATE FUNCTION cdp_internal.query_as_owner(owner name, time_zone text, search_path text, datestyle text,
                                            intervalstyle text, query text)
  RETURNS SETOF jsonb LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_query_as_owner';
REVOKE ALL ON FUNCTION cdp_internal.query_as_owner(name, text, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.query_as_owner(name, text, text, text, text, text) IS
  'Runs a query as a segment''s owner, restricted and under the segment''s settings; one jsonb a row';
