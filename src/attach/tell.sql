-- tell: what rows of attached tables say now, decided in the place of what they said before. A row is one message, or none, or, where
-- its traits were first said at different times, one for each of these: what did not change keeps its time.

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
  INSERT INTO cdp_internal.attached_rows AS r (attachment_id, row_key, version, decisions, message_ids, refused, content)
    SELECT b.attachment_id, b.row_key, b.version, '{}', ARRAY[b.id], ARRAY[md5(jsonb_build_object('messageId', b.id)::text)::uuid], cdp_internal.row_content(NULL, b.problem) FROM bad AS b
    ON CONFLICT (attachment_id, row_key) DO UPDATE SET version = excluded.version, decisions = '{}', message_ids = excluded.message_ids,
      refused = excluded.refused, content = excluded.content, former = nullif(r.former || r.decisions, '{}')
$$;
COMMENT ON FUNCTION cdp_internal.refuse_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- What is known of these rows. By the key, however small the tables were when it was planned.
CREATE FUNCTION cdp_internal.known_rows(news cdp_internal.attached_news[]) RETURNS SETOF cdp_internal.attached_rows
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  SELECT r.* FROM unnest(news) AS n JOIN cdp_internal.attached_rows AS r ON r.attachment_id = n.attachment_id AND r.row_key = n.row_key
$$;
COMMENT ON FUNCTION cdp_internal.known_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.said_by(decisions bigint[], former bigint[])
  RETURNS TABLE (decision_seq bigint, type text, asserted_at timestamptz, received_at timestamptz, traits jsonb, context jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  SELECT s.decision_seq, s.type, s.asserted_at, s.received_at, s.traits, s.context FROM cdp.assertions AS s WHERE s.decision_seq = ANY (decisions)
  UNION ALL
  SELECT w.decision_seq, w.type, w.asserted_at, w.received_at, w.traits, w.context FROM cdp.withdrawn_assertions AS w WHERE w.decision_seq = ANY (former)
$$;
COMMENT ON FUNCTION cdp_internal.said_by(bigint[], bigint[]) IS 'Part of cdp.run';

-- What a row that was read says, as parts of a message. An identifier that is null or empty is none; a column that is null says nothing.
CREATE FUNCTION cdp_internal.row_identifiers(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('type', i.value ->> 0, 'id', v.value #>> '{}', 'collection', 'users', 'encoding', 'none')
                            ORDER BY i.place, v.place), '[]')
  FROM jsonb_array_elements(said -> 'identifiers') WITH ORDINALITY AS i (value, place)
  CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(i.value -> 1) WHEN 'array' THEN i.value -> 1 ELSE jsonb_build_array(i.value -> 1) END)
    WITH ORDINALITY AS v (value, place)
  WHERE v.value NOT IN ('null', '""')
$$;
COMMENT ON FUNCTION cdp_internal.row_identifiers(jsonb) IS 'Part of cdp.run';
CREATE FUNCTION cdp_internal.row_body(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(b.key, b.value), '{}') FROM jsonb_each(said -> 'body') AS b WHERE b.value <> 'null'
$$;
COMMENT ON FUNCTION cdp_internal.row_body(jsonb) IS 'Part of cdp.run';

-- A plan asks for all of a row's traits.
CREATE FUNCTION cdp_internal.is_told_whole(source text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM cdp.sources AS s JOIN cdp.tracking_plans AS p USING (source_id) WHERE s.source = is_told_whole.source AND p.is_enabled)
$$;
COMMENT ON FUNCTION cdp_internal.is_told_whole(text) IS 'Whether rows of this source are one message each';

CREATE FUNCTION cdp_internal.is_treated(source text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM cdp.sources AS s WHERE s.source = is_treated.source AND s.drops || s.hashes <> '{}')
$$;
COMMENT ON FUNCTION cdp_internal.is_treated(text) IS 'Whether something of what this source says is dropped or hashed at the door';

-- What a row that was read tells, and what the door leaves of that: a trait that is dropped is not told, and one that is hashed is known by its hash.
CREATE FUNCTION cdp_internal.row_traits(source text, is_treated boolean, said jsonb,
    OUT identifiers jsonb, OUT told jsonb, OUT stored jsonb, OUT stored_identifiers jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  message jsonb;
BEGIN
  identifiers := cdp_internal.row_identifiers(said); told := cdp_internal.row_body(said);
  stored_identifiers := identifiers; stored := told;
  IF is_treated THEN
    message := cdp_internal.treated_line(source, jsonb_build_object('type', 'identify', 'context', jsonb_build_object('externalIds', identifiers), 'traits', told)::text)::jsonb;
    IF jsonb_typeof(message) = 'object' THEN -- else it is too long, and refused
      stored := coalesce(message -> 'traits', '{}'); stored_identifiers := message #> '{context,externalIds}';
      told := (SELECT coalesce(jsonb_object_agg(t.key, t.value), '{}') FROM jsonb_each(told) AS t WHERE stored ? t.key);
    END IF;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.row_traits(text, boolean, jsonb) IS 'Part of cdp.run';

-- Of rows that said traits before: the messages that stay, and the traits of others that are said again with the times they had,
-- since their row says something else beside them, or of somebody else, or was refused in between. `moved`: a row whose time is earlier
-- now was so earlier.
CREATE FUNCTION cdp_internal.kept_traits(news cdp_internal.attached_news[])
  RETURNS TABLE (attachment_id integer, row_key text, decision_seq bigint, stays boolean, traits jsonb, asserted_at timestamptz, received_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH attached AS MATERIALIZED (
    SELECT a.attachment_id, a.source, cdp_internal.is_treated(a.source) AS is_treated FROM cdp_internal.attachments AS a
    WHERE a.attachment_id IN (SELECT n.attachment_id FROM unnest(news) AS n) AND a.event IS NULL AND NOT a.is_message AND NOT cdp_internal.is_told_whole(a.source)
  ), known AS MATERIALIZED (
    SELECT n.attachment_id, n.row_key, k.decisions, k.former, t.told, t.stored, t.stored_identifiers, (n.said ->> 'occurred_at')::timestamptz AS moved
    FROM unnest(news) AS n JOIN attached AS a USING (attachment_id)
    JOIN cdp_internal.known_rows(news) AS k ON k.attachment_id = n.attachment_id AND k.row_key = n.row_key
    CROSS JOIN LATERAL cdp_internal.row_traits(a.source, a.is_treated, n.said) AS t
    WHERE n.said IS NOT NULL
  ), said AS MATERIALIZED (
    SELECT o.attachment_id, o.row_key, o.told, o.stored, s.*, s.context -> 'externalIds' IS NOT DISTINCT FROM o.stored_identifiers AS is_same, o.is_former
    FROM cdp_internal.said_by(ARRAY(SELECT unnest(k.decisions) FROM known AS k), ARRAY(SELECT unnest(k.former) FROM known AS k)) AS s
    JOIN (SELECT k.*, d.decision, d.place > cardinality(k.decisions) AS is_former FROM known AS k
          CROSS JOIN LATERAL unnest(k.decisions || k.former) WITH ORDINALITY AS d (decision, place)) AS o ON o.decision = s.decision_seq
    WHERE s.type = 'identify' AND coalesce(o.moved >= s.asserted_at, true)
  ), kept AS (
    SELECT DISTINCT ON (s.attachment_id, s.row_key, t.key) s.attachment_id, s.row_key, s.decision_seq, t.key, s.told -> t.key AS told, t.value,
           t.value::text = (s.stored -> t.key)::text AS is_stored
    FROM said AS s CROSS JOIN LATERAL jsonb_each(s.traits) AS t
    WHERE t.value::text IN ((s.stored -> t.key)::text, (s.told -> t.key)::text) ORDER BY s.attachment_id, s.row_key, t.key, s.asserted_at, s.is_former, s.decision_seq
  ), whole AS (
    SELECT s.*, k.left_over, k.left_stored
    FROM said AS s CROSS JOIN LATERAL (
      SELECT coalesce(jsonb_object_agg(k.key, k.told), '{}') AS left_over, coalesce(jsonb_object_agg(k.key, k.value) FILTER (WHERE k.is_stored), '{}') AS left_stored
      FROM kept AS k WHERE k.attachment_id = s.attachment_id AND k.row_key = s.row_key AND k.decision_seq = s.decision_seq) AS k
  )
  SELECT w.attachment_id, w.row_key, w.decision_seq,
         w.is_same AND NOT w.is_former AND w.left_stored::text = coalesce(w.traits, '{}')::text AND (w.left_over <> '{}' OR w.stored = '{}'),
         w.left_over, w.asserted_at, CASE WHEN w.is_same AND NOT w.is_former THEN w.received_at END
  FROM whole AS w WHERE w.left_over <> '{}' OR w.is_same AND w.stored = '{}' AND coalesce(w.traits, '{}') = '{}'
$$;
COMMENT ON FUNCTION cdp_internal.kept_traits(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- Of rows that are whole messages: those they are today, by messageIds of their own.
CREATE FUNCTION cdp_internal.own_messages(news cdp_internal.attached_news[]) RETURNS TABLE (source text, source_id integer, message_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  SELECT s.source, f.source_id, f.message_id
  FROM cdp_internal.known_rows(news) AS k JOIN cdp_internal.attachments AS a USING (attachment_id) CROSS JOIN LATERAL unnest(k.decisions) AS d (decision)
  CROSS JOIN LATERAL (SELECT e.source_id, e.message_id FROM cdp_internal.event_traces AS e WHERE e.event_id = d.decision
                      UNION ALL SELECT e.source_id, e.message_id FROM cdp.assertions AS e WHERE e.decision_seq = d.decision) AS f
  JOIN cdp.sources AS s USING (source_id)
  WHERE a.is_message
$$;
COMMENT ON FUNCTION cdp_internal.own_messages(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- What rows said is gone, or said under other messageIds: theirs are free again, so that a row that comes back, or a message that comes
-- directly, is taken. After all else, as nobody waits for a key that he does not have yet.
CREATE FUNCTION cdp_internal.free_messages(source_ids integer[], message_ids text[], decisions bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  DELETE FROM cdp.message_keys AS k USING unnest(source_ids, message_ids) AS m (source_id, message_id)
  WHERE k.source_id = m.source_id AND k.message_key = substr(encode(sha256(convert_to(m.message_id, 'UTF8')), 'hex'), 1, 32)::uuid
    AND NOT EXISTS (SELECT FROM unnest(decisions) AS d (decision) CROSS JOIN LATERAL (
      SELECT e.source_id, e.message_id FROM cdp_internal.event_traces AS e WHERE e.event_id = d.decision
      UNION ALL SELECT e.source_id, e.message_id FROM cdp.assertions AS e WHERE e.decision_seq = d.decision) AS f
      WHERE f.source_id = m.source_id AND f.message_id = m.message_id)
$$;
COMMENT ON FUNCTION cdp_internal.free_messages(integer[], text[], bigint[]) IS 'Part of cdp.run';

-- The messages that these rows are from now on, in order; `stays`: it is one already.
CREATE FUNCTION cdp_internal.row_messages(news cdp_internal.attached_news[])
  RETURNS TABLE (attachment_id integer, row_key text, stays bigint, message_id text, source text, name text, received_at timestamptz, message text, known_by text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH attached AS MATERIALIZED (
    SELECT a.*, a.event IS NULL AND NOT a.is_message AND cdp_internal.is_treated(a.source) AS is_treated FROM cdp_internal.attachments AS a
    WHERE a.attachment_id IN (SELECT n.attachment_id FROM unnest(news) AS n)
  ), said AS MATERIALIZED (
    SELECT n.place, n.attachment_id, n.row_key, n.version, n.at, n.said, a.name, a.source, a.event IS NULL AS has_traits, a.is_message,
           t.identifiers, t.told AS body
    FROM unnest(news) AS n JOIN attached AS a USING (attachment_id) CROSS JOIN LATERAL cdp_internal.row_traits(a.source, a.is_treated, n.said) AS t WHERE n.said IS NOT NULL
  ), kept AS MATERIALIZED (
    SELECT * FROM cdp_internal.kept_traits(news)
  ), part AS (
    SELECT s.*, k.number, k.traits AS says, to_jsonb(k.asserted_at) AS stamp, coalesce(k.received_at, s.at) AS since
    FROM said AS s JOIN (SELECT k.*, row_number() OVER (PARTITION BY k.attachment_id, k.row_key ORDER BY k.asserted_at, k.decision_seq) AS number
                         FROM kept AS k WHERE NOT k.stays) AS k USING (attachment_id, row_key)
    UNION ALL
    SELECT s.*, NULL, s.body - coalesce(k.names, '{}'), s.said -> 'occurred_at', s.at
    FROM said AS s LEFT JOIN (SELECT k.attachment_id, k.row_key, array_agg(t.name) FILTER (WHERE t.name IS NOT NULL) AS names
                              FROM kept AS k LEFT JOIN LATERAL jsonb_object_keys(k.traits) AS t (name) ON true GROUP BY 1, 2) AS k USING (attachment_id, row_key)
    WHERE k.row_key IS NULL OR s.body - coalesce(k.names, '{}') <> '{}'
  )
  SELECT k.attachment_id, k.row_key, k.decision_seq, NULL, NULL, NULL, NULL, NULL, NULL FROM kept AS k WHERE k.stays
  UNION ALL
  (SELECT p.attachment_id, p.row_key, NULL, m.id, p.source, p.name, p.since,
         (CASE WHEN p.is_message THEN p.said -> 'body' || jsonb_build_object('messageId', m.id) ELSE
          jsonb_build_object('type', CASE WHEN p.has_traits THEN 'identify' ELSE 'track' END, 'messageId', m.id,
            'context', jsonb_build_object('externalIds', p.identifiers), CASE WHEN p.has_traits THEN 'traits' ELSE 'properties' END, p.says)
          || CASE WHEN p.stamp <> 'null' THEN jsonb_build_object('timestamp', p.stamp) ELSE '{}' END
          || CASE WHEN p.has_traits THEN '{}' ELSE jsonb_build_object('event', p.said -> 'event') END END)::text,
         CASE WHEN m.own_id IS NULL THEN 'content' WHEN o.message_id IS NULL THEN 'id' ELSE 'own id' END
  FROM part AS p CROSS JOIN LATERAL (SELECT CASE WHEN p.is_message THEN nullif(p.said -> 'body' ->> 'messageId', '') END AS own_id) AS w
  CROSS JOIN LATERAL (SELECT w.own_id, coalesce(w.own_id, cdp_internal.row_message_id(p.name, p.row_key, p.version) || coalesce('/' || p.number, '')) AS id) AS m
  LEFT JOIN (SELECT DISTINCT i.source, i.message_id FROM cdp_internal.own_messages(news) AS i) AS o ON o.source = p.source AND o.message_id = m.own_id
  ORDER BY p.place, p.number NULLS LAST)
$$;
COMMENT ON FUNCTION cdp_internal.row_messages(cdp_internal.attached_news[]) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.drop_rows(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  DELETE FROM cdp_internal.attached_rows AS r USING unnest(news) AS n WHERE r.attachment_id = n.attachment_id AND r.row_key = n.row_key
$$;
COMMENT ON FUNCTION cdp_internal.drop_rows(cdp_internal.attached_news[]) IS 'Part of cdp.run';

-- Takes back what rows said and says what they say now, as one decision. What was refused before is resolved by it. Rows that say
-- what they said before are left alone.
CREATE FUNCTION cdp_internal.tell_rows(news cdp_internal.attached_news[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  changed   cdp_internal.attached_news[];
  known     bigint[];
  refused   text[];
  left_out  text[]; -- of these: of rows that are gone
  said      record;
  decisions bigint[];
  fates     text[];
  own       record;
BEGIN
  SELECT array_agg(n ORDER BY n.place) INTO changed
    FROM unnest(news) AS n LEFT JOIN cdp_internal.known_rows(news) AS k ON k.attachment_id = n.attachment_id AND k.row_key = n.row_key
    WHERE CASE WHEN k.row_key IS NULL THEN n.said IS NOT NULL OR n.problem IS NOT NULL
               ELSE k.message_ids IS NOT NULL OR k.content IS DISTINCT FROM cdp_internal.row_content(n.said, n.problem) END;
  IF changed IS NULL OR cardinality(changed) < cardinality(news) THEN
    UPDATE cdp_internal.attached_rows AS r SET version = n.version FROM unnest(news) AS n
      WHERE r.attachment_id = n.attachment_id AND r.row_key = n.row_key AND r.version < n.version AND n.said IS NOT NULL;
  END IF;
  IF changed IS NULL THEN
    RETURN;
  END IF;
  known := ARRAY(SELECT unnest(k.decisions) FROM cdp_internal.known_rows(changed) AS k);
  refused := ARRAY(SELECT unnest(k.message_ids) FROM cdp_internal.known_rows(changed) AS k);
  left_out := ARRAY(SELECT unnest(k.message_ids) FROM cdp_internal.known_rows(ARRAY(SELECT n FROM unnest(changed) AS n WHERE n.said IS NULL AND n.problem IS NULL)) AS k);
  SELECT array_agg(o.source_id) AS source_ids, array_agg(o.message_id) AS message_ids INTO own FROM cdp_internal.own_messages(changed) AS o;
  SELECT array_agg(m.attachment_id) AS attachments, array_agg(m.row_key) AS keys, array_agg(m.stays) AS stay, array_agg(m.message_id) AS ids,
         array_agg(m.source) AS sources, array_agg(m.name) AS names, array_agg(m.message) AS texts, array_agg(m.received_at) AS times, array_agg(m.known_by) AS known_by
    INTO said FROM cdp_internal.row_messages(changed) AS m;
  IF refused <> '{}' THEN
    UPDATE cdp.quarantine AS q SET resolved_at = now(), resolution = CASE WHEN q.message_id = ANY (left_out) THEN 'discarded' ELSE 'replaced' END
      WHERE q.resolved_at IS NULL AND q.message_id = ANY (refused);
  END IF;
  PERFORM cdp_internal.drop_rows(ARRAY(SELECT n FROM unnest(changed) AS n WHERE n.said IS NULL AND n.problem IS NULL));
  -- What stays comes before what is new, so places of new ones are counted from there.
  SELECT array_agg(e.decision_seq ORDER BY e.place), array_agg(e.fate ORDER BY e.place) INTO decisions, fates
    FROM (SELECT count(*) AS number FROM unnest(said.stay) AS s (id) WHERE s.id IS NOT NULL) AS stay
    CROSS JOIN LATERAL cdp_internal.exchange(ARRAY(SELECT k.id FROM unnest(known) AS k (id) WHERE k.id IS NOT NULL EXCEPT SELECT s.id FROM unnest(said.stay) AS s (id)),
      said.sources[stay.number + 1:], said.names[stay.number + 1:], said.texts[stay.number + 1:], said.times[stay.number + 1:], 'an attached row changed',
      said.known_by[stay.number + 1:]) AS e;
  IF own.message_ids IS NOT NULL THEN
    PERFORM cdp_internal.free_messages(own.source_ids, own.message_ids, decisions);
  END IF;
  INSERT INTO cdp_internal.attached_rows AS r (attachment_id, row_key, version, decisions, message_ids, refused, content)
    SELECT n.attachment_id, n.row_key, n.version, t.decisions, t.message_ids, t.refused, cdp_internal.row_content(n.said, NULL)
    FROM unnest(changed) AS n JOIN (
      SELECT t.attachment_id, t.row_key, coalesce(array_agg(t.decision ORDER BY t.decision) FILTER (WHERE t.decision IS NOT NULL), '{}') AS decisions,
             array_agg(t.id) FILTER (WHERE t.decision IS NULL AND t.fate <> 'duplicate') AS message_ids,
             array_agg(md5(CASE WHEN cdp_internal.is_treated(t.source) THEN cdp_internal.treated_line(t.source, t.message) ELSE t.message END)::uuid)
               FILTER (WHERE t.decision IS NULL AND t.fate <> 'duplicate') AS refused
      FROM unnest(said.attachments, said.keys, said.ids, said.texts, said.sources,
                  array_remove(said.stay, NULL) || decisions, array_fill('stays'::text, ARRAY[coalesce(cardinality(array_remove(said.stay, NULL)), 0)]) || fates) AS t (attachment_id, row_key, id, message, source, decision, fate)
      GROUP BY t.attachment_id, t.row_key) AS t ON t.attachment_id = n.attachment_id AND t.row_key = n.row_key
    WHERE n.said IS NOT NULL
    ON CONFLICT (attachment_id, row_key) DO UPDATE SET version = excluded.version, decisions = excluded.decisions,
      message_ids = excluded.message_ids, refused = excluded.refused, content = excluded.content,
      -- What a row said before it was refused, in all or in part, is as old as it was when it says so again.
      former = CASE WHEN excluded.message_ids IS NOT NULL THEN nullif(ARRAY(SELECT unnest(r.former || r.decisions) EXCEPT SELECT unnest(excluded.decisions)), '{}') END;
  IF EXISTS (SELECT FROM unnest(changed) AS n WHERE n.problem IS NOT NULL) THEN
    PERFORM cdp_internal.refuse_rows(changed);
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

