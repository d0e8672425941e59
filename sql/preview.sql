-- preview: look at a rule before it is saved.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

-- Ten people, six of them Dutch; eight put two products into a cart, n days ago; two bought.
SELECT accepted FROM cdp.ingest((SELECT jsonb_build_object('batch', jsonb_agg(m)) FROM (
  SELECT jsonb_build_object('type', 'identify', 'userId', 'u' || n, 'traits', jsonb_build_object('country', CASE WHEN n <= 6 THEN 'NL' ELSE 'DE' END))
  FROM generate_series(1, 10) AS n
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Product Added', 'userId', 'u' || n, 'timestamp', now() - n * interval '1 day',
    'messageId', 'a' || n || p, 'properties', jsonb_build_object('product_id', p, 'price', 10 * n))
  FROM generate_series(1, 8) AS n, unnest('{p1,p2}'::text[]) AS p
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Order Completed', 'userId', 'u' || n, 'timestamp', now(), 'messageId', 'o' || n)
  FROM generate_series(4, 5) AS n) AS a (m)));
SELECT event, first_seen_at <= now() AS seen FROM cdp.event_names ORDER BY event COLLATE "C";
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$), cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$);

-- How many would be in, who for example, and how many of them are in other segments?
SELECT people, memberships, sample_people, overlap FROM cdp.preview_segment($$count(*) FILTER (WHERE event = 'Product Added') > 0$$,
  overlap_with => '{dutch,buyers}', sample => 3);
SELECT people, memberships, people_read, events_read, milliseconds > 0 AS took_time FROM cdp.preview_segment($$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND traits ->> 'country' = 'NL'
$$, per => $$properties ->> 'product_id'$$);
-- Nothing was made. The same rule, made:
SELECT cdp.create_segment('abandoned', $$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND traits ->> 'country' = 'NL'
$$, per => $$properties ->> 'product_id'$$);
SELECT count(DISTINCT profile_id) AS people, count(*) AS memberships FROM cdp.members('abandoned');
SELECT count(*) AS segments FROM cdp.segments;

-- People without events are people, but for keys.
SELECT people, sample_people = ARRAY[cdp.lookup('user_id', 'u9'), cdp.lookup('user_id', 'u10')] AS those FROM cdp.preview_segment('count(*) = 0');
SELECT people FROM cdp.preview_segment('count(*) = 0', per => 'event');
SELECT people, events_read FROM cdp.preview_segment($$traits ->> 'country' = 'DE'$$);

-- What is likely misspelt: an event that never came, a trait that nobody has, a property that these events have not.
SELECT unnest(warnings) AS warning FROM cdp.preview_segment($$
      sum((properties ->> 'prize')::numeric) FILTER (WHERE event = 'Product Added') > 10
  AND count(*) FILTER (WHERE event IN ('Ordr Completed', 'Product Added')) = 0
  AND traits ->> 'contry' = 'NL' AND traits @> '{"vip": true}'$$);
SELECT warnings FROM cdp.preview_segment($$cdp.sequence('1 -> 2', occurred_at, event = 'Product Added', event = 'Order Complete')$$);
SELECT people, memberships, warnings FROM cdp.preview_segment('count(*) > 0', per => $$properties ->> 'productid'$$);
-- Making a segment says it, too.
SELECT cdp.create_segment('typo', $$count(*) FILTER (WHERE event = 'product added') > 0$$);
-- A rule that fails for somebody.
SELECT people, warnings FROM cdp.preview_segment($$10 / (count(*) - 2) < 0$$);

-- Why it is exact, and what will keep it.
SELECT class, because FROM cdp.preview_segment($$count(*) FILTER (WHERE event = 'Product Added' AND occurred_at > now() - interval '7 days') > 0 AND traits ->> 'country' = 'NL'$$);
SELECT judged_by FROM cdp.preview_segment($$count(*) FILTER (WHERE event = 'Product Added') > 0$$);
SELECT judged_by FROM cdp.preview_segment($$(array_agg(event ORDER BY occurred_at DESC))[1] = 'Product Added'$$);
SELECT judged_by FROM cdp.preview_segment($$count(*) FILTER (WHERE event = traits ->> 'favourite') > 0$$);
SELECT judged_by FROM cdp.preview_segment($$count(*) FILTER (WHERE type = 'page') = 0$$, per => 'event');
SELECT judged_by FROM cdp.preview_segment($$event = 'Product Added'$$, per => 'event');

-- Whoever may make segments may look, with their own rights and names; others may not.
CREATE ROLE regress_preview_marketer;
CREATE ROLE regress_preview_nobody;
SELECT cdp.grant_access('regress_preview_marketer', 'marketer');
CREATE FUNCTION public.secret(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
REVOKE ALL ON FUNCTION public.secret(text) FROM PUBLIC;
SET ROLE regress_preview_marketer;
SELECT people, warnings, overlap -> 'dutch' ->> 'in_both' AS dutch FROM cdp.preview_segment('count(*) > 1', overlap_with => '{dutch}');
SELECT people FROM cdp.preview_segment('bool_or(secret(event))');
SET ROLE regress_preview_nobody;
SELECT people FROM cdp.preview_segment('count(*) > 1');
RESET ROLE;
-- It only reads: in any transaction, and on a standby.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT people FROM cdp.preview_segment('count(*) > 1');
SELECT people FROM cdp.preview_segment('10 / (count(*) - 2) < 0');
ROLLBACK;

-- What cannot be a rule is refused, with the place.
SELECT * FROM cdp.preview_segment('count(*) > random()');
SELECT * FROM cdp.preview_segment(NULL);
SELECT * FROM cdp.preview_segment('count(*) > 0', time_zone => 'Mars/Olympus');
SELECT * FROM cdp.preview_segment('count(*) > 0', overlap_with => '{duch}');
SELECT * FROM cdp.preview_segment('count(*) > 0', sample => -1);
DROP FUNCTION public.secret(text);
DROP OWNED BY regress_preview_marketer;
DROP ROLE regress_preview_marketer, regress_preview_nobody;
