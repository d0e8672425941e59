-- compare: everything that an attached table says compared with what is known of it, in batches. Rows that were changed or deleted where
-- nobody saw it are followed: of polled tables and views, and of tables whose triggers were disabled. Rows that say what they said are
-- read and compared, and nothing is written.

CREATE FUNCTION cdp_internal.begin_compare(attachment integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE cdp_internal.attachments AS a SET comparing = 'rows', compare_place = NULL, compare_done = 0, has_missed = false, compare_began = clock_timestamp(),
    compare_total = (SELECT 2 * count(*) FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = attachment)
  WHERE a.attachment_id = attachment AND a.state IN ('loading', 'current')
$$;
COMMENT ON FUNCTION cdp_internal.begin_compare(integer) IS 'From the first row on, by the worker or CALL cdp.run()';

-- Of these keys, those to which there is no row that counts; all of them, if the filter fails for one.
CREATE FUNCTION cdp_internal.missing_keys(a cdp_internal.attachments, relation regclass, keys text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  width constant integer := cardinality(a.key_columns);
BEGIN
  RETURN ARRAY(SELECT keys[(m.place - 1) * width + n] FROM (
    SELECT (q ->> 'place')::integer AS place FROM cdp_internal.rows_as_owner(a, format(
      E'SELECT cdp_wanted.place FROM (%s) AS cdp_wanted WHERE NOT EXISTS (SELECT FROM %s WHERE %s AND (%s\n))', cdp_internal.wanted_in_sql(a, keys), relation,
      (SELECT string_agg(format('%I = cdp_wanted.c%s', a.key_columns[n], n), ' AND ' ORDER BY n) FROM generate_series(1, width) AS n), coalesce(a.filter, 'true')), 0) AS q) AS m
    CROSS JOIN generate_series(1, width) AS n ORDER BY m.place, n);
EXCEPTION WHEN OTHERS THEN
  IF NOT cdp_internal.is_of_row(SQLSTATE) THEN
    RAISE;
  END IF;
  RETURN keys;
END $$;
COMMENT ON FUNCTION cdp_internal.missing_keys(cdp_internal.attachments, regclass, text[]) IS 'Part of cdp.run';

-- A batch: first the rows that are there, many at a time as most say nothing new; then those that are known, of which some may be gone.
CREATE FUNCTION cdp_internal.compare_batch(attachment integer, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  a        cdp_internal.attachments;
  relation regclass;
  version  constant bigint := nextval('cdp_internal.attached_changes_change_id_seq');
  wide     constant integer := 10 * most;
  page     record;
  chunk    text[];
  keys     text[];
  news     cdp_internal.attached_news[];
BEGIN
  SELECT * INTO a FROM cdp_internal.attachments AS o WHERE o.attachment_id = attachment;
  IF a.comparing IS NULL THEN
    PERFORM cdp_internal.begin_compare(attachment);
    SELECT * INTO a FROM cdp_internal.attachments AS o WHERE o.attachment_id = attachment;
  END IF;
  relation := cdp_internal.attached_relation(a);
  IF a.comparing = 'rows' THEN
    a.kind := 'followed'; a.place := a.compare_place; a.pass_from := NULL; -- by key alone
    SELECT * INTO page FROM cdp_internal.differing_rows(a, relation, wide, most, version);
    PERFORM cdp_internal.tell_rows_safely(page.news);
    UPDATE cdp_internal.attachments AS o SET comparing = CASE WHEN page.is_last THEN 'keys' ELSE 'rows' END, compare_place = CASE WHEN NOT page.is_last THEN page.last END,
      compare_done = o.compare_done + page.number, updated_at = clock_timestamp() WHERE o.attachment_id = attachment;
  ELSE
    chunk := ARRAY(SELECT r.row_key FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = attachment AND r.row_key > coalesce(a.compare_place[1], '')
                   ORDER BY r.row_key LIMIT wide);
    keys := cdp_internal.missing_keys(a, relation, cdp_internal.keys_of(chunk, cardinality(a.key_columns)));
    IF cardinality(keys) > most * cardinality(a.key_columns) THEN -- as far as these, and no further
      keys := keys[:most * cardinality(a.key_columns)];
      chunk := chunk[:array_position(chunk, cdp_internal.row_key(keys[cardinality(keys) - cardinality(a.key_columns) + 1:]))];
    ELSIF cardinality(chunk) < wide THEN
      a.comparing := NULL;
    END IF;
    IF cardinality(keys) > 0 THEN
      SELECT array_agg((r.place, attachment, r.row_key, version, now(), r.said, r.problem, r.detail)::cdp_internal.attached_news ORDER BY r.place) INTO news
        FROM cdp_internal.read_keys(a, relation, keys) AS r;
      PERFORM cdp_internal.tell_rows_safely(news);
    END IF;
    UPDATE cdp_internal.attachments AS o SET comparing = a.comparing, compare_place = chunk[cardinality(chunk):], compare_done = o.compare_done + cardinality(chunk),
      compared_at = CASE WHEN a.comparing IS NULL THEN clock_timestamp() ELSE o.compared_at END, updated_at = clock_timestamp() WHERE o.attachment_id = attachment;
  END IF;
  PERFORM cdp_internal.clear_attachment_error(attachment);
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.compare_batch(integer, integer) IS 'Part of cdp.run';

-- Rows of attached tables among these open entries of quarantine, read again by key: what they say now is followed. Whose message somebody
-- has corrected are left to be tried as they are. Returns those that were read.
CREATE FUNCTION cdp_internal.retry_attached(quarantine_ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  found    record;
  relation regclass;
  news     cdp_internal.attached_news[];
BEGIN
  IF NOT EXISTS (SELECT FROM cdp_internal.attached_rows AS r JOIN cdp.quarantine AS q ON r.message_ids @> ARRAY[q.message_id] WHERE q.quarantine_id = ANY (quarantine_ids)) THEN
    RETURN;
  END IF;
  PERFORM cdp_internal.take_turn('cdp_internal.attached_changes');
  FOR found IN SELECT a AS attachment, array_agg(r.row_key ORDER BY q.quarantine_id) AS keys, array_agg(q.quarantine_id ORDER BY q.quarantine_id) AS ids
               FROM cdp.quarantine AS q JOIN cdp_internal.attached_rows AS r ON r.message_ids @> ARRAY[q.message_id] AND md5(q.message)::uuid = ANY (r.refused)
               JOIN cdp_internal.attachments AS a USING (attachment_id)
               WHERE q.quarantine_id = ANY (quarantine_ids) AND q.resolved_at IS NULL
                 AND NOT EXISTS (SELECT FROM cdp.quarantine AS c WHERE c.message_id = ANY (r.message_ids) AND c.resolved_at IS NULL AND md5(c.message)::uuid <> ALL (r.refused))
               GROUP BY a LOOP
    relation := cdp_internal.attached_relation(found.attachment);
    IF (found.attachment).state NOT IN ('loading', 'current') OR (cdp_internal.attachment_problem(found.attachment, relation)).problem IS NOT NULL THEN
      -- Nobody can read them: what could not be read stays with its reason. Those that are whole messages are tried as such.
      RETURN QUERY SELECT q.quarantine_id FROM cdp.quarantine AS q WHERE q.quarantine_id = ANY (found.ids) AND q.code = 'row_error';
      CONTINUE;
    END IF;
    SELECT array_agg((n.place, (found.attachment).attachment_id, n.row_key, nextval('cdp_internal.attached_changes_change_id_seq'), now(), n.said, n.problem, n.detail)::cdp_internal.attached_news ORDER BY n.place)
      INTO news FROM cdp_internal.read_keys(found.attachment, relation, cdp_internal.keys_of(ARRAY(SELECT DISTINCT k.row_key FROM unnest(found.keys) AS k (row_key)), cardinality((found.attachment).key_columns))) AS n;
    PERFORM cdp_internal.tell_rows_safely(news);
    PERFORM cdp_internal.note_retried((found.attachment).attachment_id, found.keys, found.ids);
    RETURN QUERY SELECT unnest(found.ids);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.retry_attached(bigint[]) IS 'Part of cdp.retry_quarantined';

-- The entries that were tried say what came of it: accepted, or gone, or refused anew with today's reason.
CREATE FUNCTION cdp_internal.note_retried(attachment integer, keys text[], ids bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH tried AS (
    SELECT t.id, r.row_key IS NOT NULL AND r.message_ids IS NULL AS is_accepted, n.*
    FROM (SELECT o.*, row_number() OVER (PARTITION BY o.row_key ORDER BY o.id) AS number FROM unnest(keys, ids) AS o (row_key, id)) AS t LEFT JOIN cdp_internal.attached_rows AS r ON r.attachment_id = attachment AND r.row_key = t.row_key
    LEFT JOIN cdp.quarantine AS n ON n.message_id = r.message_ids[t.number] AND n.resolved_at IS NULL AND n.quarantine_id <> t.id
  ), again AS (
    DELETE FROM cdp.quarantine AS q USING tried AS t WHERE q.quarantine_id = t.quarantine_id
  )
  UPDATE cdp.quarantine AS q SET
    (message, message_id, code, reason, detail, resolved_at, resolution) = (SELECT
      coalesce(t.message, q.message), coalesce(t.message_id, q.message_id), coalesce(t.code, q.code), coalesce(t.reason, q.reason),
      CASE WHEN t.quarantine_id IS NULL THEN q.detail ELSE t.detail END, CASE WHEN t.quarantine_id IS NULL THEN q.resolved_at END,
      CASE WHEN t.quarantine_id IS NOT NULL THEN NULL WHEN t.is_accepted THEN 'accepted' ELSE q.resolution END)
  FROM tried AS t WHERE q.quarantine_id = t.id
$$;
COMMENT ON FUNCTION cdp_internal.note_retried(integer, text[], bigint[]) IS 'Part of cdp.retry_quarantined';

-- One attached table by name, for who may say what becomes of it. One that is gone is named as it was called.
CREATE FUNCTION cdp_internal.find_attachment(caller jsonb, relation text, source text, door text) RETURNS cdp_internal.attachments
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  named regclass;
  found cdp_internal.attachments[];
  a     cdp_internal.attachments;
BEGIN
  PERFORM set_config('search_path', caller ->> 'search_path', true);
  named := pg_catalog.to_regclass(relation);
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  SELECT array_agg(o ORDER BY o.source) INTO found FROM cdp_internal.attachments AS o
    CROSS JOIN LATERAL (SELECT cdp_internal.attached_relation(o) AS relation OFFSET 0) AS r
    WHERE o.state IN ('loading', 'current') AND (find_attachment.source IS NULL OR o.source = find_attachment.source)
      AND (r.relation = named OR r.relation IS NULL AND (o.name = find_attachment.relation OR to_regclass(o.name) = named));
  IF found IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('%s is not attached%s', relation, ' as source "' || source || '"'),
      HINT = coalesce('Attached are ' || (SELECT string_agg(DISTINCT o.name, ', ') FROM cdp_internal.attachments AS o WHERE o.state IN ('loading', 'current')) || '.', 'Nothing is attached.');
  ELSIF cardinality(found) > 1 THEN
    RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter', MESSAGE = format('%s is attached as several sources', relation),
      DETAIL = 'They are ' || (SELECT string_agg(f.source, ', ') FROM unnest(found) AS f) || '.', HINT = format('Say which: SELECT cdp.%s(%L, source => %L).', door, relation, (found[1]).source);
  END IF;
  a := found[1];
  IF NOT cdp_internal.may_change((caller ->> 'role')::name, a.owner) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be who attached %s', a.name), HINT = format('That was %s.', quote_ident(a.owner));
  END IF;
  RETURN a;
END $$;
COMMENT ON FUNCTION cdp_internal.find_attachment(jsonb, text, text, text) IS 'Part of cdp.recompare_table and cdp.alter_attached_table';

CREATE FUNCTION cdp_internal.recompare_table(caller jsonb, relation text, source text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  a    cdp_internal.attachments;
  made regclass;
BEGIN
  IF relation IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'relation must not be null';
  END IF;
  -- Whoever reads rows of it is done first.
  PERFORM cdp_internal.take_turn('cdp_internal.attached_changes');
  a := cdp_internal.find_attachment(caller, relation, source, 'recompare_table');
  IF a.kind = 'followed' THEN
    made := coalesce(cdp_internal.attached_relation(a), to_regclass(a.name));
    IF made IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('%s is gone', a.name), HINT = (cdp_internal.attachment_problem(a, NULL)).hint;
    END IF;
    IF (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = made AND t.tgname LIKE format('cdp\_attached\_%s\_%%', a.attachment_id)) < 4 THEN
      PERFORM cdp_internal.check_attachable(caller ->> 'role', made, true);
      PERFORM cdp_internal.make_attached_triggers(a, made);
    END IF;
  END IF;
  PERFORM cdp_internal.begin_compare(a.attachment_id);
  RETURN a.attachment_id;
END $$;
COMMENT ON FUNCTION cdp_internal.recompare_table(jsonb, text, text) IS 'See cdp.recompare_table';
CREATE FUNCTION cdp.recompare_table(relation text, source text DEFAULT NULL) RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'cdp_forward';
COMMENT ON FUNCTION cdp.recompare_table(text, text) IS
  'Reads all rows of an attached table or view again, in the background, and follows every difference, rows that are gone included; makes triggers that were dropped again. Rows that say what they said cost a comparison. Returns the id in cdp.attached_tables. Errors: 42704 not attached, 42P08 attached as several sources, 42P01 gone';
