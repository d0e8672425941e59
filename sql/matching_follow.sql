-- A matcher that follows a table: docs/matching.md, third part.
\getenv sources PG_ABS_SRCDIR
\set crm :sources '/sql/crm.inc'
\set ECHO none
\i :crm
\set ECHO all
SELECT cdp.create_matcher('crm', cdp.people_matcher(
  '{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born",
    "postal_code": "zip", "city": "town", "email": "mail"}', id_column => 'id'));
SELECT count(*) > 0 AS trained FROM cdp.train_matcher('crm', 'crm');

SELECT cdp.follow_matches('crm', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
SELECT matcher, records, state, behind FROM cdp.followed_matchers;
SELECT linked > 0 AS linked, waiting > 0 AS waiting, gone FROM cdp.update_matches('crm');
SELECT state, number_of_records, changed_since FROM cdp.followed_matchers;

-- It is what find_matches finds: another matcher with the same parameters, run once.
SELECT cdp.create_matcher('once', cdp.export_matcher('crm'));
SELECT linked > 0 AS linked FROM cdp.find_matches('once', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
CREATE VIEW other AS (SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'crm' AND found <> 'gone'
  EXCEPT SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'once')
  UNION ALL (SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'once' AND found <> 'gone'
  EXCEPT SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'crm');
SELECT count(*) FROM other;

-- Somebody new, who is there already; somebody moves; somebody goes.
INSERT INTO crm SELECT 9001, first_name, last_name, born, zip, town, NULL FROM crm WHERE id = 70;
UPDATE crm SET first_name = NULL, last_name = 'Unknown', born = NULL, mail = NULL WHERE id = 60;
DELETE FROM crm WHERE id = 80;
SELECT state, behind FROM cdp.followed_matchers;
CALL cdp.run();
SELECT state, behind, number_of_records, changed_since FROM cdp.followed_matchers;
SELECT id_l, id_r, state FROM cdp.matches WHERE '9001' IN (id_l, id_r) ORDER BY match_weight DESC LIMIT 1;
SELECT count(*) FILTER (WHERE '60' IN (id_l, id_r)) AS of_60, count(*) FILTER (WHERE '80' IN (id_l, id_r)) AS of_80 FROM cdp.matches WHERE matcher = 'crm' AND state <> 'gone';
SELECT id, cluster_id FROM cdp.match_clusters WHERE id IN ('70', '9001') ORDER BY id;
-- What matters to nobody is not noted, and what changes nothing changes nothing.
ALTER TABLE crm ADD COLUMN remark text;
UPDATE crm SET remark = 'seen';
UPDATE crm SET first_name = first_name;
SELECT behind FROM cdp.followed_matchers;
SELECT linked, waiting, gone FROM cdp.update_matches('crm', ids => '{70}');

-- What people said holds.
SELECT cdp.accept_match((SELECT match_id FROM cdp.match_review WHERE matcher = 'crm' LIMIT 1), 'the same handwriting', 'anna');
UPDATE crm SET town = 'Elsewhere' WHERE id::text IN (SELECT id_l FROM cdp.match_decisions);
SELECT gone FROM cdp.update_matches('crm');
SELECT state FROM cdp.matches AS m JOIN cdp.match_decisions AS d USING (matcher, id_l, id_r);

-- All anew when the matcher learnt something else, and when the table was emptied.
SELECT count(*) > 0 AS trained FROM cdp.train_matcher('crm', 'crm', seed => 2);
SELECT state FROM cdp.followed_matchers;
SELECT linked > 0 AS linked FROM cdp.update_matches('crm');
DELETE FROM cdp.matches WHERE matcher = 'once';
SELECT cdp.drop_matcher('once');
SELECT cdp.create_matcher('once', cdp.export_matcher('crm'));
SELECT linked > 0 AS linked FROM cdp.find_matches('once', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
SELECT count(*) FROM other;
TRUNCATE crm;
SELECT state FROM cdp.followed_matchers;
CALL cdp.run();
SELECT state, number_of_records FROM cdp.followed_matchers;
SELECT count(*) FROM cdp.matches WHERE matcher = 'crm' AND found <> 'gone';

-- What is refused.
\set SHOW_CONTEXT never
SELECT cdp.follow_matches('nobody', 'crm');
SELECT cdp.follow_matches('crm', 'crm');
SELECT cdp.follow_matches('once', 'crm', 0.5, 0.9);
SELECT cdp.follow_matches('once', 'other');
CREATE TEMP TABLE short AS SELECT * FROM crm;
SELECT cdp.follow_matches('once', 'short');
SELECT * FROM cdp.find_matches('crm', 'crm');
SELECT * FROM cdp.update_matches('once');
SELECT cdp.unfollow_matches('once');

-- A steward follows what they may read and make triggers on, and sees it.
CREATE ROLE match_steward;
SELECT cdp.grant_access('match_steward', 'steward');
SET ROLE match_steward;
SELECT cdp.follow_matches('once', 'crm');
RESET ROLE;
GRANT SELECT, TRIGGER ON crm TO match_steward;
SET ROLE match_steward;
SELECT cdp.follow_matches('once', 'crm');
SELECT linked, waiting, gone >= 0 AS gone FROM cdp.update_matches('once');
SELECT matcher, owner, state FROM cdp.followed_matchers ORDER BY matcher;
SELECT cdp.unfollow_matches('once');
RESET ROLE;

-- No longer: what was found stays.
SELECT cdp.unfollow_matches('crm');
SELECT (SELECT count(*) FROM cdp_internal.match_records) AS records, (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm'::regclass) AS triggers;
DROP VIEW other;
DROP TABLE crm;
DROP OWNED BY match_steward;
DROP ROLE match_steward;

-- What nobody has two of: father and son of one name in one house, each there twice, and a record that says too little.
CREATE TABLE kin (id integer PRIMARY KEY, first_name text, last_name text, born text, zip text, town text);
INSERT INTO kin SELECT i, 'John', 'Smith', b, '1234', 'Leiden' FROM (VALUES (1, '1950-03-01'), (2, '1950-03-01'), (3, '1981-07-12'), (4, '1981-07-12'), (5, NULL)) AS v (i, b);
CREATE FUNCTION kin_settings(also jsonb) RETURNS jsonb LANGUAGE sql RETURN cdp.people_matcher('{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born", "postal_code": "zip", "city": "town"}', id_column => 'id')
  || '{"probability_two_random_records_match": 0.1, "total_pairs_per_record": 1000}' || also;
SELECT cdp.create_matcher('anybody', kin_settings('{}'));
SELECT cdp.create_matcher('kin', kin_settings('{"unique_columns": ["born"]}'));
SELECT cdp.export_matcher('kin') -> 'unique_columns' AS kept;
UPDATE cdp.matcher_levels SET tf_column = NULL WHERE matcher IN ('anybody', 'kin');  -- of five alike all values are frequent
SELECT cdp.follow_matches(m, 'kin', merge_threshold => 0.9, review_threshold => 0.5) FROM unnest('{anybody,kin}'::text[]) AS m;
SELECT m, u.linked, u.waiting FROM unnest('{anybody,kin}'::text[]) AS m, LATERAL cdp.update_matches(m) AS u;
SELECT matcher, array_agg(id ORDER BY id) AS ids FROM cdp.match_clusters WHERE matcher IN ('anybody', 'kin') GROUP BY matcher, cluster_id ORDER BY matcher, min(id);
-- The same when they come later, one says at last who he is, and another moves away.
INSERT INTO kin SELECT id + 10, first_name, last_name, born, zip, town FROM kin WHERE id IN (1, 3);
UPDATE kin SET born = '1981-07-12' WHERE id = 5;
UPDATE kin SET born = '1930-01-01' WHERE id = 2;
SELECT u.linked, u.waiting FROM cdp.update_matches('kin') AS u;
SELECT array_agg(id ORDER BY id) AS ids FROM cdp.match_clusters WHERE matcher = 'kin' GROUP BY cluster_id ORDER BY min(id);
SELECT cdp.create_matcher('kin once', cdp.export_matcher('kin'));
SELECT linked, waiting FROM cdp.find_matches('kin once', 'kin', merge_threshold => 0.9, review_threshold => 0.5);
SELECT count(*) AS other FROM (SELECT id_l, id_r, match_weight, state FROM cdp.matches WHERE matcher = 'kin' AND state <> 'gone'
  EXCEPT SELECT id_l, id_r, match_weight, state FROM cdp.matches WHERE matcher = 'kin once') AS o;
SELECT cdp.create_matcher('wrong', kin_settings('{"unique_columns": "born"}'));
SELECT cdp.create_matcher('wrong', kin_settings('{"unique_columns": ["birthday"]}'));
SELECT cdp.find_matches('wrong', 'kin');
DROP TABLE kin;
DROP FUNCTION kin_settings(jsonb);
