-- survivorship: which of the values that sources assert becomes the golden one.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

-- Three sources say different things about one person.
SELECT cdp.identify(user_id => 'anna', traits => '{"phone": "030-111", "city": "Utrecht", "score": 3, "tags": ["a", "b"], "opt": true}', "timestamp" => '2026-01-01Z', source => 'crm');
SELECT cdp.identify(user_id => 'anna', traits => '{"phone": "030-222", "city": "Delft", "score": 10, "tags": ["b", "c"], "opt": false}', "timestamp" => '2026-01-02Z', source => 'shop');
SELECT cdp.identify(user_id => 'anna', traits => '{"phone": "030-333", "city": "Utrecht", "score": 4, "tags": "b", "opt": true}', "timestamp" => '2026-01-03Z', source => 'web');
SELECT traits FROM cdp.profiles;

-- Without rules the newest wins. A rule is a draft until it is applied.
SELECT cdp.set_survivorship('phone', 'source_priority', sources => '{crm,shop}');
SELECT * FROM cdp.pending_survivorship();
SELECT * FROM cdp.profile_diff();
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT traits ->> 'phone' AS phone FROM cdp.profiles;
SELECT * FROM cdp.pending_survivorship();
SELECT cdp.apply_survivorship();
-- A later message of another source does not win; a null takes back what its own source said.
SELECT cdp.identify(user_id => 'anna', traits => '{"phone": "030-444"}', "timestamp" => '2026-01-04Z', source => 'web');
SELECT traits ->> 'phone' AS phone FROM cdp.profiles;
SELECT cdp.identify(user_id => 'anna', traits => '{"phone": null}', "timestamp" => '2026-01-05Z', source => 'crm');
SELECT traits ->> 'phone' AS phone FROM cdp.profiles;
SELECT outcome, because, value, rule, strategy, source, asserted_at FROM cdp.why_trait(1, 'phone');
SELECT * FROM cdp.verify();

-- Every strategy, by policies of its own: chosen when a profile is read.
SELECT count(cdp.set_survivorship(t.trait, s.strategy, policy => s.strategy)::text)
FROM unnest(ARRAY['score', 'tags', 'opt', 'city']) AS t (trait),
     unnest(ARRAY['latest', 'earliest', 'most_frequent', 'min', 'max', 'sum', 'average', 'longest', 'shortest', 'any_true', 'all_true', 'union_list',
                  'intersection_list', 'counted_list', 'first_non_empty', 'verified_first', 'never']) AS s (strategy);
SELECT cdp.apply_survivorship();
SELECT count(*) AS touches_nobody FROM cdp_internal.survivorship_builds;
SELECT s.strategy, g.trait, g.value, g.is_conflict FROM unnest(ARRAY['latest', 'earliest', 'most_frequent', 'min', 'max', 'sum', 'average', 'longest', 'shortest', 'any_true',
  'all_true', 'union_list', 'intersection_list', 'counted_list', 'first_non_empty', 'verified_first', 'never']) WITH ORDINALITY AS s (strategy, place)
CROSS JOIN LATERAL cdp.golden_traits(1, s.strategy) AS g WHERE g.trait <> 'phone' ORDER BY s.place, g.trait;
SELECT cdp.profile(1, policy => 'never') -> 'conflicts' -> 'city' AS city;

-- Chains: the first strategy that finds a value decides. Patterns: the exact name goes before patterns, these before *.
SELECT cdp.set_survivorship('address_*', 'first_non_empty', sources => '{crm}');
SELECT cdp.set_survivorship('address_city', 'verified_first');
SELECT cdp.set_survivorship('*', 'earliest');
SELECT cdp.set_survivorship('phone', 'maximum_age', maximum_age => '3 days');
SELECT cdp.set_survivorship('phone', 'source_priority', sources => '{shop}', fallback => true);
SELECT cdp.apply_survivorship();
SELECT task, done FROM cdp.progress;
CALL cdp.run();
SELECT task FROM cdp.progress;
SELECT cdp.identify(user_id => 'anna', traits => '{"address_street": "Markt 1", "address_city": "Gent", "address_city_verified": true}', "timestamp" => '2026-01-04Z', source => 'crm');
SELECT cdp.identify(user_id => 'anna', traits => '{"address_street": "Dam 2", "address_city": "Breda"}', "timestamp" => '2026-01-05Z', source => 'web');
SELECT jsonb_pretty(traits) FROM cdp.profiles;
SELECT trait, rule, strategy, source FROM cdp.golden_traits(1) ORDER BY trait;

-- Merges and splits: as if one person had said it all, and as if they never were one.
SELECT cdp.identify(anonymous_id => 'a1', traits => '{"score": 1, "phone": "030-555"}', "timestamp" => '2025-12-01Z', source => 'shop');
SELECT profile_id, traits -> 'score' AS score FROM cdp.profiles ORDER BY 1;
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'a1');
SELECT profile_id, traits -> 'score' AS score FROM cdp.profiles ORDER BY 1;
SELECT count(*) FROM cdp.remove_link('{"user_id": "anna"}', '{"anonymous_id": "a1"}', reason => 'a shared device');
SELECT profile_id, traits -> 'score' AS score FROM cdp.profiles ORDER BY 1;
SELECT * FROM cdp.verify();

-- Segments are judged again in the commit that folds a person anew.
SELECT cdp.create_segment('gold', $$traits ->> 'plan' = 'gold'$$) > 0 AS made;
SELECT cdp.identify(user_id => 'anna', traits => '{"plan": "gold"}', "timestamp" => '2026-02-01Z', source => 'crm');
SELECT cdp.identify(user_id => 'anna', traits => '{"plan": "basic"}', "timestamp" => '2026-02-02Z', source => 'web');
SELECT profile_id FROM cdp.members('gold');
-- As the rules in force have it, at any time.
SELECT profile_id FROM cdp.members('gold', at => '2026-02-02 12:00Z', as_known => 'now');
SELECT cdp.set_survivorship('plan', 'latest');
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT profile_id FROM cdp.members('gold');

-- How old a value may be: it lapses by itself.
SELECT cdp.set_survivorship('plan', 'maximum_age', maximum_age => '1 hour');
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT cdp.identify(user_id => 'anna', traits => '{"plan": "gold"}', source => 'crm', "timestamp" => now() - interval '59 minutes 59.5 seconds');
SELECT profile_id FROM cdp.members('gold');
SELECT pg_sleep(1);
CALL cdp.run();
SELECT profile_id FROM cdp.members('gold');
SELECT traits ? 'plan' AS has_plan FROM cdp.profiles WHERE profile_id = 1;
SELECT * FROM cdp.verify();

-- Any aggregate.
CREATE SCHEMA stats;
CREATE FUNCTION stats.step(integer, numeric) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF $2 = 13 THEN RAISE EXCEPTION 'thirteen is not counted'; END IF;
  RETURN $1 * 10 + $2;
END $$;
CREATE AGGREGATE stats.digits(numeric) (SFUNC = stats.step, STYPE = integer, INITCOND = '0');
SELECT cdp.set_survivorship('score', 'aggregate:stats.digits');
SELECT cdp.set_survivorship('score', 'max', fallback => true);
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT traits -> 'score' AS score FROM cdp.profiles WHERE profile_id = 1;
SELECT cdp.identify(user_id => 'anna', traits => '{"score": 13}', "timestamp" => '2026-02-01Z', source => 'crm');
SELECT traits -> 'score' AS score FROM cdp.profiles WHERE profile_id = 1;
SELECT profile_id, trait, message FROM cdp.survivorship_errors;
SELECT status, value FROM cdp.health() WHERE check_name = 'survivorship';

-- What nobody says may be what people do: a computed trait stands at the end of the chain.
SELECT cdp.create_computed_trait('favourite_city', $$
  cdp.most_frequent(properties ->> 'city') FILTER (WHERE event = 'Visited' AND occurred_at > now() - interval '30 days')
$$) > 0 AS made;
SELECT cdp.create_segment('in_delft', $$traits ->> 'city' = 'Delft'$$) > 0 AS made;
SELECT cdp.track('Visited', user_id => 'dora', properties => '{"city": "Delft"}') AS dora \gset
SELECT cdp.set_survivorship('city', 'latest');
SELECT cdp.set_survivorship('city', 'computed:favourite_city', fallback => true);
SELECT policy, trait, place, strategy, computed FROM cdp.survivorship_rules WHERE policy = 'default' AND trait = 'city' ORDER BY place;
SELECT trait, old, new FROM cdp.profile_diff() WHERE profile_id = :dora;
SELECT cdp.apply_survivorship() > 0 AS applied;
CALL cdp.run();
SELECT traits, trait_origins FROM cdp.profiles WHERE profile_id = :dora;
SELECT profile_id = :dora AS is_dora FROM cdp.members('in_delft');
-- In the commit of the message, with the segments that look at it.
SELECT count(*) AS accepted FROM generate_series(1, 2) AS n, LATERAL (SELECT cdp.track('Visited', user_id => 'dora', properties => '{"city": "Gouda"}', message_id => 'v' || n)) AS t;
SELECT traits -> 'city' AS city FROM cdp.profiles WHERE profile_id = :dora;
SELECT count(*) FROM cdp.members('in_delft');
-- A source that says so goes first. Why, and since when:
SELECT outcome, because, value, said, strategy, place FROM cdp.why_trait(:dora, 'city');
SELECT value FROM cdp.trait_history(:dora, 'city');
SELECT cdp.profile(:dora) #> '{trait_sources,city}' AS from_where;
SELECT cdp.identify(user_id => 'dora', traits => '{"city": "Breda"}') = :dora AS is_dora;
SELECT outcome, because, value, strategy, place FROM cdp.why_trait(:dora, 'city');
SELECT cdp.identify(user_id => 'dora', traits => '{"city": null}') = :dora AS is_dora;
SELECT traits -> 'city' AS city FROM cdp.profiles WHERE profile_id = :dora;
-- With time alone, at its instant.
SELECT lapses_at = (SELECT min(until) FROM cdp.computed_trait_values WHERE profile_id = :dora) AS waits FROM cdp_internal.trait_lapses WHERE profile_id = :dora;
-- When it becomes another one, for those who have it.
SELECT cdp.alter_computed_trait('favourite_city', $$min(properties ->> 'city') FILTER (WHERE event = 'Visited')$$);
CALL cdp.run();
SELECT traits -> 'city' AS city FROM cdp.profiles WHERE profile_id = :dora;
SELECT profile_id = :dora AS is_dora FROM cdp.members('in_delft');
SELECT * FROM cdp.verify();
-- It is followed when it is renamed, cannot be dropped, and cannot ask for what falls back on it.
SELECT cdp.rename_computed_trait('favourite_city', 'home');
SELECT strategy, computed FROM cdp.survivorship_rules WHERE policy = 'default' AND trait = 'city' AND place = 2;
SELECT * FROM cdp.pending_survivorship();
SELECT cdp.drop_computed_trait('home');
SELECT cdp.alter_computed_trait('home', $$CASE WHEN traits ->> 'city' = 'Delft' THEN 'Gouda' END$$);
SELECT cdp.set_survivorship('city', 'computed:nowhere');
SELECT cdp.set_survivorship('c*', 'computed:home');
SELECT cdp.set_survivorship('city', 'computed');
SELECT cdp.set_survivorship('city', 'computed:home', maximum_age => '1 day');

-- What is said of a time to come counts from when it is received: what comes after it is newer.
SELECT cdp.identify(user_id => 'emil', traits => '{"tier": "gold"}', "timestamp" => now() + interval '1 year') AS emil \gset
SELECT cdp.identify(user_id => 'emil', traits => '{"tier": "basic"}') = :emil AS is_emil;
SELECT traits -> 'tier' AS tier FROM cdp.profiles WHERE profile_id = :emil;
SELECT value, since <= now() AS holds FROM cdp.trait_history(:emil, 'tier');
SELECT cdp.profile(:emil, at => now()) #> '{traits,tier}' AS tier;

-- Values that a strategy cannot weigh are left out, and say so; a definition makes them numbers.
SELECT cdp.identify(user_id => 'emil', traits => '{"points": "12"}') = :emil AND cdp.identify(user_id => 'emil', traits => '{"points": 5}') = :emil AS is_emil;
SELECT cdp.set_survivorship('points', 'sum');
SELECT cdp.apply_survivorship() > 0 AS applied;
CALL cdp.run();
SELECT outcome, because, value FROM cdp.why_trait(:emil, 'points');
SELECT cdp.define_trait('points', 'int');
SELECT cdp.define_trait('points', 'integer');
SELECT cdp.apply_survivorship() > 0 AS applied;
CALL cdp.run();
SELECT outcome, because, value FROM cdp.why_trait(:emil, 'points') ORDER BY value;
SELECT * FROM cdp.verify();

-- What is wrong is said.
SELECT cdp.profile(1, events => -1);
SELECT cdp.profile(1, policy => NULL);
SELECT cdp.profile_diff(NULL);
SELECT cdp.golden_traits(1, NULL);
SELECT cdp.why_trait(1, 'x', NULL);
SELECT cdp.trait_history(1, 'x', NULL);
SELECT count(*) AS of_nobody FROM cdp.golden_traits(NULL);
SELECT count(*) AS of_nobody FROM cdp.golden_traits(999999);
SELECT count(*) AS of_no_trait FROM cdp.why_trait(1, NULL);
SELECT cdp.set_survivorship('x', 'latest', policy => NULL);
SELECT cdp.set_survivorship(NULL, 'latest');
SELECT cdp.set_survivorship('x', NULL);
SELECT cdp.drop_survivorship('x', NULL);
SELECT cdp.set_survivorship('x', 'newest');
SELECT cdp.set_survivorship('x', 'maximum_age');
SELECT cdp.set_survivorship('x', 'latest', maximum_age => '1 month');
SELECT cdp.set_survivorship('x', 'min', sources => '{crm}');
SELECT cdp.set_survivorship('x', 'aggregate:nowhere');
SELECT cdp.set_survivorship('x', 'aggregate:lower');
SELECT cdp.set_survivorship('x', 'latest', fallback => true);
SELECT cdp.set_survivorship('x', 'latest', policy => 'No Policy');
SELECT cdp.drop_survivorship('x');
SELECT cdp.profile(1, policy => 'x');
SELECT cdp.set_source_trust('crm', NULL);

SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
DROP SCHEMA stats CASCADE;
