-- traits_defined: what traits are, what does not fit, and where they come from.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';

SELECT cdp.identify(user_id => 'u1', traits => '{"balance": "49.95", "born": "2024-1-5", "plan": "gold", "vip": "yes", "visits": 3.0, "seen": "2024-01-05 10:30+02"}', "timestamp" => '2026-01-01Z', source => 'crm');
SELECT cdp.identify(user_id => 'u1', traits => '{"balance": "much", "plan": "platinum"}', "timestamp" => '2026-01-02Z', source => 'web');
SELECT cdp.define_trait('balance', 'money', unit => 'EUR', description => 'What is on the card');
SELECT cdp.define_trait('born', 'date', is_personal => true);
SELECT cdp.define_trait('plan', allowed_values => '{basic,gold}');
SELECT cdp.define_trait('vip', 'boolean');
SELECT cdp.define_trait('visits', 'integer', allowed_values => '{1,2,3}');
SELECT cdp.define_trait('seen', 'timestamp');
SELECT trait, type, unit, is_personal, allowed_values, description FROM cdp.trait_definitions ORDER BY trait;
-- A definition is pending, too.
SELECT * FROM cdp.profile_diff();
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT jsonb_pretty(traits) FROM cdp.profiles;
-- What was there already and does not fit is reported as what comes later is.
SELECT q.trait, q.value, q.code, q.hint, s.source FROM cdp.quarantined_traits AS q
JOIN cdp.assertions AS a USING (decision_seq) JOIN cdp.sources AS s USING (source_id) ORDER BY q.decision_seq, q.trait;
SELECT cdp.identify(user_id => 'u1', traits => '{"balance": {"amount": 7, "currency": "USD"}, "born": "2023-02-30", "vip": 2, "visits": 9, "seen": "noon", "name": "Anna"}', "timestamp" => '2026-01-03Z', source => 'web');
SELECT trait, value, code FROM cdp.quarantined_traits ORDER BY decision_seq, trait;
SELECT traits ->> 'name' AS name, traits ->> 'born' AS born FROM cdp.profiles;
SELECT status, value FROM cdp.health() WHERE check_name = 'trait values';
SELECT outcome, because, value, said FROM cdp.why_trait(1, 'balance');
SELECT * FROM cdp.verify();
-- A batch of messages goes on, whatever does not fit.
SELECT * FROM cdp.ingest('{"batch": [{"type": "identify", "userId": "u2", "traits": {"plan": "silver", "visits": "2"}}, {"type": "identify", "userId": "u2", "traits": {"plan": "basic"}}]}');
SELECT traits FROM cdp.profiles WHERE profile_id = 2;
-- Other definitions: what fits now counts again.
SELECT cdp.define_trait('plan', allowed_values => '{basic,gold,platinum}');
SELECT cdp.drop_trait_definition('vip');
SELECT * FROM cdp.profile_diff();
SELECT cdp.apply_survivorship();
CALL cdp.run();
SELECT trait, value, code FROM cdp.quarantined_traits ORDER BY decision_seq, trait;
SELECT traits -> 'plan' AS plan, traits -> 'vip' AS vip FROM cdp.profiles WHERE profile_id = 1;
SELECT * FROM cdp.verify();
-- verify() sees it when a value is lost.
BEGIN;
DELETE FROM cdp.quarantined_traits WHERE trait = 'born';
UPDATE cdp.profiles SET traits = traits || '{"born": "2024-01-06"}', rules_version = 99 WHERE profile_id = 2;
UPDATE cdp.profiles SET traits = traits || '{"born": "2024-01-06"}' WHERE profile_id = 1;
SELECT room, problem, subject FROM cdp.verify();
ROLLBACK;
-- What is wrong is said.
SELECT cdp.define_trait('x', 'colour');
SELECT cdp.define_trait('x', 'integer', allowed_values => '{1,two}');
SELECT cdp.define_trait('x', 'list', allowed_values => '{1}');
SELECT cdp.drop_trait_definition('x');

-- Every column of cdp that can hold personal data is registered, with what erasing and exporting people does with it.
SELECT c.oid::regclass AS "table", a.attname AS "column" FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
  AND NOT EXISTS (SELECT FROM cdp.personal_columns AS p WHERE p."table" = c.oid::regclass::text AND p."column" = a.attname) ORDER BY 1, 2;
SELECT p."table", p."column" AS not_there FROM cdp.personal_columns AS p
WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = to_regclass(p."table") AND a.attname = p."column" AND NOT a.attisdropped) ORDER BY 1, 2;
SELECT * FROM cdp.personal_columns WHERE erase <> 'keep' ORDER BY 1, 2;
SET client_min_messages = warning;
DROP EXTENSION cdp CASCADE;
