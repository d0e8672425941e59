-- definitions: what a segment is, version by version; made, altered, renamed, disabled and dropped. What is public is a
-- door in C: it takes the extension's rights, and tells the function of the same name in cdp_internal who calls.

CREATE TABLE cdp.segment_versions (
  segment_id    integer NOT NULL,
  version       integer NOT NULL,
  name          text NOT NULL,
  kind          text NOT NULL,
  class         text NOT NULL,
  rule          text,
  per           text,
  query         text,
  refresh       interval,
  owner         name NOT NULL,
  time_zone     text NOT NULL,
  search_path   text NOT NULL,
  datestyle     text NOT NULL,
  intervalstyle text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
  created_by    name NOT NULL,
  applied_at    timestamptz,
  retired_at    timestamptz,
  PRIMARY KEY (segment_id, version)
);
COMMENT ON TABLE cdp.segment_versions IS
  'Every definition a segment ever had, dropped ones too; who made it, and from when until when it was in force';
COMMENT ON COLUMN cdp.segment_versions.applied_at IS 'Since when memberships follow this version; null: not yet, or never';
COMMENT ON COLUMN cdp.segment_versions.retired_at IS 'When another version, or the end of the segment, took its place; null: in force, or being built';

CREATE TABLE cdp.segment_dependencies (
  segment_id    integer NOT NULL,
  on_segment_id integer NOT NULL,
  PRIMARY KEY (segment_id, on_segment_id)
);
CREATE INDEX segment_dependencies_on ON cdp.segment_dependencies (on_segment_id);
COMMENT ON TABLE cdp.segment_dependencies IS 'Which segment''s rule asks about which other segment';

SELECT pg_catalog.pg_extension_config_dump('cdp.segment_versions', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.segment_dependencies', '');

CREATE FUNCTION cdp_internal.lock_segments() RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_lock_segments';
COMMENT ON FUNCTION cdp_internal.lock_segments() IS 'Waits until nobody is sending messages, and keeps them waiting until commit';

CREATE FUNCTION cdp_internal.compile_rule(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, rule text, per text)
  RETURNS text LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_compile_rule';
COMMENT ON FUNCTION cdp_internal.compile_rule(name, text, text, text, text, text, text) IS
  'What cdp.segments.compiled keeps of a rule; of one that is not exact the reasons, and the query it stands for';

CREATE FUNCTION cdp_internal.rule_in_sql(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, rule text, per text, computed boolean)
  RETURNS text LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_rule_in_sql';
COMMENT ON FUNCTION cdp_internal.rule_in_sql(name, text, text, text, text, text, text, boolean) IS
  'The rule as plain SQL would have it: functions that know who it is about are told by profile_id';

CREATE FUNCTION cdp_internal.rename_in_rule(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, rule text, per text,
                                            name text, new_name text, computed boolean)
  RETURNS text LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_rename_in_rule';
COMMENT ON FUNCTION cdp_internal.rename_in_rule(name, text, text, text, text, text, text, text, text, boolean) IS
  'The rule with another name for a segment, or a computed trait, that it asks about';

CREATE FUNCTION cdp_internal.compile_computed(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, expression text)
  RETURNS text LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_compile_computed';
COMMENT ON FUNCTION cdp_internal.compile_computed(name, text, text, text, text, text) IS 'cdp_internal.compile_rule for the expression of a computed trait';

CREATE FUNCTION cdp_internal.judge_dependents(segment_id integer, profile_ids bigint[]) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_judge_dependents';
COMMENT ON FUNCTION cdp_internal.judge_dependents(integer, bigint[]) IS
  'Judges people, whose profiles are locked, by the rules that ask about a segment; null: everybody, while the definitions are locked';

CREATE FUNCTION cdp_internal.check_query(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, query text)
  RETURNS text LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_check_query';
COMMENT ON FUNCTION cdp_internal.check_query(name, text, text, text, text, text) IS 'The one SELECT in a text; an error when it is no segment''s query';

CREATE FUNCTION cdp_internal.judge_everybody(segment_id integer) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_judge_everybody';
COMMENT ON FUNCTION cdp_internal.judge_everybody(integer) IS 'Judges all people by an exact rule, now';

CREATE FUNCTION cdp_internal.judge_people(segment_id integer, profile_ids bigint[]) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_judge_people';
COMMENT ON FUNCTION cdp_internal.judge_people(integer, bigint[]) IS 'Judges some people, whose profiles are locked, by an exact rule, now';

-- Finding segments, and who may change them.

CREATE FUNCTION cdp_internal.find_segment(named text, computed boolean DEFAULT false) RETURNS cdp.segments LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found cdp.segments;
BEGIN
  IF named IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  END IF;
  SELECT * INTO found FROM cdp.segments AS s WHERE s.name = named AND s.replaces IS NULL AND (s.kind = 'trait') = computed;
  IF found IS NULL OR found.segment_id IS NULL THEN
    IF computed THEN
      PERFORM cdp_internal.refuse_computed_trait(named);
    END IF;
    PERFORM cdp_internal.refuse_segment(named);
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION cdp_internal.find_segment(text, boolean) IS 'The segment, or computed trait, of a name, or the error that there is none';

-- Its owner's members, and whoever administers cdp: that is, who may grant access to others.
CREATE FUNCTION cdp_internal.own_segment(caller jsonb, named text) RETURNS cdp.segments LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found  cdp.segments := cdp_internal.find_segment(named, coalesce((caller ->> 'computed')::boolean, false));
  role   name := caller ->> 'role';
BEGIN
  IF NOT cdp_internal.may_change(role, found.owner) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be owner of %s %s', CASE WHEN found.kind = 'trait' THEN 'computed trait' ELSE 'segment' END, named),
      HINT = format('It belongs to %s.', quote_ident(found.owner));
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION cdp_internal.own_segment(jsonb, text) IS 'The segment of a name, if the caller may change it';

CREATE FUNCTION cdp_internal.is_member(role name, of name) RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT bool_or(pg_has_role(role, r.oid, 'USAGE')) FROM pg_roles AS r WHERE r.rolname IN (of, current_user)), false)
$$;
COMMENT ON FUNCTION cdp_internal.is_member(name, name) IS 'Whether a role has the rights of another, or of the extension''s owner';

CREATE FUNCTION cdp_internal.may_change(role name, owner name) RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.is_member(role, owner) OR has_function_privilege(role, 'cdp.grant_access(name, text)', 'EXECUTE')
$$;
COMMENT ON FUNCTION cdp_internal.may_change(name, name) IS 'Whether a role may change what an owner made: members of the owner may, and who administers cdp';

CREATE FUNCTION cdp_internal.check_segment_name(named text, computed boolean DEFAULT false) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF named IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  ELSIF computed AND named !~ '^[A-Za-z][A-Za-z0-9_]{0,62}$' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_name', MESSAGE = format('"%s" cannot be the name of a computed trait', named),
      HINT = 'Use letters, digits and underscores, at most 63, a letter first.';
  ELSIF NOT computed AND (named !~ '^[a-z][a-z0-9_]{0,62}$' OR named = 'all_segments') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_name', MESSAGE = format('"%s" cannot be the name of a segment', named),
      HINT = 'Use lower-case letters, digits and underscores, at most 63, a letter first; all_segments is taken.';
  ELSIF EXISTS (SELECT FROM cdp.segments AS s WHERE s.name = named) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('%s already exists', cdp_internal.say_segment(named)),
      HINT = CASE WHEN EXISTS (SELECT FROM cdp.segments AS s WHERE s.name = named AND s.kind = 'trait')
        THEN format('Change it with cdp.alter_computed_trait, or drop it first: SELECT cdp.drop_computed_trait(%L).', named)
        ELSE format('Change it with cdp.alter_segment, or drop it first: SELECT cdp.drop_segment(%L).', named) END;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_segment_name(text, boolean) IS 'Raises the error of a name that is no good, or taken';

-- Definitions.

-- What is said becomes what is kept: the class, why, and the texts that are run.
CREATE FUNCTION cdp_internal.compile_definition(INOUT d cdp.segments) LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  d.class := 'exact';
  d.reasons := '{}';
  d.compiled := '{}';
  IF d.kind = 'query' THEN
    d.query := cdp_internal.check_query(d.owner, d.time_zone, d.search_path, d.datestyle, d.intervalstyle, d.query);
    d.reasons := ARRAY['it is a query'];
    d.compiled := jsonb_build_object('query', d.query);
  ELSIF d.kind = 'rule' THEN
    d.compiled := cdp_internal.compile_rule(d.owner, d.time_zone, d.search_path, d.datestyle, d.intervalstyle, d.rule, d.per);
    d.reasons := ARRAY(SELECT jsonb_array_elements_text(coalesce(d.compiled -> 'reasons', '[]')));
  ELSIF d.kind = 'trait' THEN
    d.compiled := cdp_internal.compile_computed(d.owner, d.time_zone, d.search_path, d.datestyle, d.intervalstyle, d.rule);
    IF d.compiled ? 'reasons' THEN
      RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('computed trait "%s" could not be kept exact', d.name),
        DETAIL = array_to_string(ARRAY(SELECT jsonb_array_elements_text(d.compiled -> 'reasons')), '; ') || '.',
        HINT = 'A computed trait asks about the person''s own events and traits; a segment, or a view over cdp.people, can ask for more.';
    END IF;
  END IF;
  IF d.reasons <> '{}' THEN
    d.class := 'interval';
    d.refresh := coalesce(d.refresh, interval '1 hour');
    IF d.refresh < interval '1 second' THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'refresh must be at least one second';
    END IF;
  ELSIF d.refresh IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('segment "%s" needs no refresh', d.name),
      DETAIL = 'It is exact: right at every instant, by itself.', HINT = 'Leave refresh out.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.compile_definition(cdp.segments) IS 'Checks and compiles what a segment is';

CREATE FUNCTION cdp_internal.tell_class(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  others text;
BEGIN
  IF d.class = 'interval' THEN
    RAISE NOTICE USING MESSAGE = format('segment "%s" is of class interval: it is refreshed every %s', d.name, d.refresh),
      DETAIL = format('It cannot be kept exact: %s.', array_to_string(d.reasons, '; '));
    RETURN;
  END IF;
  WITH RECURSIVE asked AS (
    SELECT u.id::integer AS segment_id FROM jsonb_array_elements_text(coalesce(d.compiled -> 'segments', '[]')) AS u (id)
    UNION SELECT o.on_segment_id FROM asked AS a JOIN cdp.segment_dependencies AS o USING (segment_id)
  ) SELECT string_agg(format('Segment "%s" is refreshed every %s.', s.name, s.refresh), ' ' ORDER BY s.name) INTO others
    FROM asked AS a JOIN cdp.segments AS s USING (segment_id) WHERE s.class = 'interval';
  IF others IS NOT NULL THEN
    RAISE NOTICE USING MESSAGE = format('segment "%s" is exact, but only as right as the segments it asks about', d.name), DETAIL = others;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_class(cdp.segments) IS 'Says that a segment is not exact, and why, or no more exact than others';

CREATE FUNCTION cdp_internal.add_version(d cdp.segments, segment integer, created_by name, applied_at timestamptz) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO cdp.segment_versions (segment_id, version, name, kind, class, rule, per, query, refresh, owner, time_zone, search_path,
                                    datestyle, intervalstyle, created_by, applied_at)
  VALUES (segment, d.version, d.name, d.kind, d.class, d.rule, d.per, d.query, d.refresh, d.owner, d.time_zone, d.search_path,
          d.datestyle, d.intervalstyle, created_by, applied_at);
END $$;
COMMENT ON FUNCTION cdp_internal.add_version(cdp.segments, integer, name, timestamptz) IS 'Notes a definition in cdp.segment_versions';

-- Versions that are being built count, and so do those they will replace: which comes into force first nobody knows.
CREATE FUNCTION cdp_internal.refuse_circle(d cdp.segments) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target constant integer := coalesce(d.replaces, d.segment_id);
  circle text[];
BEGIN
  WITH RECURSIVE asks AS (
    SELECT coalesce(s.replaces, s.segment_id) AS segment_id, o.on_segment_id
    FROM cdp.segment_dependencies AS o JOIN cdp.segments AS s USING (segment_id)
  ), path AS (
    SELECT a.on_segment_id AS at, ARRAY[target, a.on_segment_id] AS places FROM asks AS a WHERE a.segment_id = target
    UNION ALL
    SELECT a.on_segment_id, p.places || a.on_segment_id FROM path AS p JOIN asks AS a ON a.segment_id = p.at
    WHERE p.at <> target AND NOT a.on_segment_id = ANY (p.places[2:])
  )
  SELECT (SELECT array_agg(s.name ORDER BY u.place) FROM unnest(p.places) WITH ORDINALITY AS u (id, place) JOIN cdp.segments AS s ON s.segment_id = u.id)
    INTO circle FROM path AS p WHERE p.at = target ORDER BY cardinality(p.places), p.places LIMIT 1;
  IF circle IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_object_definition', MESSAGE = format('%s would ask about itself', cdp_internal.say_segment(circle[1])),
      DETAIL = (SELECT string_agg(format('%s asks about %s', circle[i], circle[i + 1]), ', ' ORDER BY i) FROM generate_series(1, cardinality(circle) - 1) AS i) || '.',
      HINT = 'None can depend on itself, through whichever others. Versions that are being built count as well.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_circle(cdp.segments) IS 'Raises the error of a segment that asks about itself, through whichever others';

-- The segments that a rule asks about; the compiler lists them.
CREATE FUNCTION cdp_internal.note_dependencies(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.segment_dependencies AS o WHERE o.segment_id = d.segment_id;
  INSERT INTO cdp.segment_dependencies (segment_id, on_segment_id)
    SELECT DISTINCT d.segment_id, u.id::integer FROM jsonb_array_elements_text(coalesce(d.compiled -> 'segments', '[]')) AS u (id);
  PERFORM cdp_internal.refuse_circle(d), cdp_internal.check_trait_circles();
END $$;
COMMENT ON FUNCTION cdp_internal.note_dependencies(cdp.segments) IS 'Fills cdp.segment_dependencies for a segment';

-- A view a segment. Whoever may read cdp.segment_members may read it; being security_invoker it shows nobody more.
CREATE FUNCTION cdp_internal.create_segment_view(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('CREATE VIEW cdp_segments.%I WITH (security_invoker) AS '
    'SELECT m.profile_id, m.key, m.entered_at AS since, p.traits FROM cdp.memberships AS m '
    'JOIN cdp.profiles AS p USING (profile_id) WHERE m.segment_id = %s '
    'AND m.entered_at <= pg_catalog.now() AND m.left_at > pg_catalog.now()', d.name, d.segment_id);
  PERFORM cdp_internal.describe_segment_view(d), cdp_internal.grant_readers(format('cdp_segments.%I', d.name)::regclass);
END $$;
COMMENT ON FUNCTION cdp_internal.create_segment_view(cdp.segments) IS 'Makes the view of a segment';

CREATE FUNCTION cdp_internal.describe_segment_view(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF d.kind <> 'trait' THEN
    EXECUTE format('COMMENT ON VIEW cdp_segments.%I IS %L', d.name,
      coalesce(d.rule || coalesce(E'\nper ' || d.per, ''), d.query, 'A list, see cdp.list_members'));
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.describe_segment_view(cdp.segments) IS 'Says in the comment of a segment''s view what is in it';

-- Making.

CREATE FUNCTION cdp_internal.begin_definition(caller jsonb, named text, kind text) RETURNS cdp.segments LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.segments;
BEGIN
  PERFORM cdp_internal.lock_segments();
  PERFORM cdp_internal.check_segment_name(named, kind = 'trait'); -- sees what was committed while we waited
  d.name := named;
  d.kind := kind;
  d.owner := caller ->> 'role';
  d.time_zone := 'UTC';
  d.search_path := caller ->> 'search_path';
  d.datestyle := caller ->> 'datestyle';
  d.intervalstyle := caller ->> 'intervalstyle';
  d.state := 'active';
  d.version := 1;
  d.created_at := now();
  RETURN d;
END $$;
COMMENT ON FUNCTION cdp_internal.begin_definition(jsonb, text, text) IS 'A definition that says nothing yet; locks the definitions';

-- Keeps a definition, and finds whom it holds for, or leaves that to the worker.
CREATE FUNCTION cdp_internal.add_definition(d cdp.segments, background boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF background THEN
    d.state := 'building';
  END IF;
  INSERT INTO cdp.segments SELECT d.*;
  PERFORM cdp_internal.add_version(d, d.segment_id, d.owner, CASE WHEN NOT background THEN now() END),
          cdp_internal.note_dependencies(d), cdp_internal.tell_class(d);
  IF background THEN
    PERFORM cdp_internal.begin_build(d.segment_id);
  ELSE
    PERFORM cdp_internal.fill_segment(d);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.add_definition(cdp.segments, boolean) IS 'Part of cdp.create_segment and cdp.create_computed_trait';

CREATE FUNCTION cdp_internal.create_segment(caller jsonb, named text, rule text, per text, time_zone text, query text, refresh interval,
                                            background boolean) RETURNS integer LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.segments;
BEGIN
  IF num_nonnulls(rule, query) <> 1 THEN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN rule IS NULL THEN 'null_value_not_allowed' ELSE 'invalid_parameter_value' END,
      MESSAGE = CASE WHEN rule IS NULL THEN 'a segment needs a rule or a query' ELSE 'a segment has a rule or a query, not both' END,
      HINT = CASE WHEN rule IS NULL THEN 'cdp.create_list(name) makes one of people who are put on it.'
        ELSE 'A rule with a sub-query can look at other rows.' END;
  ELSIF per IS NOT NULL AND query IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'per belongs to a rule', HINT = 'A query returns a column key itself.';
  END IF;
  d := cdp_internal.begin_definition(caller, named, CASE WHEN query IS NULL THEN 'rule' ELSE 'query' END);
  d.rule := rule;
  d.per := per;
  d.query := query;
  d.refresh := refresh;
  d.time_zone := coalesce(time_zone, 'UTC');
  d := cdp_internal.compile_definition(d);
  d.segment_id := nextval('cdp.segments_segment_id_seq'); -- what is refused takes no number
  PERFORM cdp_internal.add_definition(d, background), cdp_internal.create_segment_view(d);
  RETURN d.segment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.create_segment(jsonb, text, text, text, text, text, interval, boolean) IS 'See cdp.create_segment';

-- Keeps the search_path of its caller, which is what the rule is read with; C pins its own.
CREATE FUNCTION cdp.create_segment(name text, rule text DEFAULT NULL, per text DEFAULT NULL, time_zone text DEFAULT 'UTC',
    query text DEFAULT NULL, refresh interval DEFAULT NULL, background boolean DEFAULT false)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.create_segment(text, text, text, text, text, interval, boolean) IS
  'Creates a segment from a rule, a SQL HAVING clause over one person''s events and traits, or from a query, any SELECT of profile_id (and key), and finds its members. What cannot be kept exact is judged again every refresh. background: the worker, or CALL cdp.run(), finds the members, and messages need not wait';

CREATE FUNCTION cdp_internal.create_list(caller jsonb, named text) RETURNS integer LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.segments := cdp_internal.compile_definition(cdp_internal.begin_definition(caller, named, 'list'));
BEGIN
  d.segment_id := nextval('cdp.segments_segment_id_seq');
  INSERT INTO cdp.segments SELECT d.*;
  PERFORM cdp_internal.add_version(d, d.segment_id, d.owner, now()), cdp_internal.create_segment_view(d);
  RETURN d.segment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.create_list(jsonb, text) IS 'See cdp.create_list';

CREATE FUNCTION cdp.create_list(name text) RETURNS integer LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.create_list(text) IS 'Creates a segment of people who are put on it: see cdp.add_members';

-- Everybody at once, while the definitions are locked.
CREATE FUNCTION cdp_internal.fill_segment(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF d.kind = 'list' THEN
    PERFORM cdp_internal.judge_lists(ARRAY(
      SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id IN (
        SELECT i.profile_id FROM cdp.list_members AS l JOIN cdp.identifiers AS i USING (identifier_id) WHERE l.segment_id = d.segment_id
        UNION ALL SELECT m.profile_id FROM cdp.memberships AS m WHERE m.segment_id = d.segment_id AND m.left_at > now())));
  ELSIF d.class = 'exact' THEN
    PERFORM cdp_internal.judge_everybody(d.segment_id);
  ELSE
    PERFORM cdp_internal.refresh_kept(d, true);
  END IF;
  PERFORM cdp_internal.refold_followers(d.segment_id, NULL);
END $$;
COMMENT ON FUNCTION cdp_internal.fill_segment(cdp.segments) IS 'Finds all members of a segment, whatever it is';

-- Altering.

CREATE FUNCTION cdp_internal.alter_segment(caller jsonb, named text, rule text, per text, query text, refresh interval, time_zone text,
                                           background boolean) RETURNS integer LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s    cdp.segments;
  base cdp.segments;
  d    cdp.segments;
BEGIN
  PERFORM cdp_internal.lock_segments();
  s := cdp_internal.own_segment(caller, named);
  PERFORM cdp_internal.check_alteration(s, rule, per, query);
  -- A version that is being built is what is altered.
  SELECT * INTO base FROM cdp.segments AS o WHERE o.replaces = s.segment_id;
  IF base.segment_id IS NULL THEN
    base := s;
  END IF;
  d := base;
  IF num_nonnulls(rule, per, query) > 0 THEN
    d := cdp_internal.rewritten_by(d, caller);
  END IF;
  d.rule := coalesce(rule, d.rule);
  d.per := CASE per WHEN '' THEN NULL ELSE coalesce(per, d.per) END;
  d.query := CASE WHEN query IS NULL THEN d.query
    ELSE cdp_internal.check_query(d.owner, 'UTC', caller ->> 'search_path', caller ->> 'datestyle', caller ->> 'intervalstyle', query) END;
  d.time_zone := coalesce(time_zone, d.time_zone);
  d.name := s.name;
  IF cdp_internal.means_the_same(d, base) AND (d.owner = base.owner OR EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = base.owner))
     AND (refresh IS NULL OR refresh = base.refresh) THEN
    RETURN base.version;
  END IF;
  d.refresh := coalesce(refresh, CASE WHEN base.class = 'interval' THEN base.refresh END);
  -- An interval that was not asked for goes with the need for it.
  IF refresh IS NULL AND d.kind = 'rule' AND NOT cdp_internal.compile_rule(d.owner, d.time_zone, d.search_path, d.datestyle,
       d.intervalstyle, d.rule, d.per)::jsonb ? 'reasons' THEN
    d.refresh := NULL;
  END IF;
  d := cdp_internal.compile_definition(d);
  d.version := (SELECT max(v.version) + 1 FROM cdp.segment_versions AS v WHERE v.segment_id = s.segment_id);
  PERFORM cdp_internal.tell_class(d);
  PERFORM cdp_internal.put_version(s, base, d, caller ->> 'role', coalesce(background, true));
  RETURN d.version;
END $$;
COMMENT ON FUNCTION cdp_internal.alter_segment(jsonb, text, text, text, text, interval, text, boolean) IS 'See cdp.alter_segment';

CREATE FUNCTION cdp_internal.means_the_same(one cdp.segments, other cdp.segments) RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT (one.rule, one.per, one.query, one.time_zone, one.search_path, one.datestyle, one.intervalstyle)
    IS NOT DISTINCT FROM (other.rule, other.per, other.query, other.time_zone, other.search_path, other.datestyle, other.intervalstyle)
$$;
COMMENT ON FUNCTION cdp_internal.means_the_same(cdp.segments, cdp.segments) IS 'Whether two definitions say the same, however often they are asked';

CREATE FUNCTION cdp_internal.check_alteration(s cdp.segments, rule text, per text, query text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF s.kind = 'list' THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('segment "%s" is a list', s.name),
      HINT = 'cdp.add_members and cdp.remove_members change who is on it.';
  ELSIF s.kind = 'rule' AND query IS NOT NULL OR s.kind = 'query' AND num_nonnulls(rule, per) > 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('segment "%s" is a %s', s.name, s.kind),
      HINT = CASE WHEN rule IS NULL AND query IS NULL THEN 'per belongs to a rule: a query returns a column key itself.'
        ELSE 'What a segment is made of stays: create another one, or drop this one first.' END;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_alteration(cdp.segments, text, text, text) IS 'Raises the error of a change that cannot be';

-- A text is read as whoever wrote it last would read it, and runs with their rights unless they have the owner's.
CREATE FUNCTION cdp_internal.rewritten_by(INOUT d cdp.segments, caller jsonb) LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  d.search_path := caller ->> 'search_path';
  d.datestyle := caller ->> 'datestyle';
  d.intervalstyle := caller ->> 'intervalstyle';
  IF NOT cdp_internal.is_member((caller ->> 'role')::name, d.owner) OR NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = d.owner) THEN
    d.owner := caller ->> 'role';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.rewritten_by(cdp.segments, jsonb) IS 'A definition with the settings, and if need be the owner, of who changes it';

-- `s` as it is, `base` what was altered: itself, or the version that was being built; `d` what it shall be.
CREATE FUNCTION cdp_internal.put_version(s cdp.segments, base cdp.segments, d cdp.segments, by name, background boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  only_interval constant boolean := base.class = d.class AND base.owner = d.owner AND cdp_internal.means_the_same(base, d);
BEGIN
  -- Nobody's membership depends on how often it is asked for, and who has none needs no swap.
  IF s.state <> 'active' OR only_interval AND base.segment_id = s.segment_id THEN
    d.segment_id := s.segment_id;
    d.state := s.state;
    PERFORM cdp_internal.add_version(d, s.segment_id, by, NULL), cdp_internal.promote_segment(d);
    IF s.state = 'building' THEN
      PERFORM cdp_internal.begin_build(s.segment_id);
      UPDATE cdp.segment_versions AS v SET applied_at = NULL WHERE v.segment_id = s.segment_id AND v.version = d.version;
    END IF;
    RETURN;
  END IF;
  PERFORM cdp_internal.abandon_build(s.segment_id), cdp_internal.add_version(d, s.segment_id, by, NULL);
  d.segment_id := nextval('cdp.segments_segment_id_seq');
  d.name := format('%s (version %s)', s.name, d.version);
  d.state := 'building';
  d.replaces := s.segment_id;
  d.created_at := now();
  INSERT INTO cdp.segments SELECT d.*;
  PERFORM cdp_internal.note_dependencies(d), cdp_internal.begin_build(d.segment_id);
  IF NOT background THEN
    PERFORM cdp_internal.finish_build(d, false);
  END IF;
  PERFORM cdp_internal.forget_inputs();
END $$;
COMMENT ON FUNCTION cdp_internal.put_version(cdp.segments, cdp.segments, cdp.segments, name, boolean) IS 'Registers a new version and begins to build it';

-- Once every segment is as it will stay: a definition that is being exchanged is in no row for a while.
CREATE FUNCTION cdp_internal.forget_inputs() RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forget_inputs';
COMMENT ON FUNCTION cdp_internal.forget_inputs() IS 'Stops asking events what no segment wants to know any more';

-- No foreign keys do this: a restore may bring the tables in any order. The feed hears of the memberships first.
CREATE FUNCTION cdp_internal.forget_segment(segment integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.memberships AS m WHERE m.segment_id = segment;
  DELETE FROM cdp.list_members AS l WHERE l.segment_id = segment;
  DELETE FROM cdp.segment_refreshes AS r WHERE r.segment_id = segment;
  DELETE FROM cdp.segment_costs AS c WHERE c.segment_id = segment;
  DELETE FROM cdp_internal.segment_builds AS b WHERE b.segment_id = segment;
  DELETE FROM cdp.segment_dependencies AS d WHERE segment IN (d.segment_id, d.on_segment_id);
  DELETE FROM cdp.segments AS s WHERE s.segment_id = segment;
END $$;
COMMENT ON FUNCTION cdp_internal.forget_segment(integer) IS 'Deletes a segment with all that hangs on it but its versions and its view';

-- A version that was being built will never be.
CREATE FUNCTION cdp_internal.abandon_build(segment integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old integer := (SELECT s.segment_id FROM cdp.segments AS s WHERE s.replaces = segment);
BEGIN
  UPDATE cdp.segment_versions AS v SET retired_at = now() WHERE v.segment_id = segment AND v.applied_at IS NULL AND v.retired_at IS NULL;
  PERFORM cdp_internal.forget_segment(old);
END $$;
COMMENT ON FUNCTION cdp_internal.abandon_build(integer) IS 'Gives up the version of a segment that is being built';

-- The definition in force is another one from here on; its memberships are there already.
CREATE FUNCTION cdp_internal.promote_segment(d cdp.segments) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  target constant integer := coalesce(d.replaces, d.segment_id);
BEGIN
  UPDATE cdp.segment_versions AS v SET retired_at = now()
    WHERE v.segment_id = target AND v.version <> d.version AND v.retired_at IS NULL;
  UPDATE cdp.segment_versions AS v SET applied_at = now() WHERE v.segment_id = target AND v.version = d.version;
  IF d.replaces IS NOT NULL THEN
    DELETE FROM cdp.segment_errors AS e WHERE e.segment_id = target;
    UPDATE cdp.segment_errors AS e SET segment_id = target WHERE e.segment_id = d.segment_id;
    PERFORM cdp_internal.forget_segment(d.segment_id);
  END IF;
  UPDATE cdp.segments AS s SET rule = d.rule, per = d.per, query = d.query, refresh = d.refresh, owner = d.owner, time_zone = d.time_zone,
      search_path = d.search_path, datestyle = d.datestyle, intervalstyle = d.intervalstyle, class = d.class, reasons = d.reasons,
      compiled = d.compiled, version = d.version
    WHERE s.segment_id = target;
  DELETE FROM cdp.segment_refreshes AS r WHERE r.segment_id = target AND d.class = 'exact';
  SELECT * INTO d FROM cdp.segments AS s WHERE s.segment_id = target;
  PERFORM cdp_internal.note_dependencies(d), cdp_internal.describe_segment_view(d);
  PERFORM cdp_internal.forget_inputs();
END $$;
COMMENT ON FUNCTION cdp_internal.promote_segment(cdp.segments) IS 'Puts a version in force';

CREATE FUNCTION cdp.alter_segment(name text, rule text DEFAULT NULL, per text DEFAULT NULL, query text DEFAULT NULL,
    refresh interval DEFAULT NULL, time_zone text DEFAULT NULL, background boolean DEFAULT true)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.alter_segment(text, text, text, text, interval, text, boolean) IS
  'Gives a segment a new version of its definition and returns its number; what is null stays, per => '''' takes it away. Memberships stay as they are until the worker, or CALL cdp.run(), has judged everybody, and change in one commit then; background => false: in this one, and messages wait';
