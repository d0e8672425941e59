-- identity_health: the people and identifiers that deserve a look.

CREATE FUNCTION cdp_internal.find_bridges(people bigint[], most integer)
  RETURNS TABLE (profile_id bigint, joint bigint, part bigint, rest bigint, part_telling bigint, rest_telling bigint,
                 messages bigint, decision_seqs bigint[], leaving bigint[], score double precision)
  LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_find_bridges';
COMMENT ON FUNCTION cdp_internal.find_bridges(bigint[], integer) IS
  'Joints of these people at which they would fall into two parts, the most suspicious first; up to ten decision_seqs and leaving identifiers each';

CREATE FUNCTION cdp_internal.count_types(profile_id bigint) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(t.n || ' ' || t.type, ', ' ORDER BY t.n DESC, t.type)
  FROM (SELECT i.type, count(*) AS n FROM cdp.identifiers AS i WHERE i.profile_id = count_types.profile_id GROUP BY i.type) AS t
$$;
COMMENT ON FUNCTION cdp_internal.count_types(bigint) IS 'A person''s identifiers by type: 3 email, 1 user_id';

-- Of the identifiers on the most messages: whom they join, and whom a rule kept them from joining.
CREATE FUNCTION cdp_internal.find_hubs(most integer)
  RETURNS TABLE (identifier_id bigint, linked bigint, kept_from bigint)
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  WITH busy AS MATERIALIZED (
    SELECT m.identifier_id FROM cdp.evidence_members AS m GROUP BY m.identifier_id
    ORDER BY count(*) DESC, m.identifier_id LIMIT 10 * most
  )
  SELECT b.identifier_id, n.linked, n.kept_from
  FROM busy AS b
  CROSS JOIN LATERAL (
    SELECT count(DISTINCT c.id) FILTER (WHERE NOT b.identifier_id = ANY (coalesce(e.refused, '{}'))
                                          AND NOT c.id = ANY (coalesce(e.refused, '{}'))) AS linked,
           count(DISTINCT o.profile_id) FILTER (WHERE o.profile_id <> i.profile_id) AS kept_from
    FROM cdp.evidence_members AS m
    JOIN cdp.evidence AS e USING (decision_seq)
    CROSS JOIN LATERAL unnest(e.identifiers) AS c (id)
    JOIN cdp.identifiers AS o ON o.identifier_id = c.id
    CROSS JOIN (SELECT x.profile_id FROM cdp.identifiers AS x WHERE x.identifier_id = b.identifier_id) AS i
    WHERE m.identifier_id = b.identifier_id AND c.id <> b.identifier_id) AS n
  ORDER BY n.linked + n.kept_from DESC, b.identifier_id LIMIT most
$$;
COMMENT ON FUNCTION cdp_internal.find_hubs(integer) IS 'Part of cdp.identity_health';

CREATE FUNCTION cdp_internal.say_split(profile_id bigint, leaving bigint[]) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN cardinality(leaving) > 10 THEN 'Too many identifiers hold these together to name them here.'
         ELSE format('Two people? SELECT * FROM cdp.split_profile(%s, %L, ''why'');', say_split.profile_id,
                (SELECT jsonb_object_agg(t.type, CASE jsonb_array_length(t.vals) WHEN 1 THEN t.vals -> 0 ELSE t.vals END)
                 FROM (SELECT i.type, jsonb_agg(i.value ORDER BY i.identifier_id) AS vals FROM cdp.identifiers AS i
                       WHERE i.identifier_id = ANY (leaving) GROUP BY i.type) AS t)) END
$$;
COMMENT ON FUNCTION cdp_internal.say_split(bigint, bigint[]) IS 'The call that takes these identifiers out of a person';

CREATE FUNCTION cdp.identity_health(most integer DEFAULT 10, examined integer DEFAULT 10000)
  RETURNS TABLE (kind text, profile_id bigint, identifier text, number bigint, score numeric, detail text, hint text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  largest bigint[];
  worth bigint;
BEGIN
  IF most < 1 OR examined < 0 OR most IS NULL OR examined IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'most is at least 1, and examined at least 0',
      HINT = 'cdp.identity_health(10, 10000): ten rows of each kind, bridges in the ten thousand largest profiles.';
  END IF;
  -- Who has fewer than four identifiers cannot fall into two parts of two.
  SELECT array_agg(s.profile_id ORDER BY s.n DESC, s.profile_id) FILTER (WHERE s.place <= examined), count(*) INTO largest, worth
    FROM (SELECT p.*, row_number() OVER (ORDER BY p.n DESC, p.profile_id) AS place
          FROM (SELECT i.profile_id, count(*) AS n FROM cdp.identifiers AS i GROUP BY i.profile_id HAVING count(*) > 3) AS p) AS s;
  RETURN QUERY
    SELECT 'bridge', b.profile_id, cdp_internal.name_identifier(b.joint), least(b.part, b.rest), round(b.score::numeric, 2),
           format('%s and %s identifiers (%s and %s that tell people apart) are held together at %s by %s', b.part, b.rest,
                  b.part_telling, b.rest_telling, cdp_internal.name_identifier(b.joint),
                  CASE b.messages WHEN 1 THEN '1 message' ELSE b.messages || ' messages' END)
             || coalesce(': ' || (SELECT string_agg(e.message_id, ', ' ORDER BY e.decision_seq) FROM cdp.evidence AS e
                                  WHERE e.decision_seq = ANY (b.decision_seqs)), '')
             || CASE WHEN b.messages > cardinality(b.decision_seqs) THEN ', …' ELSE '' END,
           cdp_internal.say_split(b.profile_id, b.leaving)
    FROM cdp_internal.find_bridges(coalesce(largest, '{}'), most) AS b ORDER BY b.score DESC, b.profile_id, b.joint;
  RETURN QUERY
    SELECT 'examined', NULL::bigint, NULL, least(worth, examined), NULL::numeric,
           format('bridges were looked for in %s of %s profiles with four or more identifiers, the largest first', least(worth, examined), worth),
           CASE WHEN worth > examined THEN format('SELECT * FROM cdp.identity_health(%s, %s) looks at all of them.', most, worth) END;
  RETURN QUERY
    SELECT 'hub', i.profile_id, i.type || ' ' || i.value, h.linked, NULL::numeric,
           format('seen together with %s other identifiers', h.linked)
             || CASE h.kept_from WHEN 0 THEN '' WHEN 1 THEN '; kept from 1 other person' ELSE format('; kept from %s other people', h.kept_from) END,
           CASE WHEN h.kept_from > 1 OR h.linked > 20 THEN format('Nobody''s own? SELECT * FROM cdp.remove_identifier(%L, ''why'');',
                                                                 jsonb_build_object(i.type, i.value)) END
    FROM cdp_internal.find_hubs(most) AS h JOIN cdp.identifiers AS i USING (identifier_id)
    ORDER BY h.linked + h.kept_from DESC, h.identifier_id;
  RETURN QUERY
    SELECT 'large', p.profile_id, NULL, p.n, NULL::numeric, cdp_internal.count_types(p.profile_id),
           CASE WHEN p.n > 100 THEN format('Few people have so many: SELECT type, value FROM cdp.identifiers WHERE profile_id = %s;', p.profile_id) END
    FROM (SELECT i.profile_id, count(*) AS n FROM cdp.identifiers AS i GROUP BY i.profile_id
          ORDER BY n DESC, i.profile_id LIMIT most) AS p;
END $$;
COMMENT ON FUNCTION cdp.identity_health(integer, integer) IS
  'People and identifiers that deserve a look, at most `most` rows of a kind. bridge: the joint (identifier) at which a person would fall into two parts, worst first; number: identifiers of the smaller part; score: log2 of that, a quarter of it unless both parts have identifiers of a unique or limited type, twice that when the joint is a device, divided by the number of messages that hold the parts together. examined: in how many of the largest profiles bridges were looked for, at most `examined`. hub: identifiers seen together with most others. large: the people with most identifiers. Reads all identifiers and evidence of those examined. Errors: 22023';
