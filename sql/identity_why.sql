-- identity_why: why somebody is one person, or two; what happened to them; who deserves a look.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

-- Anna has an account, a tablet and a phone; Bob has a loyalty card and a laptop.
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'tablet', message_id => 'anna-signs-up',
                    traits => '{"email": "anna@example.com", "phone": "+31 6 1112 2233"}') AS anna,
       cdp.track('Product Viewed', anonymous_id => 'her-phone', identifiers => '{"phone": "+31611122233"}',
                 message_id => 'anna-on-her-phone') AS anna_too;

SELECT cdp.identify(identifiers => '{"loyalty_id": "L-7"}', traits => '{"email": "bob@example.com"}', message_id => 'bob-gets-a-card') AS bob,
       cdp.track('Email Opened', anonymous_id => 'his-laptop', identifiers => '{"email": "bob@example.com"}',
                 message_id => 'bob-reads-mail') AS bob_too;

-- Bob buys something on Anna's tablet. A device does not make two known people one.
SELECT cdp.track('Order Completed', anonymous_id => 'tablet', identifiers => '{"email": "bob@example.com"}',
                 message_id => 'bob-on-the-tablet') AS bob;

SELECT one, other, evidence, rule, reason, message_id
FROM cdp.why_same('{"user_id": "anna"}', '{"loyalty_id": "L-7"}');

SELECT clock_timestamp() AS before_the_merge \gset

-- The next time, the browser fills in Anna's phone number beside Bob's address: evidence that they are one person.
SELECT cdp.track('Order Completed', anonymous_id => 'tablet', message_id => 'guest-checkout',
                 identifiers => '{"email": "bob@example.com", "phone": "+31611122233"}') AS somebody;

SELECT step, one, other, evidence, message_id
FROM cdp.why_same('{"user_id": "anna"}', '{"loyalty_id": "L-7"}');

-- An identifier by its id; the same one; nobody's; not exactly one.
SELECT step, one, other FROM cdp.why_same('1', '{"email": "ANNA@example.com"}');
SELECT step, one, other, evidence, reason FROM cdp.why_same('1', '1');
\set VERBOSITY terse
SELECT * FROM cdp.why_same('{"user_id": "anna"}', '{"user_id": "nobody"}');
SELECT * FROM cdp.why_same('{"user_id": "anna"}', '{"email": ["anna@example.com", "bob@example.com"]}');
\set VERBOSITY default

-- Health names the joint, and the call that would undo it.
SELECT kind, profile_id, identifier, number, score FROM cdp.identity_health(1);

SELECT detail, hint FROM cdp.identity_health(1) WHERE kind = 'bridge';

SELECT kind, detail, hint FROM cdp.identity_health(1) WHERE kind <> 'bridge';
SELECT kind, detail, hint FROM cdp.identity_health(1, examined => 0) WHERE kind IN ('bridge', 'examined');
SELECT * FROM cdp.identity_health(0);

SELECT clock_timestamp() AS before_the_split \gset

-- So they are two.
SELECT person, has ->> 'user_id' AS user_id, has ->> 'loyalty_id' AS loyalty_id
FROM cdp.split_profile(1, '{"email": "bob@example.com"}', 'a browser filled in her number', decided_by => 'Carla, support');

SELECT one, other, evidence, rule, reason, message_id
FROM cdp.why_same('{"user_id": "anna"}', '{"loyalty_id": "L-7"}');

SELECT kind, detail, hint FROM cdp.identity_health(1) WHERE kind IN ('bridge', 'examined');

-- Whose the card was, as it was stored then, and as is known today.
SELECT cdp.lookup('loyalty_id', 'L-7') AS today,
       cdp.lookup('loyalty_id', 'L-7', at => :'before_the_merge', as_known => 'then') AS before_the_merge,
       cdp.lookup('loyalty_id', 'L-7', at => :'before_the_split', as_known => 'then') AS before_the_split,
       cdp.lookup('loyalty_id', 'L-7', at => :'before_the_split', as_known => 'now') AS known_now;

-- Who links had not reached by then, and who was not there yet.
SELECT cdp.lookup('phone', '+31611122233', at => '2020-01-01') AS known_now,
       cdp.lookup('phone', '+31611122233', at => '2020-01-01', as_known => 'then') AS then,
       cdp.lookup('phone', '+31611122233', at => now()) AS today,
       cdp.lookup('phone', '+31611122233', at => now(), as_known => 'then') AS then_today;
SELECT cdp.lookup('loyalty_id', 'L-7', as_known => 'then');
SELECT cdp.lookup('loyalty_id', 'L-7', at => now(), as_known => 'never');

-- The log keeps what was decided when: the guest checkout has linked, and a decision has taken that back.
SELECT log_order, what, profile_id AS person, from_profile_id AS "from", identifiers, rule, coalesce(message_id, actor) AS by
FROM cdp.identity_log WHERE decision_seq > 4 ORDER BY log_order;

CREATE TEMP TABLE logged AS SELECT * FROM cdp.identity_log;

-- What was decided can be taken back, and the log only grows.
SELECT person FROM cdp.revoke_decision(1, 'they are one after all', revoked_by => 'Carla, support');

SELECT what, profile_id AS person, from_profile_id AS "from", identifiers, rule, reason, actor
FROM (TABLE cdp.identity_log EXCEPT TABLE logged) AS new ORDER BY log_order;

SELECT count(*) AS lost FROM (TABLE logged EXCEPT TABLE cdp.identity_log) AS gone;

-- A person may say so, too; and an identifier may be left out altogether.
SELECT cdp.identify(user_id => 'dora', message_id => 'dora-signs-up') AS dora;
SELECT evidence, reason FROM cdp.why_same('{"user_id": "dora"}', '{"user_id": "anna"}');
SELECT count(*) FROM cdp.allow_link('{"user_id": "dora"}', '{"user_id": "anna"}', 'she married', decided_by => 'Carla, support');
SELECT step, one, other, evidence, rule, reason FROM cdp.why_same('{"user_id": "dora"}', '{"email": "anna@example.com"}');
SELECT count(*) > 0 AS done FROM cdp.remove_identifier('{"email": "bob@example.com"}', 'a mailing list', decided_by => 'Carla, support');
SELECT one, other, evidence, rule, reason, message_id FROM cdp.why_same('{"email": "bob@example.com"}', '{"user_id": "anna"}');
SELECT cdp.lookup('email', 'bob@example.com') AS nobody;
SELECT count(*) AS lost FROM (TABLE logged EXCEPT TABLE cdp.identity_log) AS gone;

-- In Segment's shape.
SELECT canonical_segment_id, type, value, seq FROM cdp.user_identifiers ORDER BY seq;
SELECT segment_id, canonical_segment_id, triggering_event_type, triggering_event_id FROM cdp.id_graph_updates ORDER BY seq, segment_id;
SELECT segment_id, canonical_segment_id FROM cdp.profile_merges ORDER BY segment_id;
SELECT canonical_segment_id, name, value, seq FROM cdp.user_traits ORDER BY 1, 2;

-- Candidates, before they may merge anybody: everybody has a card and two phones, a store has many people, and two share a tablet.
SELECT count(cdp.track('Order Completed', user_id => 'u' || n % 40,
         properties => jsonb_build_object('card_hash', 'c' || n % 40, 'phone', 'p' || n, 'store', 's' || n % 5,
                                          'tablet', 't' || greatest(n % 40, 1), 'till', CASE WHEN n % 2 = 0 THEN 'unknown' END)))
FROM generate_series(1, 80) AS n;

SELECT * FROM cdp.check_identifier_type($$properties ->> 'card_hash'$$);

SELECT measure, value, meaning FROM cdp.check_identifier_type($$properties ->> 'tablet'$$, most => 2)
WHERE measure IN ('people a value, median', 'shared values', 'hub risk', 'shared value', 'verdict');

SELECT e AS candidate, c.value AS verdict, c.meaning
FROM unnest(ARRAY[$$properties ->> 'phone'$$, $$properties ->> 'store'$$, $$properties ->> 'till'$$, $$context #>> '{ip}'$$, 'user_id', 'email']) AS e,
     cdp.check_identifier_type(e) AS c WHERE c.measure = 'verdict';

-- An expression, and nothing but one; it reads.
SELECT count(*) FROM cdp.check_identifier_type('event -- a comment');
SELECT * FROM cdp.check_identifier_type('1) AS x; DROP TABLE cdp.identifiers; --');
SELECT * FROM cdp.check_identifier_type('event, source');
SELECT * FROM cdp.check_identifier_type('event FROM cdp.events');
SELECT * FROM cdp.check_identifier_type('');
\set VERBOSITY sqlstate
SELECT * FROM cdp.check_identifier_type('no_such_column');
SELECT * FROM cdp.check_identifier_type($$nextval('cdp.decision_seq')$$);
SELECT * FROM cdp.check_identifier_type($$set_config('transaction_read_only', 'off', true)$$);
\set VERBOSITY default
SELECT current_setting('transaction_read_only') AS read_only;

-- An analyst may ask all of this.
SET client_min_messages = warning;
CREATE ROLE regress_cdp_curious;
RESET client_min_messages;
SELECT cdp.grant_access('regress_cdp_curious', 'analyst');
SET ROLE regress_cdp_curious;
SELECT step, one, other FROM cdp.why_same('{"user_id": "anna"}', '{"email": "anna@example.com"}');
SELECT evidence, rule FROM cdp.why_same('{"user_id": "anna"}', '{"email": "bob@example.com"}');
SELECT DISTINCT kind FROM cdp.identity_health() ORDER BY 1;
SELECT value FROM cdp.check_identifier_type('event') WHERE measure = 'verdict';
SELECT value FROM cdp.check_identifier_type('user_id') WHERE measure = 'verdict';
SELECT cdp.lookup('user_id', 'anna', at => now()), cdp.lookup('user_id', 'anna', at => now(), as_known => 'then');
SELECT count(*) > 0 AS reads FROM cdp.identity_log;
SELECT count(*) > 0 AS reads FROM cdp.user_identifiers;
SELECT count(*) > 0 AS reads FROM cdp.id_graph_updates;
SELECT count(*) > 0 AS reads FROM cdp.profile_merges;
SELECT count(*) > 0 AS reads FROM cdp.user_traits;
RESET ROLE;

SELECT * FROM cdp.verify();

SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_curious;
