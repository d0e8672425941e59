-- integers: rules whose answer follows from a few integers are worked out without PostgreSQL. They say what PostgreSQL says, errors included.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET timezone = 'UTC';
SELECT count(cdp.track(e, user_id => u, properties => p::jsonb, "timestamp" => now() - a)) AS events
FROM (VALUES ('anna', 'Added', '{"gift": true}', interval '30 days'), ('anna', 'Added', '{}', '2 days'), ('anna', 'Bought', '{}', '1 day'), ('anna', 'Added', '{"gift": false}', '1 hour'),
             ('bert', 'Added', '{"gift": false}', '20 days'), ('bert', 'Bought', '{}', '19 days 12 hours'),
             ('cleo', 'Bought', '{}', '3 days'), ('cleo', 'Bought', '{}', '2 days')) AS v (u, e, p, a);
SELECT cdp.identify(user_id => 'dora') IS NOT NULL AS known; -- has done nothing
CREATE TABLE rules (name text, rule text);
INSERT INTO rules VALUES
  ('add', $$count(*) FILTER (WHERE event = 'Added') + count(*) FILTER (WHERE event = 'Bought') = 4$$),
  ('both', $$count(*) FILTER (WHERE event = 'Added') > 0 AND count(*) FILTER (WHERE event = 'Bought') <> 0$$),
  ('either', $$count(*) FILTER (WHERE event = 'Added' AND occurred_at >= now() - interval '7 days') >= 2 OR count(*) FILTER (WHERE event = 'Bought') > 1$$),
  ('funnel', $$cdp.funnel('1 day', occurred_at, event = 'Added', event = 'Bought') = 2$$),
  ('funnel_less', $$cdp.funnel('1 day', occurred_at, event = 'Added', event = 'Bought') <= 1$$),
  ('huge', $$count(*) FILTER (WHERE event = 'Bought') * 9223372036854775807 > 0$$),
  ('least', $$count(*) FILTER (WHERE event = 'Bought') - 9223372036854775807 - 1 < 0$$),
  ('not_either', $$NOT (count(*) FILTER (WHERE event = 'Added') >= 3 OR 1 < count(*) FILTER (WHERE event = 'Bought'))$$),
  ('null_and', $$bool_and((properties ->> 'gift')::boolean) AND count(*) > 0$$),
  ('null_in', $$(NOT bool_or((properties ->> 'gift')::boolean) AND count(*) > 100) IS NULL$$),
  ('null_or', $$bool_or((properties ->> 'gift')::boolean) OR count(*) FILTER (WHERE event = 'Bought') = 2$$),
  ('null_not', $$NOT bool_or((properties ->> 'gift')::boolean)$$),
  ('sequence', $$cdp.sequence('1 -> 2', occurred_at, event = 'Added', event = 'Bought') AND NOT count(*) FILTER (WHERE event = 'Added') > 2$$),
  ('share', $$count(*) FILTER (WHERE event = 'Bought') * 10 >= count(*) * 4 AND 1 - count(*) < 0$$),
  ('spared', $$count(*) FILTER (WHERE event = 'Bought') < 2 OR count(*) FILTER (WHERE event = 'Bought') * 9223372036854775807 > 0$$);
SELECT count(cdp.create_segment(name, rule)) AS created FROM rules;
CREATE VIEW who AS
  SELECT m.segment, string_agg(i.value, ', ' ORDER BY i.value) AS members
  FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' GROUP BY 1;
CREATE VIEW failing AS
  SELECT s.name, e.message, string_agg(i.value, ', ' ORDER BY i.value) AS people FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id)
  JOIN cdp.identifiers AS i ON i.identifier_id = e.profile_id AND i.type = 'user_id' GROUP BY 1, 2;
SELECT * FROM who ORDER BY 1;
SELECT * FROM failing ORDER BY 1;
SELECT * FROM cdp.verify();

-- The same when messages come.
SELECT count(cdp.track(e, user_id => u, properties => p::jsonb)) AS events
FROM (VALUES ('anna', 'Bought', '{}'), ('bert', 'Added', '{"gift": true}'), ('cleo', 'Added', '{}'), ('dora', 'Bought', '{"gift": true}')) AS v (u, e, p);
SELECT * FROM who ORDER BY 1;
SELECT * FROM failing ORDER BY 1;
SELECT * FROM cdp.verify();
-- Ahead, too: what stands for the future is what the oracle says then.
SELECT m.segment, i.value AS member, date_trunc('hour', m.until - now()) AS left_in
FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' WHERE m.until < 'infinity' ORDER BY 1, 2;
SELECT r.name, (SELECT count(*) FROM ((SELECT o.profile_id FROM cdp.members(r.name, now() + interval '8 days') AS o EXCEPT SELECT n.profile_id FROM cdp.members(r.name, now() + interval '8 days', 'now') AS n)
                UNION ALL (SELECT n.profile_id FROM cdp.members(r.name, now() + interval '8 days', 'now') AS n EXCEPT SELECT o.profile_id FROM cdp.members(r.name, now() + interval '8 days') AS o)) AS d) AS differences
FROM rules AS r WHERE r.name NOT IN ('huge', 'spared') ORDER BY 1;
