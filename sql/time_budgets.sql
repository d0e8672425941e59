-- time_budgets: rules, computed traits, aggregates and profile views that never end hold up nobody.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
DROP SCHEMA IF EXISTS slow CASCADE;
CREATE EXTENSION cdp;
SET timezone = 'UTC';
CREATE SCHEMA slow;
-- Never ends for what is called endless.
CREATE FUNCTION slow.good(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  LOOP
    EXIT WHEN $1 IS DISTINCT FROM 'endless';
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN $1 = 'good';
END $$;
CREATE VIEW members AS
  SELECT m.segment, i.value AS who FROM cdp.segment_members AS m JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id' ORDER BY 1, 2;
CREATE VIEW errors AS
  SELECT s.name, i.value AS who, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id)
  LEFT JOIN cdp.identifiers AS i ON i.profile_id = e.profile_id AND i.type = 'user_id' ORDER BY 1, 2;

SELECT cdp.create_segment('good_traits', $$slow.good(traits ->> 'name')$$) > 0 AS created;
SELECT cdp.create_segment('good_events', $$count(*) FILTER (WHERE slow.good(properties ->> 'name')) > 0$$) > 0 AS created;
SELECT cdp.create_segment('plain', $$traits ? 'name'$$) > 0 AS created;
SELECT cdp.create_computed_trait('is_good', $$bool_or(slow.good(properties ->> 'name'))$$) > 0 AS created;
-- A regular expression that PostgreSQL tries in more ways than there is time for.
SELECT cdp.create_segment('matching', $$traits ->> 'text' ~ '^(a*)(a*)(a*)(a*)\1\2\3\4$'$$) > 0 AS created;

-- The messages are taken, the others are judged, and who is not says why.
SET cdp.expression_timeout = '300ms';
SELECT * FROM cdp.ingest($$[{"type": "identify", "messageId": "1", "userId": "anna", "traits": {"name": "good"}},
  {"type": "identify", "messageId": "2", "userId": "bert", "traits": {"name": "endless"}},
  {"type": "identify", "messageId": "3", "userId": "cleo", "traits": {"name": "good", "text": "aab"}},
  {"type": "track", "messageId": "4", "userId": "anna", "event": "Seen", "properties": {"name": "good"}},
  {"type": "track", "messageId": "5", "userId": "dirk", "event": "Seen", "properties": {"name": "endless"}}]$$);
TABLE members;
TABLE errors;
SELECT status, value FROM cdp.health() WHERE check_name = 'segments';
SELECT i.value AS who, v.value FROM cdp.computed_trait_values AS v JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id' ORDER BY 1;

SELECT cdp.identify(user_id => 'cleo', traits => jsonb_build_object('text', repeat('a', 201))) IS NOT NULL AS known;
SELECT who, sqlstate FROM errors WHERE name = 'matching';

-- When it comes to an end for them, all is well.
SELECT cdp.identify(user_id => 'cleo', traits => '{"text": "c"}') IS NOT NULL AS known;
SELECT cdp.identify(user_id => 'bert', traits => '{"name": "good"}') IS NOT NULL AS known;
TABLE members;
SELECT name, who FROM errors;

-- What never ends for several people is no matter of the people: the segment stays as it was.
SELECT count(cdp.identify(user_id => 'e' || n, traits => '{"name": "bad"}')) AS people FROM generate_series(1, 300) AS n;
UPDATE cdp.profiles SET traits = '{"name": "endless"}' WHERE traits = '{"name": "bad"}'; -- behind cdp's back
SELECT cdp.refresh_segment('good_traits');
SELECT cdp.create_segment('never', $$slow.good(traits ->> 'name') AND true$$);
SELECT cdp.refresh_segments();
SELECT name, who, message FROM errors WHERE name = 'good_traits';
SELECT count(*) FROM members WHERE segment = 'good_traits';
UPDATE cdp.profiles SET traits = '{"name": "bad"}' WHERE traits = '{"name": "endless"}';
SELECT cdp.refresh_segment('good_traits');
SELECT name, who FROM errors WHERE name = 'good_traits';

-- An aggregate that decides about traits: the next strategy does.
CREATE FUNCTION slow.take(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN slow.good($2) THEN $2 ELSE $1 END $$;
CREATE AGGREGATE slow.last_good(text) (SFUNC = slow.take, STYPE = text);
SELECT cdp.set_survivorship('nick', 'aggregate:slow.last_good');
SELECT cdp.set_survivorship('nick', 'latest', fallback => true);
SELECT cdp.apply_survivorship() > 0 AS applied;
CALL cdp.run();
SELECT cdp.identify(user_id => 'fred', traits => '{"nick": "endless"}') AS fred \gset
SELECT traits FROM cdp.profiles WHERE profile_id = :fred;
SELECT trait, message FROM cdp.survivorship_errors;

-- Accounts.
SELECT cdp."group"(g, user_id => w) IS NOT NULL AS known FROM (VALUES ('acme', 'anna'), ('globex', 'bert')) AS m (g, w);
UPDATE cdp.profiles SET traits = '{"name": "endless"}' WHERE profile_id = cdp.lookup('user_id', 'bert');
SELECT cdp.create_account_trait('all_good', $$bool_and(slow.good(traits ->> 'name'))$$) > 0 AS created;
SELECT group_id, value FROM cdp.account_trait_values;
SELECT group_id, sqlstate, message FROM cdp.account_errors;
SELECT cdp.drop_account_trait('all_good');
UPDATE cdp.profiles SET traits = '{"name": "bad"}' WHERE traits = '{"name": "endless"}';

-- Profile views on schedule have a longer time, and then give up; readers keep what they had.
SELECT cdp.create_profile_view('names', '["trait name"]', materialized => true, refresh => '1 second') AS made;
SELECT count(*) AS people FROM cdp_views.names \gset
CREATE INDEX ON cdp_views.names (slow.good(name)) WHERE name IS NOT NULL;
SELECT cdp.identify(user_id => 'gina', traits => '{"name": "good"}') IS NOT NULL AS known;
UPDATE cdp.profiles SET traits = '{"name": "endless"}' WHERE profile_id = cdp.lookup('user_id', 'bert');
SET cdp.refresh_timeout = '500ms';
UPDATE cdp_internal.profile_view_refreshes SET tried_at = '-infinity';
CALL cdp.run();
SELECT name, error FROM cdp.profile_views;
SELECT count(*) = :people AS as_before FROM cdp_views.names;
SELECT status, value LIKE '%out of its time%' AS says_so FROM cdp.health() WHERE check_name = 'profile views';
RESET cdp.refresh_timeout;
UPDATE cdp.profiles SET traits = '{"name": "bad"}' WHERE traits = '{"name": "endless"}';
UPDATE cdp_internal.profile_view_refreshes SET tried_at = '-infinity';
CALL cdp.run();
SELECT name, error FROM cdp.profile_views;

-- So has a segment that is read as a whole.
SELECT cdp.create_segment('asking', query => $$SELECT profile_id FROM cdp.profiles WHERE slow.good(traits ->> 'name')$$) > 0 AS created;
SELECT count(*) AS people FROM members WHERE segment = 'asking' \gset
UPDATE cdp.profiles SET traits = '{"name": "endless"}' WHERE profile_id = cdp.lookup('user_id', 'bert');
SET cdp.refresh_timeout = '500ms';
UPDATE cdp.segment_refreshes SET tried_at = '-infinity';
CALL cdp.run();
SELECT name, sqlstate, message FROM errors WHERE name = 'asking';
SELECT count(*) = :people AS as_before FROM members WHERE segment = 'asking';

UPDATE cdp.profiles SET traits = '{"name": "bad"}' WHERE traits = '{"name": "endless"}';
SELECT cdp.drop_segment(name) FROM cdp.segments WHERE kind <> 'trait' AND name <> 'plain';
SELECT cdp.drop_computed_trait('is_good');

-- What catches the cancel and makes an error of its own of it ran out of time all the same.
CREATE FUNCTION slow.stubborn(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN slow.good($1);
EXCEPTION WHEN query_canceled THEN
  RAISE EXCEPTION 'not in the mood';
END $$;
SELECT cdp.create_segment('stubborn', $$slow.stubborn(traits ->> 'name')$$) > 0 AS created;
SELECT cdp.identify(user_id => 'hans', traits => '{"name": "endless"}') IS NOT NULL AS known;
SELECT name, who, sqlstate FROM errors;
SELECT cdp.drop_segment('stubborn');

-- A statement's own time is over while a rule does not listen: that is not lost because the rule's time was over before.
SELECT cdp.create_segment('deaf', (SELECT string_agg($$(traits ->> 'n')::numeric * (traits ->> 'n')::numeric > 0$$, ' AND ') FROM generate_series(1, 40))) > 0 AS created;
SET cdp.expression_timeout = '20ms';
SET statement_timeout = '150ms';
SELECT cdp.identify(user_id => 'ida', traits => jsonb_build_object('n', repeat('7', 60000))) IS NOT NULL AS known;
RESET statement_timeout;
RESET cdp.expression_timeout;
SELECT cdp.drop_segment('deaf');

-- A cancel that comes while expressions are made ready leaves none of them half made.
CREATE FUNCTION slow.pause() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  PERFORM pg_sleep(current_setting('slow.pause')::float);
  RETURN true;
END $$;
SET slow.pause = 0;
SELECT cdp.create_segment('pausing', $$count(*) FILTER (WHERE slow.pause() AND properties ->> 'name' = 'good') > 0$$) > 0 AS created;
\c
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET slow.pause = 10;
SET statement_timeout = '200ms';
SELECT cdp.track('Seen', user_id => 'jan', properties => '{"name": "bad"}') IS NOT NULL AS known;
SET slow.pause = 0;
RESET statement_timeout;
SELECT cdp.track('Seen', user_id => 'jan', properties => '{"name": "bad"}') IS NOT NULL AS known;
SELECT cdp.track('Seen', user_id => 'kim', properties => '{"name": "good"}') IS NOT NULL AS known;
SELECT * FROM members WHERE segment = 'pausing' AND who IN ('jan', 'kim');
SELECT name, who FROM errors WHERE name = 'pausing';

DROP EXTENSION cdp CASCADE;
DROP SCHEMA slow CASCADE;
