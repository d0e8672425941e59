-- check_identifier_type: what a candidate identifier would do, before it may merge anybody.

CREATE FUNCTION cdp_internal.check_expression(expression text) RETURNS void
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_check_expression';
COMMENT ON FUNCTION cdp_internal.check_expression(text) IS 'Raises 42601 where a text is not exactly one SQL expression';

-- What each event carries of a candidate: (profile_id, value) by a query of its own.
CREATE FUNCTION cdp_internal.candidate_query(expression text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(trim(expression), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a candidate identifier is needed',
      HINT = 'An expression over one event''s columns, such as properties ->> ''card_hash'', or the name of an identifier type.';
  END IF;
  IF EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = expression) THEN
    RETURN format('SELECT o.profile_id, i.value FROM cdp.event_records AS r
      JOIN cdp.identifiers AS o USING (identifier_id)
      CROSS JOIN LATERAL unnest(coalesce(r.carried, ARRAY[r.identifier_id])) AS c (id)
      JOIN cdp.identifiers AS i ON i.identifier_id = c.id AND i.type = %L', expression);
  END IF;
  PERFORM cdp_internal.check_expression(expression);
  -- The line break ends a comment.
  RETURN format(E'SELECT x.profile_id, cdp_internal.normalize(''text'', x.value, NULL, false) AS value FROM (
      SELECT profile_id, (%s\n)::text AS value FROM cdp.events) AS x WHERE x.value IS NOT NULL', expression);
END $$;
COMMENT ON FUNCTION cdp_internal.candidate_query(text) IS 'Part of cdp.check_identifier_type';

CREATE TYPE cdp_internal.candidate AS (
  events bigint, carrying bigint, junk bigint, vals bigint, people bigint,
  person_median bigint, person_p95 bigint, person_max bigint, stable numeric,
  value_median bigint, value_p95 bigint, value_max bigint, shared numeric, worst_people bigint, worst jsonb
);

CREATE FUNCTION cdp_internal.measure_candidate(expression text, most integer) RETURNS cdp_internal.candidate
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found cdp_internal.candidate;
BEGIN
  EXECUTE format($query$
    WITH carried AS MATERIALIZED (
      SELECT c.profile_id, c.value, count(*) AS events, cdp.is_junk(%L, c.value) IS NOT NULL AS junk
      FROM (%s) AS c WHERE c.value IS NOT NULL GROUP BY c.profile_id, c.value
    ), of_person AS MATERIALIZED (
      SELECT c.profile_id, count(*) AS n FROM carried AS c WHERE NOT c.junk GROUP BY c.profile_id
    ), of_value AS MATERIALIZED (
      SELECT c.value, count(*) AS n FROM carried AS c WHERE NOT c.junk GROUP BY c.value
    ), worst AS MATERIALIZED (
      SELECT v.value, v.n FROM of_value AS v WHERE v.n > 1 ORDER BY v.n DESC, v.value LIMIT %s
    )
    SELECT (SELECT count(*) FROM cdp.event_records),
           (SELECT coalesce(sum(c.events), 0) FROM carried AS c),
           (SELECT coalesce(sum(c.events), 0) FROM carried AS c WHERE c.junk),
           v.number, p.number, p.middle, p.high, p.most, p.one, v.middle, v.high, v.most, v.several,
           (SELECT count(DISTINCT c.profile_id) FROM carried AS c JOIN worst AS w USING (value)),
           (SELECT jsonb_agg(jsonb_build_array(w.value, w.n) ORDER BY w.n DESC, w.value) FROM worst AS w)
    FROM (SELECT count(*) AS number, percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS middle,
                 percentile_disc(0.95) WITHIN GROUP (ORDER BY n) AS high, max(n) AS most, avg((n = 1)::integer) AS one
          FROM of_person) AS p,
         (SELECT count(*) AS number, percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS middle,
                 percentile_disc(0.95) WITHIN GROUP (ORDER BY n) AS high, max(n) AS most, avg((n > 1)::integer) AS several
          FROM of_value) AS v
  $query$, expression, cdp_internal.candidate_query(expression), most) INTO found;
  RETURN found;
END $$;
COMMENT ON FUNCTION cdp_internal.measure_candidate(text, integer) IS 'Part of cdp.check_identifier_type';

CREATE FUNCTION cdp_internal.judge_candidate(found cdp_internal.candidate, OUT verdict text, OUT because text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT v.verdict, v.because FROM (VALUES
    (1, coalesce(found.vals, 0) = 0, 'do not use', 'no event carries a value that could identify anybody'),
    (2, found.people < 20, 'too few', 'fewer than 20 people have a value: ask again when there are more'),
    (3, found.junk * 2 > found.carrying, 'do not use', 'most of what it carries identifies nobody'),
    (4, found.value_median > 1, 'do not use', 'a value stands for several people as a rule: it says where or what, not who'),
    (5, found.shared > 0.2, 'do not use', 'too many values stand for several people'),
    (6, found.shared > 0.01 OR found.value_max > 10, 'sharing',
        'some values stand for several people, as those of shared devices do: sharing => ''first'' joins no two known people'),
    (7, found.person_p95 > 10, 'sharing',
        'people have many values, as of cookies and sessions: sharing => ''first'' joins no two known people'),
    (8, found.stable >= 0.95, 'unique', 'nearly everybody has one value: is_unique => true'),
    (9, true, 'limit', format('people have several values: max_values => %s', found.person_p95))) AS v (rank, holds, verdict, because)
  WHERE v.holds ORDER BY v.rank LIMIT 1
$$;
COMMENT ON FUNCTION cdp_internal.judge_candidate(cdp_internal.candidate) IS 'Part of cdp.check_identifier_type';

CREATE FUNCTION cdp_internal.share(part numeric, whole numeric) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(round(100 * part / nullif(whole, 0), 1) || ' %', '-')
$$;
COMMENT ON FUNCTION cdp_internal.share(numeric, numeric) IS 'A part of a whole in per cent, for people';

CREATE FUNCTION cdp.check_identifier_type(expression text, most integer DEFAULT 10)
  RETURNS TABLE (measure text, value text, meaning text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET transaction_read_only = on AS $$
DECLARE
  c cdp_internal.candidate;
BEGIN
  IF most < 1 OR most IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'most is at least 1';
  END IF;
  c := cdp_internal.measure_candidate(expression, most);
  RETURN QUERY
    SELECT r.measure, coalesce(r.value, '-'), r.meaning FROM (VALUES
      ('events', c.events::text, 'all events'),
      ('events with a value', c.carrying::text, cdp_internal.share(c.carrying, c.events) || ' of all events'),
      ('events with junk', c.junk::text, cdp_internal.share(c.junk, c.carrying) || ' of those; left out of all that follows'),
      ('values', c.vals::text, 'different values'),
      ('people', c.people::text, 'people with a value'),
      ('values a person, median', c.person_median::text, 'cardinality: 1 is best'),
      ('values a person, 95 %', c.person_p95::text, '95 % of the people have no more'),
      ('values a person, most', c.person_max::text, NULL),
      ('stability', cdp_internal.share(c.stable, 1), 'people with exactly one value'),
      ('people a value, median', c.value_median::text, 'more than 1: it is nobody''s own'),
      ('people a value, 95 %', c.value_p95::text, '95 % of the values have no more'),
      ('people a value, most', c.value_max::text, 'these would become one person'),
      ('shared values', cdp_internal.share(c.shared, 1), 'values of more than one person'),
      ('hub risk', c.worst_people::text, format('people that the %s most shared values would merge', most))) AS r (measure, value, meaning)
    UNION ALL
    SELECT 'shared value', w ->> 0, (w ->> 1) || ' people' FROM jsonb_array_elements(c.worst) AS w
    UNION ALL
    SELECT 'verdict', j.verdict, j.because FROM cdp_internal.judge_candidate(c) AS j;
END $$;
COMMENT ON FUNCTION cdp.check_identifier_type(text, integer) IS
  'What a candidate identifier would do, before it may merge anybody: an SQL expression over one event''s columns, such as properties ->> ''card_hash'', or the name of an identifier type. Reads all of cdp.events with the rights of who calls, read-only, and people as they are now; writes nothing. Measures, the `most` values that most people share, and a verdict: unique, limit, sharing or do not use; too few below 20 people. Functions of other schemas need their schema''s name. Errors: 42601 not one expression, 42703 unknown column, 22023, and what the expression raises';
