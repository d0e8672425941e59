-- templates: rules with blanks, for people who do not write SQL. What is shipped is in templates_shipped.sql.

CREATE TABLE cdp.segment_templates (
  template    text COLLATE "C" PRIMARY KEY CHECK (template ~ '^[a-z][a-z0-9_]{0,62}$'),
  title       text NOT NULL,
  description text NOT NULL,
  parameters  jsonb NOT NULL,
  rule        text NOT NULL,
  per         text,
  example     text NOT NULL,
  created_by  name
);
COMMENT ON TABLE cdp.segment_templates IS
  'Rules with blanks: cdp.create_segment_from(template, name, parameters) fills them in and makes a segment';
COMMENT ON COLUMN cdp.segment_templates.description IS 'What it finds, for whom that is good, and what the numbers mean';
COMMENT ON COLUMN cdp.segment_templates.parameters IS
  'Array of what may be filled in: name, type (number, integer, year, text, text list, steps, interval), default (none: it must be given), minimum, maximum, unit, description';
COMMENT ON COLUMN cdp.segment_templates.rule IS 'The rule, in which {name} outside of quotes stands for a parameter';
COMMENT ON COLUMN cdp.segment_templates.per IS 'What a membership is counted per, such as a product; null: one a person';
COMMENT ON COLUMN cdp.segment_templates.created_by IS 'Who added it; null: it is shipped';
SELECT pg_catalog.pg_extension_config_dump('cdp.segment_templates', 'WHERE created_by IS NOT NULL');

-- A rule cut at its placeholders. Strings are pieces as they are: a brace in them is a brace, and no value gets between their quotes.
CREATE FUNCTION cdp_internal.template_pieces(source text) RETURNS TABLE (piece text, placeholder text, place bigint)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT m[1], substring(m[1] FROM '^\{([a-z][a-z0-9_]*)\}$'), n
  FROM regexp_matches(source, $re$([eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\{[a-z][a-z0-9_]*\}|[^'"{eE]+|.)$re$, 'g')
    WITH ORDINALITY AS t (m, n)
$$;
COMMENT ON FUNCTION cdp_internal.template_pieces(text) IS 'A template''s rule in pieces: placeholders, strings, and what is between';

CREATE FUNCTION cdp_internal.fill_template(source text, literals jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(coalesce(literals ->> placeholder, piece), '' ORDER BY place) FROM cdp_internal.template_pieces(source)
$$;
COMMENT ON FUNCTION cdp_internal.fill_template(text, jsonb) IS 'A template''s rule with SQL literals in place of its placeholders';

-- One value as SQL says it; null: it is not of that type.
CREATE FUNCTION cdp_internal.template_literal(type text, value jsonb) RETURNS text
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  said text := value #>> '{}';
BEGIN
  IF type IN ('text list', 'steps') THEN
    IF jsonb_typeof(value) <> 'array' OR value = '[]'
       OR EXISTS (SELECT FROM jsonb_array_elements(value) AS e WHERE jsonb_typeof(e) <> 'string' OR e = '""') THEN
      RETURN NULL;
    END IF;
    RETURN (SELECT string_agg(CASE type WHEN 'steps' THEN 'event = ' ELSE '' END || quote_literal(e), ', ' ORDER BY n)
            FROM jsonb_array_elements_text(value) WITH ORDINALITY AS t (e, n));
  ELSIF type = 'number' AND jsonb_typeof(value) = 'number' THEN
    RETURN CASE WHEN said::numeric < 0 THEN '(' || said || ')' ELSE said END;
  ELSIF type IN ('integer', 'year') AND jsonb_typeof(value) = 'number' AND said::numeric = trunc(said::numeric) THEN
    RETURN CASE WHEN said::numeric < 0 THEN '(' || trunc(said::numeric) || ')' ELSE trunc(said::numeric)::text END;
  ELSIF type = 'text' AND jsonb_typeof(value) = 'string' AND said <> '' THEN
    RETURN quote_literal(said);
  ELSIF type = 'interval' AND jsonb_typeof(value) = 'string' AND said ~ '[[:alpha:]:]' THEN
    PERFORM said::interval; -- without a unit, 7 would be seconds
    RETURN 'interval ' || quote_literal(said);
  END IF;
  RETURN NULL;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.template_literal(text, jsonb) IS 'A template''s value as an SQL literal; null when it is not of the type';

CREATE FUNCTION cdp_internal.template_value_fits(declared jsonb, value jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN declared ->> 'type' = 'interval' THEN
      (value #>> '{}')::interval BETWEEN coalesce(declared ->> 'minimum', '1 second')::interval AND coalesce(declared ->> 'maximum', '1000 years')::interval
    WHEN declared ->> 'type' IN ('number', 'integer', 'year') THEN
      coalesce((value #>> '{}')::numeric >= (declared ->> 'minimum')::numeric, true)
      AND coalesce((value #>> '{}')::numeric <= (declared ->> 'maximum')::numeric, true)
    ELSE true END
$$;
COMMENT ON FUNCTION cdp_internal.template_value_fits(jsonb, jsonb) IS 'Is a value of the right type within a parameter''s minimum and maximum?';

CREATE FUNCTION cdp_internal.say_template_parameter(declared jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%s (%s)', declared ->> 'name', concat_ws(', ', declared ->> 'type',
    'from ' || (declared ->> 'minimum'), 'to ' || (declared ->> 'maximum'),
    coalesce('default ' || (declared -> 'default')::text, 'to be given')))
$$;
COMMENT ON FUNCTION cdp_internal.say_template_parameter(jsonb) IS 'A template''s parameter in words';

-- Alike: of the letters of both names, the most at the same or a neighbouring place.
CREATE FUNCTION cdp_internal.nearest_names(wanted text, known text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(k ORDER BY (SELECT count(*) FROM generate_series(1, length(wanted)) AS i
                               WHERE strpos(substr(k, greatest(i - 1, 1), 3), substr(wanted, i, 1)) > 0)::numeric
                              / greatest(length(k), length(wanted), 1) DESC, k COLLATE "C") FROM unnest(known) AS k
$$;
COMMENT ON FUNCTION cdp_internal.nearest_names(text, text[]) IS 'Names, the most alike first';

CREATE FUNCTION cdp_internal.refuse_template(template text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  near text[] := cdp_internal.nearest_names(coalesce($1, ''), ARRAY(SELECT t.template FROM cdp.segment_templates AS t));
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('segment template "%s" does not exist', $1),
    HINT = format('Nearest: %s. SELECT template, title FROM cdp.segment_templates shows all.',
                  (SELECT string_agg(quote_literal(n), ', ' ORDER BY place) FROM unnest(near[:3]) WITH ORDINALITY AS t (n, place)));
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_template(text) IS 'Raises the error of an unknown template';

CREATE FUNCTION cdp_internal.refuse_template_value(chosen cdp.segment_templates, message text, detail text, nearest text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('segment template "%s": %s', (chosen).template, message),
    DETAIL = detail,
    HINT = concat_ws(' ', 'Nearest: ' || quote_literal(nearest) || '.', coalesce('Parameters: '
      || (SELECT string_agg(cdp_internal.say_template_parameter(d), ', ' ORDER BY n) FROM jsonb_array_elements((chosen).parameters) WITH ORDINALITY AS t (d, n)) || '.',
      'It has no parameters.'));
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_template_value(cdp.segment_templates, text, text, text) IS 'Raises the error of a parameter that cannot be filled in';

-- Definer: reads one table that anybody who may call this may read, and helpers that need no grants of their own.
CREATE FUNCTION cdp.render_segment_template(template text, parameters jsonb DEFAULT '{}') RETURNS TABLE (rule text, per text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  chosen   cdp.segment_templates := (SELECT t FROM cdp.segment_templates AS t WHERE t.template = $1);
  given    jsonb := coalesce($2, '{}');
  literals jsonb := '{}';
  declared jsonb;
  value    jsonb;
  literal  text;
  unknown  text;
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.refuse_template($1);
  ELSIF jsonb_typeof(given) <> 'object' THEN
    PERFORM cdp_internal.refuse_template_value(chosen, format('parameters must be a JSON object, not %s', given), 'Such as {"window": "7 days"}.');
  END IF;
  SELECT k INTO unknown FROM jsonb_object_keys(given) AS k
    WHERE NOT EXISTS (SELECT FROM jsonb_array_elements((chosen).parameters) AS d WHERE d ->> 'name' = k) ORDER BY k LIMIT 1;
  IF FOUND THEN
    PERFORM cdp_internal.refuse_template_value(chosen, format('there is no parameter "%s"', unknown), format('It was given as %s.', given -> unknown),
      (cdp_internal.nearest_names(unknown, ARRAY(SELECT d ->> 'name' FROM jsonb_array_elements((chosen).parameters) AS d)))[1]);
  END IF;
  FOR declared IN SELECT d FROM jsonb_array_elements((chosen).parameters) WITH ORDINALITY AS t (d, n) ORDER BY n LOOP
    value := coalesce(given -> (declared ->> 'name'), declared -> 'default');
    IF value IS NULL THEN
      PERFORM cdp_internal.refuse_template_value(chosen, format('parameter "%s" must be given', declared ->> 'name'), declared ->> 'description');
    END IF;
    -- A rule that names years starts with the one in which it is made.
    IF declared ->> 'type' = 'year' AND value = '"this year"' THEN
      value := to_jsonb(extract(year FROM now()));
    END IF;
    literal := cdp_internal.template_literal(declared ->> 'type', value);
    IF literal IS NULL THEN
      PERFORM cdp_internal.refuse_template_value(chosen, format('parameter "%s" must be %s, not %s', declared ->> 'name',
        CASE declared ->> 'type' WHEN 'number' THEN 'a number' WHEN 'integer' THEN 'a whole number' WHEN 'year' THEN 'a year'
          WHEN 'text' THEN 'some text' WHEN 'interval' THEN 'a time with its unit, such as "7 days"' ELSE 'a list of texts, such as ["Order Completed"]' END, value),
        declared ->> 'description');
    ELSIF NOT cdp_internal.template_value_fits(declared, value) THEN
      PERFORM cdp_internal.refuse_template_value(chosen, format('parameter "%s" must be %s, not %s', declared ->> 'name',
        concat_ws(' and ', 'at least ' || coalesce(declared ->> 'minimum', CASE declared ->> 'type' WHEN 'interval' THEN '1 second' END),
          'at most ' || (declared ->> 'maximum')), value), declared ->> 'description');
    END IF;
    literals := literals || jsonb_build_object(declared ->> 'name', literal);
  END LOOP;
  RETURN QUERY SELECT cdp_internal.fill_template((chosen).rule, literals), cdp_internal.fill_template((chosen).per, literals);
END $$;
COMMENT ON FUNCTION cdp.render_segment_template(text, jsonb) IS
  'The rule that a template makes of these parameters, to look at before it is saved. Errors: 42704 unknown template, 22023 a parameter that is unknown, missing, of the wrong type or out of range';

-- Its body is bound when it is made, so it needs no search_path, and cdp.create_segment finds its caller's, and its caller.
CREATE FUNCTION cdp.create_segment_from(template text, name text, parameters jsonb DEFAULT '{}', time_zone text DEFAULT 'UTC') RETURNS integer
LANGUAGE sql BEGIN ATOMIC
  SELECT cdp.create_segment(create_segment_from.name, made.rule, made.per, create_segment_from.time_zone)
  FROM cdp.render_segment_template(create_segment_from.template, create_segment_from.parameters) AS made;
END;
COMMENT ON FUNCTION cdp.create_segment_from(text, text, jsonb, text) IS
  'Creates a segment from a template (cdp.segment_templates) and finds its members; the rule runs as the caller. Errors as cdp.render_segment_template and cdp.create_segment';

-- What is declared can be filled in, and what is to be filled in is declared.
CREATE FUNCTION cdp_internal.check_template(made cdp.segment_templates) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  declared jsonb;
  wrong    text;
BEGIN
  IF jsonb_typeof((made).parameters) IS DISTINCT FROM 'array' THEN
    made.parameters := '[]';
    wrong := 'parameters must be a JSON array';
  END IF;
  FOR declared IN SELECT d FROM jsonb_array_elements((made).parameters) AS d LOOP
    EXIT WHEN wrong IS NOT NULL;
    wrong := CASE
      WHEN jsonb_typeof(declared) <> 'object' OR coalesce(declared ->> 'name', '') !~ '^[a-z][a-z0-9_]*$' THEN
        format('%s is no parameter: it needs a name of lower-case letters, digits and underscores', declared)
      WHEN coalesce(declared ->> 'type', '') NOT IN ('number', 'integer', 'year', 'text', 'text list', 'steps', 'interval') THEN
        format('parameter "%s" needs a type: number, integer, year, text, text list, steps or interval', declared ->> 'name')
      WHEN coalesce(declared ->> 'description', '') = '' THEN format('parameter "%s" needs a description', declared ->> 'name')
      WHEN (SELECT count(*) FROM jsonb_array_elements((made).parameters) AS d WHERE d ->> 'name' = declared ->> 'name') > 1 THEN
        format('there are two parameters "%s"', declared ->> 'name')
      WHEN EXISTS (SELECT FROM jsonb_object_keys(declared) AS k WHERE k NOT IN ('name', 'type', 'unit', 'default', 'description', 'minimum', 'maximum')) THEN
        format('parameter "%s" may have name, type, unit, default, description, minimum and maximum', declared ->> 'name')
      WHEN EXISTS (SELECT FROM unnest(ARRAY['default', 'minimum', 'maximum']) AS k
                   WHERE cdp_internal.template_literal(declared ->> 'type', declared -> k) IS NULL AND declared ? k
                     AND NOT (declared ->> 'type' = 'year' AND declared -> k = '"this year"')) THEN
        format('default, minimum and maximum of parameter "%s" must be of its type', declared ->> 'name')
      WHEN NOT EXISTS (SELECT FROM cdp_internal.template_pieces(concat_ws(' ', (made).rule, (made).per)) WHERE placeholder = declared ->> 'name') THEN
        format('parameter "%s" is not used: {%1$s} stands nowhere in the rule outside of quotes', declared ->> 'name') END;
  END LOOP;
  wrong := coalesce(wrong, (SELECT format('{%s} is not among the parameters', placeholder)
    FROM cdp_internal.template_pieces(concat_ws(' ', (made).rule, (made).per)) AS p
    WHERE placeholder IS NOT NULL AND NOT EXISTS (SELECT FROM jsonb_array_elements((made).parameters) AS d WHERE d ->> 'name' = placeholder) ORDER BY place LIMIT 1));
  -- Comments and dollar quotes would hide where a string begins.
  wrong := coalesce(wrong, (SELECT 'a template cannot have comments or dollar quotes' FROM cdp_internal.template_pieces(concat_ws(' ', (made).rule, (made).per))
    WHERE piece ~ '--|/\*|\$' AND piece !~ '^[eE]?[''"]' LIMIT 1));
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('segment template "%s": %s', (made).template, wrong),
      HINT = 'Parameters are such as [{"name": "window", "type": "interval", "default": "7 days", "description": "how far back"}]; the rule has {window} where it goes.';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_template(cdp.segment_templates) IS 'Refuses a template whose parameters and placeholders do not go together';

CREATE FUNCTION cdp.create_segment_template(template text, title text, description text, rule text, parameters jsonb DEFAULT '[]', per text DEFAULT NULL)
  RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  given jsonb;
BEGIN
  IF NOT coalesce($1 ~ '^[a-z][a-z0-9_]{0,62}$', false) THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_name', MESSAGE = format('"%s" cannot be the name of a segment template', $1),
      HINT = 'Use lower-case letters, digits and underscores, at most 63, a letter first.';
  ELSIF EXISTS (SELECT FROM cdp.segment_templates AS t WHERE t.template = $1) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('segment template "%s" already exists', $1),
      HINT = format('If it is your own, drop it first: SELECT cdp.drop_segment_template(%L).', $1);
  END IF;
  PERFORM cdp_internal.check_template(ROW($1, $2, $3, $5, $4, $6, '', session_user)::cdp.segment_templates);
  SELECT jsonb_object_agg(d ->> 'name', CASE d ->> 'type' WHEN 'interval' THEN '"7 days"'::jsonb WHEN 'text' THEN '"X"' WHEN 'year' THEN '2030'
      WHEN 'text list' THEN '["X"]' WHEN 'steps' THEN '["X", "Y"]' ELSE coalesce(d -> 'minimum', d -> 'maximum', '1') END) INTO given
    FROM jsonb_array_elements($5) AS d WHERE NOT d ? 'default';
  INSERT INTO cdp.segment_templates (template, title, description, parameters, rule, per, example, created_by)
    VALUES ($1, $2, $3, $5, $4, $6, format('SELECT cdp.create_segment_from(%L, %L%s);', $1, $1, ', ' || quote_literal(given)), session_user);
END $$;
COMMENT ON FUNCTION cdp.create_segment_template(text, text, text, text, jsonb, text) IS
  'Adds a template of one''s own: a rule in which {name} stands for a parameter. Errors: 42602 name, 42710 exists, 22023 parameters and placeholders do not go together';

CREATE FUNCTION cdp.drop_segment_template(template text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.segment_templates AS t WHERE t.template = $1 AND t.created_by IS NOT NULL;
  IF FOUND THEN
    RETURN;
  ELSIF EXISTS (SELECT FROM cdp.segment_templates AS t WHERE t.template = $1) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('segment template "%s" is shipped with cdp and stays', $1);
  END IF;
  PERFORM cdp_internal.refuse_template($1);
END $$;
COMMENT ON FUNCTION cdp.drop_segment_template(text) IS
  'Drops a template that somebody added; segments made from it stay. Errors: 42704 unknown template, 55000 it is shipped';
