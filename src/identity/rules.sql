-- rules: identifier types and what they allow. A change of rules that are in use is pending until it is applied.

CREATE FUNCTION cdp_internal.make_identifier_types() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp.identifier_types (type, normalizer, priority, is_unique, max_values, sharing)
  SELECT * FROM (VALUES
    ('user_id',        'text',    100, true,  NULL::integer, NULL),
    ('email',          'mailbox',  90, false, 5,    NULL),
    ('hashed_email',   'sha256',   85, false, 5,    NULL),
    ('phone',          'phone',    80, false, 3,    NULL),
    ('loyalty_id',     'text',     70, true,  NULL, NULL),
    ('device_id',      'text',     30, false, NULL, 'first'),
    ('advertising_id', 'text',     20, false, NULL, 'first'),
    ('cookie',         'text',     15, false, NULL, 'first'),
    ('anonymous_id',   'text',     10, false, NULL, 'first')) AS t
  WHERE NOT EXISTS (SELECT FROM cdp.identifier_types) -- what somebody dropped stays dropped
  ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION cdp_internal.make_identifier_types() IS 'The types that every database starts with, and their rules';

-- Those that a message brought, which come sorted so that two callers cannot wait for each other.
CREATE FUNCTION cdp_internal.register_identifier_types(types text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mistaken record;
BEGIN
  INSERT INTO cdp.identifier_types (type) SELECT * FROM unnest(types) ON CONFLICT DO NOTHING;
  FOR mistaken IN SELECT n.type, k.type AS meant FROM unnest(types) AS n (type) CROSS JOIN LATERAL (
                    SELECT t.type FROM cdp.identifier_types AS t WHERE t.type <> ALL (types) AND length(t.type) > 3
                      AND cdp.damerau_levenshtein(t.type, n.type, 1) <= 1
                      AND left(t.type, -1) <> left(n.type, -1) AND n.type !~ '[0-9]$' -- card_a and card_b are two
                    ORDER BY t.priority DESC, t.type LIMIT 1) AS k LOOP
    RAISE WARNING USING MESSAGE = format('a message brought the identifier type "%s", which is new; is it "%s", misspelt?', mistaken.type, mistaken.meant),
      DETAIL = 'Its values are identifiers of their own.',
      HINT = format('If it is, correct the source, and keep what came out of who is who: SELECT cdp.alter_identifier_type(%L, blocked_patterns => ''{.*}''); then cdp.apply_identity_rules().', mistaken.type);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.register_identifier_types(text[]) IS 'Registers types that messages brought, and warns of those that look like others misspelt';

-- Is a type's change of no consequence for what is stored?
CREATE FUNCTION cdp_internal.is_type_used(type text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.type = is_type_used.type)
$$;
COMMENT ON FUNCTION cdp_internal.is_type_used(text) IS 'Has the type any identifiers';

-- Errors in patterns and regions are the caller's: they are named before anything is stored.
CREATE FUNCTION cdp_internal.check_type(type cdp.identifier_types) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pattern text;
  hint text;
BEGIN
  hint := CASE
    WHEN type.normalizer NOT IN ('text', 'casefold', 'email', 'mailbox', 'phone', 'uuid', 'sha256', 'name', 'address', 'exact')
      THEN 'Normalizers are text, casefold, email, mailbox, phone, uuid, sha256, name, address and exact.'
    WHEN type.sharing NOT IN ('joins', 'first', 'latest', 'none') THEN 'Sharing is joins, first, latest or none; identifiers of people have none (clear => ''{sharing}'').'
    WHEN type.max_values <= 0 THEN 'max_values is at least 1; for any number leave it out, or clear => ''{max_values}''.'
    WHEN type.within IS NOT NULL AND type.max_values IS NULL THEN 'within says when the values of a limit count: give max_values, too.'
    WHEN type.within IS NOT NULL AND (type.within <= '0' OR extract(month FROM type.within) <> 0 OR extract(year FROM type.within) <> 0)
      THEN 'within is longer than zero, and in days or shorter units: months differ in length.'
    WHEN type.within > '36500 days' THEN 'within is at most 36500 days; leave it out for ever.'
    WHEN type.is_unique AND type.max_values IS NOT NULL THEN 'A unique type has one value a person: leave max_values out.'
    WHEN type.default_region !~ '^[A-Z]{2}$' OR NOT cdp_internal.is_region(type.default_region)
      THEN 'default_region is a code of ISO 3166, such as NL, or GB for the United Kingdom.'
    WHEN type.type !~ '^[a-z][a-z0-9_.]{0,62}$' THEN 'A type is named in lower case: letters, digits, underscores and dots.' END;
  IF hint IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('invalid rule for identifier type "%s"', type.type), HINT = hint;
  END IF;
  FOREACH pattern IN ARRAY type.blocked_patterns LOOP
    BEGIN
      PERFORM '' ~ pattern;
    EXCEPTION WHEN invalid_regular_expression THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression', MESSAGE = format('blocked pattern "%s" is not a regular expression', pattern),
        DETAIL = SQLERRM, HINT = 'Patterns are PostgreSQL''s regular expressions, see its documentation, "POSIX Regular Expressions".';
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.check_type(cdp.identifier_types) IS 'Raises 22023 or 2201B for a rule that cannot be';

CREATE FUNCTION cdp.create_identifier_type(type text, normalizer text DEFAULT 'text', priority integer DEFAULT 50,
    is_unique boolean DEFAULT false, max_values integer DEFAULT NULL, within interval DEFAULT NULL, sharing text DEFAULT NULL,
    blocks_junk boolean DEFAULT true, blocked_values text[] DEFAULT '{}', blocked_patterns text[] DEFAULT '{}',
    default_region text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made cdp.identifier_types;
BEGIN
  IF type IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'type must not be null';
  END IF;
  made.type := type; made.normalizer := coalesce(normalizer, 'text'); made.priority := coalesce(priority, 50);
  made.is_unique := coalesce(is_unique, false); made.max_values := max_values; made.within := within; made.sharing := sharing;
  made.blocks_junk := coalesce(blocks_junk, true); made.default_region := default_region;
  made.blocked_values := coalesce(array_remove(blocked_values, NULL), '{}');
  made.blocked_patterns := coalesce(array_remove(blocked_patterns, NULL), '{}');
  made.created_at := now();
  PERFORM cdp_internal.check_type(made);
  PERFORM cdp_internal.make_identifier_types();
  IF EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = made.type) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('identifier type "%s" exists already', type),
      HINT = 'Change it by cdp.alter_identifier_type.';
  END IF;
  INSERT INTO cdp.identifier_types SELECT made.*;
END $$;
COMMENT ON FUNCTION cdp.create_identifier_type(text, text, integer, boolean, integer, interval, text, boolean, text[], text[], text) IS
  'Declares a type of identifiers, in force at once: normalizer, priority, is_unique, max_values (within a time), sharing (null: says who somebody is; for devices joins, first, latest, none), what is blocked, default_region of phone numbers. Errors: 42710 exists, 22023, 2201B bad pattern';

-- What is not given stays; a member of `clear` becomes null or empty.
CREATE FUNCTION cdp.alter_identifier_type(type text, normalizer text DEFAULT NULL, priority integer DEFAULT NULL,
    is_unique boolean DEFAULT NULL, max_values integer DEFAULT NULL, within interval DEFAULT NULL, sharing text DEFAULT NULL,
    blocks_junk boolean DEFAULT NULL, blocked_values text[] DEFAULT NULL, blocked_patterns text[] DEFAULT NULL,
    default_region text DEFAULT NULL, clear text[] DEFAULT '{}') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old cdp.identifier_types;
  new cdp.identifier_types;
  unknown text;
BEGIN
  PERFORM cdp_internal.make_identifier_types();
  SELECT t.* INTO old FROM cdp.identifier_types AS t WHERE t.type = alter_identifier_type.type FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('identifier type "%s" does not exist', type),
      HINT = 'SELECT type FROM cdp.identifier_types lists them.';
  END IF;
  SELECT c INTO unknown FROM unnest(clear) AS c
    WHERE c NOT IN ('max_values', 'within', 'sharing', 'blocked_values', 'blocked_patterns', 'default_region') LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" cannot be cleared', unknown),
      HINT = 'max_values, within, sharing, blocked_values, blocked_patterns and default_region can.';
  END IF;
  SELECT p.type, p.normalizer, p.priority, p.default_region, p.is_unique, p.max_values, p.within, p.sharing, p.blocks_junk,
         p.blocked_values, p.blocked_patterns, p.created_at
    INTO new FROM cdp.pending_identifier_types AS p WHERE p.type = alter_identifier_type.type;
  IF NOT FOUND THEN
    new := old;
  END IF;
  new.normalizer := coalesce(alter_identifier_type.normalizer, new.normalizer);
  new.priority := coalesce(alter_identifier_type.priority, new.priority);
  new.is_unique := coalesce(alter_identifier_type.is_unique, new.is_unique);
  new.max_values := CASE WHEN 'max_values' = ANY (clear) THEN NULL ELSE coalesce(alter_identifier_type.max_values, new.max_values) END;
  new.within := CASE WHEN 'within' = ANY (clear) OR 'max_values' = ANY (clear) THEN NULL ELSE coalesce(alter_identifier_type.within, new.within) END;
  new.sharing := CASE WHEN 'sharing' = ANY (clear) THEN NULL ELSE coalesce(alter_identifier_type.sharing, new.sharing) END;
  new.blocks_junk := coalesce(alter_identifier_type.blocks_junk, new.blocks_junk);
  new.blocked_values := CASE WHEN 'blocked_values' = ANY (clear) THEN '{}' ELSE coalesce(array_remove(alter_identifier_type.blocked_values, NULL), new.blocked_values) END;
  new.blocked_patterns := CASE WHEN 'blocked_patterns' = ANY (clear) THEN '{}' ELSE coalesce(array_remove(alter_identifier_type.blocked_patterns, NULL), new.blocked_patterns) END;
  new.default_region := CASE WHEN 'default_region' = ANY (clear) THEN NULL ELSE coalesce(alter_identifier_type.default_region, new.default_region) END;
  PERFORM cdp_internal.check_type(new);
  IF new.normalizer <> old.normalizer AND cdp_internal.is_type_used(type) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format('the normalizer of identifier type "%s" cannot change: it has identifiers', type),
      HINT = 'Declare another type with the new normalizer and send identifiers of that type.';
  END IF;
  IF (new.normalizer, new.priority, new.default_region, new.is_unique, new.max_values, new.within, new.sharing, new.blocks_junk, new.blocked_values,
      new.blocked_patterns) IS NOT DISTINCT FROM (old.normalizer, old.priority, old.default_region, old.is_unique, old.max_values, old.within,
      old.sharing, old.blocks_junk, old.blocked_values, old.blocked_patterns) THEN
    DELETE FROM cdp.pending_identifier_types AS p WHERE p.type = old.type;
    RETURN 'unchanged';
  END IF;
  -- What is only for messages to come changes nobody: in force at once.
  IF NOT cdp_internal.is_type_used(type)
     OR (new.is_unique, new.max_values, new.within, new.sharing, new.blocks_junk, new.blocked_values, new.blocked_patterns)
        IS NOT DISTINCT FROM (old.is_unique, old.max_values, old.within, old.sharing, old.blocks_junk, old.blocked_values, old.blocked_patterns) THEN
    DELETE FROM cdp.pending_identifier_types AS p WHERE p.type = old.type;
    UPDATE cdp.identifier_types AS t SET normalizer = new.normalizer, priority = new.priority, default_region = new.default_region,
      is_unique = new.is_unique, max_values = new.max_values, within = new.within, sharing = new.sharing, blocks_junk = new.blocks_junk,
      blocked_values = new.blocked_values, blocked_patterns = new.blocked_patterns WHERE t.type = old.type;
    RETURN 'applied';
  END IF;
  DELETE FROM cdp.pending_identifier_types AS p WHERE p.type = old.type;
  INSERT INTO cdp.pending_identifier_types (type, normalizer, priority, default_region, is_unique, max_values, within, sharing,
      blocks_junk, blocked_values, blocked_patterns, created_at)
    VALUES (new.type, new.normalizer, new.priority, new.default_region, new.is_unique, new.max_values, new.within, new.sharing,
      new.blocks_junk, new.blocked_values, new.blocked_patterns, new.created_at);
  RETURN 'pending';
END $$;
COMMENT ON FUNCTION cdp.alter_identifier_type(text, text, integer, boolean, integer, interval, text, boolean, text[], text[], text, text[]) IS
  'Changes the rules of a type; what is not given stays, what clear names becomes null or empty. Returns "pending" until cdp.apply_identity_rules(), "applied" where nobody stored can be touched, or "unchanged" when all is as in force (a pending change is taken back so); priority and default_region count from the next message on. Errors: 42704 unknown type, 55000 normalizer of a type in use, 22023, 2201B';

CREATE FUNCTION cdp.drop_identifier_type(type text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = drop_identifier_type.type) THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('identifier type "%s" does not exist', type),
      HINT = 'SELECT type FROM cdp.identifier_types lists them.';
  END IF;
  -- Writers hold ROW SHARE here: none is about to use the type.
  LOCK TABLE cdp.segments IN EXCLUSIVE MODE;
  IF cdp_internal.is_type_used(type) THEN
    RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist', MESSAGE = format('identifier type "%s" has identifiers', type),
      HINT = format('To keep all of them out of who is who: SELECT cdp.alter_identifier_type(%L, blocked_patterns => ''{.*}''), then cdp.apply_identity_rules().', type);
  END IF;
  DELETE FROM cdp.pending_identifier_types AS p WHERE p.type = drop_identifier_type.type;
  DELETE FROM cdp.identifier_types AS t WHERE t.type = drop_identifier_type.type;
END $$;
COMMENT ON FUNCTION cdp.drop_identifier_type(text) IS
  'Drops a type that has no identifiers; a message that names it declares it anew, with defaults. Errors: 42704 unknown type, 2BP01 it has identifiers';

CREATE FUNCTION cdp_internal.identity_diff()
  RETURNS TABLE (change text, profile_id bigint, becomes bigint, identifiers bigint[], rule text, decision_seq bigint)
  LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_identity_diff';
COMMENT ON FUNCTION cdp_internal.identity_diff() IS 'What the pending rules would change, identifiers by id';

-- Into a table and not as rows, which cost more to hand over than to find.
CREATE FUNCTION cdp_internal.fold_people(answer regclass) RETURNS bigint
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_fold_people';
COMMENT ON FUNCTION cdp_internal.fold_people(regclass) IS
  'Who is who, folded from all evidence in memory under the rules applied: appends (identifier_id, profile_id) of every identifier to a plain table of two columns of type bigint, returns how many. Errors: 42809 a table with indexes, triggers, constraints or other columns';

CREATE FUNCTION cdp.identity_diff()
  RETURNS TABLE (change text, profile_id bigint, becomes bigint, identifiers jsonb, rule text, decision_seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.change, d.profile_id, d.becomes,
         (SELECT jsonb_object_agg(t.type, t.vals) FROM (
            SELECT i.type, jsonb_agg(i.value ORDER BY i.identifier_id) AS vals
            FROM cdp.identifiers AS i WHERE i.identifier_id = ANY (d.identifiers) GROUP BY i.type) AS t),
         d.rule, d.decision_seq
  FROM cdp_internal.identity_diff() AS d
  ORDER BY CASE d.change WHEN 'merge' THEN 1 WHEN 'split' THEN 2 WHEN 'refuse' THEN 3 ELSE 4 END, d.profile_id, d.becomes, d.decision_seq
$$;
COMMENT ON FUNCTION cdp.identity_diff() IS
  'What the pending changes of identifier types would do to the people there are: merge (the whole of profile_id into becomes), split (identifiers leave profile_id), refuse (identifiers left out of the message of decision_seq that are not now, with the rule), link (no longer left out). Reads everything, changes nothing';

-- Which versions of the libraries made the normal forms that are stored.
CREATE TABLE cdp.normalizer_versions (
  version     text NOT NULL PRIMARY KEY,
  accepted_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE cdp.normalizer_versions IS
  'Versions of cdp.normalizer_version() that made what is stored, the latest in force; see cdp.check_normalizers';

CREATE FUNCTION cdp.check_normalizers()
  RETURNS TABLE (identifier_id bigint, profile_id bigint, type text, value text, value_now text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.identifier_id, i.profile_id, i.type, i.value, n.form
  FROM cdp.identifiers AS i JOIN cdp.identifier_types AS t USING (type)
  CROSS JOIN LATERAL (SELECT cdp_internal.normalize(t.normalizer, coalesce(i.raw_value, i.value), i.raw_region, false) AS form) AS n
  WHERE n.form IS DISTINCT FROM i.value
$$;
COMMENT ON FUNCTION cdp.check_normalizers() IS
  'Identifiers whose normal form is another one (value_now; null: refused) with the libraries installed now than the one stored: messages would not find them any more. Reads all identifiers';

CREATE FUNCTION cdp.accept_normalizers() RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp.normalizer_versions AS v (version) VALUES (cdp.normalizer_version())
  ON CONFLICT (version) DO UPDATE SET accepted_at = now() RETURNING v.version
$$;
COMMENT ON FUNCTION cdp.accept_normalizers() IS
  'Says that the libraries installed now make the normal forms from here on, after cdp.check_normalizers(); returns their versions';

SELECT pg_catalog.pg_extension_config_dump('cdp.normalizer_versions', '');
