-- verify: recomputes what is stored from the kept facts, in plain SQL that shares nothing with the code that stored it.

-- Golden traits are the newest assertions, where no rules were applied; a profile was last seen when its latest message came.
CREATE FUNCTION cdp_internal.verify_profiles()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  -- Whatever is seen was committed before this instant; not so before the transaction's.
  WITH instant AS MATERIALIZED (SELECT clock_timestamp() AS at), newest AS (
    SELECT DISTINCT ON (i.profile_id, t.key) i.profile_id, t.key, t.value, a.asserted_at, a.decision_seq
    FROM cdp.assertions AS a
    JOIN cdp.identifiers AS i USING (identifier_id)
    CROSS JOIN LATERAL jsonb_each(a.traits) AS t
    WHERE a.type = 'identify' AND NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = i.profile_id AND p.rules_version > 0)
    ORDER BY i.profile_id, t.key, a.asserted_at DESC, a.decision_seq DESC
  ), golden AS (
    SELECT n.profile_id,
           coalesce(jsonb_object_agg(n.key, n.value) FILTER (WHERE n.value <> 'null'), '{}') AS traits,
           jsonb_object_agg(n.key, jsonb_build_array(
             ((extract(epoch FROM n.asserted_at) - 946684800) * 1000000)::bigint, n.decision_seq)) AS trait_origins
    FROM newest AS n GROUP BY n.profile_id
    UNION ALL
    SELECT p.profile_id, coalesce(jsonb_object_agg(e.trait, e.value) FILTER (WHERE e.value <> 'null'), '{}'),
           coalesce(jsonb_object_agg(e.trait, jsonb_build_array(((extract(epoch FROM a.asserted_at) - 946684800) * 1000000)::bigint, e.origin))
                      FILTER (WHERE e.origin IS NOT NULL), '{}')
    FROM instant AS i CROSS JOIN cdp.profiles AS p JOIN cdp_internal.survivorship_versions AS v ON v.version = p.rules_version
    LEFT JOIN cdp_internal.trait_lapses AS l USING (profile_id)
    CROSS JOIN LATERAL cdp_internal.expected_traits(v.rules, p.profile_id, least(i.at, l.lapses_at - interval '1 microsecond')) AS e
    LEFT JOIN cdp.assertions AS a ON a.decision_seq = e.origin
    GROUP BY p.profile_id
  ), fact AS (
    SELECT i.profile_id, max(f.received_at) AS last_seen_at
    FROM (SELECT e.identifier_id, e.received_at FROM cdp_internal.event_traces AS e
          UNION ALL SELECT a.identifier_id, a.received_at FROM cdp.assertions AS a) AS f
    JOIN cdp.identifiers AS i USING (identifier_id) GROUP BY i.profile_id
  )
  -- Who was only ever named, and always left out, is nobody: a person is there from the first fact they own.
  SELECT 'profile', 'a person has no profile row', format('profile %s', f.profile_id), NULL, NULL
  FROM fact AS f WHERE NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = f.profile_id)
  UNION ALL
  SELECT 'profile', 'a profile row is nobody''s', format('profile %s', p.profile_id), NULL, NULL
  FROM cdp.profiles AS p WHERE NOT EXISTS (SELECT FROM fact AS f WHERE f.profile_id = p.profile_id)
  UNION ALL
  SELECT 'profile', 'golden traits differ', format('profile %s', p.profile_id), p.traits::text, coalesce(g.traits, '{}')::text
  FROM cdp.profiles AS p LEFT JOIN golden AS g USING (profile_id)
  WHERE p.traits <> coalesce(g.traits, '{}')
  UNION ALL
  SELECT 'profile', 'trait origins differ', format('profile %s', p.profile_id), p.trait_origins::text,
         coalesce(g.trait_origins, '{}')::text
  FROM cdp.profiles AS p LEFT JOIN golden AS g USING (profile_id)
  WHERE p.trait_origins <> coalesce(g.trait_origins, '{}')
  UNION ALL
  SELECT 'profile', 'last_seen_at differs', format('profile %s', p.profile_id), p.last_seen_at::text, f.last_seen_at::text
  FROM cdp.profiles AS p LEFT JOIN fact AS f USING (profile_id)
  WHERE p.last_seen_at IS DISTINCT FROM f.last_seen_at
$$;
COMMENT ON FUNCTION cdp_internal.verify_profiles() IS 'Part of cdp.verify()';

-- Every accepted message is one fact under one key, and every fact has an owner.
CREATE FUNCTION cdp_internal.verify_messages()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH fact AS (
    SELECT f.*, encode(substring(sha256(convert_to(f.message_id, 'UTF8')) FOR 16), 'hex')::uuid AS message_key
    FROM (SELECT e.event_id AS decision_seq, e.identifier_id, e.source_id, e.message_id FROM cdp_internal.event_traces AS e
          UNION ALL SELECT a.decision_seq, a.identifier_id, a.source_id, a.message_id FROM cdp.assertions AS a) AS f
  )
  SELECT 'collect', 'a message was applied more than once', format('source %s, message %s', f.source_id, f.message_id),
         count(*)::text, '1'
  FROM fact AS f GROUP BY f.source_id, f.message_id HAVING count(*) > 1
  UNION ALL
  SELECT 'collect', 'a fact has no message key', format('decision %s, message %s', f.decision_seq, f.message_id), NULL, NULL
  FROM fact AS f WHERE NOT EXISTS (SELECT FROM cdp.message_keys AS k
                                   WHERE k.source_id = f.source_id AND k.message_key = f.message_key)
  UNION ALL
  SELECT 'collect', 'a message was accepted but is not there', format('source %s, key %s', k.source_id, k.message_key), NULL, NULL
  FROM cdp.message_keys AS k WHERE NOT EXISTS (SELECT FROM fact AS f
                                               WHERE k.source_id = f.source_id AND k.message_key = f.message_key)
    AND NOT EXISTS (SELECT FROM cdp.withdrawn_messages AS w WHERE w.source_id = k.source_id
                    AND encode(substring(sha256(convert_to(w.message_id, 'UTF8')) FOR 16), 'hex')::uuid = k.message_key)
  UNION ALL
  SELECT 'collect', 'a message was withdrawn but is there', format('decision %s, message %s', f.decision_seq, f.message_id), NULL, NULL
  FROM fact AS f JOIN cdp.withdrawn_messages AS w ON w.source_id = f.source_id AND w.message_id = f.message_id
  -- An import that was undone, a row of a warehouse and a kept message may come again.
  WHERE w.decision_seq = f.decision_seq
     OR w.reason NOT IN ('an attached row changed', 'an attached row is gone', 'its source was processed again')
        AND NOT EXISTS (SELECT FROM cdp_internal.import_messages AS m WHERE m.decision_seq = w.decision_seq AND m.is_undone)
  UNION ALL
  SELECT 'collect', 'a message was kept that is not there', format('decision %s, message %s', k.decision_seq, k.message_id), NULL, NULL
  FROM cdp.kept_messages AS k WHERE NOT EXISTS (SELECT FROM fact AS f WHERE f.decision_seq = k.decision_seq)
  UNION ALL
  SELECT 'collect', 'a fact belongs to an unknown identifier', format('decision %s', f.decision_seq), f.identifier_id::text, NULL
  FROM fact AS f WHERE NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.identifier_id = f.identifier_id)
$$;
COMMENT ON FUNCTION cdp_internal.verify_messages() IS 'Part of cdp.verify()';

-- What was committed since the transaction began is seen, but both sides are judged as of its instant: whoever changed
-- since is for the next verify.
CREATE FUNCTION cdp_internal.changed_since(segment integer, profile_id bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = $2 AND p.last_seen_at > $3)
      OR EXISTS (SELECT FROM cdp.memberships AS m WHERE m.segment_id = $1 AND m.profile_id = $2
                 AND (m.entered_at > $3 AND m.entered_at <= clock_timestamp() OR m.left_at > $3 AND m.left_at <= clock_timestamp()))
      OR EXISTS (SELECT FROM cdp.identity_changes AS c WHERE $2 IN (c.profile_id, c.from_profile_id) AND c.recorded_at > $3)
$$;
COMMENT ON FUNCTION cdp_internal.changed_since(integer, bigint, timestamptz) IS 'Part of cdp.verify()';

-- Who is in each segment now, by the rule's meaning as docs/design.md states it: person by person, so all events must not be read for each,
-- whatever the statistics say.
CREATE FUNCTION cdp_internal.verify_segments()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  s cdp.segments;
  oracle text;
BEGIN
  FOR s IN SELECT * FROM cdp.segments AS o WHERE o.kind IN ('rule', 'trait') AND o.class = 'exact' AND o.state = 'active' ORDER BY o.name LOOP
    IF s.compiled ?| '{segments,since}' THEN
      s.rule := cdp_internal.rule_in_sql(s.owner, s.time_zone, s.search_path, s.datestyle, s.intervalstyle, s.rule, s.per, s.kind = 'trait');
    END IF;
    oracle := format(
      'SELECT p.profile_id, h.key FROM cdp.%s AS p CROSS JOIN LATERAL (SELECT (%s)::text AS key FROM
         (SELECT event_id, type, event, source, occurred_at, received_at, properties, context FROM cdp.events AS x
          WHERE x.profile_id = p.profile_id AND x.occurred_at <= now() ORDER BY x.occurred_at, x.event_id) AS e %s HAVING (%s
      )) AS h WHERE p.profile_id <> ALL (%L::bigint[])',
      CASE WHEN s.compiled ? 'computed' THEN 'people' ELSE 'profiles' END,
      CASE s.kind WHEN 'trait' THEN 'to_jsonb(' || s.rule || E'\n)' ELSE coalesce(s.per || E'\n', 'NULL') END, 'GROUP BY ' || s.per || E'\n',
      CASE s.kind WHEN 'trait' THEN '(' || s.rule || E'\n) IS NOT NULL' ELSE s.rule END,
      ARRAY(SELECT f.profile_id FROM cdp.segment_errors AS f WHERE f.segment_id = s.segment_id AND f.profile_id IS NOT NULL)); -- for whom it fails
    BEGIN
      RETURN QUERY
        WITH expected AS MATERIALIZED (
          SELECT (q ->> 'profile_id')::bigint AS profile_id, q ->> 'key' AS key
          FROM cdp_internal.query_as_owner(s.owner, s.time_zone, s.search_path, s.datestyle, s.intervalstyle, oracle) AS q
        ), kept AS (
          SELECT m.profile_id, m.key FROM cdp.memberships AS m
          WHERE m.segment_id = s.segment_id AND m.entered_at <= now() AND m.left_at > now()
        )
        SELECT 'segment', 'membership differs', format('segment %s, profile %s, key %s', s.name, d.profile_id, coalesce(d.key, '-')),
               d.stored, d.expected
        FROM ((SELECT 'in' AS stored, 'out' AS expected, x.* FROM (TABLE kept EXCEPT TABLE expected) AS x)
              UNION ALL
              (SELECT 'out', 'in', x.* FROM (TABLE expected EXCEPT TABLE kept) AS x)) AS d
        WHERE NOT EXISTS (SELECT FROM cdp.segment_errors AS f WHERE f.segment_id = s.segment_id
                          AND (f.profile_id IS NULL OR f.profile_id = d.profile_id))
          AND NOT cdp_internal.changed_since(s.segment_id, d.profile_id, now());
    EXCEPTION WHEN OTHERS OR assert_failure THEN
      RETURN QUERY SELECT 'segment', 'the rule failed', format('segment %s', s.name), SQLERRM, NULL::text;
    END;
  END LOOP;
  RETURN QUERY
    SELECT 'segment', 'ranges of one membership overlap',
           format('segment %s, profile %s, key %s', a.segment_id, a.profile_id, coalesce(a.key, '-')),
           format('[%s, %s) and [%s, %s)', a.entered_at, a.left_at, b.entered_at, b.left_at), NULL::text
    FROM cdp.memberships AS a
    JOIN cdp.memberships AS b ON b.segment_id = a.segment_id AND b.profile_id = a.profile_id
      AND b.key IS NOT DISTINCT FROM a.key AND a.entered_at < b.entered_at AND b.entered_at < a.left_at;
END $$;
COMMENT ON FUNCTION cdp_internal.verify_segments() IS 'Part of cdp.verify()';

-- What is kept of traits that rules ask about.
CREATE FUNCTION cdp_internal.verify_trait_runs()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'segment', 'since when a trait is what it is differs', format('profile %s, trait %s', r.profile_id, r.trait), r.since::text, e.since::text
  FROM cdp_internal.trait_runs AS r CROSS JOIN LATERAL (SELECT coalesce(cdp.trait_since(r.trait, r.profile_id), '-infinity') AS since) AS e
  WHERE r.since <> e.since AND EXISTS (SELECT FROM cdp.segments AS s WHERE s.compiled -> 'since' ? r.trait AND s.state <> 'disabled')
$$;
COMMENT ON FUNCTION cdp_internal.verify_trait_runs() IS 'Part of cdp.verify()';

-- Lists, by what is on them. Of what is refreshed, what must be so whatever the query found: its inputs are gone.
CREATE FUNCTION cdp_internal.verify_kept_segments()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH on_list AS (
    SELECT l.segment_id, i.profile_id, max(coalesce(l.expires_at, 'infinity')) AS until
    FROM cdp.list_members AS l JOIN cdp.segments AS s USING (segment_id) JOIN cdp.identifiers AS i USING (identifier_id)
    JOIN cdp.profiles AS p USING (profile_id)
    WHERE s.state = 'active' AND l.added_at <= now() AND coalesce(l.expires_at, 'infinity') > now()
    GROUP BY l.segment_id, i.profile_id
  ), kept AS (
    SELECT m.segment_id, m.profile_id, m.left_at FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
    WHERE s.kind = 'list' AND m.entered_at <= now() AND m.left_at > now()
  )
  SELECT 'segment', 'membership of a list differs', format('segment %s, profile %s', (SELECT s.name FROM cdp.segments AS s WHERE s.segment_id IN (o.segment_id, k.segment_id)),
         coalesce(o.profile_id, k.profile_id)), coalesce('until ' || k.left_at, 'out'), coalesce('until ' || o.until, 'out')
  FROM on_list AS o FULL JOIN kept AS k ON k.segment_id = o.segment_id AND k.profile_id = o.profile_id
  WHERE k.left_at IS DISTINCT FROM o.until
  UNION ALL
  SELECT 'segment', 'a membership is nobody''s', format('segment %s, profile %s', s.name, m.profile_id), format('[%s, %s)', m.entered_at, m.left_at), NULL
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE m.left_at > now() AND NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = m.profile_id)
  UNION ALL
  SELECT 'segment', 'a membership is not of the last refresh', format('segment %s, profile %s, key %s', s.name, m.profile_id, coalesce(m.key, '-')),
         format('[%s, %s)', m.entered_at, m.left_at), 'refreshed at ' || r.refreshed_at
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id) LEFT JOIN cdp.segment_refreshes AS r USING (segment_id)
  WHERE s.class = 'interval' AND s.state = 'active' AND m.left_at > now()
    AND (m.left_at < 'infinity' OR m.entered_at > coalesce(r.refreshed_at, '-infinity'))
  UNION ALL
  SELECT 'segment', 'a disabled segment has members', 'segment ' || s.name, count(*)::text, '0'
  FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
  WHERE s.state = 'disabled' AND m.left_at > now() GROUP BY s.name
$$;
COMMENT ON FUNCTION cdp_internal.verify_kept_segments() IS 'Part of cdp.verify()';

-- Of accounts the facts alone are kept, and what refreshes found: its inputs are gone, so what must be so whatever they were.
CREATE FUNCTION cdp_internal.verify_accounts()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'account', 'a result is of no definition', format('definition %s, account %s', r.definition_id, r.group_id), r.value::text, NULL
  FROM cdp.account_results AS r WHERE NOT EXISTS (SELECT FROM cdp.account_definitions AS d WHERE d.definition_id = r.definition_id)
  UNION ALL
  SELECT 'account', 'a result is of no account', format('account %s %s, account %s', d.kind, d.name, r.group_id), r.value::text, NULL
  FROM cdp.account_results AS r JOIN cdp.account_definitions AS d USING (definition_id)
  WHERE r.left_at = 'infinity' AND NOT EXISTS (SELECT FROM cdp.assertions AS a WHERE a.type = 'group' AND a.group_id = r.group_id)
  UNION ALL
  SELECT 'account', 'a result is not of the last refresh', format('account %s %s, account %s', d.kind, d.name, r.group_id),
         format('[%s, %s)', r.entered_at, r.left_at), 'judged until ' || d.judged_at
  FROM cdp.account_results AS r JOIN cdp.account_definitions AS d USING (definition_id)
  WHERE r.entered_at > d.judged_at OR r.left_at > d.judged_at AND r.left_at < 'infinity'
  UNION ALL
  SELECT 'account', 'an account segment has another value than true', format('account segment %s, account %s', d.name, r.group_id), r.value::text, 'true'
  FROM cdp.account_results AS r JOIN cdp.account_definitions AS d USING (definition_id) WHERE d.kind = 'segment' AND r.value <> 'true'
  UNION ALL
  SELECT 'account', 'ranges of one result overlap', format('definition %s, account %s', a.definition_id, a.group_id),
         format('[%s, %s) and [%s, %s)', a.entered_at, a.left_at, b.entered_at, b.left_at), NULL
  FROM cdp.account_results AS a JOIN cdp.account_results AS b ON b.definition_id = a.definition_id AND b.group_id = a.group_id
    AND a.entered_at < b.entered_at AND b.entered_at < a.left_at
  UNION ALL
  SELECT 'account', 'a definition asks about what is not there', format('account %s %s', d.kind, d.name),
         format('segment %s, account trait %s', coalesce(o.segment_id::text, '-'), coalesce(o.on_definition_id::text, '-')), NULL
  FROM cdp.account_dependencies AS o LEFT JOIN cdp.account_definitions AS d USING (definition_id)
  WHERE d.definition_id IS NULL OR o.segment_id IS NOT NULL AND NOT EXISTS (SELECT FROM cdp.segments AS s WHERE s.segment_id = o.segment_id)
     OR o.on_definition_id IS NOT NULL AND NOT EXISTS (SELECT FROM cdp.account_definitions AS t WHERE t.definition_id = o.on_definition_id)
$$;
COMMENT ON FUNCTION cdp_internal.verify_accounts() IS 'Part of cdp.verify()';

CREATE FUNCTION cdp.verify()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM cdp_internal.verify_messages()
  UNION ALL SELECT * FROM cdp_internal.verify_identity()
  UNION ALL SELECT * FROM cdp_internal.verify_profiles()
  UNION ALL SELECT * FROM cdp_internal.verify_traits()
  UNION ALL SELECT * FROM cdp_internal.verify_segments()
  UNION ALL SELECT * FROM cdp_internal.verify_kept_segments()
  UNION ALL SELECT * FROM cdp_internal.verify_trait_runs()
  UNION ALL SELECT * FROM cdp_internal.verify_accounts()
  UNION ALL SELECT * FROM cdp_internal.verify_feed()
  UNION ALL SELECT * FROM cdp_internal.verify_sets()
$$;
COMMENT ON FUNCTION cdp.verify() IS
  'Recomputes identities, profiles and memberships from the kept facts by plain SQL and lists every difference; no rows: all is right. Reads everything: minutes for millions of people';
