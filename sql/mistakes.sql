-- What many write first, in rules and elsewhere: the error says what to write instead.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

SELECT cdp.create_segment('wrong', $$traits.country = 'NL'$$);
SELECT cdp.create_segment('wrong', $$traits ->> 'age' > 30$$);
SELECT cdp.create_segment('wrong', $$count(*) FILTER (WHERE properties ->> 'total' >= 9.95) > 0$$);
SELECT cdp.create_segment('wrong', $$traits ->> 'country' = "NL"$$);
SELECT cdp.create_segment('wrong', $$SELECT profile_id FROM cdp.profiles$$);
SELECT cdp.create_segment('wrong', $$traits -> 'country' = 'NL'$$);
SELECT cdp.create_segment('wrong', $$count(*) FILTER (WHERE properties -> 'total' > 50) > 0$$);
SELECT cdp.create_segment('wrong', $$max(occurred_at) > now() - '7 days'$$);
SELECT cdp.create_segment('wrong', $$max(occurred_at) > now() - 7$$);
SELECT cdp.create_segment('wrong', $$cdp.funnel('3 days', occurred_at, event = 'a', event = 'b')$$);
SELECT cdp.create_segment('wrong', $$count(*) > 0 AND$$);

SELECT cdp.identify(user_id => 'anna') IS NOT NULL AS known;
SELECT cdp.lookup('emial', 'anna@example.com');
SELECT cdp.lookup('email', 'anna@example.com') IS NULL AS nobody;

-- A source may come later, so this is no error.
SELECT cdp.set_survivorship('phone', 'source_priority', sources => '{defautl}');
SELECT cdp.set_survivorship('phone', 'source_priority');

-- A draft that says nothing of accounts changes none of them.
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"phone": 1}') IS NOT NULL AS known;
SELECT * FROM cdp.account_diff();
SELECT cdp.set_survivorship('phone', 'never', policy => 'accounts');
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"phone": 2}') IS NOT NULL AS known;
SELECT * FROM cdp.account_diff();

-- What commits as it goes on.
BEGIN;
CALL cdp.run();
ROLLBACK;
BEGIN;
CALL cdp.apply_retention();
ROLLBACK;
CALL cdp.run(0);

-- A type of identifiers that is new because it is misspelt.
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "anna", "context": {"externalIds": [
  {"type": "emial", "id": "anna@example.com", "collection": "users", "encoding": "none"},
  {"type": "crm_id", "id": "7", "collection": "users", "encoding": "none"}]}}');

-- A profile view that is dropped without cdp.
SELECT cdp.create_profile_view('short', '["identifier user_id"]') AS made;
DROP VIEW cdp_views.short;
SELECT status, value FROM cdp.health() WHERE check_name = 'profile views';
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
