-- worker: what happens in the background, and the same work called by hand.

CREATE TABLE cdp.worker_status (
  pid                  integer NOT NULL,
  started_at           timestamptz NOT NULL,
  last_turn_at         timestamptz NOT NULL,
  last_error           text,
  last_error_at        timestamptz,
  consecutive_failures integer NOT NULL DEFAULT 0,
  messages_done        bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX worker_status_one_row ON cdp.worker_status ((true));
COMMENT ON TABLE cdp.worker_status IS
  'What the worker of this database did last, at most one row; written every ten seconds of work and on errors';
COMMENT ON COLUMN cdp.worker_status.pid IS 'The process; whether it lives is in pg_stat_activity (backend_type cdp worker)';
COMMENT ON COLUMN cdp.worker_status.last_turn_at IS 'Latest turn that did something, to ten seconds';
COMMENT ON COLUMN cdp.worker_status.consecutive_failures IS '0 when all is well';
COMMENT ON COLUMN cdp.worker_status.messages_done IS
  'Lines of the inbox done by workers so far; a crash forgets up to ten seconds';

-- A row belongs to one statement of one process: pid and the moment the statement began, as pg_stat_activity has it.
CREATE TABLE cdp_internal.progress (
  pid        integer PRIMARY KEY,
  started_at timestamptz NOT NULL,
  task       text NOT NULL,
  done       bigint NOT NULL,
  total      bigint,
  updated_at timestamptz NOT NULL
);

-- Rows of statements that ended, however they ended, do not show.
CREATE VIEW cdp.progress AS
  SELECT p.task, p.pid, p.started_at, p.updated_at, p.done, p.total
  FROM cdp_internal.progress AS p JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.pid
  WHERE (a.query_start IS NULL OR a.query_start = p.started_at) AND (a.state IS NULL OR a.state <> 'idle')
  UNION ALL
  SELECT 'build segment ' || s.name, NULL, b.started_at, b.updated_at, b.done, b.total
  FROM cdp_internal.segment_builds AS b JOIN cdp.segments AS s USING (segment_id)
  UNION ALL
  SELECT 'apply survivorship ' || b.version, NULL, b.started_at, b.updated_at, b.done, b.total FROM cdp_internal.survivorship_builds AS b
  UNION ALL
  SELECT CASE a.state WHEN 'loading' THEN 'attach ' ELSE 'detach ' END || a.name, NULL, a.started_at, a.updated_at, a.done, a.total
  FROM cdp_internal.attachments AS a WHERE a.state IN ('loading', 'detaching')
  UNION ALL
  SELECT 'undo import ' || i.name, NULL, i.undo_began_at, NULL, i.undo_total - (SELECT pg_catalog.count(*) FROM cdp_internal.import_messages AS m
           WHERE m.import_id = i.import_id AND NOT m.is_undone), i.undo_total
  FROM cdp_internal.imports AS i WHERE i.state = 'undoing'
  UNION ALL
  SELECT 'reprocess source ' || s.source, NULL, r.began_at, r.updated_at, r.done, r.total
  FROM cdp_internal.reprocessings AS r JOIN cdp.sources AS s USING (source_id) WHERE r.state = 'running'
  UNION ALL
  SELECT 'retention', NULL, p.began_at, p.updated_at, p.removed, p.removed + (SELECT pg_catalog.count(*) FROM cdp_internal.retention_queue)
  FROM cdp_internal.retention_passes AS p WHERE p.as_of IS NOT NULL
  UNION ALL
  SELECT CASE d.state WHEN 'detaching' THEN 'detach ' ELSE 'attach ' END || d.archive, NULL, d.began_at, d.updated_at, d.done, d.total
  FROM cdp.detached_months AS d WHERE d.state <> 'detached'
  UNION ALL
  SELECT 'compare ' || a.name, NULL, a.compare_began, a.updated_at, a.compare_done, a.compare_total
  FROM cdp_internal.attachments AS a WHERE a.state = 'current' AND a.comparing IS NOT NULL
  UNION ALL
  -- What a statement shows while it runs is in a lock that it holds: see src/pg/shown_progress.hpp.
  SELECT 'match: ' || (ARRAY['read records', 'draw pairs for u', 'count pairs of rules', 'score pairs', 'cluster records', 'keep records'])[l.objsubid - 207], l.pid, a.query_start,
         NULL, l.objid::bigint, nullif(l.classid::bigint, 0)
  FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a USING (pid)
  WHERE l.locktype = 'advisory' AND l.objsubid BETWEEN 208 AND 213 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  UNION ALL
  SELECT 'judge accounts by account ' || d.kind || ' ' || d.name, NULL, d.pass_started_at, d.judged_at, d.done, NULL
  FROM cdp.account_definitions AS d WHERE d.place IS NOT NULL
  UNION ALL
  -- One statement, which nobody sees into: it is known by the lock that it holds.
  SELECT 'refresh profile view ' || v.name, l.pid, a.query_start, NULL, NULL, r.people
  FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_class AS c ON c.oid = l.relation AND c.relnamespace = 'cdp_views'::pg_catalog.regnamespace AND c.relkind = 'm'
  JOIN cdp_internal.profile_views AS v ON v.name = c.relname LEFT JOIN cdp_internal.profile_view_refreshes AS r ON r.view = v.name
  JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
  WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('ExclusiveLock', 'AccessExclusiveLock')
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database());
COMMENT ON VIEW cdp.progress IS 'Long work that is running now, one row each: what, since when, how far';
COMMENT ON COLUMN cdp.progress.pid IS 'The process; null: the worker, or CALL cdp.run(), does it batch by batch';
COMMENT ON COLUMN cdp.progress.done IS 'Null: it is one statement, and nobody knows how far it is';
COMMENT ON COLUMN cdp.progress.total IS 'Estimated when the work began; of a profile view as many as at its last refresh';

CREATE FUNCTION cdp_internal.within_refresh_timeout(query text) RETURNS void LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_within_refresh_timeout';
COMMENT ON FUNCTION cdp_internal.within_refresh_timeout(text) IS 'Runs a query of ours that runs what somebody wrote; 54T00 when cdp.refresh_timeout is over';

CREATE FUNCTION cdp_internal.report_progress(task text, done bigint, total bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp_internal.progress AS p (pid, started_at, task, done, total, updated_at)
  VALUES (pg_backend_pid(), statement_timestamp(), task, done, total, clock_timestamp())
  ON CONFLICT (pid) DO UPDATE SET started_at = excluded.started_at, task = excluded.task, done = excluded.done,
    total = excluded.total, updated_at = excluded.updated_at
$$;

-- Also removes what was left by processes that ended without saying so.
CREATE FUNCTION cdp_internal.end_progress() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM cdp_internal.progress AS p
  WHERE p.pid = pg_backend_pid()
     OR NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = p.pid AND a.query_start = p.started_at)
$$;

-- A worker must not touch tables that are half restored (a restore in one transaction is not seen before its end).
CREATE FUNCTION cdp_internal.restore_is_running() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  drawn bigint;
BEGIN
  IF EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore') THEN
    RETURN true;
  END IF;
  -- A dump sets sequences after the data of all tables: lines beyond theirs are being restored. Where there are none no other line is
  -- looked at: during a large COPY, or after many were deleted, the oldest is found behind all that are not there.
  drawn := (SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END FROM cdp.inbox_inbox_id_seq AS q);
  IF (SELECT min(i.inbox_id) FROM cdp.inbox AS i WHERE i.inbox_id > drawn) IS NULL THEN
    RETURN false;
  END IF;
  RETURN (SELECT min(i.inbox_id) FROM cdp.inbox AS i) > drawn;
END
$$;

CREATE FUNCTION cdp_internal.note_worker(starting boolean, done bigint, failures integer, error text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO cdp.worker_status AS s
    (pid, started_at, last_turn_at, last_error, last_error_at, consecutive_failures, messages_done)
  VALUES (pg_backend_pid(), clock_timestamp(), clock_timestamp(), error,
          CASE WHEN error IS NOT NULL THEN clock_timestamp() END, failures, done)
  ON CONFLICT ((true)) DO UPDATE SET
    pid = excluded.pid,
    started_at = CASE WHEN starting THEN excluded.started_at ELSE s.started_at END,
    last_turn_at = excluded.last_turn_at,
    last_error = coalesce(excluded.last_error, s.last_error),
    last_error_at = coalesce(excluded.last_error_at, s.last_error_at),
    consecutive_failures = excluded.consecutive_failures,
    messages_done = s.messages_done + excluded.messages_done
$$;

-- False when the line is not there (any more).
CREATE FUNCTION cdp_internal.quarantine_inbox_line(inbox_id bigint, code text, reason text, detail text DEFAULT NULL)
RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  WITH line AS (
    DELETE FROM cdp.inbox AS i WHERE i.inbox_id = quarantine_inbox_line.inbox_id RETURNING i.*
  ), moved AS (
    INSERT INTO cdp.quarantine (source, import, received_at, message, code, reason, detail, line, hashed)
    SELECT l.source, l.import, l.received_at, cdp_internal.treated_line(l.source, l.message), quarantine_inbox_line.code,
           quarantine_inbox_line.reason,
           CASE WHEN s.drops || s.hashes <> '{}' THEN NULL ELSE quarantine_inbox_line.detail END, l.line, -- it may show what is not to be kept
           CASE WHEN s.drops || s.hashes <> '{}' THEN s.hashes END
    FROM line AS l LEFT JOIN cdp.sources AS s ON s.source = l.source RETURNING 1
  )
  SELECT EXISTS (SELECT FROM moved)
$$;

-- The oldest line alone: 1 when it was taken, 0 when there is none, -1 when it failed and went to quarantine. Errors
-- that no line can be blamed for (connections, resources, locks, missing tables or rights, a read-only server) are
-- raised again, and so is an error when another line turned up in between: then it is not known which one failed.
CREATE FUNCTION cdp_internal.drain_line() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  line    bigint;
  message text;
  detail  text;
  context text;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.inbox');
  LOCK TABLE cdp.inbox IN ROW EXCLUSIVE MODE; -- before it is read
  line := (SELECT min(i.inbox_id) FROM cdp.inbox AS i);
  BEGIN
    RETURN cdp_internal.drain_inbox(1);
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('08', '25', '28', '40', '42', '53', '55', '57', '58', 'F0')
       OR line IS NULL OR line IS DISTINCT FROM (SELECT min(i.inbox_id) FROM cdp.inbox AS i) THEN
      RAISE;
    END IF;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
    PERFORM cdp_internal.quarantine_inbox_line(line, 'processing_error', message,
      concat_ws(E'\n', 'SQLSTATE: ' || SQLSTATE, nullif(detail, ''), context));
    RAISE WARNING 'cdp: inbox line % could not be processed and went to quarantine: %', line, message;
    RETURN -1;
  END;
END
$$;

-- One batch of cdp.run(), with the worker's manners: a batch that fails is tried again in smaller ones, down to the
-- one line that cannot be processed. in_a_row: good batches at this size; or, below 0, lines just quarantined.
CREATE FUNCTION cdp_internal.run_batch(INOUT size integer, INOUT in_a_row integer, INOUT done bigint, total bigint,
                                       OUT finished boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  full_size integer := coalesce(current_setting('cdp.batch_size', true), '20000')::integer;
  taken     bigint;
BEGIN
  size := least(coalesce(size, full_size), full_size);
  LOOP
    BEGIN
      taken := CASE WHEN size > 1 THEN cdp_internal.drain_inbox(size) ELSE cdp_internal.drain_line() END;
      EXIT;
    EXCEPTION WHEN OTHERS THEN
      IF size = 1 THEN
        RAISE;
      END IF;
      size := greatest(1, size / 10);
      in_a_row := 0;
    END;
  END LOOP;
  finished := taken = 0;
  done := done + abs(taken);
  in_a_row := CASE WHEN taken < 0 THEN least(in_a_row, 0) - 1 ELSE greatest(in_a_row, 0) + 1 END;
  IF in_a_row <= -10 THEN
    RAISE WARNING '% lines in a row went to quarantine; what fails may not be the lines', - in_a_row
      USING HINT = 'See cdp.quarantine; then CALL cdp.run() again.';
    finished := true;
  ELSIF in_a_row >= 10 THEN
    size := least(full_size::bigint, size::bigint * 10);
    in_a_row := 0;
  END IF;
  PERFORM cdp_internal.report_progress('run', done, total);
END
$$;

CREATE FUNCTION cdp_internal.begin_run() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  total bigint := (SELECT coalesce(max(i.inbox_id) - min(i.inbox_id) + 1, 0) FROM cdp.inbox AS i);
BEGIN
  PERFORM cdp_internal.need_own_transactions('cdp.run'), cdp_internal.end_progress(), cdp_internal.report_progress('run', 0, total);
  RETURN total;
END
$$;

-- It commits, so it can neither pin search_path nor be SECURITY DEFINER: it only calls functions that are both, by their
-- full name. Who may call it needs begin_run, run_batch and end_progress, too.
CREATE PROCEDURE cdp.run(max_batches integer DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  state record;
  size  pg_catalog.int4;
  good  pg_catalog.int4 := 0;
  done  pg_catalog.int8 := 0;
  total pg_catalog.int8 := cdp_internal.begin_run();
  mended pg_catalog.int8;
  followed pg_catalog.int8;
  refolded pg_catalog.int8;
  told   pg_catalog.int8 := 0;
  look   pg_catalog.timestamptz := '-infinity';
  folded pg_catalog.int8;
  closed pg_catalog.int8;
  counted pg_catalog.int8;
  undone pg_catalog.int8;
  again  pg_catalog.int8;
  kept   pg_catalog.int8;
  moved  pg_catalog.int8;
  matched pg_catalog.int8;
  made pg_catalog.int8 := 0;
  maintained pg_catalog.int8;
  viewed pg_catalog.int8;
  judged pg_catalog.int8;
  start pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
  IF max_batches OPERATOR(pg_catalog.<) 1 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_batches must be at least 1, not ' OPERATOR(pg_catalog.||) max_batches,
      HINT = 'CALL cdp.run(); does all that waits.';
  END IF;
  COMMIT;
  FOR batch IN 1 .. coalesce(max_batches, 2147483647) LOOP
    SELECT * INTO state FROM cdp_internal.run_batch(size, good, done, total);
    COMMIT; -- before people are locked in another order, and so that what fails there does not take lines back
    mended := cdp_internal.mend_batch();
    COMMIT;
    followed := cdp_internal.follow_attached(start);
    COMMIT;
    undone := cdp_internal.undo_imports();
    COMMIT;
    again := cdp_internal.reprocess_messages();
    COMMIT;
    matched := cdp_internal.follow_batch(start);
    COMMIT;
    kept := cdp_internal.keep_events();
    COMMIT;
    moved := cdp_internal.move_months();
    COMMIT;
    made := CASE WHEN made OPERATOR(pg_catalog.<) 0 THEN made ELSE cdp_internal.make_months() END; -- once refused is enough
    COMMIT;
    refolded := cdp_internal.fold_batch();
    COMMIT;
    maintained := cdp_internal.maintain_segments(start);
    COMMIT;
    judged := cdp_internal.maintain_accounts(start);
    COMMIT;
    -- Every look passes all that was told before: while lines wait one a second is enough, unless there is more to tell.
    IF state.finished OR batch OPERATOR(pg_catalog.=) max_batches OR told OPERATOR(pg_catalog.>=) 10000 OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) look THEN
      told := cdp_internal.tell_changes(10000);
      look := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '1 second'::pg_catalog.interval;
      COMMIT;
    END IF;
    folded := cdp_internal.fold_sets();
    COMMIT;
    closed := cdp_internal.close_days();
    COMMIT;
    viewed := cdp_internal.refresh_profile_views(start);
    COMMIT;
    counted := cdp_internal.fold_source_counts();
    COMMIT;
    EXIT WHEN state.finished AND GREATEST(mended, followed, undone, again, matched, kept, moved, refolded, maintained, judged, told, folded, closed, viewed, counted) OPERATOR(pg_catalog.=) 0;
    size := state.size;
    good := state.in_a_row;
    done := state.done;
  END LOOP;
  PERFORM cdp_internal.end_progress();
END
$$;
COMMENT ON PROCEDURE cdp.run(integer) IS
  'Does what waits now - lines of the inbox, rows of attached tables, imports that are being undone, sources that are processed again, records that matchers follow, events that are too old or whose month is detached or attached, people whom a change of rules touches, values that are too old, segments that are being built or due, account traits and segments that are due, the change feed, profile views that are due - a transaction a batch; with or without a worker. max_batches: stop after so many. Errors: 25001 inside a transaction block, 22023 max_batches below 1';

CREATE FUNCTION cdp_internal.wake_launcher() RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_wake_launcher';
CREATE FUNCTION cdp_internal.launch_worker() RETURNS boolean
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_launch_worker';
CREATE FUNCTION cdp_internal.hold_worker() RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_hold_worker';

-- The worker is who holds this lock: see become_the_worker() in src/pg/background.cpp.
CREATE FUNCTION cdp_internal.worker_pid() RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.pid FROM pg_locks AS l
  WHERE l.locktype = 'advisory' AND l.classid = 6513776 AND l.objid = 1 AND l.objsubid = 205
    AND l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
$$;

CREATE FUNCTION cdp.start_worker() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  worker integer := cdp_internal.worker_pid();
BEGIN
  IF worker IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use',
      MESSAGE = format('the cdp worker of this database is already running, with pid %s', worker),
      HINT = 'SELECT cdp.stop_worker() stops it.';
  END IF;
  IF NOT cdp_internal.launch_worker() THEN
    RAISE EXCEPTION USING ERRCODE = 'configuration_limit_exceeded',
      MESSAGE = 'no free slot for a cdp worker', HINT = 'Increase max_worker_processes.';
  END IF;
  worker := cdp_internal.worker_pid();
  IF worker IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'the cdp worker did not stay', HINT = 'See the server log.';
  END IF;
  RETURN worker;
END
$$;
COMMENT ON FUNCTION cdp.start_worker() IS
  'Starts the worker of this database and returns its pid: for servers that do not preload cdp, and after stop_worker()';

CREATE FUNCTION cdp.stop_worker() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  worker integer;
BEGIN
  PERFORM cdp_internal.hold_worker();
  worker := cdp_internal.worker_pid();
  IF worker IS NULL THEN
    RETURN false;
  END IF;
  IF NOT pg_terminate_backend(worker, 10000) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_in_use', MESSAGE = format('the cdp worker with pid %s does not stop', worker);
  END IF;
  -- Those that drained the inbox with it leave by themselves, at the end of their batch.
  PERFORM pg_terminate_backend(a.pid, 10000) FROM pg_stat_activity AS a
    WHERE a.backend_type = 'cdp inbox worker' AND a.datname = current_database();
  RETURN true;
END
$$;
COMMENT ON FUNCTION cdp.stop_worker() IS
  'Stops the worker of this database until cdp.start_worker() or a server restart; false when none was running';

REVOKE ALL ON TABLE cdp.worker_status, cdp_internal.progress, cdp.progress FROM PUBLIC;
REVOKE ALL ON PROCEDURE cdp.run(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION cdp.start_worker(), cdp.stop_worker(), cdp_internal.report_progress(text, bigint, bigint),
  cdp_internal.end_progress(), cdp_internal.restore_is_running(),
  cdp_internal.note_worker(boolean, bigint, integer, text),
  cdp_internal.quarantine_inbox_line(bigint, text, text, text), cdp_internal.drain_line(),
  cdp_internal.run_batch(integer, integer, bigint, bigint), cdp_internal.begin_run(), cdp_internal.wake_launcher(),
  cdp_internal.launch_worker(), cdp_internal.hold_worker(), cdp_internal.worker_pid() FROM PUBLIC;

-- As soon as this is committed the launcher, if there is one, starts a worker here.
SELECT cdp_internal.wake_launcher();
