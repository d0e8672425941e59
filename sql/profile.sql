-- profile: golden traits and the 360-degree document.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

-- The newest assertion of a trait wins, by the time it was asserted, not by when it came.
SELECT cdp.identify(user_id => 'u1', traits => '{"city": "Utrecht", "age": 41}', "timestamp" => '2026-01-02Z');
SELECT cdp.identify(user_id => 'u1', traits => '{"city": "Delft", "plan": "gold"}', "timestamp" => '2026-01-01Z');
SELECT traits FROM cdp.profiles;
-- A trait asserted as null is gone; an older value that comes late does not bring it back.
SELECT cdp.identify(user_id => 'u1', traits => '{"age": null}', "timestamp" => '2026-01-03Z');
SELECT cdp.identify(user_id => 'u1', traits => '{"age": 40}', "timestamp" => '2026-01-02 12:00Z');
SELECT traits, trait_origins FROM cdp.profiles;
-- Two people become one: the newest of both wins. Numbers keep every digit.
SELECT cdp.identify(anonymous_id => 'a1', traits => '{"city": "Gent", "balance": 12345678901234567890.10}', "timestamp" => '2026-01-04Z');
SELECT cdp.identify(user_id => 'u1', anonymous_id => 'a1', "timestamp" => '2026-01-05Z');
SELECT profile_id, traits FROM cdp.profiles;

-- Everything about one person.
SELECT cdp.track('Order Completed', user_id => 'u1', properties => '{"order_id": 7}', "timestamp" => '2026-01-06Z');
SELECT cdp.group('acme', user_id => 'u1');
SELECT jsonb_pretty(cdp.profile(2) - 'public_id' - 'last_seen_at' - 'first_seen_at' #- '{identifiers,0,first_seen_at}' #- '{identifiers,1,first_seen_at}');
SELECT cdp.profile(99);

-- What is stored equals a fold over what was said; verify() sees it when it does not.
SELECT * FROM cdp.verify();
BEGIN;
UPDATE cdp.profiles SET traits = '{"city": "Rome"}';
UPDATE cdp.identifiers SET profile_id = identifier_id;
SELECT room, problem, subject, stored, expected FROM cdp.verify();
ROLLBACK;
