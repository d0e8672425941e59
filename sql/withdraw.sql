-- Messages taken back: state is as if they had never come, and that they came stays known.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE VIEW who AS
  SELECT p.profile_id AS person, (SELECT string_agg(i.value, ', ' ORDER BY i.identifier_id) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id) AS has,
         p.traits, (SELECT string_agg(e.message_id, ', ' ORDER BY e.event_id) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS did
  FROM cdp.profiles AS p ORDER BY 1;
CREATE FUNCTION withdraw(VARIADIC messages text[]) RETURNS bigint LANGUAGE sql AS $$
  SELECT cdp_internal.withdraw(array_agg(f.seq), 'an import was undone')
  FROM (SELECT event_id AS seq, message_id FROM cdp.event_records UNION ALL SELECT decision_seq, message_id FROM cdp.assertions) AS f
  WHERE f.message_id = ANY (messages)
$$;

SELECT cdp.identify(user_id => 'anna', traits => '{"email": "anna@example.com", "city": "Delft"}', message_id => 'm1');
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'a1', message_id => 'm2');
SELECT cdp.track('Order Completed', user_id => 'anna', anonymous_id => 'a1', message_id => 'm3');
SELECT cdp.track('Order Completed', anonymous_id => 'a1', message_id => 'm4');
SELECT cdp.identify(user_id => 'anna', traits => '{"city": "Rome"}', message_id => 'm5');
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 2$$) > 0 AS created;
SELECT * FROM who;
SELECT profile_id FROM cdp.members('buyers');

-- What was said is said no more: the value before is golden again.
SELECT withdraw('m5');
SELECT * FROM who;

-- Two messages said that anna and a1 are one person; one of them is enough.
SELECT message_id, identifiers FROM cdp.evidence ORDER BY decision_seq;
SELECT withdraw('m2');
SELECT message_id, identifiers FROM cdp.evidence ORDER BY decision_seq;
SELECT * FROM who;

-- The other one, and an order with it: who is who, profiles, timelines and segments follow.
SELECT withdraw('m3');
SELECT * FROM who;
SELECT profile_id FROM cdp.members('buyers');
SELECT * FROM cdp.verify();

-- What was known then stays known: history reads on, with what has been taken back since.
SELECT clock_timestamp() AS before \gset
SELECT cdp.profile(1) -> 'traits' AS now, jsonb_array_length(cdp.profile(1) -> 'events') AS events;
-- Taken back is taken back: once, and for good. The same message again is a duplicate.
SELECT withdraw('m3', 'm2', 'm1');
SELECT withdraw('m3', 'm2', 'm1');
SELECT * FROM who;
SELECT cdp.identify(user_id => 'anna', traits => '{"email": "anna@example.com", "city": "Delft"}', message_id => 'm1');
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "event": "Order Completed", "messageId": "m4", "anonymousId": "a1"}');
SELECT * FROM who;
SELECT * FROM cdp.verify();

SELECT p.as_known, p.was -> 'traits' AS traits, p.was #> '{trait_sources,city,source}' AS source, jsonb_array_length(p.was -> 'events') AS events,
       (SELECT string_agg(i ->> 'value', ', ' ORDER BY 1) FROM jsonb_array_elements(p.was -> 'identifiers') AS i) AS has
FROM (SELECT a.as_known, cdp.profile(1, at => :'before', as_known => a.as_known) AS was FROM unnest('{then, now}'::text[]) AS a (as_known)) AS p;

-- Logs only grow.
SELECT kind, message_id, reason FROM cdp.withdrawn_messages ORDER BY decision_seq;
SELECT change, profile_id, from_profile_id, reason FROM cdp.identity_changes ORDER BY change_id;

-- What nobody names any more is known, and nobody's, until it is named again.
SELECT value, first_seen_at FROM cdp.identifiers WHERE first_seen_at = 'infinity' ORDER BY 1;
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'a1', message_id => 'm6');
SELECT value FROM cdp.identifiers WHERE first_seen_at = 'infinity' ORDER BY 1;
SELECT * FROM cdp.verify();

-- A limit lets in who was kept out by what is gone.
SELECT cdp.alter_identifier_type('email', max_values => 1);
SELECT cdp.apply_identity_rules();
CALL cdp.run();
SELECT cdp.identify(user_id => 'bob', identifiers => '{"email": "bob@example.com"}', message_id => 'b1');
SELECT cdp.identify(user_id => 'bob', identifiers => '{"email": "robert@example.com"}', message_id => 'b2');
SELECT cdp.track('Seen', user_id => 'bob', identifiers => '{"email": "robert@example.com"}', message_id => 'b3');
SELECT identifiers, refused, rule, message_id FROM cdp.evidence WHERE message_id ~ '^b' ORDER BY decision_seq;
SELECT withdraw('b1');
SELECT identifiers, refused, rule, message_id FROM cdp.evidence WHERE message_id ~ '^b' ORDER BY decision_seq;
SELECT * FROM who WHERE has ~ 'bob';
SELECT * FROM cdp.verify();

-- Other messages in their place are one decision: whoever comes out as before notices nothing.
SELECT max(change_id) AS before FROM cdp.identity_changes \gset
SELECT place, fate, message_id FROM cdp_internal.exchange(
  (SELECT array_agg(decision_seq) FROM cdp.assertions WHERE message_id = 'b2'), '{crm}', '{}',
  ARRAY['{"type": "identify", "messageId": "b2 corrected", "userId": "bob", "context": {"traits": {"email": "robert@example.com"}}, "traits": {"city": "Oslo"}}'],
  ARRAY[now()], 'corrected');
SELECT * FROM who WHERE has ~ 'bob';
SELECT change, profile_id FROM cdp.identity_changes WHERE change_id > :before;
SELECT * FROM cdp.verify();

-- As every writer.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT withdraw('b3');
ROLLBACK;
SET client_min_messages = warning;
DROP VIEW who;
DROP FUNCTION withdraw;
DROP EXTENSION cdp CASCADE;
