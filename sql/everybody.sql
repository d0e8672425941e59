-- everybody: who is judged at all when all people are, settled by how often and when they did something. It must leave out nobody who is in.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SELECT cdp.track(e, user_id => u, "timestamp" => now() - a) > 0 AS accepted
FROM (VALUES ('anna', 'Added', interval '30 days'), ('anna', 'Bought', '1 day'), ('bert', 'Added', '20 days')) AS v (u, e, a);
SELECT cdp.identify(user_id => 'cleo') IS NOT NULL AS known; -- has done nothing
CREATE VIEW who AS
  SELECT m.segment, string_agg(i.value, ', ' ORDER BY i.value) AS members
  FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' GROUP BY 1;

-- Only the last step of a sequence must be as late as its end, whatever its number.
SELECT cdp.create_segment('bought_lately', $$cdp.last_sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought') > now() - interval '7 days'$$) > 0 AS created;
SELECT cdp.create_segment('the_other_way', $$cdp.last_sequence('2 -> 1', occurred_at, event = 'Bought', event = 'Added') > now() - interval '7 days'$$) > 0 AS created;
SELECT cdp.create_segment('long_ago', $$cdp.last_sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought') < now() - interval '7 days'$$) > 0 AS created;
SELECT cdp.create_segment('never', $$count(*) < 1$$) > 0 AS created;
SELECT * FROM who ORDER BY 1;

-- What is not at an instant may be at any other.
SELECT cdp.create_segment('not_then', $$max(occurred_at) FILTER (WHERE event = 'Added') <> now() - interval '7 days'$$) > 0 AS created;
SELECT * FROM who WHERE segment = 'not_then';

-- Bounds are those of the segment's time zone, whatever the session's.
SET timezone = 'Pacific/Kiritimati';
SELECT cdp.track('Seen', user_id => u, "timestamp" => date_trunc('day', now(), 'UTC') + a) > 0 AS accepted
FROM (VALUES ('anna', interval '0'), ('bert', '-1 hour')) AS v (u, a);
SELECT cdp.create_segment('seen_today', $$count(*) FILTER (WHERE event = 'Seen' AND occurred_at >= date_trunc('day', now())) > 0$$) > 0 AS created;
SET timezone = 'UTC';
SELECT * FROM who WHERE segment = 'seen_today';

-- Whom a rule fails for is noted by whoever judges.
SELECT cdp.create_segment('dear', $$
  count(*) FILTER (WHERE event = 'Bought') > 1 AND sum((properties ->> 'price')::numeric) FILTER (WHERE event = 'Added') > 5
$$) > 0 AS created;
SELECT cdp.track('Added', user_id => 'cleo', properties => '{"price": "much"}') > 0 AS accepted;
SELECT profile_id = cdp.lookup('user_id', 'cleo') AS is_cleo, message FROM cdp.segment_errors;
SELECT cdp.refresh_segments();
SELECT profile_id = cdp.lookup('user_id', 'cleo') AS is_cleo, message FROM cdp.segment_errors;
SELECT cdp.drop_segment('dear');

-- A bound that jumps every millisecond is left to PostgreSQL.
SELECT cdp.create_segment('just_now', $$count(*) FILTER (WHERE occurred_at >= date_trunc('millisecond', now())) > 5$$) > 0 AS created;

-- Judging everybody again changes nothing.
CREATE TEMP TABLE before AS TABLE cdp.memberships;
SELECT cdp.refresh_segments();
SELECT count(*) FROM ((TABLE before EXCEPT TABLE cdp.memberships) UNION ALL (TABLE cdp.memberships EXCEPT TABLE before)) AS d;
SELECT * FROM cdp.verify();
-- What happens while all rules are disabled is known when one is enabled again.
SELECT cdp.disable_segment(name) FROM cdp.segments ORDER BY name;
SELECT cdp.create_segment('twice', $$count(*) FILTER (WHERE event = 'Waved') >= 2$$) >= 0 AS created;
SELECT cdp.track('Waved', user_id => 'dora') > 0 AS accepted;
SELECT cdp.disable_segment('twice');
SELECT cdp.track('Waved', user_id => u) > 0 AS accepted FROM unnest('{dora, emma, emma}'::text[]) AS u;
SELECT cdp.enable_segment('twice');
SELECT count(*) AS members FROM cdp.segment_members WHERE segment = 'twice';
SELECT * FROM cdp.verify();

-- Many rules and people are judged by two threads, to the same effect as by one.
SELECT count(cdp.track('Waved', user_id => format('w%s', p), properties => jsonb_build_object('n', p % 7), "timestamp" => now() - format('%s hours', p % 200 + e)::interval)) AS events
  FROM generate_series(1, 230) AS p, generate_series(1, p % 5) AS e;
SELECT count(cdp.create_segment(format('many_%s', n), CASE n % 4
    WHEN 0 THEN format($$count(*) FILTER (WHERE event = 'Waved' AND occurred_at > now() - interval '%s hours') >= %s$$, n * 5, n % 3 + 1)
    WHEN 1 THEN format($$sum((properties ->> 'n')::numeric) FILTER (WHERE event = 'Waved') > %s$$, n % 6)
    WHEN 2 THEN format($$cdp.sequence('1 -> 1 within %s hours', occurred_at, event = 'Waved') FILTER (WHERE occurred_at > now() - interval '9 days')$$, n)
    ELSE format($$count(*) FILTER (WHERE event = 'Waved' AND occurred_at > now() - interval '%s hours') * 2 > count(*) FILTER (WHERE event = 'Waved')$$, n * 7) END)) AS rules
  FROM generate_series(1, 40) AS n;
BEGIN;
CREATE FUNCTION pg_temp.judged(threads integer) RETURNS SETOF cdp.memberships LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('max_parallel_workers_per_gather', (threads - 1)::text, true);
  TRUNCATE cdp.memberships;
  PERFORM cdp.refresh_segments();
  RETURN QUERY TABLE cdp.memberships;
END $$;
CREATE TEMP TABLE one AS SELECT * FROM pg_temp.judged(1);
CREATE TEMP TABLE two AS SELECT * FROM pg_temp.judged(2);
SELECT count(*) > 1000 AS enough, (SELECT count(*) FROM ((TABLE one EXCEPT ALL TABLE two) UNION ALL (TABLE two EXCEPT ALL TABLE one)) AS d) AS differ FROM one;
ROLLBACK;
SELECT cdp.refresh_segments();
SELECT * FROM cdp.verify();

-- So are those whom a batch of messages is about, once or several times.
SELECT * FROM cdp.ingest(jsonb_build_object('batch', (
  SELECT jsonb_agg(jsonb_build_object('type', 'track', 'event', 'Waved', 'userId', format('w%s', p), 'properties', jsonb_build_object('n', p % 5),
                                      'timestamp', now() - format('%s minutes', p * 37 % 20000 + e)::interval) ORDER BY e, p)
  FROM generate_series(1, 240) AS p, generate_series(0, p % 3) AS e)));
CREATE TEMP TABLE touched AS TABLE cdp.memberships;
SELECT count(*) > 1000 AS enough FROM touched;
SELECT cdp.refresh_segments();
SELECT count(*) FROM ((TABLE touched EXCEPT ALL TABLE cdp.memberships) UNION ALL (TABLE cdp.memberships EXCEPT ALL TABLE touched)) AS d;
SELECT * FROM cdp.verify();

DROP VIEW who;
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
