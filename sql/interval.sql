-- interval: rules that look at other rows. They mean what every rule means, and are judged for everybody now and then.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
CREATE SCHEMA crm;
CREATE TABLE crm.tickets (customer text, closed boolean);
INSERT INTO crm.tickets VALUES ('p1', false), ('p3', true), ('p9', false);
SELECT bool_and(cdp.identify(user_id => 'p' || n, traits => jsonb_build_object('total_spend', n / 2 * 10, 'name', 'p' || n)) IS NOT NULL) AS known
FROM generate_series(1, 10) AS n;
SELECT cdp.identify(user_id => 'quiet') IS NOT NULL AS known;
SELECT bool_and(cdp.track('Visited', user_id => 'p' || n) IS NOT NULL) AS known FROM generate_series(1, 9, 2) AS n;
CREATE VIEW who AS SELECT m.segment, i.value AS member, m.key FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id;

-- Rows of any table.
SELECT cdp.create_segment('complaining', $$
  count(*) FILTER (WHERE event = 'Visited') > 0
  AND EXISTS (SELECT FROM crm.tickets AS t WHERE t.customer = traits ->> 'name' AND NOT t.closed)
$$, refresh => '5 minutes') > 0 AS created;
SELECT member FROM who WHERE segment = 'complaining' ORDER BY 1;
UPDATE crm.tickets SET closed = true WHERE customer = 'p9';
INSERT INTO crm.tickets VALUES ('p5', false), ('p2', false);
SELECT cdp.refresh_segment('complaining');
SELECT member FROM who WHERE segment = 'complaining' ORDER BY 1;

-- Where a person stands among everybody, by a numeric trait: ties are broken the same way every time.
SELECT cdp.create_segment('top_spenders', $$cdp.percentile('total_spend') >= 0.8$$, refresh => '1 day') > 0 AS created;
SELECT member FROM who WHERE segment = 'top_spenders' ORDER BY 1;
SELECT cdp.create_segment('podium', $$cdp.rank('total_spend') <= 3 AND coalesce(cdp.percentile( $q$total_spend$q$ ), 0) > 0.1$$) > 0 AS created;
SELECT member FROM who WHERE segment = 'podium' ORDER BY 1;
SELECT traits ->> 'name' AS name, traits -> 'total_spend' AS total_spend, cdp.percentile('total_spend', profile_id), cdp.rank('total_spend', profile_id)
FROM cdp.profiles ORDER BY cdp.rank('total_spend', profile_id);
SELECT cdp.identify(user_id => 'p1', traits => '{"total_spend": 1000}') IS NOT NULL AS known;
SELECT cdp.refresh_segment('podium');
SELECT member FROM who WHERE segment = 'podium' ORDER BY 1;

-- Functions that look at other rows, and a key.
CREATE FUNCTION crm.is_open(name text) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM crm.tickets AS t WHERE t.customer = name AND NOT t.closed)';
SELECT cdp.create_segment('open', $$crm.is_open(traits ->> 'name') AND count(*) > 0$$, per => 'event') > 0 AS created;
SELECT member, key FROM who WHERE segment = 'open' ORDER BY 1;
SELECT name, class, refresh, reasons FROM cdp.segments ORDER BY name;
SELECT condition, holds, "values" - 'refreshed_at' AS "values" FROM cdp.why_member('open', cdp.lookup('user_id', 'p1')) WHERE condition <> 'until';
SELECT * FROM cdp.verify();

-- Before they are saved they say what they would be, and that they are not exact.
SELECT people, memberships, ARRAY(SELECT i.value FROM unnest(sample_people) AS s (id) JOIN cdp.identifiers AS i ON i.identifier_id = s.id) AS sample,
       overlap, class, because, judged_by, warnings, people_read, events_read, milliseconds > 0 AS took_time
FROM cdp.preview_segment($$crm.is_open(traits ->> 'name') AND count(*) > 0$$, per => 'event', overlap_with => '{open,podium}');
SELECT people, memberships, class, because, warnings FROM cdp.preview_segment($$cdp.percentile('total_spend') >= 0.8$$);
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT people, class FROM cdp.preview_segment($$cdp.percentile('total_spend') >= 0.8$$);
COMMIT;
SELECT people, class, warnings FROM cdp.preview_segment($$cdp.rank('total_spedn') < 3 AND cdp.in_segment('open')$$);
SELECT people, class, warnings FROM cdp.preview_segment($$
  count(*) FILTER (WHERE event = 'Visted') > 0 AND bool_and(properties ? 'pge') AND EXISTS (SELECT FROM crm.tickets)$$);
-- What fails, fails for everybody, as it would at a refresh.
SELECT people FROM cdp.preview_segment($$(traits ->> 'name')::integer > 0 AND EXISTS (SELECT FROM crm.tickets)$$);
-- People of an exact rule may say what is bad syntax.
SELECT people, class, warnings FROM cdp.preview_segment($$to_tsquery('english', (traits ->> 'name') || ' ' || (traits ->> 'total_spend')) IS NOT NULL$$);

-- A rule may become exact, and the other way round.
SELECT cdp.alter_segment('open', rule => 'count(*) > 0', background => false) AS version;
SELECT class, refresh FROM cdp.segments WHERE name = 'open';
SELECT count(*) FROM cdp.members('open');
SELECT cdp.alter_segment('open', rule => $$count(*) > 0 AND max(occurred_at) > now() - interval '1 day' AND cdp.rank('total_spend') < 5$$) AS version;
CALL cdp.run();
SELECT class, refresh FROM cdp.segments WHERE name = 'open';
SELECT member, key FROM who WHERE segment = 'open' ORDER BY 1;
SELECT segment, count(*) FILTER (WHERE left_at < 'infinity') AS over, count(*) AS memberships FROM cdp.membership_history WHERE segment = 'open' GROUP BY 1;
SELECT * FROM cdp.verify();

-- Volatile functions are refused here, too; a rank needs a constant trait, and outside of rules a person.
SELECT cdp.create_segment('x', 'count(*) > 0 AND EXISTS (SELECT FROM crm.tickets WHERE random() > 0.5)');
SELECT cdp.create_segment('x', 'count(*) > 0 AND EXISTS (SELECT FROM crm.ticket)');
SELECT cdp.create_segment('x', 'count(*) > 0', per => '(SELECT event)');
SELECT cdp.create_segment('x', $$cdp.percentile('total' || '_spend') > 0.5$$);
SELECT cdp.create_segment('x', $$age(max(occurred_at)) > interval '1 year' AND EXISTS (SELECT)$$);
SELECT cdp.percentile('total_spend');

SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
DROP VIEW who;
DROP EXTENSION cdp CASCADE;
