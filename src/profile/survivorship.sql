-- survivorship: which value of a trait becomes the golden one, and what values a trait may have. What is changed here is a
-- draft until cdp.apply_survivorship().

CREATE TABLE cdp.survivorship_rules (
  policy        text NOT NULL DEFAULT 'default' CHECK (policy ~ '^[a-z][a-z0-9_]{0,62}$'),
  trait         text NOT NULL CHECK (trait <> ''),
  place         integer NOT NULL CHECK (place > 0),
  strategy      text NOT NULL CHECK (strategy IN ('latest', 'earliest', 'most_frequent', 'source_priority', 'min', 'max', 'sum', 'average',
                  'longest', 'shortest', 'any_true', 'all_true', 'union_list', 'intersection_list', 'counted_list', 'first_non_empty',
                  'verified_first', 'maximum_age', 'never', 'aggregate', 'computed')),
  sources       text[] NOT NULL DEFAULT '{}',
  maximum_age   interval,
  aggregate     text,
  argument      text CHECK (argument IN ('jsonb', 'text', 'numeric', 'boolean', 'timestamptz')),
  computed      text,
  owner         name NOT NULL,
  search_path   text NOT NULL,
  datestyle     text NOT NULL,
  intervalstyle text NOT NULL,
  PRIMARY KEY (policy, trait, place),
  CHECK ((strategy = 'aggregate') = (aggregate IS NOT NULL)),
  CHECK ((aggregate IS NULL) = (argument IS NULL)),
  CHECK ((strategy = 'computed') = (computed IS NOT NULL)),
  CHECK (strategy <> 'maximum_age' OR maximum_age IS NOT NULL)
);
COMMENT ON TABLE cdp.survivorship_rules IS
  'How the golden value of a trait is chosen, a row a strategy of a chain; the draft, see cdp.set_survivorship and cdp.apply_survivorship';
COMMENT ON COLUMN cdp.survivorship_rules.policy IS 'default is what cdp.profiles holds, accounts what cdp.accounts shows; others are chosen when a profile is read, and fall back on it';
COMMENT ON COLUMN cdp.survivorship_rules.trait IS 'A trait''s name, or a pattern in which * stands for any characters';
COMMENT ON COLUMN cdp.survivorship_rules.place IS 'In the chain: the first strategy that finds a value decides';
COMMENT ON COLUMN cdp.survivorship_rules.computed IS 'The computed trait whose value it is, where the strategy is computed; follows when that is renamed';
COMMENT ON COLUMN cdp.survivorship_rules.owner IS 'The role an aggregate runs as';

CREATE TABLE cdp.trait_definitions (
  trait          text NOT NULL PRIMARY KEY CHECK (trait <> ''),
  type           text NOT NULL CHECK (type IN ('text', 'integer', 'numeric', 'money', 'boolean', 'date', 'timestamp', 'list', 'object')),
  unit           text,
  is_personal    boolean NOT NULL DEFAULT false,
  allowed_values jsonb CHECK (pg_catalog.jsonb_typeof(allowed_values) = 'array'),
  description    text
);
COMMENT ON TABLE cdp.trait_definitions IS
  'What traits are: type, unit, allowed values; the draft, see cdp.define_trait and cdp.apply_survivorship';
COMMENT ON COLUMN cdp.trait_definitions.unit IS 'Of money the currency, such as EUR';
COMMENT ON COLUMN cdp.trait_definitions.is_personal IS 'Whether the values are personal data; in force at once';

CREATE TABLE cdp.quarantined_traits (
  decision_seq bigint NOT NULL,
  trait        text NOT NULL,
  value        jsonb NOT NULL,
  code         text NOT NULL,
  hint         text NOT NULL,
  found_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (decision_seq, trait)
);
COMMENT ON TABLE cdp.quarantined_traits IS
  'Values that do not fit the definition of their trait, and so are in no profile, with the reason; decision_seq is that of the message in cdp.assertions. They count again when a definition is applied that they fit';

CREATE TABLE cdp.survivorship_errors (
  profile_id bigint NOT NULL,
  trait      text NOT NULL,
  message    text NOT NULL,
  failed_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (profile_id, trait)
);
COMMENT ON TABLE cdp.survivorship_errors IS
  'People for whom an aggregate of the default policy failed: the next strategy of the chain decided, or the trait is absent';

-- Every version that was ever in force: rules are history, too.
CREATE TABLE cdp_internal.survivorship_versions (
  version    integer NOT NULL PRIMARY KEY,
  folds_as   integer NOT NULL,
  stamp      uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  rules      jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  applied_by name NOT NULL DEFAULT session_user
);
COMMENT ON COLUMN cdp_internal.survivorship_versions.folds_as IS
  'The first version that gives the same golden records: a change of another policy touches nobody';

-- At most one row: people who have not been folded by the version in force yet come after `place`.
CREATE TABLE cdp_internal.survivorship_builds (
  version    integer NOT NULL PRIMARY KEY,
  place      bigint NOT NULL DEFAULT -1,
  done       bigint NOT NULL DEFAULT 0,
  total      bigint,
  started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- When time alone makes a value of a person too old.
CREATE TABLE cdp_internal.trait_lapses (
  profile_id bigint NOT NULL PRIMARY KEY,
  lapses_at  timestamptz NOT NULL
);
CREATE INDEX trait_lapses_at ON cdp_internal.trait_lapses (lapses_at);

SELECT pg_catalog.pg_extension_config_dump('cdp.survivorship_rules', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.trait_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.quarantined_traits', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.survivorship_errors', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.survivorship_versions', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.survivorship_builds', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.trait_lapses', '');
REVOKE ALL ON TABLE cdp_internal.survivorship_versions, cdp_internal.survivorship_builds, cdp_internal.trait_lapses FROM PUBLIC;

-- One aggregate of one argument, as its caller's search_path finds it: a name, or a name with the type.
CREATE FUNCTION cdp_internal.find_aggregate(path text, named text) RETURNS regprocedure
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  signatures text[] := CASE WHEN named ~ '\)\s*$' THEN ARRAY[named]
    ELSE ARRAY(SELECT named || '(' || t || ')' FROM unnest(ARRAY['jsonb', 'numeric', 'text', 'boolean', 'timestamptz', 'anyelement', 'anynonarray', '"any"']) AS t) END;
  found regprocedure;
BEGIN
  PERFORM pg_catalog.set_config('search_path', path, true);
  FOR place IN 1 .. pg_catalog.cardinality(signatures) LOOP
    found := pg_catalog.to_regprocedure(signatures[place]);
    EXIT WHEN found IS NOT NULL;
  END LOOP;
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  RETURN found;
END $$;
COMMENT ON FUNCTION cdp_internal.find_aggregate(text, text) IS 'Part of cdp.set_survivorship';

CREATE FUNCTION cdp_internal.check_aggregate(caller jsonb, named text, OUT aggregate text, OUT argument text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found regprocedure := cdp_internal.find_aggregate(caller ->> 'search_path', named);
  it record;
BEGIN
  SELECT p.*, n.nspname, a.aggkind INTO it
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
    WHERE p.oid = found;
  argument := CASE WHEN it.pronargs <> 1 THEN NULL ELSE CASE it.proargtypes[0]::regtype::text
    WHEN 'jsonb' THEN 'jsonb' WHEN 'anyelement' THEN 'jsonb' WHEN 'anynonarray' THEN 'jsonb' WHEN '"any"' THEN 'jsonb'
    WHEN 'text' THEN 'text' WHEN 'numeric' THEN 'numeric' WHEN 'boolean' THEN 'boolean'
    WHEN 'timestamp with time zone' THEN 'timestamptz' END END;
  IF it.aggkind IS DISTINCT FROM 'n' OR argument IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is not an aggregate of one argument', left(named, 100)),
      DETAIL = CASE WHEN found IS NULL THEN 'Nothing of that name is found in the search_path.' ELSE format('Found is %s.', found) END,
      HINT = 'Name an aggregate of jsonb, numeric, text, boolean or timestamptz, such as aggregate:stats.median, or with its type: aggregate:max(text).';
  END IF;
  IF NOT has_function_privilege((caller ->> 'role')::name, found, 'EXECUTE') THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('permission denied for aggregate %s', found);
  END IF;
  aggregate := format('%I.%I', it.nspname, it.proname);
END $$;
COMMENT ON FUNCTION cdp_internal.check_aggregate(jsonb, text) IS 'Part of cdp.set_survivorship';

CREATE FUNCTION cdp_internal.set_survivorship(caller jsonb, trait text, strategy text, policy text, sources text[], maximum_age interval,
    fallback boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r cdp.survivorship_rules;
  last cdp.survivorship_rules;
  wrong text;
  unknown text;
BEGIN
  IF set_survivorship.policy IS NULL OR set_survivorship.trait IS NULL OR set_survivorship.strategy IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
      MESSAGE = format('%s must not be null', CASE WHEN set_survivorship.trait IS NULL THEN 'trait' WHEN set_survivorship.strategy IS NULL THEN 'strategy' ELSE 'policy' END),
      HINT = CASE WHEN set_survivorship.trait IS NULL THEN 'trait is the name of a trait, a pattern such as address_*, or * for all.'
                  WHEN set_survivorship.strategy IS NULL THEN 'latest is what holds without a rule; cdp.drop_survivorship(trait, policy) takes rules away.'
                  ELSE 'Leave it out for the default policy.' END;
  END IF;
  r.policy := set_survivorship.policy;
  r.trait := set_survivorship.trait;
  r.strategy := split_part(set_survivorship.strategy, ':', 1);
  r.sources := coalesce(set_survivorship.sources, '{}');
  r.maximum_age := set_survivorship.maximum_age;
  r.owner := caller ->> 'role';
  r.search_path := caller ->> 'search_path';
  r.datestyle := caller ->> 'datestyle';
  r.intervalstyle := caller ->> 'intervalstyle';
  wrong := CASE
    WHEN r.trait = '' THEN 'trait is the name of a trait, a pattern such as address_*, or * for all.'
    WHEN r.policy !~ '^[a-z][a-z0-9_]{0,62}$' THEN 'A policy is named in lower case: letters, digits and underscores.'
    WHEN r.strategy NOT IN ('latest', 'earliest', 'most_frequent', 'source_priority', 'min', 'max', 'sum', 'average', 'longest',
           'shortest', 'any_true', 'all_true', 'union_list', 'intersection_list', 'counted_list', 'first_non_empty', 'verified_first',
           'maximum_age', 'never', 'aggregate', 'computed')
      THEN 'Strategies are latest, earliest, most_frequent, source_priority, min, max, sum, average, longest, shortest, any_true, all_true, union_list, intersection_list, counted_list, first_non_empty, verified_first, maximum_age, never, aggregate:name, and computed:name of a computed trait.'
    WHEN r.strategy = 'aggregate' AND coalesce(trim(substr(set_survivorship.strategy, 11)), '') = '' THEN 'Name the aggregate: aggregate:name.'
    WHEN r.strategy = 'computed' AND coalesce(trim(substr(set_survivorship.strategy, 10)), '') = '' THEN 'Name the computed trait: computed:name.'
    WHEN r.strategy = 'computed' AND r.policy = 'accounts' THEN 'Computed traits are people''s: cdp.create_account_trait makes traits of an account''s people.'
    WHEN r.strategy = 'computed' AND strpos(r.trait, '*') > 0 THEN 'computed goes with one trait: name it.'
    WHEN r.strategy = 'computed' AND r.maximum_age IS NOT NULL THEN 'A computed trait is as it is now: maximum_age goes with what sources say.'
    WHEN r.strategy NOT IN ('aggregate', 'computed') AND strpos(set_survivorship.strategy, ':') > 0 THEN 'Only aggregate and computed take a name.'
    WHEN array_position(r.sources, NULL) IS NOT NULL THEN 'sources names sources, the best first.'
    WHEN cardinality(r.sources) > 0 AND r.strategy NOT IN ('source_priority', 'first_non_empty') THEN 'sources goes with source_priority and first_non_empty.'
    WHEN r.strategy = 'maximum_age' AND r.maximum_age IS NULL THEN 'maximum_age needs a time: maximum_age => ''90 days''.'
    WHEN r.maximum_age IS NOT NULL AND (r.maximum_age <= '0' OR r.maximum_age > '36500 days' OR extract(month FROM r.maximum_age) <> 0 OR extract(year FROM r.maximum_age) <> 0)
      THEN 'maximum_age is longer than zero, at most 36500 days, and in days or shorter units: months differ in length.' END;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = format('no rule of survivorship for trait "%s" by strategy "%s"', left(r.trait, 100), left(set_survivorship.strategy, 100)), HINT = wrong;
  END IF;
  IF r.strategy = 'aggregate' THEN
    SELECT c.aggregate, c.argument INTO r.aggregate, r.argument
      FROM cdp_internal.check_aggregate(caller, trim(substr(set_survivorship.strategy, 11))) AS c;
  ELSIF r.strategy = 'computed' THEN
    r.computed := trim(substr(set_survivorship.strategy, 10));
    PERFORM cdp_internal.find_segment(r.computed, true);
  END IF;
  SELECT o.* INTO last FROM cdp.survivorship_rules AS o WHERE o.policy = r.policy AND o.trait = r.trait ORDER BY o.place DESC LIMIT 1;
  IF coalesce(fallback, false) THEN
    IF last.place IS NULL OR last.strategy = 'never' THEN
      RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('there is nothing to fall back from for trait "%s" in policy "%s"', left(r.trait, 100), r.policy),
        HINT = CASE WHEN last.place IS NULL THEN 'Set the first strategy without fallback => true.' ELSE 'never ends a chain: a conflict stays one.' END;
    END IF;
    r.place := last.place + 1;
  ELSE
    DELETE FROM cdp.survivorship_rules AS o WHERE o.policy = r.policy AND o.trait = r.trait;
    r.place := 1;
  END IF;
  INSERT INTO cdp.survivorship_rules SELECT r.*;
  FOR unknown IN SELECT s.name FROM unnest(r.sources) AS s (name) WHERE NOT EXISTS (SELECT FROM cdp.sources AS o WHERE o.source = s.name) LOOP
    RAISE NOTICE USING MESSAGE = format('nothing has come from source "%s" yet', left(unknown, 100)),
      HINT = coalesce((SELECT 'The nearest is "' || n[1] || '".' FROM cdp_internal.nearest_names(unknown, ARRAY(SELECT o.source FROM cdp.sources AS o)) AS n WHERE n[1] IS NOT NULL),
                      'SELECT source FROM cdp.sources lists those that there are.');
  END LOOP;
  IF r.strategy = 'source_priority' AND r.sources = '{}' AND cdp_internal.drafted_rules() -> 'trust' = '{}' THEN
    RAISE NOTICE USING MESSAGE = 'source_priority has neither sources nor trust to go by: the newest value wins',
      HINT = 'Name them, the best first: sources => ''{crm,shop}''; or SELECT cdp.set_source_trust(source, trust).';
  END IF;
  IF r.computed IS NOT NULL THEN
    PERFORM cdp_internal.refuse_trait_circle(cdp_internal.drafted_rules());
  END IF;
END $$;

-- Keeps its caller's search_path, which is what an aggregate's name is looked up with.
CREATE FUNCTION cdp.set_survivorship(trait text, strategy text, policy text DEFAULT 'default', sources text[] DEFAULT '{}',
    maximum_age interval DEFAULT NULL, fallback boolean DEFAULT false) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.set_survivorship(text, text, text, text[], interval, boolean) IS
  'How the golden value of a trait is chosen, in the draft until cdp.apply_survivorship(). trait: a name, a pattern with * for any characters, or *; the name goes before patterns, of these the one with most characters of its own. strategy: latest, earliest, most_frequent, source_priority, min, max, sum, average, longest, shortest, any_true, all_true, union_list, intersection_list, counted_list, first_non_empty, verified_first, maximum_age, never, aggregate:name of any aggregate, or computed:name, the value of a computed trait. maximum_age: only what was asserted within that time counts. fallback: one more strategy for when those before it find no value; else it replaces the chain. Errors: 22023, 42501 aggregate not allowed, 42704 no such computed trait, 42P17 a computed trait that asks for the trait itself, 55000 nothing to fall back from';

CREATE FUNCTION cdp.drop_survivorship(trait text, policy text DEFAULT 'default') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF trait IS NULL OR policy IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s must not be null', CASE WHEN trait IS NULL THEN 'trait' ELSE 'policy' END),
      HINT = 'SELECT policy, trait FROM cdp.survivorship_rules lists them.';
  END IF;
  DELETE FROM cdp.survivorship_rules AS r WHERE r.policy = drop_survivorship.policy AND r.trait = drop_survivorship.trait;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('there is no rule for trait "%s" in policy "%s"', left(trait, 100), left(policy, 100)),
      HINT = 'SELECT policy, trait FROM cdp.survivorship_rules lists them.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp.drop_survivorship(text, text) IS
  'Takes a trait''s rule out of the draft: patterns decide again, or the latest value. Errors: 42704 no such rule';

CREATE FUNCTION cdp.set_source_trust(source text, trust integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF source IS NULL OR source = '' OR trust IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a source and its trust are needed',
      HINT = 'SELECT cdp.set_source_trust(''crm'', 10); the higher goes first, 0 is what all others have.';
  END IF;
  INSERT INTO cdp.sources AS s (source, trust) VALUES (source, trust)
    ON CONFLICT ON CONSTRAINT sources_source_key DO UPDATE SET trust = excluded.trust;
END $$;
COMMENT ON FUNCTION cdp.set_source_trust(text, integer) IS
  'How far a source goes before others that a rule does not list, in the draft until cdp.apply_survivorship(); 0 at first. Errors: 22023';

-- What people call types elsewhere.
CREATE FUNCTION cdp_internal.nearest_trait_type(type text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN t ~ '^(int|bigint|smallint|serial|long|short|whole)' THEN 'integer'
    WHEN t ~ '^(num|dec|float|double|real)' THEN 'numeric'
    WHEN t ~ '^(mon|curr|price|amount)' THEN 'money'
    WHEN t ~ '^(bool|bit|flag|yes)' THEN 'boolean'
    WHEN t ~ '^(timest|datetime|instant|time)' THEN 'timestamp'
    WHEN t ~ '^(date|day|dat)' THEN 'date'
    WHEN t ~ '^(str|varch|char|tex|uuid|email)' THEN 'text'
    WHEN t ~ '(^(arr|lis|set|enum)|\[\]$)' THEN 'list'
    WHEN t ~ '^(json|obj|map|dict|struct|record|hstore)' THEN 'object' END
  FROM (SELECT lower(trim(type)) AS t) AS o
$$;
COMMENT ON FUNCTION cdp_internal.nearest_trait_type(text) IS 'The type of traits that somebody may have meant; null: none';

CREATE FUNCTION cdp.define_trait(trait text, type text DEFAULT 'text', unit text DEFAULT NULL, is_personal boolean DEFAULT false,
    allowed_values text[] DEFAULT NULL, description text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong text := CASE
    WHEN coalesce(trait, '') = '' THEN 'trait is the name of a trait.'
    WHEN type IS NULL OR type NOT IN ('text', 'integer', 'numeric', 'money', 'boolean', 'date', 'timestamp', 'list', 'object')
      THEN coalesce('Did you mean ' || cdp_internal.nearest_trait_type(type) || '? ', '') || 'Types are text, integer, numeric, money, boolean, date, timestamp, list and object.'
    WHEN unit = '' THEN 'unit is a name, or left out.'
    WHEN cardinality(allowed_values) = 0 OR array_position(allowed_values, NULL) IS NOT NULL THEN 'allowed_values names at least one value, or is left out.'
    WHEN allowed_values IS NOT NULL AND type IN ('list', 'object') THEN 'allowed_values goes with single values.' END;
  allowed jsonb;
BEGIN
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('trait "%s" cannot be defined as "%s"', left(trait, 100), left(type, 100)), HINT = wrong;
  END IF;
  SELECT jsonb_agg(cdp_internal.fit_value(jsonb_build_object('type', define_trait.type, 'unit', unit), to_jsonb(v)) ORDER BY o) INTO allowed
    FROM unnest(allowed_values) WITH ORDINALITY AS u (v, o);
  IF EXISTS (SELECT FROM jsonb_array_elements(allowed) AS a WHERE a ? 'code') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('an allowed value of trait "%s" is no %s', left(trait, 100), type),
      DETAIL = (SELECT format('It is %s.', allowed_values[a.place]) FROM jsonb_array_elements(allowed) WITH ORDINALITY AS a (v, place) WHERE a.v ? 'code' LIMIT 1),
      HINT = 'Write the values as the type has them.';
  END IF;
  INSERT INTO cdp.trait_definitions AS d (trait, type, unit, is_personal, allowed_values, description)
    VALUES (trait, type, unit, coalesce(is_personal, false), (SELECT jsonb_agg(a -> 'value') FROM jsonb_array_elements(allowed) AS a), description)
    ON CONFLICT ON CONSTRAINT trait_definitions_pkey DO UPDATE SET type = excluded.type, unit = excluded.unit, is_personal = excluded.is_personal,
      allowed_values = excluded.allowed_values, description = excluded.description;
END $$;

CREATE FUNCTION cdp_internal.fit_value(definition jsonb, value jsonb) RETURNS jsonb
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_fit_value';
COMMENT ON FUNCTION cdp_internal.fit_value(jsonb, jsonb) IS 'A value as a definition has it: {"value": …}, or {"code": …, "hint": …} when it does not fit';
COMMENT ON FUNCTION cdp.define_trait(text, text, text, boolean, text[], text) IS
  'Says what a trait is, in the draft until cdp.apply_survivorship(): values are then converted when profiles are folded ("49.95" of a numeric trait is the number), and what does not fit is in cdp.quarantined_traits and in no profile. type: text, integer, numeric, money, boolean, date, timestamp, list, object. unit: of money the currency. is_personal: whether it is personal data. A definition that is there is replaced. Errors: 22023';

CREATE FUNCTION cdp.drop_trait_definition(trait text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.trait_definitions AS d WHERE d.trait = drop_trait_definition.trait;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('trait "%s" is not defined', left(trait, 100)),
      HINT = 'SELECT trait FROM cdp.trait_definitions lists what is.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp.drop_trait_definition(text) IS
  'Takes a definition out of the draft: from cdp.apply_survivorship() on the trait has any values again. Errors: 42704 not defined';

-- The draft as one document, which C++ reads and a version keeps.
CREATE FUNCTION cdp_internal.drafted_rules() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'policies', (SELECT coalesce(jsonb_object_agg(p.policy, p.links), '{}') FROM (
       SELECT r.policy, jsonb_agg(jsonb_strip_nulls(jsonb_build_object('trait', r.trait, 'strategy', r.strategy,
                'sources', CASE WHEN cardinality(r.sources) > 0 THEN to_jsonb(r.sources) END,
                'maximum_age', (extract(epoch FROM r.maximum_age) * 1000000)::bigint, 'aggregate', r.aggregate, 'argument', r.argument,
                'computed', (SELECT s.segment_id FROM cdp.segments AS s WHERE s.name = r.computed AND s.kind = 'trait' AND s.replaces IS NULL),
                'settings', CASE WHEN r.aggregate IS NOT NULL THEN jsonb_build_object('owner', r.owner, 'search_path', r.search_path,
                                   'datestyle', r.datestyle, 'intervalstyle', r.intervalstyle) END)) ORDER BY r.trait COLLATE "C", r.place) AS links
       FROM cdp.survivorship_rules AS r GROUP BY r.policy) AS p),
    'definitions', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('trait', d.trait, 'type', d.type,
                             'unit', CASE WHEN d.type = 'money' THEN d.unit END, 'allowed', d.allowed_values)) ORDER BY d.trait COLLATE "C"), '[]')
                    FROM cdp.trait_definitions AS d),
    'trust', (SELECT coalesce(jsonb_object_agg(s.source, s.trust), '{}') FROM cdp.sources AS s WHERE s.trust <> 0))
$$;
COMMENT ON FUNCTION cdp_internal.drafted_rules() IS 'All rules, definitions and trust as they are in the draft';

CREATE FUNCTION cdp_internal.version_at(at timestamptz) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(max(v.version), 0) FROM cdp_internal.survivorship_versions AS v WHERE v.applied_at <= at
$$;
COMMENT ON FUNCTION cdp_internal.version_at(timestamptz) IS 'The version of rules in force at an instant; 0: none was';

CREATE FUNCTION cdp_internal.rules_in_force() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT v.rules FROM cdp_internal.survivorship_versions AS v ORDER BY v.version DESC LIMIT 1),
                  '{"policies": {}, "definitions": [], "trust": {}}')
$$;
COMMENT ON FUNCTION cdp_internal.rules_in_force() IS 'All rules, definitions and trust as they are applied';

CREATE FUNCTION cdp_internal.as_rows(rules jsonb) RETURNS TABLE (kind text, policy text, name text, what jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'rule', p.key, l ->> 'trait', jsonb_agg(l - 'trait' || CASE WHEN l ? 'computed' THEN jsonb_build_object('computed', -- as it is called today
           (SELECT s.name FROM cdp.segments AS s WHERE s.segment_id = (l ->> 'computed')::integer)) ELSE '{}' END ORDER BY o)
    FROM jsonb_each(rules -> 'policies') AS p, jsonb_array_elements(p.value) WITH ORDINALITY AS e (l, o) GROUP BY p.key, l ->> 'trait'
  UNION ALL SELECT 'definition', NULL, d ->> 'trait', d - 'trait' FROM jsonb_array_elements(rules -> 'definitions') AS d
  UNION ALL SELECT 'trust', NULL, t.key, t.value FROM jsonb_each(rules -> 'trust') AS t
$$;
COMMENT ON FUNCTION cdp_internal.as_rows(jsonb) IS 'Rules by policy and trait, definitions by trait, trust by source';

CREATE FUNCTION cdp.pending_survivorship()
  RETURNS TABLE (kind text, policy text, name text, in_force jsonb, draft jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(d.kind, f.kind), coalesce(d.policy, f.policy), coalesce(d.name, f.name), f.what, d.what
  FROM cdp_internal.as_rows(cdp_internal.drafted_rules()) AS d
  FULL JOIN cdp_internal.as_rows(cdp_internal.rules_in_force()) AS f
    ON f.kind = d.kind AND coalesce(f.policy, '') = coalesce(d.policy, '') AND f.name = d.name
  WHERE f.what IS DISTINCT FROM d.what ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION cdp.pending_survivorship() IS
  'What the draft has otherwise than what is in force: rules of policies, definitions of traits, trust in sources; null: not there';

CREATE FUNCTION cdp.apply_survivorship() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  drafted jsonb;
  force jsonb;
  made integer;
  before integer;
  people bigint := 0;
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.pending_survivorship()) THEN
    RETURN 0;
  END IF;
  -- Writers hold ROW SHARE here until they commit: whoever comes after this folds by the new rules.
  LOCK TABLE cdp.segments IN EXCLUSIVE MODE;
  drafted := cdp_internal.drafted_rules();
  PERFORM cdp_internal.refuse_trait_circle(drafted);
  force := cdp_internal.rules_in_force();
  SELECT coalesce(max(v.version), 0) + 1 INTO made FROM cdp_internal.survivorship_versions AS v;
  SELECT coalesce((SELECT v.folds_as FROM cdp_internal.survivorship_versions AS v ORDER BY v.version DESC LIMIT 1), 0) INTO before;
  IF (drafted #> '{policies,default}', drafted -> 'definitions', drafted -> 'trust') IS DISTINCT FROM
     (force #> '{policies,default}', force -> 'definitions', force -> 'trust') THEN
    before := made;
    SELECT greatest(c.reltuples, 0)::bigint INTO people FROM pg_class AS c WHERE c.oid = 'cdp.profiles'::regclass;
    DELETE FROM cdp_internal.survivorship_builds;
    INSERT INTO cdp_internal.survivorship_builds (version, total) VALUES (made, people);
  END IF;
  INSERT INTO cdp_internal.survivorship_versions (version, folds_as, rules) VALUES (made, before, drafted);
  RETURN made;
END $$;
COMMENT ON FUNCTION cdp.apply_survivorship() IS
  'Puts the draft of rules, definitions and trust in force and returns the number of its version, 0 when nothing is pending. Messages from here on are folded by it; the worker, or CALL cdp.run(), folds everybody else anew in batches, with their segments: see cdp.progress';

REVOKE ALL ON TABLE cdp.survivorship_rules, cdp.trait_definitions, cdp.quarantined_traits, cdp.survivorship_errors FROM PUBLIC;
