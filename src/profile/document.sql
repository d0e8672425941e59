-- Reading people: find them, see all there is to know about one.

-- Whose an identifier was, as it was stored then: it starts on its own, and goes where its person goes.
CREATE FUNCTION cdp_internal.known_person(identifier_id bigint, at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  person bigint := identifier_id;
  last bigint := 0;
  next record;
BEGIN
  LOOP
    SELECT c.profile_id, c.change_id INTO next FROM cdp.identity_changes AS c
      WHERE c.from_profile_id = person AND c.change_id > last AND c.recorded_at <= at
        AND (c.change IN ('added', 'merged') OR c.change = 'split' AND known_person.identifier_id = ANY (c.identifiers))
      ORDER BY c.change_id LIMIT 1;
    EXIT WHEN NOT FOUND;
    person := next.profile_id;
    last := next.change_id;
  END LOOP;
  -- Nobody was known by it yet, or any more.
  RETURN (SELECT CASE WHEN c.change <> 'ended' THEN person END FROM cdp.identity_changes AS c
          WHERE c.profile_id = person AND c.recorded_at <= at AND c.change IN ('created', 'added', 'merged', 'split', 'ended')
          ORDER BY c.change_id DESC LIMIT 1);
END $$;
COMMENT ON FUNCTION cdp_internal.known_person(bigint, timestamptz) IS 'Part of cdp.lookup: as known then';

CREATE FUNCTION cdp.lookup(type text, value text, region text DEFAULT NULL, at timestamptz DEFAULT NULL, as_known text DEFAULT NULL)
  RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id bigint;
  person bigint;
BEGIN
  IF as_known NOT IN ('then', 'now') OR as_known = 'then' AND at IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = CASE WHEN as_known = 'then' THEN 'as_known => ''then'' needs an instant, at'
                     ELSE format('as_known cannot be "%s"', left(as_known, 100)) END,
      HINT = 'With at => an instant: ''then'' is what was stored at that time, ''now'' is what is known today about that time.';
  END IF;
  SELECT i.identifier_id, i.profile_id INTO id, person
    FROM cdp.identifiers AS i
    WHERE i.type = lookup.type
      AND i.value = (SELECT cdp_internal.normalize(t.normalizer, lookup.value, coalesce(lookup.region, t.default_region), false)
                     FROM cdp.identifier_types AS t WHERE t.type = lookup.type);
  -- Types are made with the first message.
  IF id IS NULL AND lookup.type IS NOT NULL AND EXISTS (SELECT FROM cdp.identifier_types) AND NOT EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = lookup.type) THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('identifier type "%s" does not exist', left(lookup.type, 100)),
      HINT = coalesce((SELECT 'The nearest is "' || n[1] || '".' FROM cdp_internal.nearest_names(lookup.type, ARRAY(SELECT t.type FROM cdp.identifier_types AS t)) AS n WHERE n[1] IS NOT NULL),
                      'SELECT type FROM cdp.identifier_types lists them.');
  END IF;
  IF as_known = 'then' THEN
    RETURN cdp_internal.known_person(id, at);
  END IF;
  -- Nothing was ever said about who was only seen on messages that a rule kept from them.
  IF NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = person) THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN at IS NULL THEN person ELSE cdp_internal.person_at(id, at) END;
END $$;
COMMENT ON FUNCTION cdp.lookup(text, text, text, timestamptz, text) IS
  'The profile_id of the person who has this identifier, in whatever spelling; NULL when nobody has. region: for national phone numbers. at: whose it was at that instant, as_known ''now'' (the default: today''s knowledge and rules, from what had come in by then) or ''then'' (what was stored then). Errors: 22023 another as_known, or ''then'' without at; 42704 no such type';

CREATE FUNCTION cdp.current_profile(profile_id bigint) RETURNS bigint
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.profile_id FROM cdp.identifiers AS i WHERE i.identifier_id = current_profile.profile_id
$$;
COMMENT ON FUNCTION cdp.current_profile(bigint) IS
  'The person an id stands for today: itself, or whom it was merged into; NULL for an id that never was';

CREATE FUNCTION cdp.find_profiles(query text, most integer DEFAULT 20)
  RETURNS TABLE (profile_id bigint, type text, value text, name text)
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  WITH wanted AS (
    SELECT t.type, cdp_internal.normalize(t.normalizer, query, t.default_region, false) AS value
    FROM cdp.identifier_types AS t
  ), found AS (
    SELECT i.profile_id, i.type, i.value, 1 AS rank
    FROM cdp.identifiers AS i JOIN wanted AS w USING (type, value)
    UNION ALL
    (SELECT i.profile_id, type, i.value, 2
     FROM cdp.identifier_types AS t JOIN cdp.identifiers AS i USING (type)
     -- A prefix as a range: a parameter can use the index of types and values this way, LIKE and ^@ cannot.
     WHERE i.value ~>=~ query AND i.value ~<~ (query || chr(1114111)) AND query <> ''
     ORDER BY i.value LIMIT most)
  ), best AS (
    SELECT DISTINCT ON (f.profile_id, f.type, f.value) f.* FROM found AS f ORDER BY f.profile_id, f.type, f.value, f.rank
  )
  SELECT b.profile_id, b.type, b.value,
         coalesce(p.traits ->> 'name', nullif(concat_ws(' ', p.traits ->> 'firstName', p.traits ->> 'lastName'), ''))
  FROM best AS b JOIN cdp.profiles AS p USING (profile_id)
  ORDER BY b.rank, b.value, b.type, b.profile_id LIMIT most
$$;
COMMENT ON FUNCTION cdp.find_profiles(text, integer) IS
  'People by an identifier of any type, in whatever spelling, or by how an identifier begins; at most so many rows';

-- Where golden values come from, as they are stored.
CREATE FUNCTION cdp_internal.stored_sources(profile_id bigint) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(t.key, jsonb_build_object('source', s.source, 'asserted_at', a.asserted_at)), '{}')
  FROM cdp.profiles AS p CROSS JOIN LATERAL jsonb_each(p.trait_origins) AS t
  JOIN cdp.assertions AS a ON a.decision_seq = (t.value ->> 1)::bigint JOIN cdp.sources AS s USING (source_id)
  WHERE p.profile_id = stored_sources.profile_id AND p.traits ? t.key
$$;
COMMENT ON FUNCTION cdp_internal.stored_sources(bigint) IS 'Part of cdp.profile';

-- Golden traits of a person at an instant, or by another policy: traits, trait_sources and conflicts.
CREATE FUNCTION cdp_internal.folded_part(version integer, policy text, person bigint, identifiers bigint[], at timestamptz, known timestamptz)
  RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'traits', coalesce(jsonb_object_agg(g.trait, g.value) FILTER (WHERE g.value IS NOT NULL), '{}'),
    'trait_sources', coalesce(jsonb_object_agg(g.trait, CASE WHEN g.strategy LIKE 'computed:%' THEN jsonb_build_object('computed', substr(g.strategy, 10))
                                ELSE jsonb_build_object('source', s.source, 'asserted_at', a.asserted_at) END)
                                FILTER (WHERE g.value IS NOT NULL), '{}'),
    'conflicts', coalesce(jsonb_object_agg(g.trait, (
       SELECT jsonb_agg(jsonb_build_object('value', c.traits -> g.trait, 'source', o.source, 'asserted_at', c.asserted_at) ORDER BY c.asserted_at DESC, c.decision_seq DESC)
       FROM cdp_internal.known_assertions AS c JOIN cdp.sources AS o USING (source_id) WHERE c.decision_seq = ANY (g.made_from))) FILTER (WHERE g.is_conflict), '{}'))
  FROM cdp_internal.fold_traits(version, policy, ARRAY[person], identifiers, at, known, at) AS g
  LEFT JOIN (cdp_internal.known_assertions AS a JOIN cdp.sources AS s USING (source_id)) USING (decision_seq)
$$;
COMMENT ON FUNCTION cdp_internal.folded_part(integer, text, bigint, bigint[], timestamptz, timestamptz) IS 'Part of cdp.profile';

-- The newest months first: most people whom somebody looks at did something lately, and each table that is looked into costs.
CREATE FUNCTION cdp_internal.latest_events(profile_id bigint, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  since timestamptz;
  found jsonb;
BEGIN
  FOREACH since IN ARRAY ARRAY[now() - interval '3 months', '-infinity'] LOOP
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('event_id', e.event_id, 'type', e.type,
                                'event', e.event, 'occurred_at', e.occurred_at, 'source', e.source))
                              || jsonb_build_object('properties', e.properties)
                              ORDER BY e.occurred_at DESC, e.event_id DESC), '[]') INTO found
      FROM (SELECT x.* FROM cdp.identifiers AS i
            CROSS JOIN LATERAL (SELECT r.event_id, r.type, r.event, r.occurred_at, s.source, r.properties
                                FROM cdp.event_records AS r JOIN cdp.sources AS s USING (source_id)
                                WHERE r.identifier_id = i.identifier_id AND r.occurred_at >= since
                                ORDER BY r.occurred_at DESC LIMIT most) AS x
            WHERE i.profile_id = latest_events.profile_id
            ORDER BY x.occurred_at DESC, x.event_id DESC LIMIT most) AS e;
    EXIT WHEN jsonb_array_length(found) >= most;
  END LOOP;
  RETURN found;
END $$;
REVOKE ALL ON FUNCTION cdp_internal.latest_events(bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.latest_events(bigint, integer) IS 'Part of cdp.profile: what the person did last';

CREATE FUNCTION cdp_internal.profile_now(profile_id bigint, events integer) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A session plans it once: planning takes longer than reading.
  RETURN (SELECT jsonb_build_object(
    'profile_id', p.profile_id, 'public_id', p.public_id, 'traits', p.traits, 'last_seen_at', p.last_seen_at,
    'first_seen_at', (SELECT min(i.first_seen_at) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id),
    'identifiers', (SELECT jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value, 'first_seen_at', i.first_seen_at)
                                     ORDER BY i.identifier_id)
                    FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id),
    'groups', (SELECT coalesce(jsonb_agg(m.group_id ORDER BY m.group_id), '[]') FROM cdp.account_members AS m
               WHERE m.profile_id = p.profile_id),
    'computed', (SELECT coalesce(jsonb_object_agg(s.name, jsonb_strip_nulls(jsonb_build_object('since', m.entered_at, 'until', nullif(m.left_at, 'infinity')))
                                                          || jsonb_build_object('value', m.key::jsonb)), '{}')
                 FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id)
                 WHERE m.profile_id = p.profile_id AND m.entered_at <= now() AND m.left_at > now() AND s.kind = 'trait' AND s.replaces IS NULL),
    'segments', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('segment', m.segment, 'key', m.key,
                                             'since', m.since, 'until', nullif(m.until, 'infinity')))
                                           ORDER BY m.segment, m.key), '[]')
                 FROM cdp.segment_members AS m WHERE m.profile_id = p.profile_id),
    'events', cdp_internal.latest_events(p.profile_id, events))
  FROM cdp.profiles AS p
  WHERE p.profile_id = profile_now.profile_id);
END $$;
COMMENT ON FUNCTION cdp_internal.profile_now(bigint, integer) IS 'Part of cdp.profile: as it is stored';

CREATE FUNCTION cdp_internal.profile_at(profile_id bigint, events integer, policy text, at timestamptz, as_known text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known constant timestamptz := CASE WHEN as_known = 'then' THEN at END;
  who record;
BEGIN
  SELECT * INTO who FROM cdp_internal.identifiers_at(profile_at.profile_id, profile_at.at, profile_at.as_known);
  IF who.person IS NULL OR who.identifiers IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN cdp_internal.folded_part(CASE WHEN as_known = 'then' THEN cdp_internal.version_at(at) ELSE cdp_internal.known_policy(policy) END,
      policy, who.person, who.identifiers, at, known) ||
    jsonb_build_object('profile_id', who.person, 'at', at, 'as_known', as_known,
      'identifiers', (SELECT jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value, 'first_seen_at', i.first_seen_at) ORDER BY i.identifier_id)
                      FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (who.identifiers)),
      'groups', (SELECT coalesce(jsonb_agg(DISTINCT a.group_id), '[]') FROM cdp_internal.known_assertions AS a
                 WHERE a.identifier_id = ANY (who.identifiers) AND a.type = 'group' AND a.asserted_at <= at
                   AND (known IS NULL OR a.received_at <= known) AND (a.withdrawn_at = 'infinity' OR a.withdrawn_at > known)
                   AND NOT EXISTS (SELECT FROM cdp_internal.stored_later AS l WHERE l.decision_seq = a.decision_seq AND l.stored_at > known)),
      'events', (SELECT coalesce(jsonb_agg(e.event ORDER BY e.occurred_at DESC, e.event_id DESC), '[]') FROM (
         SELECT r.occurred_at, r.event_id, jsonb_strip_nulls(jsonb_build_object('event_id', r.event_id, 'type', r.type, 'event', r.event,
                  'occurred_at', r.occurred_at, 'source', s.source)) || jsonb_build_object('properties', r.properties) AS event
         FROM cdp_internal.known_events AS r JOIN cdp.sources AS s USING (source_id)
         WHERE r.identifier_id = ANY (who.identifiers) AND r.occurred_at <= at
           AND (known IS NULL OR r.received_at <= known) AND (r.withdrawn_at = 'infinity' OR r.withdrawn_at > known)
           AND NOT EXISTS (SELECT FROM cdp_internal.stored_later AS l WHERE l.decision_seq = r.event_id AND l.stored_at > known)
         ORDER BY r.occurred_at DESC, r.event_id DESC LIMIT events) AS e));
END $$;
COMMENT ON FUNCTION cdp_internal.profile_at(bigint, integer, text, timestamptz, text) IS 'Part of cdp.profile: at an instant';

CREATE FUNCTION cdp.profile(profile_id bigint, events integer DEFAULT 20, policy text DEFAULT 'default', at timestamptz DEFAULT NULL,
    as_known text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  person bigint;
  version integer;
BEGIN
  PERFORM cdp_internal.check_instant(at, as_known);
  IF events < 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('events must not be negative, it is %s', events),
      HINT = 'It is how many of the last events are shown; 0 for none.';
  END IF;
  IF profile_id IS NULL OR events IS NULL THEN
    RETURN NULL;
  END IF;
  version := cdp_internal.known_policy(policy);
  IF at IS NOT NULL THEN
    RETURN cdp_internal.profile_at(profile_id, events, policy, at, coalesce(as_known, 'now'));
  END IF;
  person := cdp.current_profile(profile_id);
  -- What is stored is the default policy; conflicts are not stored, nor that no source said it.
  IF policy <> 'default' OR version > 0 AND (cdp_internal.rules_in_force() #> '{policies,default}' @> '[{"strategy": "never"}]'
                                             OR cdp_internal.rules_in_force() #> '{policies,default}' @> '[{"strategy": "computed"}]') THEN
    RETURN cdp_internal.profile_now(person, events) || cdp_internal.folded_part(version, policy, person, NULL, NULL, NULL);
  END IF;
  RETURN cdp_internal.profile_now(person, events)
         || jsonb_build_object('trait_sources', cdp_internal.stored_sources(person), 'conflicts', '{}'::jsonb);
END $$;
COMMENT ON FUNCTION cdp.profile(bigint, integer, text, timestamptz, text) IS
  'Everything about one person: identifiers, traits with source and time (trait_sources) and conflicts, computed traits, groups, segments with since and until, and the last so many events; finds the person by an id that was merged away, too; NULL when nobody ever had it. policy: the rules that choose the golden values. at: as it was at that instant, without segments; as_known ''now'' (the default: today''s knowledge of that time) or ''then'' (what had come in by then, and who was who then). Errors: 42704 no such policy, 22023 another as_known, or ''then'' without at';
