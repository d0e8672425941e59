-- explain: what a segment is made of, what it costs, and what a person lacks to be in it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT accepted FROM cdp.ingest((SELECT jsonb_build_object('batch', jsonb_agg(m)) FROM (
  SELECT jsonb_build_object('type', 'identify', 'userId', 'u' || n, 'timestamp', '2026-01-01T00:00:00Z',
    'traits', jsonb_build_object('country', CASE WHEN n <= 6 THEN 'NL' ELSE 'DE' END)) FROM generate_series(1, 10) AS n
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Product Added', 'userId', 'u' || n, 'timestamp', now() - n * interval '1 day',
    'messageId', 'a' || n || p, 'properties', jsonb_build_object('product_id', p, 'price', 10 * n))
  FROM generate_series(1, 8) AS n, unnest('{p1,p2}'::text[]) AS p
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Order Completed', 'userId', 'u' || n, 'timestamp', now(), 'messageId', 'o' || n)
  FROM generate_series(4, 5) AS n) AS a (m)));
SELECT cdp.create_segment('abandoned', $$
      sum((properties ->> 'price')::numeric) FILTER (WHERE event = 'Product Added' AND occurred_at > now() - interval '7 days') >= 40
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND (traits ->> 'country' IN ('NL', 'BE') OR count(*) FILTER (WHERE event = 'Product Added') > 5)
$$);

-- Each condition: how many people it holds for, and how many memberships are kept after it.
SELECT number, text, people, kept FROM cdp.explain_segment('abandoned') WHERE part = 'condition';
SELECT part, text, details, people, kept FROM cdp.explain_segment('abandoned') WHERE part NOT IN ('condition', 'last refresh');
-- What the last look at everybody cost: making the segment, or cdp.refresh_segment.
SELECT text ~ '^[0-9.]+ ms$' AS took_time, details - 'at' AS details FROM cdp.explain_segment('abandoned') WHERE part = 'last refresh';
SELECT cdp.refresh_segment('abandoned');
SELECT details - 'at' AS details FROM cdp.explain_segment('abandoned') WHERE part = 'last refresh';

-- Why somebody is out, and what is missing.
SELECT condition, holds, needed FROM cdp.why_member('abandoned', cdp.lookup('user_id', 'u2')) WHERE part_of IS NULL AND condition <> 'until';
-- An OR is taken apart.
SELECT condition, holds, needed, part_of IS NOT NULL AS is_part FROM cdp.why_member('abandoned', cdp.lookup('user_id', 'u7')) WHERE condition ~ 'country';
-- Which traits and events made it so: since when, and who said it.
SELECT "values", evidence #- '{"trait country",decision_seq}' AS evidence FROM cdp.why_member('abandoned', cdp.lookup('user_id', 'u3')) WHERE condition ~ '^traits';

-- When time alone will change it: who is in leaves, who is out enters, if nothing happens.
SELECT holds, round(extract(epoch FROM ("values" ->> 'until')::timestamptz - now()) / 86400) AS days_left, needed
FROM cdp.why_member('abandoned', cdp.lookup('user_id', 'u6')) WHERE condition = 'until';
SELECT cdp.create_segment('lapsed', $$max(occurred_at) < now() - interval '3 days'$$);
SELECT condition, holds, regexp_replace(needed, '\d{4}-\S+ \S+', '…', 'g') AS needed FROM cdp.why_member('lapsed', cdp.lookup('user_id', 'u1'));
SELECT ("values" ->> 'since')::timestamptz > now() AS enters_later FROM cdp.why_member('lapsed', cdp.lookup('user_id', 'u1')) WHERE condition = 'until';

-- With keys: each product, and nobody without an event.
SELECT cdp.create_segment('carts', $$count(*) FILTER (WHERE event = 'Product Added') > 1$$, per => $$properties ->> 'product_id'$$);
SELECT key, condition, holds, needed FROM cdp.why_member('carts', cdp.lookup('user_id', 'u1')) ORDER BY key;
SELECT key, condition, holds, needed FROM cdp.why_member('carts', cdp.lookup('user_id', 'u9'));
SELECT text, people, kept FROM cdp.explain_segment('carts') WHERE part IN ('rule', 'condition');

-- Other comparisons in words.
SELECT cdp.create_segment('words', $$
      traits ->> 'country' <> 'DE' AND count(*) <= 1 AND count(DISTINCT event) < 1 AND traits ? 'vip' AND max(event) = traits ->> 'favourite'
  AND NOT bool_or(event = 'Product Added') AND 3 < count(event) AND min(occurred_at) >= '2030-01-01' AND (traits ->> 'age')::int BETWEEN 18 AND 65
$$);
SELECT condition, holds, needed FROM cdp.why_member('words', cdp.lookup('user_id', 'u8')) WHERE condition !~ 'occurred_at';
SELECT condition, needed, part_of FROM cdp.why_member('words', cdp.lookup('user_id', 'u8')) WHERE part_of IS NOT NULL;

-- Who judges it, and why not timelines; functions of one's own.
CREATE FUNCTION cents(amount numeric) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT (amount * 100)::bigint';
SELECT cdp.create_segment('opaque', $$(array_agg(cents((properties ->> 'price')::numeric) ORDER BY occurred_at))[1] > 100 AND array_agg(source) @> '{default}'$$);
SELECT part, text, details FROM cdp.explain_segment('opaque') WHERE part NOT IN ('condition', 'rule', 'last refresh');
SELECT details -> 'events' AS events FROM cdp.explain_segment('opaque') WHERE part = 'last refresh';
-- Windows that move with the calendar, sequences, and a funnel.
SELECT cdp.create_segment('shapes', $$
      count(*) FILTER (WHERE event = 'Product Added' AND occurred_at >= date_trunc('month', now())) > 0
  AND cdp.sequence('1 -> 2 within 1 day', occurred_at, event = 'Product Added', event = 'Order Completed')
  AND cdp.funnel('36 hours', occurred_at, event = 'Product Added', event = 'Order Completed') > 1
$$, time_zone => 'Europe/Amsterdam');
SELECT text, details FROM cdp.explain_segment('shapes') WHERE part = 'aggregate';

-- A condition that fails where the rule does not ask it; a rule that cannot run.
SELECT cdp.create_segment('guarded', $$count(*) > 0 AND 60 / count(*) >= 30$$);
SELECT part, text, people, kept FROM cdp.explain_segment('guarded') WHERE part IN ('rule', 'condition', 'warning');
SELECT cdp.create_segment('either', $$traits ->> 'country' = 'a OR b' OR (count(*) > 1 AND count(*) < 3) OR traits ? 'vip'$$);
SELECT condition, holds, needed FROM cdp.why_member('either', cdp.lookup('user_id', 'u9'));
DROP FUNCTION cents(numeric);
SELECT text FROM cdp.explain_segment('opaque') WHERE part = 'rule';

SELECT * FROM cdp.explain_segment('abandonned');
SELECT cdp.drop_segment('abandoned');
SELECT count(*) AS refreshes FROM cdp.segment_costs;

-- What is not a rule of class exact says what is known of it; what is switched off, what it would be.
SELECT cdp.create_list('picked') > 0 AS created;
SELECT cdp.add_members('picked', ARRAY[cdp.lookup('user_id', 'u1'), cdp.lookup('user_id', 'u2')]) AS added;
SELECT * FROM cdp.explain_segment('picked');
SELECT cdp.create_segment('asked', query => 'SELECT profile_id FROM cdp.profiles') > 0 AS created;
SELECT part, number, text, details, people, kept FROM cdp.explain_segment('asked') WHERE part <> 'last refresh';
SELECT text ~ '^[0-9.]+ ms$' AS took_time, details - 'at' AS details FROM cdp.explain_segment('asked') WHERE part = 'last refresh';
SELECT cdp.alter_segment('asked', per => 'event');
SELECT cdp.create_segment('looking', 'EXISTS (SELECT FROM cdp.profiles)') > 0 AS created;
SELECT part, number, text, details, people, kept FROM cdp.explain_segment('looking') WHERE part <> 'last refresh';
SELECT cdp.create_segment('looking_again', $$count(*) FILTER (WHERE event = 'Product Added' AND properties ->> 'colour' = 'red') > 0
  AND cdp.percentile('spent') > 0.5 AND cdp.in_segment('either')$$, per => $$properties ->> 'product_id'$$) > 0 AS created;
SELECT part, number, text, details, people, kept FROM cdp.explain_segment('looking_again') WHERE part <> 'last refresh';
SELECT cdp.disable_segment('guarded'), cdp.disable_segment('looking');
SELECT part, text, people, kept FROM cdp.explain_segment('guarded') WHERE part IN ('state', 'rule', 'condition', 'judged by');
SELECT part, text, people, kept FROM cdp.explain_segment('looking') WHERE part IN ('state', 'rule');
-- A person who is nobody.
SELECT * FROM cdp.why_member('either', cdp.lookup('user_id', 'nobody at all'));
