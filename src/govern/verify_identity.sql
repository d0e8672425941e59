-- verify_identity: who is who, once more from the kept evidence, under the rules applied and people's decisions.

-- The fold of docs/identity.md, one message after the other, in arrays: a standby can neither write nor make temporary
-- tables. People are rings of identifiers (`ring`: the next one), labelled by one of them (`person`); the smaller ring is
-- relabelled when two are joined. Rings of the same kind hold a person's values of limited types (`values_ring`, entered at
-- `a_value`) and whom they are kept apart from (`apart_ring`, entered at `an_apart`). All places count from 1; 0: none.
CREATE FUNCTION cdp_internal.verify_fold()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
  SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
  -- Types, by name.
  type_names text[];     is_personal boolean[];  policy text[];  is_unique boolean[];  most integer[];  within interval[];
  limited integer[];
  any_latest boolean;
  -- Identifiers, by id.
  ids bigint[];          profiles bigint[];      kind integer[]; seen timestamptz[];   out_by integer[]; users bigint[];
  person integer[];      ring integer[];         size integer[]; lowest integer[];     has_personal boolean[];
  a_value integer[];     values_ring integer[];  an_apart integer[];
  user_on integer[];
  -- Links that people removed, and people kept apart: entries, two a decision.
  a_cut integer[];       cut_next integer[] := '{}';             cut_other integer[] := '{}';
  apart_ring integer[] := '{}';                  apart_other integer[] := '{}';
  step record;           decision record;
  eligible integer[];    accepted integer[];     refused integer[];                    refused_ids bigint[];
  rule text;             why text;               total integer;
  x integer;  y integer; a integer;  b integer;  k integer;  t integer;  mine integer;  theirs integer;  owner integer;
BEGIN
  room := 'identity';
  SELECT array_agg(s.type), array_agg(s.sharing IS NULL), array_agg(coalesce(s.sharing, '')), array_agg(s.is_unique),
         array_agg(CASE WHEN s.is_unique THEN 1 ELSE s.max_values END), array_agg(CASE WHEN NOT s.is_unique THEN s.within END)
    INTO type_names, is_personal, policy, is_unique, most, within
    FROM (SELECT * FROM cdp.identifier_types AS i ORDER BY i.type COLLATE "C") AS s;
  SELECT coalesce(array_agg(g.n ORDER BY g.n), '{}') INTO limited FROM generate_subscripts(most, 1) AS g (n) WHERE most[g.n] IS NOT NULL;
  any_latest := 'latest' = ANY (policy);

  SELECT array_agg(s.identifier_id), array_agg(s.profile_id), array_agg(s.number), array_agg(s.first_seen_at), array_agg(s.out_by),
         array_agg(s.user_on_device_id), count(*)
    INTO ids, profiles, kind, seen, out_by, users, total
    FROM (SELECT i.*, n.number, CASE WHEN i.left_out = 'removed' THEN 1 WHEN i.left_out = 'blocked' THEN 2 ELSE 0 END AS out_by
          FROM cdp.identifiers AS i JOIN unnest(type_names) WITH ORDINALITY AS n (type, number) USING (type)
          ORDER BY i.identifier_id) AS s;
  IF total = 0 THEN
    RETURN;
  END IF;
  person := array_agg(n) FROM generate_series(1, total) AS n;
  ring := person; lowest := person; values_ring := person;
  size := array_fill(1, ARRAY[total]);
  a_value := array_fill(0, ARRAY[total]);
  a_cut := a_value; an_apart := a_value; user_on := a_value;
  has_personal := array_fill(false, ARRAY[total]);
  FOR x IN 1 .. total LOOP
    IF out_by[x] = 0 THEN
      IF is_personal[kind[x]] THEN has_personal[x] := true; END IF;
      IF most[kind[x]] IS NOT NULL THEN a_value[x] := x; END IF;
    END IF;
  END LOOP;

  FOR decision IN
    SELECT d.kind = 'remove_link' AS is_cut, o.place AS one, p.place AS other
    FROM cdp.identity_decisions AS d
    JOIN unnest(ids) WITH ORDINALITY AS o (id, place) ON o.id = d.identifier_id
    JOIN unnest(ids) WITH ORDINALITY AS p (id, place) ON p.id = d.other_identifier_id
    WHERE d.kind IN ('remove_link', 'forbid_link') AND d.revoked_at IS NULL
  LOOP
    FOR k IN 0 .. 1 LOOP
      a := CASE k WHEN 0 THEN decision.one ELSE decision.other END;
      b := CASE k WHEN 0 THEN decision.other ELSE decision.one END;
      IF decision.is_cut THEN
        cut_other := cut_other || b;
        cut_next := cut_next || a_cut[a];
        a_cut[a] := cardinality(cut_other);
      ELSE
        apart_other := apart_other || b;
        x := cardinality(apart_other);
        apart_ring := apart_ring || x;
        IF an_apart[a] > 0 THEN
          apart_ring[x] := apart_ring[an_apart[a]];
          apart_ring[an_apart[a]] := x;
        END IF;
        an_apart[a] := x;
      END IF;
    END LOOP;
  END LOOP;

  FOR step IN
    WITH known AS (
      SELECT k.id, k.place::integer, policy[kind[k.place]] = 'latest' AS is_latest FROM unnest(ids) WITH ORDINALITY AS k (id, place)
    ), seen_together AS (
      SELECT m.decision_seq, array_agg(k.place ORDER BY m.place) AS places
      FROM (SELECT e.decision_seq, c.id, c.place FROM cdp.evidence AS e, unnest(e.identifiers) WITH ORDINALITY AS c (id, place)) AS m
      JOIN known AS k USING (id) GROUP BY m.decision_seq
    ), fact AS (
      SELECT f.* FROM (
        SELECT e.event_id AS decision_seq, e.identifier_id, coalesce(e.carried, ARRAY[e.identifier_id]) AS carried FROM cdp_internal.event_traces AS e
        UNION ALL
        SELECT r.decision_seq, r.identifier_id, coalesce(r.carried, ARRAY[r.identifier_id]) FROM cdp.assertions AS r) AS f
      WHERE any_latest
    ), on_device AS (
      SELECT c.decision_seq, array_agg(k.place ORDER BY c.place) AS places, min(c.identifier_id) AS owner_id
      FROM (SELECT f.decision_seq, f.identifier_id, m.id, m.place FROM fact AS f, unnest(f.carried) WITH ORDINALITY AS m (id, place)) AS c
      JOIN known AS k USING (id) GROUP BY c.decision_seq HAVING bool_or(k.is_latest)
    )
    SELECT e.decision_seq, 'evidence' AS what, s.places, e.linked_at AS at, e.is_explicit, e.refused, e.rule, NULL::bigint AS owner_id
    FROM cdp.evidence AS e JOIN seen_together AS s USING (decision_seq)
    UNION ALL
    SELECT d.decision_seq, 'decision', ARRAY[o.place, p.place], NULL, NULL, NULL, NULL, NULL
    FROM cdp.identity_decisions AS d JOIN known AS o ON o.id = d.identifier_id JOIN known AS p ON p.id = d.other_identifier_id
    WHERE d.kind = 'allow_link' AND d.revoked_at IS NULL
    UNION ALL
    SELECT f.decision_seq, 'fact', f.places, NULL, NULL, NULL, NULL, f.owner_id FROM on_device AS f
    ORDER BY 1, 2 DESC -- a fact first: it asks who was on a device before it
  LOOP
    -- Those that take part, by priority.
    eligible := step.places; refused := '{}'; rule := NULL;
    FOREACH x IN ARRAY step.places LOOP
      IF out_by[x] > 0 THEN
        IF cardinality(refused) = 0 THEN rule := CASE out_by[x] WHEN 1 THEN 'removed_identifier' ELSE 'blocked' END; END IF;
        refused := refused || x;
        eligible := array_remove(eligible, x);
      END IF;
    END LOOP;
    IF step.what = 'decision' THEN
      CONTINUE WHEN cardinality(eligible) < 2;
    ELSIF cardinality(eligible) = 0 THEN
      eligible := step.places[1:1];
      refused := refused[2:];
      IF cardinality(refused) > 0 THEN rule := CASE out_by[refused[1]] WHEN 1 THEN 'removed_identifier' ELSE 'blocked' END;
      ELSE rule := NULL; END IF;
    END IF;

    IF step.what = 'fact' THEN
      owner := 0;
      FOREACH x IN ARRAY eligible LOOP
        IF is_personal[kind[x]] THEN owner := eligible[1]; END IF;
      END LOOP;
      FOREACH x IN ARRAY eligible LOOP
        IF owner = 0 AND policy[kind[x]] = 'latest' THEN owner := user_on[x]; END IF;
      END LOOP;
      IF owner = 0 THEN owner := eligible[1]; END IF;
      IF ids[owner] <> step.owner_id THEN
        problem := 'a fact on a shared device belongs to another identifier'; subject := format('decision %s', step.decision_seq);
        stored := step.owner_id; expected := ids[owner];
        RETURN NEXT;
      END IF;
      CONTINUE;
    END IF;

    -- One after the other joins the first, as far as nothing is in the way.
    accepted := eligible[1:1];
    FOREACH x IN ARRAY eligible[2:] LOOP
      why := NULL;
      a := person[eligible[1]]; b := person[x];
      IF step.what = 'evidence' THEN
        k := a_cut[x];
        WHILE k > 0 LOOP
          IF cut_other[k] = ANY (accepted) THEN why := 'removed_link'; END IF;
          k := cut_next[k];
        END LOOP;
        IF why IS NULL AND a <> b THEN
          k := an_apart[a];
          IF k > 0 AND an_apart[b] > 0 THEN
            LOOP
              IF person[apart_other[k]] = b THEN why := 'forbidden_link'; END IF;
              k := apart_ring[k];
              EXIT WHEN k = an_apart[a] OR why IS NOT NULL;
            END LOOP;
          END IF;
          IF why IS NULL THEN
            IF is_personal[kind[x]] THEN
              t := kind[eligible[1]];
              FOREACH y IN ARRAY accepted LOOP
                IF is_personal[kind[y]] THEN t := 0; END IF;
              END LOOP;
            ELSE
              t := kind[x];
            END IF;
            IF t > 0 AND (policy[t] IN ('first', 'latest') AND has_personal[a] AND has_personal[b]
                          OR policy[t] = 'none' AND (has_personal[a] OR has_personal[b])) THEN
              why := 'sharing';
            END IF;
          END IF;
          IF why IS NULL AND NOT step.is_explicit AND a_value[a] > 0 AND a_value[b] > 0 THEN
            FOREACH t IN ARRAY limited LOOP
              mine := 0; theirs := 0;
              y := a_value[b];
              LOOP
                IF kind[y] = t AND (within[t] IS NULL OR seen[y] > step.at - within[t]) THEN theirs := theirs + 1; END IF;
                y := values_ring[y];
                EXIT WHEN y = a_value[b];
              END LOOP;
              CONTINUE WHEN theirs = 0;
              y := a_value[a];
              LOOP
                IF kind[y] = t AND (within[t] IS NULL OR seen[y] > step.at - within[t]) THEN mine := mine + 1; END IF;
                y := values_ring[y];
                EXIT WHEN y = a_value[a];
              END LOOP;
              IF mine > 0 AND mine + theirs > most[t] THEN
                why := CASE WHEN is_unique[t] THEN 'unique' ELSE 'limit' END;
                EXIT;
              END IF;
            END LOOP;
          END IF;
        END IF;
      END IF;
      IF why = 'sharing' THEN
        refused := refused || x;
        rule := coalesce(rule, why);
        CONTINUE;
      ELSIF why IS NOT NULL THEN
        refused := refused || eligible[array_position(eligible, x):];
        rule := why;
        EXIT;
      END IF;
      accepted := accepted || x;
      CONTINUE WHEN a = b;
      IF size[a] < size[b] THEN y := a; a := b; b := y; END IF;
      y := b;
      LOOP
        person[y] := a;
        y := ring[y];
        EXIT WHEN y = b;
      END LOOP;
      y := ring[a]; ring[a] := ring[b]; ring[b] := y;
      size[a] := size[a] + size[b];
      lowest[a] := least(lowest[a], lowest[b]);
      has_personal[a] := has_personal[a] OR has_personal[b];
      IF a_value[a] = 0 THEN
        a_value[a] := a_value[b];
      ELSIF a_value[b] > 0 THEN
        y := values_ring[a_value[a]]; values_ring[a_value[a]] := values_ring[a_value[b]]; values_ring[a_value[b]] := y;
      END IF;
      IF an_apart[a] = 0 THEN
        an_apart[a] := an_apart[b];
      ELSIF an_apart[b] > 0 THEN
        y := apart_ring[an_apart[a]]; apart_ring[an_apart[a]] := apart_ring[an_apart[b]]; apart_ring[an_apart[b]] := y;
      END IF;
    END LOOP;
    CONTINUE WHEN step.what = 'decision';

    IF any_latest AND is_personal[kind[eligible[1]]] THEN
      FOREACH x IN ARRAY eligible LOOP
        IF policy[kind[x]] = 'latest' AND NOT (x = ANY (refused) AND rule IN ('removed_link', 'forbidden_link')) THEN
          user_on[x] := eligible[1];
        END IF;
      END LOOP;
    END IF;
    IF cardinality(refused) = 0 AND step.refused IS NULL THEN
      CONTINUE;
    END IF;
    refused_ids := '{}'; -- no query in here: each execution would take a copy of all identifiers
    FOREACH x IN ARRAY refused LOOP
      refused_ids := refused_ids || ids[x];
    END LOOP;
    IF step.rule IS DISTINCT FROM rule OR coalesce(step.refused, '{}') <> refused_ids THEN
      problem := 'evidence leaves out others than the rules say'; subject := format('decision %s', step.decision_seq);
      stored := coalesce(step.rule || ': ' || step.refused::text, 'nothing'); expected := coalesce(rule || ': ' || refused_ids::text, 'nothing');
      RETURN NEXT;
    END IF;
  END LOOP;

  FOR x IN 1 .. total LOOP
    IF profiles[x] <> ids[lowest[person[x]]] THEN
      problem := 'an identifier belongs to another person'; subject := format('identifier %s', ids[x]);
      stored := format('profile %s', profiles[x]); expected := format('profile %s', ids[lowest[person[x]]]);
      RETURN NEXT;
    END IF;
    y := CASE WHEN policy[kind[x]] = 'latest' AND out_by[x] = 0 THEN user_on[x] ELSE 0 END;
    IF users[x] IS DISTINCT FROM ids[y] THEN
      problem := 'another was last on the device'; subject := format('identifier %s', ids[x]);
      stored := users[x]; expected := ids[y];
      RETURN NEXT;
    END IF;
  END LOOP;
  FOR x IN 1 .. cardinality(apart_other) BY 2 LOOP
    a := apart_other[x + 1]; b := apart_other[x]; -- entries come in twos, each naming the other side
    IF person[a] = person[b] THEN
      problem := 'people''s decisions contradict each other'; subject := format('%s - %s', ids[a], ids[b]);
      stored := 'kept apart'; expected := format('profile %s', ids[lowest[person[a]]]);
      RETURN NEXT;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.verify_fold() IS 'Part of cdp.verify()';

-- What is stored beside the fold: each follows from one row of a message or a decision.
CREATE FUNCTION cdp_internal.verify_kept()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' AS $$
  WITH fact AS NOT MATERIALIZED (
    SELECT e.event_id AS decision_seq, e.identifier_id, e.carried, e.received_at, false AS is_explicit FROM cdp_internal.event_traces AS e
    UNION ALL SELECT a.decision_seq, a.identifier_id, a.carried, a.received_at, a.type = 'alias' FROM cdp.assertions AS a
  )
  -- Evidence is what messages carried: the first with these identifiers, and every alias.
  SELECT 'identity' AS room, 'no evidence is kept of a message' AS problem, format('decision %s', f.decision_seq) AS subject,
         NULL AS stored, f.carried::text AS expected
  FROM (SELECT o.carried, min(o.decision_seq) AS decision_seq, false AS is_explicit FROM fact AS o
        WHERE cardinality(o.carried) > 1 GROUP BY o.carried
        UNION ALL SELECT a.carried, a.decision_seq, true FROM fact AS a WHERE a.is_explicit AND cardinality(a.carried) > 1) AS f
  WHERE NOT EXISTS (SELECT FROM cdp.evidence AS e WHERE e.decision_seq = f.decision_seq)
    AND (f.is_explicit OR NOT EXISTS (SELECT FROM cdp.evidence AS e WHERE e.identifiers = f.carried AND e.decision_seq < f.decision_seq))
  UNION ALL
  SELECT 'identity', 'evidence is not what its message carried', format('decision %s', e.decision_seq),
         format('%s at %s%s', e.identifiers, e.linked_at, CASE WHEN e.is_explicit THEN ', explicit' END),
         format('%s at %s%s', f.carried, f.received_at, CASE WHEN f.is_explicit THEN ', explicit' END)
  FROM cdp.evidence AS e JOIN fact AS f USING (decision_seq)
  WHERE (e.identifiers, e.linked_at, e.is_explicit) IS DISTINCT FROM (f.carried, f.received_at, f.is_explicit)
  UNION ALL
  SELECT 'identity', 'evidence names an unknown identifier', format('decision %s', m.decision_seq), m.id::text, NULL
  FROM (SELECT e.decision_seq, unnest(e.identifiers) AS id FROM cdp.evidence AS e) AS m
  WHERE NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.identifier_id = m.id)
  UNION ALL
  SELECT 'identity', 'an identifier is of an unknown type', format('identifier %s', i.identifier_id), i.type, NULL
  FROM cdp.identifiers AS i WHERE NOT EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = i.type)
  UNION ALL
  SELECT 'identity', 'evidence is not found by its identifier', format('decision %s, identifier %s', d.decision_seq, d.identifier_id),
         d.stored, d.expected
  FROM (SELECT m.decision_seq, m.identifier_id, CASE WHEN s.decision_seq IS NULL THEN 'no' ELSE 'yes' END AS stored,
               CASE WHEN m.is_carried THEN 'yes' ELSE 'no' END AS expected
        FROM (SELECT e.decision_seq, unnest(e.identifiers) AS identifier_id, true AS is_carried FROM cdp.evidence AS e) AS m
        LEFT JOIN cdp.evidence_members AS s USING (decision_seq, identifier_id) WHERE s.decision_seq IS NULL
        UNION ALL
        SELECT s.decision_seq, s.identifier_id, 'yes', 'no' FROM cdp.evidence_members AS s
        WHERE NOT EXISTS (SELECT FROM cdp.evidence AS e WHERE e.decision_seq = s.decision_seq AND s.identifier_id = ANY (e.identifiers))) AS d
  UNION ALL
  -- The first that takes part owns a fact; where all are devices and one is shared by policy latest, see verify_fold.
  SELECT 'identity', 'a fact belongs to another identifier', format('decision %s', f.decision_seq), f.identifier_id::text, o.id::text
  FROM fact AS f
  CROSS JOIN LATERAL (
    SELECT coalesce((array_agg(c.id ORDER BY c.place) FILTER (WHERE i.left_out IS NULL))[1], f.carried[1]) AS id,
           bool_or(t.sharing IS NULL) FILTER (WHERE i.left_out IS NULL) AS has_person,
           bool_or(t.sharing = 'latest') FILTER (WHERE i.left_out IS NULL) AS is_shared
    FROM unnest(f.carried) WITH ORDINALITY AS c (id, place)
    JOIN cdp.identifiers AS i ON i.identifier_id = c.id LEFT JOIN cdp.identifier_types AS t USING (type)) AS o
  WHERE (f.carried[1] <> f.identifier_id OR f.carried[1] IN (SELECT i.identifier_id FROM cdp.identifiers AS i WHERE i.left_out IS NOT NULL))
    AND f.identifier_id <> o.id AND (o.has_person OR o.is_shared IS NOT TRUE)
  UNION ALL
  SELECT 'identity', 'an identifier is left out otherwise than decided', format('identifier %s', i.identifier_id),
         coalesce(i.left_out, 'takes part'), coalesce(w.left_out, 'takes part')
  FROM cdp.identifiers AS i
  LEFT JOIN cdp.identifier_types AS t USING (type)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN EXISTS (SELECT FROM cdp.identity_decisions AS d WHERE d.kind = 'remove_identifier' AND d.revoked_at IS NULL
                   AND d.identifier_id = i.identifier_id) THEN 'removed'
      WHEN i.value = ANY (t.blocked_values) OR i.value ~ ANY (t.blocked_patterns) THEN 'blocked'
      -- What is junk the normalisers' code alone can say.
      WHEN t.blocks_junk AND i.left_out = 'blocked' THEN 'blocked' END AS left_out) AS w
  WHERE i.left_out IS DISTINCT FROM w.left_out
  UNION ALL
  SELECT 'identity', 'a decision names people of another time', format('decision %s', d.decision_id),
         format('%s and %s', d.profile_id, d.other_profile_id), format('%s and %s', a.profile_id, b.profile_id)
  FROM cdp.identity_decisions AS d
  JOIN cdp.identifiers AS a ON a.identifier_id = d.identifier_id
  JOIN cdp.identifiers AS b ON b.identifier_id = d.other_identifier_id
  WHERE d.kind = 'forbid_link' AND d.revoked_at IS NULL
    AND (d.profile_id, d.other_profile_id) IS DISTINCT FROM (a.profile_id, b.profile_id)
  UNION ALL
  SELECT 'identity', 'a decision names an unknown identifier', format('decision %s', d.decision_id), NULL, NULL
  FROM cdp.identity_decisions AS d
  WHERE NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.identifier_id = d.identifier_id)
     OR d.other_identifier_id IS NOT NULL AND NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.identifier_id = d.other_identifier_id)
$$;
COMMENT ON FUNCTION cdp_internal.verify_kept() IS 'Part of cdp.verify()';

CREATE FUNCTION cdp_internal.verify_identity()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  waiting record;
BEGIN
  SELECT count(*) FILTER (WHERE q.profile_id <> 0) AS people, coalesce(bool_or(q.profile_id = 0), false) AS uncounted, count(*) AS number
    INTO waiting FROM cdp.identity_queue AS q;
  IF waiting.number > 0 THEN
    -- Differences are what is being done about them.
    RETURN QUERY SELECT 'identity', 'rules are being applied',
      CASE WHEN waiting.uncounted THEN 'people to go are not counted yet' ELSE waiting.people || ' people to go' END, NULL::text, NULL::text;
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM cdp_internal.verify_kept();
  RETURN QUERY SELECT * FROM cdp_internal.verify_fold();
END $$;
COMMENT ON FUNCTION cdp_internal.verify_identity() IS 'Part of cdp.verify()';
