-- What a hostile or careless rule, sender or session must not do.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE SCHEMA regress_evil;

-- What a rule sets does not reach the session it runs in.
CREATE FUNCTION regress_evil.sets(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM set_config('work_mem', '99MB', false); RETURN true; END$$;
SELECT cdp.create_segment('sets', 'regress_evil.sets(count(*))') > 0 AS created;
SELECT cdp.track('X', user_id => 'u1');
SELECT current_setting('work_mem') = '99MB' AS changed;
SELECT cdp.drop_segment('sets');

-- A rule cannot call back into cdp: it is an error for the person, and the message goes on.
CREATE FUNCTION regress_evil.drops() RETURNS void LANGUAGE plpgsql AS
  $$BEGIN PERFORM cdp.drop_segment('self'); END$$;
CREATE FUNCTION regress_evil.calls(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN IF $1 > 1 THEN PERFORM regress_evil.drops(); END IF; RETURN true; END$$;
SELECT cdp.create_segment('self', 'regress_evil.calls(count(*))') > 0 AS created;
SELECT cdp.track('X', user_id => 'u1');
SELECT sqlstate, message FROM cdp.segment_errors;
SELECT cdp.drop_segment('self');

-- Nor can it stop a message by claiming that somebody cancelled it.
CREATE FUNCTION regress_evil.cancels(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN IF $1 > 2 THEN RAISE EXCEPTION 'never' USING ERRCODE = 'query_canceled'; END IF; RETURN true; END$$;
SELECT cdp.create_segment('cancels', 'regress_evil.cancels(count(*))') > 0 AS created;
SELECT cdp.track('X', user_id => 'u1');
SELECT sqlstate, message FROM cdp.segment_errors;
SELECT cdp.drop_segment('cancels');

-- Nor can it keep a message waiting for ever: it has the time of cdp.expression_timeout, whatever it does then.
CREATE FUNCTION regress_evil.waits(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN WHILE $1 = 2 LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN true; END$$;
SELECT cdp.create_segment('waits', 'regress_evil.waits(count(*))') > 0 AS created;
SELECT cdp.create_segment('waits_for_events', $$bool_or(regress_evil.waits((properties ->> 'n')::bigint))$$) > 0 AS created;
SET cdp.expression_timeout = '1s';
SELECT cdp.track('X', user_id => 'slow', properties => '{"n": 1}') > 0 AS accepted;
SELECT accepted FROM cdp.ingest('[{"type": "track", "userId": "slow", "event": "X", "properties": {"n": 2}}, {"type": "track", "userId": "swift", "event": "X", "properties": {"n": 3}}]');
SELECT s.name, e.profile_id = cdp.lookup('user_id', 'slow') AS is_slow, e.sqlstate, e.message
FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id) ORDER BY 1;
SELECT segment, count(*) FROM cdp.segment_members WHERE profile_id IN (cdp.lookup('user_id', 'slow'), cdp.lookup('user_id', 'swift')) GROUP BY 1 ORDER BY 1;
-- When it does so for several people, it is the rule that fails.
SELECT accepted FROM cdp.ingest((SELECT jsonb_agg(jsonb_build_object('type', 'track', 'userId', 's' || n, 'event', 'X')) FROM generate_series(1, 20) AS n));
CREATE OR REPLACE FUNCTION regress_evil.waits(bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN LOOP PERFORM pg_sleep(0.01); END LOOP; END$$;
SELECT cdp.drop_segment('waits_for_events');
SELECT accepted FROM cdp.ingest((SELECT jsonb_agg(jsonb_build_object('type', 'track', 'userId', 's' || n, 'event', 'X')) FROM generate_series(1, 20) AS n));
SELECT profile_id IS NULL AS for_all, sqlstate FROM cdp.segment_errors WHERE profile_id IS DISTINCT FROM cdp.lookup('user_id', 'slow');
RESET cdp.expression_timeout;
SELECT cdp.drop_segment('waits');

-- One person's data is one person's error, whatever its class; in a batch as one by one.
SELECT cdp.create_segment('adult', $$(traits ->> 'age')::numeric::int > 18$$) > 0 AS created;
SELECT accepted FROM cdp.ingest('[{"type": "identify", "userId": "a", "traits": {"age": 40}},
  {"type": "identify", "userId": "b", "traits": {"age": "NaN"}}, {"type": "identify", "userId": "c", "traits": {"age": 40}}]');
SELECT count(*) FROM cdp.members('adult');
SELECT profile_id = cdp.lookup('user_id', 'b') AS is_b, sqlstate, message FROM cdp.segment_errors;

-- A key that no index could hold is the person's error, too.
SELECT cdp.create_segment('keys', 'count(*) > 0', per => $$properties ->> 'p'$$) > 0 AS created;
SELECT cdp.track('X', user_id => 'k', properties => jsonb_build_object('p', repeat('x', 9600))) > 0 AS accepted;
SELECT sqlstate, message FROM cdp.segment_errors WHERE profile_id = cdp.lookup('user_id', 'k');

-- A sender's settings do not change what a rule means.
SELECT cdp.create_segment('digits', $$count(*) FILTER (WHERE event ~ '^\d+$') > 0$$) > 0 AS created;
SET standard_conforming_strings = off;
SELECT cdp.track('42', user_id => 'd') > 0 AS accepted;
RESET standard_conforming_strings;
SELECT count(*) FROM cdp.members('digits');

-- A date word that reaches a cast in a roundabout way is refused like one that stands there.
SELECT cdp.create_segment('x', $$coalesce(traits ->> 'until', 'now')::timestamptz >= now()$$);
SELECT cdp.create_segment('x', $$max(occurred_at) < concat('no', 'w')::timestamptz$$);

-- NULL is no way to lose a message.
SELECT cdp.ingest(NULL);
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "X"}', source => NULL, received_at => NULL);

-- Fields that a message has no use for are kept.
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "u1", "properties": {"a": 1}, "groupId": "g"}');
SELECT extra FROM cdp.assertions ORDER BY decision_seq DESC LIMIT 1;

-- Whatever it fails by, the others are refreshed: by what looks like the server's state, by an assertion, by a claim of a cancel.
CREATE TABLE regress_evil.picked AS SELECT profile_id FROM cdp.profiles;
CREATE MATERIALIZED VIEW regress_evil.chosen AS SELECT profile_id FROM regress_evil.picked;
CREATE FUNCTION regress_evil.fails(how text) RETURNS boolean STABLE LANGUAGE plpgsql AS
  $$BEGIN IF how = 'assert' THEN ASSERT false; ELSE RAISE EXCEPTION 'never' USING ERRCODE = how; END IF; RETURN true; END$$;
CREATE FUNCTION regress_evil.is_fine() RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
SET client_min_messages = warning;
SELECT cdp.create_segment('a' || n, query => 'SELECT profile_id FROM regress_evil.picked WHERE regress_evil.is_fine()') > 0 AS created FROM generate_series(1, 2) AS n;
SELECT cdp.create_segment('of_a_view', query => 'SELECT profile_id FROM regress_evil.chosen') > 0 AS created;
SELECT cdp.create_segment('z', query => 'SELECT profile_id FROM regress_evil.picked') > 0 AS created;
RESET client_min_messages;
REFRESH MATERIALIZED VIEW regress_evil.chosen WITH NO DATA;
CREATE OR REPLACE FUNCTION regress_evil.is_fine() RETURNS boolean STABLE LANGUAGE sql AS $$SELECT regress_evil.fails('assert')$$;
UPDATE cdp.segment_refreshes SET refreshed_at = refreshed_at - interval '1 day', tried_at = tried_at - interval '1 day';
CALL cdp.run();
SELECT s.name, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id) WHERE s.kind = 'query' ORDER BY 1;
CREATE OR REPLACE FUNCTION regress_evil.is_fine() RETURNS boolean STABLE LANGUAGE sql AS $$SELECT regress_evil.fails('57014')$$;
UPDATE cdp.segment_refreshes SET tried_at = tried_at - interval '1 day';
CALL cdp.run();
SELECT s.name, e.sqlstate, e.message FROM cdp.segment_errors AS e JOIN cdp.segments AS s USING (segment_id) WHERE s.kind = 'query' ORDER BY 1;
SELECT count(*) AS refreshed FROM cdp.segment_refreshes WHERE refreshed_at = tried_at;
SELECT cdp.drop_segment(name) FROM unnest('{a1,a2,of_a_view,z}'::text[]) AS name;

-- When its owner is gone, whoever administers cdp takes it over by saying the same again.
CREATE ROLE regress_cdp_leaver;
SELECT cdp.grant_access('regress_cdp_leaver', 'marketer');
SET ROLE regress_cdp_leaver;
SELECT cdp.create_segment('orphan', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
RESET ROLE;
ALTER ROLE regress_cdp_leaver RENAME TO regress_cdp_gone;
SELECT cdp.identify(user_id => 'orphan', traits => '{"country": "NL"}') IS NOT NULL AS known;
SELECT sqlstate, message FROM cdp.segment_errors WHERE profile_id IS NULL;
SELECT cdp.alter_segment('orphan', rule => $$traits ->> 'country' = 'NL'$$, background => false) AS version;
SELECT count(*) AS errors FROM cdp.segment_errors WHERE profile_id IS NULL;
SELECT owner = current_user AS taken_over, cdp.in_segment('orphan', cdp.lookup('user_id', 'orphan')) FROM cdp.segments WHERE name = 'orphan';
SELECT cdp.drop_segment('orphan');
DROP OWNED BY regress_cdp_gone;
DROP ROLE regress_cdp_gone;

SELECT room, problem FROM cdp.verify();
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP SCHEMA regress_evil CASCADE;
