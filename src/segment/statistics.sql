-- statistics: a row a segment and day, for BI tools: how many are in, came, went, and how long they stayed.

CREATE TABLE cdp.segment_days (
  segment_id integer NOT NULL,
  segment    text COLLATE "C" NOT NULL,
  day        date NOT NULL,
  size       bigint NOT NULL,
  entries    bigint NOT NULL,
  exits      bigint NOT NULL,
  volatility numeric,
  dwell      interval,
  counted_at timestamptz NOT NULL,
  closed     boolean NOT NULL,
  PRIMARY KEY (segment_id, day)
);
COMMENT ON TABLE cdp.segment_days IS
  'Each segment, day by day, in its own time zone; the worker counts days that are over, cdp.refresh_statistics() today, too';
COMMENT ON COLUMN cdp.segment_days.size IS 'People who were in at the end of the day, or when it was counted';
COMMENT ON COLUMN cdp.segment_days.entries IS 'Memberships that began that day';
COMMENT ON COLUMN cdp.segment_days.exits IS 'Memberships that ended that day';
COMMENT ON COLUMN cdp.segment_days.volatility IS 'Entries and exits, together, by size; null when nobody was in';
COMMENT ON COLUMN cdp.segment_days.dwell IS 'How long the memberships that ended had lasted, on average; null when none ended';
COMMENT ON COLUMN cdp.segment_days.closed IS 'The day was over; it is not counted again';
SELECT pg_catalog.pg_extension_config_dump('cdp.segment_days', '');

CREATE VIEW cdp.segment_overlaps WITH (security_invoker) AS
  SELECT o.segment, o.other, o.in_both, o.only_segment, o.only_other FROM cdp.segment_overlap() AS o;
COMMENT ON VIEW cdp.segment_overlaps IS 'Of every two segments, how many people are in both and in one alone, now; see cdp.segment_overlap';

-- Days of one segment. All instants are just before the end, so that a size is the one before plus entries minus exits.
CREATE FUNCTION cdp_internal.count_days(segment_id integer, first date, last date) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
  chosen  cdp.segments := (SELECT s FROM cdp.segments AS s WHERE s.segment_id = $1);
  counted bigint;
BEGIN
  INSERT INTO cdp.segment_days AS d (segment_id, segment, day, size, entries, exits, volatility, dwell, counted_at, closed)
    SELECT $1, chosen.name, t.day, i.size, n.entries, o.exits, round((n.entries + o.exits)::numeric / nullif(i.size, 0), 4), o.dwell, now(), t.until <= now()
    FROM generate_series(first::timestamp, last::timestamp, interval '1 day') AS g (midnight)
    CROSS JOIN LATERAL (SELECT g.midnight::date AS day, g.midnight AT TIME ZONE chosen.time_zone AS since,
                               (g.midnight + interval '1 day') AT TIME ZONE chosen.time_zone AS until) AS t
    CROSS JOIN LATERAL (SELECT least(t.until, now()) AS at) AS e
    CROSS JOIN LATERAL (SELECT count(DISTINCT m.profile_id) AS size FROM cdp.memberships AS m
                        WHERE m.segment_id = $1 AND m.entered_at < e.at AND m.left_at >= e.at) AS i
    CROSS JOIN LATERAL (SELECT count(*) AS entries FROM cdp.memberships AS m
                        WHERE m.segment_id = $1 AND m.entered_at >= t.since AND m.entered_at < e.at) AS n
    CROSS JOIN LATERAL (SELECT count(*) AS exits, avg(m.left_at - m.entered_at) AS dwell FROM cdp.memberships AS m
                        WHERE m.segment_id = $1 AND m.left_at >= t.since AND m.left_at < e.at) AS o
    ON CONFLICT (segment_id, day) DO UPDATE SET segment = excluded.segment, size = excluded.size, entries = excluded.entries, exits = excluded.exits,
      volatility = excluded.volatility, dwell = excluded.dwell, counted_at = excluded.counted_at, closed = excluded.closed;
  GET DIAGNOSTICS counted = ROW_COUNT;
  RETURN counted;
END $$;
COMMENT ON FUNCTION cdp_internal.count_days(integer, date, date) IS 'Part of cdp.refresh_statistics';

-- The first day of a segment that is to be counted: after the last closed one, or that of its creation.
CREATE FUNCTION cdp_internal.open_day(one cdp.segments) RETURNS date
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT d.day + 1 FROM cdp.segment_days AS d WHERE d.segment_id = (one).segment_id AND d.closed ORDER BY d.day DESC LIMIT 1),
                  ((one).created_at AT TIME ZONE (one).time_zone)::date)
$$;
COMMENT ON FUNCTION cdp_internal.open_day(cdp.segments) IS 'Part of cdp.refresh_statistics';

-- Two calls at once would count the same days: the second waits, and finds them closed.
CREATE FUNCTION cdp_internal.close_days() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen record;
BEGIN
  SELECT s.segment_id, o.day, (now() AT TIME ZONE s.time_zone)::date - 1 AS yesterday INTO chosen
    FROM cdp.segments AS s CROSS JOIN LATERAL cdp_internal.open_day(s) AS o (day)
    WHERE o.day < (now() AT TIME ZONE s.time_zone)::date AND s.replaces IS NULL AND s.kind <> 'trait' LIMIT 1;
  IF NOT FOUND OR NOT cdp_internal.try_turn('cdp.segment_days') THEN
    RETURN 0;
  END IF;
  RETURN cdp_internal.count_days(chosen.segment_id, chosen.day, least(chosen.yesterday, chosen.day + 30));
END $$;
COMMENT ON FUNCTION cdp_internal.close_days() IS 'Counts days that are over, of one segment, at most a month; how many, 0 when all are counted';

CREATE FUNCTION cdp.refresh_statistics(since date DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s       cdp.segments;
  counted bigint := 0;
BEGIN
  PERFORM cdp_internal.take_turn('cdp.segment_days');
  FOR s IN SELECT * FROM cdp.segments AS o WHERE o.replaces IS NULL AND o.kind <> 'trait' ORDER BY o.segment_id LOOP
    counted := counted + cdp_internal.count_days(s.segment_id,
      CASE WHEN since < cdp_internal.open_day(s) THEN greatest(since, (s.created_at AT TIME ZONE s.time_zone)::date)
           ELSE cdp_internal.open_day(s) END, (now() AT TIME ZONE s.time_zone)::date);
  END LOOP;
  RETURN counted;
END $$;
COMMENT ON FUNCTION cdp.refresh_statistics(date) IS
  'Counts cdp.segment_days up to now: days that are not closed, and those from a date on anew, which late messages may have changed; returns how many rows';
