-- statistics: a row a segment and day, for BI tools.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

-- A segment that began three days ago, in Tokyo; only a test writes memberships itself.
SELECT cdp.create_segment('fans', 'count(*) > 0', per => $$properties ->> 'product_id'$$, time_zone => 'Asia/Tokyo') AS fans \gset
UPDATE cdp.segments SET created_at = (date_trunc('day', now() AT TIME ZONE 'Asia/Tokyo') - interval '3 days') AT TIME ZONE 'Asia/Tokyo';
CREATE FUNCTION tokyo(days_ago integer, hour integer) RETURNS timestamptz LANGUAGE sql AS $$
  SELECT (date_trunc('day', now() AT TIME ZONE 'Asia/Tokyo') - days_ago * interval '1 day' + hour * interval '1 hour') AT TIME ZONE 'Asia/Tokyo' $$;
INSERT INTO cdp.memberships (segment_id, profile_id, key, entered_at, left_at) VALUES
  (:fans, 1, NULL, tokyo(3, 0), 'infinity'),
  (:fans, 2, NULL, tokyo(3, 5), tokyo(2, 5)),
  (:fans, 3, 'a', tokyo(3, 23), tokyo(1, 0)),
  (:fans, 3, 'b', tokyo(2, 1), tokyo(1, 1)),
  (:fans, 4, NULL, tokyo(1, 23), now() + interval '1 year'),
  (:fans, 5, NULL, now() + interval '1 hour', 'infinity');

-- CALL cdp.run() and the worker count days that are over, once.
CALL cdp.run();
SELECT segment, day - min(day) OVER () AS day, size, entries, exits, volatility, dwell, closed FROM cdp.segment_days ORDER BY day;
SELECT cdp_internal.close_days();

-- Today so far is counted when it is asked for; who comes late changes a day that was closed, if it is counted anew.
SELECT cdp.refresh_statistics();
SELECT size, entries, exits, closed FROM cdp.segment_days ORDER BY day DESC LIMIT 1;
INSERT INTO cdp.memberships (segment_id, profile_id, entered_at) VALUES (:fans, 6, tokyo(2, 12));
SELECT cdp.refresh_statistics(since => current_date - 4);
SELECT size, entries, exits FROM cdp.segment_days WHERE closed ORDER BY day;

-- Who is in which segments, as a table.
SELECT cdp.create_segment('everybody', 'count(*) >= 0') > 0 AS created;
SELECT * FROM cdp.segment_overlaps;
DROP FUNCTION tokyo;
