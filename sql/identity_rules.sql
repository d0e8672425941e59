-- identity_rules: what may be one person, what people decide about it, and how a wrong merge is taken out.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

-- Merge protection. A user_id is unique: no message makes two of them one person, and what it would have joined is refused.
SELECT cdp.identify(user_id => 'anna', traits => '{"email": "anna@example.com"}');
SELECT cdp.identify(user_id => 'bert', traits => '{"email": "bert@example.com"}');
SELECT cdp.identify(user_id => 'anna', traits => '{"email": "bert@example.com"}');
SELECT type, value, rule, reason FROM cdp.refusals ORDER BY refusal_id;
SELECT cdp.lookup('email', 'bert@example.com') = cdp.lookup('user_id', 'bert') AS still_his;

-- Junk identifies nobody.
SELECT cdp.identify(user_id => 'carla', traits => '{"email": "test@test.com", "phone": "0000000000"}');
SELECT type, value, rule, reason FROM cdp.refusals WHERE rule = 'blocked' ORDER BY refusal_id;

-- A limit: the identifier of the lowest priority is left out, and tried no further.
SELECT cdp.create_identifier_type('badge', priority => 40, max_values => 2);
SELECT cdp.identify(user_id => 'dirk', identifiers => '{"badge": ["b-1", "b-2", "b-3"]}');
SELECT type, value, rule, reason FROM cdp.refusals WHERE type = 'badge';
-- What was refused alone is nobody yet.
SELECT cdp.lookup('badge', 'b-2') = cdp.lookup('user_id', 'dirk') AS his, cdp.lookup('badge', 'b-3') AS nobody;

-- A limit within a time: five devices a week would be unusual, five in a life are not.
SELECT cdp.create_identifier_type('tv', priority => 25, max_values => 1, within => '7 days');
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "eva", "context": {"externalIds": [{"id": "tv-1", "type": "tv", "collection": "users", "encoding": "none"}]}}', received_at => '2026-01-01 12:00Z');
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "eva", "context": {"externalIds": [{"id": "tv-2", "type": "tv", "collection": "users", "encoding": "none"}]}}', received_at => '2026-01-08 11:59:59Z');
SELECT accepted FROM cdp.ingest('{"type": "identify", "userId": "eva", "context": {"externalIds": [{"id": "tv-3", "type": "tv", "collection": "users", "encoding": "none"}]}}', received_at => '2026-01-15 11:59:59Z');
SELECT i.value, i.profile_id = cdp.lookup('user_id', 'eva') AS hers FROM cdp.identifiers AS i WHERE i.type = 'tv' ORDER BY 1;

-- Shared devices. By default a device keeps to the first known person.
SELECT cdp.track('Page Seen', anonymous_id => 'tablet');
SELECT cdp.identify(user_id => 'fien', anonymous_id => 'tablet');
SELECT cdp.identify(user_id => 'gert', anonymous_id => 'tablet');
SELECT cdp.track('Page Seen', anonymous_id => 'tablet') = cdp.lookup('user_id', 'fien') AS hers;
SELECT type, value, rule, reason FROM cdp.refusals WHERE type = 'anonymous_id';
-- latest: from a login on, what the device does belongs to who logged in last; what was before stays.
SELECT cdp.create_identifier_type('kiosk', priority => 12, sharing => 'latest');
SELECT cdp.identify(user_id => 'hans', identifiers => '{"kiosk": "k-1"}');
SELECT cdp.track('Ticket Printed', identifiers => '{"kiosk": "k-1"}') = cdp.lookup('user_id', 'hans') AS his;
SELECT cdp.identify(user_id => 'ida', identifiers => '{"kiosk": "k-1"}');
SELECT cdp.track('Ticket Printed', identifiers => '{"kiosk": "k-1"}') = cdp.lookup('user_id', 'ida') AS hers;
SELECT u.value AS belongs_to FROM cdp.events AS e JOIN cdp.identifiers AS u ON u.profile_id = e.profile_id AND u.type = 'user_id'
WHERE e.event = 'Ticket Printed' ORDER BY e.event_id;

-- People decide. A link that the rules refuse:
SELECT * FROM cdp.allow_link('{"user_id": "anna"}', '{"user_id": "bert"}', reason => 'one person, two accounts');
-- A decision can be taken back, and everything is as if it had not been made.
SELECT * FROM cdp.revoke_decision(1, reason => 'mother and son after all');
SELECT cdp.lookup('user_id', 'anna') <> cdp.lookup('user_id', 'bert') AS two;

-- A wrong merge: on the shared laptop he fills in a form with her phone number, and they are one.
SELECT cdp.identify(anonymous_id => 'laptop', traits => '{"email": "jan@example.com", "city": "Gouda"}');
SELECT cdp.track('Order Completed', identifiers => '{"email": "jan@example.com"}', properties => '{"revenue": 25}');
SELECT cdp.identify(traits => '{"email": "kim@example.com", "phone": "+31612345678", "city": "Delft"}');
SELECT cdp.track('Order Completed', identifiers => '{"email": "kim@example.com"}', properties => '{"revenue": 40}');
SELECT cdp.create_segment('buyers', $$ sum((properties->>'revenue')::numeric) FILTER (WHERE event = 'Order Completed') > 50 $$);
SELECT cdp.identify(traits => '{"email": "jan@example.com", "phone": "+31 6 12345678"}');
SELECT traits ->> 'city' AS city, (SELECT count(*) FROM cdp.members('buyers')) AS buyers FROM cdp.profiles WHERE profile_id = cdp.lookup('email', 'kim@example.com');
-- One split, and they are two again: events, traits, segments.
SELECT has FROM cdp.split_profile(cdp.lookup('email', 'kim@example.com'), '{"email": "kim@example.com", "phone": "+31612345678"}', reason => 'partners');
SELECT p.traits, e.n AS orders FROM cdp.profiles AS p
CROSS JOIN LATERAL (SELECT count(*) AS n FROM cdp.events AS x WHERE x.profile_id = p.profile_id AND x.event = 'Order Completed') AS e
WHERE p.profile_id IN (cdp.lookup('email', 'jan@example.com'), cdp.lookup('email', 'kim@example.com')) ORDER BY p.profile_id;
SELECT count(*) AS buyers FROM cdp.members('buyers');
-- The next time that he gives her number nothing is joined.
SELECT cdp.identify(traits => '{"email": "jan@example.com", "phone": "+31612345678"}') = cdp.lookup('email', 'kim@example.com') AS joined;
SELECT type, value, rule FROM cdp.refusals ORDER BY refusal_id DESC LIMIT 1;

-- A value that everybody sends is no identifier: without it, everybody is somebody again, with what they did.
SELECT cdp.create_identifier_type('terminal', priority => 95);
SELECT count(cdp.track('Order Completed', identifiers => jsonb_build_object('terminal', 't-1', 'email', who || '@example.com')))
FROM unnest(ARRAY['lia', 'max', 'nol']) AS who;
SELECT cdp.lookup('email', 'lia@example.com') = cdp.lookup('email', 'nol@example.com') AS one;
SELECT has FROM cdp.remove_identifier('{"terminal": "t-1"}', reason => 'the till of the shop');
SELECT i.value, count(*) FROM cdp.events AS e JOIN cdp.identifiers AS i USING (identifier_id)
WHERE i.value LIKE ANY (ARRAY['lia%', 'max%', 'nol%']) GROUP BY 1 ORDER BY 1;

-- What-if: a change of rules that are in use is pending, shows what it would do, and is then applied in the background.
SELECT cdp.alter_identifier_type('email', max_values => 1), cdp.alter_identifier_type('badge', max_values => 3);
SELECT change, profile_id, becomes, identifiers, rule FROM cdp.identity_diff();
SELECT cdp.apply_identity_rules();
CALL cdp.run();
SELECT cdp.lookup('badge', 'b-3') = cdp.lookup('user_id', 'dirk') AS his_now;
SELECT count(*) AS pending FROM cdp.identity_diff();
-- Everything anew from the evidence gives the same people.
CREATE TEMP TABLE people AS SELECT identifier_id, profile_id FROM cdp.identifiers;
CALL cdp.rebuild();
SELECT count(*) AS moved FROM people JOIN cdp.identifiers AS i USING (identifier_id) WHERE i.profile_id <> people.profile_id;

-- What cannot be.
SELECT cdp.allow_link('{"email": "nobody@example.com"}', '{"user_id": "anna"}', reason => 'why not');
SELECT cdp.forbid_link('{"user_id": "anna"}', '{"user_id": "bert"}', reason => '');
SELECT cdp.split_profile(cdp.lookup('user_id', 'anna'), '{"user_id": "bert"}', reason => 'not his');
SELECT cdp.create_identifier_type('user_id');
SELECT cdp.create_identifier_type('locker', blocked_patterns => '{(}');
SELECT cdp.alter_identifier_type('badge', max_values => 0);
SELECT cdp.alter_identifier_type('email', normalizer => 'exact');
SELECT cdp.drop_identifier_type('badge');
SELECT cdp.drop_identifier_type('nothing');
SELECT cdp.drop_identifier_type('advertising_id');
-- Decisions must not contradict each other.
SELECT has FROM cdp.forbid_link('{"user_id": "anna"}', '{"user_id": "bert"}', reason => 'two people');
SELECT cdp.allow_link('{"email": "anna@example.com"}', '{"email": "bert@example.com"}', reason => 'family');

-- Nor may rules make them: what is pending is refused until somebody takes one back.
SELECT cdp.create_identifier_type('locker', max_values => 1);
SELECT cdp.identify(identifiers => '{"email": "oda@example.com", "locker": "1"}'), cdp.identify(identifiers => '{"email": "pia@example.com", "locker": "2"}');
SELECT cdp.track('Post', identifiers => '{"email": ["oda@example.com", "pia@example.com"]}');
SELECT has FROM cdp.allow_link('{"user_id": "dirk"}', '{"email": "oda@example.com"}', reason => 'his wife''s account');
SELECT has FROM cdp.forbid_link('{"user_id": "dirk"}', '{"email": "pia@example.com"}', reason => 'a neighbour');
SELECT cdp.alter_identifier_type('locker', max_values => 2), cdp.alter_identifier_type('email', max_values => 5);
SELECT cdp.apply_identity_rules();
SELECT cdp.alter_identifier_type('locker', max_values => 1);
SELECT cdp.remove_identifier('{"email": []}', reason => 'nothing');
SELECT cdp.remove_identifier('{"emial": "oda@example.com"}', reason => 'a slip');
SELECT cdp.create_identifier_type('key', max_values => 1, within => '1 month');

-- A counter never joins somebody known to what else a message carries, not even to a device that nobody had.
SELECT cdp.create_identifier_type('counter', priority => 9, sharing => 'none');
SELECT count(cdp.track('Seen', anonymous_id => one, user_id => who, identifiers => also))
FROM (VALUES ('c-1', NULL, '{"counter": "c"}'::jsonb), ('c-1', 'cora', NULL), ('c-2', NULL, '{"counter": "c"}')) AS m (one, who, also);
SELECT type, value, rule FROM cdp.refusals WHERE type = 'counter' OR value = 'c-2';
SELECT type, value, identifier_id = profile_id AS alone FROM cdp.identifiers WHERE value LIKE 'c-_' OR value IN ('c', 'cora') ORDER BY 1, 2;

-- A link that counts only when others are gone is removed with them: a split is one decision, and is taken back as one.
SELECT count(cdp.track('Seen', user_id => who, anonymous_id => device, identifiers => also))
FROM (VALUES ('tess', NULL, '{"phone": "+31612345699"}'::jsonb), ('tess', 'counter-top', NULL),
             (NULL, 'counter-top', '{"email": "tess@example.com"}'), ('tess', NULL, '{"email": "tess@example.com"}')) AS m (who, device, also);
SELECT has FROM cdp.split_profile(cdp.lookup('user_id', 'tess'), '{"phone": "+31612345699", "anonymous_id": "counter-top"}', reason => 'the shop''s');
SELECT d.kind, a.value, b.value AS other, d.decision_seq = min(d.decision_seq) OVER () AS one_call
FROM cdp.identity_decisions AS d JOIN cdp.identifiers AS a USING (identifier_id) JOIN cdp.identifiers AS b ON b.identifier_id = d.other_identifier_id
WHERE d.reason = 'the shop''s' ORDER BY d.decision_id;
SELECT has FROM cdp.revoke_decision((SELECT max(decision_id) FROM cdp.identity_decisions), reason => 'hers after all');

-- The fold of everything goes into a plain table, by who may insert there, and says what is stored.
CREATE UNLOGGED TABLE folded (identifier_id bigint, profile_id bigint);
SELECT cdp_internal.fold_people('folded') = (SELECT count(*) FROM cdp.identifiers) AS all_of_them;
SELECT identifier_id, profile_id FROM folded EXCEPT SELECT identifier_id, profile_id FROM cdp.identifiers;
CREATE INDEX ON folded (profile_id);
SELECT cdp_internal.fold_people('folded');
SELECT cdp_internal.fold_people('cdp.sources');

SELECT * FROM cdp.verify();
