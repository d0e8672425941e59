-- feed: who entered and left which segment, told once, in one order, to whoever wants to know.

-- A row says: this membership may differ from what was told, from an instant on. Written with the change, in its
-- transaction; read and deleted by the sequencer alone. Dumped: only here stands that a deleted membership is to be told.
CREATE TABLE cdp_internal.membership_touches (
  from_at    timestamptz NOT NULL,
  profile_id bigint NOT NULL,
  segment_id integer NOT NULL,
  key        text,
  touched_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX membership_touches_segment ON cdp_internal.membership_touches (segment_id);
COMMENT ON COLUMN cdp_internal.membership_touches.touched_at IS 'When that was written; how long it has waited, for cdp.health()';
COMMENT ON TABLE cdp_internal.membership_touches IS
  'Memberships that changed and that the sequencer has yet to compare with what was told';
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.membership_touches', '');

-- Entries to come are found by the clock, as exits are by memberships_present.
CREATE INDEX memberships_entered ON cdp.memberships (segment_id, entered_at);

CREATE TABLE cdp.membership_changes (
  position     bigint NOT NULL PRIMARY KEY,
  profile_id   bigint NOT NULL,
  changed_at   timestamptz NOT NULL,
  told_at      timestamptz NOT NULL,
  decision_seq bigint,
  segment_id   integer NOT NULL,
  segment      text COLLATE "C" NOT NULL,
  change       text COLLATE "C" NOT NULL CHECK (change IN ('entered', 'left')),
  key          text
);
CREATE INDEX membership_changes_segment ON cdp.membership_changes (segment, position);
CREATE INDEX membership_changes_person ON cdp.membership_changes (profile_id, segment_id, key, position);
COMMENT ON TABLE cdp.membership_changes IS
  'Who entered and left which segment, as it was told: append-only, in one order. Of each membership entered and left alternate; see cdp.read_changes';
COMMENT ON COLUMN cdp.membership_changes.position IS 'Without gaps, and visible in this order: whoever has seen a position has seen all before it';
COMMENT ON COLUMN cdp.membership_changes.changed_at IS
  'Since when it holds; when it was noticed, where a membership was taken back or its segment dropped';
COMMENT ON COLUMN cdp.membership_changes.told_at IS 'When it got its position; never goes back';
COMMENT ON COLUMN cdp.membership_changes.decision_seq IS 'Of an entry, the decision that let the person in; null when time alone did';
COMMENT ON COLUMN cdp.membership_changes.segment IS 'The name of the segment, also after it was dropped';
SELECT pg_catalog.pg_extension_config_dump('cdp.membership_changes', '');

-- All that was touched and is not any more, and all whose time has come until told_until, is told up to last_position.
CREATE TABLE cdp_internal.feed (
  last_position bigint NOT NULL,
  told_until    timestamptz NOT NULL,
  next_segment  integer NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX feed_one_row ON cdp_internal.feed ((true));
COMMENT ON TABLE cdp_internal.feed IS 'How far the sequencer is, at most one row';
COMMENT ON COLUMN cdp_internal.feed.next_segment IS 'Whose touches are taken next, so that a large segment does not hold up the others';
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.feed', '');

CREATE TABLE cdp.change_consumers (
  consumer       text COLLATE "C" PRIMARY KEY,
  acked_position bigint NOT NULL DEFAULT 0,
  acked_at       timestamptz,
  created_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
  segments       text[]
);
COMMENT ON TABLE cdp.change_consumers IS 'Who reads cdp.read_changes, and how far each has come; one row from the first read on';
COMMENT ON COLUMN cdp.change_consumers.segments IS 'Which segments it read last; null: all';
SELECT pg_catalog.pg_extension_config_dump('cdp.change_consumers', '');

CREATE FUNCTION cdp_internal.touch_memberships() RETURNS trigger LANGUAGE c
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_touch_memberships';
COMMENT ON FUNCTION cdp_internal.touch_memberships() IS 'Notes for the sequencer what a statement wrote';

CREATE TRIGGER touch_inserted AFTER INSERT ON cdp.memberships REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.touch_memberships();
CREATE TRIGGER touch_updated AFTER UPDATE ON cdp.memberships REFERENCING OLD TABLE AS removed NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.touch_memberships();
CREATE TRIGGER touch_deleted AFTER DELETE ON cdp.memberships REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.touch_memberships();
CREATE TRIGGER touch_truncated AFTER TRUNCATE ON cdp.memberships
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.touch_memberships();

-- By hand only, so by row: another entry, or another's membership. Statements that set none of these never come here.
CREATE FUNCTION cdp_internal.touch_moved() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO cdp_internal.membership_touches (from_at, profile_id, segment_id, key)
    VALUES (OLD.entered_at, OLD.profile_id, OLD.segment_id, OLD.key), (NEW.entered_at, NEW.profile_id, NEW.segment_id, NEW.key);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.touch_moved() IS 'Notes for the sequencer a membership that became another one';
CREATE TRIGGER touch_moved AFTER UPDATE OF segment_id, profile_id, key, entered_at ON cdp.memberships
  FOR EACH ROW EXECUTE FUNCTION cdp_internal.touch_moved();

-- Whose entry or exit lies after what was told, until an instant. Two index probes a segment when there are none.
CREATE FUNCTION cdp_internal.touch_due(told_until timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  touched bigint;
BEGIN
  INSERT INTO cdp_internal.membership_touches (from_at, profile_id, segment_id, key)
    SELECT d.at, d.profile_id, s.segment_id, d.key FROM cdp.segments AS s CROSS JOIN LATERAL (
      SELECT m.left_at AS at, m.profile_id, m.key FROM cdp.memberships AS m
      WHERE m.segment_id = s.segment_id AND m.left_at > told_until AND m.left_at <= until
      UNION ALL
      SELECT m.entered_at, m.profile_id, m.key FROM cdp.memberships AS m
      WHERE m.segment_id = s.segment_id AND m.entered_at > told_until AND m.entered_at <= until) AS d
    WHERE s.replaces IS NULL AND s.kind <> 'trait';
  GET DIAGNOSTICS touched = ROW_COUNT;
  RETURN touched;
END $$;
COMMENT ON FUNCTION cdp_internal.touch_due(timestamptz, timestamptz) IS 'Part of tell_changes: touches whom time moves';

-- The sequencer's step, one statement, so one snapshot: takes touches, compares what is stored until an instant with what
-- was last told of each membership, and tells the steps between. Told and stored then agree on all that was taken.
CREATE FUNCTION cdp_internal.tell_touched(told_position bigint, until timestamptz, from_segment integer, most integer,
                                          OUT taken bigint, OUT last_position bigint, OUT last_segment integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
  WITH gone AS (
    DELETE FROM cdp_internal.membership_touches AS t WHERE t.ctid = ANY (ARRAY(
      SELECT o.ctid FROM cdp_internal.membership_touches AS o WHERE o.segment_id >= $3 ORDER BY o.segment_id LIMIT $4))
    RETURNING t.*
  ), one AS ( -- What begins to differ later is found by touch_due, when its time comes.
    SELECT DISTINCT g.segment_id, g.profile_id, g.key FROM gone AS g WHERE g.from_at <= $2
      -- Asked again here: a restore brings memberships before it says of what they are.
      AND NOT EXISTS (SELECT FROM cdp.segments AS h WHERE (h.replaces IS NOT NULL OR h.kind = 'trait') AND h.segment_id = g.segment_id)
  ), told AS MATERIALIZED (
    SELECT row_number() OVER () AS id, o.*, l.segment, coalesce(l.change = 'entered', false) AS was_in,
           coalesce(l.changed_at, '-infinity') AS since
    FROM one AS o LEFT JOIN LATERAL (
      (SELECT c.segment, c.change, c.changed_at FROM cdp.membership_changes AS c
       WHERE c.profile_id = o.profile_id AND c.segment_id = o.segment_id AND c.key = o.key ORDER BY c.position DESC LIMIT 1)
      UNION ALL
      (SELECT c.segment, c.change, c.changed_at FROM cdp.membership_changes AS c
       WHERE o.key IS NULL AND c.profile_id = o.profile_id AND c.segment_id = o.segment_id AND c.key IS NULL
       ORDER BY c.position DESC LIMIT 1)) AS l ON true
  ), stored AS ( -- Ranges that touch are one: nobody leaves and enters at the same instant.
    SELECT t.*, m.entered_at, m.left_at, m.decision_seq,
           coalesce(bool_or(m.entered_at <= t.since AND m.left_at > t.since) OVER (PARTITION BY t.id), false) AS holds,
           lag(m.left_at) OVER w IS DISTINCT FROM m.entered_at AS begins,
           lead(m.entered_at) OVER w IS DISTINCT FROM m.left_at AS ends, lead(m.entered_at) OVER w IS NULL AS is_last
    FROM told AS t LEFT JOIN LATERAL (
      SELECT k.entered_at, k.left_at, k.decision_seq FROM cdp.memberships AS k
      WHERE k.profile_id = t.profile_id AND k.segment_id = t.segment_id AND k.key = t.key AND k.entered_at <= $2 AND k.left_at >= t.since
      UNION ALL
      SELECT k.entered_at, k.left_at, k.decision_seq FROM cdp.memberships AS k
      WHERE t.key IS NULL AND k.profile_id = t.profile_id AND k.segment_id = t.segment_id AND k.key IS NULL
        AND k.entered_at <= $2 AND k.left_at >= t.since OFFSET 0) AS m ON true
    WINDOW w AS (PARTITION BY t.id ORDER BY m.entered_at)
  ), step AS ( -- The last row of VALUES: what holds is not what was told, and nothing that came after says so.
    SELECT s.*, v.is_in, v.at, v.by, v.is_correction, row_number() OVER (PARTITION BY s.id ORDER BY v.is_correction, v.at) AS place
    FROM stored AS s CROSS JOIN LATERAL (VALUES
      (true, s.entered_at, s.decision_seq, false, s.entered_at > s.since AND s.begins),
      (false, s.left_at, NULL, false, s.left_at > s.since AND s.left_at <= $2 AND s.ends),
      (s.holds, CASE WHEN s.holds THEN s.since ELSE $2 END, NULL, true, s.is_last AND s.holds <> s.was_in)
    ) AS v (is_in, at, by, is_correction, counts) WHERE v.counts
  ), added AS (
    INSERT INTO cdp.membership_changes (position, profile_id, changed_at, told_at, decision_seq, segment_id, segment, change, key)
    SELECT $1 + row_number() OVER (ORDER BY s.at, s.segment_id, s.profile_id, s.key), s.profile_id, s.at, $2, s.by, s.segment_id,
           coalesce(n.name, s.segment, format('segment %s', s.segment_id)), CASE WHEN s.is_in THEN 'entered' ELSE 'left' END, s.key
    FROM step AS s LEFT JOIN cdp.segments AS n USING (segment_id)
    WHERE CASE WHEN s.is_correction THEN s.place = 1 ELSE s.place > (s.holds <> s.was_in)::integer END
    RETURNING position
  )
  SELECT (SELECT count(*) FROM gone), coalesce((SELECT max(a.position) FROM added AS a), $1), (SELECT max(g.segment_id) FROM gone AS g)
    INTO taken, last_position, last_segment;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_touched(bigint, timestamptz, integer, integer) IS 'Part of tell_changes: one batch of touches';

-- Locks nobody but another sequencer, which waits. The instant never goes back, whatever the clock does.
CREATE FUNCTION cdp_internal.tell_changes(most integer DEFAULT 10000, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  feed  cdp_internal.feed;
  until timestamptz;
  due   bigint := 0;
  told  record;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.membership_changes');
  SELECT * INTO feed FROM cdp_internal.feed;
  until := greatest(coalesce(at, clock_timestamp()), feed.told_until);
  -- A restore brings the row, and what was told, in any order: nobody may begin to tell before it is done.
  IF feed IS NULL AND EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.application_name LIKE 'pg_restore%') THEN
    RETURN 0;
  END IF;
  IF feed IS NULL THEN -- Before the first time nothing was told: what is stored has touches, and these say all until now.
    feed := (0, until, 0);
  ELSE
    due := cdp_internal.touch_due(feed.told_until, until);
  END IF;
  told := cdp_internal.tell_touched(feed.last_position, until, feed.next_segment, most);
  IF told.taken = 0 AND feed.next_segment > 0 THEN
    told := cdp_internal.tell_touched(feed.last_position, until, 0, most);
  END IF;
  IF due + told.taken > 0 THEN
    INSERT INTO cdp_internal.feed AS f (last_position, told_until, next_segment)
      VALUES (told.last_position, until, CASE WHEN told.taken < most THEN 0 ELSE told.last_segment + 1 END)
      ON CONFLICT ((true)) DO UPDATE SET last_position = excluded.last_position, told_until = excluded.told_until,
        next_segment = excluded.next_segment;
  END IF;
  IF told.last_position > feed.last_position THEN
    PERFORM pg_notify('cdp_membership_changes', told.last_position::text);
  END IF;
  RETURN told.taken;
END $$;
COMMENT ON FUNCTION cdp_internal.tell_changes(integer, timestamptz) IS
  'The sequencer: tells what changed and what time changed, of at most so many touches; how many, 0 when nothing waits';

CREATE FUNCTION cdp_internal.refuse_consumer(consumer text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('consumer "%s" does not exist', consumer),
    HINT = 'cdp.read_changes(consumer) makes it; TABLE cdp.change_consumers lists them.';
END $$;
COMMENT ON FUNCTION cdp_internal.refuse_consumer(text) IS 'Raises the error of an unknown consumer';

-- The consumer's row, made or changed only when it must be, so that reading as a rule writes nothing.
CREATE FUNCTION cdp_internal.know_consumer(consumer text, segments text[]) RETURNS bigint LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  unknown text;
  known   cdp.change_consumers;
BEGIN
  IF coalesce($1, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a consumer needs a name';
  END IF;
  SELECT n.name INTO unknown FROM unnest($2) AS n (name) WHERE NOT EXISTS (SELECT FROM cdp.segments AS s WHERE s.name = n.name)
    AND NOT EXISTS (SELECT FROM cdp.membership_changes AS c WHERE c.segment = n.name) LIMIT 1;
  IF FOUND THEN
    PERFORM cdp_internal.refuse_segment(unknown);
  END IF;
  SELECT * INTO known FROM cdp.change_consumers AS c WHERE c.consumer = $1;
  IF NOT FOUND THEN
    INSERT INTO cdp.change_consumers (consumer, segments) VALUES ($1, $2) ON CONFLICT DO NOTHING;
    RETURN 0;
  ELSIF known.segments IS DISTINCT FROM $2 THEN
    UPDATE cdp.change_consumers AS c SET segments = $2 WHERE c.consumer = $1;
  END IF;
  RETURN known.acked_position;
END $$;
COMMENT ON FUNCTION cdp_internal.know_consumer(text, text[]) IS 'Part of cdp.read_changes: how far a consumer is';

CREATE FUNCTION cdp.read_changes(consumer text, max integer DEFAULT 1000, segments text[] DEFAULT NULL)
  RETURNS TABLE ("position" bigint, segment text, profile_id bigint, key text, change text, changed_at timestamptz,
                 told_at timestamptz, decision_seq bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  acked bigint := cdp_internal.know_consumer($1, $3);
BEGIN
  IF $3 IS NULL THEN
    RETURN QUERY SELECT c.position, c.segment, c.profile_id, c.key, c.change, c.changed_at, c.told_at, c.decision_seq
      FROM cdp.membership_changes AS c WHERE c.position > acked ORDER BY c.position LIMIT $2;
  ELSE
    RETURN QUERY SELECT c.* FROM (SELECT DISTINCT n FROM unnest($3) AS n) AS s (name) CROSS JOIN LATERAL (
        SELECT l.position, l.segment, l.profile_id, l.key, l.change, l.changed_at, l.told_at, l.decision_seq
        FROM cdp.membership_changes AS l WHERE l.segment = s.name AND l.position > acked ORDER BY l.position LIMIT $2) AS c
      ORDER BY c.position LIMIT $2;
  END IF;
END $$;
COMMENT ON FUNCTION cdp.read_changes(text, integer, text[]) IS
  'The next changes for a consumer, of all segments or of some, after what it acknowledged; the same ones again until cdp.ack_changes. A consumer is made by its first read, and reads from the beginning: who is in, then what changes. Errors: 42704 unknown segment';

CREATE FUNCTION cdp.ack_changes(consumer text, "position" bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  acked bigint;
  last  bigint := coalesce((SELECT f.last_position FROM cdp_internal.feed AS f), 0);
BEGIN
  IF $2 IS NULL OR $2 > last THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('position %s was not told yet', coalesce($2::text, 'NULL')),
      DETAIL = format('The last position is %s.', last), HINT = 'Acknowledge the last position that cdp.read_changes returned.';
  END IF;
  UPDATE cdp.change_consumers AS c SET acked_position = $2, acked_at = clock_timestamp() WHERE c.consumer = $1 AND c.acked_position < $2;
  SELECT c.acked_position INTO acked FROM cdp.change_consumers AS c WHERE c.consumer = $1;
  IF NOT FOUND THEN
    PERFORM cdp_internal.refuse_consumer($1);
  END IF;
  RETURN acked;
END $$;
COMMENT ON FUNCTION cdp.ack_changes(text, bigint) IS
  'A consumer is done with everything up to a position; returns how far it is, which never goes back. Errors: 22023 a position that was not told, 42704 unknown consumer';

CREATE FUNCTION cdp.drop_consumer(consumer text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.change_consumers AS c WHERE c.consumer = $1;
  IF NOT FOUND THEN
    PERFORM cdp_internal.refuse_consumer($1);
  END IF;
END $$;
COMMENT ON FUNCTION cdp.drop_consumer(text) IS 'Forgets a consumer, which then holds nothing back. Errors: 42704 unknown consumer';

-- The last word about each membership stays: it is what a new consumer starts from, and what the sequencer compares with.
CREATE FUNCTION cdp.prune_changes(keep interval DEFAULT '30 days', most integer DEFAULT 100000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  acked  bigint := (SELECT min(c.acked_position) FROM cdp.change_consumers AS c);
  pruned bigint;
BEGIN
  DELETE FROM cdp.membership_changes AS c WHERE c.position IN (
    SELECT o.position FROM cdp.membership_changes AS o
    WHERE o.position <= coalesce(acked, 9223372036854775807) AND o.told_at < now() - keep
      AND EXISTS (SELECT FROM cdp.membership_changes AS n WHERE n.profile_id = o.profile_id AND n.segment_id = o.segment_id
                  AND (n.key = o.key OR (n.key IS NULL AND o.key IS NULL)) AND n.position > o.position)
    ORDER BY o.position LIMIT most);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $$;
COMMENT ON FUNCTION cdp.prune_changes(interval, integer) IS
  'Deletes changes that every consumer has acknowledged, that are older than an interval and that a later one of the same membership replaces, at most so many; returns how many';

CREATE FUNCTION cdp_internal.feed_health() RETURNS TABLE (check_name text, status text, value text, advice text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
  WITH feed AS (
    SELECT coalesce(max(f.told_until), '-infinity') AS told_until, coalesce(max(f.last_position), 0) AS last_position FROM cdp_internal.feed AS f
  ), waiting AS (
    SELECT t.touches, least(t.oldest, d.due_at) AS since, d.due_at IS NOT NULL AS due
    FROM (SELECT count(*) AS touches, min(o.touched_at) AS oldest
          FROM (SELECT i.touched_at FROM cdp_internal.membership_touches AS i LIMIT 100000) AS o) AS t,
         (SELECT min(o.at) AS due_at FROM feed AS f CROSS JOIN cdp.segments AS s CROSS JOIN LATERAL (
            SELECT min(m.left_at) AS at FROM cdp.memberships AS m WHERE m.segment_id = s.segment_id AND m.left_at > f.told_until AND m.left_at <= now()
            UNION ALL SELECT min(m.entered_at) FROM cdp.memberships AS m WHERE m.segment_id = s.segment_id AND m.entered_at > f.told_until AND m.entered_at <= now()
          ) AS o WHERE s.replaces IS NULL AND s.kind <> 'trait' AND f.told_until > '-infinity') AS d
  ), lagging AS (
    SELECT string_agg(format('%s: %s behind', c.consumer, f.last_position - c.acked_position), ', ' ORDER BY c.acked_position, c.consumer) AS names
    FROM cdp.change_consumers AS c CROSS JOIN feed AS f
    WHERE EXISTS (SELECT FROM (SELECT o.told_at FROM cdp.membership_changes AS o WHERE o.position > c.acked_position AND c.segments IS NULL
                               ORDER BY o.position LIMIT 1) AS o WHERE o.told_at < now() - interval '1 hour')
       OR EXISTS (SELECT FROM unnest(c.segments) AS n (name) CROSS JOIN LATERAL (SELECT o.told_at FROM cdp.membership_changes AS o
                  WHERE o.segment = n.name AND o.position > c.acked_position ORDER BY o.position LIMIT 1) AS o WHERE o.told_at < now() - interval '1 hour')
  )
  SELECT 'change feed', CASE WHEN late THEN 'warning' ELSE 'ok' END,
         CASE WHEN touches = 0 AND NOT due THEN format('all told, up to position %s', last_position)
              ELSE format('%s to look at%s; %s', CASE touches WHEN 1 THEN '1 membership' WHEN 100000 THEN '100000 memberships or more' ELSE touches || ' memberships' END,
                          CASE WHEN due THEN ', and those whose time has come' END,
                          CASE WHEN told_until = '-infinity' THEN 'nothing was told yet' ELSE format('told until %s', told_until) END) END,
         CASE WHEN late THEN 'Is a worker running? CALL cdp.run() tells them from this session.' END
  FROM feed, waiting CROSS JOIN LATERAL (
    SELECT coalesce(since < now() - interval '1 minute' AND told_until < now() - interval '1 minute', false) AS late) AS l
  UNION ALL
  SELECT 'change consumers', CASE WHEN names IS NULL THEN 'ok' ELSE 'warning' END,
         coalesce(names, (SELECT format('%s, none an hour behind', count(*)) FROM cdp.change_consumers)),
         CASE WHEN names IS NOT NULL THEN 'Somebody reads and does not cdp.ack_changes, or does not read: nothing they have not acknowledged can be pruned. cdp.drop_consumer(consumer) forgets one.' END
  FROM lagging
$$;
COMMENT ON FUNCTION cdp_internal.feed_health() IS 'Part of cdp.health(): whether changes are told, and which consumers lag';

-- What was last told of each membership is what was stored at that instant, except where touches wait.
CREATE FUNCTION cdp_internal.verify_feed()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH course AS (
    SELECT c.*, lag(c.change) OVER w AS change_before, lag(c.changed_at) OVER w AS changed_before, lead(c.position) OVER w IS NULL AS is_last
    FROM cdp.membership_changes AS c WINDOW w AS (PARTITION BY c.segment_id, c.profile_id, c.key ORDER BY c.position)
  ), told AS (
    SELECT c.segment_id, c.profile_id, c.key FROM course AS c WHERE c.is_last AND c.change = 'entered'
  ), kept AS (
    SELECT m.segment_id, m.profile_id, m.key FROM cdp.memberships AS m CROSS JOIN cdp_internal.feed AS f
    WHERE m.entered_at <= f.told_until AND m.left_at > f.told_until
      AND m.segment_id NOT IN (SELECT s.segment_id FROM cdp.segments AS s WHERE s.replaces IS NOT NULL OR s.kind = 'trait')
  )
  SELECT 'feed', 'told is not what is stored', format('segment %s, profile %s, key %s', d.segment_id, d.profile_id, coalesce(d.key, '-')),
         d.told, d.kept
  FROM ((SELECT 'in' AS told, 'out' AS kept, x.* FROM (TABLE told EXCEPT TABLE kept) AS x)
        UNION ALL
        (SELECT 'out', 'in', x.* FROM (TABLE kept EXCEPT TABLE told) AS x)) AS d
  WHERE NOT EXISTS (SELECT FROM cdp_internal.membership_touches AS t WHERE (t.segment_id, t.profile_id) = (d.segment_id, d.profile_id)
                    AND t.key IS NOT DISTINCT FROM d.key)
  UNION ALL
  SELECT 'feed', 'entered and left do not alternate', format('position %s', c.position), c.change, NULL
  FROM course AS c WHERE c.change = c.change_before
  UNION ALL
  SELECT 'feed', 'a change goes back in time', format('position %s', c.position), c.changed_at::text, c.changed_before::text
  FROM course AS c WHERE c.changed_at < c.changed_before OR c.changed_at > c.told_at
  UNION ALL
  SELECT 'feed', 'the last position differs', 'cdp_internal.feed', f.last_position::text, (SELECT max(c.position) FROM cdp.membership_changes AS c)::text
  FROM cdp_internal.feed AS f WHERE f.last_position <> coalesce((SELECT max(c.position) FROM cdp.membership_changes AS c), 0)
$$;
COMMENT ON FUNCTION cdp_internal.verify_feed() IS 'Part of cdp.verify()';
