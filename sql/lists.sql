-- lists: segments of people who are put on them, by identifiers, so that an entry follows its person.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SELECT cdp.identify(user_id => 'anna', traits => '{"country": "NL"}') AS anna \gset
SELECT cdp.identify(user_id => 'bob', traits => '{"country": "DE"}') AS bob \gset
SELECT cdp.identify(anonymous_id => 'phone-1') AS phone \gset
CREATE VIEW who AS SELECT m.segment, i.value AS member, m.until FROM cdp.segment_members AS m JOIN cdp.identifiers AS i ON i.identifier_id = m.profile_id;

-- A list is a segment like any other; its members are those who are put on it.
SELECT cdp.create_list('vips') > 0 AS created;

-- By profile_id, by a query, by identifiers in whatever spelling. The number is how many entries are new or changed.
SELECT cdp.add_members('vips', ARRAY[cdp.lookup('user_id', 'anna')], reason => 'met at the fair');
SELECT cdp.add_members('vips', query => $$SELECT profile_id FROM cdp.profiles WHERE traits ->> 'country' = 'DE'$$);
SELECT cdp.add_members('vips', 'email', ARRAY['Cleo@Example.com', 'dirk@example.com'], expires_at => now() + interval '30 days');
SELECT member, until FROM who ORDER BY member;
SELECT member FROM cdp_segments.vips JOIN who ON segment = 'vips' AND member = 'anna' AND profile_id = :anna;

-- An identifier may be on a list before anybody has it: the person is a member in the commit that names them.
SELECT cdp.identify(user_id => 'cleo', traits => '{"email": "cleo@example.com"}') AS cleo \gset
SELECT member, round(extract(epoch FROM until - now()) / 86400) AS days_left FROM who WHERE member LIKE 'cleo%';
-- It ends by itself, as everything does in cdp.
SELECT count(*) FROM cdp.members('vips', at => now() + interval '31 days');

-- Somebody who is known already names such an identifier. It was there first, so it gives the person its number.
SELECT cdp.identify(user_id => 'bert') IS NOT NULL AS bert;
SELECT cdp.identify(user_id => 'bert', traits => '{"email": "dirk@example.com"}') = cdp.lookup('user_id', 'bert') AS is_bert;
SELECT member FROM who WHERE member LIKE 'dirk%';

-- Entries follow their identifiers: through a merge,
SELECT cdp.create_list('app_testers') > 0 AS created;
SELECT cdp.add_members('app_testers', 'anonymous_id', ARRAY['phone-1']);
SELECT member FROM who WHERE segment = 'app_testers';
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'phone-1') = :anna AS is_anna;
SELECT member FROM who WHERE segment = 'app_testers';
-- and through a split.
SELECT cdp.split_profile(:anna, '{"anonymous_id": "phone-1"}', 'it is her sister''s') IS NOT NULL AS split;
SELECT member FROM who WHERE segment = 'app_testers';
SELECT member FROM who WHERE segment = 'vips' ORDER BY 1;

-- A message on a shared device is of who was last on it, but what it shows of the device is not: lists know the difference.
SELECT cdp.alter_identifier_type('anonymous_id', sharing => 'latest'), cdp.apply_identity_rules() > 0 AS applied;
CALL cdp.run();
SELECT cdp.track('Opened', user_id => 'gina', anonymous_id => 'tv-1') IS NOT NULL AS gina;
SELECT cdp.track('Opened', user_id => 'hugo', anonymous_id => 'tv-1') IS NOT NULL AS hugo;
SELECT cdp.add_members('app_testers', 'anonymous_id', ARRAY['remote-1']);
SELECT cdp.track('Opened', anonymous_id => 'tv-1', identifiers => '{"anonymous_id": "remote-1"}') = cdp.lookup('user_id', 'hugo') AS is_of_hugo;
SELECT member FROM who WHERE segment = 'app_testers' ORDER BY 1;
SELECT cdp.remove_members('app_testers', 'anonymous_id', ARRAY['remote-1']);
SELECT * FROM cdp.verify();

-- Why is somebody on it?
SELECT condition, holds, "values" - 'added_at' - 'added_by' AS "values" FROM cdp.why_member('vips', :anna) WHERE condition <> 'until';

-- Adding again changes until when, and tells why anew; what was over begins anew.
SELECT cdp.add_members('vips', ARRAY[:anna], expires_at => now() + interval '1 day', reason => 'met at the fair');
SELECT cdp.add_members('vips', ARRAY[:bob]);
SELECT count(*) FROM cdp.members('vips', at => now() + interval '2 days') WHERE profile_id = :anna;
SELECT cdp.add_members('vips', ARRAY[:bob], expires_at => now() - interval '1 day');
SELECT member FROM who WHERE member = 'bob';
SELECT cdp.add_members('vips', ARRAY[:bob]);
SELECT member, until FROM who WHERE member = 'bob';

-- Taking off.
SELECT cdp.remove_members('vips', ARRAY[:bob]);
SELECT cdp.remove_members('vips', 'email', ARRAY['CLEO@example.com', 'nobody@example.com']);
SELECT cdp.remove_members('vips', query => 'SELECT profile_id FROM cdp.profiles WHERE profile_id = cdp.lookup(''user_id'', ''bert'')');
SELECT member FROM who WHERE segment = 'vips' ORDER BY 1;

-- In bulk: COPY. What could not be put on its list stays there, with the reason.
COPY cdp.list_imports (segment, type, value, expires_at) FROM STDIN WITH (FORMAT csv, HEADER);
segment,type,value,expires_at
vips,user_id,bob,
vips,email,Erik@Example.com,2099-01-01
vips,email,not an address,
vips,shoe_size,43,
guests,user_id,bob,
app_testers,user_id,bob,
app_testers,user_id,bob,
\.
SELECT segment, type, value, problem FROM cdp.list_imports ORDER BY import_id;
SELECT segment, member FROM who ORDER BY 1, 2;
SELECT s.name, i.type, i.value, l.expires_at > now() AS will_expire FROM cdp.list_members AS l JOIN cdp.segments AS s USING (segment_id) JOIN cdp.identifiers AS i USING (identifier_id)
ORDER BY 1, 2, 3;

-- What is left out is said.
SELECT cdp.add_members('vips', ARRAY[:anna, 4711, NULL]);
SELECT cdp.add_members('vips', 'email', ARRAY['nobody', 'frits@example.com', NULL]);
SELECT cdp.add_members('vips', 'shoe_size', ARRAY['43']);
SELECT cdp.add_members('vips', ARRAY[]::bigint[]);
SELECT cdp.add_members('vips', query => 'SELECT value FROM cdp.identifiers');
SELECT cdp.add_members('vip', ARRAY[:anna]);
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$) > 0 AS created;
SELECT cdp.add_members('dutch', ARRAY[:anna]);
SELECT cdp.alter_segment('vips', rule => 'true');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT cdp.add_members('vips', ARRAY[:anna]);
ROLLBACK;

-- Only its owner, or an administrator, changes a list.
CREATE ROLE regress_cdp_lister;
SELECT cdp.grant_access('regress_cdp_lister', 'marketer');
SET ROLE regress_cdp_lister;
SELECT cdp.add_members('vips', ARRAY[1]);
COPY cdp.list_imports (segment, type, value) FROM STDIN;
vips	user_id	cleo
\.
SELECT value, problem FROM cdp.list_imports WHERE value = 'cleo';
SELECT cdp.create_list('mine') > 0 AS created;
SELECT cdp.add_members('mine', 'user_id', ARRAY['cleo']);
RESET ROLE;
SELECT segment FROM who WHERE member LIKE 'cleo%';

-- A list that is disabled has no members, and keeps what is on it.
SELECT cdp.disable_segment('mine');
SELECT count(*) FROM cdp.members('mine');
SELECT cdp.identify(user_id => 'cleo', anonymous_id => 'tablet-7') = :cleo AS is_cleo;
SELECT cdp.enable_segment('mine');
SELECT count(*) FROM cdp.members('mine');
SELECT * FROM cdp.verify();

DELETE FROM cdp.list_members WHERE segment_id = (SELECT segment_id FROM cdp.segments WHERE name = 'mine');
SELECT room, problem, stored, expected FROM cdp.verify();

SET client_min_messages = warning;
DROP VIEW who;
DROP EXTENSION cdp CASCADE;
DROP ROLE regress_cdp_lister;
