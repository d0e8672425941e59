-- bi: views of people with typed columns, for tools that know nothing of JSON. This is what a view is made of; what makes,
-- changes and refreshes views is in profile_view_changes.sql.

CREATE SCHEMA cdp_views;
COMMENT ON SCHEMA cdp_views IS 'Views of people with typed columns, for BI tools; see cdp.create_profile_view';

CREATE TABLE cdp_internal.profile_views (
  name         text NOT NULL PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  owner        name NOT NULL,
  description  text,
  materialized boolean NOT NULL,
  refresh      interval CHECK (refresh > '0'),
  created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CHECK (materialized OR refresh IS NULL)
);
COMMENT ON TABLE cdp_internal.profile_views IS 'What cdp.profile_views shows: the definitions';

-- A segment, or computed trait, is known by its number: it may be renamed.
CREATE TABLE cdp_internal.profile_view_columns (
  view        text NOT NULL,
  place       integer NOT NULL,
  name        text NOT NULL,
  kind        text NOT NULL,
  path        text[],
  segment_id  integer,
  part        text,
  type        text NOT NULL,
  description text,
  PRIMARY KEY (view, place)
);
COMMENT ON TABLE cdp_internal.profile_view_columns IS 'The columns of each profile view, but for profile_id, in order';
COMMENT ON COLUMN cdp_internal.profile_view_columns.path IS 'Of a trait its name, and further names inside of it; of identifiers their type';
COMMENT ON COLUMN cdp_internal.profile_view_columns.part IS 'Of a segment: null (is the person in it), since, until, keys';

CREATE TABLE cdp_internal.profile_view_refreshes (
  view         text NOT NULL PRIMARY KEY,
  refreshed_at timestamptz,
  tried_at     timestamptz NOT NULL,
  took         interval,
  people       bigint,
  misfits      jsonb,
  sqlstate     text,
  message      text
);
COMMENT ON TABLE cdp_internal.profile_view_refreshes IS 'The latest refresh of each materialized profile view';

SELECT pg_catalog.pg_extension_config_dump('cdp_internal.profile_views', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.profile_view_columns', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.profile_view_refreshes', '');
REVOKE ALL ON TABLE cdp_internal.profile_views, cdp_internal.profile_view_columns, cdp_internal.profile_view_refreshes FROM PUBLIC;

-- Called for each row and column: it pins no search_path, and looks nothing up by name.
CREATE FUNCTION cdp_internal.as_type(value jsonb, "like" anyelement, modifier integer) RETURNS anyelement
  LANGUAGE c STABLE PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'cdp_as_type';
COMMENT ON FUNCTION cdp_internal.as_type(jsonb, anyelement, integer) IS
  'A JSON value as a type has it; null when it does not fit. Times are read as ISO 8601, whatever the session''s settings';

-- Reading what somebody wants.

CREATE FUNCTION cdp_internal.refuse_view_column(named text, message text, hint text, code text DEFAULT 'invalid_parameter_value') RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = concat('column ' || quote_ident(left(named, 100)) || ': ', message), HINT = hint;
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_view_column(text, text, text, text) IS 'Raises the error of a column that cannot be';

-- A type as PostgreSQL spells it, with its modifier. Only types that any JSON value can be read as, or not, without an error.
CREATE FUNCTION cdp_internal.view_type(named text, type text, OUT spelled text, OUT base regtype, OUT modifier integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts text[] := regexp_match(lower(type), '^\s*([a-z0-9_ "]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(\[\s*\])?\s*$');
  readable constant regtype[] := '{boolean,smallint,integer,bigint,numeric,real,double precision,date,time,timestamp,timestamptz,interval,uuid,inet,text,varchar,bpchar,jsonb}';
  is_array boolean;
BEGIN
  BEGIN
    base := to_regtype(parts[1]);
  EXCEPTION WHEN syntax_error THEN NULL; -- as that of no type
  END;
  is_array := parts[4] IS NOT NULL OR base::text LIKE '%[]';
  IF base::text LIKE '%[]' THEN
    base := rtrim(base::text, '[]')::regtype;
  END IF;
  IF base IS NULL OR NOT base = ANY (readable) OR is_array AND base = 'jsonb'::regtype THEN
    PERFORM cdp_internal.refuse_view_column(named, format('"%s" is not a type of columns', left(type, 100)),
      format('There are %s, and arrays of them. A name with blanks is put in double quotes: trait "First Name".', array_to_string(readable, ', ')), 'undefined_object');
  ELSIF parts[2] IS NOT NULL AND NOT base = ANY ('{numeric,varchar,bpchar}'::regtype[]) THEN
    PERFORM cdp_internal.refuse_view_column(named, format('type %s takes no length here', base), 'numeric, varchar and char do.');
  END IF;
  modifier := CASE WHEN parts[2] IS NULL THEN -1
    WHEN base = 'numeric'::regtype THEN numerictypmodin(('{' || concat_ws(',', parts[2], parts[3]) || '}')::cstring[])
    WHEN base = 'varchar'::regtype THEN varchartypmodin(('{' || parts[2] || '}')::cstring[])
    ELSE bpchartypmodin(('{' || parts[2] || '}')::cstring[]) END;
  spelled := format_type(base, modifier) || CASE WHEN is_array THEN '[]' ELSE '' END;
  base := CASE WHEN is_array THEN (base || '[]')::regtype ELSE base END;
END $$;
COMMENT ON FUNCTION cdp_internal.view_type(text, text) IS 'A type of a profile view''s column, or the error that it is none';

-- What a definition of the trait says, where there is one; the table came later than views.
CREATE FUNCTION cdp_internal.defined_trait(trait text, OUT type text, OUT unit text, OUT description text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regclass('cdp.trait_definitions') IS NOT NULL THEN
    EXECUTE 'SELECT d.type, d.unit, d.description FROM cdp.trait_definitions AS d WHERE d.trait = $1' INTO type, unit, description USING trait;
    type := CASE type WHEN 'integer' THEN 'bigint' WHEN 'money' THEN 'numeric' WHEN 'timestamp' THEN 'timestamptz'
                      WHEN 'list' THEN 'jsonb' WHEN 'object' THEN 'jsonb' ELSE type END;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.defined_trait(text) IS 'What cdp.define_trait said of a trait; nulls when it said nothing';

-- The type of the expression, asked of PostgreSQL over no events.
CREATE FUNCTION cdp_internal.computed_type(s cdp.segments) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found text;
BEGIN
  found := (SELECT q ->> 'type' FROM cdp_internal.query_as_owner(s.owner, s.time_zone, s.search_path, s.datestyle, s.intervalstyle,
    format($q$SELECT t.type FROM (SELECT '{}'::pg_catalog.jsonb AS traits, '{}'::pg_catalog.jsonb AS computed, 0::pg_catalog.int8 AS profile_id) AS p,
        LATERAL (SELECT pg_catalog.pg_typeof((%s
      ))::pg_catalog.text AS type FROM (SELECT x.event_id, x.type, x.event, x.source, x.occurred_at, x.received_at, x.properties, x.context
        FROM cdp.events AS x WHERE false) AS e) AS t$q$,
      cdp_internal.rule_in_sql(s.owner, s.time_zone, s.search_path, s.datestyle, s.intervalstyle, s.rule, NULL, true))) AS q);
  PERFORM cdp_internal.view_type(s.name, found);
  RETURN found;
EXCEPTION WHEN OTHERS THEN
  IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58') THEN
    RAISE;
  END IF;
  RETURN 'text'; -- an expression that fails for who did nothing, or a type of its own
END $$;
COMMENT ON FUNCTION cdp_internal.computed_type(cdp.segments) IS 'The type that a computed trait''s column has when none is said';

-- One row a column, as it was written: an object by column names, or an array of sources or objects.
CREATE FUNCTION cdp_internal.wanted_columns(columns json) RETURNS TABLE (place integer, name text, source text, type text, description text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  named text;
  value json;
  other text;
BEGIN
  IF columns IS NULL OR json_typeof(columns) NOT IN ('object', 'array') THEN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN columns IS NULL THEN 'null_value_not_allowed' ELSE 'invalid_parameter_value' END,
      MESSAGE = 'columns must be an object of names and sources, or an array of sources',
      HINT = 'Such as {"email": "identifier email", "age": "trait age integer", "vip": "segment vip"}.';
  END IF;
  place := 0;
  FOR named, value IN
    SELECT e.key, e.value FROM json_each(CASE json_typeof(columns) WHEN 'object' THEN columns ELSE '{}' END) AS e
    UNION ALL SELECT NULL, e FROM json_array_elements(CASE json_typeof(columns) WHEN 'array' THEN columns ELSE '[]' END) AS e
  LOOP
    place := place + 1;
    name := named;
    source := CASE json_typeof(value) WHEN 'string' THEN value #>> '{}' WHEN 'object' THEN value ->> 'source' END;
    type := NULL;
    description := NULL;
    IF json_typeof(value) = 'object' THEN
      other := (SELECT k FROM json_object_keys(value) AS k WHERE k NOT IN ('source', 'type', 'description')
                  AND (k <> 'column' OR named IS NOT NULL) LIMIT 1);
      name := coalesce(named, value ->> 'column');
      type := value ->> 'type';
      description := value ->> 'description';
    END IF;
    IF source IS NULL OR other IS NOT NULL THEN
      PERFORM cdp_internal.refuse_view_column(coalesce(name, place::text),
        CASE WHEN other IS NOT NULL THEN format('nothing is called "%s"', left(other, 100)) ELSE 'a source is missing' END,
        'A column is a text such as "trait age integer", or an object with source, and if you like type, description and, in an array, column.');
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.wanted_columns(json) IS 'The columns of a profile view as they were written';

CREATE FUNCTION cdp_internal.read_view_column(view text, wanted record) RETURNS cdp_internal.profile_view_columns
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts   text[] := regexp_match(wanted.source, '^\s*(\w+)(?:\s+("(?:[^"]|"")+"|[^\s"]+))?(?:\s+(\S.*?))?\s*$');
  subject text := CASE WHEN parts[2] LIKE '"%' THEN replace(substr(parts[2], 2, length(parts[2]) - 2), '""', '"') ELSE parts[2] END;
  kinds   constant text[] := '{identifier,identifiers,trait,computed,segment,account,account_segment,accounts,public_id,first_seen_at,last_seen_at}';
  c       cdp_internal.profile_view_columns;
  wanted_type text := coalesce(wanted.type, CASE WHEN parts[1] <> 'segment' THEN parts[3] END);
  s       cdp.segments;
BEGIN
  c.view := view;
  c.place := wanted.place;
  c.kind := parts[1];
  c.description := wanted.description;
  c.name := coalesce(wanted.name, CASE parts[1] WHEN 'trait' THEN replace(subject, '.', '_') WHEN 'segment' THEN concat_ws('_', subject, parts[3]) WHEN 'account' THEN 'account_' || subject ELSE coalesce(subject, parts[1]) END);
  IF c.kind IS NULL OR NOT c.kind = ANY (kinds) OR (subject IS NULL) <> (c.kind IN ('public_id', 'first_seen_at', 'last_seen_at', 'accounts')) THEN
    PERFORM cdp_internal.refuse_view_column(c.name, format('"%s" is no source', left(wanted.source, 100)),
      'Sources are: identifier TYPE, identifiers TYPE, trait NAME, computed NAME, segment NAME [since | until | keys], account NAME, account_segment NAME, accounts, public_id, first_seen_at, last_seen_at; behind a name may stand a type. A name with blanks or dots in it is put in double quotes.');
  END IF;
  c.path := CASE WHEN c.kind = 'trait' AND parts[2] NOT LIKE '"%' THEN string_to_array(subject, '.') WHEN c.kind LIKE 'identifier%' OR c.kind IN ('trait', 'account', 'account_segment') THEN ARRAY[subject] END;
  IF c.kind LIKE 'identifier%' AND NOT EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = subject)
     AND NOT EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.type = subject) THEN
    PERFORM cdp_internal.refuse_view_column(c.name, format('there is no identifier type "%s"', subject),
      'Nearest: ' || (cdp_internal.nearest_names(subject, ARRAY(SELECT t.type FROM cdp.identifier_types AS t)))[1] || '.', 'undefined_object');
  ELSIF c.kind IN ('computed', 'segment') THEN
    BEGIN
      s := cdp_internal.find_segment(subject, c.kind = 'computed');
    EXCEPTION WHEN undefined_object THEN
      PERFORM cdp_internal.refuse_view_column(c.name, SQLERRM,
        coalesce('Nearest: ' || (cdp_internal.nearest_names(subject, ARRAY(SELECT o.name FROM cdp.segments AS o WHERE o.replaces IS NULL AND (o.kind = 'trait') = (c.kind = 'computed'))))[1] || '.',
                 format('There is none yet; see cdp.create_%s.', CASE c.kind WHEN 'segment' THEN 'segment' ELSE 'computed_trait' END)), 'undefined_object');
    END;
    c.segment_id := s.segment_id;
  ELSIF c.kind IN ('account', 'account_segment') THEN
    BEGIN
      PERFORM cdp_internal.find_account_definition(CASE c.kind WHEN 'account' THEN 'trait' ELSE 'segment' END, subject);
    EXCEPTION WHEN undefined_object THEN
      PERFORM cdp_internal.refuse_view_column(c.name, SQLERRM, 'account NAME is an account trait, account_segment NAME an account segment; SELECT kind, name FROM cdp.account_definitions lists them.', 'undefined_object');
    END;
  END IF;
  IF c.kind = 'segment' THEN
    c.part := nullif(lower(parts[3]), 'boolean');
    IF c.part NOT IN ('since', 'until', 'keys') OR wanted_type IS NOT NULL THEN
      PERFORM cdp_internal.refuse_view_column(c.name, format('a segment has no "%s"', left(coalesce(wanted_type, parts[3]), 100)),
        'segment NAME is whether the person is in it; behind it may stand since, until or keys.');
    END IF;
  ELSIF (subject IS NULL OR c.kind LIKE 'account%') AND wanted_type IS NOT NULL THEN
    PERFORM cdp_internal.refuse_view_column(c.name, format('%s has a type of its own', c.kind), 'Leave the type out.');
  END IF;
  c.type := coalesce(wanted_type, CASE c.kind
    WHEN 'trait' THEN CASE WHEN cardinality(c.path) = 1 THEN (cdp_internal.defined_trait(subject)).type END
    WHEN 'computed' THEN cdp_internal.computed_type(s)
    WHEN 'identifiers' THEN 'text[]' WHEN 'accounts' THEN 'text[]' WHEN 'account' THEN 'text[]' WHEN 'account_segment' THEN 'boolean'
    WHEN 'public_id' THEN 'uuid'
    WHEN 'segment' THEN CASE c.part WHEN 'keys' THEN 'text[]' WHEN 'since' THEN 'timestamptz' WHEN 'until' THEN 'timestamptz' ELSE 'boolean' END
    WHEN 'first_seen_at' THEN 'timestamptz' WHEN 'last_seen_at' THEN 'timestamptz' END, 'text');
  c.type := (cdp_internal.view_type(c.name, c.type)).spelled;
  IF c.kind = 'identifiers' AND c.type NOT LIKE '%[]' THEN
    PERFORM cdp_internal.refuse_view_column(c.name, format('identifiers are many, and type %s is of one', c.type), format('Say identifier %s, or type %s[].', subject, c.type));
  END IF;
  RETURN c;
END $$;
COMMENT ON FUNCTION cdp_internal.read_view_column(text, record) IS 'A column of a profile view, or the error that it cannot be';

CREATE FUNCTION cdp_internal.read_view_columns(view text, columns json) RETURNS SETOF cdp_internal.profile_view_columns
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  w record;
  c cdp_internal.profile_view_columns;
  names text[] := '{profile_id}';
  unseen text;
BEGIN
  FOR w IN SELECT * FROM cdp_internal.wanted_columns(columns) LOOP
    c := cdp_internal.read_view_column(view, w);
    IF c.name = '' OR octet_length(c.name) > 63 THEN
      PERFORM cdp_internal.refuse_view_column(c.name, 'a name has 1 to 63 bytes', 'Give it another one.', 'invalid_name');
    ELSIF c.name = ANY (names) THEN
      PERFORM cdp_internal.refuse_view_column(c.name, 'there is one of that name already',
        CASE c.name WHEN 'profile_id' THEN 'profile_id is the first column of every profile view.' ELSE 'Give one of them another name.' END, 'duplicate_column');
    END IF;
    names := names || c.name;
    IF c.kind = 'trait' AND NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.traits ? c.path[1]) THEN
      unseen := c.path[1];
      RAISE NOTICE USING MESSAGE = format('column %s: nobody has a trait "%s"', quote_ident(c.name), unseen),
        HINT = coalesce((SELECT 'The nearest is "' || n[1] || '".' FROM cdp_internal.nearest_names(unseen, ARRAY(
          SELECT DISTINCT k FROM (SELECT p.traits FROM cdp.profiles AS p LIMIT 10000) AS p, jsonb_object_keys(p.traits) AS k)) AS n), '');
    END IF;
    RETURN NEXT c;
  END LOOP;
  IF cardinality(names) = 1 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('profile view "%s" has no columns', view),
      HINT = 'Such as {"email": "identifier email", "age": "trait age integer", "vip": "segment vip"}.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.read_view_columns(text, json) IS 'The columns of a profile view as they are kept';

-- What a column is in SQL: of a person p. A subquery by the indexes of people costs nothing where the column is not asked for;
-- EXISTS becomes one hash of the whole segment when everybody is asked for.
CREATE FUNCTION cdp_internal.view_source(c cdp_internal.profile_view_columns, as_text boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE c.kind
    WHEN 'accounts' THEN 'ARRAY(SELECT m.group_id FROM cdp.account_members AS m WHERE m.profile_id = p.profile_id ORDER BY 1)'
    WHEN 'account' THEN format('ARRAY(SELECT DISTINCT r.value #>> ''{}'' FROM cdp.account_members AS m JOIN cdp.account_results AS r USING (group_id) '
      'WHERE m.profile_id = p.profile_id AND r.definition_id = %s AND r.left_at = ''infinity'' ORDER BY 1)',
      (cdp_internal.find_account_definition('trait', c.path[1])).definition_id)
    WHEN 'account_segment' THEN format('(EXISTS (SELECT FROM cdp.account_members AS m JOIN cdp.account_results AS r USING (group_id) '
      'WHERE m.profile_id = p.profile_id AND r.definition_id = %s AND r.left_at = ''infinity''))', (cdp_internal.find_account_definition('segment', c.path[1])).definition_id)
    WHEN 'public_id' THEN 'p.public_id'
    WHEN 'last_seen_at' THEN 'p.last_seen_at'
    WHEN 'first_seen_at' THEN '(SELECT min(i.first_seen_at) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id)'
    WHEN 'trait' THEN CASE WHEN cardinality(c.path) = 1 THEN format('(p.traits %s %L)', CASE WHEN as_text THEN '->>' ELSE '->' END, c.path[1])
                           ELSE format('(p.traits %s %L)', CASE WHEN as_text THEN '#>>' ELSE '#>' END, c.path) END
    WHEN 'identifier' THEN format(CASE WHEN as_text THEN '%s' ELSE 'to_jsonb(%s)' END,
      format('(SELECT i.value FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id AND i.type = %L ORDER BY i.first_seen_at, i.identifier_id LIMIT 1)', c.path[1]))
    WHEN 'identifiers' THEN format(CASE WHEN as_text THEN '%s' ELSE 'to_jsonb(%s)' END,
      format('ARRAY(SELECT i.value FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id AND i.type = %L ORDER BY i.first_seen_at, i.identifier_id)', c.path[1]))
    WHEN 'computed' THEN format('(SELECT m.key::jsonb%s FROM cdp.memberships AS m WHERE m.profile_id = p.profile_id AND m.segment_id = %s '
      'AND m.entered_at <= now() AND m.left_at > now() ORDER BY m.entered_at DESC LIMIT 1)', CASE WHEN as_text THEN ' #>> ''{}''' ELSE '' END, c.segment_id)
    ELSE format(CASE c.part WHEN 'since' THEN '(SELECT min(m.entered_at) FROM %s)' WHEN 'until' THEN '(SELECT nullif(max(m.left_at), ''infinity'') FROM %s)'
                            WHEN 'keys' THEN 'ARRAY(SELECT m.key FROM %s ORDER BY m.key)' ELSE '(EXISTS (SELECT FROM %s))' END,
      format('cdp.memberships AS m WHERE m.profile_id = p.profile_id AND m.segment_id = %s AND m.entered_at <= now() AND m.left_at > now()', c.segment_id)) END
$$;
COMMENT ON FUNCTION cdp_internal.view_source(cdp_internal.profile_view_columns, boolean) IS 'The SQL of a column before its type: jsonb, or text';

CREATE FUNCTION cdp_internal.view_value_can_miss(c cdp_internal.profile_view_columns) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.kind IN ('trait', 'computed', 'identifier', 'identifiers') AND c.type NOT IN ('text', 'jsonb') AND NOT (c.kind = 'identifiers' AND c.type = 'text[]')
$$;
COMMENT ON FUNCTION cdp_internal.view_value_can_miss(cdp_internal.profile_view_columns) IS 'Whether a value may not fit the type of its column';

-- $1 is a JSON value in the place of `source`.
CREATE FUNCTION cdp_internal.view_cast(c cdp_internal.profile_view_columns, source text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('cdp_internal.as_type(%s, NULL::%s, %s)', source, t.base, t.modifier) || CASE WHEN t.modifier >= 0 THEN '::' || t.spelled ELSE '' END
  FROM cdp_internal.view_type(c.name, c.type) AS t
$$;
COMMENT ON FUNCTION cdp_internal.view_cast(cdp_internal.profile_view_columns, text) IS 'The SQL that makes a JSON value one of a column''s type';

CREATE FUNCTION cdp_internal.view_query(view text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('SELECT p.profile_id, %s FROM cdp.profiles AS p', string_agg(format('%s AS %I',
    CASE WHEN cdp_internal.view_value_can_miss(c) THEN cdp_internal.view_cast(c, cdp_internal.view_source(c, false))
         ELSE cdp_internal.view_source(c, c.type <> 'jsonb') END, c.name), ', ' ORDER BY c.place))
  FROM cdp_internal.profile_view_columns AS c WHERE c.view = view_query.view
$$;
COMMENT ON FUNCTION cdp_internal.view_query(text) IS 'The query of a profile view';

CREATE FUNCTION cdp_internal.say_view_column(c cdp_internal.profile_view_columns) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', rtrim(coalesce(c.description, d.description), '.') || '.',
    CASE c.kind
      WHEN 'accounts' THEN 'The accounts that the person belongs to'
      WHEN 'account' THEN format('The values of account trait %s in the accounts that the person belongs to, as of its last refresh', c.path[1])
      WHEN 'account_segment' THEN format('Whether an account that the person belongs to was in account segment %s at its last refresh', c.path[1])
      WHEN 'public_id' THEN 'The id to give to others'
      WHEN 'first_seen_at' THEN 'When the first of the person''s identifiers was first seen'
      WHEN 'last_seen_at' THEN 'Latest receipt time of a message about the person'
      WHEN 'identifier' THEN format('The identifier of type %s that was seen first', c.path[1])
      WHEN 'identifiers' THEN format('All identifiers of type %s', c.path[1])
      WHEN 'trait' THEN format('Golden trait %s', array_to_string(c.path, ', in it ')) || coalesce(', in ' || d.unit, '')
      WHEN 'computed' THEN format('Computed trait %s: %s', s.name, btrim(regexp_replace(s.rule, '\s+', ' ', 'g')))
      ELSE format(CASE c.part WHEN 'since' THEN 'Since when in segment %s' WHEN 'until' THEN 'Until when, if nothing new happens, in segment %s (null: for ever, or not in it)'
                              WHEN 'keys' THEN 'For what in segment %s' ELSE 'Whether in segment %s' END, s.name)
        || coalesce(': ' || btrim(regexp_replace(s.rule, '\s+', ' ', 'g')), '') END || '.',
    CASE WHEN cdp_internal.view_value_can_miss(c) THEN format('Null where there is none, or it does not fit %s.', c.type) END)
  FROM (SELECT (cdp_internal.defined_trait(CASE WHEN c.kind = 'trait' AND cardinality(c.path) = 1 THEN c.path[1] END)).*) AS d
  LEFT JOIN cdp.segments AS s ON s.segment_id = c.segment_id
$$;
COMMENT ON FUNCTION cdp_internal.say_view_column(cdp_internal.profile_view_columns) IS 'The comment of a profile view''s column';
