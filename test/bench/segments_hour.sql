-- What time passing costs by itself: the sequencer, called as the worker calls it, as if it were later. Roll it back.
-- changes: how many were told. Sets are folded as far as these changes make it due.
CREATE FUNCTION pg_temp.pass(passing interval, OUT changes bigint, OUT tell float8, OUT fold float8, OUT maintain float8)
LANGUAGE plpgsql AS $$
DECLARE
  until constant timestamptz := passing + (SELECT f.told_until FROM cdp_internal.feed AS f);
  first constant bigint := (SELECT f.last_position FROM cdp_internal.feed AS f);
  start timestamptz := clock_timestamp();
BEGIN
  WHILE cdp_internal.tell_changes(at => until) > 0 LOOP
  END LOOP;
  tell := extract(epoch FROM clock_timestamp() - start);
  start := clock_timestamp();
  WHILE cdp_internal.fold_sets() > 0 LOOP
  END LOOP;
  fold := extract(epoch FROM clock_timestamp() - start);
  start := clock_timestamp();
  WHILE cdp_internal.maintain_segments(until) > 0 LOOP
  END LOOP;
  maintain := extract(epoch FROM clock_timestamp() - start);
  changes := (SELECT count(*) FROM cdp.membership_changes AS c WHERE c.position > first);
END $$;

-- What the worker does when a day ends: today counted, as if it were over.
CREATE FUNCTION pg_temp.end_day(OUT days bigint, OUT took float8) LANGUAGE plpgsql AS $$
DECLARE
  start constant timestamptz := clock_timestamp();
BEGIN
  days := (SELECT sum(cdp_internal.count_days(s.segment_id, t.today, t.today))
           FROM cdp.segments AS s CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE s.time_zone)::date AS today) AS t);
  took := extract(epoch FROM clock_timestamp() - start);
END $$;
