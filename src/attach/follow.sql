-- follow: what became of attached rows, as messages. One piece of work a transaction, and one who does it; the worker, or
-- CALL cdp.run(), does what waits.
--
-- A line of cdp_internal.attached_changes says "look at these rows", not what they were: they are read as they are when it is
-- their turn, so a row that changed ten times is read once or twice. Whose rows are read later than they changed come in
-- again at the place of the later change: the last message of a row stands where its last change stands.

-- Notes what is wrong with one attachment; the others go on. It is tried again after a minute, and later and later if that fails, too.
CREATE FUNCTION cdp_internal.note_attachment_error(attachment integer, problem text, hint text DEFAULT NULL) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE cdp_internal.attachments AS a SET error = problem, error_at = clock_timestamp(), failures = a.failures + 1,
      hint = coalesce(nullif(note_attachment_error.hint, ''), 'It is tried again by itself; at once by CALL cdp.run().'),
      due_at = clock_timestamp() + least(10, 2 ^ least(a.failures, 4)) * interval '1 minute'
  WHERE a.attachment_id = attachment
$$;
COMMENT ON FUNCTION cdp_internal.note_attachment_error(integer, text, text) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.clear_attachment_error(attachment integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE cdp_internal.attachments AS a SET error = NULL, hint = NULL, error_at = NULL, failures = 0, due_at = '-infinity'
  WHERE a.attachment_id = attachment AND a.error IS NOT NULL
$$;
COMMENT ON FUNCTION cdp_internal.clear_attachment_error(integer) IS 'Part of cdp.run';

-- Looks at the tables themselves: whose triggers or columns are gone waits, with the reason, and goes on when they are there again.
CREATE FUNCTION cdp_internal.judge_attachments() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  a     cdp_internal.attachments;
  found record;
BEGIN
  FOR a IN SELECT * FROM cdp_internal.attachments AS o WHERE o.state IN ('loading', 'current') ORDER BY o.attachment_id LOOP
    found := cdp_internal.attachment_problem(a, cdp_internal.attached_relation(a));
    IF found.problem IS NOT NULL AND (NOT a.is_broken OR a.error IS DISTINCT FROM found.problem OR found.missed AND NOT a.has_missed) THEN
      UPDATE cdp_internal.attachments AS o SET is_broken = true, has_missed = o.has_missed OR found.missed, error = found.problem, hint = found.hint,
          error_at = clock_timestamp() WHERE o.attachment_id = a.attachment_id;
    ELSIF found.problem IS NULL AND (a.is_broken OR a.has_missed) THEN
      UPDATE cdp_internal.attachments AS o SET is_broken = false WHERE o.attachment_id = a.attachment_id;
      PERFORM cdp_internal.clear_attachment_error(a.attachment_id);
      IF a.has_missed THEN
        PERFORM cdp_internal.begin_compare(a.attachment_id);
      END IF;
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.judge_attachments() IS 'Part of cdp.run';

-- The oldest changes of all tables that can be read, up to so many rows; 0: none waits.
CREATE FUNCTION cdp_internal.follow_changes(most integer, until timestamptz) RETURNS bigint
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
  hint     text;
BEGIN
  FOR line IN SELECT c.* FROM cdp_internal.attachments AS o
      CROSS JOIN LATERAL (SELECT h.change_id, h.attachment_id, h.kind, h.rows FROM cdp_internal.attached_changes AS h
                          WHERE h.attachment_id = o.attachment_id ORDER BY h.change_id LIMIT most) AS c
      WHERE o.state IN ('loading', 'current') AND NOT o.is_broken AND (o.due_at <= clock_timestamp() OR o.error_at < until) ORDER BY c.change_id LOOP
    EXIT WHEN taken > 0 AND (taken + line.rows > most OR line.kind = 'truncate');
    IF line.kind = 'truncate' THEN
      RETURN cdp_internal.follow_truncate(line.attachment_id, line.change_id, most);
    END IF;
    lines := lines || line.change_id;
    attachments := attachments || line.attachment_id;
    taken := taken + greatest(line.rows, 1);
  END LOOP;
  FOR changed IN
      SELECT c.attachment_id, array_agg(c.part ORDER BY c.change_id, c.place) FILTER (WHERE c.kind = 'rows') AS keys,
             array_agg(c.change_id ORDER BY c.change_id, c.place) FILTER (WHERE c.kind = 'rows') AS ids,
             array_agg(c.changed_at ORDER BY c.change_id, c.place) FILTER (WHERE c.kind = 'rows') AS times, bool_or(c.kind = 'unknown') AS is_unknown, array_agg(DISTINCT c.change_id) AS all_ids
      FROM (SELECT h.*, k.part, k.place FROM cdp_internal.attached_changes AS h LEFT JOIN LATERAL unnest(h.keys) WITH ORDINALITY AS k (part, place) ON true
            WHERE h.attachment_id = ANY (attachments) AND h.change_id = ANY (lines)) AS c
      GROUP BY c.attachment_id ORDER BY c.attachment_id LOOP
    SELECT * INTO a FROM cdp_internal.attachments AS o WHERE o.attachment_id = changed.attachment_id;
    relation := cdp_internal.attached_relation(a);
    problem := NULL; hint := NULL;
    IF changed.is_unknown THEN -- the key was called otherwise when they changed
      PERFORM cdp_internal.begin_compare(a.attachment_id);
    END IF;
    IF changed.keys IS NOT NULL THEN
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
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
      END;
    END IF;
    IF problem IS NOT NULL THEN
      PERFORM cdp_internal.note_attachment_error(a.attachment_id, problem, hint);
      lines := ARRAY(SELECT unnest(lines) EXCEPT SELECT unnest(changed.all_ids));
    ELSIF a.error IS NOT NULL THEN
      PERFORM cdp_internal.clear_attachment_error(a.attachment_id);
    END IF;
  END LOOP;
  PERFORM cdp_internal.tell_rows_safely(ARRAY(SELECT n FROM unnest(news) AS n ORDER BY n.place));
  DELETE FROM cdp_internal.attached_changes AS c WHERE c.attachment_id = ANY (attachments) AND c.change_id = ANY (lines);
  RETURN taken;
END $$;
COMMENT ON FUNCTION cdp_internal.follow_changes(integer, timestamptz) IS 'Part of cdp.run';

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
  own     record;
BEGIN
  SELECT array_agg(o.source_id) AS source_ids, array_agg(o.message_id) AS message_ids INTO own FROM cdp_internal.own_messages(news) AS o;
  gone := ARRAY(SELECT unnest(k.decisions) FROM cdp_internal.known_rows(news) AS k);
  refused := nullif(ARRAY(SELECT unnest(k.message_ids) FROM cdp_internal.known_rows(news) AS k), '{}');
  PERFORM cdp_internal.drop_rows(news);
  UPDATE cdp.quarantine AS q SET resolved_at = now(), resolution = 'discarded' WHERE q.resolved_at IS NULL AND q.message_id = ANY (refused);
  PERFORM cdp_internal.withdraw(gone, 'an attached row is gone');
  IF own.message_ids IS NOT NULL THEN
    PERFORM cdp_internal.free_messages(own.source_ids, own.message_ids, '{}');
  END IF;
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

-- By the key, however small the table was when this was planned.
CREATE FUNCTION cdp_internal.known_contents(attachment integer, keys text[]) RETURNS TABLE (row_key text, content uuid, is_kept_out boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  SELECT r.row_key, r.content, r.message_ids IS NOT NULL AND NOT EXISTS (SELECT FROM cdp.quarantine AS q WHERE q.message_id = ANY (r.message_ids) AND q.resolved_at IS NULL)
  FROM cdp_internal.attached_rows AS r WHERE r.attachment_id = attachment AND r.row_key = ANY (keys)
$$;
COMMENT ON FUNCTION cdp_internal.known_contents(integer, text[]) IS 'Part of cdp.run';

-- The next rows of a pass, up to `most`: where it ends, and of them what is not known yet or, where rows are polled or compared, says
-- something else; no more of these than `differing`.
CREATE FUNCTION cdp_internal.differing_rows(a cdp_internal.attachments, relation regclass, most integer, differing integer, version bigint,
    OUT number integer, OUT is_last boolean, OUT last text[], OUT news cdp_internal.attached_news[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  cut bigint;
BEGIN
  WITH page AS MATERIALIZED (SELECT p.*, cdp_internal.row_key(p.key) AS row_key FROM cdp_internal.read_page(a, relation, differing_rows.most) AS p),
  fresh AS (
    SELECT DISTINCT ON (p.row_key) p.* FROM page AS p
    LEFT JOIN cdp_internal.known_contents(a.attachment_id, ARRAY(SELECT o.row_key FROM page AS o)) AS r ON r.row_key = p.row_key
    WHERE (p.said IS NOT NULL OR p.problem IS NOT NULL)
      AND (r.row_key IS NULL OR a.comparing IS NOT NULL AND r.is_kept_out OR (a.kind = 'polled' OR a.comparing IS NOT NULL) AND r.content IS DISTINCT FROM cdp_internal.row_content(p.said, p.problem))
    ORDER BY p.row_key, p.place DESC),
  taken AS (SELECT f.* FROM fresh AS f ORDER BY f.place LIMIT differing_rows.differing)
  SELECT (SELECT count(*) FROM page),
         (SELECT CASE WHEN a.kind = 'polled' THEN ARRAY[p.watermark] ELSE '{}' END || p.key FROM page AS p
          WHERE (SELECT count(*) FROM fresh) <= differing_rows.differing OR p.place <= (SELECT max(t.place) FROM taken AS t) ORDER BY p.place DESC LIMIT 1),
         (SELECT array_agg((t.place, a.attachment_id, t.row_key, differing_rows.version, now(), t.said, t.problem, t.detail)::cdp_internal.attached_news ORDER BY t.place) FROM taken AS t),
         (SELECT max(t.place) FROM taken AS t WHERE (SELECT count(*) FROM fresh) > differing_rows.differing)
    INTO number, last, news, cut;
  is_last := number < differing_rows.most AND cut IS NULL;
  number := coalesce(cut, number);
END $$;
COMMENT ON FUNCTION cdp_internal.differing_rows(cdp_internal.attachments, regclass, integer, integer, bigint) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.load_page(a cdp_internal.attachments, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  relation constant regclass := cdp_internal.attached_relation(a);
  version  constant bigint := nextval('cdp_internal.attached_changes_change_id_seq');
  number   integer;
  is_last  boolean;
  last     text[];
  news     cdp_internal.attached_news[];
BEGIN
  SELECT p.number, p.is_last, p.last, p.news INTO number, is_last, last, news FROM cdp_internal.differing_rows(a, relation, most, most, version) AS p;
  PERFORM cdp_internal.tell_rows_safely(news);
  UPDATE cdp_internal.attachments AS o SET
      done = CASE WHEN a.state = 'loading' THEN o.done + number ELSE o.done END, updated_at = clock_timestamp(),
      state = CASE WHEN is_last THEN 'current' ELSE o.state END,
      compared_at = CASE WHEN a.state = 'loading' THEN clock_timestamp() ELSE o.compared_at END,
      place = CASE WHEN is_last THEN NULL ELSE last END,
      -- A time to come would hide what is written until then: the next pass begins at the present at the latest.
      pass_from = CASE WHEN a.kind = 'polled' AND is_last THEN cdp_internal.pass_start(a, coalesce(last[1], a.place[1], a.pass_from)) ELSE o.pass_from END,
      poll_at = CASE WHEN a.kind = 'polled' AND is_last THEN clock_timestamp() + a.every ELSE '-infinity' END
    WHERE o.attachment_id = a.attachment_id;
  PERFORM cdp_internal.clear_attachment_error(a.attachment_id);
  RETURN CASE WHEN is_last AND news IS NULL AND a.state = 'current' THEN 0 ELSE 1 END;
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

-- One piece of work: changes first; then tables that are detached, loaded, due to be polled, or compared. 0: nothing waits. `began`: of a
-- run that somebody called; what failed before it is tried again at once.
CREATE FUNCTION cdp_internal.follow_attached(began timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  most   constant integer := least(1000, coalesce(current_setting('cdp.batch_size', true), '1000')::integer);
  until  constant timestamptz := coalesce(began, clock_timestamp());
  a      cdp_internal.attachments;
  worked bigint;
  problem text;
  hint   text;
BEGIN
  IF NOT EXISTS (SELECT FROM cdp_internal.attachments AS o WHERE o.state <> 'kept') THEN
    RETURN 0;
  END IF;
  PERFORM cdp_internal.take_turn('cdp_internal.attached_changes');
  PERFORM cdp_internal.judge_attachments();
  worked := cdp_internal.follow_changes(most, began);
  IF worked > 0 THEN
    RETURN worked;
  END IF;
  FOR a IN SELECT * FROM cdp_internal.attachments AS o
           WHERE NOT (o.is_broken AND o.state <> 'detaching') AND (o.due_at <= clock_timestamp() OR o.error_at < began)
             AND (o.state IN ('loading', 'detaching') OR o.state = 'current' AND (o.kind = 'polled' AND o.poll_at <= until OR o.comparing IS NOT NULL
                  OR o.compared_at + o.recompare <= until))
           ORDER BY o.updated_at, o.attachment_id LOOP
    BEGIN
      worked := CASE WHEN a.state = 'detaching' THEN cdp_internal.detach_batch(a, most)
                     WHEN a.state = 'loading' OR a.kind = 'polled' AND a.poll_at <= until THEN cdp_internal.load_page(a, most) ELSE 0 END;
      IF worked = 0 AND a.state = 'current' AND (a.comparing IS NOT NULL OR a.compared_at + a.recompare <= until) THEN
        worked := cdp_internal.compare_batch(a.attachment_id, most);
      END IF;
      IF worked > 0 THEN
        RETURN worked;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      IF left(SQLSTATE, 2) IN ('08', '25', '28', '40', '53', '57', '58') THEN
        RAISE;
      END IF;
      GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
      PERFORM cdp_internal.note_attachment_error(a.attachment_id, problem, hint);
    END;
  END LOOP;
  RETURN 0;
END $$;
COMMENT ON FUNCTION cdp_internal.follow_attached(timestamptz) IS 'Part of cdp.run: one batch of what attached tables wait for';
