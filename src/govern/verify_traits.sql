-- verify_traits: golden traits recomputed from what was said, rule by rule, in plain SQL.

CREATE TYPE cdp_internal.said AS (value jsonb, asserted_at timestamptz, decision_seq bigint, source text, verified boolean);

-- A value as a definition has it; NULL: it does not fit.
CREATE FUNCTION cdp_internal.expected_value(definition jsonb, value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' AS $$
DECLARE
  kind constant text := jsonb_typeof(value);
  word constant text := CASE WHEN kind IN ('string', 'number', 'boolean') THEN trim(value #>> '{}') END;
  type constant text := definition ->> 'type';
  made jsonb;
BEGIN
  IF definition IS NULL OR kind = 'null' THEN
    RETURN value;
  END IF;
  BEGIN
    made := CASE
      WHEN type = 'text' AND kind IN ('string', 'number', 'boolean') THEN to_jsonb(value #>> '{}')
      WHEN type IN ('integer', 'numeric', 'money') AND kind IN ('string', 'number') AND word ~ '^[+-]?[0-9]+(\.[0-9]+)?$' THEN to_jsonb(word::numeric)
      WHEN type = 'money' AND kind = 'object' AND (definition -> 'unit' IS NULL OR value -> 'currency' = definition -> 'unit')
           AND trim(value ->> 'amount') ~ '^[+-]?[0-9]+(\.[0-9]+)?$' AND jsonb_typeof(value -> 'amount') IN ('string', 'number') THEN to_jsonb((value ->> 'amount')::numeric)
      WHEN type = 'boolean' AND lower(word) IN ('true', 't', 'yes', 'y', 'on', '1') THEN 'true'
      WHEN type = 'boolean' AND lower(word) IN ('false', 'f', 'no', 'n', 'off', '0') THEN 'false'
      WHEN type IN ('date', 'timestamp') AND kind = 'string' AND word ~ '^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}$' THEN to_jsonb(word::date::text || CASE type WHEN 'timestamp' THEN 'T00:00:00.000000Z' ELSE '' END)
      WHEN type IN ('date', 'timestamp') AND kind = 'string' AND word ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$'
        THEN (SELECT to_jsonb(CASE type WHEN 'date' THEN left(word, 10) ELSE to_char(i.at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END)
              FROM (SELECT regexp_replace(word, '(\.[0-9]{6})[0-9]+', '\1')::timestamptz AS at) AS i WHERE i.at IS NOT NULL)
      WHEN type = 'list' AND kind = 'array' OR type = 'object' AND kind = 'object' THEN value END;
  EXCEPTION WHEN data_exception THEN
    RETURN NULL;
  END;
  IF type = 'integer' AND (made #>> '{}')::numeric <> trunc((made #>> '{}')::numeric)
     OR definition ? 'allowed' AND NOT EXISTS (SELECT FROM jsonb_array_elements(definition -> 'allowed') AS a WHERE a = made) THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN type = 'integer' THEN to_jsonb(trunc((made #>> '{}')::numeric)) ELSE made END;
END $$;
COMMENT ON FUNCTION cdp_internal.expected_value(jsonb, jsonb) IS 'Part of cdp.verify(): what a value becomes, NULL when it does not fit';

-- What one strategy makes of the claims that count, in order of time; the decision_seq of the value, or of the newest that it is made of.
CREATE FUNCTION cdp_internal.expected_choice(link jsonb, trust jsonb, live cdp_internal.said[], OUT value jsonb, OUT origin bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  strategy constant text := link ->> 'strategy';
  listed constant text[] := ARRAY(SELECT jsonb_array_elements_text(link -> 'sources'));
  newest constant bigint := live[cardinality(live)].decision_seq;
  values_text text[];
  argument constant text := link ->> 'argument';
BEGIN
  IF strategy IN ('latest', 'maximum_age', 'earliest', 'verified_first') THEN
    SELECT c.value, c.decision_seq INTO value, origin FROM unnest(live) AS c
      ORDER BY strategy = 'verified_first' AND c.verified DESC, CASE WHEN strategy = 'earliest' THEN c.asserted_at END,
               CASE WHEN strategy = 'earliest' THEN c.decision_seq END, c.asserted_at DESC, c.decision_seq DESC LIMIT 1;
  ELSIF strategy = 'most_frequent' THEN
    SELECT (array_agg(c.value ORDER BY c.asserted_at DESC, c.decision_seq DESC))[1], (array_agg(c.decision_seq ORDER BY c.asserted_at DESC, c.decision_seq DESC))[1]
      INTO value, origin FROM unnest(live) AS c GROUP BY c.value
      ORDER BY count(*) DESC, max(c.asserted_at) DESC, max(c.decision_seq) FILTER (WHERE true) DESC LIMIT 1;
  ELSIF strategy IN ('source_priority', 'first_non_empty') THEN
    SELECT c.value, c.decision_seq INTO value, origin FROM unnest(live) AS c
      WHERE strategy = 'source_priority' OR NOT (c.value IN ('[]', '{}') OR jsonb_typeof(c.value) = 'string' AND c.value #>> '{}' ~ '^[ \t\r\n]*$')
      ORDER BY array_position(listed, c.source) NULLS LAST, coalesce((trust ->> c.source)::integer, 0) DESC, c.asserted_at DESC, c.decision_seq DESC LIMIT 1;
  ELSIF strategy IN ('min', 'max', 'longest', 'shortest', 'any_true', 'all_true') THEN
    WITH ranked AS (
      SELECT c.*, jsonb_typeof(c.value) AS kind FROM unnest(live) AS c
    ), fit AS (
      SELECT * FROM ranked WHERE kind = CASE WHEN strategy IN ('longest', 'shortest') THEN 'string' WHEN strategy IN ('any_true', 'all_true') THEN 'boolean'
        ELSE (SELECT k FROM unnest(ARRAY['number', 'string', 'boolean']) WITH ORDINALITY AS o (k, n) WHERE k IN (SELECT r.kind FROM ranked AS r) ORDER BY n LIMIT 1) END
    )
    SELECT f.value, f.decision_seq INTO value, origin FROM fit AS f
    ORDER BY CASE strategy WHEN 'min' THEN 1 WHEN 'shortest' THEN 1 WHEN 'all_true' THEN 1 ELSE -1 END *
               CASE WHEN strategy IN ('longest', 'shortest') THEN length(f.value #>> '{}') WHEN f.kind = 'number' THEN (f.value #>> '{}')::numeric
                    WHEN f.kind = 'boolean' THEN (f.value = 'true')::integer END,
             CASE WHEN f.kind = 'string' AND strategy = 'min' THEN f.value #>> '{}' END COLLATE "C",
             CASE WHEN f.kind = 'string' AND strategy = 'max' THEN f.value #>> '{}' END COLLATE "C" DESC NULLS LAST, f.asserted_at DESC, f.decision_seq DESC LIMIT 1;
  ELSIF strategy IN ('union_list', 'intersection_list', 'counted_list') THEN
    WITH item AS (
      SELECT c.place, e.n, e.v FROM unnest(live) WITH ORDINALITY AS c (value, asserted_at, decision_seq, source, verified, place)
      CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(c.value) WHEN 'array' THEN c.value ELSE jsonb_build_array(c.value) END) WITH ORDINALITY AS e (v, n)
    ), each AS (
      SELECT (array_agg(i.v ORDER BY i.place, i.n))[1] AS v, min(ARRAY[i.place, i.n]) AS first, count(DISTINCT i.place) AS n FROM item AS i GROUP BY i.v
    )
    SELECT coalesce(CASE WHEN strategy = 'counted_list' THEN jsonb_agg(jsonb_build_object('value', e.v, 'count', e.n) ORDER BY e.n DESC, e.first)
                         ELSE jsonb_agg(e.v ORDER BY e.first) END, '[]') INTO value
      FROM each AS e WHERE strategy <> 'intersection_list' OR e.n = cardinality(live);
    origin := newest;
  ELSIF strategy = 'never' THEN
    SELECT CASE WHEN count(DISTINCT c.value) = 1 THEN live[cardinality(live)].value END INTO value FROM unnest(live) AS c;
    origin := newest;
  ELSE
    IF strategy IN ('sum', 'average') THEN
      SELECT to_jsonb(CASE strategy WHEN 'sum' THEN sum((c.value #>> '{}')::numeric) ELSE avg((c.value #>> '{}')::numeric) END),
             (array_agg(c.decision_seq ORDER BY c.asserted_at DESC, c.decision_seq DESC))[1]
        INTO value, origin FROM unnest(live) AS c WHERE jsonb_typeof(c.value) = 'number';
      RETURN;
    END IF;
    SELECT array_agg(quote_literal(CASE argument WHEN 'jsonb' THEN c.value::text ELSE c.value #>> '{}' END) ORDER BY c.asserted_at, c.decision_seq),
           (array_agg(c.decision_seq ORDER BY c.asserted_at DESC, c.decision_seq DESC))[1] INTO values_text, origin
      FROM unnest(live) AS c
      WHERE CASE argument WHEN 'numeric' THEN jsonb_typeof(c.value) = 'number' WHEN 'boolean' THEN jsonb_typeof(c.value) = 'boolean'
              WHEN 'timestamptz' THEN cdp_internal.expected_value('{"type": "timestamp"}', c.value) IS NOT NULL AND c.value #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' ELSE true END;
    IF values_text IS NOT NULL THEN
      SELECT q -> 'made' INTO value FROM cdp_internal.query_as_owner(link #>> '{settings,owner}', 'UTC', link #>> '{settings,search_path}', link #>> '{settings,datestyle}',
        link #>> '{settings,intervalstyle}', format('SELECT pg_catalog.to_jsonb(%s(v::pg_catalog.%s ORDER BY o)) AS made FROM pg_catalog.unnest(ARRAY[%s]) WITH ORDINALITY AS u (v, o)',
        link ->> 'aggregate', CASE argument WHEN 'boolean' THEN 'bool' ELSE argument END, array_to_string(values_text, ', '))) AS q;
      value := nullif(value, 'null');
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.expected_choice(jsonb, jsonb, cdp_internal.said[]) IS 'Part of cdp.verify(): what a strategy chooses';

CREATE FUNCTION cdp_internal.expected_trait(rules jsonb, trait text, claims cdp_internal.said[], at timestamptz, profile_id bigint, OUT value jsonb, OUT origin bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pattern text := (SELECT l ->> 'trait' FROM jsonb_array_elements(rules #> '{policies,default}') AS l
                   WHERE l ->> 'trait' = $2 OR strpos(l ->> 'trait', '*') > 0 AND $2 LIKE replace(replace(replace(replace(l ->> 'trait', '\', '\\'), '_', '\_'), '%', '\%'), '*', '%')
                   ORDER BY l ->> 'trait' = $2 DESC, length(replace(l ->> 'trait', '*', '')) DESC, l ->> 'trait' COLLATE "C" LIMIT 1);
  newest constant cdp_internal.said := claims[cardinality(claims)];
  links constant jsonb[] := ARRAY(SELECT l FROM jsonb_array_elements(rules #> '{policies,default}') WITH ORDINALITY AS e (l, o) WHERE l ->> 'trait' = pattern ORDER BY o);
  link jsonb;
  live cdp_internal.said[];
  chosen record;
BEGIN
  value := 'null';
  origin := newest.decision_seq;
  IF cardinality(links) = 0 OR cardinality(links) = 1 AND links[1] ->> 'strategy' = 'latest' AND NOT links[1] ? 'maximum_age' THEN
    value := newest.value;
    RETURN;
  END IF;
  FOREACH link IN ARRAY links LOOP
    IF link ->> 'strategy' = 'computed' THEN
      SELECT cdp_internal.expected_value((SELECT d FROM jsonb_array_elements(rules -> 'definitions') AS d WHERE d ->> 'trait' = $2), m.key::jsonb) INTO value
        FROM cdp.memberships AS m WHERE m.profile_id = $5 AND m.segment_id = (link ->> 'computed')::integer AND m.entered_at <= $4 AND m.left_at > $4;
      EXIT WHEN value <> 'null';
      value := 'null';
      CONTINUE;
    END IF;
    WITH silenced AS (
      SELECT DISTINCT ON (n.source) n.source, n.asserted_at, n.decision_seq FROM unnest(claims) AS n WHERE n.value = 'null'
      ORDER BY n.source, n.asserted_at DESC, n.decision_seq DESC
    )
    SELECT array_agg((c.value, c.asserted_at, c.decision_seq, c.source, c.verified)::cdp_internal.said ORDER BY c.asserted_at, c.decision_seq) INTO live
      FROM unnest(claims) AS c LEFT JOIN silenced AS n USING (source)
      WHERE c.value <> 'null' AND (n.source IS NULL OR (c.asserted_at, c.decision_seq) > (n.asserted_at, n.decision_seq))
        AND (NOT link ? 'maximum_age' OR c.asserted_at + (link ->> 'maximum_age')::bigint * interval '1 microsecond' > at)
        AND NOT (link ->> 'strategy' IN ('latest', 'maximum_age') AND newest.value = 'null');
    CONTINUE WHEN live IS NULL;
    BEGIN
      SELECT * INTO chosen FROM cdp_internal.expected_choice(link, rules -> 'trust', live);
    EXCEPTION WHEN OTHERS THEN
      CONTINUE WHEN link ->> 'strategy' IN ('aggregate', 'sum', 'average');
      RAISE;
    END;
    IF chosen.value IS NOT NULL OR link ->> 'strategy' = 'never' THEN
      value := coalesce(chosen.value, 'null');
      origin := chosen.origin;
      RETURN;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.expected_trait(jsonb, text, cdp_internal.said[], timestamptz, bigint) IS 'Part of cdp.verify(): what a chain of strategies chooses';

CREATE FUNCTION cdp_internal.expected_traits(rules jsonb, profile_id bigint, at timestamptz)
  RETURNS TABLE (trait text, value jsonb, origin bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT n.key, e.value, e.origin
  FROM (SELECT t.key, array_agg((f.value, a.asserted_at, a.decision_seq, o.source, coalesce(a.traits -> (t.key || '_verified') = 'true', false))::cdp_internal.said
                                ORDER BY a.asserted_at, a.decision_seq) AS claims
        FROM cdp.identifiers AS i JOIN cdp.assertions AS a USING (identifier_id) JOIN cdp.sources AS o USING (source_id)
        CROSS JOIN LATERAL jsonb_each(a.traits) AS t
        CROSS JOIN LATERAL (SELECT cdp_internal.expected_value((SELECT d FROM jsonb_array_elements(rules -> 'definitions') AS d WHERE d ->> 'trait' = t.key), t.value) AS value) AS f
        WHERE i.profile_id = expected_traits.profile_id AND a.type = 'identify' AND f.value IS NOT NULL GROUP BY t.key) AS s
  FULL JOIN (SELECT DISTINCT l ->> 'trait' AS key FROM jsonb_array_elements(rules #> '{policies,default}') AS l WHERE l ? 'computed') AS c USING (key)
  CROSS JOIN LATERAL (SELECT coalesce(s.key, c.key) AS key) AS n
  CROSS JOIN LATERAL cdp_internal.expected_trait(rules, n.key, coalesce(s.claims, '{}'), at, expected_traits.profile_id) AS e
$$;
COMMENT ON FUNCTION cdp_internal.expected_traits(jsonb, bigint, timestamptz) IS 'Part of cdp.verify(): all golden traits of a person';

-- Values that do not fit, by the definitions that their person was folded by; and people who wait for nothing.
CREATE FUNCTION cdp_internal.verify_traits()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH wrong AS (
    SELECT a.decision_seq, t.key AS trait FROM cdp.profiles AS p
    JOIN cdp_internal.survivorship_versions AS v ON v.version = p.rules_version
    JOIN cdp.identifiers AS i USING (profile_id) JOIN cdp.assertions AS a USING (identifier_id)
    CROSS JOIN LATERAL jsonb_each(a.traits) AS t
    JOIN LATERAL (SELECT d FROM jsonb_array_elements(v.rules -> 'definitions') AS d WHERE d ->> 'trait' = t.key) AS d ON true
    WHERE a.type = 'identify' AND cdp_internal.expected_value(d.d, t.value) IS NULL
  )
  SELECT 'profile', 'a value that does not fit is not in quarantine', format('decision %s, trait %s', w.decision_seq, w.trait), NULL::text, NULL::text
  FROM wrong AS w WHERE NOT EXISTS (SELECT FROM cdp.quarantined_traits AS q WHERE q.decision_seq = w.decision_seq AND q.trait = w.trait)
  UNION ALL
  SELECT 'profile', 'a value is in quarantine but fits', format('decision %s, trait %s', q.decision_seq, q.trait), q.code, NULL
  FROM cdp.quarantined_traits AS q WHERE NOT EXISTS (SELECT FROM wrong AS w WHERE q.decision_seq = w.decision_seq AND q.trait = w.trait)
  UNION ALL
  SELECT 'profile', 'folded by rules that never were', format('profile %s', p.profile_id), p.rules_version::text, NULL
  FROM cdp.profiles AS p WHERE p.rules_version > 0 AND NOT EXISTS (SELECT FROM cdp_internal.survivorship_versions AS v WHERE v.version = p.rules_version)
  UNION ALL
  SELECT 'profile', 'folded by rules that are not in force', format('profile %s', p.profile_id), p.rules_version::text, f.version::text
  FROM cdp.profiles AS p, (SELECT coalesce((SELECT v.folds_as FROM cdp_internal.survivorship_versions AS v ORDER BY v.version DESC LIMIT 1), 0) AS version) AS f
  WHERE p.rules_version <> f.version AND NOT EXISTS (SELECT FROM cdp_internal.survivorship_builds AS b WHERE b.version = f.version AND p.profile_id > b.place)
$$;
COMMENT ON FUNCTION cdp_internal.verify_traits() IS 'Part of cdp.verify()';
