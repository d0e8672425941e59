-- Matching people who share no identifier: docs/matching.md, statement by statement, and what is refused.
\getenv sources PG_ABS_SRCDIR
\set crm :sources '/sql/crm.inc'
\set ECHO none
\i :crm
\set ECHO all

SELECT cdp.create_matcher('crm', cdp.people_matcher(
  '{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born",
    "postal_code": "zip", "city": "town", "email": "mail"}', id_column => 'id'));
SELECT number, rule, pairs, members, value FROM cdp.blocking_analysis('crm', 'crm') WHERE purpose = 'blocking' AND used ORDER BY pairs DESC LIMIT 4;
SELECT rule, pairs, converged FROM cdp.train_matcher('crm', 'crm');
SELECT label, round(m::numeric, 3) AS m, round(u::numeric, 4) AS u, round(weight::numeric, 1) AS weight
FROM cdp.matcher_parameters WHERE matcher = 'crm' AND comparison = 'born';
-- Here nobody goes by a nickname: that level weighs as the next lower one that was reached.
SELECT label, round(weight::numeric, 1) AS weight FROM cdp.matcher_parameters WHERE matcher = 'crm' AND comparison = 'first_name';
CREATE TABLE crm_pairs AS SELECT * FROM cdp.score_pairs('crm', 'crm', threshold => 0.001);
SELECT id_l, id_r, round(match_weight::numeric, 1) AS weight, round(match_probability::numeric, 3) AS probability
FROM crm_pairs ORDER BY match_weight DESC LIMIT 3;
CREATE TABLE crm_people AS SELECT id::integer, cluster_id::integer AS person FROM cdp.cluster_pairs('crm_pairs', 0.5);
SELECT p.person, c.* FROM crm_people AS p JOIN crm AS c USING (id) WHERE p.person IN (60, 280) ORDER BY p.person, c.id;

-- Right? The rows were made in pairs n0 and n1.
SELECT count(*) FILTER (WHERE a.id / 10 = b.id / 10) AS right_pairs, count(*) FILTER (WHERE a.id / 10 <> b.id / 10) AS wrong_pairs,
       (SELECT count(*) FROM crm WHERE id % 10 = 1) AS true_pairs
FROM crm_people AS a JOIN crm_people AS b ON a.person = b.person AND a.id < b.id;

-- The same again for the same seed, and through an export.
SELECT count(*) FROM cdp.train_matcher('crm', 'crm');
SELECT cdp.create_matcher('again', cdp.export_matcher('crm'));
SELECT count(*) FROM (SELECT * FROM cdp.score_pairs('again', 'crm', threshold => 0.001) EXCEPT SELECT * FROM crm_pairs) AS other;
SELECT cdp.drop_matcher('again');
SELECT count(*) FROM cdp.matcher_levels WHERE matcher = 'again';

-- One comparison at a time.
SELECT id_l, id_r, gammas FROM cdp.score_pairs('crm', 'crm', 0.9, levels => true) WHERE id_l = '60';

-- Nobody twice from a source without duplicates.
CREATE VIEW two_sources AS SELECT *, CASE id % 10 WHEN 0 THEN 'old' ELSE 'new' END AS source_dataset FROM crm;
SELECT cdp.create_matcher('link', cdp.export_matcher('crm') || '{"link_type": "link_only"}');
CREATE TABLE links AS SELECT * FROM cdp.score_pairs('link', 'two_sources', 0.01);
SELECT count(*) AS pairs, count(*) FILTER (WHERE source_l = source_r) AS within_a_source FROM links;
SELECT max(n) AS records, max(o) AS of_one_source FROM (
  SELECT sum(n) AS n, max(n) AS o FROM (SELECT cluster_id, cluster_source, source, count(*) AS n FROM cdp.cluster_pairs('links', 0.01, 'best_links', '{old,new}') GROUP BY 1, 2, 3) AS s GROUP BY cluster_id, cluster_source) AS c;

-- What is refused, and where.
SELECT cdp.create_matcher('crm', '{}');
SELECT cdp.create_matcher('bad', '{}');
SELECT cdp.people_matcher('{"shoe_size": "s"}');
SELECT cdp.people_matcher('{}');
SELECT cdp.people_matcher('["first_name"]');
SELECT cdp.people_matcher(NULL);
CREATE FUNCTION bad(condition text, rule text DEFAULT 'l.a = r.a') RETURNS void LANGUAGE sql AS $$
  SELECT cdp.create_matcher('bad', jsonb_build_object('blocking_rules_to_generate_predictions', jsonb_build_array(rule), 'comparisons',
    jsonb_build_array(jsonb_build_object('output_column_name', 'a', 'comparison_levels', jsonb_build_array(
      jsonb_build_object('sql_condition', condition, 'label_for_charts', 'first'), jsonb_build_object('sql_condition', 'ELSE', 'label_for_charts', 'rest'))))))
$$;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT bad('cosine_similarity("a_l", "a_r") >= 0.9');
SELECT bad('"a_l" = "a"');
SELECT bad('"a_l" = "a_r" AND');
SELECT bad('pg_read_file("a_l") = pg_read_file("a_r")');
SELECT bad('a_l = a_r', 'l.a <> r.a');
SELECT bad('a_l = a_r', 'l.a = r.a; DROP TABLE crm');
SELECT * FROM cdp.score_pairs('nobody', 'crm');
SELECT * FROM cdp.score_pairs('crm', 'crm', threshold => 2);
SELECT * FROM cdp.score_pairs('crm', 'crm', max_pairs => 100);
CREATE VIEW twice AS SELECT * FROM crm UNION ALL SELECT * FROM crm WHERE id = 60;
SELECT * FROM cdp.score_pairs('crm', 'twice');
SELECT * FROM cdp.score_pairs('crm', 'pg_class');
SELECT * FROM cdp.cluster_pairs('crm_pairs', 0.5, 'magic');
SELECT cdp.drop_matcher('nobody');

-- An analyst scores and clusters what they may read, and changes no matcher.
CREATE ROLE match_analyst;
SELECT cdp.grant_access('match_analyst', 'analyst');
GRANT SELECT ON crm, crm_pairs TO match_analyst;
SET ROLE match_analyst;
SELECT count(*) > 0 AS pairs FROM cdp.score_pairs('crm', 'crm', 0.9);
SELECT count(*) > 0 AS records FROM cdp.cluster_pairs('crm_pairs', 0.9);
SELECT cdp.drop_matcher('crm');
RESET ROLE;
REVOKE SELECT ON crm FROM match_analyst;
SET ROLE match_analyst;
SELECT count(*) FROM cdp.score_pairs('crm', 'crm', 0.9);
RESET ROLE;
-- A steward makes and trains them.
CREATE ROLE match_steward;
SELECT cdp.grant_access('match_steward', 'steward');
GRANT SELECT ON crm TO match_steward;
SET ROLE match_steward;
SELECT cdp.create_matcher('steward', cdp.people_matcher('{"full_name": "last_name", "date_of_birth": "born", "city": "town"}', id_column => 'id'));
SELECT rule, pairs FROM cdp.train_matcher('steward', 'crm');
SELECT count(*) > 0 AS pairs FROM cdp.score_pairs('steward', 'crm', 0.5);
SELECT cdp.drop_matcher('steward');
RESET ROLE;
DROP OWNED BY match_steward;
DROP ROLE match_steward;
DROP OWNED BY match_analyst;
DROP ROLE match_analyst;

-- Who may be called what: a table that everybody may add to.
SELECT n, cdp.name_forms(n) AS forms FROM unnest('{Bob,Robert,María Elena,Zzz,...}'::text[]) AS n;
INSERT INTO cdp.nicknames (name, nickname) VALUES ('zzzebedee', 'zzz');
SELECT cdp.name_forms('ZZZ') AS forms;
CREATE TABLE called (id integer, first_name text, last_name text, born text);
INSERT INTO called VALUES (1, 'Bob', 'Jansen', '1970-01-02'), (2, 'Robert', 'Jansen', '1970-01-02'), (3, 'Zzz', 'Jansen', '1970-01-02'), (4, 'Zzzebedee', 'Vos', '1970-01-02'), (5, 'Karin', 'Vos', '1970-01-02');
SELECT cdp.create_matcher('called', cdp.people_matcher('{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born"}', id_column => 'id'));
SELECT id_l, id_r, label FROM cdp.score_pairs('called', 'called', 0, levels => true) AS s
JOIN cdp.matcher_parameters AS p ON p.matcher = 'called' AND p.comparison = 'first_name' AND p.gamma = s.gammas[1] ORDER BY id_l, id_r;
-- The same street, written otherwise.
CREATE TABLE streets (id integer, last_name text, street text);
INSERT INTO streets VALUES (1, 'Vos', '12 Main St.'), (2, 'Vos', '12 main street'), (3, 'Vos', 'Elm Avenue 3');
SELECT cdp.create_matcher('streets', cdp.people_matcher('{"family_name": "last_name", "street": "street"}', id_column => 'id'));
SELECT id_l, id_r, label FROM cdp.score_pairs('streets', 'streets', 0, levels => true) AS s
JOIN cdp.matcher_parameters AS p ON p.matcher = 'streets' AND p.comparison = 'street' AND p.gamma = s.gammas[2] ORDER BY id_l, id_r;
-- Who forgets the training is told.
SELECT * FROM cdp.find_matches('called', 'called');
DELETE FROM cdp.matches WHERE matcher = 'called';
DROP TABLE called, streets;
