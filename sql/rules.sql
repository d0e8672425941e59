-- rules: all that a rule can say, a line a rule. The lines are those of docs/segments.md.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- Anna buys, Bob looks, Cleo came back after a long time, Dirk is unknown but for his name.
SELECT cdp.identify(user_id => who, traits => traits || jsonb_build_object('name', who)) FROM (VALUES
  ('Anna', '{"country": "NL", "age": 27, "email": "Anna@Example.org", "vip": true, "tags": ["sale", "news"], "address": {"city": "Utrecht"}, "birthday": "1999-05-17"}'::jsonb),
  ('Bob', jsonb_build_object('country', 'BE', 'age', 15, 'email', 'bob@shop.be', 'tags', '{sale}'::text[], 'birthday', (now() - interval '15 years')::date, 'trial_ends', (now() + interval '2 days')::date)),
  ('Cleo', '{"country": "DE", "age": 61, "email": "cleo@example.com", "vip": false, "birthday": "1965-11-02"}'), ('Dirk', '{}')) AS v (who, traits);
CREATE TABLE happened (who text, what text, ago interval, props jsonb DEFAULT '{}');
INSERT INTO happened VALUES
  ('Anna', 'Signed Up', '100 days', '{}'), ('Anna', 'Product Viewed', '50 days', '{"product_id": "p1", "category": "shoes", "price": 80}'),
  ('Anna', 'Product Viewed', '5 days', '{"product_id": "p2", "category": "shoes", "price": 90}'), ('Anna', 'Product Viewed', '5 days', '{"product_id": "p3", "category": "hats", "price": 20}'),
  ('Anna', 'Product Added', '49 days 2 hours', '{"product_id": "p1"}'), ('Anna', 'Checkout Started', '49 days 1 hour', '{}'),
  ('Anna', 'Order Completed', '49 days', '{"product_id": "p1", "total": 80, "category": "shoes", "products": [{"product_id": "p1"}, {"product_id": "p4"}]}'),
  ('Anna', 'Order Completed', '3 days', '{"product_id": "p3", "total": 20, "category": "hats", "coupon": "SPRING"}'), ('Anna', 'Product Viewed', '0', '{"product_id": "p2", "category": "shoes", "price": 90}'),
  ('Bob', 'Product Viewed', '2 days', '{"product_id": "p1", "category": "hats", "price": 15}'), ('Bob', 'Product Added', '1 day 1 hour', '{"product_id": "p1"}'), ('Bob', 'Product Removed', '1 day', '{"product_id": "p1"}'),
  ('Cleo', 'Signed Up', '500 days', '{}'), ('Cleo', 'Order Completed', '400 days', '{"product_id": "p9", "total": 250, "category": "coats"}'), ('Cleo', 'Email Opened', '60 days', '{"campaign": "winter"}'),
  ('Cleo', 'Order Completed', '1 day', '{"product_id": "p9", "total": 10, "category": "coats"}');
-- A Saturday, and a Tuesday.
INSERT INTO happened VALUES ('Anna', 'Store Visited', now() - '2024-06-01 12:00+00'), ('Bob', 'Store Visited', now() - '2024-06-04 12:00+00'), ('Anna', 'Email Opened', '40 days');
INSERT INTO happened SELECT 'Cleo', 'Email Opened', n * interval '1 week', '{"campaign": "weekly"}' FROM generate_series(0, 5) AS n;
SELECT count(cdp.track(what, user_id => who, "timestamp" => now() - ago, properties => props)) AS events FROM happened;
SELECT cdp.page('Sale', user_id => 'Bob', context => '{"page": {"url": "https://shop.example/sale"}}', "timestamp" => now() - interval '2 days') > 0 AS page;

-- Each line is a rule; what comes after -- is none of it.
CREATE FUNCTION say(rules text) RETURNS TABLE (rule text, who text) LANGUAGE plpgsql AS $$
DECLARE
  line text;
  name text;
BEGIN
  FOREACH line IN ARRAY string_to_array(rules, E'\n') LOOP
    line := trim(regexp_replace(line, ' -- .*', ''));
    CONTINUE WHEN line = '';
    name := 'rule_' || (SELECT count(*) + 1 FROM cdp.segments);
    PERFORM cdp.create_segment(name, line);
    RETURN QUERY SELECT line, (SELECT string_agg(p.traits ->> 'name', ', ' ORDER BY p.profile_id) FROM cdp.members(name) JOIN cdp.profiles AS p USING (profile_id));
  END LOOP;
END $$;

-- Who they are.
SELECT * FROM say($rules$
traits ->> 'country' = 'NL'                                       -- is
traits ->> 'country' IN ('NL', 'BE')                              -- is one of
traits ->> 'country' IS DISTINCT FROM 'NL'                        -- is not, or is unknown
traits ->> 'country' IS NULL                                      -- is unknown
traits ->> 'name' ILIKE 'an%'                                     -- begins with
traits ->> 'email' ~* '@example\.(com|org)$'                      -- is like a regular expression
(traits ->> 'age')::integer BETWEEN 18 AND 29                     -- a number
(traits ->> 'vip')::boolean                                       -- yes or no
traits -> 'tags' ? 'sale'                                         -- a list has
traits -> 'tags' ?& ARRAY['sale', 'news']                         -- has all of; ?| any of
jsonb_array_length(traits -> 'tags') >= 2                         -- has so many
traits #>> '{address, city}' = 'Utrecht'                          -- within another value
(traits ->> 'birthday')::date < '1990-01-01'                      -- a date
extract(month FROM (traits ->> 'birthday')::date) = 5             -- a part of a date
(traits ->> 'birthday')::date + interval '18 years' <= now()      -- of age, to the day
(traits ->> 'trial_ends')::date - CURRENT_DATE BETWEEN 0 AND 3    -- in the next three days
traits ->> 'country' = 'NL' AND NOT coalesce((traits ->> 'vip')::boolean, false) OR (traits ->> 'age')::integer > 60
$rules$);
-- What they did.
SELECT * FROM say($rules$
count(*) FILTER (WHERE event = 'Order Completed') >= 2                                                      -- how often
count(*) FILTER (WHERE event = 'Order Completed') = 0                                                       -- never
count(*) FILTER (WHERE event = 'Order Completed' AND (properties ->> 'total')::numeric >= 50) > 0           -- with a property
count(*) FILTER (WHERE event IN ('Product Viewed', 'Product Added') AND properties ->> 'product_id' = 'p1') > 0
count(*) FILTER (WHERE event = 'Order Completed' AND properties @> '{"products": [{"product_id": "p4"}]}') > 0  -- in a list
count(*) FILTER (WHERE type = 'page' AND context #>> '{page, url}' LIKE '%/sale%') > 0                      -- of the context
sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed') >= 100                      -- how much
avg((properties ->> 'price')::numeric) FILTER (WHERE event = 'Product Viewed') < 50                         -- on average
max((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed') >= 200                      -- the largest
count(DISTINCT properties ->> 'product_id') FILTER (WHERE event = 'Product Viewed') >= 3                    -- how many different
cdp.first(properties ->> 'category', occurred_at, event_id) FILTER (WHERE event = 'Order Completed') = 'shoes'  -- the first
cdp.last(properties ->> 'category', occurred_at, event_id) FILTER (WHERE event = 'Order Completed') = 'hats'    -- the last
cdp.most_frequent(properties ->> 'category') FILTER (WHERE event = 'Product Viewed') = 'shoes'              -- the favourite
avg(CASE WHEN properties ? 'coupon' THEN 1 ELSE 0 END) FILTER (WHERE event = 'Order Completed') >= 0.5     -- a share
bool_or(event = 'Store Visited' AND extract(isodow FROM occurred_at AT TIME ZONE 'Europe/Amsterdam') > 5)   -- at weekends
$rules$);
-- When.
SELECT * FROM say($rules$
count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') > 0           -- the last 7 days
count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at BETWEEN now() - interval '90 days' AND now() - interval '30 days') > 0  -- 30 to 90 days ago
count(*) FILTER (WHERE event = 'Email Opened' AND occurred_at >= date_trunc('month', now())) > 0            -- this month
count(*) FILTER (WHERE event = 'Email Opened' AND occurred_at >= date_trunc('week', now(), 'Europe/Amsterdam')) > 0  -- since Monday, there
count(*) FILTER (WHERE event = 'Signed Up' AND occurred_at >= date_trunc('month', now()) - interval '12 months' AND occurred_at < date_trunc('month', now())) > 0
count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at < '2100-01-01') > 0                        -- before a date
count(*) FILTER (WHERE event = 'Order Completed') > 0                                                       -- ever
max(occurred_at) FILTER (WHERE event = 'Product Viewed') < now() - interval '1 day'                         -- the last is older
min(occurred_at) FILTER (WHERE event = 'Signed Up') > now() - interval '1 year'                             -- the first is newer
$rules$);
-- In which order.
SELECT * FROM say($rules$
cdp.sequence('1 -> 2', occurred_at, event = 'Product Added', event = 'Order Completed')
cdp.sequence('1 -> 2 within 24 hours', occurred_at, event = 'Product Added', event = 'Order Completed')                 -- at most so long after
cdp.sequence('1 -> 1 after 180 days', occurred_at, event = 'Order Completed')                                           -- at least so long after
cdp.sequence('1 -> not 3 -> 2', occurred_at, event = 'Product Viewed', event = 'Order Completed', event = 'Product Added')  -- nothing of that kind between
cdp.sequence('1 -> not 2', occurred_at, event = 'Product Added', event = 'Order Completed')                             -- nothing of that kind since
cdp.sequence('1 -> 2 -> 3; all within 2 days', occurred_at, event = 'Product Added', event = 'Checkout Started', event = 'Order Completed')
cdp.sequence_by('1 -> 2', occurred_at, properties ->> 'product_id', event = 'Product Viewed', event = 'Order Completed')  -- of one product
cdp.sequence_count('1 -> 2', occurred_at, event = 'Product Viewed', event = 'Order Completed') >= 2                     -- how often
cdp.last_sequence('1 -> 2', occurred_at, event = 'Product Viewed', event = 'Order Completed') > now() - interval '7 days'  -- when last
cdp.funnel('3 days', occurred_at, event = 'Product Added', event = 'Checkout Started', event = 'Order Completed') = 1   -- so far, and no further
$rules$);
-- In which part of their life as a customer.
SELECT * FROM say($rules$
min(occurred_at) FILTER (WHERE event = 'Product Added') > now() - interval '7 days'                                     -- for the first time
count(DISTINCT date_trunc('week', occurred_at)) FILTER (WHERE event = 'Email Opened' AND occurred_at >= date_trunc('week', now()) - interval '7 weeks') >= 5  -- in 5 of 8 weeks
max(occurred_at) FILTER (WHERE event = 'Product Added') < now() - interval '30 days'                                    -- stopped
min(occurred_at) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '30 days') - max(occurred_at) FILTER (WHERE event = 'Order Completed' AND occurred_at <= now() - interval '30 days') > interval '180 days'  -- began again
cdp.longest_gap(occurred_at) FILTER (WHERE event = 'Order Completed') > interval '1 year'                               -- was once away
$rules$);
-- Since when they are what they are.
SELECT * FROM say($rules$
traits ->> 'country' = 'NL' AND cdp.trait_since('country') > now() - interval '30 days'  -- has been for less than that
now() - cdp.trait_since('vip') >= interval '0 days'               -- a span
cdp.trait_since('country') IS NULL                                -- was never set
count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at < cdp.trait_since('country')) >= 2  -- what they did before
$rules$);
-- Of other segments.
SELECT cdp.create_segment('customers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$) > 0 AS created;
SELECT cdp.create_list('blocked') > 0 AS created;
SELECT cdp.add_members('blocked', 'user_id', ARRAY['Cleo']);
SELECT * FROM say($rules$
cdp.in_segment('customers') AND NOT cdp.in_segment('blocked')     -- in one, not in the other
max(occurred_at) < now() - CASE WHEN cdp.in_segment('customers') THEN interval '2 days' ELSE interval '1 day' END  -- quiet, by what they are
$rules$);
-- By chance.
SELECT * FROM say($rules$
cdp.bucket(profile_id, 'spring sale', 2) = 0                      -- one half
cdp.bucket(profile_id, 'spring sale', 2) = 1                      -- the other
cdp.bucket(profile_id, 'holdout 2026') >= 10                      -- all but a tenth that is held out
$rules$);
-- All of them are exact, no rule fails, and the same people are found by other code.
SELECT count(*) AS rules, bool_and(class = 'exact') AS exact FROM cdp.segments WHERE kind = 'rule';
SELECT count(*) AS errors FROM cdp.segment_errors;
SELECT count(*) AS wrong FROM cdp.verify();
SELECT rule AS not_by_the_fast_engine FROM cdp.segments WHERE kind = 'rule' AND NOT compiled ? 'decomposition' ORDER BY segment_id;
DROP FUNCTION say;
DROP TABLE happened;
