-- fold: people folded anew by other rules of survivorship, and when a value is too old.

CREATE FUNCTION cdp_internal.fold_anew(profile_ids bigint[]) RETURNS bigint
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_fold_anew';
COMMENT ON FUNCTION cdp_internal.fold_anew(bigint[]) IS
  'Folds those of these people who were folded by another version, or have a value that is too old, with their segments; how many';

-- One batch in this transaction.
CREATE FUNCTION cdp_internal.fold_profiles(most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  build cdp_internal.survivorship_builds;
  people bigint[];
BEGIN
  IF NOT EXISTS (SELECT FROM cdp_internal.survivorship_builds)
     AND NOT EXISTS (SELECT FROM cdp_internal.trait_lapses AS l WHERE l.lapses_at <= now()) THEN
    RETURN 0;
  END IF;
  PERFORM cdp_internal.take_turn('cdp_internal.survivorship_builds');
  -- Values that are too old come first: their instant has passed.
  SELECT array_agg(l.profile_id) INTO people
    FROM (SELECT o.profile_id FROM cdp_internal.trait_lapses AS o WHERE o.lapses_at <= now() ORDER BY o.lapses_at LIMIT most) AS l;
  IF people IS NOT NULL THEN
    PERFORM cdp_internal.fold_anew(people);
    DELETE FROM cdp_internal.trait_lapses AS l
      WHERE l.profile_id = ANY (people) AND NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = l.profile_id);
    RETURN cardinality(people);
  END IF;
  SELECT b.* INTO build FROM cdp_internal.survivorship_builds AS b;
  IF build.version IS NULL THEN
    RETURN 0;
  END IF;
  SELECT array_agg(p.profile_id ORDER BY p.profile_id) INTO people
    FROM (SELECT o.profile_id FROM cdp.profiles AS o WHERE o.profile_id > build.place ORDER BY o.profile_id LIMIT most) AS p;
  IF people IS NULL THEN
    DELETE FROM cdp_internal.survivorship_builds AS b WHERE b.version = build.version;
    RETURN 1;
  END IF;
  PERFORM cdp_internal.fold_anew(people);
  -- Not where other rules were applied meanwhile: then all of it begins anew.
  UPDATE cdp_internal.survivorship_builds AS b
    SET place = people[cardinality(people)], done = b.done + cardinality(people), updated_at = clock_timestamp()
    WHERE b.version = build.version;
  RETURN cardinality(people);
END $$;
COMMENT ON FUNCTION cdp_internal.fold_profiles(integer) IS
  'Folds at most so many people anew whose rules changed or whose values are too old; how many, 0 when nobody waits';

CREATE FUNCTION cdp_internal.fold_batch() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT cdp_internal.fold_profiles(200) $$;
COMMENT ON FUNCTION cdp_internal.fold_batch() IS 'Part of cdp.run';
