-- asking: rules that ask about other segments. cdp.in_segment('vip') is true at an instant when the person is in vip then.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SELECT cdp.identify(user_id => n, traits => jsonb_build_object('country', c)) IS NOT NULL AS known
FROM (VALUES ('anna', 'NL'), ('bert', 'NL'), ('cleo', 'BE')) AS p (n, c);
SELECT cdp.track('Order Completed', user_id => n, properties => jsonb_build_object('total', t), "timestamp" => now() - d) IS NOT NULL AS known
FROM (VALUES ('anna', 120, interval '29 days'), ('cleo', 90, '1 day')) AS o (n, t, d);
-- Who is in what, and for how many days still.
CREATE VIEW who AS
  SELECT m.segment, string_agg(i.value || coalesce(' ' || nullif(ceil(extract(epoch FROM nullif(m.until, 'infinity') - now()) / 86400), 0) || 'd', ''), ', ' ORDER BY i.value) AS members
  FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' GROUP BY 1;

SELECT cdp.create_segment('vip', $$
  sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '30 days') >= 80
$$) > 0 AS created;
SELECT cdp.create_segment('dutch_vip', $$cdp.in_segment('vip') AND traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT cdp.create_segment('not_vip', $$NOT cdp.in_segment('vip')$$) > 0 AS created;
SELECT cdp.create_segment('win_back', $$
  cdp.in_segment('not_vip') AND count(*) FILTER (WHERE event = 'Order Completed') > 0
  AND count(*) FILTER (WHERE event = 'Email Sent' AND occurred_at > now() - interval '7 days') = 0
$$) > 0 AS created;

-- Who leaves vip in a day is not_vip and to be won back from that very instant on, whether or not anybody is awake.
SELECT * FROM who ORDER BY 1;
SELECT segment, ceil(extract(epoch FROM m.since - now()) / 86400) AS in_days FROM (VALUES ('not_vip'), ('win_back')) AS s (segment)
CROSS JOIN LATERAL cdp.members(s.segment, now() + interval '2 days') AS m WHERE m.profile_id = cdp.lookup('user_id', 'anna') ORDER BY 1;

-- What happens to a person happens to all of it in one commit.
SELECT cdp.track('Order Completed', user_id => 'bert', properties => '{"total": 200}') IS NOT NULL AS known;
SELECT * FROM who ORDER BY 1;
BEGIN;
SELECT cdp.identify(user_id => 'bert', traits => '{"country": "BE"}') IS NOT NULL AS known;
SELECT * FROM who ORDER BY 1;
ROLLBACK;
SELECT * FROM cdp.verify();

-- A merge and a split, too.
SELECT cdp.track('Order Completed', anonymous_id => 'a1', properties => '{"total": 95}') IS NOT NULL AS known;
SELECT cdp.identify(user_id => 'dora', traits => '{"country": "NL"}') IS NOT NULL AS known;
SELECT segment FROM cdp.segment_members WHERE profile_id = cdp.lookup('user_id', 'dora') ORDER BY 1;
SELECT cdp.identify(user_id => 'dora', anonymous_id => 'a1') IS NOT NULL AS merged;
SELECT segment FROM cdp.segment_members WHERE profile_id = cdp.lookup('user_id', 'dora') ORDER BY 1;
SELECT count(*) AS split FROM cdp.remove_link('{"user_id": "dora"}', '{"anonymous_id": "a1"}', 'a shared computer');
SELECT segment FROM cdp.segment_members WHERE profile_id = cdp.lookup('user_id', 'dora') ORDER BY 1;
SELECT * FROM cdp.verify();

-- In plain SQL say who.
SELECT i.value, cdp.in_segment('vip', i.profile_id) AS vip, cdp.in_segment('win_back', profile_id => i.profile_id) AS win_back
FROM cdp.identifiers AS i WHERE i.type = 'user_id' ORDER BY 1;
SELECT cdp.in_segment('vips', 1);
SELECT cdp.in_segment('vip');

-- It stands wherever a rule can ask something of a person: within CASE, beside the clock, in a rule with a key.
SELECT cdp.create_segment('quiet', $$
  max(occurred_at) < now() - CASE WHEN cdp.in_segment('vip') THEN interval '20 days' ELSE interval '10 days' END
$$) > 0 AS created;
SELECT cdp.create_segment('dear_orders', $$cdp.in_segment('vip') AND sum((properties ->> 'total')::numeric) > 100$$, per => 'event') > 0 AS created;
SELECT * FROM who WHERE segment IN ('quiet', 'dear_orders') ORDER BY 1;
-- Somebody is in when they are in under any key.
SELECT cdp.create_segment('dear', $$cdp.in_segment('dear_orders')$$) > 0 AS created;
SELECT * FROM who WHERE segment = 'dear';

-- Lists: when an entry expires, its person is let in again.
SELECT cdp.create_list('blocked') > 0 AS created;
SELECT cdp.create_segment('mailable', $$cdp.in_segment('dutch_vip') AND NOT cdp.in_segment('blocked')$$) > 0 AS created;
SELECT cdp.add_members('blocked', 'user_id', ARRAY['bert'], expires_at => now() + interval '3 days');
SELECT * FROM who WHERE segment IN ('mailable', 'blocked') ORDER BY 1;
SELECT i.value FROM cdp.members('mailable', now() + interval '4 days') AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id;
SELECT cdp.remove_members('blocked', 'user_id', ARRAY['bert']);
SELECT * FROM who WHERE segment IN ('mailable', 'blocked') ORDER BY 1;
-- Who is nobody yet may be on one.
SELECT cdp.add_members('blocked', 'email', ARRAY['anna@example.com']);
SELECT cdp.identify(user_id => 'anna', traits => '{"email": "anna@example.com"}') IS NOT NULL AS known;
SELECT * FROM who WHERE segment IN ('mailable', 'blocked') ORDER BY 1;

-- What is refreshed now and then: whoever asks about it follows in the commit of the refresh, and is as right as that.
SELECT cdp.create_segment('belgian', query => $$SELECT profile_id FROM cdp.profiles WHERE traits ->> 'country' = 'BE'$$, refresh => '1 day') > 0 AS created;
SELECT cdp.create_segment('belgian_vip', $$cdp.in_segment('belgian') AND cdp.in_segment('vip')$$) > 0 AS created;
SELECT * FROM who WHERE segment LIKE 'belgian%' ORDER BY 1;
SELECT cdp.identify(user_id => 'bert', traits => '{"country": "BE"}') IS NOT NULL AS known;
SELECT * FROM who WHERE segment LIKE 'belgian%' ORDER BY 1;
SELECT cdp.refresh_segment('belgian');
SELECT * FROM who WHERE segment LIKE 'belgian%' ORDER BY 1;
-- A rule that is refreshed itself may ask, too.
SELECT cdp.create_segment('top_vip', $$cdp.in_segment('vip') AND cdp.rank('total') IS NULL AND EXISTS (SELECT FROM cdp.sources)$$, refresh => '1 day') > 0 AS created;
SELECT * FROM who WHERE segment = 'top_vip';
SELECT * FROM cdp.verify();

-- A segment that is disabled has no members, so nobody is in it; one that is being built has those who were judged so far.
SELECT cdp.disable_segment('vip');
SELECT * FROM who ORDER BY 1;
SELECT cdp.enable_segment('vip', background => true);
CALL cdp.run();
SELECT * FROM who ORDER BY 1;
-- Another version changes whoever depends on it in the commit that puts it in force.
SELECT cdp.alter_segment('vip', $$
  sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '30 days') >= 150
$$) AS version;
SELECT * FROM who WHERE segment LIKE '%vip' ORDER BY 1;
CALL cdp.run();
SELECT * FROM who WHERE segment LIKE '%vip' ORDER BY 1;
SELECT cdp.refresh_segments();
SELECT * FROM cdp.verify();
-- By all that is known today.
SELECT s AS segment, string_agg(i.value, ', ' ORDER BY i.value) FROM unnest('{vip,not_vip,win_back,mailable,blocked,belgian_vip}'::text[]) AS s
CROSS JOIN LATERAL cdp.members(s, now(), as_known => 'now') AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id AND i.type = 'user_id' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM cdp.members('not_vip', now() - interval '28 days', as_known => 'now');
SELECT count(*) FROM cdp.members('not_vip', now() - interval '12 hours', as_known => 'now');

-- Why.
SELECT condition, holds, "values", needed FROM cdp.why_member('mailable', cdp.lookup('user_id', 'anna')) WHERE condition <> 'until';
SELECT part, number, text, people, kept FROM cdp.explain_segment('mailable') WHERE part <> 'last refresh';
SELECT details FROM cdp.explain_segment('belgian_vip') WHERE part = 'freshness';
SELECT people, memberships, because FROM cdp.preview_segment($$NOT cdp.in_segment('vip') AND count(*) > 0$$);

SELECT condition FROM cdp.why_member('dutch_vip', cdp.lookup('user_id', 'anna')) WHERE condition ~ 'in_segment';

-- Names are looked up once: who renames a segment rewrites the rules that ask about it.
SELECT cdp.rename_segment('vip', 'gold');
SELECT name, rule FROM cdp.segments WHERE rule ~ 'in_segment' ORDER BY 1;
SELECT condition, needed FROM cdp.why_member('dutch_vip', cdp.lookup('user_id', 'anna')) WHERE condition ~ 'gold';
SELECT string_agg(s.name || ' > ' || o.name, ', ' ORDER BY s.name, o.name) FROM cdp.segment_dependencies AS d
JOIN cdp.segments AS s USING (segment_id) JOIN cdp.segments AS o ON o.segment_id = d.on_segment_id;
SELECT cdp.export_definitions() ~ $$cdp.in_segment\('gold'\)$$ AS exported, cdp.export_definitions() ~ $$in_segment\('vip'\)$$ AS stale;
SELECT DISTINCT action FROM cdp.import_definitions(cdp.export_definitions());

-- Nobody can ask in a circle, nor lose whom they ask about.
SELECT cdp.alter_segment('gold', $$cdp.in_segment('win_back')$$);
SELECT cdp.alter_segment('gold', $$cdp.in_segment('gold')$$);
SELECT * FROM cdp.import_definitions('{"segments": {"gold": {"rule": "NOT cdp.in_segment(''mailable'')"}}}');
SELECT cdp.drop_segment('dear_orders');
-- An import puts in order what it brings.
SELECT * FROM cdp.import_definitions('{"segments": {"a_first": {"rule": "cdp.in_segment(''b_second'')"}, "b_second": {"rule": "cdp.in_segment(''gold'')"}}}') WHERE action = 'created';
SELECT * FROM cdp.import_definitions('{"segments": {"c_first": {"rule": "cdp.in_segment(''d_second'')"}, "d_second": {"rule": "cdp.in_segment(''c_first'')"}}}');
CALL cdp.run();
SELECT * FROM who WHERE segment IN ('gold', 'a_first', 'b_second') ORDER BY 1;
SELECT * FROM cdp.verify();

-- What is wrong is shown.
SELECT cdp.create_segment('x', $$true AND cdp.in_segment('golt')$$);
SELECT cdp.create_segment('x', $$cdp.in_segment(traits ->> 'segment')$$);
SELECT cdp.create_segment('x', $$cdp.in_segment(NULL)$$);
SELECT cdp.create_segment('x', $$count(*) FILTER (WHERE cdp.in_segment('gold')) > 0$$);
SELECT cdp.create_segment('x', $$count(*) > 0$$, per => $$cdp.in_segment('gold')::text$$);
SELECT cdp.create_segment('x', $$EXISTS (SELECT FROM cdp.profiles WHERE cdp.in_segment('gold'))$$);
SELECT cdp.drop_segment('gold', cascade => true);
SELECT name FROM cdp.segments ORDER BY 1;
RESET client_min_messages;
