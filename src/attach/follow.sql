-- follow: what became of attached rows, as messages. One piece of work a transaction, and one who does it; the worker, or
-- CALL cdp.run(), does what waits.
--
-- A line of cdp_internal.attached_changes says "look at these rows", not what they were: they are read as they are when it is
-- their turn, so a row that changed ten times is read once or twice. Whose rows are read later than they changed come in
-- again at the place of the later change: the last message of a row stands where its last change stands.

-- What is to be said of one row from now on; `said` null: nothing, it is gone.
CREATE TYPE cdp_internal.attached_news AS (
  place         bigint,
  attachment_id integer,
  row_key       text,
  version       bigint,
  at            timestamptz,
  said          jsonb,
  problem       text,
  detail        text
);

CREATE FUNCTION cdp_internal.row_key(key text[]) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE cardinality(key) WHEN 1 THEN key[1] ELSE key::text END
$$;
COMMENT ON FUNCTION cdp_internal.row_key(text[]) IS 'The key of an attached row as one text';

-- SQL of rows as their owner reads them, those for which `condition` holds. `first`: it is asked before anything else of a row is,
-- so that no other row can fail; without, the planner may use an order.
CREATE FUNCTION cdp_internal.rows_in_sql(a cdp_internal.attachments, relation regclass, condition text, first boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(E'SELECT ARRAY[%s] AS key, %s AS identifiers, %s AS body, %s AS event, %s AS occurred_at, %s AS watermark FROM %s WHERE %s(%s\n)',
    (SELECT string_agg(quote_ident(k.name) || '::pg_catalog.text', ', ' ORDER BY k.place) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place)),
    a.identifiers, a.body, coalesce(a.event, 'NULL::pg_catalog.text'), coalesce('(' || a.occurred_at || E'\n)::pg_catalog.timestamptz', 'NULL'),
    coalesce('(' || a.watermark || E'\n)::pg_catalog.text', 'NULL'),
    CASE WHEN first THEN format('(SELECT * FROM %s WHERE %s OFFSET 0) AS %I', relation, condition, (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation)) ELSE relation::text END,
    CASE WHEN first THEN '' ELSE format('(%s) AND ', condition) END, coalesce(a.filter, 'true'))
$$;
COMMENT ON FUNCTION cdp_internal.rows_in_sql(cdp_internal.attachments, regclass, text, boolean) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.rows_as_owner(a cdp_internal.attachments, query text) RETURNS SETOF jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
  SELECT * FROM cdp_internal.query_as_owner(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', query)
$$;
COMMENT ON FUNCTION cdp_internal.rows_as_owner(cdp_internal.attachments, text) IS 'Part of cdp.run; gives up after five seconds what somebody has locked';

-- Why a row that was read cannot be used; null: it can.
CREATE FUNCTION cdp_internal.row_problem(a cdp_internal.attachments, said jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN said IS NOT NULL AND a.event IS NOT NULL AND a.occurred_at IS NOT NULL AND said ->> 'occurred_at' IS NULL
              THEN format('occurred_at, %s, is null', a.occurred_at) END
$$;
COMMENT ON FUNCTION cdp_internal.row_problem(cdp_internal.attachments, jsonb) IS 'Part of cdp.run: an event needs the time that it is mapped to';

-- Rows by key, in the order of `keys` (columns one after the other); found false: there is none, or the filter leaves it out.
CREATE FUNCTION cdp_internal.read_keys(a cdp_internal.attachments, relation regclass, keys text[])
  RETURNS TABLE (place bigint, row_key text, said jsonb, problem text, detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  width  constant integer := cardinality(a.key_columns);
  number constant integer := cardinality(keys) / width;
  wanted text;
  middle integer;
  state  text;
BEGIN
  SELECT format('SELECT x.place, %s FROM ROWS FROM (%s) WITH ORDINALITY AS x (%s, place)',
           string_agg(format('x.a%s::%s AS c%s', n, a.key_types[n], n), ', ' ORDER BY n),
           string_agg(format('pg_catalog.unnest(%L::pg_catalog.text[])',
             (SELECT array_agg(keys[(i - 1) * width + n] ORDER BY i) FROM generate_series(1, number) AS i)), ', ' ORDER BY n),
           string_agg('a' || n, ', ' ORDER BY n))
    INTO wanted FROM generate_series(1, width) AS n;
  BEGIN
    RETURN QUERY
      SELECT (q ->> 'place')::bigint, r.row_key, CASE WHEN p.problem IS NULL THEN r.said END, p.problem, NULL::text
      FROM cdp_internal.rows_as_owner(a, format(
        'SELECT cdp_wanted.place, ARRAY[%s] AS wanted, cdp_found.* FROM (%s) AS cdp_wanted LEFT JOIN LATERAL (%s) AS cdp_found ON true',
        (SELECT string_agg(format('cdp_wanted.c%s::pg_catalog.text', n), ', ' ORDER BY n) FROM generate_series(1, width) AS n), wanted,
        cdp_internal.rows_in_sql(a, relation, (SELECT string_agg(format('%I = cdp_wanted.c%s', a.key_columns[n], n), ' AND ' ORDER BY n)
                                               FROM generate_series(1, width) AS n), true))) AS q
      CROSS JOIN LATERAL (SELECT cdp_internal.row_key(ARRAY(SELECT jsonb_array_elements_text(q -> 'wanted'))) AS wanted,
                                 CASE WHEN q ->> 'identifiers' IS NOT NULL THEN cdp_internal.row_key(ARRAY(SELECT jsonb_array_elements_text(q -> 'key'))) END AS found) AS k
      -- A key may be spelled another way than it was (1.0 and 1.00): the row goes by its spelling of today, and the other is gone.
      CROSS JOIN LATERAL (SELECT coalesce(k.found, k.wanted) AS row_key, CASE WHEN k.found IS NOT NULL THEN q - 'place' - 'wanted' - 'key' END AS said
                          UNION ALL SELECT k.wanted, NULL WHERE k.wanted <> k.found) AS r
      CROSS JOIN LATERAL (SELECT cdp_internal.row_problem(a, r.said) AS problem) AS p;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
    -- What a value did, and not the table.
    IF left(state, 2) NOT IN ('22', '23', 'P0', '38', '39', '21') THEN
      RAISE;
    END IF;
  END;
  IF number = 1 THEN
    place := 1; row_key := cdp_internal.row_key(keys); said := NULL; detail := concat_ws(E'\n', 'SQLSTATE: ' || state, nullif(detail, ''));
    RETURN NEXT;
    RETURN;
  END IF;
  middle := number / 2;
  RETURN QUERY SELECT r.* FROM cdp_internal.read_keys(a, relation, keys[:middle * width]) AS r;
  RETURN QUERY SELECT r.place + middle, r.row_key, r.said, r.problem, r.detail FROM cdp_internal.read_keys(a, relation, keys[middle * width + 1:]) AS r;
END $$;
COMMENT ON FUNCTION cdp_internal.read_keys(cdp_internal.attachments, regclass, text[]) IS 'Part of cdp.run; what fails for one row is told of that row';

-- The next rows of a pass through all of them, by key, or by watermark and key.
CREATE FUNCTION cdp_internal.read_page(a cdp_internal.attachments, relation regclass, most integer)
  RETURNS TABLE (place bigint, key text[], watermark text, said jsonb, problem text, detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  columns text[] := CASE WHEN a.kind = 'polled' THEN ARRAY[format(E'(%s\n)', a.watermark)] ELSE '{}' END
                    || ARRAY(SELECT quote_ident(k.name) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place) ORDER BY k.place);
  types   text[] := CASE WHEN a.kind = 'polled' THEN ARRAY[a.watermark_type] ELSE '{}' END || a.key_types;
  condition text := 'true';
  tail    text;
  page    text[];
BEGIN
  IF a.place IS NOT NULL THEN
    SELECT format('(%s) > (%s)', string_agg(columns[n], ', ' ORDER BY n), string_agg(format('%L::%s', a.place[n], types[n]), ', ' ORDER BY n)) INTO condition
      FROM generate_series(1, cardinality(columns)) AS n;
  ELSIF a.pass_from IS NOT NULL THEN
    condition := format('%s >= %L::%s%s', columns[1], a.pass_from, a.watermark_type, ' - ' || quote_literal(a.overlap) || '::pg_catalog.interval');
  ELSIF a.kind = 'polled' THEN
    condition := columns[1] || ' IS NOT NULL';
  END IF;
  tail := format(' ORDER BY %s LIMIT %s', array_to_string(columns, ', '), most);
  BEGIN
    RETURN QUERY
      SELECT q.place, ARRAY(SELECT jsonb_array_elements_text(q.value -> 'key')), q.value ->> 'watermark',
             CASE WHEN p.problem IS NULL THEN q.value - 'key' - 'watermark' END, p.problem, NULL::text
      FROM cdp_internal.rows_as_owner(a, cdp_internal.rows_in_sql(a, relation, condition) || tail) WITH ORDINALITY AS q (value, place)
      CROSS JOIN LATERAL (SELECT cdp_internal.row_problem(a, q.value) AS problem) AS p;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) NOT IN ('22', '23', 'P0', '38', '39', '21') THEN
      RAISE;
    END IF;
  END;
  -- The keys alone, and then each row for itself.
  FOR place, key, watermark, said, problem, detail IN
    WITH page AS MATERIALIZED (
      SELECT q.place, ARRAY(SELECT jsonb_array_elements_text(q.value -> 'key')) AS key, q.value ->> 'watermark' AS watermark
      FROM cdp_internal.rows_as_owner(a, format('SELECT ARRAY[%s] AS key, %s AS watermark FROM %s WHERE %s%s',
        (SELECT string_agg(quote_ident(k.name) || '::pg_catalog.text', ', ' ORDER BY k.place) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place)),
        CASE WHEN a.kind = 'polled' THEN columns[1] || '::pg_catalog.text' ELSE 'NULL' END, relation, condition, tail)) WITH ORDINALITY AS q (value, place)
    )
    SELECT p.place, p.key, p.watermark, r.said, r.problem, r.detail
    FROM page AS p
    JOIN cdp_internal.read_keys((SELECT o FROM cdp_internal.attachments AS o WHERE o.attachment_id = a.attachment_id), relation,
      (SELECT array_agg(c.part ORDER BY o.place, c.place) FROM page AS o CROSS JOIN LATERAL unnest(o.key) WITH ORDINALITY AS c (part, place))) AS r USING (place)
    ORDER BY p.place LOOP
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.read_page(cdp_internal.attachments, regclass, integer) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.row_message_id(name text, row_key text, version bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%s/%s/%s', name, CASE WHEN length(row_key) > 100 THEN md5(row_key) ELSE row_key END, version)
$$;
COMMENT ON FUNCTION cdp_internal.row_message_id(text, text, bigint) IS 'The messageId of a version of an attached row';

CREATE FUNCTION cdp_internal.row_content(said jsonb, problem text) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT md5(coalesce((said - 'watermark')::text, problem))::uuid
$$;
COMMENT ON FUNCTION cdp_internal.row_content(jsonb, text) IS 'A hash of what an attached row says, or of why it says nothing';

-- Rows that could not be read: nothing is said of them, and why is kept.
CREATE FUNCTION cdp_internal.refuse_rows(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH bad AS MATERIALIZED (
    SELECT n.*, a.source, a.name, cdp_internal.row_message_id(a.name, n.row_key, n.version) AS id
    FROM unnest(news) AS n JOIN cdp_internal.attachments AS a USING (attachment_id) WHERE n.problem IS NOT NULL
  ), kept AS (
    INSERT INTO cdp.quarantine (source, import, received_at, message, message_id, code, reason, detail)
    SELECT b.source, b.name, b.at, jsonb_build_object('messageId', b.id)::text, b.id, 'row_error', b.problem,
           concat_ws(E'\n', format('The row with key %s of %s', b.row_key, b.name), b.detail)
    FROM bad AS b
  )
  INSERT INTO cdp_internal.attached_rows AS r (attachment_id, row_key, version, message_id, content)
    SELECT b.attachment_id, b.row_key, b.version, b.id, cdp_internal.row_content(NULL, b.problem) FROM bad AS b
    ON CONFLICT (attachment_id, row_key) DO UPDATE SET version = excluded.version, decision_seq = NULL, message_id = excluded.message_id,
      content = excluded.content
$$;
COMMENT ON FUNCTION cdp_internal.refuse_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- Takes back what rows said and says what they say now, as one decision. What was refused before is resolved by it.
CREATE FUNCTION cdp_internal.tell_rows(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone      bigint[];
  refused   text[];
  said      record;
  decisions bigint[];
BEGIN
  SELECT array_agg(r.decision_seq) FILTER (WHERE r.decision_seq IS NOT NULL), array_agg(r.message_id) FILTER (WHERE r.decision_seq IS NULL)
    INTO gone, refused
    FROM unnest(news) AS n JOIN cdp_internal.attached_rows AS r ON r.attachment_id = n.attachment_id AND r.row_key = n.row_key;
  IF refused IS NOT NULL THEN
    UPDATE cdp.quarantine AS q SET resolved_at = now(), resolution = 'discarded' WHERE q.resolved_at IS NULL AND q.message_id = ANY (refused);
  END IF;
  DELETE FROM cdp_internal.attached_rows AS r USING unnest(news) AS n
    WHERE n.said IS NULL AND n.problem IS NULL AND r.attachment_id = n.attachment_id AND r.row_key = n.row_key;
  SELECT array_agg(a.source ORDER BY n.place) AS sources, array_agg(a.name ORDER BY n.place) AS names, array_agg(n.at ORDER BY n.place) AS times,
         array_agg((jsonb_build_object('type', CASE WHEN a.event IS NULL THEN 'identify' ELSE 'track' END, 'messageId', m.id,
             'context', jsonb_build_object('externalIds', m.identifiers), CASE WHEN a.event IS NULL THEN 'traits' ELSE 'properties' END, m.body)
           || CASE WHEN n.said -> 'occurred_at' <> 'null' THEN jsonb_build_object('timestamp', n.said -> 'occurred_at') ELSE '{}' END
           || CASE WHEN a.event IS NULL THEN '{}' ELSE jsonb_build_object('event', n.said -> 'event') END)::text ORDER BY n.place) AS texts,
         array_agg(m.id ORDER BY n.place) AS ids,
         array_agg(n ORDER BY n.place) AS rows
    INTO said
    FROM unnest(news) AS n JOIN cdp_internal.attachments AS a USING (attachment_id)
    CROSS JOIN LATERAL (
      SELECT cdp_internal.row_message_id(a.name, n.row_key, n.version) AS id,
             -- An identifier that is null or empty is none; a column that is null says nothing.
             (SELECT coalesce(jsonb_object_agg(b.key, b.value), '{}') FROM jsonb_each(n.said -> 'body') AS b WHERE b.value <> 'null') AS body,
             (SELECT coalesce(jsonb_agg(jsonb_build_object('type', i.value ->> 0, 'id', v.value #>> '{}', 'collection', 'users', 'encoding', 'none')
                                        ORDER BY i.place, v.place), '[]')
              FROM jsonb_array_elements(n.said -> 'identifiers') WITH ORDINALITY AS i (value, place)
              CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(i.value -> 1) WHEN 'array' THEN i.value -> 1 ELSE jsonb_build_array(i.value -> 1) END)
                WITH ORDINALITY AS v (value, place)
              WHERE v.value NOT IN ('null', '""')) AS identifiers) AS m
    WHERE n.said IS NOT NULL;
  SELECT array_agg(e.decision_seq ORDER BY e.place) INTO decisions
    FROM cdp_internal.exchange(coalesce(gone, '{}'), said.sources, said.names, said.texts, said.times, 'an attached row changed') AS e;
  INSERT INTO cdp_internal.attached_rows AS r (attachment_id, row_key, version, decision_seq, message_id, content)
    SELECT n.attachment_id, n.row_key, n.version, d.decision_seq, CASE WHEN d.decision_seq IS NULL THEN d.id END, cdp_internal.row_content(n.said, NULL)
    FROM unnest(said.rows) WITH ORDINALITY AS n JOIN unnest(decisions, said.ids) WITH ORDINALITY AS d (decision_seq, id, number) ON d.number = n.ordinality
    ON CONFLICT (attachment_id, row_key) DO UPDATE SET version = excluded.version, decision_seq = excluded.decision_seq,
      message_id = excluded.message_id, content = excluded.content;
  IF EXISTS (SELECT FROM unnest(news) AS n WHERE n.problem IS NOT NULL) THEN
    PERFORM cdp_internal.refuse_rows(news);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- As tell_rows, but what cannot be processed goes to quarantine alone.
CREATE FUNCTION cdp_internal.tell_rows_safely(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one     cdp_internal.attached_news;
  problem text;
  detail  text;
BEGIN
  IF coalesce(cardinality(news), 0) = 0 THEN
    RETURN;
  END IF;
  PERFORM cdp_internal.tell_rows(news);
EXCEPTION WHEN OTHERS THEN
  IF left(SQLSTATE, 2) IN ('08', '25', '28', '40', '42', '53', '55', '57', '58', 'F0') THEN
    RAISE;
  END IF;
  GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  IF cardinality(news) > 1 THEN
    PERFORM cdp_internal.tell_rows_safely(news[:cardinality(news) / 2]), cdp_internal.tell_rows_safely(news[cardinality(news) / 2 + 1:]);
  ELSE
    one := news[1]; one.said := NULL; one.problem := problem; one.detail := concat_ws(E'\n', 'SQLSTATE: ' || SQLSTATE, nullif(detail, ''));
    PERFORM cdp_internal.tell_rows(ARRAY[one]);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_rows_safely(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- Notes what is wrong with one attachment; the others go on.
CREATE FUNCTION cdp_internal.note_attachment_error(attachment integer, problem text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE cdp_internal.attachments AS a SET error = problem, error_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 minute'
  WHERE a.attachment_id = attachment
$$;
COMMENT ON FUNCTION cdp_internal.note_attachment_error(integer, text) IS 'Part of cdp.run';

-- The oldest changes of all tables that can be read, up to so many rows; 0: none waits.
CREATE FUNCTION cdp_internal.follow_changes(most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  line     record;
  lines    bigint[] := '{}';
  attachments integer[] := '{}';
  taken    bigint := 0;
  changed  record;
  a        cdp_internal.attachments;
  relation regclass;
  news     cdp_internal.attached_news[] := '{}';
  read     cdp_internal.attached_news[];
  problem  text;
BEGIN
  FOR line IN SELECT c.* FROM cdp_internal.attachments AS o
      CROSS JOIN LATERAL (SELECT h.change_id, h.attachment_id, h.kind, h.rows FROM cdp_internal.attached_changes AS h
                          WHERE h.attachment_id = o.attachment_id ORDER BY h.change_id LIMIT most) AS c
      WHERE o.state <> 'detaching' AND o.due_at <= clock_timestamp() ORDER BY c.change_id LOOP
    EXIT WHEN taken > 0 AND (taken + line.rows > most OR line.kind = 'truncate');
    IF line.kind = 'truncate' THEN
      RETURN cdp_internal.follow_truncate(line.attachment_id, line.change_id, most);
    END IF;
    lines := lines || line.change_id;
    attachments := attachments || line.attachment_id;
    taken := taken + greatest(line.rows, 1);
  END LOOP;
  FOR changed IN
      SELECT c.attachment_id, array_agg(c.part ORDER BY c.change_id, c.place) AS keys, array_agg(c.change_id ORDER BY c.change_id, c.place) AS ids,
             array_agg(c.changed_at ORDER BY c.change_id, c.place) AS times, bool_or(c.kind = 'unknown') AS is_unknown, array_agg(DISTINCT c.change_id) AS all_ids
      FROM (SELECT h.*, k.part, k.place FROM cdp_internal.attached_changes AS h LEFT JOIN LATERAL unnest(h.keys) WITH ORDINALITY AS k (part, place) ON true
            WHERE h.attachment_id = ANY (attachments) AND h.change_id = ANY (lines)) AS c
      GROUP BY c.attachment_id ORDER BY c.attachment_id LOOP
    SELECT * INTO a FROM cdp_internal.attachments AS o WHERE o.attachment_id = changed.attachment_id;
    relation := cdp_internal.attached_relation(a);
    problem := CASE WHEN relation IS NULL THEN 'the table, or its triggers, are gone'
                    WHEN changed.is_unknown THEN 'columns were renamed or dropped since it was attached; detach it (keep_data => false) and attach it again' END;
    IF problem IS NULL THEN
      BEGIN
        SELECT array_agg((s.change_id * 1000000 + s.place, a.attachment_id, s.row_key, s.change_id, s.changed_at, s.said, s.problem, s.detail)::cdp_internal.attached_news)
          INTO read
          FROM (SELECT DISTINCT ON (r.row_key) r.*, changed.ids[(r.place - 1) * cardinality(a.key_columns) + 1] AS change_id,
                       changed.times[(r.place - 1) * cardinality(a.key_columns) + 1] AS changed_at
                FROM cdp_internal.read_keys(a, relation, changed.keys) AS r ORDER BY r.row_key, r.place DESC) AS s;
        news := news || read;
      EXCEPTION WHEN OTHERS THEN
        IF left(SQLSTATE, 2) IN ('08', '25', '28', '40', '53', '57', '58') THEN
          RAISE;
        END IF;
        problem := SQLERRM;
      END;
    END IF;
    IF problem IS NOT NULL THEN
      PERFORM cdp_internal.note_attachment_error(a.attachment_id, problem);
      lines := ARRAY(SELECT unnest(lines) EXCEPT SELECT unnest(changed.all_ids));
    ELSIF a.error IS NOT NULL THEN
      UPDATE cdp_internal.attachments AS o SET error = NULL, error_at = NULL WHERE o.attachment_id = a.attachment_id;
    END IF;
  END LOOP;
  PERFORM cdp_internal.tell_rows_safely(ARRAY(SELECT n FROM unnest(news) AS n ORDER BY n.place));
  DELETE FROM cdp_internal.attached_changes AS c WHERE c.attachment_id = ANY (attachments) AND c.change_id = ANY (lines);
  RETURN taken;
END $$;
COMMENT ON FUNCTION cdp_internal.follow_changes(integer) IS 'Part of cdp.run';

-- What was read before the table was emptied goes, a batch at a time; then the line does.
CREATE FUNCTION cdp_internal.follow_truncate(attachment integer, change bigint, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  news cdp_internal.attached_news[];
BEGIN
  SELECT array_agg((row_number, attachment, r.row_key, change, now(), NULL, NULL, NULL)::cdp_internal.attached_news) INTO news
    FROM (SELECT o.row_key, row_number() OVER () FROM (
            SELECT w.row_key FROM cdp_internal.attached_rows AS w, cdp_internal.attached_changes AS c
            WHERE c.attachment_id = attachment AND c.change_id = change AND w.attachment_id = attachment AND w.version < change
              AND w.row_key > coalesce(c.keys[1], '') ORDER BY w.row_key LIMIT most) AS o) AS r;
  IF news IS NULL THEN
    DELETE FROM cdp_internal.attached_changes AS c WHERE c.attachment_id = attachment AND c.change_id = change;
    RETURN 1;
  END IF;
  PERFORM cdp_internal.forget_rows(news);
  UPDATE cdp_internal.attached_changes AS c SET keys = ARRAY[(SELECT max(n.row_key) FROM unnest(news) AS n)]
    WHERE c.attachment_id = attachment AND c.change_id = change;
  RETURN cardinality(news);
END $$;
COMMENT ON FUNCTION cdp_internal.follow_truncate(integer, bigint, integer) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.forget_rows(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone    bigint[];
  refused text[];
BEGIN
  WITH lost AS (
    DELETE FROM cdp_internal.attached_rows AS r USING unnest(news) AS n
    WHERE r.attachment_id = n.attachment_id AND r.row_key = n.row_key RETURNING r.decision_seq, r.message_id)
  SELECT coalesce(array_agg(l.decision_seq) FILTER (WHERE l.decision_seq IS NOT NULL), '{}'), array_agg(l.message_id) FILTER (WHERE l.message_id IS NOT NULL)
    INTO gone, refused FROM lost AS l;
  UPDATE cdp.quarantine AS q SET resolved_at = now(), resolution = 'discarded' WHERE q.resolved_at IS NULL AND q.message_id = ANY (refused);
  PERFORM cdp_internal.withdraw(gone, 'an attached row is gone');
END $$;
COMMENT ON FUNCTION cdp_internal.forget_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.pass_start(a cdp_internal.attachments, watermark text) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE a.watermark_type
    WHEN 'timestamp with time zone' THEN least(watermark::timestamptz, now())::text
    WHEN 'timestamp without time zone' THEN least(watermark::timestamp, now() AT TIME ZONE a.time_zone)::text
    WHEN 'date' THEN least(watermark::date, (now() AT TIME ZONE a.time_zone)::date)::text
    ELSE watermark END
$$;
COMMENT ON FUNCTION cdp_internal.pass_start(cdp_internal.attachments, text) IS 'Part of cdp.run: where the next pass over a polled table begins';

-- The next rows of a pass: what is not known yet, or, where rows are polled, says something else.
CREATE FUNCTION cdp_internal.load_page(a cdp_internal.attachments, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  relation constant regclass := cdp_internal.attached_relation(a);
  version  constant bigint := nextval('cdp_internal.attached_changes_change_id_seq');
  number   integer;
  last     text[];
  news     cdp_internal.attached_news[];
BEGIN
  WITH page AS MATERIALIZED (SELECT p.*, cdp_internal.row_key(p.key) AS row_key FROM cdp_internal.read_page(a, relation, most) AS p),
  fresh AS (
    SELECT DISTINCT ON (p.row_key) p.* FROM page AS p
    LEFT JOIN cdp_internal.attached_rows AS r ON r.attachment_id = a.attachment_id AND r.row_key = p.row_key
    WHERE (p.said IS NOT NULL OR p.problem IS NOT NULL)
      AND (r.row_key IS NULL OR a.kind = 'polled' AND r.content IS DISTINCT FROM cdp_internal.row_content(p.said, p.problem))
    ORDER BY p.row_key, p.place DESC)
  SELECT (SELECT count(*) FROM page),
         (SELECT CASE WHEN a.kind = 'polled' THEN ARRAY[p.watermark] ELSE '{}' END || p.key FROM page AS p ORDER BY p.place DESC LIMIT 1),
         (SELECT array_agg((f.place, a.attachment_id, f.row_key, version, now(), f.said, f.problem, f.detail)::cdp_internal.attached_news ORDER BY f.place) FROM fresh AS f)
    INTO number, last, news;
  PERFORM cdp_internal.tell_rows_safely(news);
  UPDATE cdp_internal.attachments AS o SET
      done = CASE WHEN a.state = 'loading' THEN o.done + number ELSE o.done END, updated_at = clock_timestamp(), error = NULL, error_at = NULL,
      state = CASE WHEN number < most THEN 'current' ELSE o.state END,
      place = CASE WHEN number < most THEN NULL ELSE last END,
      -- A time to come would hide what is written until then: the next pass begins at the present at the latest.
      pass_from = CASE WHEN a.kind = 'polled' AND number < most THEN cdp_internal.pass_start(a, coalesce(last[1], a.place[1], a.pass_from)) ELSE o.pass_from END,
      due_at = CASE WHEN a.kind = 'polled' AND number < most THEN clock_timestamp() + a.every ELSE '-infinity' END
    WHERE o.attachment_id = a.attachment_id;
  RETURN CASE WHEN number < most AND news IS NULL AND a.state = 'current' THEN 0 ELSE 1 END;
END $$;
COMMENT ON FUNCTION cdp_internal.load_page(cdp_internal.attachments, integer) IS 'Part of cdp.run';

-- Withdraws what came from a table that was detached, and then forgets it.
CREATE FUNCTION cdp_internal.detach_batch(a cdp_internal.attachments, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  news cdp_internal.attached_news[];
BEGIN
  SELECT array_agg((0, a.attachment_id, r.row_key, 0, now(), NULL, NULL, NULL)::cdp_internal.attached_news) INTO news
    FROM (SELECT o.row_key FROM cdp_internal.attached_rows AS o WHERE o.attachment_id = a.attachment_id
            AND o.row_key > coalesce(a.place[1], '') ORDER BY o.row_key LIMIT most) AS r;
  IF news IS NULL THEN
    DELETE FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = a.attachment_id;
    DELETE FROM cdp_internal.attached_changes AS c WHERE c.attachment_id = a.attachment_id;
    DELETE FROM cdp_internal.attachments AS o WHERE o.attachment_id = a.attachment_id;
    RETURN 1;
  END IF;
  PERFORM cdp_internal.forget_rows(news);
  UPDATE cdp_internal.attachments AS o SET done = o.done + cardinality(news), place = ARRAY[(SELECT max(n.row_key) FROM unnest(news) AS n)], updated_at = clock_timestamp() WHERE o.attachment_id = a.attachment_id;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.detach_batch(cdp_internal.attachments, integer) IS 'Part of cdp.run';

-- One piece of work: changes first; then tables that are detached, or loaded, or due to be polled. 0: nothing waits.
CREATE FUNCTION cdp_internal.follow_attached(until timestamptz DEFAULT clock_timestamp()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  most   constant integer := coalesce(current_setting('cdp.batch_size', true), '1000')::integer;
  a      cdp_internal.attachments;
  worked bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM cdp_internal.attachments) THEN
    RETURN 0;
  END IF;
  PERFORM pg_advisory_xact_lock('cdp_internal.attached_changes'::regclass::integer, 0);
  worked := cdp_internal.follow_changes(most);
  IF worked > 0 THEN
    RETURN worked;
  END IF;
  FOR a IN SELECT * FROM cdp_internal.attachments AS o WHERE (o.state IN ('loading', 'detaching') OR o.kind = 'polled') AND o.due_at <= follow_attached.until
           ORDER BY o.updated_at, o.attachment_id LOOP
    IF a.state <> 'detaching' AND cdp_internal.attached_relation(a) IS NULL THEN
      PERFORM cdp_internal.note_attachment_error(a.attachment_id, 'the table, or its triggers, are gone');
      CONTINUE;
    END IF;
    BEGIN
      worked := CASE WHEN a.state = 'detaching' THEN cdp_internal.detach_batch(a, most) ELSE cdp_internal.load_page(a, most) END;
      IF worked > 0 THEN
        RETURN worked;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      IF left(SQLSTATE, 2) IN ('08', '25', '28', '40', '53', '57', '58') THEN
        RAISE;
      END IF;
      PERFORM cdp_internal.note_attachment_error(a.attachment_id, SQLERRM);
    END;
  END LOOP;
  RETURN 0;
END $$;
COMMENT ON FUNCTION cdp_internal.follow_attached(timestamptz) IS 'Part of cdp.run: one batch of what attached tables wait for';
