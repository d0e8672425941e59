-- segments: a rule is a SQL HAVING clause over one person's events and traits.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- Three people. What happened when is told relative to this transaction's now().
CREATE FUNCTION happened(who text, what text, ago interval, props jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
  $$SELECT cdp.track(what, user_id => who, properties => props, "timestamp" => now() - ago)$$;
SELECT cdp.identify(user_id => 'anna', traits => '{"country": "NL", "birthday": "1990-05-17"}') AS anna \gset
SELECT cdp.identify(user_id => 'bob', traits => '{"country": "DE"}') AS bob \gset
SELECT cdp.identify(user_id => 'cleo', traits => '{"country": "NL"}') AS cleo \gset
DO $$ BEGIN
  PERFORM happened('anna', 'Product Added', '2 days', '{"product_id": "p7"}');
  PERFORM happened('anna', 'Product Added', '1 day', '{"product_id": "p8"}');
  PERFORM happened('bob', 'Product Added', '1 day', '{"product_id": "p7"}');
END $$;

-- A cart that was abandoned, for each product: windows, a trait, a key.
SELECT cdp.create_segment('abandoned_cart', $$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND traits->>'country' = 'NL'
$$, per => $$properties->>'product_id'$$) AS segment_id;
SELECT profile_id = :anna AS is_anna, key, since <= now() AS entered, round(extract(epoch FROM until - now()) / 86400) AS days_left
FROM cdp.members('abandoned_cart') ORDER BY key;
SELECT profile_id = :anna AS is_anna, key, traits ->> 'country' AS country FROM cdp_segments.abandoned_cart ORDER BY key;

-- Buying one product ends one membership, in the same commit.
SELECT happened('anna', 'Order Completed', '0', '{"product_id": "p7"}');
SELECT segment, key FROM cdp.segment_members ORDER BY key;
SELECT segment, key, decision_seq IS NULL AS by_time_or_creation, left_at <= now() AS over
FROM cdp.membership_history ORDER BY key, entered_at;

-- The passing of time ends the other: nobody needs to look.
SELECT key FROM cdp.members('abandoned_cart', at => now() + interval '5 days');
SELECT key FROM cdp.members('abandoned_cart', at => now() + interval '7 days');

-- Why? Each condition with its values and the events behind it, then when time alone changes the membership.
SELECT condition, holds, "values", evidence::text ~ '"count": 1' AS has_one_event, key
FROM cdp.why_member('abandoned_cart', :anna) WHERE condition <> 'until';
SELECT holds, key, "values" ? 'until' AS tells_until FROM cdp.why_member('abandoned_cart', :anna) WHERE condition = 'until';

-- People without events are people: count(*) = 0 holds for them, and so may rules about traits alone.
SELECT cdp.create_segment('silent', 'count(*) = 0') > 0 AS created;
SELECT profile_id = :cleo AS is_cleo FROM cdp.members('silent');
SELECT cdp.create_segment('adult', $$(traits->>'birthday')::date + interval '18 years' <= now()$$) > 0 AS created;
SELECT profile_id = :anna AS is_anna, until FROM cdp.members('adult');

-- Who will enter: lapsed in a month from now, if nothing new happens.
SELECT cdp.create_segment('lapsed', $$max(occurred_at) < now() - interval '1 month'$$, time_zone => 'Europe/Amsterdam') > 0 AS created;
SELECT count(*) FROM cdp.members('lapsed');
SELECT count(*) FROM cdp.members('lapsed', at => now() + interval '2 months');
SELECT happened('bob', 'Page Read', '0');
SELECT count(*) FROM cdp.members('lapsed', at => now() + interval '27 days');

-- Calendar windows follow the segment's time zone.
SELECT cdp.create_segment('this_month', $$bool_or(occurred_at >= date_trunc('month', now()))$$, time_zone => 'Asia/Kolkata') > 0 AS created;
SELECT every(until AT TIME ZONE 'Asia/Kolkata' = date_trunc('month', since AT TIME ZONE 'Asia/Kolkata') + interval '1 month') AS until_the_end_of_the_month_there
FROM cdp.members('this_month');

-- Everything in a rule can use any aggregate and any immutable function.
CREATE FUNCTION cents(amount numeric) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT (amount * 100)::bigint';
SELECT cdp.create_segment('spender', $$sum(cents((properties->>'revenue')::numeric)) FILTER (WHERE event = 'Order Completed') >= 10000
  AND array_agg(DISTINCT source) @> '{default}'$$) > 0 AS created;
SELECT happened('cleo', 'Order Completed', '0', '{"revenue": 99.99}');
SELECT count(*) FROM cdp.members('spender');
SELECT * FROM cdp.members(NULL);
SELECT * FROM cdp.members('spender', at => NULL);
SELECT * FROM cdp.members('spender', as_known => NULL);
SELECT * FROM cdp.why_member(NULL, 1);
SELECT happened('cleo', 'Order Completed', '0', '{"revenue": 0.01}');
SELECT profile_id = :cleo AS is_cleo, until FROM cdp.members('spender');

-- An error in one person's data leaves that person's membership as it was, and does not stop the message.
SELECT happened('cleo', 'Order Completed', '0', '{"revenue": "a lot"}');
SELECT count(*) FROM cdp.members('spender');
SELECT s.name, e.profile_id = :cleo AS is_cleo, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id);
SELECT * FROM cdp.why_member('spender', :cleo);
-- A function that is gone breaks the rule for all; refresh_segment judges everybody anew once it is back.
DROP FUNCTION cents(numeric);
SELECT happened('anna', 'Order Completed', '0', '{"revenue": 500}');
SELECT e.sqlstate, e.message FROM cdp.segment_errors AS e WHERE profile_id IS NULL;
CREATE FUNCTION cents(amount numeric) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT (amount * 100)::bigint';
SELECT cdp.refresh_segment('spender');
SELECT CASE profile_id WHEN :anna THEN 'anna' WHEN :cleo THEN 'cleo' END AS spender FROM cdp.members('spender') ORDER BY 1;

-- What cannot be a rule is refused, with the place.
SELECT cdp.create_segment('x', 'count(*) > ');
SELECT cdp.create_segment('x', 'count(*) > 0) OR (true');
SELECT cdp.create_segment('x', 'count(*) > 0; DROP TABLE cdp.segments');
SELECT cdp.create_segment('x', 'count(*) > 0 ORDER BY 1');
SELECT cdp.create_segment('x', 'count(*) > 0, true');
SELECT cdp.create_segment('x', 'count(*) > 0 AS x');
SELECT cdp.create_segment('x', '');
SELECT cdp.create_segment('x', 'count(*)');
SELECT cdp.create_segment('x', $$event = 'Product Added'$$);
SELECT cdp.create_segment('x', 'count(*) FILTER (WHERE evnt = ''é'') > 0');
SELECT cdp.create_segment('x', 'public_id IS NOT NULL');
SELECT cdp.create_segment('x', 'count(*) > (SELECT random())');
SELECT cdp.create_segment('x', 'count(*) > random()');
SELECT cdp.create_segment('x', 'max(occurred_at) > clock_timestamp()');
SELECT cdp.create_segment('x', $$max(occurred_at) > 'yesterday'$$);
SELECT cdp.create_segment('x', $$max(occurred_at) > date 'today' - 7$$);
SELECT cdp.create_segment('x', $$max(occurred_at) > 'now'::text::timestamptz$$);
SELECT cdp.create_segment('x', 'count(*) FILTER (WHERE source = CURRENT_USER) > 0');
SELECT cdp.create_segment('x', $$age(max(occurred_at)) > interval '1 year'$$);
SELECT cdp.create_segment('x', $$extract(dow FROM now()) = 1 AND count(*) > 0$$);
SELECT cdp.create_segment('x', $$date_trunc('month', now()) = now()$$);
SELECT cdp.create_segment('x', 'count(*) > 0', per => 'properties');
SELECT cdp.create_segment('x', 'count(*) > 0', per => 'occurred_at > now()');
SELECT cdp.create_segment('x', 'count(*) > 0', per => 'event, source');
SELECT cdp.create_segment('x', 'count(*) > 0', time_zone => 'Mars/Olympus');
SELECT cdp.create_segment('X', 'count(*) > 0');
SELECT cdp.create_segment('all_segments', 'count(*) > 0');
SELECT cdp.create_segment('silent', 'count(*) > 0');
SELECT * FROM cdp.members('abandoned_carts');
SELECT * FROM cdp.why_member('silent', 0);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT cdp.create_segment('x', 'count(*) > 0');
ROLLBACK;

-- The view goes with the segment.
SELECT cdp.drop_segment('silent');
SELECT to_regclass('cdp_segments.silent') IS NULL AS view_is_gone;
SELECT cdp.drop_segment('silnt');

-- A message that comes late corrects the past as it is known now, and leaves alone what was known then.
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$) > 0 AS created;
SELECT happened('cleo', 'Order Completed', '3 days');
SELECT count(*) FROM cdp.members('buyers', at => now() - interval '1 day');
SELECT profile_id = :cleo AS is_cleo FROM cdp.members('buyers', at => now() - interval '1 day', as_known => 'now');
SELECT count(*) FROM cdp.members('buyers', at => now() - interval '4 days', as_known => 'now');
SELECT cdp.drop_segment('buyers');
SELECT * FROM cdp.members('abandoned_cart', as_known => 'soon');
DROP FUNCTION happened, cents;
