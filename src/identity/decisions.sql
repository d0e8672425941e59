-- decisions: what people say about who is who. They hold from the start, whenever the evidence came.

CREATE FUNCTION cdp_internal.decide_anew(identifiers bigint[], reason text, everything boolean DEFAULT false, decisions text DEFAULT NULL)
  RETURNS bigint
  LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_decide_anew';
COMMENT ON FUNCTION cdp_internal.decide_anew(bigint[], text, boolean, text) IS
  'Decides the people of these identifiers, and whoever that touches, from their evidence; returns the decision';

CREATE FUNCTION cdp_internal.plan_split(profile_id bigint, leaving bigint[])
  RETURNS TABLE (kind text, identifier_id bigint, other_identifier_id bigint)
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_plan_split';
COMMENT ON FUNCTION cdp_internal.plan_split(bigint, bigint[]) IS
  'What to decide so that these identifiers leave: links to remove, decisions to revoke, the two to keep apart';

-- {"email": "anna@example.com"}, {"email": ["a@x.nl", "b@x.nl"]}, or 42 for an identifier_id.
CREATE FUNCTION cdp_internal.identifiers_of(named jsonb) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found bigint[];
  missing record;
BEGIN
  IF jsonb_typeof(named) = 'number' THEN
    SELECT array_agg(i.identifier_id) INTO found FROM cdp.identifiers AS i WHERE i.identifier_id::numeric = named::numeric;
    IF found IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no identifier with identifier_id %s', named);
    END IF;
    RETURN found;
  END IF;
  IF jsonb_typeof(named) IS DISTINCT FROM 'object' OR named = '{}' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'an identifier is named by type and value',
      DETAIL = format('Given was %s', coalesce(left(named::text, 100), 'null')),
      HINT = 'Write {"email": "anna@example.com"}, or its identifier_id.';
  END IF;
  WITH wanted AS (
    SELECT n.key AS type, v.value #>> '{}' AS value
    FROM jsonb_each(named) AS n,
         jsonb_array_elements(CASE jsonb_typeof(n.value) WHEN 'array' THEN n.value ELSE jsonb_build_array(n.value) END) AS v
  ), known AS (
    SELECT w.type, w.value, t.type IS NULL AS unknown_type, i.identifier_id,
           cdp_internal.normalize(t.normalizer, w.value, t.default_region, false) IS NULL AS refused
    FROM wanted AS w
    LEFT JOIN cdp.identifier_types AS t USING (type)
    LEFT JOIN cdp.identifiers AS i ON i.type = w.type
      AND i.value = cdp_internal.normalize(t.normalizer, w.value, t.default_region, false)
  )
  SELECT array_agg(k.identifier_id),
         min(format('identifier type "%s" does not exist', k.type)) FILTER (WHERE k.unknown_type) AS type_error,
         string_agg(format('the %s "%s"', k.type, left(k.value, 100)), ', ') FILTER (WHERE k.identifier_id IS NULL) AS nobodys,
         bool_or(k.refused) AS refused
    INTO missing FROM known AS k;
  IF missing.type_error IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = missing.type_error, HINT = 'SELECT type FROM cdp.identifier_types lists them.';
  END IF;
  IF missing.nobodys IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'nobody has ' || missing.nobodys,
      HINT = CASE WHEN missing.refused THEN 'Its normaliser refuses it; a national phone number needs a region: cdp.alter_identifier_type(''phone'', default_region => ''NL'').'
                  ELSE 'cdp.find_profiles(text) looks for identifiers; one that never came with a message cannot be decided about.' END;
  END IF;
  IF missing.array_agg IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'no identifier was given', DETAIL = format('Given was %s', left(named::text, 100));
  END IF;
  RETURN missing.array_agg;
END $$;
COMMENT ON FUNCTION cdp_internal.identifiers_of(jsonb) IS 'The ids of identifiers as people name them; 22023 when there is none';

CREATE FUNCTION cdp_internal.one_identifier(named jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found bigint[] := cdp_internal.identifiers_of(named);
BEGIN
  IF array_length(found, 1) <> 1 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('one identifier is needed here, not %s', array_length(found, 1)),
      DETAIL = left(named::text, 200);
  END IF;
  RETURN found[1];
END $$;
COMMENT ON FUNCTION cdp_internal.one_identifier(jsonb) IS 'As identifiers_of, for exactly one';

CREATE FUNCTION cdp_internal.people_now(identifiers bigint[]) RETURNS TABLE (person bigint, has jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.profile_id, jsonb_object_agg(t.type, t.vals ORDER BY t.type)
  FROM (SELECT i.profile_id, i.type, jsonb_agg(i.value ORDER BY i.identifier_id) AS vals
        FROM cdp.identifiers AS i
        WHERE i.profile_id IN (SELECT o.profile_id FROM cdp.identifiers AS o WHERE o.identifier_id = ANY (people_now.identifiers))
        GROUP BY i.profile_id, i.type) AS t
  GROUP BY t.profile_id ORDER BY t.profile_id
$$;
COMMENT ON FUNCTION cdp_internal.people_now(bigint[]) IS 'Whose these identifiers are now, with all their identifiers';

-- One decision a pair and kind; what contradicts it on the same pair is taken back.
CREATE FUNCTION cdp_internal.decide(kind text, one bigint, other bigint, reason text, decided_by text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made bigint;
  contrary constant text[] := CASE WHEN kind = 'allow_link' THEN ARRAY['forbid_link', 'remove_link'] ELSE ARRAY['allow_link'] END;
BEGIN
  IF one = other THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'two different identifiers are needed',
      DETAIL = format('Both are identifier %s.', one);
  END IF;
  UPDATE cdp.identity_decisions AS d SET revoked_at = now(), revoked_by = decide.decided_by, revoke_reason = 'decided otherwise: ' || decide.reason,
      profile_id = NULL, other_profile_id = NULL
    WHERE d.identifier_id = least(one, other) AND d.other_identifier_id = greatest(one, other) AND d.revoked_at IS NULL
      AND d.kind = ANY (contrary);
  INSERT INTO cdp.identity_decisions AS d (kind, identifier_id, other_identifier_id, profile_id, other_profile_id, reason, decided_by, decision_seq)
    SELECT decide.kind, least(one, other), CASE WHEN other IS NOT NULL THEN greatest(one, other) END,
           CASE WHEN decide.kind = 'forbid_link' THEN (SELECT i.profile_id FROM cdp.identifiers AS i WHERE i.identifier_id = least(one, other)) END,
           CASE WHEN decide.kind = 'forbid_link' THEN (SELECT i.profile_id FROM cdp.identifiers AS i WHERE i.identifier_id = greatest(one, other)) END,
           decide.reason, decide.decided_by, 0
    ON CONFLICT DO NOTHING RETURNING d.decision_id INTO made;
  RETURN made; -- null: it is decided so already
END $$;
COMMENT ON FUNCTION cdp_internal.decide(text, bigint, bigint, text, text) IS 'Writes a decision down, without its consequences';

-- {"make": [[kind, one, other], …], "revoke": [decision_id, …], "reason": …, "by": …}; returns what was made.
CREATE FUNCTION cdp_internal.write_decisions(decisions jsonb) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made bigint[] := '{}';
  step jsonb;
BEGIN
  UPDATE cdp.identity_decisions AS d SET revoked_at = now(), revoked_by = decisions ->> 'by', revoke_reason = decisions ->> 'reason',
      profile_id = NULL, other_profile_id = NULL
    WHERE d.revoked_at IS NULL AND d.decision_id IN (SELECT x::bigint FROM jsonb_array_elements_text(decisions -> 'revoke') AS x);
  FOR step IN SELECT * FROM jsonb_array_elements(decisions -> 'make') LOOP
    made := made || cdp_internal.decide(step ->> 0, (step ->> 1)::bigint, (step ->> 2)::bigint, decisions ->> 'reason', decisions ->> 'by');
  END LOOP;
  RETURN array_remove(made, NULL);
END $$;
COMMENT ON FUNCTION cdp_internal.write_decisions(jsonb) IS 'Writes decisions down while their people are locked; their consequences follow';

CREATE FUNCTION cdp_internal.carry_out(kind text, one bigint, other bigint, reason text, decided_by text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(trim(reason), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a decision needs a reason',
      HINT = 'Say why in a few words: people will ask.';
  END IF;
  PERFORM cdp_internal.decide_anew(array_remove(ARRAY[one, other], NULL), reason, false,
    jsonb_build_object('make', jsonb_build_array(jsonb_build_array(kind, one, other)), 'revoke', '[]'::jsonb, 'reason', reason,
                       'by', coalesce(decided_by, session_user))::text);
END $$;
COMMENT ON FUNCTION cdp_internal.carry_out(text, bigint, bigint, text, text) IS 'Makes one decision, and decides anew whoever it is about';

CREATE FUNCTION cdp.allow_link(identifier jsonb, other_identifier jsonb, reason text, decided_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids constant bigint[] := ARRAY[cdp_internal.one_identifier(identifier), cdp_internal.one_identifier(other_identifier)];
BEGIN
  PERFORM cdp_internal.carry_out('allow_link', ids[1], ids[2], reason, decided_by);
  RETURN QUERY SELECT * FROM cdp_internal.people_now(ids);
END $$;
COMMENT ON FUNCTION cdp.allow_link(jsonb, jsonb, text, text) IS
  'Says that two identifiers, and so the people who have them now, are one person, whatever the rules say; each as {"type": "value"} or identifier_id. Returns the person. Takes back an earlier forbid_link or remove_link of the two. Errors: 42704 unknown type, 22023 unknown identifier, 22004 no reason, 55000 another decision keeps them apart, 25001 above READ COMMITTED';

CREATE FUNCTION cdp.forbid_link(identifier jsonb, other_identifier jsonb, reason text, decided_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids constant bigint[] := ARRAY[cdp_internal.one_identifier(identifier), cdp_internal.one_identifier(other_identifier)];
BEGIN
  PERFORM cdp_internal.carry_out('forbid_link', ids[1], ids[2], reason, decided_by);
  RETURN QUERY SELECT * FROM cdp_internal.people_now(ids);
END $$;
COMMENT ON FUNCTION cdp.forbid_link(jsonb, jsonb, text, text) IS
  'Says that two identifiers are two people, whatever links them, now or later; of the evidence that joined them the earliest stays. Each as {"type": "value"} or identifier_id. Returns both people. Errors: 42704 unknown type, 22023 unknown identifier, 22004 no reason, 55000 another decision joins them, 25001 above READ COMMITTED';

CREATE FUNCTION cdp.remove_link(identifier jsonb, other_identifier jsonb, reason text, decided_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ids constant bigint[] := ARRAY[cdp_internal.one_identifier(identifier), cdp_internal.one_identifier(other_identifier)];
BEGIN
  PERFORM cdp_internal.carry_out('remove_link', ids[1], ids[2], reason, decided_by);
  IF (SELECT count(DISTINCT i.profile_id) FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (ids)) = 1 THEN
    RAISE NOTICE 'the two are still one person, by other links'
      USING HINT = 'cdp.why_same shows them; cdp.split_profile takes all of them out, cdp.forbid_link keeps the two apart for good.';
  END IF;
  RETURN QUERY SELECT * FROM cdp_internal.people_now(ids);
END $$;
COMMENT ON FUNCTION cdp.remove_link(jsonb, jsonb, text, text) IS
  'Takes out the link of two identifiers as if no message had carried both, and no later one will link them; other links stay. Each as {"type": "value"} or identifier_id. Returns whose they are now. Errors: 42704 unknown type, 22023 unknown identifier, 22004 no reason, 25001 above READ COMMITTED';

CREATE FUNCTION cdp.remove_identifier(identifier jsonb, reason text, decided_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id constant bigint := cdp_internal.one_identifier(identifier);
  before bigint[];
BEGIN
  SELECT array_agg(o.identifier_id) INTO before
    FROM cdp.identifiers AS i JOIN cdp.identifiers AS o USING (profile_id) WHERE i.identifier_id = id;
  PERFORM cdp_internal.carry_out('remove_identifier', id, NULL, reason, decided_by);
  RETURN QUERY SELECT * FROM cdp_internal.people_now(before);
END $$;
COMMENT ON FUNCTION cdp.remove_identifier(jsonb, text, text) IS
  'Takes an identifier that says nothing about a person out of who is who, for good: it links nobody, and what its messages said belongs to the next identifier on them. As {"type": "value"} or identifier_id. Returns the people that its person falls into. Errors: 42704 unknown type, 22023 unknown identifier, 22004 no reason, 25001 above READ COMMITTED';

-- Decisions, as cdp_internal.write_decisions takes them, beside those of `plan`; "stays": an identifier of who is left behind.
CREATE FUNCTION cdp_internal.split_decisions(split bigint, leaving bigint[], plan jsonb) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT plan || jsonb_build_object(
    'make', coalesce(plan -> 'make', '[]') || coalesce(jsonb_agg(jsonb_build_array(p.kind, p.identifier_id, p.other_identifier_id)) FILTER (WHERE p.kind <> 'revoke'), '[]'),
    'revoke', coalesce(plan -> 'revoke', '[]') || coalesce(jsonb_agg(p.identifier_id) FILTER (WHERE p.kind = 'revoke'), '[]'),
    'stays', max(p.other_identifier_id) FILTER (WHERE p.kind = 'forbid_link'))
  FROM cdp_internal.plan_split(split, leaving) AS p
$$;
COMMENT ON FUNCTION cdp_internal.split_decisions(bigint, bigint[], jsonb) IS 'Part of cdp.split_profile: what is to be decided to take these identifiers out of a person';

CREATE FUNCTION cdp.split_profile(profile_id bigint, identifiers jsonb, reason text, decided_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  split bigint;
  leaving constant bigint[] := cdp_internal.identifiers_of($2);
  before bigint[];
  stranger text;
  plan jsonb;
BEGIN
  IF coalesce(trim($3), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a decision needs a reason',
      HINT = 'Say why in a few words: people will ask.';
  END IF;
  split := cdp.current_profile($1);
  SELECT array_agg(i.identifier_id) INTO before FROM cdp.identifiers AS i WHERE i.profile_id = split;
  IF before IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = coalesce('there is no profile ' || $1, 'no profile was given'),
      HINT = CASE WHEN $1 IS NULL THEN 'Did cdp.lookup find nobody?' ELSE 'cdp.find_profiles(text) finds people.' END;
  END IF;
  SELECT format('%s "%s" is an identifier of profile %s, not of %s', i.type, i.value, i.profile_id, split) INTO stranger
    FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (leaving) AND i.profile_id <> split LIMIT 1;
  IF stranger IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = stranger;
  END IF;
  -- Planned without locks, which must be taken all at once, by the links that count now. One that came in between, or that
  -- counts once these are gone, shows when they are: then all are taken out anew together, as one call is one decision.
  plan := cdp_internal.split_decisions(split, leaving, jsonb_build_object('reason', $3, 'by', coalesce($4, session_user)));
  LOOP
    BEGIN
      PERFORM cdp_internal.decide_anew(before, $3, false, plan::text);
      SELECT i.profile_id INTO split FROM cdp.identifiers AS i WHERE i.identifier_id = (plan ->> 'stays')::bigint;
      EXIT WHEN NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (leaving) AND i.profile_id = split);
      plan := cdp_internal.split_decisions(split, leaving, plan);
      RAISE SQLSTATE 'CDP01' USING MESSAGE = 'more links are to be removed';
    EXCEPTION WHEN SQLSTATE 'CDP01' THEN
      NULL;
    END;
  END LOOP;
  RETURN QUERY SELECT * FROM cdp_internal.people_now(before);
END $$;
COMMENT ON FUNCTION cdp.split_profile(bigint, jsonb, text, text) IS
  'Splits a person who is two: the identifiers given ({"type": "value"} or {"type": [values]}) leave, with all that only they join to the rest; their links to the rest are removed, and the two are kept apart for good. Returns both people. Errors: 22023 unknown profile or identifier, or nothing would stay; 22004 no reason; 25001 above READ COMMITTED';

CREATE FUNCTION cdp.revoke_decision(decision_id bigint, reason text, revoked_by text DEFAULT session_user)
  RETURNS TABLE (person bigint, has jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  taken_back bigint[];
  ids bigint[];
BEGIN
  IF coalesce(trim($2), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a decision needs a reason';
  END IF;
  SELECT array_agg(d.decision_id), array_agg(x.id) INTO taken_back, ids
    FROM cdp.identity_decisions AS d
    CROSS JOIN LATERAL unnest(ARRAY[d.identifier_id, d.other_identifier_id]) AS x (id)
    WHERE d.revoked_at IS NULL AND x.id IS NOT NULL
      AND d.decision_seq = (SELECT o.decision_seq FROM cdp.identity_decisions AS o WHERE o.decision_id = $1 AND o.revoked_at IS NULL);
  IF ids IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = coalesce('decision ' || $1 || ' is not in force', 'no decision was given'),
      HINT = 'SELECT * FROM cdp.identity_decisions WHERE revoked_at IS NULL lists those that are.';
  END IF;
  PERFORM cdp_internal.decide_anew(ids, 'taken back: ' || $2, false, jsonb_build_object('make', '[]'::jsonb, 'revoke', to_jsonb(taken_back),
    'reason', $2, 'by', coalesce($3, session_user))::text);
  RETURN QUERY SELECT * FROM cdp_internal.people_now(ids);
END $$;
COMMENT ON FUNCTION cdp.revoke_decision(bigint, text, text) IS
  'Takes back a decision, all of one call: the evidence counts again as if it had not been made. Returns the people concerned. Errors: 22023 not in force, 22004 no reason, 25001 above READ COMMITTED';
