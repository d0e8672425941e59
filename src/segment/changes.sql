-- changes: segments renamed, switched off and on, dropped, refreshed.

-- What would not be found any more: names of segments whose rules ask for this one, and of views over its view.
CREATE FUNCTION cdp_internal.dependents(s cdp.segments) RETURNS TABLE (segment text, view regclass, profile_view text) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT coalesce(o.name, d.name), NULL::regclass, NULL::text
  FROM cdp.segment_dependencies AS e JOIN cdp.segments AS d USING (segment_id) LEFT JOIN cdp.segments AS o ON o.segment_id = d.replaces
  WHERE e.on_segment_id = s.segment_id AND coalesce(o.segment_id, d.segment_id) <> s.segment_id
  UNION ALL
  SELECT DISTINCT NULL, r.ev_class::regclass, NULL
  FROM pg_depend AS p JOIN pg_rewrite AS r ON r.oid = p.objid
  WHERE p.classid = 'pg_rewrite'::regclass AND p.refclassid = 'pg_class'::regclass
    AND p.refobjid = to_regclass('cdp_segments.' || quote_ident(s.name)) AND r.ev_class <> p.refobjid
  UNION ALL
  SELECT NULL, NULL, v FROM cdp_internal.profile_views_of(s.segment_id) AS v
$$;
COMMENT ON FUNCTION cdp_internal.dependents(cdp.segments) IS 'Segments and views that are made of a segment';

CREATE FUNCTION cdp_internal.say_segment(named text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE s.kind WHEN 'trait' THEN 'computed trait ' ELSE 'segment ' END || format('"%s"', s.name) FROM cdp.segments AS s WHERE s.name = named
$$;
COMMENT ON FUNCTION cdp_internal.say_segment(text) IS 'What a name is the name of';

CREATE FUNCTION cdp_internal.refuse_dependents(s cdp.segments, what text, with_views boolean, hint text) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list text := (SELECT string_agg(CASE WHEN o.segment IS NOT NULL THEN format('%s asks about %s', cdp_internal.say_segment(o.segment), cdp_internal.say_segment(s.name))
                                       WHEN o.profile_view IS NOT NULL THEN format('profile view %s has a column of %s', o.profile_view, cdp_internal.say_segment(s.name))
                                       ELSE format('view %s is made of view cdp_segments.%s', o.view, quote_ident(s.name)) END, E'\n'
                                  ORDER BY o.segment, o.view::text, o.profile_view)
                FROM cdp_internal.dependents(s) AS o WHERE with_views OR o.segment IS NOT NULL);
BEGIN
  IF list IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
      MESSAGE = format('cannot %s %s "%s" because others depend on it', what, CASE s.kind WHEN 'trait' THEN 'computed trait' ELSE 'segment' END, s.name),
      DETAIL = list, HINT = hint;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_dependents(cdp.segments, text, boolean, text) IS 'Raises the error that others depend on a segment';

-- Rules say whom they ask about by name. What they mean stays, so that nobody needs to be judged.
CREATE FUNCTION cdp_internal.rename_in_dependents(segment integer, named text, new_name text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.segments;
BEGIN
  FOR d IN SELECT s.* FROM cdp.segments AS s JOIN cdp.segment_dependencies AS o USING (segment_id) WHERE o.on_segment_id = segment ORDER BY 1 LOOP
    d.rule := cdp_internal.rename_in_rule(d.owner, d.time_zone, d.search_path, d.datestyle, d.intervalstyle, d.rule, d.per, named, new_name, d.kind = 'trait');
    d := cdp_internal.compile_definition(d);
    UPDATE cdp.segments AS s SET rule = d.rule, compiled = d.compiled WHERE s.segment_id = d.segment_id;
    UPDATE cdp.segment_versions AS v SET rule = d.rule WHERE v.segment_id = coalesce(d.replaces, d.segment_id) AND v.version = d.version;
    IF d.replaces IS NULL THEN
      PERFORM cdp_internal.describe_segment_view(d);
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.rename_in_dependents(integer, text, text) IS 'Part of cdp.rename_segment';

CREATE FUNCTION cdp_internal.rename_segment(caller jsonb, named text, new_name text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s cdp.segments;
BEGIN
  PERFORM cdp_internal.lock_segments();
  s := cdp_internal.own_segment(caller, named);
  PERFORM cdp_internal.check_segment_name(new_name, s.kind = 'trait');
  IF s.kind <> 'trait' THEN
    EXECUTE format('ALTER VIEW cdp_segments.%I RENAME TO %I', s.name, new_name);
  END IF;
  UPDATE cdp.segments AS o SET name = CASE WHEN o.replaces IS NULL THEN new_name ELSE format('%s (version %s)', new_name, o.version) END
    WHERE s.segment_id IN (o.segment_id, o.replaces);
  PERFORM cdp_internal.rename_in_dependents(s.segment_id, named, new_name), cdp_internal.describe_profile_views_of(s.segment_id);
  -- The feed finds a segment by its name; whoever tells or folds it does so before, or sees the new one.
  PERFORM cdp_internal.take_turn('cdp.membership_changes', n) FROM generate_series(0, 1) AS n;
  UPDATE cdp.membership_changes AS c SET segment = new_name WHERE c.segment_id = s.segment_id;
  UPDATE cdp.segment_days AS c SET segment = new_name WHERE c.segment_id = s.segment_id;
  UPDATE cdp.change_consumers AS c SET segments = array_replace(c.segments, named, new_name) WHERE named = ANY (c.segments);
END $$;
COMMENT ON FUNCTION cdp_internal.rename_segment(jsonb, text, text) IS 'See cdp.rename_segment';
CREATE FUNCTION cdp.rename_segment(name text, new_name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.rename_segment(text, text) IS
  'Gives a segment, its view and what was told of it another name, and rewrites the rules that ask about it';

-- One by one they cost more than everybody at once when they are many.
CREATE FUNCTION cdp_internal.few_people(profile_ids bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN cardinality(profile_ids) <= 10000 THEN profile_ids END
$$;
COMMENT ON FUNCTION cdp_internal.few_people(bigint[]) IS 'These people; null, which is everybody to cdp_internal.judge_dependents, when they are many';

CREATE FUNCTION cdp_internal.is_asked_about(segment integer) RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM cdp.segment_dependencies AS d WHERE d.on_segment_id = segment) OR EXISTS (SELECT FROM cdp_internal.survivorship_of(segment))
$$;
COMMENT ON FUNCTION cdp_internal.is_asked_about(integer) IS 'Whether a rule asks about a segment';

CREATE FUNCTION cdp_internal.disable_segment(caller jsonb, named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s      cdp.segments;
  people bigint[];
BEGIN
  PERFORM cdp_internal.lock_segments();
  s := cdp_internal.own_segment(caller, named);
  IF s.state = 'disabled' THEN
    RETURN;
  END IF;
  people := ARRAY(SELECT DISTINCT m.profile_id FROM cdp.memberships AS m
                  WHERE m.segment_id = s.segment_id AND m.left_at > now() AND cdp_internal.is_asked_about(s.segment_id));
  PERFORM cdp_internal.abandon_build(s.segment_id), cdp_internal.end_memberships(s.segment_id);
  DELETE FROM cdp_internal.segment_builds AS b WHERE b.segment_id = s.segment_id;
  DELETE FROM cdp.segment_errors AS e WHERE e.segment_id = s.segment_id;
  UPDATE cdp.segments AS o SET state = 'disabled' WHERE o.segment_id = s.segment_id;
  PERFORM cdp_internal.judge_dependents(s.segment_id, cdp_internal.few_people(people)), cdp_internal.refold_followers(s.segment_id, people);
END $$;
COMMENT ON FUNCTION cdp_internal.disable_segment(jsonb, text) IS 'See cdp.disable_segment';
CREATE FUNCTION cdp.disable_segment(name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.disable_segment(text) IS
  'Ends all memberships of a segment now and judges nobody any more; its definition, its history and what is on a list stay. See cdp.enable_segment';

-- What has begun ends now; what was still to come does not.
CREATE FUNCTION cdp_internal.end_memberships(segment integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.memberships AS m WHERE m.segment_id = segment AND m.entered_at >= now();
  UPDATE cdp.memberships AS m SET left_at = now() WHERE m.segment_id = segment AND m.left_at > now();
END $$;
COMMENT ON FUNCTION cdp_internal.end_memberships(integer) IS 'Ends all memberships of a segment, while the definitions are locked';

CREATE FUNCTION cdp_internal.enable_segment(caller jsonb, named text, background boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s cdp.segments;
BEGIN
  PERFORM cdp_internal.lock_segments();
  s := cdp_internal.own_segment(caller, named);
  IF s.state <> 'disabled' THEN
    RETURN;
  END IF;
  s.state := CASE WHEN background AND s.kind <> 'list' THEN 'building' ELSE 'active' END;
  UPDATE cdp.segments AS o SET state = s.state WHERE o.segment_id = s.segment_id;
  DELETE FROM cdp_internal.trait_runs AS r WHERE s.compiled -> 'since' ? r.trait; -- nobody may have followed them meanwhile
  IF s.state = 'building' THEN
    PERFORM cdp_internal.begin_build(s.segment_id);
  ELSE
    PERFORM cdp_internal.fill_segment(s);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.enable_segment(jsonb, text, boolean) IS 'See cdp.enable_segment';
CREATE FUNCTION cdp.enable_segment(name text, background boolean DEFAULT false) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.enable_segment(text, boolean) IS
  'Judges everybody anew by a segment that was disabled, and keeps it from then on';

CREATE FUNCTION cdp_internal.drop_segment(caller jsonb, named text, cascading boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s cdp.segments;
  o record;
BEGIN
  PERFORM cdp_internal.lock_segments();
  s := cdp_internal.own_segment(caller, named);
  IF NOT coalesce(cascading, false) THEN
    PERFORM cdp_internal.refuse_dependents(s, 'drop', true,
      format('Change them first, or drop them too: SELECT cdp.drop_%s(%L, cascade => true).', CASE s.kind WHEN 'trait' THEN 'computed_trait' ELSE 'segment' END, named));
  END IF;
  FOR o IN SELECT d.segment FROM cdp_internal.dependents(s) AS d WHERE d.segment IS NOT NULL ORDER BY 1 LOOP
    IF EXISTS (SELECT FROM cdp.segments AS still WHERE still.name = o.segment) THEN -- it may depend on another one
      RAISE NOTICE 'drop cascades to %', cdp_internal.say_segment(o.segment);
      PERFORM cdp_internal.drop_segment(caller || jsonb_build_object('computed', (SELECT d.kind = 'trait' FROM cdp.segments AS d WHERE d.name = o.segment)),
                                        o.segment, true);
    END IF;
  END LOOP;
  FOR o IN SELECT d.profile_view FROM cdp_internal.dependents(s) AS d WHERE d.profile_view IS NOT NULL ORDER BY 1 LOOP
    RAISE NOTICE 'drop cascades to profile view %', o.profile_view;
    PERFORM cdp_internal.drop_profile_view(caller, o.profile_view, true);
  END LOOP;
  IF cascading THEN
    PERFORM cdp_internal.drop_account_askers(caller, s.segment_id);
  END IF;
  IF s.kind <> 'trait' THEN
    EXECUTE format('DROP VIEW IF EXISTS cdp_segments.%I %s', s.name, CASE WHEN cascading THEN 'CASCADE' END);
  END IF;
  PERFORM cdp_internal.abandon_build(s.segment_id);
  UPDATE cdp.segment_versions AS v SET retired_at = now() WHERE v.segment_id = s.segment_id AND v.retired_at IS NULL;
  PERFORM cdp_internal.forget_segment(s.segment_id), cdp_internal.forget_inputs();
END $$;
COMMENT ON FUNCTION cdp_internal.drop_segment(jsonb, text, boolean) IS 'See cdp.drop_segment';
CREATE FUNCTION cdp.drop_segment(name text, cascade boolean DEFAULT false) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.drop_segment(text, boolean) IS
  'Drops a segment with its view and its memberships. cascade: and the segments and views that are made of it. Errors: 2BP01 when there are such';

CREATE FUNCTION cdp_internal.refresh_segment(caller jsonb, named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s         cdp.segments := cdp_internal.own_segment(caller, named);
  exclusive constant boolean := s.class = 'exact';
BEGIN
  IF exclusive THEN
    PERFORM cdp_internal.lock_segments();
    s := cdp_internal.own_segment(caller, named); -- as it is now
  END IF;
  IF s.state = 'disabled' THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('segment "%s" is disabled', named),
      HINT = format('SELECT cdp.enable_segment(%L).', named);
  ELSIF exclusive THEN
    DELETE FROM cdp.segment_errors AS e WHERE e.segment_id = s.segment_id AND e.profile_id IS NULL;
    PERFORM cdp_internal.fill_segment(s);
  ELSE
    PERFORM cdp_internal.refresh_kept(s, false);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_segment(jsonb, text) IS 'See cdp.refresh_segment';
CREATE FUNCTION cdp.refresh_segment(name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.refresh_segment(text) IS
  'Judges everybody anew: by a query or rule of class interval before it is due, by an exact rule after what broke it (see cdp.segment_errors) was repaired';

CREATE FUNCTION cdp.refresh_segments() RETURNS void LANGUAGE c SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_refresh_segments';
COMMENT ON FUNCTION cdp.refresh_segments() IS
  'Judges everybody anew by all exact rules, reading each person''s events once; what cannot run is in cdp.segment_errors';
