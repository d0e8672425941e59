-- asked: one account as it is, and what people's rules ask about their accounts.

-- By all definitions, at this instant: traits first, which segments may ask for.
CREATE FUNCTION cdp_internal.judge_account(group_id text, OUT computed jsonb, OUT segments jsonb, OUT errors jsonb) LANGUAGE plpgsql STABLE
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d   cdp.account_definitions;
  one record;
BEGIN
  computed := '{}';
  segments := '[]';
  errors := '{}';
  FOR d IN SELECT * FROM cdp.account_definitions AS o ORDER BY o.kind DESC, o.name LOOP
    BEGIN
      SELECT * INTO one FROM cdp_internal.judge_accounts(d, ARRAY[judge_account.group_id], computed) AS j;
      IF one.sqlstate IS NOT NULL THEN
        errors := errors || jsonb_build_object(d.name, one.message);
      ELSIF d.kind = 'trait' AND one.value IS NOT NULL THEN
        computed := computed || jsonb_build_object(d.name, one.value);
      ELSIF one.value IS NOT NULL THEN
        segments := segments || to_jsonb(d.name);
      END IF;
    EXCEPTION WHEN OTHERS THEN
      IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN
        RAISE;
      END IF;
      errors := errors || jsonb_build_object(d.name, SQLERRM);
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.judge_account(text) IS 'Part of cdp.account(): what account traits and segments say of one account now';

CREATE FUNCTION cdp_internal.need_members(members integer) RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF members < 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('members must not be negative, it is %s', members),
      HINT = 'It is how many people of the account are shown; 0 for none.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.need_members(integer) IS 'Part of cdp.account';

CREATE FUNCTION cdp.account(group_id text, members integer DEFAULT 20) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.need_members(account.members);
  SELECT jsonb_build_object('group_id', a.group_id, 'traits', a.traits, 'computed', j.computed, 'segments', j.segments,
           'first_seen_at', a.first_seen_at, 'last_seen_at', a.last_seen_at, 'member_count', a.members,
           'members', (SELECT coalesce(jsonb_agg(jsonb_build_object('profile_id', m.profile_id, 'since', m.since,
                                                   'last_message_at', m.last_message_at) ORDER BY m.since, m.profile_id), '[]')
                       FROM (SELECT * FROM cdp.account_members AS o WHERE o.group_id = a.group_id ORDER BY o.since, o.profile_id
                             LIMIT account.members) AS m))
         || CASE WHEN j.errors <> '{}' THEN jsonb_build_object('errors', j.errors) ELSE '{}' END
  FROM cdp.accounts AS a CROSS JOIN LATERAL cdp_internal.judge_account(a.group_id) AS j
  WHERE a.group_id = account.group_id
$$;
COMMENT ON FUNCTION cdp.account(text, integer) IS
  'Everything about one account as it is at this instant: traits, account traits (computed) and account segments judged now, whatever was kept, and its first so many people with since when; NULL when no group message ever named it';

CREATE FUNCTION cdp.in_account_segment(name text, profile_id bigint) RETURNS boolean LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen integer := (SELECT d.definition_id FROM cdp.account_definitions AS d WHERE d.kind = 'segment' AND d.name = $1);
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.find_account_definition('segment', $1);
  END IF;
  RETURN EXISTS (SELECT FROM cdp.account_members AS m JOIN cdp.account_results AS r USING (group_id)
                 WHERE m.profile_id = $2 AND r.definition_id = chosen AND r.left_at = 'infinity');
END $$;
COMMENT ON FUNCTION cdp.in_account_segment(text, bigint) IS
  'Whether any account that a person belongs to now is in an account segment, as of its last refresh. Error: 42704 no such account segment';

CREATE FUNCTION cdp.account_values(name text, profile_id bigint) RETURNS text[] LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen integer := (SELECT d.definition_id FROM cdp.account_definitions AS d WHERE d.kind = 'trait' AND d.name = $1);
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.find_account_definition('trait', $1);
  END IF;
  RETURN ARRAY(SELECT DISTINCT r.value #>> '{}' FROM cdp.account_members AS m JOIN cdp.account_results AS r USING (group_id)
               WHERE m.profile_id = $2 AND r.definition_id = chosen AND r.left_at = 'infinity' ORDER BY 1);
END $$;
COMMENT ON FUNCTION cdp.account_values(text, bigint) IS
  'The values of an account trait, as text, in the accounts that a person belongs to now, as of its last refresh: ''pro'' = ANY (cdp.account_values(''plan'', profile_id)). Error: 42704 no such account trait';

CREATE FUNCTION cdp_internal.refuse_to_guess(called text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('cdp.%s(name) stands in the rule of a segment', called),
    HINT = format('Elsewhere say who: cdp.%s(name, profile_id).', called);
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_to_guess(text) IS 'Raises the error of a function that was not told who it is about';

CREATE FUNCTION cdp.in_account_segment(name text) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.refuse_to_guess('in_account_segment');
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp.in_account_segment(text) IS
  'In rules of people: cdp.in_account_segment(name, profile_id) of the person it is about; makes the segment one of class interval';
CREATE FUNCTION cdp.account_values(name text) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.refuse_to_guess('account_values');
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp.account_values(text) IS
  'In rules of people: cdp.account_values(name, profile_id) of the person it is about; makes the segment one of class interval';

CREATE FUNCTION cdp_internal.account_health() RETURNS TABLE (check_name text, status text, value text, advice text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'account traits and segments', CASE WHEN e.list IS NOT NULL THEN 'error' WHEN d.late IS NOT NULL THEN 'warning' ELSE 'ok' END,
         coalesce(e.list, d.late, format('%s kept, none late', d.n)),
         CASE WHEN e.list IS NOT NULL THEN 'SELECT * FROM cdp.account_errors; what was kept stays as it was until it works again.'
              WHEN d.late IS NOT NULL THEN 'The worker, or CALL cdp.run(), refreshes what is due: is one running?' END
  FROM (SELECT string_agg(DISTINCT format('%s: %s', o.name, f.message), '; ') AS list
        FROM cdp.account_errors AS f JOIN cdp.account_definitions AS o USING (definition_id)) AS e,
       (SELECT count(*) AS n, string_agg(format('%s: last %s', o.name, coalesce(to_char(o.refreshed_at, 'YYYY-MM-DD HH24:MI:SS'), 'never')), '; ' ORDER BY o.name)
                 FILTER (WHERE coalesce(o.refreshed_at + 2 * o.refresh, o.created_at) + interval '1 minute' < clock_timestamp()) AS late
        FROM cdp.account_definitions AS o) AS d
$$;
COMMENT ON FUNCTION cdp_internal.account_health() IS 'Part of cdp.health()';
