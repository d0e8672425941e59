-- accounts: companies and whoever belongs to them; their traits and segments, made of their people.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE VIEW people AS
  SELECT m.group_id, i.value AS who, m.since FROM cdp.account_members AS m JOIN cdp.identifiers AS i USING (profile_id) WHERE i.type = 'user_id';

-- Group messages say who belongs to an account, and what it is.
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"name": "Acme", "plan": "pro", "seats": 10}', "timestamp" => '2026-01-01Z') AS anna \gset
SELECT cdp."group"('acme', user_id => 'bert', "timestamp" => '2026-01-02Z') AS bert \gset
SELECT cdp."group"('acme', user_id => 'cleo', traits => '{"seats": null}', "timestamp" => '2026-01-03Z') AS cleo \gset
SELECT cdp."group"('globex', user_id => 'cleo', traits => '{"name": "Globex", "plan": "free"}', "timestamp" => '2026-01-04Z') = :cleo AS is_cleo;
SELECT cdp."group"('initech', user_id => 'dirk', "timestamp" => '2026-01-05Z') AS dirk \gset
SELECT group_id, traits, members FROM cdp.accounts ORDER BY group_id;
SELECT * FROM people ORDER BY 1, 2;
-- What was said earlier and comes later changes nothing that was said after it.
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"plan": "trial", "country": "NL"}', "timestamp" => '2025-12-01Z') = :anna AS is_anna;
SELECT traits FROM cdp.accounts WHERE group_id = 'acme';
SELECT * FROM people WHERE who = 'anna';

-- Leaving is a message, too; who joins again is back, since then.
SELECT cdp.leave_group('acme', user_id => 'bert', "timestamp" => '2026-02-01Z') = :bert AS is_bert;
SELECT accepted FROM cdp.ingest('{"type": "group", "messageId": "m-1", "groupId": "initech", "userId": "dirk", "context": {"left": true}, "timestamp": "2026-02-01T00:00:00Z"}');
SELECT cdp."group"('acme', user_id => 'bert', "timestamp" => '2026-01-15Z') = :bert AS is_bert;
SELECT group_id, who FROM people ORDER BY 1, 2;
SELECT group_id, members FROM cdp.accounts WHERE group_id = 'initech';
SELECT cdp."group"('acme', user_id => 'bert', "timestamp" => '2026-03-01Z') = :bert AS is_bert;
SELECT * FROM people WHERE who = 'bert';
SELECT cdp.profile(:dirk) -> 'groups' AS dirk, cdp.profile(:cleo) -> 'groups' AS cleo;

-- Traits that are made of the people: what they are, what they did (by computed traits), which segments they are in.
SELECT cdp.create_computed_trait('total_spend', $$
  sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')
$$) > 0 AS created;
SELECT cdp.create_segment('active', $$
  count(*) FILTER (WHERE occurred_at > now() - interval '30 days') > 0
$$) > 0 AS created;
SELECT cdp.identify(user_id => w, traits => jsonb_build_object('role', r)) IS NOT NULL AS known
FROM (VALUES ('anna', 'buyer'), ('bert', 'user'), ('cleo', 'user')) AS p (w, r);
SELECT cdp.track('Order Completed', user_id => w, properties => jsonb_build_object('total', t), "timestamp" => now() - d) IS NOT NULL AS known
FROM (VALUES ('anna', 120.00, interval '100 days'), ('anna', 30.50, interval '1 day'), ('cleo', 9.50, interval '2 days')) AS o (w, t, d);

SELECT cdp.create_account_trait('spend', $$sum((computed ->> 'total_spend')::numeric)$$) > 0 AS created;
SELECT cdp.create_account_trait('active_people', $$count(*) FILTER (WHERE cdp.in_segment('active'))$$) > 0 AS created;
SELECT cdp.create_account_trait('roles', $$array_agg(DISTINCT traits ->> 'role') FILTER (WHERE traits ? 'role')$$) > 0 AS created;
SELECT cdp.create_account_trait('plan', $$account_traits ->> 'plan'$$) > 0 AS created;
SELECT cdp.create_account_trait('newest', $$max(since)$$, time_zone => 'Europe/Amsterdam') > 0 AS created;
SELECT trait, group_id, value FROM cdp.account_trait_values ORDER BY 1, 2;

-- Segments of accounts: any, all, none, at least so many of their people, and what the account is.
SELECT cdp.create_account_segment('has_buyer', $$bool_or(traits ->> 'role' = 'buyer')$$) > 0 AS created;
SELECT cdp.create_account_segment('all_active', $$bool_and(cdp.in_segment('active'))$$) > 0 AS created;
SELECT cdp.create_account_segment('no_buyer', $$NOT coalesce(bool_or(traits ->> 'role' = 'buyer'), false)$$) > 0 AS created;
SELECT cdp.create_account_segment('enterprise', $$
  account_traits ->> 'plan' = 'pro' AND (account_computed ->> 'spend')::numeric >= 100
  AND count(*) FILTER (WHERE cdp.in_segment('active')) >= 2
$$) > 0 AS created;
SELECT segment, group_id FROM cdp.account_segment_members ORDER BY 1, 2;
SELECT cdp.account('acme') - '{first_seen_at,last_seen_at,members}'::text[] AS acme;
SELECT jsonb_array_length(cdp.account('acme', members => 2) -> 'members') AS shown, cdp.account('nobody');

-- One account is judged when it is asked about; lists of all of them are as of their last refresh, and say when that was.
SELECT cdp.track('Order Completed', user_id => 'dirk', properties => '{"total": 500}') = :dirk AS is_dirk;
SELECT cdp."group"('initech', user_id => 'dirk', traits => '{"plan": "pro"}') = :dirk AS is_dirk;
SELECT cdp.account('initech') -> 'computed' -> 'spend' AS spend, cdp.account('initech') -> 'segments' AS segments;
SELECT count(*) FROM cdp.account_trait_values WHERE group_id = 'initech' AND trait = 'spend';
SELECT cdp.refresh_all_accounts();
SELECT value, since = refreshed_at AS since_then FROM cdp.account_trait_values WHERE group_id = 'initech' AND trait = 'spend';
SELECT segment FROM cdp.account_segment_members WHERE group_id = 'initech' ORDER BY 1;
-- When they are due the worker does it, or
SELECT cdp.leave_group('initech', user_id => 'dirk') = :dirk AS is_dirk;
UPDATE cdp.account_definitions SET tried_at = tried_at - interval '1 hour' WHERE name = 'spend';
CALL cdp.run();
SELECT name, value, until <> 'infinity' AS is_over FROM cdp.account_history WHERE group_id = 'initech' AND name IN ('spend', 'active_people') ORDER BY 1;
SELECT * FROM cdp.verify();

-- People's rules ask about their accounts: any they belong to.
SELECT cdp.refresh_all_accounts();
SELECT cdp.create_segment('enterprise_people', $$cdp.in_account_segment('enterprise') AND traits ->> 'role' = 'user'$$, refresh => '10 minutes') > 0 AS created;
SELECT cdp.create_segment('pro_people', $$'pro' = ANY (cdp.account_values('plan'))$$) > 0 AS created;
SELECT cdp.create_segment('free_only', $$'free' = ANY (cdp.account_values('plan')) AND NOT 'pro' = ANY (cdp.account_values('plan'))$$) > 0 AS created;
SELECT cdp.create_segment('in_big_accounts', query => $$
  SELECT m.profile_id FROM cdp.account_members AS m JOIN cdp.accounts AS a USING (group_id) WHERE a.members >= 3
$$) > 0 AS created;
SELECT s.segment, i.value AS who FROM cdp.segment_members AS s JOIN cdp.identifiers AS i USING (profile_id)
WHERE i.type = 'user_id' AND s.segment IN ('enterprise_people', 'pro_people', 'free_only', 'in_big_accounts') ORDER BY 1, 2;

-- People who become one, and are taken apart again: accounts follow by themselves.
SELECT cdp."group"('globex', anonymous_id => 'phone') AS phone \gset
SELECT members FROM cdp.accounts WHERE group_id = 'globex';
SELECT cdp.identify(user_id => 'cleo', anonymous_id => 'phone') = :cleo AS is_cleo;
SELECT members FROM cdp.accounts WHERE group_id = 'globex';
SELECT cdp.split_profile(:cleo, '{"anonymous_id": "phone"}', 'it is her sister''s') IS NOT NULL AS split;
SELECT members FROM cdp.accounts WHERE group_id = 'globex';

-- Changed, renamed, dropped. What accounts ask for keeps its name in their definitions, and stays while they ask.
SELECT cdp.alter_account_segment('no_buyer', $$count(*) FILTER (WHERE traits ->> 'role' = 'buyer') = 0 AND count(*) > 0$$);
SELECT group_id, until <> 'infinity' AS is_over FROM cdp.account_history WHERE name = 'no_buyer' ORDER BY 1;
SELECT cdp.alter_account_trait('newest', refresh => '1 day');
SELECT cdp.alter_account_trait('newest', 'min(since)', background => true);
SELECT value FROM cdp.account_trait_values WHERE trait = 'newest' AND group_id = 'acme';
CALL cdp.run();
SELECT value FROM cdp.account_trait_values WHERE trait = 'newest' AND group_id = 'acme';
SELECT cdp.rename_segment('active', 'lively');
SELECT cdp.rename_computed_trait('total_spend', 'totalSpend');
SELECT cdp.rename_account_trait('spend', 'accountSpend');
SELECT cdp.rename_account_segment('has_buyer', 'with_buyer');
SELECT kind, name, refresh, expression FROM cdp.account_definitions WHERE name IN ('accountSpend', 'active_people', 'enterprise', 'with_buyer') ORDER BY 1, 2;
SELECT cdp.account('acme') -> 'segments' AS segments;
BEGIN;
SELECT cdp.drop_segment('lively', cascade => true);
ROLLBACK;
SELECT cdp.drop_segment('lively');
SELECT cdp.drop_computed_trait('totalSpend');
SELECT cdp.drop_account_trait('accountSpend');
SELECT cdp.drop_account_trait('accountSpend', cascade => true);
SELECT cdp.drop_account_segment('no_buyer');
SELECT kind, name FROM cdp.account_definitions ORDER BY 1, 2;

-- What fails for one account keeps what that one had, and holds up no other.
SELECT cdp.create_account_trait('seats', $$(account_traits ->> 'seats')::integer$$) > 0 AS created;
SELECT cdp."group"(g, user_id => 'anna', traits => jsonb_build_object('seats', s)) = :anna AS is_anna FROM (VALUES ('acme', '12'), ('globex', '7')) AS v (g, s);
SELECT cdp.refresh_all_accounts();
SELECT cdp."group"(g, user_id => 'anna', traits => jsonb_build_object('seats', s)) = :anna AS is_anna FROM (VALUES ('acme', 'many'), ('globex', '8')) AS v (g, s);
SELECT cdp.refresh_all_accounts();
SELECT group_id, value FROM cdp.account_trait_values WHERE trait = 'seats' ORDER BY 1;
SELECT d.name, e.group_id, e.sqlstate, e.message FROM cdp.account_errors AS e JOIN cdp.account_definitions AS d USING (definition_id);
SELECT cdp.account('acme') -> 'errors' AS errors;
SELECT status, value FROM cdp.health() WHERE check_name = 'account traits and segments';
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"seats": 13}') = :anna AS is_anna;
SELECT cdp.refresh_all_accounts();
SELECT status, value FROM cdp.health() WHERE check_name = 'account traits and segments';
-- What cannot run at all keeps everything as it was.
CREATE FUNCTION public.doubled(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
SELECT cdp.create_account_trait('doubled', $$public.doubled(count(*))$$) > 0 AS created;
DROP FUNCTION public.doubled;
UPDATE cdp.account_definitions SET tried_at = NULL WHERE name = 'doubled';
CALL cdp.run();
SELECT e.group_id, e.sqlstate, e.message FROM cdp.account_errors AS e;
SELECT group_id, value FROM cdp.account_trait_values WHERE trait = 'doubled' ORDER BY 1;
SELECT cdp.refresh_all_accounts();
SELECT cdp.account('globex') -> 'errors' AS errors;
SELECT cdp.drop_account_trait('doubled');
SELECT * FROM cdp.account_errors;

-- What cannot be said, at the place where it is.
SELECT cdp.create_account_trait('wrong', $$sum((computed ->> 'total')::numeric)$$);
SELECT cdp.create_account_trait('wrong', $$sum(properties ->> 'total')$$);
SELECT cdp.create_account_trait('wrong', $$traits ->> 'role'$$);
SELECT cdp.create_account_trait('wrong', $$count(*) FROM pg_class$$);
SELECT cdp.create_account_trait('wrong', $$count(computed)$$);
SELECT cdp.create_account_trait('wrong', $$(account_computed ->> 'plan')$$);
SELECT cdp.create_account_trait('wrong', $$count(*) * random()$$);
SELECT cdp.create_account_trait('wrong', $$max(since) > 'today'$$);
SELECT cdp.create_account_trait('wrong', $$'x'$$);
SELECT cdp.create_account_trait('wrong', $$count(person)$$);
SELECT cdp.create_account_trait('wrong', $$bool_or(cdp.in_segment(traits ->> 'role'))$$);
SELECT cdp.create_account_trait('wrong', NULL);
SELECT cdp.create_account_trait('wrong', 'count(*)', refresh => '0');
SELECT cdp.create_account_trait('wrong', 'count(*)', time_zone => 'Mars');
SELECT cdp.create_account_trait('two words', 'count(*)');
SELECT cdp.create_account_trait('plan', 'count(*)');
SELECT cdp.create_account_segment('Wrong', 'true');
SELECT cdp.create_account_segment('wrong', 'count(*)');
SELECT cdp.create_account_segment('wrong', $$bool_or(cdp.in_segment('nobody'))$$);
SELECT cdp.create_account_segment('wrong', $$(account_computed ->> 'spent')::numeric > 1$$);
SELECT cdp.create_account_segment('wrong', $$cdp.in_segment('lively')$$);
SELECT cdp.alter_account_segment('wrong', 'true');
SELECT cdp.create_segment('wrong', $$cdp.in_account_segment(traits ->> 'x')$$);
SELECT cdp.create_segment('wrong', $$cdp.in_account_segment('nothing')$$);
SELECT cdp.in_account_segment('with_buyer');
SELECT cdp.in_account_segment(NULL, 1);
SELECT cdp.leave_group('acme');

SELECT cdp.account('acme', members => -1);
SELECT cdp.create_account_trait('wrong', $$max(account_traits ->> 'plan')$$);
-- Nor what is another at every refresh; to ask for it stands still.
SELECT cdp.create_account_trait('wrong', $$now() - max(since)$$);
SELECT cdp.create_account_trait('stale', $$now() - max(since) > interval '30 days'$$) > 0 AS created;
SELECT cdp.drop_account_trait('stale');

-- Who is nobody does not become somebody by leaving, nor does an account.
SELECT cdp.leave_group('ghosts', user_id => 'nobody') IS NULL AS is_nobody, cdp.lookup('user_id', 'nobody') IS NULL AS unknown;
SELECT cdp.leave_group('ghosts', user_id => 'anna') = :anna AS is_anna;
SELECT count(*) FROM cdp.accounts WHERE group_id = 'ghosts';

-- Rules of people and columns of views follow a rename, and are named when somebody drops what they ask for.
SELECT cdp.create_account_segment('big', 'count(*) >= 2') > 0 AND cdp.create_account_trait('size', 'count(*)') > 0 AS created;
SELECT cdp.create_segment('of_big', $$cdp.in_account_segment('big') OR '2' = ANY (cdp.account_values('size'))$$) > 0 AS created;
SELECT cdp.create_profile_view('with_accounts', '["accounts", "account size", "account_segment big"]');
SELECT * FROM cdp_views.with_accounts ORDER BY 1;
SELECT cdp.rename_account_segment('big', 'large');
SELECT cdp.rename_account_trait('size', 'people');
SELECT rule FROM cdp.segments WHERE name = 'of_big';
SELECT cdp.refresh_segment('of_big');
SELECT count(*) FROM cdp.members('of_big');
SELECT column_name, source, filled FROM cdp.check_profile_view('with_accounts');
SELECT cdp.drop_account_segment('large');
SELECT cdp.drop_account_trait('people');
-- They are among all definitions.
SELECT cdp.export_definitions() AS text \gset
SELECT cdp.drop_account_segment('large', cascade => true);
SELECT * FROM cdp.import_definitions(:'text') WHERE action <> 'unchanged';
SELECT count(*) FROM cdp.import_definitions(:'text') WHERE action <> 'unchanged';
SELECT cdp.drop_segment('of_big');
SELECT cdp.drop_account_segment('large');
SELECT cdp.drop_account_trait('people');

-- Which of several sources is right about an account: policy accounts.
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"plan": "enterprise", "employees": 120}', source => 'crm', "timestamp" => '2025-06-01Z') = :anna AS is_anna;
SELECT cdp."group"('acme', user_id => 'anna', traits => '{"employees": 80}', source => 'web', "timestamp" => '2026-04-01Z') = :anna AS is_anna;
SELECT traits FROM cdp.accounts WHERE group_id = 'acme';
SELECT cdp.set_survivorship('plan', 'source_priority', policy => 'accounts', sources => '{crm}');
SELECT cdp.set_survivorship('employees', 'max', policy => 'accounts');
SELECT cdp.apply_survivorship() > 0 AS applied;
SELECT outcome, because, value, source FROM cdp.why_account_trait('acme', 'plan');
SELECT * FROM cdp.account_diff();
SELECT outcome, because, value FROM cdp.why_account_trait('acme', 'employees');
SELECT count(*) AS of_nobody FROM cdp.why_account_trait('nobody', 'plan');
SELECT traits FROM cdp.accounts WHERE group_id = 'acme';
SELECT cdp.profile(:anna, policy => 'accounts');
SELECT cdp.set_survivorship('plan', 'computed:total_spend', policy => 'accounts');
SELECT cdp.drop_survivorship('plan', 'accounts');
SELECT cdp.drop_survivorship('employees', 'accounts');
SELECT * FROM cdp.account_diff();
-- Which is what applying it makes of them.
CREATE TEMP TABLE said_before AS SELECT a.group_id, t.* FROM cdp.accounts AS a, jsonb_each(a.traits) AS t;
CREATE TEMP TABLE told AS SELECT * FROM cdp.account_diff();
SELECT cdp.apply_survivorship() > 0 AS applied;
SELECT a.group_id, d.trait, d.old IS NOT DISTINCT FROM b.value AS was, d.new IS NOT DISTINCT FROM a.traits -> d.trait AS is
FROM told AS d JOIN cdp.accounts AS a USING (group_id) LEFT JOIN said_before AS b ON b.group_id = d.group_id AND b.key = d.trait ORDER BY 1, 2;
SELECT count(*) AS unlike FROM cdp.accounts AS a CROSS JOIN LATERAL jsonb_each(a.traits) AS t LEFT JOIN said_before AS b ON b.group_id = a.group_id AND b.key = t.key
WHERE b.value IS DISTINCT FROM t.value AND NOT EXISTS (SELECT FROM told AS d WHERE d.group_id = a.group_id AND d.trait = t.key);

-- Whoever makes segments makes these; an expression sees what its owner may see, and only its owner changes it.
CREATE ROLE regress_cdp_accounts;
SELECT cdp.grant_access('regress_cdp_accounts', 'marketer');
CREATE TABLE public.prices AS SELECT 5 AS price;
SET ROLE regress_cdp_accounts;
SELECT cdp.create_account_trait('mine', 'count(*)') > 0 AS created;
SELECT cdp.create_account_trait('priced', '(SELECT max(price) FROM public.prices) * count(*)') > 0 AS created;
SELECT cdp.drop_account_trait('plan');
SELECT cdp.refresh_all_accounts();
SELECT cdp.leave_group('acme', user_id => 'anna');
SELECT group_id, members FROM cdp.accounts WHERE group_id = 'acme';
SELECT cdp.account('acme') -> 'computed' ->> 'mine' AS mine;
DELETE FROM cdp.account_results;
RESET ROLE;
SELECT * FROM cdp.verify();

-- Checks of what is kept see it when it is not right.
UPDATE cdp.account_results SET value = '1' WHERE definition_id = (SELECT definition_id FROM cdp.account_definitions WHERE name = 'with_buyer') AND group_id = 'acme';
UPDATE cdp.account_results SET group_id = 'ghost' WHERE definition_id = (SELECT definition_id FROM cdp.account_definitions WHERE name = 'plan') AND group_id = 'acme';
UPDATE cdp.account_results SET entered_at = now() + interval '1 day' WHERE definition_id = (SELECT definition_id FROM cdp.account_definitions WHERE name = 'seats') AND left_at = 'infinity' AND group_id = 'globex';
DELETE FROM cdp.account_definitions WHERE name = 'mine';
SELECT room, problem, count(*) FROM cdp.verify() GROUP BY 1, 2 ORDER BY 1, 2;

SET client_min_messages = warning;
DROP VIEW people;
DROP TABLE public.prices;
DROP EXTENSION cdp CASCADE;
DROP OWNED BY regress_cdp_accounts;
DROP ROLE regress_cdp_accounts;
