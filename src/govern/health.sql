-- health: one table that says what is running, waiting, lagging or wrong, and what to do about it.

CREATE FUNCTION cdp.health() RETURNS TABLE (check_name text, status text, value text, advice text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH worker AS (
    SELECT count(*) AS running FROM pg_stat_activity
    WHERE backend_type = 'cdp worker' AND datname = current_database()
  ), status AS (
    SELECT max(s.consecutive_failures) AS failures, max(s.last_error) AS error FROM cdp.worker_status AS s
  ), waiting AS (
    SELECT count(*) AS lines, coalesce(max(extract(epoch FROM clock_timestamp() - i.received_at)), 0) AS seconds
    FROM (SELECT received_at FROM cdp.inbox ORDER BY inbox_id LIMIT 100000) AS i
  )
  SELECT 'worker',
         CASE WHEN running > 0 THEN 'ok' WHEN pg_is_in_recovery() THEN 'ok' ELSE 'warning' END,
         CASE WHEN running > 0 THEN 'running' WHEN pg_is_in_recovery() THEN 'none on a standby' ELSE 'not running' END,
         CASE WHEN running > 0 OR pg_is_in_recovery() THEN NULL
              WHEN current_setting('cdp.worker', true) = 'off' THEN 'cdp.worker is off: set it to on and reload, or CALL cdp.run() now and then.'
              WHEN current_setting('shared_preload_libraries') ~ '\mcdp\M'
                THEN 'It starts within seconds of CREATE EXTENSION; after cdp.stop_worker(), SELECT cdp.start_worker(). The server log says when max_worker_processes left it no slot.'
              ELSE 'Add cdp to shared_preload_libraries and restart, or SELECT cdp.start_worker(), or CALL cdp.run() now and then.' END
  FROM worker
  UNION ALL
  SELECT 'worker errors', CASE WHEN coalesce(failures, 0) > 0 THEN 'error' ELSE 'ok' END,
         CASE WHEN coalesce(failures, 0) > 0 THEN format('%s in a row: %s', failures, error) ELSE 'none' END,
         CASE WHEN coalesce(failures, 0) > 0 THEN 'See the server log and cdp.worker_status; the worker tries again by itself.' END
  FROM status
  UNION ALL
  SELECT 'inbox', CASE WHEN lines = 0 OR seconds < 60 THEN 'ok' ELSE 'warning' END,
         CASE WHEN lines = 0 THEN 'empty'
              ELSE format('%s%s lines, the oldest came %s s ago', lines, CASE WHEN lines = 100000 THEN ' or more' END, round(seconds)) END,
         CASE WHEN lines > 0 AND seconds >= 60 THEN 'Is a worker running? CALL cdp.run() drains the inbox from this session.' END
  FROM waiting
  UNION ALL
  SELECT 'quarantine', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'empty' ELSE
           (SELECT string_agg(format('%s %s', c.n, c.code), ', ' ORDER BY c.n DESC, c.code)
            FROM (SELECT q.code, count(*) AS n FROM cdp.quarantine AS q WHERE q.resolved_at IS NULL GROUP BY q.code) AS c) END,
         CASE WHEN count(*) > 0 THEN 'SELECT code, reason, detail, message FROM cdp.quarantine WHERE resolved_at IS NULL; correct the message, then SELECT * FROM cdp.retry_quarantined(); or set resolved_at = now(), resolution = ''discarded''.' END
  FROM cdp.quarantine AS q WHERE q.resolved_at IS NULL
  UNION ALL
  SELECT 'months of events', CASE WHEN o.n <= o.most THEN 'ok' ELSE 'warning' END,
         CASE WHEN o.n = 0 THEN 'all have their tables'
              ELSE format('%s events wait for the table of their month', CASE WHEN o.n > o.most THEN 'more than ' || o.most ELSE o.n::text END) END,
         CASE WHEN o.n > o.most THEN 'SELECT cdp.make_months(''1 minute''); in a quiet moment: nobody reads or writes events while they are moved.' END
  FROM (SELECT m.most, (SELECT count(*) FROM (SELECT FROM cdp_months.events_other LIMIT m.most + 1) AS x) AS n FROM cdp_internal.events_moved_at_once() AS m (most)) AS o
  UNION ALL
  SELECT 'identity rules', CASE WHEN q.n > 0 OR p.n > 0 THEN 'warning' ELSE 'ok' END,
         CASE WHEN q.n + p.n = 0 THEN 'all applied' ELSE concat_ws('; ',
           CASE WHEN q.uncounted THEN 'being applied, people to go not counted yet' WHEN q.n > 0 THEN format('being applied, people to go: %s', q.n) END,
           CASE WHEN p.n > 0 THEN format('types with changes that are not applied: %s', p.n) END) END,
         CASE WHEN q.n + p.n > 0 THEN concat_ws(' ',
           CASE WHEN q.n > 0 THEN 'The worker, or CALL cdp.run(), decides them anew.' END,
           CASE WHEN p.n > 0 THEN 'SELECT * FROM cdp.identity_diff() shows what the changes would do; then cdp.apply_identity_rules().' END) END
  FROM (SELECT count(*) AS n, coalesce(bool_or(i.profile_id = 0), false) AS uncounted FROM cdp.identity_queue AS i) AS q,
       (SELECT count(*) AS n FROM cdp.pending_identifier_types) AS p
  UNION ALL
  SELECT 'survivorship', CASE WHEN e.n > 0 THEN 'error' WHEN b.n + p.n > 0 THEN 'warning' ELSE 'ok' END,
         CASE WHEN e.n + b.n + p.n = 0 THEN 'all applied' ELSE concat_ws('; ',
           CASE WHEN e.n > 0 THEN format('aggregates that failed: %s, such as %s', e.n, e.message) END,
           CASE WHEN b.n > 0 THEN format('being applied, people done: %s', b.done) END,
           CASE WHEN p.n > 0 THEN format('changes that are not applied: %s', p.n) END) END,
         CASE WHEN e.n + b.n + p.n > 0 THEN concat_ws(' ',
           CASE WHEN e.n > 0 THEN 'SELECT * FROM cdp.survivorship_errors; for these people the next strategy decides.' END,
           CASE WHEN b.n > 0 THEN 'The worker, or CALL cdp.run(), folds them anew.' END,
           CASE WHEN p.n > 0 THEN 'SELECT * FROM cdp.profile_diff() shows what the changes would do; then cdp.apply_survivorship().' END) END
  FROM (SELECT count(*) AS n, min(s.message) AS message FROM cdp.survivorship_errors AS s) AS e,
       (SELECT count(*) AS n, max(u.done) AS done FROM cdp_internal.survivorship_builds AS u) AS b,
       (SELECT count(*) AS n FROM cdp.pending_survivorship()) AS p
  UNION ALL
  SELECT 'trait values', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'all fit' ELSE
           (SELECT string_agg(format('%s of %s: %s', c.n, c.trait, c.code), ', ' ORDER BY c.n DESC, c.trait, c.code)
            FROM (SELECT o.trait, o.code, count(*) AS n FROM cdp.quarantined_traits AS o GROUP BY o.trait, o.code ORDER BY n DESC LIMIT 10) AS c) END,
         CASE WHEN count(*) > 0 THEN 'SELECT * FROM cdp.quarantined_traits says what does not fit and what to do; the messages are in cdp.assertions, by decision_seq.' END
  FROM cdp.quarantined_traits
  UNION ALL
  SELECT 'normalizers', CASE WHEN coalesce(v.version, cdp.normalizer_version()) = cdp.normalizer_version() THEN 'ok' ELSE 'warning' END,
         CASE WHEN coalesce(v.version, cdp.normalizer_version()) = cdp.normalizer_version() THEN cdp.normalizer_version()
              ELSE format('%s; what is stored was made with %s', cdp.normalizer_version(), v.version) END,
         CASE WHEN v.version <> cdp.normalizer_version()
              THEN 'SELECT * FROM cdp.check_normalizers() lists identifiers whose form changed; then SELECT cdp.accept_normalizers().' END
  FROM (SELECT (SELECT n.version FROM cdp.normalizer_versions AS n ORDER BY n.accepted_at DESC, n.version LIMIT 1) AS version) AS v
  UNION ALL
  SELECT 'segments', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'error' END,
         CASE WHEN count(*) = 0 THEN (SELECT format('%s kept, none with errors', count(*)) FROM cdp.segments AS k WHERE k.replaces IS NULL)
              ELSE string_agg(DISTINCT format('%s: %s', s.name, e.message), '; ') END,
         CASE WHEN count(*) > 0 THEN 'SELECT * FROM cdp.segment_errors; these memberships stay as they were until the rule works again.' END
  FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id)
  UNION ALL
  SELECT 'segment refreshes', CASE WHEN count(*) FILTER (WHERE d.late) = 0 THEN 'ok' ELSE 'warning' END,
         CASE WHEN count(*) FILTER (WHERE d.late) = 0 THEN format('%s of class interval, none late', count(*))
              ELSE string_agg(format('%s: last %s', d.name, coalesce(to_char(d.refreshed_at, 'YYYY-MM-DD HH24:MI:SS'), 'never')), '; ' ORDER BY d.name) FILTER (WHERE d.late) END,
         CASE WHEN count(*) FILTER (WHERE d.late) > 0 THEN 'The worker, or CALL cdp.run(), refreshes what is due: is one running? cdp.segment_refreshes says how long each takes.' END
  FROM (SELECT s.name, r.refreshed_at, coalesce(r.refreshed_at + 2 * s.refresh + interval '1 minute', s.created_at + interval '1 minute') < clock_timestamp() AS late
        FROM cdp.segments AS s LEFT JOIN cdp.segment_refreshes AS r USING (segment_id)
        WHERE s.class = 'interval' AND s.state = 'active' AND s.replaces IS NULL) AS d
  UNION ALL
  SELECT 'segment builds', CASE WHEN count(*) FILTER (WHERE b.late) = 0 THEN 'ok' ELSE 'warning' END,
         coalesce(string_agg(format('%s: %s of about %s people', b.name, b.done, b.total), '; ' ORDER BY b.name), 'none'),
         CASE WHEN count(*) FILTER (WHERE b.late) > 0 THEN 'The worker, or CALL cdp.run(), builds them: is one running? What failed is tried again every minute, see cdp.segment_errors.' END
  FROM (SELECT s.name, o.done, o.total, o.updated_at < clock_timestamp() - interval '1 minute' AS late
        FROM cdp_internal.segment_builds AS o JOIN cdp.segments AS s USING (segment_id)) AS b
  UNION ALL
  SELECT 'list imports', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'nothing left over' ELSE format('%s left over', count(*)) END,
         CASE WHEN count(*) > 0 THEN 'SELECT * FROM cdp.list_imports; COPY the corrected ones again, and DELETE these.' END
  FROM cdp.list_imports
  UNION ALL
  SELECT 'attached tables', CASE WHEN count(*) FILTER (WHERE t.state IN ('failed', 'missing')) > 0 THEN 'error'
                                 WHEN count(*) FILTER (WHERE t.late) > 0 THEN 'warning' ELSE 'ok' END,
         CASE WHEN count(*) FILTER (WHERE t.late OR t.state IN ('failed', 'missing')) = 0 THEN format('%s, none behind', count(*))
              ELSE string_agg(format('%s: %s', t.relation, coalesce(t.error, CASE WHEN t.late THEN t.waiting || ' changed rows wait' ELSE t.state END)), '; ' ORDER BY t.relation)
                     FILTER (WHERE t.late OR t.state IN ('failed', 'missing')) END,
         CASE WHEN count(*) FILTER (WHERE t.late OR t.state IN ('failed', 'missing')) > 0
              THEN 'SELECT * FROM cdp.attached_tables; the worker, or CALL cdp.run(), reads what waits, and tries again every minute what failed; cdp.detach_table() gives one up.' END
  FROM (SELECT o.relation, o.state, o.error, o.waiting, coalesce(o.lag > CASE o.kind WHEN 'followed' THEN interval '1 minute' ELSE 2 * a.every + interval '1 minute' END, false) AS late
        FROM cdp.attached_tables AS o JOIN cdp_internal.attachments AS a USING (attachment_id)) AS t
  UNION ALL
  SELECT * FROM cdp_internal.match_health()
  UNION ALL
  SELECT * FROM cdp_internal.profile_view_health()
  UNION ALL
  SELECT * FROM cdp_internal.account_health()
  UNION ALL
  SELECT * FROM cdp_internal.retention_health()
  UNION ALL
  SELECT * FROM cdp_internal.feed_health()
$$;
COMMENT ON FUNCTION cdp.health() IS
  'What is running, waiting, lagging or wrong (status ok, warning, error), and what to do about it';
