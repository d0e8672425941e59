-- doors: cdp.attach_table, cdp.alter_attached_table, cdp.detach_table, and what is attached.

-- What was asked for, checked, as a row of cdp_internal.attachments that is not there yet.
CREATE FUNCTION cdp_internal.plan_attachment(caller jsonb, relation regclass, source text, identifiers jsonb, traits jsonb, event text,
    event_from text, properties jsonb, occurred_at text, key text[], filter text, watermark text, overlap interval, every interval, recompare interval, message text)
RETURNS cdp_internal.attachments LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  followed constant boolean := watermark IS NULL;
  role     constant name := caller ->> 'role';
  a        cdp_internal.attachments;
  pair     record;
  checked  record;
  names    text[] := '{}';
  said     text[] := '{}';
  used     text[] := '{}'; -- columns that say something of their own
  watched  text[] := '{}';
  body     jsonb := coalesce(properties, traits);
  what     text;
BEGIN
  IF relation IS NULL OR source IS NULL OR coalesce(identifiers::text, message) IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'relation, source and identifiers must not be null';
  END IF;
  IF message IS NOT NULL AND num_nonnulls(identifiers, traits, event, event_from, properties, occurred_at) > 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a message says all there is to say',
      HINT = 'Give message alone; or identifiers, traits, event, occurred_at and properties.';
  END IF;
  IF source = '' OR octet_length(source) > 255 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a source has a name of 1 to 255 bytes', DETAIL = left(source, 100);
  END IF;
  IF traits IS NOT NULL AND (event IS NOT NULL OR event_from IS NOT NULL OR properties IS NOT NULL) OR event IS NOT NULL AND event_from IS NOT NULL
     OR properties IS NOT NULL AND event IS NULL AND event_from IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a row either says traits, or is an event',
      HINT = 'Give traits; or event, the name of the event, or event_from, a column or expression that gives it, with occurred_at and properties.';
  END IF;
  IF (event IS NOT NULL OR event_from IS NOT NULL) AND occurred_at IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'an event needs the time at which it happened',
      HINT = 'Name the column: occurred_at => ''ordered_at''.';
  END IF;
  IF event = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'an event needs a name';
  END IF;
  IF every <= interval '0' OR overlap < interval '0' OR recompare <= interval '0' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'every and recompare must be longer than nothing, and overlap not negative',
      DETAIL = format('Given were every %s, overlap %s, recompare %s.', every, overlap, coalesce(recompare::text, 'null'));
  END IF;
  PERFORM cdp_internal.check_attachable(role, relation, followed);
  PERFORM cdp_internal.make_ready();
  a.name := relation::text; a.kind := CASE WHEN followed THEN 'followed' ELSE 'polled' END;
  a.source := source; a.owner := role; a.time_zone := current_setting('TimeZone'); a.search_path := caller ->> 'search_path';
  IF EXISTS (SELECT FROM cdp_internal.query_as_owner(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres',
               format('SELECT pg_catalog.row_security_active(%s::pg_catalog.oid) AS hides', relation::oid)) AS q WHERE (q ->> 'hides')::boolean) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('row-level security hides rows of %s from role %s', relation, quote_ident(role)),
      HINT = 'Let its owner attach it, or a role with BYPASSRLS; or a view of the rows that this role is to see, with a watermark column.';
  END IF;
  a.key_columns := cdp_internal.attached_key(relation, key, followed);
  SELECT array_agg(format_type(t.atttypid, t.atttypmod) ORDER BY k.place) INTO a.key_types
    FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place)
    JOIN pg_attribute AS t ON t.attrelid = relation AND t.attname = k.name AND NOT t.attisdropped;

  FOR pair IN SELECT p.*, t.type AS known FROM cdp_internal.mapping_pairs(relation, coalesce(identifiers, '{}'), 'identifiers') AS p
              LEFT JOIN cdp.identifier_types AS t ON t.type = p.name LOOP
    IF pair.known IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('identifier type "%s" does not exist', pair.name),
        HINT = CASE WHEN EXISTS (SELECT FROM cdp.identifier_types AS t WHERE t.type = identifiers ->> pair.name)
            AND EXISTS (SELECT FROM pg_attribute AS t WHERE t.attrelid = relation AND t.attname = pair.name AND NOT t.attisdropped)
          THEN format('It is the other way round, {"type": "column"}: {"%s": "%s"}.', identifiers ->> pair.name, pair.name) ELSE format('The nearest is "%s". SELECT cdp.create_identifier_type(%L) makes it.',
          (cdp_internal.nearest_names(pair.name, ARRAY(SELECT t.type FROM cdp.identifier_types AS t)))[1], pair.name) END;
    END IF;
    SELECT * INTO checked FROM cdp_internal.check_row_expression(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', relation, pair.expression);
    names := names || pair.name; said := said || pair.expression; watched := watched || checked.columns;
    IF cardinality(checked.columns) = 1 AND quote_ident(checked.columns[1]) = pair.expression THEN
      used := used || checked.columns;
    END IF;
  END LOOP;
  IF names = '{}' AND message IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'no identifier was given', HINT = 'Write {"type": "column"}, for example {"email": "email"}.';
  END IF;
  SELECT format('pg_catalog.jsonb_build_array(%s)', coalesce(string_agg(format(E'pg_catalog.jsonb_build_array(%L, (%s\n))', p.name, p.expression), ', ' ORDER BY p.place), ''))
    INTO a.identifiers FROM unnest(names, said) WITH ORDINALITY AS p (name, expression, place);

  -- The time, the name, the rows that count, and what grows with every change.
  FOR pair IN SELECT e.what, e.types, e.wants, coalesce((SELECT quote_ident(t.attname) FROM pg_attribute AS t WHERE t.attrelid = relation AND t.attname = e.given
                AND t.attnum > 0 AND NOT t.attisdropped), e.given) AS expression
              FROM (VALUES ('occurred_at', occurred_at, ARRAY['timestamp with time zone', 'timestamp without time zone', 'date'], 'a time'),
                           ('event_from', event_from, NULL, NULL), ('filter', filter, ARRAY['boolean'], 'true or false'),
                           ('watermark', watermark, NULL, NULL), ('message', message, ARRAY['jsonb'], 'jsonb')) AS e (what, given, types, wants)
              WHERE e.given IS NOT NULL LOOP
    SELECT * INTO checked FROM cdp_internal.check_row_expression(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', relation, pair.expression);
    IF checked.type <> ALL (pair.types) THEN
      RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('%s must be %s', pair.what, pair.wants),
        DETAIL = format('%s is of type %s.', pair.expression, checked.type),
        HINT = CASE pair.what WHEN 'occurred_at' THEN 'Cast it, for example to_timestamp(ordered_epoch) or ordered_on::timestamptz.'
                              WHEN 'message' THEN 'Cast it, for example payload::jsonb, or make it: jsonb_build_object(''type'', ''track'', …).'
                              ELSE 'Compare it, for example total >= 0.' END;
    END IF;
    CASE pair.what
      WHEN 'occurred_at' THEN a.occurred_at := pair.expression;
      WHEN 'event_from' THEN a.event := format(E'(%s\n)::pg_catalog.text', pair.expression);
      WHEN 'filter' THEN a.filter := pair.expression;
      WHEN 'watermark' THEN a.watermark := pair.expression; a.watermark_type := checked.type;
      WHEN 'message' THEN a.body := pair.expression; a.is_message := true;
    END CASE;
    watched := watched || checked.columns;
    IF pair.what <> 'filter' AND cardinality(checked.columns) = 1 AND quote_ident(checked.columns[1]) = pair.expression THEN
      used := used || checked.columns;
    END IF;
  END LOOP;
  a.event := CASE WHEN event IS NOT NULL THEN quote_literal(event) || '::pg_catalog.text' ELSE a.event END;

  -- Without a mapping, all columns that say nothing else.
  names := '{}'; said := '{}';
  FOR pair IN SELECT t.attname::text AS name, quote_ident(t.attname) AS expression, t.attnum AS place FROM pg_attribute AS t
              WHERE body IS NULL AND message IS NULL AND t.attrelid = relation AND t.attnum > 0 AND NOT t.attisdropped AND t.attname <> ALL (used)
                AND (a.event IS NOT NULL OR t.attname <> ALL (a.key_columns))
              UNION ALL
              SELECT p.name, p.expression, 0 FROM cdp_internal.mapping_pairs(relation, body, CASE WHEN a.event IS NULL THEN 'traits' ELSE 'properties' END) AS p
              WHERE body IS NOT NULL ORDER BY place, name LOOP
    SELECT * INTO checked FROM cdp_internal.check_row_expression(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', relation, pair.expression);
    names := names || pair.name; said := said || pair.expression; watched := watched || checked.columns;
  END LOOP;
  a.is_message := coalesce(a.is_message, false);
  a.body := CASE WHEN a.is_message THEN a.body ELSE cdp_internal.object_in_sql(names, said) END;
  a.watched := ARRAY(SELECT DISTINCT w.name FROM unnest(watched) AS w (name) WHERE w.name <> ALL (a.key_columns) ORDER BY 1);
  a.overlap := CASE WHEN NOT followed AND a.watermark_type IN ('timestamp with time zone', 'timestamp without time zone', 'date') THEN overlap END;
  a.every := CASE WHEN NOT followed THEN every END;
  a.mapping := jsonb_strip_nulls(jsonb_build_object('identifiers', identifiers, 'traits', traits, 'event', event, 'event_from', event_from,
    'properties', properties, 'occurred_at', occurred_at, 'filter', filter, 'watermark', watermark, 'message', message));
  SELECT CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint END INTO a.total FROM pg_class AS c WHERE c.oid = relation;

  a.recompare := recompare;
  RETURN a;
END $$;
COMMENT ON FUNCTION cdp_internal.plan_attachment(jsonb, regclass, text, jsonb, jsonb, text, text, jsonb, text, text[], text, text, interval, interval, interval, text) IS 'Part of cdp.attach_table and cdp.alter_attached_table';

CREATE FUNCTION cdp_internal.attach_table(caller jsonb, relation regclass, source text, identifiers jsonb, traits jsonb, event text,
    event_from text, properties jsonb, occurred_at text, key text[], filter text, watermark text, overlap interval, every interval, recompare interval, message text)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  a    cdp_internal.attachments;
  kept cdp_internal.attachments;
BEGIN
  IF EXISTS (SELECT FROM cdp_internal.attachments AS o WHERE o.source = source AND o.state IN ('loading', 'current') AND cdp_internal.attached_relation(o) = relation) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('%s is attached already as source "%s"', relation, source),
      HINT = format('SELECT cdp.alter_attached_table(%L, %L, …) attaches it in another way; or name another source.', relation::text, source);
  END IF;
  a := cdp_internal.plan_attachment(caller, relation, source, identifiers, traits, event, event_from, properties, occurred_at, key, filter, watermark, overlap, every, recompare, message);
  IF EXISTS (SELECT FROM cdp_internal.imports AS i WHERE i.source = a.source AND i.name = a.name) THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('source "%s" has an import that is called "%s"', a.source, a.name),
      HINT = 'Its rows would be taken for messages of that import: name another source.';
  END IF;
  -- What was kept when it was detached is what its rows said before, and each row goes on from there.
  -- One that was this very table goes before one that was another of its name.
  SELECT * INTO kept FROM cdp_internal.attachments AS o WHERE o.state = 'kept' AND o.source = a.source AND cdp_internal.attached_relation(o) = relation
    ORDER BY (o.relation_id = relation AND o.relation_of = cdp_internal.this_database()) IS TRUE DESC, o.attachment_id DESC LIMIT 1;
  IF FOUND THEN
    RETURN cdp_internal.replace_attachment(kept, a, relation);
  END IF;
  INSERT INTO cdp_internal.attachments (name, kind, source, owner, time_zone, search_path, mapping, key_columns, key_types, watched, identifiers, body, is_message, event,
      occurred_at, filter, watermark, watermark_type, overlap, every, total, recompare)
    VALUES (a.name, a.kind, a.source, a.owner, a.time_zone, a.search_path, a.mapping, a.key_columns, a.key_types, a.watched, a.identifiers, a.body, a.is_message, a.event,
      a.occurred_at, a.filter, a.watermark, a.watermark_type, a.overlap, a.every, a.total, a.recompare)
    RETURNING * INTO a;
  PERFORM cdp_internal.begin_following(a, relation);
  RETURN a.attachment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.attach_table(jsonb, regclass, text, jsonb, jsonb, text, text, jsonb, text, text[], text, text, interval, interval, interval, text) IS 'See cdp.attach_table';

CREATE FUNCTION cdp_internal.begin_following(a cdp_internal.attachments, relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- As a whole, once: what does not go together is found now.
  PERFORM cdp_internal.query_as_owner(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', cdp_internal.rows_in_sql(a, relation, 'false'));
  IF a.kind = 'followed' THEN
    PERFORM cdp_internal.make_attached_triggers(a, relation);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.begin_following(cdp_internal.attachments, regclass) IS 'Part of cdp.attach_table and cdp.alter_attached_table';

-- Puts another mapping in the place of one: what rows said stays until each has been compared with what it says now.
CREATE FUNCTION cdp_internal.replace_attachment(was cdp_internal.attachments, a cdp_internal.attachments, relation regclass) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF was.key_columns <> a.key_columns THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the key of %s is another than it was', relation),
      DETAIL = format('It was {%s}, and is {%s} now: rows are not the same ones.', array_to_string(was.key_columns, ','), array_to_string(a.key_columns, ',')),
      HINT = format('Take back first what its rows said: SELECT cdp.detach_table(%L, keep_data => false, source => %L).', coalesce(cdp_internal.attached_relation(was)::text, was.name), was.source);
  END IF;
  PERFORM cdp_internal.drop_attached_triggers(was.attachment_id);
  UPDATE cdp_internal.attachments AS o SET (name, kind, owner, time_zone, search_path, mapping, key_types, watched, identifiers, body, is_message, event, occurred_at, filter, watermark,
      watermark_type, overlap, every, recompare, state, place, pass_from, poll_at, is_broken, started_at, updated_at) =
    (a.name, a.kind, a.owner, a.time_zone, a.search_path, a.mapping, a.key_types, a.watched, a.identifiers, a.body, a.is_message, a.event, a.occurred_at, a.filter, a.watermark,
      a.watermark_type, a.overlap, a.every, a.recompare, 'current', NULL, NULL, '-infinity', false, now(), now())
    WHERE o.attachment_id = was.attachment_id RETURNING * INTO a;
  PERFORM cdp_internal.clear_attachment_error(a.attachment_id), cdp_internal.begin_compare(a.attachment_id);
  PERFORM cdp_internal.begin_following(a, relation);
  RETURN a.attachment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.replace_attachment(cdp_internal.attachments, cdp_internal.attachments, regclass) IS 'Part of cdp.attach_table and cdp.alter_attached_table';

CREATE FUNCTION cdp_internal.alter_attached_table(caller jsonb, relation regclass, source text, identifiers jsonb, traits jsonb, event text,
    event_from text, properties jsonb, occurred_at text, key text[], filter text, watermark text, overlap interval, every interval, recompare interval, message text)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  was cdp_internal.attachments;
BEGIN
  IF relation IS NULL OR source IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'relation, source and identifiers must not be null';
  END IF;
  -- Whoever reads rows of it is done first.
  PERFORM cdp_internal.take_turn('cdp_internal.attached_changes');
  was := cdp_internal.find_attachment(jsonb_set(caller, '{search_path}', '"pg_catalog, pg_temp"'), relation::text, source, 'alter_attached_table');
  RETURN cdp_internal.replace_attachment(was, cdp_internal.plan_attachment(caller, relation, source, identifiers, traits, event, event_from, properties, occurred_at, key,
    filter, watermark, overlap, every, recompare, message), relation);
END $$;
COMMENT ON FUNCTION cdp_internal.alter_attached_table(jsonb, regclass, text, jsonb, jsonb, text, text, jsonb, text, text[], text, text, interval, interval, interval, text) IS 'See cdp.alter_attached_table';

-- Those that are not there. ALWAYS: also when session_replication_role is replica.
CREATE FUNCTION cdp_internal.make_attached_triggers(a cdp_internal.attachments, relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT v.*, format('cdp_attached_%s_%s', a.attachment_id, v.what) AS name
           FROM (VALUES ('insert', 'REFERENCING NEW TABLE AS cdp_new'), ('update', 'REFERENCING OLD TABLE AS cdp_old NEW TABLE AS cdp_new'),
                        ('delete', 'REFERENCING OLD TABLE AS cdp_old'), ('truncate', '')) AS v (what, tables)
           WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = relation AND g.tgname = format('cdp_attached_%s_%s', a.attachment_id, v.what)) LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.attached_changed(%s)', t.name, t.what, relation, t.tables,
      (SELECT string_agg(quote_literal(w.argument), ', ' ORDER BY w.place)
       FROM unnest(ARRAY[a.attachment_id::text, cardinality(a.key_columns)::text] || a.key_columns || a.watched) WITH ORDINALITY AS w (argument, place)));
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, t.name);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.make_attached_triggers(cdp_internal.attachments, regclass) IS 'Part of cdp.attach_table';

CREATE FUNCTION cdp_internal.drop_attached_triggers(attachment integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT g.tgname, g.tgrelid::regclass AS relation FROM pg_trigger AS g
           WHERE g.tgname LIKE format('cdp\_attached\_%s\_%%', attachment) AND g.tgfoid = 'cdp_internal.attached_changed()'::regprocedure LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.drop_attached_triggers(integer) IS 'Part of cdp.detach_table and cdp.alter_attached_table';

-- It reads expressions with its caller's search_path: see cdp.create_segment.
CREATE FUNCTION cdp.attach_table(relation regclass, source text, identifiers jsonb DEFAULT NULL, traits jsonb DEFAULT NULL, event text DEFAULT NULL,
    event_from text DEFAULT NULL, properties jsonb DEFAULT NULL, occurred_at text DEFAULT NULL, key text[] DEFAULT NULL, filter text DEFAULT NULL,
    watermark text DEFAULT NULL, overlap interval DEFAULT '1 minute', every interval DEFAULT '1 minute', recompare interval DEFAULT NULL,
    message text DEFAULT NULL)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.attach_table(regclass, text, jsonb, jsonb, text, text, jsonb, text, text[], text, text, interval, interval, interval, text) IS
  'Makes each row of a table or view a message of a source, and follows its changes: traits about whom identifiers ({"type": "column"}) name, or events. Columns, or SQL expressions over a row, which run with the caller''s rights. Tables are followed by triggers; views, and what has a watermark column, are polled; recompare: how often all rows are compared. message: instead of all these, a jsonb column or expression that is a message in Segment''s spec; one that has a messageId and came directly, too, counts once. What was kept when it was detached is taken up again. Returns the id in cdp.attached_tables. Errors: 22023, 42501, 42703, 42704, 42710, 42809';

CREATE FUNCTION cdp.alter_attached_table(relation regclass, source text, identifiers jsonb DEFAULT NULL, traits jsonb DEFAULT NULL, event text DEFAULT NULL,
    event_from text DEFAULT NULL, properties jsonb DEFAULT NULL, occurred_at text DEFAULT NULL, key text[] DEFAULT NULL, filter text DEFAULT NULL,
    watermark text DEFAULT NULL, overlap interval DEFAULT '1 minute', every interval DEFAULT '1 minute', recompare interval DEFAULT NULL,
    message text DEFAULT NULL)
  RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.alter_attached_table(regclass, text, jsonb, jsonb, text, text, jsonb, text, text[], text, text, interval, interval, interval, text) IS
  'Attaches a table or view that is attached as this source in another way; all is said again, as for cdp.attach_table. In the background each row is compared, and what it said stays until what it says now takes its place. Returns the id in cdp.attached_tables. Errors: as cdp.attach_table; 22023 another key; 42704 not attached';

-- One that is gone is named as it was called.
CREATE FUNCTION cdp_internal.detach_table(caller jsonb, relation text, keep_data boolean, source text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  role  constant name := caller ->> 'role';
  named regclass;
  a     cdp_internal.attachments;
  at    regclass;
  found integer := 0;
  sources text[];
  states  text[] := '{loading,current}';
BEGIN
  IF relation IS NULL OR keep_data IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'relation and keep_data must not be null';
  END IF;
  PERFORM set_config('search_path', caller ->> 'search_path', true);
  named := pg_catalog.to_regclass(relation);
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  -- Whoever reads rows of it is done first.
  PERFORM cdp_internal.take_turn('cdp_internal.attached_changes');
  LOOP
    SELECT array_agg(o.source ORDER BY o.source) INTO sources FROM cdp_internal.attachments AS o
      CROSS JOIN LATERAL (SELECT cdp_internal.attached_relation(o) AS relation OFFSET 0) AS r
      WHERE o.state = ANY (states) AND (detach_table.source IS NULL OR o.source = detach_table.source)
        AND (r.relation = named OR r.relation IS NULL AND (o.name = detach_table.relation OR to_regclass(o.name) = named));
    EXIT WHEN sources IS NOT NULL OR keep_data OR states = '{kept}';
    states := '{kept}'; -- detached already: what was kept is taken back
  END LOOP;
  IF source IS NULL AND cardinality(sources) > 1 THEN
    RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter', MESSAGE = format('%s is attached as several sources', relation),
      DETAIL = 'They are ' || array_to_string(sources, ', ') || '.',
      HINT = format('Say which: SELECT cdp.detach_table(%L, keep_data => %s, source => %L).', relation, keep_data::text, sources[1]);
  END IF;
  FOR a IN SELECT * FROM cdp_internal.attachments AS o WHERE o.state = ANY (states) AND (detach_table.source IS NULL OR o.source = detach_table.source)
           ORDER BY o.attachment_id LOOP
    at := cdp_internal.attached_relation(a);
    CONTINUE WHEN NOT coalesce(at = named, at IS NULL AND (a.name = relation OR to_regclass(a.name) = named), false);
    IF NOT cdp_internal.may_change(role, a.owner) THEN
      RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be who attached %s', a.name), HINT = format('That was %s.', quote_ident(a.owner));
    END IF;
    PERFORM cdp_internal.drop_attached_triggers(a.attachment_id);
    DELETE FROM cdp_internal.attached_changes AS c WHERE c.attachment_id = a.attachment_id;
    IF keep_data THEN
      UPDATE cdp_internal.attachments AS o SET name = coalesce(at::text, a.name), relation_id = at, relation_of = cdp_internal.this_database(), state = 'kept', comparing = NULL, compare_place = NULL, place = NULL, pass_from = NULL,
          is_broken = false, has_missed = false WHERE o.attachment_id = a.attachment_id;
      PERFORM cdp_internal.clear_attachment_error(a.attachment_id);
    ELSE
      UPDATE cdp_internal.attachments AS o SET state = 'detaching', due_at = '-infinity', error = NULL, hint = NULL, error_at = NULL, failures = 0, comparing = NULL, is_broken = false, done = 0, place = NULL,
          total = (SELECT count(*) FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = a.attachment_id), started_at = now(), updated_at = now()
        WHERE o.attachment_id = a.attachment_id;
    END IF;
    found := found + 1;
  END LOOP;
  IF found = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s is not attached%s', relation, ' as source "' || source || '"'),
      HINT = coalesce('Attached are ' || (SELECT string_agg(DISTINCT o.name, ', ') FROM cdp_internal.attachments AS o WHERE o.state IN ('loading', 'current')) || '.', 'Nothing is attached.');
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION cdp_internal.detach_table(jsonb, text, boolean, text) IS 'See cdp.detach_table';
CREATE FUNCTION cdp.detach_table(relation text, keep_data boolean, source text DEFAULT NULL) RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.detach_table(text, boolean, text) IS
  'Stops following a table or view; source: which, where it is attached as several. What came from it is kept as it is, or withdrawn by the worker, or CALL cdp.run(). What is kept is taken up when it is attached again as the same source, or withdrawn when it is detached once more with keep_data => false. Returns how many were detached. Errors: 42704 not attached, 42P08 attached as several sources';

CREATE VIEW cdp.attached_tables AS
  SELECT a.attachment_id, coalesce(r.relation::text, a.name) AS relation, a.source, a.kind,
         CASE WHEN r.relation IS NULL AND a.state <> 'detaching' THEN 'missing' WHEN p.problem IS NOT NULL OR a.error IS NOT NULL AND NOT a.is_broken THEN 'failed'
              WHEN a.comparing IS NOT NULL AND a.state = 'current' THEN 'comparing' ELSE a.state END AS state,
         (SELECT count(*) FROM cdp_internal.attached_rows AS w WHERE w.attachment_id = a.attachment_id) AS rows,
         coalesce(c.rows, 0) AS waiting,
         CASE WHEN a.kind = 'followed' THEN coalesce(pg_catalog.clock_timestamp() - c.since, interval '0') WHEN a.state = 'current' THEN pg_catalog.clock_timestamp() - a.updated_at END AS lag,
         q.quarantined, q.kept_out,
         coalesce(p.problem, CASE WHEN NOT a.is_broken THEN a.error END) AS error,
         CASE WHEN p.problem IS NOT NULL THEN p.hint WHEN NOT a.is_broken THEN a.hint END AS hint, a.error_at, a.compared_at, a.owner, a.mapping, a.key_columns AS key
  FROM cdp_internal.attachments AS a
  CROSS JOIN LATERAL (SELECT cdp_internal.attached_relation(a) AS relation OFFSET 0) AS r
  CROSS JOIN LATERAL cdp_internal.attachment_problem(a, r.relation) AS p
  CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE w.is_open) AS quarantined, count(*) FILTER (WHERE NOT w.is_open) AS kept_out
                      FROM (SELECT EXISTS (SELECT FROM cdp.quarantine AS e WHERE e.message_id = ANY (r.message_ids) AND e.resolved_at IS NULL) AS is_open
                            FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = a.attachment_id AND r.message_ids IS NOT NULL) AS w) AS q
  LEFT JOIN LATERAL (SELECT pg_catalog.sum(h.rows) AS rows, pg_catalog.min(h.changed_at) AS since FROM cdp_internal.attached_changes AS h
                     WHERE h.attachment_id = a.attachment_id) AS c ON true
  WHERE a.state <> 'kept';
COMMENT ON VIEW cdp.attached_tables IS 'What is attached, a row each: how far it is, how far behind, and what is wrong';
COMMENT ON COLUMN cdp.attached_tables.kind IS 'followed: by triggers; polled: by a watermark column';
COMMENT ON COLUMN cdp.attached_tables.state IS
  'loading: the rows that were there are being read; current; comparing: current, and all rows are being compared; failed: see error and hint, it goes on by itself when the cause has gone; missing: the table, or its triggers, are gone; detaching: what came from it is being withdrawn';
COMMENT ON COLUMN cdp.attached_tables.waiting IS 'Changed rows that were not read yet, truncations not counted; they wait as long as it is failed';
COMMENT ON COLUMN cdp.attached_tables.compared_at IS 'When all of its rows were read last';
COMMENT ON COLUMN cdp.attached_tables.lag IS 'Since when the oldest of them waits; of a polled one, since when it was read last';
COMMENT ON COLUMN cdp.attached_tables.quarantined IS 'Rows that could not be used: see cdp.quarantine, column import';
COMMENT ON COLUMN cdp.attached_tables.kept_out IS 'Rows that are no error and are not taken: whom they name is suppressed, or somebody discarded what they said';
REVOKE ALL ON TABLE cdp.attached_tables FROM PUBLIC;
