-- trait_since: since when a trait has had its present value without interruption, over all that was said of it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
CREATE FUNCTION says(who text, plan jsonb, days_ago numeric) RETURNS boolean LANGUAGE sql AS $$
  SELECT cdp.identify(user_id => who, traits => jsonb_build_object('plan', plan), "timestamp" => now() - days_ago * interval '1 day') IS NOT NULL
$$;
SELECT cdp.create_segment('long_pro', $$traits ->> 'plan' = 'pro' AND cdp.trait_since('plan') <= now() - interval '30 days'$$) > 0 AS created;
CREATE VIEW who AS
  SELECT m.segment, string_agg(i.value, ', ' ORDER BY i.value) AS members
  FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' GROUP BY 1;
CREATE VIEW since AS
  SELECT i.value AS who, round(extract(epoch FROM now() - cdp.trait_since('plan', i.profile_id)) / 86400) AS days_ago,
         round(extract(epoch FROM m.entered_at - now()) / 86400) AS enters_in
  FROM cdp.identifiers AS i LEFT JOIN cdp.memberships AS m ON m.profile_id = i.profile_id AND m.left_at > now()
  WHERE i.type = 'user_id';

-- Anna changed her plan 40 days ago, and has said so again since; Bert did so 10 days ago: he enters in 20 days, with nobody awake.
SELECT says('anna', '"free"', 90), says('anna', '"pro"', 40), says('anna', '"pro"', 5);
SELECT says('bert', '"pro"', 50), says('bert', '"free"', 20), says('bert', '"pro"', 10);
SELECT says('cleo', '"free"', 60);
SELECT who, days_ago, greatest(enters_in, 0) AS enters_in FROM since ORDER BY 1;
SELECT * FROM who;

-- It does not matter when a message comes: this one is late, and says that Anna was on another plan in between.
SELECT says('anna', '"free"', 15);
SELECT * FROM since WHERE who = 'anna';
-- And these that Bert came back to it earlier, that it was earlier still, and that all of that was before the 20 days.
SELECT says('bert', '"pro"', 18), says('bert', '"pro"', 19);
SELECT * FROM since WHERE who = 'bert';
SELECT says('bert', '"pro"', 22);
SELECT * FROM since WHERE who = 'bert';
-- An event says nothing of traits, nor does another trait.
SELECT cdp.track('Visited', user_id => 'bert') > 0, cdp.identify(user_id => 'bert', traits => '{"country": "NL"}') > 0;
SELECT * FROM since WHERE who = 'bert';
SELECT * FROM cdp.verify();

-- A merge: what two people said is one story; a split tells them apart again.
SELECT says('dora', '"pro"', 70), cdp.identify(anonymous_id => 'a1', traits => '{"plan": "free"}', "timestamp" => now() - interval '35 days') > 0;
SELECT * FROM since WHERE who = 'dora';
SELECT says('dora', '"pro"', 3), cdp.identify(user_id => 'dora', anonymous_id => 'a1', "timestamp" => now()) > 0;
SELECT * FROM since WHERE who = 'dora';
SELECT * FROM who;
SELECT count(*) > 0 AS split FROM cdp.remove_link('{"user_id": "dora"}', '{"anonymous_id": "a1"}', 'a shared computer');
SELECT who, days_ago FROM since WHERE who = 'dora';
SELECT * FROM who;
SELECT * FROM cdp.verify();

-- It is an instant like any other; null when nothing was ever said. What was removed has had no value since then.
SELECT says('emma', '"pro"', 50), says('emma', 'null', 8), cdp.identify(user_id => 'finn', traits => '{}') > 0;
SELECT cdp.create_segment('never', $$cdp.trait_since('plan') IS NULL$$) > 0,
       cdp.create_segment('lost', $$traits ->> 'plan' IS NULL AND now() - cdp.trait_since('plan') > interval '7 days'$$) > 0,
       cdp.create_segment('changed_this_year', $$cdp.trait_since('plan') >= date_trunc('year', now()) - interval '1 year'$$, time_zone => 'Europe/Amsterdam') > 0,
       cdp.create_segment('came_since', $$count(*) FILTER (WHERE event = 'Visited' AND occurred_at > cdp.trait_since('plan')) > 0$$) > 0,
       cdp.create_segment('not_since', $$max(occurred_at) < cdp.trait_since('plan') + interval '1 month' AND cdp.in_segment('long_pro') IS NOT TRUE$$) > 0;
SELECT * FROM who ORDER BY 1;
SELECT says('cleo', '"pro"', 0), says('finn', '"free"', 1);
SELECT * FROM who ORDER BY 1;
SELECT cdp.refresh_segments();
SELECT * FROM who ORDER BY 1;
SELECT * FROM cdp.verify();

-- As with all traits, today's story counts for the past, and as_known => 'now' has what was said by then.
SELECT count(*) FROM cdp.members('long_pro', now() - interval '50 days', as_known => 'now');
SELECT i.value FROM cdp.members('long_pro', now() - interval '36 days', as_known => 'now') AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id';
SELECT people, because FROM cdp.preview_segment($$cdp.trait_since('plan') < now() - interval '12 days'$$);
SELECT condition, holds, "values" ? 'trait plan since' AS has_since FROM cdp.why_member('long_pro', cdp.lookup('user_id', 'anna')) WHERE condition <> 'until';
SELECT part, number, text, people, kept FROM cdp.explain_segment('long_pro') WHERE part NOT IN ('last refresh', 'freshness');

-- Nobody follows traits that no rule asks about; what is kept of them is made anew when one does.
SELECT cdp.disable_segment(name) FROM cdp.segments WHERE compiled ? 'since' ORDER BY segment_id;
SELECT says('anna', '"free"', 0), says('bert', '"free"', 40), says('gert', '"pro"', 45);
SELECT cdp.enable_segment(name) FROM cdp.segments WHERE compiled ? 'since' ORDER BY segment_id;
SELECT * FROM who ORDER BY 1;
SELECT says('anna', '"free"', 2), says('bert', '"pro"', 41), says('gert', '"pro"', 46), says('gert', '"free"', 47);
TRUNCATE cdp_internal.trait_runs;
SELECT says('anna', '"pro"', 31), says('gert', '"free"', 44);
SELECT * FROM who ORDER BY 1;
SELECT * FROM cdp.verify();

-- What is wrong is shown.
SELECT cdp.create_segment('x', $$cdp.trait_since(traits ->> 'plan') < now()$$);
SELECT cdp.create_segment('x', $$count(*) FILTER (WHERE cdp.trait_since('plan') IS NULL) > 0$$);
SELECT cdp.create_segment('x', $$count(*) > 0$$, per => $$cdp.trait_since('plan')$$);
SELECT cdp.trait_since('plan');
RESET client_min_messages;
