-- trait_history: what a trait was, who a person was, as known now and then.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

SELECT * FROM cdp.ingest('{"type": "identify", "userId": "u1", "traits": {"plan": "basic", "city": "Delft"}, "timestamp": "2026-01-01T00:00:00Z"}', 'crm', '2026-01-01Z');
SELECT * FROM cdp.ingest('{"type": "identify", "userId": "u1", "traits": {"plan": "gold"}, "timestamp": "2026-01-10T00:00:00Z"}', 'crm', '2026-01-10Z');
-- Comes late: it was said on the 5th and received on the 20th.
SELECT * FROM cdp.ingest('{"type": "identify", "userId": "u1", "traits": {"plan": "silver"}, "timestamp": "2026-01-05T00:00:00Z"}', 'web', '2026-01-20Z');
SELECT * FROM cdp.ingest('{"type": "identify", "userId": "u1", "traits": {"plan": null}, "timestamp": "2026-01-15T00:00:00Z"}', 'crm', '2026-01-21Z');
SELECT * FROM cdp.trait_history(1, 'plan');

SELECT cdp.profile(1, at => '2026-01-07Z') #> '{traits,plan}' AS known_now, cdp.profile(1, at => '2026-01-07Z', as_known => 'now') -> 'as_known' AS "as";
SELECT cdp.profile(1) -> 'traits' AS traits, cdp.profile(1) -> 'trait_sources' AS trait_sources;
SELECT cdp.profile(1, as_known => 'then');
SELECT cdp.profile(1, at => '2026-01-07Z', as_known => 'before');

-- As known then needs what the database knew at that time: from here on by the clock.
SELECT now() AS t0 \gset
SELECT pg_sleep(0.01);
SELECT cdp.identify(anonymous_id => 'a9', traits => '{"plan": "trial", "lang": "nl"}');
SELECT clock_timestamp() AS t1 \gset
SELECT pg_sleep(0.01);
SELECT cdp.identify(user_id => 'u1', anonymous_id => 'a9', traits => '{"plan": "gold"}');
SELECT cdp.track('Order Completed', user_id => 'u1');
-- Today one person; then, the visitor was another.
SELECT cdp.profile(2) -> 'profile_id' AS today, cdp.profile(2, at => :'t1', as_known => 'then') - 'identifiers' - 'trait_sources' - 'at' AS then;
SELECT cdp.profile(1, at => :'t1', as_known => 'then') -> 'traits' AS then, cdp.profile(1, at => :'t1', as_known => 'now') -> 'traits' AS now,
       jsonb_array_length(cdp.profile(1, at => 'infinity') -> 'identifiers') AS identifiers;
SELECT cdp.profile(2, at => :'t0', as_known => 'then') AS nobody_then, cdp.profile(1, at => :'t1') -> 'events' AS events_then;
-- A rule has a history, too: the value as the rules in force have it at each time.
SELECT cdp.set_survivorship('plan', 'maximum_age', maximum_age => '3 days');
SELECT cdp.apply_survivorship();
SELECT value, since, until, source FROM cdp.trait_history(1, 'plan') LIMIT 5;
CALL cdp.run();
SELECT * FROM cdp.verify();
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
