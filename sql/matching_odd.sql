-- Odd things that matching is given: empty tables, records that say nothing, names and settings as nobody should write them, numbers that are none.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE TABLE odd (id text, a text, b text, born text);
SELECT cdp.create_matcher('odd', cdp.people_matcher('{"given_name": "a", "family_name": "b", "date_of_birth": "born"}', id_column => 'id'));

-- Nobody, one record, records without an id, an id twice.
SELECT * FROM cdp.train_matcher('odd', 'odd');
SELECT * FROM cdp.find_matches('odd', 'odd');
INSERT INTO odd VALUES ('1', 'x', 'y', '2000-01-01');
SELECT * FROM cdp.train_matcher('odd', 'odd');
SELECT * FROM cdp.find_matches('odd', 'odd');
INSERT INTO odd VALUES (NULL, 'x', 'y', '2000-01-01');
SELECT * FROM cdp.find_matches('odd', 'odd');
UPDATE odd SET id = '1';
SELECT * FROM cdp.find_matches('odd', 'odd');
DELETE FROM odd;

-- Records that say nothing, or nothing that is a name or a date.
INSERT INTO odd SELECT 'n' || i, NULL, NULL, NULL FROM generate_series(1, 20) AS i;
SELECT count(*) AS sessions FROM cdp.train_matcher('odd', 'odd');
SELECT count(*) AS pairs FROM cdp.score_pairs('odd', 'odd', 0);
INSERT INTO odd SELECT 'e' || i, '', '', '' FROM generate_series(1, 20) AS i;
INSERT INTO odd VALUES ('u1', U&'A\030A', '𝔘𝔫𝔦', '2000-02-30'), ('u2', 'Å', 'مرحبا', '0000-00-00'), ('u3', repeat(' ', 100), E'\t\n', '99999-12-31'), ('', 'Å', 'مرحبا', 'infinity');
SELECT count(*) AS sessions FROM cdp.train_matcher('odd', 'odd');
SELECT id_l, id_r, match_probability BETWEEN 0 AND 1 AS weighed FROM cdp.score_pairs('odd', 'odd', 0) WHERE 'u2' IN (id_l, id_r);

-- Numbers that are none.
SELECT count(*) FROM cdp.score_pairs('odd', 'odd', 'NaN');
SELECT count(*) FROM cdp.score_pairs('odd', 'odd', 0.5, NULL);
SELECT count(*) FROM cdp.unlinkable_records('odd', 'odd', 'NaN');
SELECT * FROM cdp.find_matches('odd', 'odd', 'NaN');
SELECT * FROM cdp.find_matches('odd', NULL);
SELECT * FROM cdp.find_matches(NULL, 'odd');
SELECT count(*) FROM cdp.score_pairs('odd', 'odd', 1);
CREATE TABLE odd_pairs (id_l text, id_r text, source_l text, source_r text, match_weight float8);
INSERT INTO odd_pairs VALUES ('a', 'b', NULL, NULL, 'Infinity'), ('b', 'c', NULL, NULL, '-Infinity'), ('c', 'd', NULL, NULL, 1e308), ('a', 'a', NULL, NULL, 5), ('b', 'a', NULL, NULL, 3);
SELECT method, (SELECT string_agg(id || ' ' || cluster_id, ', ' ORDER BY id) FROM cdp.cluster_pairs('odd_pairs', 0.5, method)) AS clusters FROM unnest('{connected,cohesive,best_links}'::text[]) AS method;
-- A separator within an id makes no other record of it.
TRUNCATE odd_pairs;
INSERT INTO odd_pairs VALUES (E'b\x1F' || 'c', 'z', 'a', 'a', 9), ('c', 'y', E'a\x1F' || 'b', 'a', 9);
SELECT count(*) AS records, count(DISTINCT (cluster_id, cluster_source)) AS clusters FROM cdp.cluster_pairs('odd_pairs', 0.5);
INSERT INTO odd_pairs VALUES ('a', 'b', NULL, NULL, 'NaN');
SELECT count(*) FROM cdp.cluster_pairs('odd_pairs', 0.5, 'best_links');

-- Settings.
CREATE FUNCTION made(also jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM cdp.create_matcher('made', '{"unique_id_column_name": "id", "comparisons": [{"comparison_levels": [{"sql_condition": "a_l = a_r", "tf_adjustment_column": "a"}, {"sql_condition": "ELSE"}]}],
    "blocking_rules_to_generate_predictions": ["l.a = r.a"]}' || also);
  PERFORM cdp.drop_matcher('made');
  RETURN 'made';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT also, made(also) FROM unnest(ARRAY['{}', '{"comparisons": [1]}', '{"comparisons": [{}]}', '{"comparisons": [{"comparison_levels": []}]}', '{"comparisons": [{"comparison_levels": {}}]}',
  '{"em_convergence": "NaN"}', '{"pairs_per_record": "NaN"}', '{"total_pairs_per_record": -1}', '{"training_rules": "x"}', '{"training_rules": [null]}', '{"training_rules": [{}]}', '{"training_rules": null}',
  '{"blocking_rules_to_generate_predictions": {}}', '{"blocking_rules_to_generate_predictions": [{"blocking_rule": "l.a = r.a"}]}',
  '{"comparisons": [{"comparison_levels": [{"sql_condition": "a_l = a_r", "tf_adjustment_column": "a", "tf_adjustment_weight": "NaN"}, {"sql_condition": "ELSE"}]}]}']::jsonb[]) AS also;
SELECT cdp.people_matcher('{"given_name": 5}');

-- What features make of a column is asked once a text when all are read, and of each record when it changes: it must be the same. So of records
-- that are said to have changed, and did not, none has.
SELECT cdp.create_matcher('made', '{"link_type": "link_and_dedupe", "unique_id_column_name": "id", "source_dataset_column_name": "source", "comparisons": [
    {"output_column_name": "a", "comparison_levels": [{"sql_condition": "left(a_l, 2) = left(a_r, 2)"}, {"sql_condition": "list_has_any(name_forms(a_l), name_forms(a_r))"}, {"sql_condition": "ELSE"}]},
    {"output_column_name": "b", "comparison_levels": [{"sql_condition": "NULLIF(regexp_extract(b_l, ''^[^@]+'', 0), '''') = NULLIF(regexp_extract(b_r, ''^[^@]+'', 0), '''')"},
      {"sql_condition": "regexp_extract(b_l, ''^[^@]+'') = regexp_extract(b_r, ''^[^@]+'')"}, {"sql_condition": "coalesce(b_l, ''none'') = coalesce(b_r, ''none'')"}, {"sql_condition": "lower(b_l) = lower(b_r)"}, {"sql_condition": "ELSE"}]},
    {"output_column_name": "c", "comparison_levels": [{"sql_condition": "ABS(length(c_l) - length(c_r)) <= 1"}, {"sql_condition": "list_has_any(string_split(c_l, '' ''), string_split(c_r, '' ''))"},
      {"sql_condition": "substr(c_l, 2) = substr(c_r, 2)"}, {"sql_condition": "left(c_l, 0) = left(c_r, 0)"}, {"sql_condition": "ELSE"}]}],
  "blocking_rules_to_generate_predictions": ["l.c = r.c", "left(l.a, 1) = left(r.a, 1)"]}');
CREATE TABLE texts (id varchar(9), source text, a varchar(20), b text COLLATE "C", c char(9), PRIMARY KEY (source, id));
INSERT INTO texts SELECT 'i' || i, chr(97 + i % 3), (ARRAY['Bob', 'Robert', '𝔘𝔫𝔦', 'Åsa', U&'A\030Asa', '', ' ', NULL, 'ab@c', '王小'])[1 + i % 10],
  (ARRAY['x@y', '@y', '', NULL, 'X', E'two\nlines@z', 'É@É', 'É', 'a b'])[1 + i % 9], (ARRAY['a b', 'b', '', NULL, '  c', 'É É', 'z'])[1 + i % 7] FROM generate_series(1, 700) AS i;
SELECT cdp.follow_matches('made', 'texts', 0.9, 0.001);
SELECT waiting + linked > 0 AS found FROM cdp.update_matches('made');
SELECT m.* FROM (SELECT array_agg(id) AS ids, array_agg(source) AS sources FROM texts) AS t, cdp.update_matches('made', ids => t.ids, sources => t.sources) AS m;
SELECT changed, records_kept FROM cdp_internal.match_bindings WHERE matcher = 'made';
SELECT cdp.unfollow_matches('made');
DELETE FROM cdp.matches;
SELECT cdp.drop_matcher('made');
DROP TABLE texts;

-- Columns by any name, of a table by another name, that somebody takes away and brings back.
CREATE TABLE quoted ("Id ""x" integer PRIMARY KEY, "gi'ven" text, "fa""mily" text, "$R" text, "100%s" text);
INSERT INTO quoted SELECT i, 'Anna' || i % 50, 'Jansen' || i % 49, 'Leiden' || i % 3, 'anna' || i % 50 || '@example.com' FROM generate_series(1, 100) AS i;
SELECT cdp.create_matcher('quoted', cdp.people_matcher('{"given_name": "gi''ven", "family_name": "fa\"mily", "city": "$R", "email": "100%s"}', id_column => 'Id "x'));
SELECT count(*) > 0 AS trained FROM cdp.train_matcher('quoted', 'quoted');
SELECT cdp.follow_matches('quoted', 'quoted', 0.9, 0.001);
SELECT waiting + linked > 0 AS found FROM cdp.update_matches('quoted');
SELECT value FROM (SELECT * FROM cdp.matches WHERE matcher = 'quoted' ORDER BY match_id LIMIT 1) AS m, cdp.why_match('quoted', 'quoted', m.id_l, m.id_r) WHERE step IN (2, 4);
ALTER TABLE quoted RENAME TO renamed;
INSERT INTO renamed SELECT 101, "gi'ven", "fa""mily", "$R", "100%s" FROM renamed WHERE "Id ""x" = 1;
CALL cdp.run();
SELECT records, state, behind, number_of_records FROM cdp.followed_matchers;
ALTER TABLE renamed RENAME COLUMN "$R" TO city;
DELETE FROM renamed WHERE "Id ""x" = 2;
CALL cdp.run();
SELECT state, behind, error FROM cdp.followed_matchers;
ALTER TABLE renamed RENAME COLUMN city TO "$R";
CALL cdp.run();
SELECT state, behind, number_of_records, error FROM cdp.followed_matchers;
SELECT * FROM cdp.update_matches('quoted', ids => '{NULL}');
SELECT cdp.drop_matcher('quoted');
DROP TABLE renamed;
CALL cdp.run();
SELECT state FROM cdp.followed_matchers;
SELECT status, value, advice FROM cdp.health() WHERE check_name = 'followed matchers';
SELECT cdp.unfollow_matches('quoted');
SELECT cdp.drop_matcher('quoted');
DELETE FROM cdp.matches;
SELECT cdp.drop_matcher('quoted');
SELECT count(*) FROM cdp.verify();
DROP TABLE odd, odd_pairs;
DROP FUNCTION made(jsonb);
