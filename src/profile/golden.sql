-- golden: why a trait is what it is, what it was, and what other rules would make of it.

CREATE FUNCTION cdp_internal.fold_traits(version integer, policy text, profile_ids bigint[], identifier_ids bigint[] DEFAULT NULL,
    at timestamptz DEFAULT NULL, known timestamptz DEFAULT NULL, as_of timestamptz DEFAULT NULL, account text DEFAULT NULL)
  RETURNS TABLE (profile_id bigint, trait text, value jsonb, decision_seq bigint, is_conflict boolean, rule text, strategy text,
                 place integer, made_from bigint[], until timestamptz, error text)
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_fold_traits';
COMMENT ON FUNCTION cdp_internal.fold_traits(integer, text, bigint[], bigint[], timestamptz, timestamptz, timestamptz, text) IS
  'Golden traits of people by some rules: from all that was said of them, or by these identifiers, asserted by `at`, received by `known`, as of an instant. account: of it, instead';

CREATE FUNCTION cdp_internal.explain_trait(version integer, policy text, trait text, profile_ids bigint[], identifier_ids bigint[] DEFAULT NULL,
    at timestamptz DEFAULT NULL, known timestamptz DEFAULT NULL, as_of timestamptz DEFAULT NULL, account text DEFAULT NULL)
  RETURNS TABLE (decision_seq bigint, said jsonb, value jsonb, outcome text, because text, strategy text, place integer)
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_explain_trait';
COMMENT ON FUNCTION cdp_internal.explain_trait(integer, text, text, bigint[], bigint[], timestamptz, timestamptz, timestamptz, text) IS 'Part of cdp.why_trait and cdp.why_account_trait';

CREATE FUNCTION cdp_internal.history_of_trait(version integer, policy text, trait text, profile_ids bigint[], identifier_ids bigint[] DEFAULT NULL,
    at timestamptz DEFAULT NULL, known timestamptz DEFAULT NULL, as_of timestamptz DEFAULT NULL)
  RETURNS TABLE (since timestamptz, value jsonb, decision_seq bigint)
  LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_history_of_trait';
COMMENT ON FUNCTION cdp_internal.history_of_trait(integer, text, text, bigint[], bigint[], timestamptz, timestamptz, timestamptz) IS 'Part of cdp.trait_history';

CREATE FUNCTION cdp_internal.known_policy(policy text) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  rules jsonb;
BEGIN
  IF policy IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'policy must not be null',
      HINT = 'Leave it out for the default policy; SELECT DISTINCT policy FROM cdp.survivorship_rules lists others.';
  ELSIF policy = 'accounts' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'policy "accounts" is that of accounts, not of people',
      HINT = 'SELECT cdp.account(group_id) shows what it makes of one.';
  ELSIF policy = 'default' THEN
    RETURN cdp_internal.version_at('infinity');
  END IF;
  rules := cdp_internal.rules_in_force() -> 'policies';
  IF NOT rules ? policy THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no policy "%s" in force', left(policy, 100)),
      HINT = CASE WHEN EXISTS (SELECT FROM cdp.survivorship_rules AS r WHERE r.policy = known_policy.policy) THEN 'SELECT cdp.apply_survivorship() puts it in force.'
             ELSE 'There are: ' || (SELECT string_agg(o.p, ', ' ORDER BY o.p) FROM (SELECT jsonb_object_keys(rules) UNION SELECT 'default') AS o (p)) || '.' END;
  END IF;
  RETURN cdp_internal.version_at('infinity');
END $$;
COMMENT ON FUNCTION cdp_internal.known_policy(text) IS 'The version of rules in force; 42704 when it does not have the policy';

-- The arguments at and as_known, as cdp.lookup has them.
CREATE FUNCTION cdp_internal.check_instant(at timestamptz, as_known text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF as_known NOT IN ('then', 'now') OR as_known = 'then' AND at IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = CASE WHEN as_known = 'then' THEN 'as_known => ''then'' needs an instant, at'
                     ELSE format('as_known cannot be "%s"', left(as_known, 100)) END,
      HINT = 'With at => an instant: ''then'' is what was stored at that time, ''now'' is what is known today about that time.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_instant(timestamptz, text) IS 'Raises 22023 for an as_known that cannot be';

-- A person at an instant: whoever the id stood for then, and their identifiers of then.
CREATE FUNCTION cdp_internal.identifiers_at(profile_id bigint, at timestamptz, as_known text, OUT person bigint, OUT identifiers bigint[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF as_known = 'then' THEN
    person := cdp_internal.known_person(profile_id, at);
    WITH RECURSIVE near (id) AS (
      SELECT person
      UNION
      SELECT o.id FROM near AS n JOIN cdp.identity_changes AS c ON c.profile_id = n.id AND c.recorded_at <= at
      CROSS JOIN LATERAL (SELECT c.from_profile_id UNION ALL SELECT unnest(c.identifiers)) AS o (id) WHERE o.id IS NOT NULL
    )
    SELECT array_agg(n.id ORDER BY n.id) INTO identifiers FROM near AS n WHERE cdp_internal.known_person(n.id, at) = person;
  ELSE
    -- Whenever it came in: what is known of that time, and who is who, is what is known today.
    SELECT min(i.profile_id), array_agg(i.identifier_id ORDER BY i.identifier_id) INTO person, identifiers
      FROM cdp.identifiers AS i WHERE i.profile_id = cdp.current_profile($1);
    IF NOT EXISTS (SELECT FROM cdp.assertions AS a WHERE a.identifier_id = ANY (identifiers) AND a.asserted_at <= identifiers_at.at)
       AND NOT EXISTS (SELECT FROM cdp_internal.event_traces AS r WHERE r.identifier_id = ANY (identifiers) AND r.occurred_at <= identifiers_at.at) THEN
      person := NULL;
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.identifiers_at(bigint, timestamptz, text) IS 'Part of cdp.profile: who the person was at an instant';

CREATE FUNCTION cdp.golden_traits(profile_id bigint, policy text DEFAULT 'default')
  RETURNS TABLE (trait text, value jsonb, is_conflict boolean, rule text, strategy text, source text, message_id text,
                 asserted_at timestamptz, received_at timestamptz, made_from bigint[], until timestamptz, error text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT g.trait, g.value, g.is_conflict, g.rule, g.strategy, s.source, a.message_id, a.asserted_at, a.received_at, g.made_from, g.until, g.error
  FROM cdp_internal.fold_traits(cdp_internal.known_policy($2), $2, ARRAY[cdp.current_profile($1)]) AS g
  LEFT JOIN (cdp.assertions AS a JOIN cdp.sources AS s USING (source_id)) USING (decision_seq)
  WHERE g.value IS NOT NULL OR g.is_conflict OR g.error IS NOT NULL ORDER BY g.trait
$$;
COMMENT ON FUNCTION cdp.golden_traits(bigint, text) IS
  'A person''s traits by a policy, with where they come from: rule (null: the latest value, without one) and strategy that decided (computed:name is what a computed trait is, and no source said it); source, message_id and times of the value, or of the newest it is made of; made_from: the messages (decision_seq in cdp.assertions); is_conflict: sources say different things and the rule chooses none; until: when it is too old. Errors: 42704 no such policy';

CREATE FUNCTION cdp.why_trait(profile_id bigint, trait text, policy text DEFAULT 'default')
  RETURNS TABLE (outcome text, because text, value jsonb, said jsonb, rule text, strategy text, place integer, source text, message_id text,
                 asserted_at timestamptz, received_at timestamptz, decision_seq bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH rules AS (SELECT cdp_internal.known_policy($3) AS version)
  SELECT w.outcome, w.because, w.value, w.said,
         (SELECT g.rule FROM cdp_internal.fold_traits(r.version, $3, ARRAY[cdp.current_profile($1)]) AS g WHERE g.trait = $2),
         w.strategy, w.place, s.source, a.message_id, a.asserted_at, a.received_at, w.decision_seq
  FROM rules AS r CROSS JOIN LATERAL cdp_internal.explain_trait(r.version, $3, $2, ARRAY[cdp.current_profile($1)]) AS w
  LEFT JOIN (cdp.assertions AS a JOIN cdp.sources AS s USING (source_id)) USING (decision_seq)
  ORDER BY array_position(ARRAY['winner', 'conflict', 'part', 'loser'], w.outcome), a.asserted_at DESC, a.decision_seq DESC
$$;
COMMENT ON FUNCTION cdp.why_trait(bigint, text, text) IS
  'Why a trait is what it is: a row a message that said something about it, the winner first. outcome: winner, part (of a value that is made of many), conflict or loser; because: the strategy, or what stands in the way; said and value: as it came, and as the definition has it; rule: the pattern, null without one; strategy and place: what decided. Errors: 42704 no such policy';

CREATE FUNCTION cdp.trait_history(profile_id bigint, trait text, policy text DEFAULT 'default')
  RETURNS TABLE (value jsonb, since timestamptz, until timestamptz, source text, message_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT h.value, h.since, coalesce(lead(h.since) OVER (ORDER BY h.since), 'infinity'), s.source, a.message_id
  FROM cdp_internal.history_of_trait(cdp_internal.known_policy($3), $3, $2, ARRAY[cdp.current_profile($1)]) AS h
  LEFT JOIN cdp.assertions AS a USING (decision_seq) LEFT JOIN cdp.sources AS s USING (source_id)
  ORDER BY h.since
$$;
COMMENT ON FUNCTION cdp.trait_history(bigint, text, text) IS
  'What a trait was, by all that is known today and the rules in force: each value with since and until, by when it was asserted; a null value: absent. source and message_id of what made it so. Errors: 42704 no such policy';

-- Accounts have a policy of their own, and are known by name.
CREATE FUNCTION cdp.why_account_trait(group_id text, trait text)
  RETURNS TABLE (outcome text, because text, value jsonb, said jsonb, rule text, strategy text, place integer, source text, message_id text,
                 asserted_at timestamptz, received_at timestamptz, decision_seq bigint)
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  WITH rules AS (SELECT cdp_internal.version_at('infinity') AS version)
  SELECT w.outcome, w.because, w.value, w.said,
         (SELECT g.rule FROM cdp_internal.fold_traits(r.version, 'accounts', '{}', account => $1) AS g WHERE g.trait = $2),
         w.strategy, w.place, s.source, a.message_id, a.asserted_at, a.received_at, w.decision_seq
  FROM rules AS r CROSS JOIN LATERAL cdp_internal.explain_trait(r.version, 'accounts', $2, '{}', account => $1) AS w
  LEFT JOIN (cdp.assertions AS a JOIN cdp.sources AS s USING (source_id)) USING (decision_seq)
  ORDER BY array_position(ARRAY['winner', 'conflict', 'part', 'loser'], w.outcome), a.asserted_at DESC, a.decision_seq DESC
$$;
COMMENT ON FUNCTION cdp.why_account_trait(text, text) IS
  'Why a trait that group messages say of an account is what it is: a row a message that said something about it, the winner first, as cdp.why_trait has them';

CREATE FUNCTION cdp.account_diff() RETURNS TABLE (group_id text, trait text, old jsonb, new jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  force constant integer := cdp_internal.version_at('infinity');
  rules constant jsonb := cdp_internal.rules_in_force();
  draft constant jsonb := cdp_internal.drafted_rules();
BEGIN
  -- Nothing else of the rules decides about accounts.
  IF rules #> '{policies,accounts}' IS NOT DISTINCT FROM draft #> '{policies,accounts}' AND coalesce(rules -> 'trust', '{}') = coalesce(draft -> 'trust', '{}') THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT a.group_id, d.trait, d.old, d.new
    FROM (SELECT DISTINCT g.group_id FROM cdp.assertions AS g WHERE g.type = 'group' AND g.traits IS NOT NULL) AS a
    CROSS JOIN LATERAL (
      SELECT coalesce(o.trait, n.trait) AS trait, o.value AS old, n.value AS new
      FROM cdp_internal.fold_traits(force, 'accounts', '{}', account => a.group_id) AS o
      FULL JOIN cdp_internal.fold_traits(-1, 'accounts', '{}', account => a.group_id) AS n ON n.trait = o.trait) AS d
    WHERE d.old IS DISTINCT FROM d.new ORDER BY 1, 2;
END $$;
COMMENT ON FUNCTION cdp.account_diff() IS
  'What the draft of rules and trust would make of the traits that group messages say of accounts: a row an account and trait that would be another, null for absent. Reads every account, changes nothing';

-- Some people at a time: what is folded is held in memory.
CREATE FUNCTION cdp.profile_diff(policy text DEFAULT 'default')
  RETURNS TABLE (profile_id bigint, trait text, old jsonb, new jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  force constant integer := cdp_internal.version_at('infinity');
  people bigint[];
  place bigint := -1;
BEGIN
  IF policy IS NULL OR policy = 'accounts' OR policy <> 'default' AND NOT cdp_internal.drafted_rules() -> 'policies' ? policy THEN
    PERFORM cdp_internal.known_policy(policy);
  END IF;
  IF NOT EXISTS (SELECT FROM cdp.pending_survivorship()) THEN
    RETURN;
  END IF;
  LOOP
    SELECT array_agg(p.profile_id ORDER BY p.profile_id) INTO people
      FROM (SELECT o.profile_id FROM cdp.profiles AS o WHERE o.profile_id > place ORDER BY o.profile_id LIMIT 5000) AS p;
    EXIT WHEN people IS NULL;
    RETURN QUERY
      SELECT coalesce(o.profile_id, n.profile_id), coalesce(o.trait, n.trait), o.value, n.value
      FROM cdp_internal.fold_traits(force, $1, people) AS o
      FULL JOIN cdp_internal.fold_traits(-1, $1, people) AS n ON n.profile_id = o.profile_id AND n.trait = o.trait
      WHERE o.value IS DISTINCT FROM n.value ORDER BY 1, 2;
    place := people[cardinality(people)];
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp.profile_diff(text) IS
  'What the draft of rules, definitions and trust would make of a policy''s golden traits: a row a person and trait that would be another, null for absent. Reads everybody, changes nothing. Errors: 42704 no such policy';
