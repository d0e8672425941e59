-- Profile views made, altered, renamed, dropped; materialized ones refreshed, by the worker, or CALL cdp.run(), when they are due.

CREATE VIEW cdp.profile_views WITH (security_invoker) AS
  SELECT v.name, pg_catalog.format('cdp_views.%I', v.name) AS relation, v.owner, v.materialized, v.refresh, v.description,
         ARRAY(SELECT c.name FROM cdp_internal.profile_view_columns AS c WHERE c.view = v.name ORDER BY c.place) AS columns,
         r.refreshed_at, CASE WHEN v.materialized THEN pg_catalog.now() - r.refreshed_at END AS lag, r.took, r.people, r.misfits,
         CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_class AS k WHERE k.relnamespace = 'cdp_views'::pg_catalog.regnamespace AND k.relname = v.name)
              THEN 'the view is gone' ELSE r.message END AS error
  FROM cdp_internal.profile_views AS v LEFT JOIN cdp_internal.profile_view_refreshes AS r ON r.view = v.name;
COMMENT ON VIEW cdp.profile_views IS 'Every profile view; of materialized ones the latest refresh';
COMMENT ON COLUMN cdp.profile_views.refreshed_at IS 'The instant that a materialized view is true to';
COMMENT ON COLUMN cdp.profile_views.misfits IS 'How many values of a column did not fit its type at the latest refresh, and so are null; see cdp.check_profile_view';
COMMENT ON COLUMN cdp.profile_views.error IS 'Why the latest refresh failed; what was there before stays';
REVOKE ALL ON TABLE cdp.profile_views FROM PUBLIC;

-- Finding them, and who may change them.

CREATE FUNCTION cdp_internal.find_profile_view(named text) RETURNS cdp_internal.profile_views LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen cdp_internal.profile_views;
BEGIN
  IF named IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  END IF;
  SELECT * INTO chosen FROM cdp_internal.profile_views AS v WHERE v.name = named;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('profile view "%s" does not exist', left(named, 100)),
      HINT = coalesce('Nearest: ' || (cdp_internal.nearest_names(named, ARRAY(SELECT v.name FROM cdp_internal.profile_views AS v)))[1] || '.',
                      'There are none yet: cdp.create_profile_view(name, columns) makes one.');
  END IF;
  RETURN chosen;
END $$;
COMMENT ON FUNCTION cdp_internal.find_profile_view(text) IS 'The profile view of a name, or the error that there is none';

CREATE FUNCTION cdp_internal.own_profile_view(caller jsonb, named text) RETURNS cdp_internal.profile_views LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen cdp_internal.profile_views := cdp_internal.find_profile_view(named);
  role  name := caller ->> 'role';
BEGIN
  IF NOT cdp_internal.may_change(role, chosen.owner) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be owner of profile view %s', named),
      HINT = format('It belongs to %s.', quote_ident(chosen.owner));
  END IF;
  PERFORM FROM cdp_internal.profile_views AS v WHERE v.name = named FOR UPDATE;
  RETURN chosen;
END $$;
COMMENT ON FUNCTION cdp_internal.own_profile_view(jsonb, text) IS 'The profile view of a name, if the caller may change it, locked';

CREATE FUNCTION cdp_internal.view_kind(named text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE k.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END
  FROM pg_class AS k WHERE k.relnamespace = 'cdp_views'::regnamespace AND k.relname = named AND k.relkind IN ('m', 'v')
$$;
COMMENT ON FUNCTION cdp_internal.view_kind(text) IS 'What a profile view is in SQL; null when it is gone';

CREATE FUNCTION cdp_internal.check_view_refresh(materialized boolean, refresh interval) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF refresh IS NOT NULL AND NOT materialized THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'refresh belongs to a materialized view',
      DETAIL = 'Any other is right whenever it is read.', HINT = 'Leave refresh out, or say materialized => true.';
  ELSIF refresh < interval '1 second' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('refresh cannot be %s', refresh), HINT = 'It is at least one second.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_view_refresh(boolean, interval) IS 'Raises the error of a refresh that cannot be';

CREATE FUNCTION cdp_internal.check_profile_view_name(named text) RETURNS void LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF named IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'name must not be null';
  ELSIF named !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_name', MESSAGE = format('"%s" cannot be the name of a profile view', left(named, 100)),
      HINT = 'Use lower-case letters, digits and underscores, at most 63, a letter first.';
  ELSIF EXISTS (SELECT FROM cdp_internal.profile_views AS v WHERE v.name = named) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('profile view "%s" already exists', named),
      HINT = format('Change it with cdp.alter_profile_view, or drop it first: SELECT cdp.drop_profile_view(%L).', named);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_profile_view_name(text) IS 'Raises the error of a name that is no good, or taken';

-- Making them.

CREATE FUNCTION cdp_internal.describe_profile_view(named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v cdp_internal.profile_views := cdp_internal.find_profile_view(named);
  c cdp_internal.profile_view_columns;
BEGIN
  EXECUTE format('COMMENT ON %s cdp_views.%I IS %L', cdp_internal.view_kind(named), named, coalesce(v.description, 'One row a person'));
  EXECUTE format('COMMENT ON COLUMN cdp_views.%I.profile_id IS %L', named, 'Number of the person; the same in every table and view of cdp');
  FOR c IN SELECT * FROM cdp_internal.profile_view_columns AS o WHERE o.view = named LOOP
    EXECUTE format('COMMENT ON COLUMN cdp_views.%I.%I IS %L', named, c.name, cdp_internal.say_view_column(c));
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.describe_profile_view(text) IS 'Says in comments what a profile view and its columns are';

CREATE FUNCTION cdp_internal.grant_profile_views(role name) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  named text;
BEGIN
  FOR named IN SELECT v.name FROM cdp_internal.profile_views AS v WHERE cdp_internal.view_kind(v.name) = 'VIEW' LOOP
    EXECUTE format('GRANT SELECT ON cdp_views.%I TO %I', named, role);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.grant_profile_views(name) IS 'Part of cdp.grant_access: the profile views there are';

-- The values of a column before its type, as a relation of profile_id and j; of a computed trait those there are.
CREATE FUNCTION cdp_internal.view_values(c cdp_internal.profile_view_columns) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE c.kind WHEN 'computed' THEN format('(SELECT m.profile_id, m.key::jsonb AS j FROM cdp.memberships AS m WHERE m.segment_id = %s '
                                                 'AND m.entered_at <= now() AND m.left_at > now() OFFSET 0)', c.segment_id)
    ELSE format('(SELECT p.profile_id, %s AS j FROM cdp.profiles AS p OFFSET 0)', cdp_internal.view_source(c, false)) END
$$;
COMMENT ON FUNCTION cdp_internal.view_values(cdp_internal.profile_view_columns) IS 'The SQL of all values of a profile view''s column';

-- How many values of each column do not fit; columns that cannot miss are left out. Traits are counted in one pass.
CREATE FUNCTION cdp_internal.count_misfits(named text) RETURNS jsonb LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counts text;
  sources text;
  c cdp_internal.profile_view_columns;
  found jsonb := '{}';
  missed bigint;
BEGIN
  SELECT string_agg(format('%L, count(*) FILTER (WHERE s.j%s <> ''null'' AND %s IS NULL)', o.name, o.place, cdp_internal.view_cast(o, 's.j' || o.place)), ', ' ORDER BY o.place),
         string_agg(format('%s AS j%s', cdp_internal.view_source(o, false), o.place), ', ' ORDER BY o.place) INTO counts, sources
    FROM cdp_internal.profile_view_columns AS o WHERE o.view = named AND cdp_internal.view_value_can_miss(o) AND o.kind <> 'computed';
  IF counts IS NOT NULL THEN
    EXECUTE format('SELECT jsonb_build_object(%s) FROM (SELECT %s FROM cdp.profiles AS p OFFSET 0) AS s', counts, sources) INTO found;
  END IF;
  FOR c IN SELECT * FROM cdp_internal.profile_view_columns AS o WHERE o.view = named AND cdp_internal.view_value_can_miss(o) AND o.kind = 'computed' LOOP
    EXECUTE format('SELECT count(*) FROM %s AS s WHERE %s IS NULL', cdp_internal.view_values(c), cdp_internal.view_cast(c, 's.j')) INTO missed;
    found := found || jsonb_build_object(c.name, missed);
  END LOOP;
  RETURN (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(found) AS e WHERE e.value <> '0');
END $$;
COMMENT ON FUNCTION cdp_internal.count_misfits(text) IS 'Part of refreshing a profile view';

-- Reads it all anew, with the rights of its owner; readers go on reading what was there before.
CREATE FUNCTION cdp_internal.fill_profile_view(named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  start constant timestamptz := clock_timestamp();
  filled boolean;
  reader name;
  n bigint;
BEGIN
  SELECT k.relispopulated, pg_get_userbyid(k.relowner) INTO filled, reader FROM pg_class AS k WHERE k.relnamespace = 'cdp_views'::regnamespace AND k.relname = named AND k.relkind = 'm';
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('materialized view cdp_views.%s is gone', quote_ident(named)),
      HINT = format('SELECT cdp.drop_profile_view(%L), or give it its columns again with cdp.alter_profile_view.', named);
  END IF;
  EXECUTE format('REFRESH MATERIALIZED VIEW %s cdp_views.%I', CASE WHEN filled THEN 'CONCURRENTLY' END, named);
  -- As its owner, who may have put indexes with code in them on it.
  n := (SELECT q ->> 'count' FROM cdp_internal.query_as_owner(reader, 'UTC', 'pg_catalog', 'ISO, YMD', 'postgres', format('SELECT count(*) FROM cdp_views.%I', named)) AS q);
  INSERT INTO cdp_internal.profile_view_refreshes AS r (view, refreshed_at, tried_at, took, people, misfits)
    VALUES (named, now(), now(), clock_timestamp() - start, n, cdp_internal.count_misfits(named))
    ON CONFLICT (view) DO UPDATE SET refreshed_at = excluded.refreshed_at, tried_at = excluded.tried_at, took = excluded.took,
      people = excluded.people, misfits = excluded.misfits, sqlstate = NULL, message = NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.fill_profile_view(text) IS 'Refreshes a materialized profile view';

CREATE FUNCTION cdp_internal.build_profile_view(named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v cdp_internal.profile_views := cdp_internal.find_profile_view(named);
BEGIN
  IF v.materialized THEN
    EXECUTE format('CREATE MATERIALIZED VIEW cdp_views.%I AS %s WITH NO DATA', named, cdp_internal.view_query(named));
    EXECUTE format('CREATE UNIQUE INDEX ON cdp_views.%I (profile_id)', named);
    PERFORM cdp_internal.describe_profile_view(named);
    EXECUTE format('ALTER MATERIALIZED VIEW cdp_views.%I OWNER TO %I', named, v.owner);
    PERFORM cdp_internal.fill_profile_view(named);
    EXECUTE format('ANALYZE cdp_views.%I', named);
  ELSE
    EXECUTE format('CREATE VIEW cdp_views.%I WITH (security_invoker) AS %s', named, cdp_internal.view_query(named));
    -- It shows nobody more than they may read; what is materialized was read with its owner's rights, who alone grants others.
    PERFORM cdp_internal.describe_profile_view(named), cdp_internal.grant_readers(format('cdp_views.%I', named)::regclass);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.build_profile_view(text) IS 'Makes a profile view of what is kept of it';

CREATE FUNCTION cdp_internal.create_profile_view(caller jsonb, named text, columns json, materialized boolean, refresh interval, description text)
  RETURNS regclass LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.check_profile_view_name(named), cdp_internal.check_view_refresh(coalesce(materialized, false), refresh);
  LOCK TABLE cdp.segments IN ROW SHARE MODE; -- none of them is dropped meanwhile
  INSERT INTO cdp_internal.profile_view_columns SELECT * FROM cdp_internal.read_view_columns(named, columns);
  INSERT INTO cdp_internal.profile_views (name, owner, description, materialized, refresh)
    VALUES (named, (caller ->> 'role')::name, description, coalesce(materialized, false), refresh);
  PERFORM cdp_internal.build_profile_view(named);
  RETURN format('cdp_views.%I', named)::regclass;
END $$;
COMMENT ON FUNCTION cdp_internal.create_profile_view(jsonb, text, json, boolean, interval, text) IS 'See cdp.create_profile_view';
CREATE FUNCTION cdp.create_profile_view(name text, columns json, materialized boolean DEFAULT false, refresh interval DEFAULT NULL, description text DEFAULT NULL)
  RETURNS regclass LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.create_profile_view(text, json, boolean, interval, text) IS
  'Makes a view in cdp_views of one row a person with typed columns, for BI tools. columns: names and sources, {"email": "identifier email", "age": "trait age integer", "spend": "computed spend", "vip": "segment vip"}, or an array of sources; identifier TYPE, identifiers TYPE (all), trait NAME, computed NAME, segment NAME [since | until | keys], public_id, first_seen_at, last_seen_at, with a type behind the name if you like. A value that does not fit its type is null: see cdp.check_profile_view. materialized: kept as a table, with a unique index on profile_id, read with the rights of whoever makes it, who alone may read it and grant others to; refresh: by the worker, or CALL cdp.run(), so often, else by cdp.refresh_profile_view. Errors: 22023 what is no source, 42704 no such identifier type, segment, computed trait or type, 42710 the name is taken';

-- Altering them. What was granted on a view stays.

CREATE FUNCTION cdp_internal.replace_profile_view(named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kind  text := cdp_internal.view_kind(named);
  rights text[];
  statement text;
  others text;
BEGIN
  IF kind = 'VIEW' AND NOT (SELECT v.materialized FROM cdp_internal.profile_views AS v WHERE v.name = named) THEN
    BEGIN
      EXECUTE format('CREATE OR REPLACE VIEW cdp_views.%I WITH (security_invoker) AS %s', named, cdp_internal.view_query(named));
      PERFORM cdp_internal.describe_profile_view(named);
      RETURN; -- only columns were added: views that are made of it stay
    EXCEPTION WHEN invalid_table_definition THEN NULL;
    END;
  END IF;
  rights := ARRAY(SELECT format('GRANT %s ON cdp_views.%I TO %s%s', a.privilege_type, named, coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM pg_class AS k CROSS JOIN aclexplode(k.relacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE k.relnamespace = 'cdp_views'::regnamespace AND k.relname = named AND a.grantee <> k.relowner);
  IF kind IS NOT NULL THEN
    BEGIN
      EXECUTE format('DROP %s cdp_views.%I', kind, named);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      GET STACKED DIAGNOSTICS others = PG_EXCEPTION_DETAIL;
      RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist', MESSAGE = format('cannot change columns of profile view "%s" because others depend on it', named),
        DETAIL = others, HINT = 'Views that are made of it stay where columns are only added behind the others. Drop them first, and make them again.';
    END;
  END IF;
  PERFORM cdp_internal.build_profile_view(named);
  IF kind IS NOT DISTINCT FROM cdp_internal.view_kind(named) THEN
    FOREACH statement IN ARRAY rights LOOP
      EXECUTE statement;
    END LOOP;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.replace_profile_view(text) IS 'Part of cdp.alter_profile_view';

CREATE FUNCTION cdp_internal.alter_profile_view(caller jsonb, named text, columns json, materialized boolean, refresh interval, description text)
  RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v cdp_internal.profile_views := cdp_internal.own_profile_view(caller, named);
  wanted_kind boolean := coalesce(materialized, v.materialized);
  wanted_refresh interval := CASE WHEN refresh = '0' OR NOT wanted_kind THEN NULL ELSE coalesce(refresh, v.refresh) END;
BEGIN
  PERFORM cdp_internal.check_view_refresh(wanted_kind, CASE WHEN refresh = '0' THEN NULL ELSE refresh END);
  LOCK TABLE cdp.segments IN ROW SHARE MODE;
  UPDATE cdp_internal.profile_views AS o SET materialized = wanted_kind, refresh = wanted_refresh,
      description = coalesce(alter_profile_view.description, o.description) WHERE o.name = named;
  IF columns IS NOT NULL THEN
    DELETE FROM cdp_internal.profile_view_columns AS c WHERE c.view = named;
    INSERT INTO cdp_internal.profile_view_columns SELECT * FROM cdp_internal.read_view_columns(named, columns);
  END IF;
  IF columns IS NOT NULL OR wanted_kind <> v.materialized OR cdp_internal.view_kind(named) IS NULL THEN
    DELETE FROM cdp_internal.profile_view_refreshes AS r WHERE r.view = named;
    PERFORM cdp_internal.replace_profile_view(named);
  ELSE
    PERFORM cdp_internal.describe_profile_view(named);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.alter_profile_view(jsonb, text, json, boolean, interval, text) IS 'See cdp.alter_profile_view';
CREATE FUNCTION cdp.alter_profile_view(name text, columns json DEFAULT NULL, materialized boolean DEFAULT NULL, refresh interval DEFAULT NULL, description text DEFAULT NULL)
  RETURNS void LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.alter_profile_view(text, json, boolean, interval, text) IS
  'Changes a profile view; what is null stays, refresh => ''0'' ends refreshes on schedule. What was granted stays, too, unless it becomes materialized, or is so no more. Errors: those of cdp.create_profile_view, and 2BP01 when other views are made of it and columns change that are there';

CREATE FUNCTION cdp_internal.rename_profile_view(caller jsonb, named text, new_name text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v cdp_internal.profile_views := cdp_internal.own_profile_view(caller, named);
  kind text := cdp_internal.view_kind(named);
BEGIN
  PERFORM cdp_internal.check_profile_view_name(new_name);
  IF kind IS NOT NULL THEN
    EXECUTE format('ALTER %s cdp_views.%I RENAME TO %I', kind, named, new_name);
  END IF;
  UPDATE cdp_internal.profile_views AS o SET name = new_name WHERE o.name = named;
  UPDATE cdp_internal.profile_view_columns AS o SET view = new_name WHERE o.view = named;
  UPDATE cdp_internal.profile_view_refreshes AS o SET view = new_name WHERE o.view = named;
END $$;
COMMENT ON FUNCTION cdp_internal.rename_profile_view(jsonb, text, text) IS 'See cdp.rename_profile_view';
CREATE FUNCTION cdp.rename_profile_view(name text, new_name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.rename_profile_view(text, text) IS 'Gives a profile view another name; views that are made of it follow';

CREATE FUNCTION cdp_internal.remove_profile_view(named text, cascading boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kind text := cdp_internal.view_kind(named);
  others text;
BEGIN
  IF kind IS NOT NULL THEN
    BEGIN
      EXECUTE format('DROP %s cdp_views.%I %s', kind, named, CASE WHEN cascading THEN 'CASCADE' END);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      GET STACKED DIAGNOSTICS others = PG_EXCEPTION_DETAIL;
      RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist', MESSAGE = format('cannot drop profile view "%s" because others depend on it', named),
        DETAIL = others, HINT = format('Drop them first, or too: SELECT cdp.drop_profile_view(%L, cascade => true).', named);
    END;
  END IF;
  DELETE FROM cdp_internal.profile_view_columns AS c WHERE c.view = named;
  DELETE FROM cdp_internal.profile_view_refreshes AS r WHERE r.view = named;
  DELETE FROM cdp_internal.profile_views AS v WHERE v.name = named;
END $$;
COMMENT ON FUNCTION cdp_internal.remove_profile_view(text, boolean) IS 'Drops a profile view with all that is kept of it';

CREATE FUNCTION cdp_internal.drop_profile_view(caller jsonb, named text, cascading boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.own_profile_view(caller, named);
  PERFORM cdp_internal.remove_profile_view(named, coalesce(cascading, false));
END $$;
COMMENT ON FUNCTION cdp_internal.drop_profile_view(jsonb, text, boolean) IS 'See cdp.drop_profile_view';
CREATE FUNCTION cdp.drop_profile_view(name text, cascade boolean DEFAULT false) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.drop_profile_view(text, boolean) IS
  'Drops a profile view; cascade: and the views that are made of it. Errors: 2BP01 when there are such';

CREATE FUNCTION cdp_internal.refresh_profile_view(caller jsonb, named text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v cdp_internal.profile_views := cdp_internal.own_profile_view(caller, named);
BEGIN
  IF NOT v.materialized THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('profile view "%s" is not materialized', named),
      HINT = 'It is right whenever it is read.';
  END IF;
  PERFORM cdp_internal.fill_profile_view(named);
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_profile_view(jsonb, text) IS 'See cdp.refresh_profile_view';
CREATE FUNCTION cdp.refresh_profile_view(name text) RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.refresh_profile_view(text) IS
  'Refreshes a materialized profile view now; it can be read meanwhile. Errors: 42809 it is not materialized';

-- What segments and computed traits need to know of views.

CREATE FUNCTION cdp_internal.profile_views_of(segment integer) RETURNS SETOF text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT c.view FROM cdp_internal.profile_view_columns AS c WHERE c.segment_id = segment ORDER BY 1
$$;
COMMENT ON FUNCTION cdp_internal.profile_views_of(integer) IS 'The profile views with a column of a segment, or computed trait';

CREATE FUNCTION cdp_internal.profile_views_of_account(kind text, named text) RETURNS SETOF text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT c.view FROM cdp_internal.profile_view_columns AS c
  WHERE c.kind = CASE $1 WHEN 'trait' THEN 'account' ELSE 'account_segment' END AND c.path = ARRAY[named] ORDER BY 1
$$;
COMMENT ON FUNCTION cdp_internal.profile_views_of_account(text, text) IS 'The profile views with a column of an account trait or account segment';

CREATE FUNCTION cdp_internal.describe_profile_views_of(segment integer) RETURNS void LANGUAGE sql
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.describe_profile_view(v) FROM cdp_internal.profile_views_of(segment) AS v WHERE cdp_internal.view_kind(v) IS NOT NULL
$$;
COMMENT ON FUNCTION cdp_internal.describe_profile_views_of(integer) IS 'Says in comments of views what a segment is now';

-- The view that waits longest, if it is due `before` an instant; 0: none is. What fails is noted, and tried again when it is due.
CREATE FUNCTION cdp_internal.refresh_profile_views(before timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  due text;
BEGIN
  -- Whoever has it locked alters it, or refreshes it.
  SELECT v.name INTO due FROM cdp_internal.profile_views AS v LEFT JOIN cdp_internal.profile_view_refreshes AS r ON r.view = v.name
    WHERE v.refresh IS NOT NULL AND (r.tried_at IS NULL OR r.tried_at + v.refresh <= before)
    ORDER BY r.tried_at + v.refresh NULLS FIRST, v.name LIMIT 1 FOR UPDATE OF v SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  BEGIN
    PERFORM cdp_internal.within_refresh_timeout(format('SELECT cdp_internal.fill_profile_view(%L)', due));
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN
      RAISE; -- not the view's fault
    END IF;
    INSERT INTO cdp_internal.profile_view_refreshes AS r (view, tried_at, sqlstate, message) VALUES (due, now(), SQLSTATE, SQLERRM)
      ON CONFLICT (view) DO UPDATE SET tried_at = excluded.tried_at, sqlstate = excluded.sqlstate, message = excluded.message;
  END;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_profile_views(timestamptz) IS
  'One transaction''s work on profile views: a refresh that was due before an instant; 0 when nothing waits';

-- What does not fit, and for whom.
CREATE FUNCTION cdp.check_profile_view(name text)
  RETURNS TABLE (column_name text, source text, type text, filled bigint, misfits bigint, example jsonb, example_profile_id bigint)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  named text := (cdp_internal.find_profile_view($1)).name;
  c cdp_internal.profile_view_columns;
BEGIN
  FOR c IN SELECT * FROM cdp_internal.profile_view_columns AS o WHERE o.view = named ORDER BY o.place LOOP
    column_name := c.name;
    source := concat_ws(' ', c.kind, coalesce(array_to_string(c.path, '.'), (SELECT s.name FROM cdp.segments AS s WHERE s.segment_id = c.segment_id)), c.part);
    type := c.type;
    misfits := 0;
    example := NULL;
    example_profile_id := NULL;
    IF cdp_internal.view_value_can_miss(c) THEN
      EXECUTE format('SELECT count(*) FILTER (WHERE s.v IS NOT NULL), count(*) FILTER (WHERE s.v IS NULL), (array_agg(s.j ORDER BY s.profile_id) FILTER (WHERE s.v IS NULL))[1], '
        'min(s.profile_id) FILTER (WHERE s.v IS NULL) FROM (SELECT j.*, %s AS v FROM %s AS j WHERE j.j <> ''null'' OFFSET 0) AS s',
        cdp_internal.view_cast(c, 'j.j'), cdp_internal.view_values(c)) INTO filled, misfits, example, example_profile_id;
    ELSE
      EXECUTE format('SELECT count(%s) FROM cdp.profiles AS p', cdp_internal.view_source(c, c.type <> 'jsonb')) INTO filled;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp.check_profile_view(text) IS
  'Of each column of a profile view: where it comes from, how many people have a value, how many have one that does not fit the type and is null, with an example. Reads everybody once a column. Errors: 42704 no such view';

CREATE FUNCTION cdp_internal.profile_view_health() RETURNS TABLE (check_name text, status text, value text, advice text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH v AS (
    SELECT o.*, coalesce(o.refreshed_at + 2 * o.refresh + interval '1 minute' < clock_timestamp(), false) AS late,
           (SELECT string_agg(format('values of %s that do not fit: %s', m.key, m.value), ', ' ORDER BY m.key) FROM jsonb_each_text(o.misfits) AS m) AS missed
    FROM cdp.profile_views AS o
  )
  SELECT 'profile views', CASE WHEN bool_or(v.error IS NOT NULL) THEN 'error' WHEN bool_or(v.late) THEN 'warning' ELSE 'ok' END,
         coalesce(string_agg(CASE WHEN v.materialized OR v.error IS NOT NULL THEN concat_ws(', ', v.name || ': ' || coalesce(v.error, 'fine'),
             CASE WHEN v.refreshed_at IS NOT NULL THEN format('last refreshed %s in %s ms, %s s ago', to_char(v.refreshed_at, 'YYYY-MM-DD HH24:MI:SS'),
               round(extract(epoch FROM v.took) * 1000), round(extract(epoch FROM clock_timestamp() - v.refreshed_at))) END, v.missed) END, '; ' ORDER BY v.name),
           CASE WHEN count(*) = 0 THEN 'none' ELSE format('%s, none materialized', count(*)) END),
         CASE WHEN bool_or(v.error IS NOT NULL) THEN 'SELECT * FROM cdp.profile_views; what was there before stays. Repair what the error says, then SELECT cdp.refresh_profile_view(name).'
              WHEN bool_or(v.late) THEN 'The worker, or CALL cdp.run(), refreshes what is due: is one running? cdp.profile_views says how long each takes.'
              WHEN bool_or(v.missed IS NOT NULL) THEN 'SELECT * FROM cdp.check_profile_view(name) shows an example of values that do not fit.' END
  FROM v
$$;
COMMENT ON FUNCTION cdp_internal.profile_view_health() IS 'Part of cdp.health()';
