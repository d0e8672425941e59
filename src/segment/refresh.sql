-- refresh: what is judged as a whole and now and then (queries, and rules that are not exact), and segments that are built
-- in the background. One piece of work a transaction; the worker, or CALL cdp.run(), does what waits.

CREATE TABLE cdp.segment_refreshes (
  segment_id   integer NOT NULL PRIMARY KEY,
  refreshed_at timestamptz,
  tried_at     timestamptz NOT NULL,
  took         interval,
  members      bigint,
  entered      bigint,
  left_it      bigint,
  unknown      bigint
);
COMMENT ON TABLE cdp.segment_refreshes IS 'The latest refresh of each segment of class interval';
COMMENT ON COLUMN cdp.segment_refreshes.refreshed_at IS 'The instant that memberships are true to; who entered or left did so then';
COMMENT ON COLUMN cdp.segment_refreshes.tried_at IS 'Later than refreshed_at when it failed since: see cdp.segment_errors';
COMMENT ON COLUMN cdp.segment_refreshes.left_it IS 'How many memberships ended';
COMMENT ON COLUMN cdp.segment_refreshes.unknown IS 'Rows of the query whose profile_id is nobody''s; they were left out';

-- Of the people up to `last`, those up to `place` are judged; who came later is, by their messages.
CREATE TABLE cdp_internal.segment_builds (
  segment_id integer NOT NULL PRIMARY KEY,
  place      bigint NOT NULL DEFAULT 0,
  last       bigint NOT NULL,
  done       bigint NOT NULL DEFAULT 0,
  total      bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  retry_at   timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE cdp_internal.segment_builds IS 'Segments, and versions of segments, that are being built; see cdp.progress';

SELECT pg_catalog.pg_extension_config_dump('cdp.segment_refreshes', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.segment_builds', '');

CREATE FUNCTION cdp_internal.members_of_query(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, query text)
  RETURNS TABLE (profile_id bigint, key text) LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_members_of_query';
COMMENT ON FUNCTION cdp_internal.members_of_query(name, text, text, text, text, text) IS
  'Runs a segment''s query as its owner, restricted to reading and under the segment''s settings';

-- How the members found by a query differ from those kept. Ids that were merged away stand for whom they were merged into.
CREATE FUNCTION cdp_internal.find_changes(s cdp.segments, target integer, at timestamptz, OUT ids bigint[], OUT keys text[], OUT is_new boolean[],
                                          OUT members bigint, OUT unknown bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  longest integer;
BEGIN
  WITH answer AS MATERIALIZED (
    SELECT q.profile_id AS said, p.profile_id, q.key
    FROM cdp_internal.members_of_query(s.owner, s.time_zone, s.search_path, s.datestyle, s.intervalstyle, s.compiled ->> 'query') AS q
    LEFT JOIN cdp.identifiers AS i ON i.identifier_id = q.profile_id
    LEFT JOIN cdp.profiles AS p ON p.profile_id = i.profile_id
  ), found AS MATERIALIZED (
    SELECT DISTINCT a.profile_id, a.key FROM answer AS a WHERE a.profile_id IS NOT NULL
  ), kept AS MATERIALIZED (
    SELECT m.profile_id, m.key FROM cdp.memberships AS m WHERE m.segment_id = target AND m.entered_at <= at AND m.left_at > at
  ), change AS (
    SELECT e.profile_id, e.key, true AS is_new FROM (TABLE found EXCEPT TABLE kept) AS e
    UNION ALL SELECT e.profile_id, e.key, false FROM (TABLE kept EXCEPT TABLE found) AS e
  )
  SELECT array_agg(c.profile_id ORDER BY c.profile_id), array_agg(c.key ORDER BY c.profile_id), array_agg(c.is_new ORDER BY c.profile_id),
         (SELECT count(*) FROM found), (SELECT count(*) FROM answer AS a WHERE a.profile_id IS NULL), max(octet_length(c.key))
    INTO ids, keys, is_new, members, unknown, longest
    FROM change AS c;
  IF longest > 1000 THEN -- an index entry must hold it
    RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'a key has more than 1000 bytes';
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.find_changes(cdp.segments, integer, timestamptz) IS 'Part of cdp_internal.refresh_kept';

-- Runs what a segment is and writes the difference. `exclusive`: the definitions are locked, or shall be, so that nobody
-- sends messages; else the people who enter or leave are locked, as messages lock them. A query may take long, so it runs
-- before that; when the definition changed meanwhile, what was found is of no use.
CREATE FUNCTION cdp_internal.refresh_kept(s cdp.segments, exclusive boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  target  constant integer := coalesce(s.replaces, s.segment_id);
  before  timestamptz;
  at      timestamptz;
  change  record;
  entered bigint;
  gone    bigint;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.segment_refreshes', target) WHERE NOT exclusive;
  SELECT r.refreshed_at INTO before FROM cdp.segment_refreshes AS r WHERE r.segment_id = target;
  at := greatest(now(), before);
  SELECT * INTO change FROM cdp_internal.find_changes(s, target, at);
  IF exclusive THEN
    PERFORM cdp_internal.lock_segments();
  ELSE
    LOCK TABLE cdp.segments IN ROW SHARE MODE;
  END IF;
  IF NOT EXISTS (SELECT FROM cdp.segments AS o WHERE o.segment_id = s.segment_id AND o.version = s.version AND o.state = s.state)
     OR before IS DISTINCT FROM (SELECT r.refreshed_at FROM cdp.segment_refreshes AS r WHERE r.segment_id = target) THEN
    RETURN;
  END IF;
  PERFORM FROM cdp.profiles AS p WHERE p.profile_id = ANY (change.ids) AND NOT exclusive ORDER BY p.profile_id FOR UPDATE;

  -- Of an exact rule that was there before. Who was merged away since left then, and stays away.
  DELETE FROM cdp.memberships AS m WHERE m.segment_id = target AND m.entered_at > at;
  UPDATE cdp.memberships AS m SET left_at = 'infinity' WHERE m.segment_id = target AND m.left_at > at AND m.left_at < 'infinity'
    AND EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = m.profile_id);
  WITH leaving AS (
    SELECT u.id, u.key FROM unnest(change.ids, change.keys, change.is_new) AS u (id, key, is_new) WHERE NOT u.is_new
  ), undone AS (
    DELETE FROM cdp.memberships AS m USING leaving AS l
    WHERE m.segment_id = target AND m.profile_id = l.id AND m.key IS NOT DISTINCT FROM l.key AND m.left_at > at AND m.entered_at >= at
    RETURNING 1
  ), ended AS (
    UPDATE cdp.memberships AS m SET left_at = at FROM leaving AS l
    WHERE m.segment_id = target AND m.profile_id = l.id AND m.key IS NOT DISTINCT FROM l.key AND m.left_at > at AND m.entered_at < at
    RETURNING 1
  ) SELECT (SELECT count(*) FROM undone) + (SELECT count(*) FROM ended) INTO gone;
  -- Whoever was merged away since is found as somebody else next time.
  INSERT INTO cdp.memberships (segment_id, profile_id, key, entered_at)
    SELECT target, u.id, u.key, at FROM unnest(change.ids, change.keys, change.is_new) AS u (id, key, is_new)
    JOIN cdp.profiles AS p ON p.profile_id = u.id WHERE u.is_new
      AND NOT EXISTS (SELECT FROM cdp.memberships AS m WHERE m.segment_id = target AND m.profile_id = u.id
                      AND m.key IS NOT DISTINCT FROM u.key AND m.left_at > at);
  GET DIAGNOSTICS entered = ROW_COUNT;
  INSERT INTO cdp.segment_refreshes AS r (segment_id, refreshed_at, tried_at, took, members, entered, left_it, unknown)
    VALUES (target, at, at, clock_timestamp() - now(), change.members, entered, gone, change.unknown)
    ON CONFLICT (segment_id) DO UPDATE SET refreshed_at = excluded.refreshed_at, tried_at = excluded.tried_at, took = excluded.took,
      members = excluded.members, entered = excluded.entered, left_it = excluded.left_it, unknown = excluded.unknown;
  DELETE FROM cdp.segment_errors AS e WHERE e.segment_id IN (s.segment_id, target);
  -- Exclusive is only what replaces, or is new: then anybody's may be others.
  PERFORM cdp_internal.judge_dependents(target, CASE WHEN NOT exclusive THEN coalesce(change.ids, '{}') END),
          cdp_internal.refold_followers(target, coalesce(change.ids, '{}'));
END $$;
COMMENT ON FUNCTION cdp_internal.refresh_kept(cdp.segments, boolean) IS 'Refreshes a segment of class interval';

-- Building.

CREATE FUNCTION cdp_internal.begin_build(segment integer) RETURNS void LANGUAGE sql
  SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp_internal.segment_builds AS b (segment_id, last, total)
  SELECT segment, coalesce(max(p.profile_id), 0), count(*) FROM cdp.profiles AS p
  ON CONFLICT (segment_id) DO UPDATE SET place = 0, last = excluded.last, done = 0, total = excluded.total, started_at = now(),
    updated_at = now(), retry_at = '-infinity'
$$;
COMMENT ON FUNCTION cdp_internal.begin_build(integer) IS 'Queues everybody to be judged by a segment';

-- Judges the next people; false when there are none. They are locked as messages lock them.
CREATE FUNCTION cdp_internal.build_batch(segment integer, most integer) RETURNS boolean LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  b      cdp_internal.segment_builds;
  ids    bigint[];
  locked bigint[];
BEGIN
  LOCK TABLE cdp.segments IN ROW SHARE MODE;
  SELECT * INTO b FROM cdp_internal.segment_builds AS o WHERE o.segment_id = segment FOR UPDATE;
  IF NOT FOUND THEN
    RETURN true; -- given up meanwhile
  END IF;
  ids := ARRAY(SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id > b.place AND p.profile_id <= b.last ORDER BY p.profile_id LIMIT most);
  IF ids = '{}' THEN
    RETURN false;
  END IF;
  locked := ARRAY(SELECT p.profile_id FROM cdp.profiles AS p WHERE p.profile_id = ANY (ids) ORDER BY p.profile_id FOR UPDATE);
  PERFORM cdp_internal.judge_people(segment, locked);
  UPDATE cdp_internal.segment_builds AS o SET place = ids[cardinality(ids)], done = o.done + cardinality(ids), updated_at = clock_timestamp(),
    retry_at = '-infinity' WHERE o.segment_id = segment;
  RETURN true;
END $$;
COMMENT ON FUNCTION cdp_internal.build_batch(integer, integer) IS 'Judges the next so many people by a segment that is being built';

-- Everybody is judged, or (not `filled`) is judged here: the segment, or the version, is in force from now on.
CREATE FUNCTION cdp_internal.finish_build(s cdp.segments, filled boolean) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  people bigint[] := '{}';
BEGIN
  IF s.class = 'interval' THEN
    PERFORM cdp_internal.refresh_kept(s, true);
  ELSE
    PERFORM cdp_internal.lock_segments();
    IF NOT filled THEN
      PERFORM cdp_internal.judge_everybody(s.segment_id);
    ELSIF EXISTS (SELECT FROM cdp_internal.segment_builds AS b JOIN cdp.profiles AS p ON p.profile_id > b.place AND p.profile_id <= b.last
                  WHERE b.segment_id = s.segment_id) THEN
      RETURN; -- begun anew while we waited
    END IF;
  END IF;
  SELECT * INTO s FROM cdp.segments AS o WHERE o.segment_id = s.segment_id AND o.version = s.version AND o.state = 'building';
  IF NOT FOUND THEN
    RETURN; -- given up meanwhile
  END IF;
  DELETE FROM cdp_internal.segment_builds AS b WHERE b.segment_id = s.segment_id;
  IF s.replaces IS NULL THEN
    UPDATE cdp.segments AS o SET state = 'active' WHERE o.segment_id = s.segment_id;
    UPDATE cdp.segment_versions AS v SET applied_at = coalesce(v.applied_at, now()) WHERE v.segment_id = s.segment_id AND v.version = s.version;
    PERFORM cdp_internal.refold_followers(s.segment_id, NULL);
  ELSE
    IF s.class = 'exact' THEN
      people := cdp_internal.people_who_differ(s.segment_id, s.replaces);
      PERFORM cdp_internal.swap_memberships(s.segment_id, s.replaces);
    END IF;
    PERFORM cdp_internal.promote_segment(s), cdp_internal.judge_dependents(s.replaces, cdp_internal.few_people(people)),
            cdp_internal.refold_followers(s.replaces, people);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.finish_build(cdp.segments, boolean) IS 'Puts in force what was built';

-- For the rules that ask about `target`.
CREATE FUNCTION cdp_internal.people_who_differ(built integer, target integer) RETURNS bigint[] LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT cdp_internal.is_asked_about(target) THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT DISTINCT d.profile_id FROM (
      SELECT m.profile_id, m.key, greatest(m.entered_at, now()) AS entered_at, m.left_at, count(*) FILTER (WHERE m.segment_id = built) AS wanted,
             count(*) FILTER (WHERE m.segment_id = target) AS had
      FROM cdp.memberships AS m WHERE m.segment_id IN (built, target) AND m.left_at > now() GROUP BY 1, 2, 3, 4) AS d
    WHERE d.wanted <> d.had ORDER BY 1);
END $$;
COMMENT ON FUNCTION cdp_internal.people_who_differ(integer, integer) IS 'Part of cdp_internal.finish_build';

-- From now on the memberships of `target` are those of `built`. Who is in both stays since whenever it was; who is in one
-- leaves or enters now. For whom the new rule failed, all stays as it was.
CREATE FUNCTION cdp_internal.swap_memberships(built integer, target integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp.memberships AS m USING cdp.segment_errors AS e
    WHERE m.segment_id = built AND e.segment_id = built AND e.profile_id = m.profile_id;
  -- What both have to come is not written again.
  DELETE FROM cdp.memberships AS o WHERE o.segment_id = target AND o.entered_at > now()
    AND NOT EXISTS (SELECT FROM cdp.segment_errors AS e WHERE e.segment_id = built AND e.profile_id = o.profile_id)
    AND NOT EXISTS (SELECT FROM cdp.memberships AS n WHERE n.segment_id = built AND n.profile_id = o.profile_id
                    AND n.key IS NOT DISTINCT FROM o.key AND n.entered_at = o.entered_at AND n.left_at = o.left_at);
  WITH present AS MATERIALIZED (
    SELECT o.profile_id, o.key, o.entered_at, o.left_at, n.left_at AS until
    FROM cdp.memberships AS o
    LEFT JOIN cdp.memberships AS n ON n.segment_id = built AND n.profile_id = o.profile_id AND n.key IS NOT DISTINCT FROM o.key
      AND n.entered_at <= now() AND n.left_at > now()
    WHERE o.segment_id = target AND o.entered_at <= now() AND o.left_at > now()
      AND NOT EXISTS (SELECT FROM cdp.segment_errors AS e WHERE e.segment_id = built AND e.profile_id = o.profile_id)
  ), undone AS (
    DELETE FROM cdp.memberships AS m USING present AS p
    WHERE p.until IS NULL AND p.entered_at = now() AND m.segment_id = target AND m.profile_id = p.profile_id
      AND m.key IS NOT DISTINCT FROM p.key AND m.entered_at = p.entered_at)
  UPDATE cdp.memberships AS m SET left_at = coalesce(p.until, now()) FROM present AS p
    WHERE p.left_at <> coalesce(p.until, now()) AND p.entered_at < coalesce(p.until, now()) AND m.segment_id = target
      AND m.profile_id = p.profile_id AND m.key IS NOT DISTINCT FROM p.key AND m.entered_at = p.entered_at;
  INSERT INTO cdp.memberships (segment_id, profile_id, key, entered_at, left_at, decision_seq)
    SELECT target, n.profile_id, n.key, greatest(n.entered_at, now()), n.left_at, CASE WHEN n.entered_at > now() THEN n.decision_seq END
    FROM cdp.memberships AS n
    WHERE n.segment_id = built AND n.left_at > now()
      AND NOT EXISTS (SELECT FROM cdp.memberships AS o WHERE o.segment_id = target AND o.profile_id = n.profile_id
                      AND o.key IS NOT DISTINCT FROM n.key AND o.left_at > now()
                      AND (o.entered_at = n.entered_at OR greatest(o.entered_at, n.entered_at) <= now()));
  DELETE FROM cdp.memberships AS m WHERE m.segment_id = built;
END $$;
COMMENT ON FUNCTION cdp_internal.swap_memberships(integer, integer) IS 'Part of cdp_internal.finish_build';

-- What waits.

CREATE FUNCTION cdp_internal.note_segment_error(segment integer, code text, what text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO cdp.segment_errors AS e (segment_id, profile_id, sqlstate, message, failed_at)
    SELECT s.segment_id, NULL, code, what, now() FROM cdp.segments AS s WHERE s.segment_id = segment
    ON CONFLICT (segment_id, profile_id) DO UPDATE SET sqlstate = excluded.sqlstate, message = excluded.message, failed_at = excluded.failed_at;
  UPDATE cdp_internal.segment_builds AS b SET retry_at = now() + interval '1 minute' WHERE b.segment_id = segment;
  INSERT INTO cdp.segment_refreshes AS r (segment_id, tried_at)
    SELECT s.segment_id, now() FROM cdp.segments AS s WHERE s.segment_id = segment AND s.class = 'interval' AND s.replaces IS NULL
    ON CONFLICT (segment_id) DO UPDATE SET tried_at = excluded.tried_at;
END $$;
COMMENT ON FUNCTION cdp_internal.note_segment_error(integer, text, text) IS 'Notes that a segment could not be refreshed, or built';

CREATE FUNCTION cdp_internal.build_step(segment integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s cdp.segments;
  b cdp_internal.segment_builds;
BEGIN
  SELECT * INTO s FROM cdp.segments AS o WHERE o.segment_id = segment;
  SELECT * INTO b FROM cdp_internal.segment_builds AS o WHERE o.segment_id = segment;
  IF s.class = 'exact' AND EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id > b.place AND p.profile_id <= b.last) THEN
    PERFORM cdp_internal.build_batch(segment, 500);
  ELSE
    PERFORM cdp_internal.finish_build(s, true);
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.build_step(integer) IS 'One transaction''s part of a build';

-- One piece of work: 0 when nothing waits. Refreshes are due `before` an instant, so that cdp.run() comes to an end.
CREATE FUNCTION cdp_internal.maintain_segments(before timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  segment integer := (SELECT b.segment_id FROM cdp_internal.segment_builds AS b WHERE b.retry_at <= before ORDER BY b.retry_at, b.segment_id LIMIT 1);
  is_build constant boolean := segment IS NOT NULL;
  due     cdp.segments;
BEGIN
  IF NOT is_build THEN
    SELECT s.* INTO due FROM cdp.segments AS s LEFT JOIN cdp.segment_refreshes AS r USING (segment_id)
      WHERE s.class = 'interval' AND s.state = 'active' AND s.replaces IS NULL AND (r.tried_at IS NULL OR r.tried_at + s.refresh <= before)
      ORDER BY r.tried_at + s.refresh NULLS FIRST, s.segment_id LIMIT 1;
    segment := due.segment_id;
  END IF;
  IF segment IS NULL THEN
    RETURN 0;
  END IF;
  BEGIN
    IF is_build THEN
      PERFORM cdp_internal.within_refresh_timeout(format('SELECT cdp_internal.build_step(%s)', segment));
    ELSE
      PERFORM cdp_internal.within_refresh_timeout(format('SELECT cdp_internal.refresh_kept(s, false) FROM cdp.segments AS s WHERE s.segment_id = %s', segment));
    END IF;
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('40', '57') OR SQLSTATE = '55P03' THEN
      RAISE; -- nobody's fault, and tried again at once; a server that has no room keeps only this segment waiting
    END IF;
    PERFORM cdp_internal.note_segment_error(segment, SQLSTATE, SQLERRM);
  END;
  RETURN 1;
END $$;
COMMENT ON FUNCTION cdp_internal.maintain_segments(timestamptz) IS
  'One transaction''s work on segments: a batch of a build, or a refresh that was due before an instant; 0 when nothing waits';

-- What why_member says of segments that are no exact rules.
CREATE FUNCTION cdp_internal.explain_kept(segment integer, person bigint)
  RETURNS TABLE (condition text, holds boolean, "values" jsonb, evidence jsonb, key text) LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  s cdp.segments;
  r cdp.segment_refreshes;
BEGIN
  SELECT * INTO s FROM cdp.segments AS o WHERE o.segment_id = segment;
  IF s.state = 'disabled' THEN
    RETURN QUERY SELECT 'the segment is disabled'::text, false, '{}'::jsonb, '{}'::jsonb, NULL::text;
  ELSIF s.kind = 'list' THEN
    RETURN QUERY SELECT format('%s %s is on the list', i.type, i.value), coalesce(l.expires_at, 'infinity') > now(),
        jsonb_build_object('added_at', l.added_at, 'expires_at', l.expires_at, 'added_by', l.added_by, 'reason', l.reason),
        jsonb_build_object('identifier_id', i.identifier_id), NULL::text
      FROM cdp.identifiers AS i JOIN cdp.list_members AS l USING (identifier_id)
      WHERE i.profile_id = person AND l.segment_id = segment ORDER BY i.identifier_id;
  ELSE
    SELECT * INTO r FROM cdp.segment_refreshes AS o WHERE o.segment_id = segment;
    RETURN QUERY SELECT coalesce(s.rule, s.query), m.profile_id IS NOT NULL,
        jsonb_build_object('refreshed_at', r.refreshed_at, 'refresh', s.refresh, 'reasons', s.reasons), '{}'::jsonb, m.key
      FROM (SELECT) AS one LEFT JOIN cdp.memberships AS m
        ON m.segment_id = segment AND m.profile_id = person AND m.entered_at <= now() AND m.left_at > now() ORDER BY m.key;
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.explain_kept(integer, bigint) IS 'Part of cdp.why_member';
