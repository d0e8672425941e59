-- csv: a file of comma-separated values as messages, each wrong line by its number. COPY alone takes all of a file or nothing of it.

-- The fields of a record; null: it is none.
CREATE FUNCTION cdp_internal.csv_fields(record text, delimiter text) RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN sum(length(f.parts[1])) = length(record) + 1
              THEN array_agg(CASE WHEN f.parts[2] IS NOT NULL THEN replace(f.parts[2], '""', '"') ELSE nullif(f.parts[3], '') END ORDER BY f.place) END
  FROM (SELECT '\u' || lpad(to_hex(ascii(delimiter)), 4, '0') AS mark) AS d
  CROSS JOIN LATERAL regexp_matches(delimiter || record, format('(%1$s(?:"((?:[^"]|"")*)"|([^"%1$s]*)))', d.mark), 'g') WITH ORDINALITY AS f (parts, place)
$$;
COMMENT ON FUNCTION cdp_internal.csv_fields(text, text) IS 'Part of cdp.load_csv';

CREATE FUNCTION cdp_internal.refuse_line(source text, import text, message text, line bigint, reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp.quarantine (source, import, received_at, message, code, reason, detail, line)
    VALUES (source, import, now(), message, 'invalid_csv', reason, format('Line %s of the file.', line), line)
$$;
COMMENT ON FUNCTION cdp_internal.refuse_line(text, text, text, bigint, text) IS 'Part of cdp.load_csv';

-- A mapping as pairs of name and column; every column has to be in the header.
CREATE FUNCTION cdp_internal.csv_pairs(header text[], mapping jsonb, parameter text) RETURNS TABLE (name text, "column" text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pair record;
BEGIN
  IF coalesce(jsonb_typeof(mapping), '') NOT IN ('object', 'array') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s must name columns', parameter), DETAIL = format('Given was %s', coalesce(left(mapping::text, 100), 'null')),
      HINT = 'Write {"name": "column"}, as it is in the header.';
  END IF;
  FOR pair IN SELECT m.key, v.value FROM jsonb_each(CASE jsonb_typeof(mapping) WHEN 'object' THEN mapping ELSE (SELECT coalesce(jsonb_object_agg(e.value, e.value), '{}') FROM jsonb_array_elements_text(mapping) AS e) END) AS m
              CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(m.value) WHEN 'array' THEN m.value ELSE jsonb_build_array(m.value) END) AS v ORDER BY m.key LOOP
    IF pair.value IS NULL OR pair.value <> ALL (header) THEN
      RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = format('%s: the header has no column "%s"', parameter, pair.value),
        DETAIL = format('It has %s.', left(array_to_string(header, ', '), 500)), HINT = format('The nearest is "%s".', (cdp_internal.nearest_names(coalesce(pair.value, ''), header))[1]);
    END IF;
    name := pair.key; "column" := pair.value;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.csv_pairs(text[], jsonb, text) IS 'Part of cdp.load_csv';

-- One record as a message.
CREATE FUNCTION cdp_internal.csv_message(said jsonb, identifiers jsonb, body jsonb, event text, occurred_at text, message_id text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (jsonb_strip_nulls(jsonb_build_object('type', CASE WHEN event IS NULL THEN 'identify' ELSE 'track' END, 'event', event, 'messageId', said -> message_id, 'timestamp', said -> occurred_at))
    || jsonb_build_object('context', jsonb_build_object('externalIds', (
         SELECT coalesce(jsonb_agg(jsonb_build_object('type', i.value ->> 0, 'id', said -> (i.value ->> 1), 'collection', 'users', 'encoding', 'none') ORDER BY i.place), '[]')
         FROM jsonb_array_elements(identifiers) WITH ORDINALITY AS i (value, place) WHERE coalesce(said ->> (i.value ->> 1), '') <> '')),
       CASE WHEN event IS NULL THEN 'traits' ELSE 'properties' END, (
         SELECT coalesce(jsonb_object_agg(b.value ->> 0, said -> (b.value ->> 1)), '{}') FROM jsonb_array_elements(body) AS b WHERE said ->> (b.value ->> 1) IS NOT NULL)))::text
$$;
COMMENT ON FUNCTION cdp_internal.csv_message(jsonb, jsonb, jsonb, text, text, text) IS 'Part of cdp.load_csv';

-- A quoted field may hold line ends; a record is never longer than this.
CREATE FUNCTION cdp.load_csv(file regclass, source text, identifiers jsonb, traits jsonb DEFAULT NULL, event text DEFAULT NULL, occurred_at text DEFAULT NULL,
    properties jsonb DEFAULT NULL, message_id text DEFAULT NULL, import text DEFAULT NULL, delimiter text DEFAULT ',', OUT lines bigint, OUT queued bigint, OUT quarantined bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  longest constant integer := 1000;
  r       record;
  header  text[];
  who     jsonb;
  body    jsonb;
  held    text[] := '{}';
  first   bigint;
  fields  text[];
  is_open boolean := false; -- within quotes, where a line ends
  wrong   text;
  opens   constant text := replace('^(?:(?:"(?:[^"]|"")*"|[^"@]*)@)*"(?:[^"]|"")*$', '@', '\u' || lpad(to_hex(ascii(delimiter)), 4, '0'));
BEGIN
  lines := 0; queued := 0; quarantined := 0;
  IF length(delimiter) <> 1 OR delimiter = '"' OR file IS NULL OR coalesce(source, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'file, source and a delimiter of one character are needed', DETAIL = format('The delimiter is %L.', delimiter);
  ELSIF (SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = file AND a.attname IN ('line_number', 'line') AND NOT a.attisdropped) < 2 THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = format('%s holds no lines of a file: it needs columns line_number and line', file),
      HINT = 'CREATE TABLE file (line_number bigint GENERATED ALWAYS AS IDENTITY, line text); then COPY the file into its line.';
  ELSIF event IS NULL AND properties IS NOT NULL OR event IS NOT NULL AND traits IS NOT NULL OR event IS NOT NULL AND occurred_at IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a line either says traits, or is an event with a time',
      HINT = 'Give traits; or event, the name of the event, with occurred_at and properties.';
  END IF;
  FOR r IN EXECUTE format('SELECT f.line_number, coalesce(rtrim(f.line, E''\r''), '''') AS line FROM (SELECT line_number, line FROM %s UNION ALL SELECT NULL, NULL) AS f ORDER BY f.line_number NULLS LAST', file) LOOP
    IF r.line_number IS NOT NULL THEN
      lines := lines + 1;
      IF held = '{}' THEN
        CONTINUE WHEN coalesce(r.line, '') = '' ;
        first := r.line_number;
      END IF;
      held := held || CASE WHEN lines = 1 THEN ltrim(r.line, U&'\FEFF') ELSE coalesce(r.line, '') END;
      is_open := CASE WHEN is_open THEN '"' ELSE '' END || held[cardinality(held)] ~ opens;
      CONTINUE WHEN is_open AND cardinality(held) < longest;
    END IF;
    -- A record; or lines after a quote that nobody closes, each of which is one then.
    FOR n IN 1 .. CASE WHEN NOT is_open THEN least(cardinality(held), 1) ELSE cardinality(held) END LOOP
      fields := cdp_internal.csv_fields(CASE WHEN NOT is_open THEN array_to_string(held, E'\n') ELSE held[n] END, delimiter);
      IF header IS NULL THEN
        wrong := (SELECT h.name FROM unnest(fields) AS h (name) GROUP BY h.name HAVING count(*) > 1 OR h.name IS NULL LIMIT 1);
        IF fields IS NULL OR wrong IS NOT NULL OR array_position(fields, NULL) IS NOT NULL THEN
          RAISE EXCEPTION USING ERRCODE = 'bad_copy_file_format', MESSAGE = 'the first line is no header', DETAIL = format('Line %s: %s', first, left(held[n], 200)), HINT = 'It names each column once.';
        END IF;
        header := fields;
        SELECT jsonb_agg(jsonb_build_array(p.name, p."column")) INTO who FROM cdp_internal.csv_pairs(header, identifiers, 'identifiers') AS p;
        PERFORM cdp_internal.csv_pairs(header, to_jsonb(array_remove(ARRAY[occurred_at, message_id], NULL)), 'occurred_at and message_id');
        SELECT coalesce(jsonb_agg(jsonb_build_array(p.name, p."column")), '[]') INTO body FROM cdp_internal.csv_pairs(header, coalesce(traits, properties,
          to_jsonb(ARRAY(SELECT h.name FROM unnest(header) AS h (name) WHERE h.name IS DISTINCT FROM occurred_at AND h.name IS DISTINCT FROM message_id
                         AND NOT EXISTS (SELECT FROM jsonb_array_elements(who) AS w WHERE w.value ->> 1 = h.name)))), 'traits or properties') AS p;
        CONTINUE;
      END IF;
      wrong := CASE WHEN fields IS NULL AND is_open THEN 'a quote is opened, and not closed'
                    WHEN fields IS NULL THEN 'a quote stands where none may be'
                    WHEN cardinality(fields) <> cardinality(header) THEN format('it has %s fields, and the header %s', cardinality(fields), cardinality(header)) END;
      IF wrong IS NULL THEN
        INSERT INTO cdp.inbox (source, import, message, line)
          VALUES (source, import, cdp_internal.csv_message(jsonb_object(header, fields), who, body, event, occurred_at, message_id), first + n - 1);
        queued := queued + 1;
      ELSE
        PERFORM cdp_internal.refuse_line(source, import, CASE WHEN NOT is_open THEN array_to_string(held, E'\n') ELSE held[n] END, first + n - 1, wrong);
        quarantined := quarantined + 1;
      END IF;
    END LOOP;
    held := '{}'; is_open := false;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp.load_csv(regclass, text, jsonb, jsonb, text, text, jsonb, text, text, text) IS
  'Puts the lines of a CSV file with a header into the inbox as messages: identifiers, traits or properties as {"name": "column"}, message_id and occurred_at a column each. file: a table (line_number, line) into which COPY put it. A line that is no record goes to cdp.quarantine as invalid_csv, one that is no message when the inbox is drained, both with their line. Returns how many lines there were, and what became of the records. Errors: 22023, 42703, 22P04 no header';
