-- mend: people decided anew after a change of rules, or all of them.

CREATE FUNCTION cdp_internal.plan_mending() RETURNS bigint
  LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_plan_mending';
COMMENT ON FUNCTION cdp_internal.plan_mending() IS
  'Folds all evidence in memory under the rules applied and queues the people who come out otherwise than stored; how many';

-- One batch in this transaction. The row 0 of the queue stands for finding out whom a change touches.
CREATE FUNCTION cdp_internal.mend_identities(most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  people bigint[];
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.identity_queue) THEN
    RETURN 0;
  END IF;
  PERFORM cdp_internal.take_turn('cdp.identity_queue');
  DELETE FROM cdp.identity_queue AS q WHERE q.profile_id = 0;
  IF FOUND THEN
    RETURN 1 + cdp_internal.plan_mending();
  END IF;
  WITH taken AS (
    DELETE FROM cdp.identity_queue AS q
    WHERE q.profile_id IN (SELECT o.profile_id FROM cdp.identity_queue AS o ORDER BY o.profile_id LIMIT most)
    RETURNING q.profile_id)
  SELECT array_agg(t.profile_id) INTO people FROM taken AS t;
  IF people IS NULL THEN
    RETURN 0;
  END IF;
  PERFORM cdp_internal.decide_anew(people, 'rules', true);
  RETURN cardinality(people);
END $$;
COMMENT ON FUNCTION cdp_internal.mend_identities(integer) IS 'Decides at most so many queued people anew; how many, 0 when nobody waits';

CREATE FUNCTION cdp_internal.mend_batch() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT cdp_internal.mend_identities(100) $$;
COMMENT ON FUNCTION cdp_internal.mend_batch() IS 'Part of cdp.run';

CREATE FUNCTION cdp.apply_identity_rules() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  changed bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.pending_identifier_types) THEN
    RETURN 0;
  END IF;
  -- Raises where people's decisions would contradict each other under the new rules.
  PERFORM count(*) FROM cdp_internal.identity_diff();
  INSERT INTO cdp.identity_queue (profile_id) VALUES (0) ON CONFLICT DO NOTHING;
  -- Writers hold ROW SHARE here until they commit: whoever comes after this decides by the new rules.
  LOCK TABLE cdp.segments IN EXCLUSIVE MODE;
  WITH gone AS (DELETE FROM cdp.pending_identifier_types RETURNING *)
  UPDATE cdp.identifier_types AS t SET normalizer = p.normalizer, priority = p.priority, default_region = p.default_region,
      is_unique = p.is_unique, max_values = p.max_values, within = p.within, sharing = p.sharing, blocks_junk = p.blocks_junk,
      blocked_values = p.blocked_values, blocked_patterns = p.blocked_patterns
    FROM gone AS p WHERE t.type = p.type;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END $$;
COMMENT ON FUNCTION cdp.apply_identity_rules() IS
  'Puts all pending changes of identifier types in force and returns how many there were. Messages from here on are decided by them; the worker, or CALL cdp.run(), decides the people anew whom they touch (cdp.identity_queue). Errors: 55000 when decisions would contradict each other under the new rules';

CREATE FUNCTION cdp_internal.begin_rebuild(OUT total bigint, OUT last bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM cdp_internal.need_own_transactions('cdp.rebuild'), cdp_internal.end_progress(), cdp_internal.report_progress('rebuild', 0, NULL);
  INSERT INTO cdp.identity_queue (profile_id) VALUES (0) ON CONFLICT DO NOTHING;
  SELECT count(*), max(p.profile_id) INTO total, last FROM cdp.profiles AS p;
END $$;

-- First everybody who is wrong, then everybody.
CREATE FUNCTION cdp_internal.rebuild_batch(INOUT place bigint, last bigint, INOUT done bigint, total bigint, OUT finished boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  people bigint[];
BEGIN
  finished := false;
  IF cdp_internal.mend_identities(100) > 0 THEN
    RETURN;
  END IF;
  SELECT array_agg(p.profile_id ORDER BY p.profile_id) INTO people
    FROM (SELECT o.profile_id FROM cdp.profiles AS o WHERE o.profile_id > place AND o.profile_id <= last ORDER BY o.profile_id LIMIT 200) AS p;
  IF people IS NULL THEN
    finished := true;
    RETURN;
  END IF;
  PERFORM cdp_internal.decide_anew(people, 'rebuild', true);
  place := people[cardinality(people)];
  done := done + cardinality(people);
  PERFORM cdp_internal.report_progress('rebuild', done, total);
END $$;

CREATE PROCEDURE cdp.rebuild() LANGUAGE plpgsql AS $$
DECLARE
  state record;
  place pg_catalog.int8 := 0;
  done  pg_catalog.int8 := 0;
  whole record;
BEGIN
  SELECT * INTO whole FROM cdp_internal.begin_rebuild();
  COMMIT;
  LOOP
    SELECT * INTO state FROM cdp_internal.rebuild_batch(place, whole.last, done, whole.total);
    COMMIT;
    EXIT WHEN state.finished;
    place := state.place;
    done := state.done;
  END LOOP;
  PERFORM cdp_internal.end_progress();
END $$;
COMMENT ON PROCEDURE cdp.rebuild() IS
  'Decides everybody anew from the kept facts under the rules applied, and makes profiles and segments anew, a transaction a batch; profile ids stay the same. Readers are not blocked. See cdp.progress. Errors: 25001 inside a transaction block';
COMMENT ON FUNCTION cdp_internal.begin_rebuild() IS 'Part of cdp.rebuild';
COMMENT ON FUNCTION cdp_internal.rebuild_batch(bigint, bigint, bigint, bigint) IS 'Part of cdp.rebuild';
