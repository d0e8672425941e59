-- explain: why two identifiers are one person or are not, and all that ever happened to people.

CREATE FUNCTION cdp_internal.chain(identifier_id bigint, other_identifier_id bigint)
  RETURNS TABLE (step integer, from_id bigint, to_id bigint, decision_seq bigint, decision_id bigint)
  LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_chain';
COMMENT ON FUNCTION cdp_internal.chain(bigint, bigint) IS
  'The fewest links in force from one identifier to another, of several the earliest; no rows when they are not one person';

CREATE FUNCTION cdp_internal.person_at(identifier_id bigint, at timestamptz) RETURNS bigint
  LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_person_at';
COMMENT ON FUNCTION cdp_internal.person_at(bigint, timestamptz) IS
  'The smallest identifier that leads to this one by links that are in force now and were there by then';

CREATE FUNCTION cdp_internal.name_identifier(identifier_id bigint) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.type || ' ' || i.value FROM cdp.identifiers AS i WHERE i.identifier_id = name_identifier.identifier_id
$$;
COMMENT ON FUNCTION cdp_internal.name_identifier(bigint) IS 'An identifier as people read it: email anna@example.com';

CREATE FUNCTION cdp_internal.say_rule(rule text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE rule
    WHEN 'forbidden_link' THEN 'a person decided that these are two people'
    WHEN 'removed_link' THEN 'a person removed this link'
    WHEN 'removed_identifier' THEN 'a person took it out of who is who'
    WHEN 'blocked' THEN 'its value is blocked'
    WHEN 'unique' THEN 'one person would have two values of a unique type'
    WHEN 'limit' THEN 'one person would have more values of a type than its limit allows'
    WHEN 'sharing' THEN 'the device is known as somebody else''s' END
$$;
COMMENT ON FUNCTION cdp_internal.say_rule(text) IS 'A rule of cdp.evidence as a sentence';

CREATE FUNCTION cdp_internal.why_one(one_id bigint, other_id bigint)
  RETURNS TABLE (step integer, one text, other text, evidence text, rule text, reason text, source text, message_id text,
                 linked_at timestamptz, decision_seq bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.step, cdp_internal.name_identifier(c.from_id), cdp_internal.name_identifier(c.to_id),
         CASE WHEN c.decision_id IS NULL THEN 'message' ELSE 'decision' END, d.kind, d.reason || ' (' || d.decided_by || ')',
         s.source, e.message_id, coalesce(e.linked_at, d.decided_at), c.decision_seq
  FROM cdp_internal.chain(one_id, other_id) AS c
  LEFT JOIN cdp.evidence AS e ON c.decision_id IS NULL AND e.decision_seq = c.decision_seq
  LEFT JOIN cdp.sources AS s USING (source_id)
  LEFT JOIN cdp.identity_decisions AS d ON d.decision_id = c.decision_id
  ORDER BY c.step
$$;
COMMENT ON FUNCTION cdp_internal.why_one(bigint, bigint) IS 'Part of cdp.why_same: two identifiers of one person';

-- What people decided that stands between two people, and about the two identifiers themselves.
CREATE FUNCTION cdp_internal.why_decided(one_id bigint, other_id bigint, one_person bigint, other_person bigint)
  RETURNS TABLE (one text, other text, evidence text, rule text, reason text, source text, message_id text,
                 linked_at timestamptz, decision_seq bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH between_them AS (
    SELECT d.decision_id, CASE WHEN i.profile_id = one_person THEN i.identifier_id ELSE o.identifier_id END AS mine,
           CASE WHEN i.profile_id = one_person THEN o.identifier_id ELSE i.identifier_id END AS theirs
    FROM cdp.identity_decisions AS d
    JOIN cdp.identifiers AS i ON i.identifier_id = d.identifier_id
    JOIN cdp.identifiers AS o ON o.identifier_id = d.other_identifier_id
    WHERE d.revoked_at IS NULL AND d.kind IN ('forbid_link', 'remove_link')
      AND (i.profile_id, o.profile_id) IN ((one_person, other_person), (other_person, one_person))
  )
  SELECT cdp_internal.name_identifier(b.mine), cdp_internal.name_identifier(b.theirs), 'decision', d.kind,
         d.reason || ' (' || d.decided_by || ')', NULL, NULL, d.decided_at, d.decision_seq
  FROM between_them AS b JOIN cdp.identity_decisions AS d USING (decision_id)
  UNION ALL
  SELECT i.type || ' ' || i.value, NULL, CASE i.left_out WHEN 'removed' THEN 'decision' ELSE 'rule' END,
         coalesce(d.kind, i.left_out), coalesce(d.reason || ' (' || d.decided_by || ')', cdp_internal.say_rule(i.left_out)),
         NULL, NULL, d.decided_at, d.decision_seq
  FROM cdp.identifiers AS i
  LEFT JOIN cdp.identity_decisions AS d
    ON d.identifier_id = i.identifier_id AND d.kind = 'remove_identifier' AND d.revoked_at IS NULL AND i.left_out = 'removed'
  WHERE i.identifier_id IN (one_id, other_id) AND i.left_out IS NOT NULL
$$;
COMMENT ON FUNCTION cdp_internal.why_decided(bigint, bigint, bigint, bigint) IS 'Part of cdp.why_same: decisions between two people';

-- Messages that carried identifiers of both people: under the rules as they are, none joined them.
CREATE FUNCTION cdp_internal.why_refused(one_person bigint, other_person bigint)
  RETURNS TABLE (one text, other text, evidence text, rule text, reason text, source text, message_id text,
                 linked_at timestamptz, decision_seq bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH shared AS (
    SELECT m.decision_seq FROM cdp.identifiers AS i JOIN cdp.evidence_members AS m USING (identifier_id)
      WHERE i.profile_id = one_person
    INTERSECT
    SELECT m.decision_seq FROM cdp.identifiers AS i JOIN cdp.evidence_members AS m USING (identifier_id)
      WHERE i.profile_id = other_person
  ), said AS (
    SELECT e.*, (SELECT i.identifier_id FROM unnest(e.identifiers) WITH ORDINALITY AS c (id, place)
                 JOIN cdp.identifiers AS i ON i.identifier_id = c.id AND i.profile_id = one_person ORDER BY c.place LIMIT 1) AS mine,
           (SELECT i.identifier_id FROM unnest(e.identifiers) WITH ORDINALITY AS c (id, place)
            JOIN cdp.identifiers AS i ON i.identifier_id = c.id AND i.profile_id = other_person ORDER BY c.place LIMIT 1) AS theirs
    FROM shared JOIN cdp.evidence AS e USING (decision_seq)
  )
  SELECT cdp_internal.name_identifier(s.mine), cdp_internal.name_identifier(s.theirs), 'message', s.rule,
         coalesce(r.reason, cdp_internal.say_rule(s.rule))
           || coalesce(': ' || (SELECT string_agg(cdp_internal.name_identifier(c), ', ' ORDER BY c) FROM unnest(r.conflicts) AS c), ''),
         o.source, s.message_id, s.linked_at, s.decision_seq
  FROM said AS s JOIN cdp.sources AS o USING (source_id)
  LEFT JOIN LATERAL (SELECT r.reason, r.conflicts FROM cdp.refusals AS r
                     WHERE r.decision_seq = s.decision_seq AND r.rule = s.rule AND r.identifier_id = ANY (s.refused)
                     ORDER BY r.refusal_id LIMIT 1) AS r ON true
  UNION ALL -- messages of sources that may not link: what they say belongs to one, the identifier left out is the other's
  SELECT cdp_internal.name_identifier(CASE WHEN i.profile_id = one_person THEN i.identifier_id ELSE own.identifier_id END),
         cdp_internal.name_identifier(CASE WHEN i.profile_id = one_person THEN own.identifier_id ELSE i.identifier_id END),
         'message', r.rule, r.reason, o.source, r.message_id, r.refused_at, r.decision_seq
  FROM cdp.identifiers AS i
  JOIN cdp.refusals AS r ON r.rule = 'source' AND r.type = i.type AND r.value = i.value
  JOIN cdp.sources AS o ON o.source_id = r.source_id
  CROSS JOIN LATERAL (SELECT e.identifier_id FROM cdp_internal.event_traces AS e WHERE e.event_id = r.decision_seq
                      UNION ALL SELECT a.identifier_id FROM cdp.assertions AS a WHERE a.decision_seq = r.decision_seq) AS said
  JOIN cdp.identifiers AS own ON own.identifier_id = said.identifier_id
  WHERE i.profile_id IN (one_person, other_person) AND own.profile_id IN (one_person, other_person) AND own.profile_id <> i.profile_id
$$;
COMMENT ON FUNCTION cdp_internal.why_refused(bigint, bigint) IS 'Part of cdp.why_same: messages that named two people';

CREATE FUNCTION cdp.why_same(identifier jsonb, other_identifier jsonb, most integer DEFAULT 20)
  RETURNS TABLE (step integer, one text, other text, evidence text, rule text, reason text, source text, message_id text,
                 linked_at timestamptz, decision_seq bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  ids constant bigint[] := ARRAY[cdp_internal.one_identifier($1), cdp_internal.one_identifier($2)];
  people bigint[];
BEGIN
  SELECT array_agg(i.profile_id ORDER BY w.place) INTO people
    FROM unnest(ids) WITH ORDINALITY AS w (id, place) JOIN cdp.identifiers AS i ON i.identifier_id = w.id;
  IF people[1] = people[2] THEN
    RETURN QUERY SELECT * FROM cdp_internal.why_one(ids[1], ids[2]);
  ELSE
    RETURN QUERY
      SELECT NULL::integer, w.* FROM (
        SELECT d.* FROM cdp_internal.why_decided(ids[1], ids[2], people[1], people[2]) AS d
        UNION ALL SELECT r.* FROM cdp_internal.why_refused(people[1], people[2]) AS r) AS w
      ORDER BY w.evidence = 'message', w.decision_seq DESC, w.one, w.other LIMIT $3;
  END IF;
  IF NOT FOUND THEN
    RETURN QUERY SELECT NULL::integer, cdp_internal.name_identifier(ids[1]), cdp_internal.name_identifier(ids[2]), 'none',
      NULL, CASE WHEN ids[1] = ids[2] THEN 'they are the same identifier'
                 WHEN people[1] = people[2] THEN 'one person without a chain of links: SELECT * FROM cdp.verify()'
                 ELSE 'no message carried identifiers of both people, and no decision joins them' END,
      NULL, NULL, NULL::timestamptz, NULL::bigint;
  END IF;
END $$;
COMMENT ON FUNCTION cdp.why_same(jsonb, jsonb, integer) IS
  'Why two identifiers, each as {"type": "value"} or identifier_id, are one person or are not. One person: the shortest chain of links in force, step 1, 2, …, each with the message (source, message_id) or the decision (rule, reason) behind it; of several chains the one with the earliest evidence. Two people: rows without step that say what keeps them apart, decisions first, then the latest messages that carried identifiers of both, with the rule they met; at most `most` rows. Errors: 22023 unknown identifier, or not exactly one';

-- Links and refusals as they were decided at first: what came of them later is a row of its own.
CREATE VIEW cdp.identity_log WITH (security_invoker) AS
  SELECT ARRAY[c.decision_seq, 1, c.change_id] AS log_order,
         CASE c.change WHEN 'linked' THEN 'linked after all' WHEN 'refused' THEN 'refused after all' ELSE c.change END AS what,
         c.profile_id, c.from_profile_id, c.identifiers, NULL::text AS rule, c.reason,
         (SELECT d.decided_by FROM cdp.identity_decisions AS d WHERE d.decision_seq = c.decision_seq
          ORDER BY d.decision_id LIMIT 1) AS actor,
         s.source, e.message_id, c.decision_seq, c.effective_at, c.recorded_at
  FROM cdp.identity_changes AS c
  LEFT JOIN cdp.evidence AS e USING (decision_seq)
  LEFT JOIN cdp.sources AS s ON s.source_id = e.source_id
  UNION ALL
  SELECT ARRAY[e.decision_seq, 2, 0], 'linked', NULL, NULL, l.identifiers, NULL, NULL, NULL, s.source, e.message_id,
         e.decision_seq, e.linked_at, NULL
  FROM cdp.evidence AS e
  JOIN cdp.sources AS s USING (source_id)
  CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT m.id FROM pg_catalog.unnest(e.identifiers) WITH ORDINALITY AS m (id, place)
    WHERE NOT EXISTS (SELECT FROM cdp.refusals AS r WHERE r.decision_seq = e.decision_seq AND r.identifier_id = m.id)
    ORDER BY m.place) AS identifiers) AS l
  WHERE pg_catalog.cardinality(l.identifiers) > 1
  UNION ALL
  SELECT ARRAY[r.decision_seq, 3, r.refusal_id], 'refused', NULL, NULL, ARRAY[r.identifier_id], r.rule,
         r.type || ' ' || r.value || ': ' || r.reason, NULL, s.source, r.message_id, r.decision_seq, r.refused_at, NULL
  FROM cdp.refusals AS r JOIN cdp.sources AS s USING (source_id)
  UNION ALL
  SELECT ARRAY[d.decision_seq, 0, d.decision_id], 'decided', NULL, NULL,
         pg_catalog.array_remove(ARRAY[d.identifier_id, d.other_identifier_id], NULL), d.kind, d.reason, d.decided_by, NULL, NULL,
         d.decision_seq, d.decided_at, d.decided_at
  FROM cdp.identity_decisions AS d
  UNION ALL
  SELECT ARRAY[by.decision_seq, 0, d.decision_id], 'revoked', NULL, NULL,
         pg_catalog.array_remove(ARRAY[d.identifier_id, d.other_identifier_id], NULL), d.kind, d.revoke_reason, d.revoked_by,
         NULL, NULL, by.decision_seq, d.revoked_at, d.revoked_at
  FROM cdp.identity_decisions AS d
  -- Of the same transaction: what was decided instead, or what the revocation changed.
  CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT min(o.decision_seq) FROM cdp.identity_decisions AS o WHERE o.decided_at = d.revoked_at),
    (SELECT min(c.decision_seq) FROM cdp.identity_changes AS c
     WHERE c.recorded_at = d.revoked_at AND c.reason LIKE '%taken back: %')) AS decision_seq) AS by
  WHERE d.revoked_at IS NOT NULL;
COMMENT ON VIEW cdp.identity_log IS
  'All that ever happened to people, and only grows; ORDER BY log_order. what: created, added (an identifier that was nobody''s), merged, split, linked (a message joined identifiers), refused (it could not), linked or refused after all (what a later decision made of a message), decided and revoked (by a person)';
COMMENT ON COLUMN cdp.identity_log.identifiers IS 'Identifier ids: linked, refused, decided about, or moved by a split';
COMMENT ON COLUMN cdp.identity_log.recorded_at IS
  'When the transaction began that wrote it; null where it is not kept (linked, refused), effective_at is the receipt time';
COMMENT ON COLUMN cdp.identity_log.message_id IS
  'Of a message with several identifiers; one that carried a single identifier is found in cdp.events by decision_seq = event_id';
COMMENT ON COLUMN cdp.identity_log.decision_seq IS 'Null for a revocation that changed nobody';
