-- Reading people: find them, see all there is to know about one.

CREATE FUNCTION cdp_internal.normalize(normalizer text, value text, region text, strict boolean) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_normalize';
COMMENT ON FUNCTION cdp_internal.normalize(text, text, text, boolean) IS
  'Normal form of an identifier value; strict: an error for what is refused, else NULL';

CREATE FUNCTION cdp.normalize_email(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('email', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_email(text) IS
  'Normal form of an e-mail address: trimmed, case-folded, domain in ASCII (IDNA). Errors: 22023 for what is no address. Source: ICU, UTS 46';

CREATE FUNCTION cdp.normalize_phone(value text, region text DEFAULT NULL) RETURNS text LANGUAGE sql IMMUTABLE
  PARALLEL SAFE SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('phone', value, region, true);
COMMENT ON FUNCTION cdp.normalize_phone(text, text) IS
  'Phone number in E.164; region is the ISO 3166 code for numbers in national form. Errors: 22023 for impossible numbers. Source: libphonenumber, ITU-T E.164';

CREATE FUNCTION cdp.normalize_text(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('text', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_text(text) IS
  'Normal form of ids: trimmed, Unicode NFC, case kept. Errors: 22023 when nothing is left. Source: UAX 15';

CREATE FUNCTION cdp.normalizer_version() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_normalizer_version';
COMMENT ON FUNCTION cdp.normalizer_version() IS 'Versions of the libraries that decide the normal forms';

CREATE FUNCTION cdp.lookup(type text, value text, region text DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.profile_id
  FROM cdp.identifiers AS i
  WHERE i.type = lookup.type
    AND i.value = (SELECT cdp_internal.normalize(t.normalizer, lookup.value, coalesce(lookup.region, t.default_region), false)
                   FROM cdp.identifier_types AS t WHERE t.type = lookup.type)
$$;
COMMENT ON FUNCTION cdp.lookup(text, text, text) IS
  'The profile_id of the person who has this identifier, in whatever spelling; NULL when nobody has. region: for national phone numbers';

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
    (SELECT i.profile_id, i.type, i.value, 2
     FROM cdp.identifiers AS i
     -- A prefix as a range: a parameter can use the index this way, LIKE and ^@ cannot.
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

CREATE FUNCTION cdp.profile(profile_id bigint, events integer DEFAULT 20) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'profile_id', p.profile_id, 'public_id', p.public_id, 'traits', p.traits, 'last_seen_at', p.last_seen_at,
    'first_seen_at', (SELECT min(i.first_seen_at) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id),
    'identifiers', (SELECT jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value, 'first_seen_at', i.first_seen_at)
                                     ORDER BY i.identifier_id)
                    FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id),
    'groups', (SELECT coalesce(jsonb_agg(DISTINCT a.group_id), '[]')
               FROM cdp.identifiers AS i JOIN cdp.assertions AS a USING (identifier_id)
               WHERE i.profile_id = p.profile_id AND a.type = 'group'),
    'segments', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('segment', m.segment, 'key', m.key,
                                             'since', m.since, 'until', nullif(m.until, 'infinity')))
                                           ORDER BY m.segment, m.key), '[]')
                 FROM cdp.segment_members AS m WHERE m.profile_id = p.profile_id),
    'events', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('event_id', e.event_id, 'type', e.type,
                                           'event', e.event, 'occurred_at', e.occurred_at, 'source', e.source))
                                         || jsonb_build_object('properties', e.properties)
                                         ORDER BY e.occurred_at DESC, e.event_id DESC), '[]')
               FROM (SELECT x.* FROM cdp.identifiers AS i
                     CROSS JOIN LATERAL (SELECT r.event_id, r.type, r.event, r.occurred_at, s.source, r.properties
                                         FROM cdp.event_records AS r JOIN cdp.sources AS s USING (source_id)
                                         WHERE r.identifier_id = i.identifier_id
                                         ORDER BY r.occurred_at DESC LIMIT events) AS x
                     WHERE i.profile_id = p.profile_id
                     ORDER BY x.occurred_at DESC, x.event_id DESC LIMIT events) AS e))
  FROM cdp.profiles AS p
  WHERE p.profile_id = cdp.current_profile(profile.profile_id)
$$;
COMMENT ON FUNCTION cdp.profile(bigint, integer) IS
  'Everything about one person: identifiers, traits, groups, segments with since and until, and the last so many events; finds the person by an id that was merged away, too; NULL when nobody ever had it';
