-- exchange: all definitions as one text, for code review and from one database to another.

-- A text of several lines is an array of its lines, so that a review shows which of them changed.
CREATE FUNCTION cdp_internal.as_lines(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN value ~ E'\n' THEN (SELECT E'[\n' || string_agg('        ' || to_json(l.line), E',\n' ORDER BY l.place) || E'\n      ]'
                                       FROM string_to_table(value, E'\n') WITH ORDINALITY AS l (line, place))
              ELSE to_json(value)::text END
$$;
COMMENT ON FUNCTION cdp_internal.as_lines(text) IS 'Part of cdp.export_definitions';

CREATE FUNCTION cdp_internal.from_lines(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE jsonb_typeof(value) WHEN 'array' THEN
    (SELECT string_agg(l.line, E'\n' ORDER BY l.place) FROM jsonb_array_elements_text(value) WITH ORDINALITY AS l (line, place))
    ELSE value #>> '{}' END
$$;
COMMENT ON FUNCTION cdp_internal.from_lines(jsonb) IS 'Part of cdp.import_definitions';

-- A version that is being built is what was asked for last.
CREATE FUNCTION cdp.export_definitions() RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' AS $$
  WITH wanted AS (
    SELECT s.name, s.state = 'disabled' AS is_disabled, coalesce(n, s) AS d
    FROM cdp.segments AS s LEFT JOIN cdp.segments AS n ON n.replaces = s.segment_id WHERE s.replaces IS NULL
  ), member AS (
    SELECT w.name, format(E'    %s: {\n%s\n    }', to_json(w.name), (
      SELECT string_agg(format('      %s: %s', to_json(m.key), m.value), E',\n' ORDER BY m.place)
      FROM (VALUES (1, 'kind', to_json((w.d).kind)::text),
                   (2, 'rule', cdp_internal.as_lines((w.d).rule)),
                   (3, 'per', cdp_internal.as_lines((w.d).per)),
                   (4, 'query', cdp_internal.as_lines((w.d).query)),
                   (5, 'refresh', to_json((w.d).refresh::text)::text),
                   (6, 'time_zone', CASE WHEN (w.d).kind <> 'list' THEN to_json((w.d).time_zone)::text END),
                   (7, 'search_path', CASE WHEN (w.d).kind <> 'list' THEN to_json((w.d).search_path)::text END),
                   (8, 'datestyle', CASE WHEN (w.d).kind <> 'list' THEN to_json((w.d).datestyle)::text END),
                   (9, 'intervalstyle', CASE WHEN (w.d).kind <> 'list' THEN to_json((w.d).intervalstyle)::text END),
                   (10, 'disabled', CASE WHEN w.is_disabled THEN 'true' END)) AS m (place, key, value)
      WHERE m.value IS NOT NULL)) AS block
    FROM wanted AS w
  )
  SELECT format(E'{\n  "segments": {\n%s\n  }%s\n}\n', coalesce(string_agg(m.block, E',\n' ORDER BY m.name COLLATE "C"), ''), cdp_internal.export_accounts()) FROM member AS m
$$;
COMMENT ON FUNCTION cdp.export_definitions() IS
  'All segments, computed traits, account traits and account segments as JSON, sorted, a block each and a line a line: keep it in version control, and give it to cdp.import_definitions(). Members, and who is on lists, are not in it';

CREATE FUNCTION cdp_internal.read_definitions(definitions text) RETURNS jsonb LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  document jsonb := definitions;
  wrong    text;
BEGIN
  IF jsonb_typeof(document -> 'segments') IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there are no segments in these definitions',
      HINT = 'cdp.export_definitions() shows what they look like.';
  END IF;
  SELECT CASE WHEN jsonb_typeof(s.value) <> 'object' THEN format('segment "%s" is no JSON object', s.key)
              WHEN s.value ->> 'kind' NOT IN ('rule', 'query', 'list', 'trait') THEN format('segment "%s" is of no kind "%s"', s.key, s.value ->> 'kind')
              WHEN s.value ->> 'kind' = 'list' AND s.value ?| '{rule,per,query,refresh}' THEN format('list "%s" has a definition', s.key) END INTO wrong
    FROM jsonb_each(document -> 'segments') AS s ORDER BY 1 LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
      HINT = 'kind is rule, query, list or trait; a list has nothing but its kind.';
  END IF;
  SELECT format('segment "%s" has a member "%s"', s.key, m.key) INTO wrong
    FROM jsonb_each(document -> 'segments') AS s, jsonb_each(s.value) AS m
    WHERE m.key NOT IN ('kind', 'rule', 'per', 'query', 'refresh', 'time_zone', 'search_path', 'datestyle', 'intervalstyle', 'disabled')
    ORDER BY s.key, m.key LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
      HINT = 'Members are kind, rule, per, query, refresh, time_zone, search_path, datestyle, intervalstyle and disabled.';
  END IF;
  SELECT format('account %s "%s" has a member "%s"', k.kind, s.key, m.key) INTO wrong
    FROM (VALUES ('trait', 'account_traits'), ('segment', 'account_segments')) AS k (kind, member),
      jsonb_each(coalesce(document -> k.member, '{}')) AS s, jsonb_each(s.value) AS m
    WHERE m.key NOT IN ('expression', 'refresh', 'time_zone', 'search_path', 'datestyle', 'intervalstyle')
    ORDER BY k.kind, s.key, m.key LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = wrong,
      HINT = 'Members are expression, refresh, time_zone, search_path, datestyle and intervalstyle.';
  END IF;
  -- Names have no blanks, so that these are nobody else's.
  RETURN document -> 'segments'
    || (SELECT coalesce(jsonb_object_agg('account trait ' || a.key, a.value || '{"account": "trait"}'), '{}') FROM jsonb_each(document -> 'account_traits') AS a)
    || (SELECT coalesce(jsonb_object_agg('account segment ' || a.key, a.value || '{"account": "segment"}'), '{}') FROM jsonb_each(document -> 'account_segments') AS a);
END $$;
COMMENT ON FUNCTION cdp_internal.read_definitions(text) IS 'Part of cdp.import_definitions';

-- What is asked for last counts: the version that is being built, if there is one.
CREATE FUNCTION cdp_internal.is_as_defined(s cdp.segments, reader jsonb, block jsonb) RETURNS boolean LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  base cdp.segments;
  d    cdp.segments;
BEGIN
  SELECT * INTO base FROM cdp.segments AS o WHERE o.replaces = s.segment_id;
  IF base.segment_id IS NULL THEN
    base := s;
  END IF;
  d := base;
  d.rule := cdp_internal.from_lines(block -> 'rule');
  d.per := nullif(cdp_internal.from_lines(block -> 'per'), '');
  d.query := cdp_internal.from_lines(block -> 'query');
  d.time_zone := coalesce(block ->> 'time_zone', d.time_zone);
  d.search_path := reader ->> 'search_path';
  d.datestyle := reader ->> 'datestyle';
  d.intervalstyle := reader ->> 'intervalstyle';
  RETURN cdp_internal.means_the_same(d, base) AND coalesce((block ->> 'refresh')::interval = base.refresh, NOT block ? 'refresh');
END $$;
COMMENT ON FUNCTION cdp_internal.is_as_defined(cdp.segments, jsonb, jsonb) IS 'Part of cdp.import_definitions: whether a segment is what a text says, to the letter';

-- One segment: what was done. Who changes nothing need not own it.
CREATE FUNCTION cdp_internal.import_definition(caller jsonb, named text, block jsonb) RETURNS text LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reader constant jsonb := caller || jsonb_strip_nulls(jsonb_build_object('search_path', block -> 'search_path', 'datestyle', block -> 'datestyle',
                                                                          'intervalstyle', block -> 'intervalstyle'));
  rule   constant text := cdp_internal.from_lines(block -> 'rule');
  per    constant text := cdp_internal.from_lines(block -> 'per');
  query  constant text := cdp_internal.from_lines(block -> 'query');
  kind   constant text := coalesce(block ->> 'kind', CASE WHEN rule IS NOT NULL THEN 'rule' WHEN query IS NOT NULL THEN 'query' ELSE 'list' END);
  off    constant boolean := coalesce((block ->> 'disabled')::boolean, false);
  s      cdp.segments;
  before integer;
  done   text := 'unchanged';
BEGIN
  IF block ? 'account' THEN
    RETURN cdp_internal.import_account_definition(reader, block ->> 'account', split_part(named, ' ', 3), block);
  END IF;
  SELECT * INTO s FROM cdp.segments AS o WHERE o.name = named AND o.replaces IS NULL;
  IF s.segment_id IS NULL THEN
    IF kind = 'list' THEN
      PERFORM cdp_internal.create_list(reader, named);
    ELSIF kind = 'trait' THEN
      PERFORM cdp_internal.create_computed_trait(reader, named, rule, coalesce(block ->> 'time_zone', 'UTC'), true);
    ELSE
      PERFORM cdp_internal.create_segment(reader, named, rule, per, block ->> 'time_zone', query, (block ->> 'refresh')::interval, true);
    END IF;
    done := 'created';
  ELSIF s.kind <> kind THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('segment "%s" is a %s, not a %s', named, s.kind, kind),
      HINT = 'Drop it first.';
  ELSIF kind <> 'list' AND NOT cdp_internal.is_as_defined(s, reader, block) THEN
    before := (SELECT max(v.version) FROM cdp.segment_versions AS v WHERE v.segment_id = s.segment_id);
    PERFORM cdp_internal.alter_segment(reader || jsonb_build_object('computed', kind = 'trait'), named, rule, CASE WHEN kind = 'rule' THEN coalesce(per, '') END, query,
                                       (block ->> 'refresh')::interval, block ->> 'time_zone', true);
    IF before < (SELECT max(v.version) FROM cdp.segment_versions AS v WHERE v.segment_id = s.segment_id) THEN
      done := 'altered';
    END IF;
  END IF;
  IF off AND s.state IS DISTINCT FROM 'disabled' THEN
    PERFORM cdp_internal.disable_segment(reader, named);
    done := CASE done WHEN 'unchanged' THEN 'disabled' ELSE done || ', disabled' END;
  ELSIF NOT off AND s.state = 'disabled' THEN
    PERFORM cdp_internal.enable_segment(reader, named, true);
    done := CASE done WHEN 'unchanged' THEN 'enabled' ELSE done || ', enabled' END;
  END IF;
  RETURN done;
END $$;
COMMENT ON FUNCTION cdp_internal.import_definition(jsonb, text, jsonb) IS 'Part of cdp.import_definitions';

-- All, or none. A rule that names a segment further down waits until that is there.
CREATE FUNCTION cdp_internal.import_all(caller jsonb, blocks jsonb) RETURNS jsonb LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  waiting text[] := ARRAY(SELECT k FROM jsonb_object_keys(blocks) AS k ORDER BY k COLLATE "C");
  later   text[];
  named   text;
  done    jsonb := '{}';
  message text;
  detail  text;
  hint    text;
BEGIN
  PERFORM cdp_internal.lock_segments();
  LOOP
    later := '{}';
    FOREACH named IN ARRAY waiting LOOP
      BEGIN
        done := done || jsonb_build_object(named, cdp_internal.import_definition(caller, named, blocks -> named));
      EXCEPTION WHEN undefined_object OR undefined_function OR undefined_table THEN
        later := later || named;
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
      WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('%s: %s', CASE WHEN blocks -> named ? 'account' THEN named ELSE format('segment "%s"', named) END, message),
          DETAIL = coalesce(nullif(detail, ''), 'Nothing was imported.'), HINT = coalesce(nullif(hint, ''), 'Correct the text, and import it again.');
      END;
    END LOOP;
    IF later = '{}' THEN
      RETURN done;
    ELSIF later = waiting THEN
      RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s: %s', CASE WHEN blocks -> later[cardinality(later)] ? 'account' THEN later[cardinality(later)] ELSE format('segment "%s"', later[cardinality(later)]) END, message),
        DETAIL = coalesce(nullif(detail, ''), 'Nothing was imported.'), HINT = coalesce(nullif(hint, ''), 'Correct the text, and import it again.');
    END IF;
    waiting := later;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.import_all(jsonb, jsonb) IS 'Part of cdp.import_definitions';

CREATE FUNCTION cdp_internal.import_definitions(caller jsonb, definitions text, dry_run boolean)
  RETURNS TABLE (segment text, action text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  blocks constant jsonb := cdp_internal.read_definitions(definitions);
  done   jsonb;
  kept   constant text[] := ARRAY(SELECT s.name FROM cdp.segments AS s WHERE s.replaces IS NULL AND NOT blocks ? s.name
    UNION ALL SELECT format('account %s %s', d.kind, d.name) FROM cdp.account_definitions AS d WHERE NOT blocks ? format('account %s %s', d.kind, d.name));
BEGIN
  BEGIN
    done := cdp_internal.import_all(caller, blocks);
    IF coalesce(dry_run, false) THEN
      RAISE EXCEPTION USING ERRCODE = 'CDP02', MESSAGE = 'only to see';
    END IF;
  EXCEPTION WHEN SQLSTATE 'CDP02' THEN
    NULL; -- all is as it was, but for what we know
  END;
  RETURN QUERY
    SELECT o.segment, o.action FROM (SELECT d.key AS segment, d.value #>> '{}' AS action FROM jsonb_each(done) AS d
                                     UNION ALL SELECT k, 'not in the text, kept' FROM unnest(kept) AS k) AS o
    ORDER BY o.segment COLLATE "C";
END $$;
COMMENT ON FUNCTION cdp_internal.import_definitions(jsonb, text, boolean) IS 'See cdp.import_definitions';

CREATE FUNCTION cdp.import_definitions(definitions text, dry_run boolean DEFAULT false)
  RETURNS TABLE (segment text, action text) LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.import_definitions(text, boolean) IS
  'Creates the segments, computed traits, account traits and account segments of a text of cdp.export_definitions() that are not there, alters those that differ, leaves the equal and all others alone, and says what it did; all or none. What is new is built in the background. dry_run: only says what it would do';
