-- lists: segments of people who are put on them. What is on a list is an identifier, so that it follows its person, whoever
-- that comes to be: the membership of a person is the union over their identifiers.

CREATE TABLE cdp.list_members (
  segment_id    integer NOT NULL,
  identifier_id bigint NOT NULL,
  added_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
  expires_at    timestamptz,
  added_by      name NOT NULL,
  reason        text,
  PRIMARY KEY (segment_id, identifier_id)
);
CREATE INDEX list_members_identifier ON cdp.list_members (identifier_id);
COMMENT ON TABLE cdp.list_members IS 'Which identifiers are on which list; change it by cdp.add_members, cdp.remove_members or cdp.list_imports';
COMMENT ON COLUMN cdp.list_members.expires_at IS 'Until when; null: until it is taken off';

-- COPY comes in here. A row that was put on its list goes; one that could not be stays, with the reason.
CREATE TABLE cdp.list_imports (
  import_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  segment    text NOT NULL,
  type       text NOT NULL,
  value      text NOT NULL,
  expires_at timestamptz,
  reason     text,
  added_by   name NOT NULL DEFAULT CURRENT_USER,
  problem    text
);
COMMENT ON TABLE cdp.list_imports IS
  'COPY cdp.list_imports (segment, type, value, expires_at, reason) FROM … puts identifiers on lists; what stays here could not be put there, and problem says why';

SELECT pg_catalog.pg_extension_config_dump('cdp.list_members', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.list_imports', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.list_imports_import_id_seq', '');

CREATE FUNCTION cdp_internal.judge_lists(profile_ids bigint[]) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_judge_lists';
COMMENT ON FUNCTION cdp_internal.judge_lists(bigint[]) IS 'Memberships of lists as they follow from the identifiers of these people, whose profiles are locked';

-- The definitions stay as they are until commit; after this nobody waits for us who holds people.
CREATE FUNCTION cdp_internal.own_list(caller jsonb, named text) RETURNS integer LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s cdp.segments;
BEGIN
  PERFORM cdp_internal.need_read_committed();
  LOCK TABLE cdp.segments IN ROW SHARE MODE;
  s := cdp_internal.own_segment(caller, named);
  IF s.kind <> 'list' THEN
    RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('segment "%s" is not a list', named),
      DETAIL = format('It is a %s: who is in it follows from that.', s.kind), HINT = 'cdp.create_list(name) makes a list.';
  END IF;
  RETURN s.segment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.own_list(jsonb, text) IS 'A list that the caller may change; keeps the definitions as they are';

CREATE FUNCTION cdp_internal.need_read_committed() RETURNS void LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_need_read_committed';
COMMENT ON FUNCTION cdp_internal.need_read_committed() IS 'Raises the error of writing above READ COMMITTED';
CREATE FUNCTION cdp_internal.need_own_transactions(procedure text) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_need_own_transactions';
COMMENT ON FUNCTION cdp_internal.need_own_transactions(text) IS 'Raises the error of a procedure that commits, inside a transaction block';

-- Locks whose these identifiers are, profiles in order, then those that are nobody yet, and returns the people. A merge that
-- commits while we wait may bring in a smaller id: then all locks are let go and taken anew.
CREATE FUNCTION cdp_internal.lock_people_of(identifiers bigint[]) RETURNS bigint[] LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted bigint[];
  people bigint[];
  now_people bigint[];
BEGIN
  LOOP
    wanted := ARRAY(SELECT DISTINCT i.profile_id FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (identifiers) ORDER BY 1);
    BEGIN
      people := ARRAY(SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id = ANY (wanted) ORDER BY p.profile_id FOR UPDATE);
      PERFORM FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (wanted) AND i.identifier_id <> ALL (people)
        ORDER BY i.identifier_id FOR NO KEY UPDATE;
      now_people := ARRAY(SELECT DISTINCT i.profile_id FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (identifiers));
      IF now_people <@ wanted AND people @> ARRAY(SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id = ANY (now_people)) THEN
        RETURN people;
      END IF;
      RAISE EXCEPTION USING ERRCODE = 'CDP01', MESSAGE = 'people changed while they were locked';
    EXCEPTION WHEN SQLSTATE 'CDP01' THEN
      NULL;
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.lock_people_of(bigint[]) IS 'Locks the people of identifiers as messages lock them; those who have a profile';

-- The identifier by which a person is put on a list: of their highest priority, the oldest of several.
CREATE FUNCTION cdp_internal.main_identifiers(profile_ids bigint[]) RETURNS bigint[] LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(m.identifier_id), '{}')
  FROM (SELECT DISTINCT ON (p.profile_id) p.profile_id, i.identifier_id
        FROM unnest(profile_ids) AS u (id)
        JOIN cdp.identifiers AS now ON now.identifier_id = u.id
        JOIN cdp.profiles AS p ON p.profile_id = now.profile_id
        JOIN cdp.identifiers AS i ON i.profile_id = p.profile_id
        JOIN cdp.identifier_types AS t ON t.type = i.type
        ORDER BY p.profile_id, i.left_out IS NOT NULL, t.sharing IS NOT NULL, t.priority DESC, i.identifier_id) AS m
$$;
COMMENT ON FUNCTION cdp_internal.main_identifiers(bigint[]) IS 'One identifier for each of these people';

CREATE TYPE cdp_internal.normal_identifier AS (place bigint, type text, value text, raw text, problem text);

CREATE FUNCTION cdp_internal.normal_identifiers(types text[], given text[])
  RETURNS SETOF cdp_internal.normal_identifier LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT u.place, u.type, n.value, u.raw,
         CASE WHEN t.type IS NULL THEN format('there is no identifier type %s', quote_ident(u.type))
              WHEN n.value IS NULL THEN format('it is no %s', u.type)
              WHEN t.blocks_junk AND cdp.is_junk(u.type, n.value) IS NOT NULL THEN cdp.is_junk(u.type, n.value)
              WHEN n.value = ANY (t.blocked_values) OR n.value ~ ANY (t.blocked_patterns) THEN 'it is blocked by a rule of its type' END
  FROM unnest(types, given) WITH ORDINALITY AS u (type, raw, place)
  LEFT JOIN cdp.identifier_types AS t USING (type)
  CROSS JOIN LATERAL (SELECT cdp_internal.normalize(t.normalizer, u.raw, t.default_region, false) AS value) AS n
$$;
COMMENT ON FUNCTION cdp_internal.normal_identifiers(text[], text[]) IS 'Identifiers in their normal form, or what is wrong with them';

-- Finds identifiers in whatever spelling, and makes those that are new: they are nobody, until a message names them.
CREATE FUNCTION cdp_internal.intern_identifiers(types text[], given text[], make boolean, OUT ids bigint[], OUT problems text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  normal cdp_internal.normal_identifier[];
BEGIN
  IF make AND NOT EXISTS (SELECT FROM cdp.secrets WHERE name = 'public_id') THEN
    PERFORM cdp_internal.make_ready(); -- before the first message there are no types
  END IF;
  normal := ARRAY(SELECT n FROM cdp_internal.normal_identifiers(types, given) AS n ORDER BY n.place);
  IF make THEN -- in key order, as messages do, and each once
    INSERT INTO cdp.identifiers (identifier_id, profile_id, first_seen_at, type, value, raw_value)
      SELECT d.id, d.id, now(), d.type, d.value, nullif(d.raw, d.value)
      FROM (SELECT nextval('cdp.identifiers_identifier_id_seq') AS id, o.*
            FROM (SELECT DISTINCT ON (n.type, n.value COLLATE "C") n.type, n.value, n.raw FROM unnest(normal) AS n
                  WHERE n.problem IS NULL
                    AND NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.type = n.type AND i.value = n.value)
                  ORDER BY n.type, n.value COLLATE "C", n.place) AS o) AS d
      ON CONFLICT (type, value) DO NOTHING;
  END IF;
  SELECT array_agg(i.identifier_id ORDER BY n.place), array_agg(n.problem ORDER BY n.place) INTO ids, problems
    FROM unnest(normal) AS n LEFT JOIN cdp.identifiers AS i ON n.problem IS NULL AND i.type = n.type AND i.value = n.value;
END $$;
COMMENT ON FUNCTION cdp_internal.intern_identifiers(text[], text[], boolean) IS 'The ids of identifiers as they were given, and what is wrong with those that have none';

-- Puts identifiers on a list, or changes until when they are; returns how many rows that were. An entry that was over
-- begins anew.
CREATE FUNCTION cdp_internal.put_on_list(list integer, ids bigint[], expires timestamptz[], reasons text[], by name) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  people  bigint[] := cdp_internal.lock_people_of(ids);
  changed bigint;
BEGIN
  INSERT INTO cdp.list_members AS l (segment_id, identifier_id, expires_at, added_by, reason)
    SELECT DISTINCT ON (u.id) list, u.id, u.expires, by, u.reason
    FROM unnest(ids, expires, reasons) WITH ORDINALITY AS u (id, expires, reason, place) WHERE u.id IS NOT NULL ORDER BY u.id, u.place DESC
    ON CONFLICT (segment_id, identifier_id) DO UPDATE SET expires_at = excluded.expires_at, added_by = excluded.added_by,
      reason = excluded.reason, added_at = CASE WHEN l.expires_at <= now() THEN excluded.added_at ELSE l.added_at END
    WHERE (l.expires_at, l.reason) IS DISTINCT FROM (excluded.expires_at, excluded.reason);
  GET DIAGNOSTICS changed = ROW_COUNT;
  PERFORM cdp_internal.judge_lists(people);
  RETURN changed;
END $$;
COMMENT ON FUNCTION cdp_internal.put_on_list(integer, bigint[], timestamptz[], text[], name) IS 'Part of cdp.add_members and cdp.list_imports';

CREATE FUNCTION cdp_internal.take_off_list(list integer, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  people bigint[] := cdp_internal.lock_people_of(ids);
  gone   bigint;
BEGIN
  DELETE FROM cdp.list_members AS l WHERE l.segment_id = list AND l.identifier_id = ANY (ids);
  GET DIAGNOSTICS gone = ROW_COUNT;
  PERFORM cdp_internal.judge_lists(people);
  RETURN gone;
END $$;
COMMENT ON FUNCTION cdp_internal.take_off_list(integer, bigint[]) IS 'Part of cdp.remove_members';

-- Whom a query names, as its caller may read them.
CREATE FUNCTION cdp_internal.people_of_query(caller jsonb, query text) RETURNS bigint[] LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  role name := caller ->> 'role';
  path text := caller ->> 'search_path';
  style text := caller ->> 'datestyle';
  intervals text := caller ->> 'intervalstyle';
BEGIN
  query := cdp_internal.check_query(role, 'UTC', path, style, intervals, query);
  RETURN ARRAY(SELECT DISTINCT q.profile_id FROM cdp_internal.members_of_query(role, 'UTC', path, style, intervals, query) AS q);
END $$;
COMMENT ON FUNCTION cdp_internal.people_of_query(jsonb, text) IS 'Part of cdp.add_members and cdp.remove_members';

-- Nothing is left out in silence.
CREATE FUNCTION cdp_internal.tell_left_out(what text, given bigint, left_out text[]) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF cardinality(left_out) > 0 THEN
    RAISE WARNING USING MESSAGE = format('%s of %s %s left out', cardinality(left_out), given, what),
      DETAIL = array_to_string(left_out[:10], '; ') || CASE WHEN cardinality(left_out) > 10 THEN '; …' ELSE '' END;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_left_out(text, bigint, text[]) IS 'Warns of what could not be put on a list';

CREATE FUNCTION cdp_internal.add_members(caller jsonb, named text, profile_ids bigint[], expires_at timestamptz, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list integer := cdp_internal.own_list(caller, named);
  ids  bigint[] := cdp_internal.main_identifiers(profile_ids);
BEGIN
  PERFORM cdp_internal.tell_left_out('people', cardinality(profile_ids), ARRAY(
    SELECT format('profile %s is nobody', coalesce(u.id::text, 'null')) FROM unnest(profile_ids) AS u (id)
    WHERE NOT EXISTS (SELECT FROM cdp.identifiers AS i JOIN cdp.profiles AS p USING (profile_id) WHERE i.identifier_id = u.id)));
  RETURN cdp_internal.put_on_list(list, ids, array_fill(expires_at, ARRAY[cardinality(ids)]), array_fill(reason, ARRAY[cardinality(ids)]),
                                  (caller ->> 'role')::name);
END $$;
CREATE FUNCTION cdp_internal.add_members(caller jsonb, named text, query text, expires_at timestamptz, reason text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.add_members(caller, named, cdp_internal.people_of_query(caller, query), expires_at, reason)
$$;
CREATE FUNCTION cdp_internal.add_members(caller jsonb, named text, type text, identifiers text[], expires_at timestamptz, reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list     integer := cdp_internal.own_list(caller, named);
  size     constant integer := coalesce(cardinality(identifiers), 0);
  interned record;
BEGIN
  SELECT * INTO interned FROM cdp_internal.intern_identifiers(array_fill(type, ARRAY[size]), identifiers, true);
  PERFORM cdp_internal.tell_left_out('identifiers', size, ARRAY(
    SELECT format('"%s": %s', left(u.value, 100), u.problem) FROM unnest(identifiers, interned.problems) AS u (value, problem) WHERE u.problem IS NOT NULL));
  RETURN cdp_internal.put_on_list(list, interned.ids, array_fill(expires_at, ARRAY[size]), array_fill(reason, ARRAY[size]),
                                  (caller ->> 'role')::name);
END $$;

CREATE FUNCTION cdp_internal.remove_members(caller jsonb, named text, profile_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list integer := cdp_internal.own_list(caller, named);
BEGIN
  RETURN cdp_internal.take_off_list(list, ARRAY(
    SELECT i.identifier_id FROM unnest(profile_ids) AS u (id) JOIN cdp.identifiers AS now ON now.identifier_id = u.id
    JOIN cdp.identifiers AS i ON i.profile_id = now.profile_id
    JOIN cdp.list_members AS l ON l.identifier_id = i.identifier_id AND l.segment_id = list));
END $$;
CREATE FUNCTION cdp_internal.remove_members(caller jsonb, named text, query text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.remove_members(caller, named, cdp_internal.people_of_query(caller, query))
$$;
CREATE FUNCTION cdp_internal.remove_members(caller jsonb, named text, type text, identifiers text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  list integer := cdp_internal.own_list(caller, named);
BEGIN
  RETURN cdp_internal.take_off_list(list, (SELECT i.ids FROM cdp_internal.intern_identifiers(
    array_fill(type, ARRAY[cardinality(identifiers)]), identifiers, false) AS i));
END $$;
COMMENT ON FUNCTION cdp_internal.add_members(jsonb, text, bigint[], timestamptz, text) IS 'See cdp.add_members';
COMMENT ON FUNCTION cdp_internal.add_members(jsonb, text, text, timestamptz, text) IS 'See cdp.add_members';
COMMENT ON FUNCTION cdp_internal.add_members(jsonb, text, text, text[], timestamptz, text) IS 'See cdp.add_members';
COMMENT ON FUNCTION cdp_internal.remove_members(jsonb, text, bigint[]) IS 'See cdp.remove_members';
COMMENT ON FUNCTION cdp_internal.remove_members(jsonb, text, text) IS 'See cdp.remove_members';
COMMENT ON FUNCTION cdp_internal.remove_members(jsonb, text, text, text[]) IS 'See cdp.remove_members';

-- add_members by a query reads it with its caller's search_path: see cdp.create_segment.
CREATE FUNCTION cdp.add_members(name text, profile_ids bigint[], expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL)
  RETURNS bigint LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
CREATE FUNCTION cdp.add_members(name text, query text, expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL)
  RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
CREATE FUNCTION cdp.add_members(name text, type text, identifiers text[], expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL)
  RETURNS bigint LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
CREATE FUNCTION cdp.remove_members(name text, profile_ids bigint[])
  RETURNS bigint LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
CREATE FUNCTION cdp.remove_members(name text, query text)
  RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
CREATE FUNCTION cdp.remove_members(name text, type text, identifiers text[])
  RETURNS bigint LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.add_members(text, bigint[], timestamptz, text) IS
  'Puts people on a list, by the identifier of theirs that says best who they are, until expires_at; returns how many entries are new or changed. Who is not known is left out with a warning';
COMMENT ON FUNCTION cdp.add_members(text, text, timestamptz, text) IS
  'Puts the people on a list whose profile_id a query returns; it runs once, with the rights of who calls. Returns how many entries are new or changed';
COMMENT ON FUNCTION cdp.add_members(text, text, text[], timestamptz, text) IS
  'Puts identifiers of a type on a list, in whatever spelling; one that is new waits for the person who will have it. Returns how many entries are new or changed; what cannot be an identifier is left out with a warning';
COMMENT ON FUNCTION cdp.remove_members(text, bigint[]) IS 'Takes people off a list, with all their identifiers; returns how many entries went';
COMMENT ON FUNCTION cdp.remove_members(text, text) IS 'Takes the people off a list whose profile_id a query returns; returns how many entries went';
COMMENT ON FUNCTION cdp.remove_members(text, text, text[]) IS 'Takes identifiers of a type off a list; returns how many entries went';

-- A COPY is one statement: its rows are put on their lists together.
CREATE FUNCTION cdp_internal.import_lists() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  o record;
  interned record;
BEGIN
  PERFORM cdp_internal.need_read_committed();
  LOCK TABLE cdp.segments IN ROW SHARE MODE;
  SELECT array_agg(r.import_id ORDER BY r.import_id) AS imports, array_agg(r.expires_at ORDER BY r.import_id) AS expires,
         array_agg(r.reason ORDER BY r.import_id) AS reasons, array_agg(r.added_by ORDER BY r.import_id) AS adders,
         array_agg(CASE WHEN s.segment_id IS NULL THEN format('there is no segment %s', quote_ident(r.segment))
                        WHEN s.kind <> 'list' THEN format('segment %s is not a list', s.name)
                        WHEN NOT cdp_internal.may_change(r.added_by, s.owner) THEN 'must be owner of segment ' || s.name END ORDER BY r.import_id) AS problems,
         array_agg(s.segment_id ORDER BY r.import_id) AS lists, array_agg(r.type ORDER BY r.import_id) AS types,
         array_agg(r.value ORDER BY r.import_id) AS given
    INTO o FROM new_imports AS r LEFT JOIN cdp.segments AS s ON s.name = r.segment AND s.replaces IS NULL
    WHERE r.problem IS NULL; -- those with one are being restored
  IF o.imports IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT * INTO interned FROM cdp_internal.intern_identifiers(o.types, o.given, true);
  PERFORM cdp_internal.lock_people_of(interned.ids); -- of all lists at once, or two imports could wait for each other
  PERFORM cdp_internal.put_on_list(l.list, l.ids, l.expires, l.reasons, l.added_by)
    FROM (SELECT u.list, u.added_by, array_agg(u.id ORDER BY u.place) AS ids, array_agg(u.expires ORDER BY u.place) AS expires,
                 array_agg(u.reason ORDER BY u.place) AS reasons
          FROM unnest(o.lists, o.adders, interned.ids, o.expires, o.reasons, coalesce(o.problems, '{}')) WITH ORDINALITY
            AS u (list, added_by, id, expires, reason, problem, place)
          WHERE u.problem IS NULL AND u.id IS NOT NULL GROUP BY u.list, u.added_by) AS l;
  UPDATE cdp.list_imports AS i SET problem = coalesce(u.problem, u.wrong)
    FROM unnest(o.imports, o.problems, interned.problems) AS u (id, problem, wrong)
    WHERE i.import_id = u.id AND coalesce(u.problem, u.wrong) IS NOT NULL;
  DELETE FROM cdp.list_imports AS i WHERE i.import_id = ANY (o.imports) AND i.problem IS NULL;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.import_lists() IS 'Trigger: puts the rows of cdp.list_imports on their lists';
CREATE TRIGGER import_lists AFTER INSERT ON cdp.list_imports REFERENCING NEW TABLE AS new_imports
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.import_lists();
