-- sequences: what happened in which order, in plain SQL and in the rules of segments.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- Any table with instants will do.
CREATE TABLE visits (who text, event text, product text, occurred_at timestamptz);
INSERT INTO visits VALUES
  ('anna', 'Added',   'p7', '2026-03-02 09:00'), ('anna', 'Checkout', 'p7', '2026-03-02 09:20'), ('anna', 'Bought', 'p7', '2026-03-02 09:30'),
  ('anna', 'Added',   'p8', '2026-03-05 20:00'), ('anna', 'Bought',   'p8', '2026-03-07 20:00'),
  ('bob',  'Added',   'p7', '2026-03-02 10:00'), ('bob',  'Removed',  'p7', '2026-03-02 10:05'), ('bob',  'Added',  'p8', '2026-03-02 10:06'),
  ('bob',  'Bought',  'p8', '2026-03-02 10:30'),
  ('cleo', 'Added',   'p7', '2026-03-02 11:00'), ('cleo', 'Bought',   'p8', '2026-03-02 11:30'),
  ('dirk', 'Added',   'p9', '2026-03-02 12:00'), ('dirk', 'Bought',   'p9', '2026-03-02 12:00');

-- Who added something and bought within a day? Dirk's two events have the same instant: neither follows the other.
SELECT who, cdp.sequence('1 -> 2 within 24 hours', occurred_at, event = 'Added', event = 'Bought')
FROM visits GROUP BY who ORDER BY who;
-- Bought the very thing that they added, and did not take it out again.
SELECT who, cdp.sequence_by('1 -> not 3 -> 2 within 24 hours', occurred_at, product, event = 'Added', event = 'Bought', event = 'Removed')
FROM visits GROUP BY who ORDER BY who;
-- How often, and when last?
SELECT who, cdp.sequence_count('1 -> 2', occurred_at, event = 'Added', event = 'Bought'),
  cdp.last_sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought'),
  cdp.sequence_count_by('1 -> 2', occurred_at, product, event = 'Added', event = 'Bought') AS count_by,
  cdp.last_sequence_by('1 -> 2', occurred_at, product, event = 'Added', event = 'Bought') AS last_by
FROM visits GROUP BY who ORDER BY who;
-- How far did they come, of three steps, within an hour of the first?
SELECT who, cdp.funnel('1 hour', occurred_at, event = 'Added', event = 'Checkout', event = 'Bought'),
  cdp.funnel_by('1 hour', occurred_at, product, event = 'Added', event = 'Bought')
FROM visits GROUP BY who ORDER BY who;
-- The funnel of everybody.
SELECT depth, count(*) FROM (
  SELECT cdp.funnel('3 days', occurred_at, event = 'Added', event = 'Checkout', event = 'Bought') AS depth FROM visits GROUP BY who) AS f
GROUP BY depth ORDER BY depth;

-- The language, on events a, b, c, … an hour apart; - is an hour without one.
CREATE FUNCTION found(pattern text, happened text) RETURNS text LANGUAGE sql AS $$
  SELECT cdp.sequence(pattern, at, e = 'a', e = 'b', e = 'c') || ' ' || cdp.sequence_count(pattern, at, e = 'a', e = 'b', e = 'c')
         || coalesce(' ' || to_char(cdp.last_sequence(pattern, at, e = 'a', e = 'b', e = 'c'), 'HH24:MI'), '')
  FROM (SELECT e, '2026-01-01'::timestamptz + n * interval '1 hour' AS at FROM string_to_table(happened, NULL) WITH ORDINALITY AS t (e, n)) AS x
$$;
SELECT pattern, happened, found(pattern, happened) AS "found, how often, when last" FROM (VALUES
  ('1', 'abab'), ('1 -> 2', 'abab'), ('1 -> 2', 'ba'), ('1 -> 1', 'aaaaa'),
  -- gaps count from the step before; both ends belong to them
  ('1 -> 2 within 2 hours', 'a--b'), ('1 -> 2 within 2 hours', 'a-b'), ('1 -> 2 after 2 hours', 'ab'), ('1 -> 2 after 2 hours', 'a-b'),
  ('1 -> 2 after 2 hours within 3 hours', 'a--aab'), ('1 -> 2 within 3 hours after 2 hours', 'a----ab'),
  -- not: between, at the end, at the beginning; a gap beside it counts from the step that happened
  ('1 -> not 3 -> 2', 'acb'), ('1 -> not 3 -> 2', 'cabc'), ('1 -> not 3 -> 2', 'acab'), ('1 -> not 3 -> not 1 -> 2', 'aab'),
  ('1 -> not 3 -> 2 within 1 hour', 'a-b'),
  ('1 -> 2 -> not 3', 'abc'), ('1 -> 2 -> not 3', 'cab'), ('1 -> 2 -> not 3 within 2 hours', 'ab-c'), ('1 -> 2 -> not 3 within 2 hours', 'ab--c'),
  ('not 3 -> 1 -> 2', 'cab'), ('not 3 -> 1 -> 2', 'acb'), ('not 3 within 2 hours -> 1', 'c-a'), ('not 3 within 2 hours -> 1', 'c--a'),
  -- from the first step to the last
  ('1 -> 2 -> 3; all within 3 hours', 'a-bc'), ('1 -> 2 -> 3; all within 3 hours', 'a-b-c'), ('1 -> 2 -> 3; all within 3 hours', 'aab-c'),
  -- any events that meet the pattern will do: here neither the first nor the latest a, and not the nearest b
  ('1 -> 2 after 2 hours within 4 hours', 'a--a--ab'), ('1 -> 2 within 3 hours -> not 3 -> 1', 'abcba'),
  -- spelling: case and spaces do not matter
  ('1->2 WITHIN 1h 30min', 'ab'), (E'\n 1 -> 2 within 7200000ms', 'a-b'), ('1 -> 2 within 1 week 1 day', 'ab')) AS v (pattern, happened);

-- An event may meet several steps, and is used for one: "twice within an hour" needs two events.
SELECT cdp.sequence('1 -> 2', at, true, true) FROM (VALUES ('2026-01-01'::timestamptz)) AS v (at);
SELECT cdp.sequence('1 -> 2', at, true, true) FROM (VALUES ('2026-01-01'::timestamptz), ('2026-01-02')) AS v (at);
-- A step that is NULL is not met. Rows without an instant, or without a finite one, are left out; so are those without a binding.
SELECT cdp.sequence('1 -> not 3 -> 2', at, a, b, c), cdp.sequence_by('1 -> 2', at, binding, a, b) FROM (VALUES
  ('2026-01-01'::timestamptz, NULL, true, NULL, NULL), ('2026-01-02', 'x', NULL, NULL, NULL), (NULL, NULL, NULL, NULL, true),
  ('-infinity', 'x', true, NULL, NULL), ('2026-01-03', 'x', NULL, true, NULL)) AS v (at, binding, a, b, c);
-- Without rows nothing has happened.
SELECT cdp.sequence('1', now(), true) FILTER (WHERE false), cdp.sequence_count('1', now(), true) FILTER (WHERE false) AS count,
  cdp.last_sequence('1', now(), true) FILTER (WHERE false) AS last, cdp.funnel('1 day', now(), true) FILTER (WHERE false);
-- Days have 24 hours, whatever the clocks do: here the night between them has 23.
SET timezone = 'Europe/Amsterdam';
SELECT cdp.sequence('1 -> 2 after 1 day', at, event = 'a', event = 'b') FROM (VALUES ('a', '2026-03-28 12:00'::timestamptz), ('b', '2026-03-29 12:00')) AS v (event, at);
SET timezone = 'UTC';
-- The steps may come as one array, up to 64 of them.
SELECT cdp.sequence('1 -> 64', at, VARIADIC steps) FROM (VALUES ('2026-01-01'::timestamptz, array_fill(true, ARRAY[64])), ('2026-01-02', array_fill(true, ARRAY[64]))) AS v (at, steps);
-- As a window function: what was known at each event.
SELECT event, occurred_at, cdp.sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought') OVER w AS bought,
  cdp.sequence_count('1 -> 2', occurred_at, event = 'Added', event = 'Bought') OVER w AS orders,
  cdp.funnel('1 hour', occurred_at, event = 'Added', event = 'Bought') OVER (w ROWS 1 PRECEDING) AS last_two,
  cdp.last(event, occurred_at, 0) OVER w AS latest
FROM visits WHERE who = 'anna' WINDOW w AS (ORDER BY occurred_at) ORDER BY occurred_at;
-- The order of the rows makes no difference, however many there are.
SELECT count(DISTINCT (found, latest, times, deep)) AS answers, min(times) AS times, min(latest) AS latest, min(deep) AS deep FROM (
  SELECT cdp.sequence(p, at, a, b, c) AS found, cdp.last_sequence(p, at, a, b, c) AS latest, cdp.sequence_count(p, at, a, b, c) AS times,
    cdp.funnel('1 minute', at, a, b, c) AS deep
  FROM (SELECT '2026-01-01'::timestamptz + n * interval '1 second' AS at, n % 3 = 0 AS a, n % 5 = 0 AS b, n % 7 = 0 AS c, seed,
          '1 -> 2 within 4 seconds -> 3 after 2 seconds' AS p
        FROM generate_series(1, 3000) AS n, generate_series(1, 5) AS seed ORDER BY seed, sha256(convert_to(seed || ':' || n, 'UTF8'))) AS e
  GROUP BY seed) AS answers;
-- Bound sequences are those of each binding by itself: plain SQL says the same.
SELECT count(*) FILTER (WHERE by.found = plain.found AND by.times = plain.times AND by.latest IS NOT DISTINCT FROM plain.latest AND by.deep = plain.deep) AS same, count(*) AS people
FROM (SELECT who, cdp.sequence_by(p, at, b, s1, s2) AS found, cdp.sequence_count_by(p, at, b, s1, s2) AS times, cdp.last_sequence_by(p, at, b, s1, s2) AS latest, cdp.funnel_by('9 seconds', at, b, s1, s2) AS deep
      FROM (SELECT n % 37 AS who, 'b' || n % 11 AS b, '2026-01-01'::timestamptz + n * 7919 % 1000 * interval '1 second' AS at, n % 2 = 0 AS s1, n % 3 = 0 AS s2, '1 -> 2 within 50 seconds' AS p FROM generate_series(1, 2000) AS n) AS e GROUP BY who) AS by
JOIN (SELECT who, bool_or(found) AS found, sum(times) AS times, max(latest) AS latest, max(deep) AS deep
      FROM (SELECT who, cdp.sequence(p, at, s1, s2) AS found, cdp.sequence_count(p, at, s1, s2) AS times, cdp.last_sequence(p, at, s1, s2) AS latest, cdp.funnel('9 seconds', at, s1, s2) AS deep
            FROM (SELECT n % 37 AS who, 'b' || n % 11 AS b, '2026-01-01'::timestamptz + n * 7919 % 1000 * interval '1 second' AS at, n % 2 = 0 AS s1, n % 3 = 0 AS s2, '1 -> 2 within 50 seconds' AS p FROM generate_series(1, 2000) AS n) AS e GROUP BY who, b) AS each GROUP BY who) AS plain
USING (who);

-- What is no pattern is refused, with the place.
SELECT cdp.sequence('1 -> 2 withn 24 hours', now(), true, true);
SELECT cdp.sequence('1 -> 3', now(), true, true);
SELECT cdp.sequence('1 -> 2 within 1 month', now(), true, true);
SELECT cdp.sequence('1 -> 2 within 24', now(), true, true);
SELECT cdp.sequence('1 → 2', now(), true, true);
SELECT cdp.sequence('not 1', now(), true);
SELECT cdp.sequence('1 within 1 day -> 2', now(), true, true);
SELECT cdp.sequence('1 -> not 2 within 1 day -> 1', now(), true, true);
SELECT cdp.sequence('1 -> 2 after 2 days within 1 day', now(), true, true);
SELECT cdp.sequence('', now(), true);
SELECT cdp.sequence(NULL, now(), true);
SELECT cdp.sequence('1', now(), VARIADIC NULL);
SELECT cdp.sequence('1', now(), VARIADIC ARRAY[]::boolean[]);
SELECT cdp.sequence('1', now(), VARIADIC array_fill(true, ARRAY[65]));
SELECT cdp.sequence(p, now(), true) FROM (VALUES ('1'), ('1 -> 1')) AS v (p);
SELECT cdp.sequence('1', now(), VARIADIC s) FROM (VALUES (ARRAY[true]), (ARRAY[true, false])) AS v (s);
SELECT cdp.funnel('1 month', now(), true);
SELECT cdp.funnel('-1 day', now(), true);
SELECT cdp.funnel(NULL, now(), true);
SELECT cdp.funnel(i::interval, now(), true) FROM (VALUES ('1 day'), ('2 days')) AS v (i);

-- The first and the last value that is not NULL; of several at one instant, event_id decides. Any type will do.
CREATE TABLE plans (who text, event_id bigint, occurred_at timestamptz, plan text, seats int, tags jsonb);
INSERT INTO plans VALUES ('anna', 5, '2026-01-02', 'team', NULL, NULL), ('anna', 3, '2026-01-01', 'trial', 2, '["a"]'), ('anna', 2, '2026-01-01', 'free', 1, NULL),
  ('anna', 4, '2026-01-02', 'pro', 3, '["b"]'), ('anna', 6, '2026-01-03', NULL, NULL, NULL), ('anna', 1, NULL, 'lost', 9, '[]'), ('bob', 7, '2026-01-01', NULL, NULL, NULL);
SELECT who, cdp.first(plan, occurred_at, event_id), cdp.last(plan, occurred_at, event_id), cdp.first(seats, occurred_at, event_id) AS first_seats,
  cdp.last(seats, occurred_at, event_id) AS last_seats, cdp.first(tags, occurred_at, event_id) AS first_tags, cdp.last(occurred_at::date, occurred_at, event_id) AS last_date
FROM plans GROUP BY who ORDER BY who;
-- Were an event_id to come twice, the answer would still not depend on the order of the rows.
SELECT string_agg(DISTINCT one, ' ') FROM (SELECT cdp.first(v, '2026-01-01', 1) AS one FROM (VALUES (1, 'x'), (1, 'y'), (2, 'y'), (2, 'x')) AS t (g, v) GROUP BY g) AS each;
-- The longest time between two events that follow each other.
SELECT who, cdp.longest_gap(occurred_at) FROM visits GROUP BY who ORDER BY who;
SELECT cdp.longest_gap(at) FROM (VALUES ('2026-01-01'::timestamptz), (NULL), ('infinity')) AS v (at);
-- What occurs most often; of several, the smallest.
SELECT cdp.most_frequent(product) AS product, cdp.most_frequent(event) AS event, cdp.most_frequent(NULL) AS nothing FROM visits;
SELECT cdp.most_frequent(v) FROM (VALUES ('b'), ('é'), ('B'), ('b'), ('é'), ('B'), (NULL), (NULL), (NULL)) AS t (v);
-- Buckets for random splits: 0 to 99, always the same one for a person and a salt.
SELECT profile_id, cdp.bucket(profile_id, 'spring sale'), cdp.bucket(profile_id, 'holdout 2026') AS holdout, cdp.bucket(profile_id, 'spring sale', 2) AS half
FROM generate_series(41, 44) AS profile_id;
-- What it is, in SQL: the first 8 bytes of a SHA-256, modulo the number of buckets.
SELECT count(*) FILTER (WHERE cdp.bucket(n, 'é', 97) = mod(
    ('x' || left(encode(sha256(convert_to('é:' || n, 'UTF8')), 'hex'), 8))::bit(32)::bigint::numeric * 4294967296
    + ('x' || substr(encode(sha256(convert_to('é:' || n, 'UTF8')), 'hex'), 9, 8))::bit(32)::bigint, 97)) AS same
FROM generate_series(-500, 499) AS n;
-- Evenly spread, and independent of other salts.
SELECT min(count) > 900 AND max(count) < 1100 AS even FROM (
  SELECT count(*) FROM generate_series(1, 100000) AS id GROUP BY cdp.bucket(id, 'a', 10), cdp.bucket(id, 'b', 10)) AS buckets;
SELECT cdp.bucket(1, 'x', 0);
SELECT cdp.bucket(1, NULL) IS NULL AND cdp.bucket(NULL, 'x') IS NULL AS all_null;

-- In the rules of segments, with and without the clock. What happened when is told relative to this transaction's now().
CREATE FUNCTION happened(who text, what text, ago interval, props jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
  $$SELECT cdp.track(what, user_id => who, properties => props, "timestamp" => now() - ago)$$;
DO $$ BEGIN
  PERFORM cdp.identify(user_id => who) FROM unnest(ARRAY['anna', 'bob', 'cleo']) AS who;
  PERFORM happened('anna', 'Product Added', '5 days', '{"product_id": "p7"}');
  PERFORM happened('anna', 'Order Completed', '4 days 12 hours', '{"product_id": "p7"}');
  PERFORM happened('bob', 'Product Added', '5 days', '{"product_id": "p7"}');
  PERFORM happened('bob', 'Order Completed', '4 days', '{"product_id": "p8"}');
END $$;
SELECT cdp.create_segment('quick_buyers', $$
  cdp.sequence('1 -> 2 within 24 hours', occurred_at, event = 'Product Added', event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_segment('undecided', $$
  cdp.sequence_by('1 -> not 2', occurred_at, properties ->> 'product_id', event = 'Product Added', event = 'Order Completed')
    FILTER (WHERE occurred_at > now() - interval '7 days')
$$) > 0 AS created;
SELECT cdp.create_segment('cooling_down', $$
  cdp.last_sequence('1 -> 2', occurred_at, event = 'Product Added', event = 'Order Completed') < now() - interval '6 days'
  AND cdp.last(event, occurred_at, event_id) = 'Order Completed' AND cdp.bucket(profile_id, 'cooling down') >= 0
$$) > 0 AS created;
SELECT cdp.create_segment('stuck', $$cdp.funnel('2 days', occurred_at, event = 'Product Added', event = 'Order Completed') = 1$$) > 0 AS created;
CREATE VIEW who_is_in AS SELECT s.name AS segment, i.value AS who, round(extract(epoch FROM m.since - now()) / 86400, 1) AS since_days, round(extract(epoch FROM nullif(m.until, 'infinity') - now()) / 86400, 1) AS until_days
FROM cdp.segments AS s, LATERAL (SELECT * FROM cdp.members(s.name) UNION SELECT * FROM cdp.members(s.name, at => now() + interval '2 days')) AS m,
  cdp.identifiers AS i WHERE i.profile_id = m.profile_id AND i.type = 'user_id';
-- Bob's order is of another product. Both leave "undecided" and enter "cooling_down" by the passing of time.
SELECT segment, who, greatest(since_days, 0) AS in_days, until_days FROM who_is_in ORDER BY 1, 2, 3;
-- Messages to come count at once: cleo adds and buys, bob buys what he added.
DO $$ BEGIN
  PERFORM happened('cleo', 'Product Added', '3 hours', '{"product_id": "p9"}');
  PERFORM happened('cleo', 'Order Completed', '2 hours', '{"product_id": "p9"}');
  PERFORM happened('bob', 'Order Completed', '1 hour', '{"product_id": "p7"}');
END $$;
SELECT segment, who, greatest(since_days, 0) AS in_days, until_days FROM who_is_in ORDER BY 1, 2, 3;
SELECT condition, holds, "values" FROM cdp.why_member('quick_buyers', cdp.lookup('user_id', 'cleo')) WHERE condition <> 'until';
-- A sequence is never unknown: who did nothing of it has not done it.
SELECT count(cdp.identify(user_id => 'dora')) AS identified;
SELECT cdp.create_segment('never_bought', $$cdp.sequence('1 -> 2', occurred_at, event = 'Product Added', event = 'Order Completed') = false$$) > 0 AS created;
SELECT i.value AS who FROM cdp.members('never_bought') AS m JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id' ORDER BY 1;
SELECT count(*) AS errors FROM cdp.segment_errors;
SELECT count(*) AS wrong FROM cdp.verify();
-- A pattern is checked when the segment is made.
SELECT cdp.create_segment('wrong', $$cdp.sequence('1 -> 3', occurred_at, event = 'A', event = 'B')$$);
SELECT cdp.create_segment('wrong', $$count(*) > 0 AND cdp.funnel('1 month', occurred_at, event = 'A', event = 'B') = 1$$);
SELECT cdp.create_segment('wrong', $$cdp.funnel_by(interval '1 day' - interval '2 days', occurred_at, properties ->> 'id', event = 'A') = 1$$);
SELECT cdp.create_segment('wrong', $$cdp.funnel(NULL, occurred_at, event = 'A') = 1 AND traits ->> 'country' = 'NL'$$);
SELECT cdp.create_segment('wrong', $$cdp.sequence('1 -> 3', received_at, event = 'A', event = 'B') AND cdp.rank('spent') < 3$$);
-- Anybody may ask: these are functions of their arguments alone.
CREATE ROLE regress_cdp_nobody;
SET ROLE regress_cdp_nobody;
SELECT cdp.sequence('1', now(), true), cdp.sequence_by('1', now(), 'x', true) AS by, cdp.funnel('1 day', now(), true), cdp.first(1, now(), 1), cdp.longest_gap(now()),
  cdp.most_frequent('x'), cdp.bucket(1, 'x') IS NOT NULL AS bucket;
RESET ROLE;
DROP ROLE regress_cdp_nobody;
DROP VIEW who_is_in;
DROP FUNCTION happened, found;
DROP TABLE visits, plans;
