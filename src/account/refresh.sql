-- refresh: accounts are judged in the order of their ids, a batch a transaction. One definition's row is locked meanwhile, and
-- nothing else. What a batch finds is written by difference.

-- What an expression means, in plain SQL: for each of some accounts, with all its people. `known`: the account traits of the one
-- account, when they have just been found; else as they are kept.
CREATE FUNCTION cdp_internal.account_query(d cdp.account_definitions, ids text[], known jsonb) RETURNS text LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT format($query$SELECT account.group_id, judged.value FROM (
  SELECT g.group_id, %s AS account_traits, %s AS account_computed FROM pg_catalog.unnest(%L::pg_catalog.text[]) AS g (group_id) OFFSET 0) AS account
CROSS JOIN LATERAL (SELECT %s AS value FROM (
  SELECT m.profile_id, p.traits, p.computed, m.since FROM cdp.account_members AS m
  CROSS JOIN LATERAL (SELECT o.traits, o.computed FROM cdp.people AS o WHERE o.profile_id = m.profile_id OFFSET 0) AS p
  WHERE m.group_id = account.group_id ORDER BY m.since, m.profile_id) AS person
HAVING (%s
)%s) AS judged$query$,
    CASE WHEN (d.compiled ->> 'traits')::boolean THEN 'cdp_internal.account_traits(g.group_id)' ELSE 'NULL::pg_catalog.jsonb' END,
    CASE WHEN d.compiled -> 'account' = '[]' THEN 'NULL::pg_catalog.jsonb' WHEN known IS NOT NULL THEN format('%L::pg_catalog.jsonb', known)
         ELSE '(SELECT coalesce(pg_catalog.jsonb_object_agg(v.trait, v.value), ''{}'') FROM cdp.account_trait_values AS v WHERE v.group_id = g.group_id)' END,
    ids,
    CASE d.kind WHEN 'trait' THEN format(E'pg_catalog.to_jsonb((%s\n))', d.compiled ->> 'sql') ELSE '''true''::pg_catalog.jsonb' END,
    d.compiled ->> 'sql', CASE d.kind WHEN 'trait' THEN ' IS NOT NULL' END)
$$;
COMMENT ON FUNCTION cdp_internal.account_query(cdp.account_definitions, text[], jsonb) IS 'Part of cdp_internal.judge_accounts';

-- What fails for one account's data is found by halves, and holds up no other; what fails whatever the data is an error.
CREATE FUNCTION cdp_internal.judge_accounts(d cdp.account_definitions, ids text[], known jsonb)
  RETURNS TABLE (group_id text, value jsonb, sqlstate text, message text) LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  half constant integer := cardinality(ids) / 2;
  slow boolean := false;
  slow_ones integer := 0;
  one  record;
BEGIN
  IF ids = '{}' THEN
    RETURN;
  END IF;
  BEGIN
    RETURN QUERY SELECT q ->> 'group_id', q -> 'value', NULL::text, NULL::text
      FROM cdp_internal.query_within_budget(d.owner, d.time_zone, d.search_path, d.datestyle, d.intervalstyle,
                                            cdp_internal.account_query(d, ids, known), NULL) AS q;
    RETURN;
  EXCEPTION WHEN data_exception OR integrity_constraint_violation OR plpgsql_error OR SQLSTATE '54T00' THEN
    IF half = 0 THEN
      RETURN QUERY SELECT ids[1], NULL::jsonb, SQLSTATE::text, SQLERRM::text;
      RETURN;
    END IF;
    slow := SQLSTATE = '54T00';
  END;
  -- Halves would wait for one that never ends again and again; if several are such, it is the expression.
  FOR one IN SELECT j.* FROM unnest(ids) AS i (id) CROSS JOIN LATERAL cdp_internal.judge_accounts(d, ARRAY[i.id], known) AS j WHERE slow LOOP
    slow_ones := slow_ones + (one.sqlstate = '54T00')::integer;
    IF slow_ones = 3 THEN
      RAISE EXCEPTION USING ERRCODE = '54T01', MESSAGE = 'several accounts: ' || one.message,
        HINT = 'Make it faster, or give it more time: cdp.expression_timeout.';
    END IF;
    RETURN QUERY SELECT one.group_id, one.value, one.sqlstate, one.message;
  END LOOP;
  IF slow THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM cdp_internal.judge_accounts(d, ids[:half], known);
  RETURN QUERY SELECT * FROM cdp_internal.judge_accounts(d, ids[half + 1:], known);
END $$;
COMMENT ON FUNCTION cdp_internal.judge_accounts(cdp.account_definitions, text[], jsonb) IS
  'What a definition gives for these accounts: a row each that has a value, or that failed';

-- The difference between what was found of the accounts after `low`, up to `high`, and what is kept.
CREATE FUNCTION cdp_internal.keep_accounts(d cdp.account_definitions, low text, high text, at timestamptz, ids text[], found jsonb[], failed text[])
  RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH kept AS MATERIALIZED (
    SELECT r.group_id, r.value, r.entered_at FROM cdp.account_results AS r
    WHERE r.definition_id = d.definition_id AND r.left_at = 'infinity' AND r.group_id > low AND (high IS NULL OR r.group_id <= high)
  ), judged AS MATERIALIZED (
    SELECT u.group_id, u.value FROM unnest(ids, found) AS u (group_id, value)
  ), change AS MATERIALIZED (
    SELECT coalesce(k.group_id, j.group_id) AS group_id, k.entered_at, j.value
    FROM kept AS k FULL JOIN judged AS j ON j.group_id = k.group_id
    WHERE k.value IS DISTINCT FROM j.value AND coalesce(k.group_id, j.group_id) <> ALL (failed)
  ), replaced AS (
    UPDATE cdp.account_results AS r SET value = c.value FROM change AS c
    WHERE r.definition_id = d.definition_id AND r.group_id = c.group_id AND r.entered_at = c.entered_at AND c.entered_at >= at AND c.value IS NOT NULL
  ), undone AS (
    DELETE FROM cdp.account_results AS r USING change AS c
    WHERE r.definition_id = d.definition_id AND r.group_id = c.group_id AND r.entered_at = c.entered_at AND c.entered_at >= at AND c.value IS NULL
  ), ended AS (
    UPDATE cdp.account_results AS r SET left_at = at FROM change AS c
    WHERE r.definition_id = d.definition_id AND r.group_id = c.group_id AND r.entered_at = c.entered_at AND c.entered_at < at
    RETURNING r.group_id
  )
  INSERT INTO cdp.account_results (definition_id, group_id, value, entered_at)
    SELECT d.definition_id, c.group_id, c.value, at FROM change AS c
    WHERE c.value IS NOT NULL AND (c.entered_at IS NULL OR c.group_id IN (SELECT e.group_id FROM ended AS e))
$$;
COMMENT ON FUNCTION cdp_internal.keep_accounts(cdp.account_definitions, text, text, timestamptz, text[], jsonb[], text[]) IS
  'Part of cdp_internal.refresh_accounts';

-- Judges the next accounts by a definition whose row the caller has locked; true when these were the last.
CREATE FUNCTION cdp_internal.refresh_accounts(d cdp.account_definitions, most integer) RETURNS boolean LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  low   constant text := coalesce(d.place, '');
  at    constant timestamptz := greatest(now(), d.judged_at); -- time never goes back
  ids   constant text[] := ARRAY(SELECT DISTINCT a.group_id FROM cdp.assertions AS a WHERE a.type = 'group' AND a.group_id > low
                                   AND NOT coalesce(a.context @> '{"left": true}', false)
                                 ORDER BY a.group_id LIMIT most);
  ended constant boolean := cardinality(ids) < most;
  high  constant text := CASE WHEN NOT ended THEN ids[most] END;
  found record;
BEGIN
  SELECT array_agg(j.group_id) FILTER (WHERE j.sqlstate IS NULL) AS ids, array_agg(j.value) FILTER (WHERE j.sqlstate IS NULL) AS found,
         coalesce(array_agg(j.group_id) FILTER (WHERE j.sqlstate IS NOT NULL), '{}') AS failed,
         array_agg(j.sqlstate) FILTER (WHERE j.sqlstate IS NOT NULL) AS states, array_agg(j.message) FILTER (WHERE j.sqlstate IS NOT NULL) AS messages
    INTO found FROM cdp_internal.judge_accounts(d, ids, NULL) AS j;
  PERFORM cdp_internal.keep_accounts(d, low, high, at, found.ids, found.found, found.failed);
  DELETE FROM cdp.account_errors AS e WHERE e.definition_id = d.definition_id
    AND (e.group_id IS NULL OR e.group_id > low AND (high IS NULL OR e.group_id <= high));
  INSERT INTO cdp.account_errors (definition_id, group_id, sqlstate, message, failed_at)
    SELECT d.definition_id, u.group_id, u.state, u.message, at FROM unnest(found.failed, found.states, found.messages) AS u (group_id, state, message);
  UPDATE cdp.account_definitions AS o SET place = high, judged_at = at, done = CASE WHEN d.place IS NULL THEN 0 ELSE o.done END + cardinality(ids),
      pass_started_at = CASE WHEN d.place IS NULL THEN at ELSE o.pass_started_at END,
      tried_at = CASE WHEN d.place IS NULL THEN at ELSE o.tried_at END,
      refreshed_at = CASE WHEN NOT ended THEN o.refreshed_at WHEN d.place IS NULL THEN at ELSE o.pass_started_at END
    WHERE o.definition_id = d.definition_id;
  RETURN ended;
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_accounts(cdp.account_definitions, integer) IS 'A batch of the refresh of an account trait or segment';

-- All accounts anew, in this transaction.
CREATE FUNCTION cdp_internal.refresh_account_definition(definition integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.account_definitions;
BEGIN
  UPDATE cdp.account_definitions AS o SET place = NULL WHERE o.definition_id = definition;
  LOOP
    SELECT * INTO d FROM cdp.account_definitions AS o WHERE o.definition_id = definition FOR UPDATE;
    EXIT WHEN cdp_internal.refresh_accounts(d, 1000);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_account_definition(integer) IS 'Judges all accounts by one definition';

-- What cannot run at all is tried again when it is due.
CREATE FUNCTION cdp_internal.note_account_error(definition integer, state text, said text) RETURNS void LANGUAGE sql
  SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM cdp.account_errors AS e WHERE e.definition_id = definition AND e.group_id IS NULL;
  INSERT INTO cdp.account_errors (definition_id, sqlstate, message, failed_at) VALUES (definition, state, said, now());
  UPDATE cdp.account_definitions AS o SET place = NULL, tried_at = clock_timestamp() WHERE o.definition_id = definition;
$$;
COMMENT ON FUNCTION cdp_internal.note_account_error(integer, text, text) IS 'Notes that an account trait or segment could not be refreshed';

CREATE FUNCTION cdp_internal.refresh_all_accounts(caller jsonb) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.account_definitions;
BEGIN
  PERFORM cdp_internal.lock_account_definitions();
  FOR d IN SELECT * FROM cdp.account_definitions AS o ORDER BY o.kind DESC, o.definition_id LOOP -- traits first
    BEGIN
      PERFORM cdp_internal.refresh_account_definition(d.definition_id);
    EXCEPTION WHEN OTHERS THEN
      IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN
        RAISE; -- not the definition's fault
      END IF;
      PERFORM cdp_internal.note_account_error(d.definition_id, SQLSTATE, SQLERRM);
      RAISE WARNING USING MESSAGE = format('account %s "%s" could not be refreshed: %s', d.kind, d.name, SQLERRM),
        HINT = 'What was kept stays as it was; see cdp.account_errors.';
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_all_accounts(jsonb) IS 'See cdp.refresh_all_accounts';
CREATE FUNCTION cdp.refresh_all_accounts() RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.refresh_all_accounts() IS
  'Judges every account now, by all account traits and then all account segments, in one commit; messages do not wait';

-- One transaction's work: 0 when nothing is due before an instant. Whoever holds a definition's row is doing it, or changing it.
CREATE FUNCTION cdp_internal.maintain_accounts(before timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d cdp.account_definitions;
BEGIN
  SELECT * INTO d FROM cdp.account_definitions AS o
    WHERE o.place IS NOT NULL OR o.tried_at IS NULL OR o.tried_at + o.refresh <= before
    ORDER BY o.place IS NULL, o.kind DESC, o.tried_at NULLS FIRST, o.definition_id LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  BEGIN
    PERFORM cdp_internal.refresh_accounts(d, 1000);
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN
      RAISE; -- not the definition's fault
    END IF;
    PERFORM cdp_internal.note_account_error(d.definition_id, SQLSTATE, SQLERRM);
  END;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.maintain_accounts(timestamptz) IS
  'One transaction''s work on account traits and segments: a batch of a refresh that was due before an instant; 0 when nothing is';
