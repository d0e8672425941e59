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

SELECT room, problem FROM cdp.verify();
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP SCHEMA regress_evil CASCADE;
