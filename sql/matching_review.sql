-- Matches explained, reviewed and linked: docs/matching.md, second part.
\getenv sources PG_ABS_SRCDIR
\set crm :sources '/sql/crm.inc'
\set ECHO none
\i :crm
\set ECHO all
SELECT cdp.create_matcher('crm', cdp.people_matcher(
  '{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born",
    "postal_code": "zip", "city": "town", "email": "mail"}', id_column => 'id'));
SELECT count(*) > 0 AS trained FROM cdp.train_matcher('crm', 'crm');

SELECT * FROM cdp.find_matches('crm', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
SELECT count(*) FILTER (WHERE m.state = 'linked') AS linked, count(*) FILTER (WHERE m.state = 'waiting') AS waiting FROM cdp.matches AS m;
SELECT match_id, id_l, id_r, round(match_weight::numeric, 1) AS weight FROM cdp.match_review LIMIT 3;
SELECT w.step, w.comparison, w.label, w.value, w.other_value, round(w.weight::numeric, 1) AS weight, round(w.total::numeric, 1) AS total
FROM (SELECT * FROM cdp.match_review LIMIT 1) AS r, cdp.why_match(r.matcher, 'crm', r.id_l, r.id_r) AS w;

-- The waterfall ends where scoring does, to the last bit that a sum in another order leaves.
SELECT max(abs(w.total - m.match_weight)) < 1e-9 AS same, count(*) AS pairs
FROM (SELECT * FROM cdp.matches ORDER BY match_id LIMIT 20) AS m,
     LATERAL (SELECT total FROM cdp.why_match(m.matcher, 'crm', m.id_l, m.id_r) ORDER BY step DESC LIMIT 1) AS w;
-- What the left record says stands left, whichever is named first.
SELECT a.value = b.other_value AS turned FROM cdp.why_match('crm', 'crm', '60', '61') AS a JOIN cdp.why_match('crm', 'crm', '61', '60') AS b USING (step) WHERE a.comparison = 'first_name' AND a.step = 2;
SELECT step, label FROM cdp.why_match('crm', 'crm', '10', '60') WHERE step = 1;

-- Accept, reject, undo.
SELECT cdp.accept_match((SELECT match_id FROM cdp.match_review LIMIT 1), 'the same handwriting', 'anna');
SELECT cdp.reject_match((SELECT match_id FROM cdp.match_review LIMIT 1), 'father and son', 'anna');
SELECT is_match, decided_by, reason FROM cdp.match_labels ORDER BY decided_at, reason DESC;
SELECT * FROM cdp.find_matches('crm', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
SELECT state, count(*) FROM cdp.matches WHERE state IN ('accepted', 'rejected') GROUP BY 1 ORDER BY 1;

-- Into who is who: the rows are customers that cdp knows by their crm_id.
SELECT cdp.create_identifier_type('crm_id', priority => 60);
SELECT accepted FROM cdp.ingest((SELECT jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'identify', 'messageId', 'row ' || id,
  'context', jsonb_build_object('externalIds', jsonb_build_array(jsonb_build_object('type', 'crm_id', 'id', id::text, 'collection', 'users'))))) ) FROM crm), 'crm');
SELECT linked = (SELECT count(*) FROM cdp.matches WHERE state IN ('linked', 'accepted')) AS all_linked, unlinked FROM cdp.link_matches('crm', 'crm_id');
SELECT linked, unlinked FROM cdp.link_matches('crm', 'crm_id');
SELECT count(*) AS apart FROM cdp.matches AS m WHERE m.state IN ('linked', 'accepted')
   AND cdp.lookup('crm_id', m.id_l) IS DISTINCT FROM cdp.lookup('crm_id', m.id_r);
SELECT count(*) AS joined FROM cdp.matches AS m WHERE m.state = 'rejected' AND cdp.lookup('crm_id', m.id_l) = cdp.lookup('crm_id', m.id_r);
SELECT a.context -> 'match' ->> 'weight' IS NOT NULL AS has_weight, s.source FROM cdp.matches AS m JOIN cdp.assertions AS a ON a.decision_seq = m.linked_seq
JOIN cdp.sources AS s USING (source_id) LIMIT 1;
-- Taken back: they are two again, and nothing else changes.
CREATE TEMP TABLE one AS SELECT * FROM cdp.matches WHERE state = 'accepted';
SELECT cdp.undo_match((SELECT match_id FROM one), 'it was another');
SELECT linked, unlinked FROM cdp.link_matches('crm', 'crm_id');
SELECT cdp.lookup('crm_id', o.id_l) = cdp.lookup('crm_id', o.id_r) AS one_person FROM one AS o;
SELECT count(*) FROM cdp.verify();
-- A type whose values must not meet refuses, and says so.
SELECT cdp.alter_identifier_type('crm_id', is_unique => true);
CALL cdp.run();
SELECT count(*) FROM cdp.apply_identity_rules();
CALL cdp.run();
SELECT count(*) > 0 AS refused FROM cdp.evidence WHERE rule = 'unique';
SELECT count(*) AS joined FROM cdp.matches AS m WHERE m.linked_seq IS NOT NULL AND cdp.lookup('crm_id', m.id_l) = cdp.lookup('crm_id', m.id_r);

-- How good is it? Labels for all pairs, from how the rows were made.
CREATE TABLE labels AS SELECT (id - id % 10)::text AS id_l, id::text AS id_r, true AS is_match FROM crm WHERE id % 10 = 1
  UNION ALL SELECT a.id::text, b.id::text, false FROM crm AS a JOIN crm AS b ON b.id = a.id + 120 WHERE a.id % 10 = 0;
CREATE TABLE crm_pairs2 AS SELECT * FROM cdp.score_pairs('crm', 'crm', 0.001);
SELECT max(f1) > 0.9 AS good, count(*) = count(DISTINCT threshold) AS each_once FROM cdp.match_accuracy('crm_pairs2', 'labels');
SELECT a.true_positives = (SELECT count(*) FROM labels AS l JOIN crm_pairs2 AS p ON least(p.id_l, p.id_r) = least(l.id_l, l.id_r) AND greatest(p.id_l, p.id_r) = greatest(l.id_l, l.id_r)
                          WHERE l.is_match AND p.match_probability >= a.threshold) AS right_count
FROM cdp.match_accuracy('crm_pairs2', 'labels') AS a ORDER BY a.threshold LIMIT 1;
SELECT (SELECT count(*) FROM cdp.match_errors('crm_pairs2', 'labels', a.threshold)) = a.false_positives + a.false_negatives AS all_errors
FROM cdp.match_accuracy('crm_pairs2', 'labels') AS a ORDER BY a.f1 DESC LIMIT 1;
INSERT INTO crm VALUES (1, NULL, 'Bos', NULL, NULL, NULL, NULL);
SELECT id, match_probability < 0.5 AS hopeless FROM cdp.unlinkable_records('crm', 'crm', 0.5) WHERE id IN ('1', '61');
SELECT cdp.train_from_labels('crm', 'crm', 'labels');
-- No label has a nickname: that level weighs as the next lower one that some have. And below all of these it speaks against a match.
SELECT label, round(m::numeric, 4) AS m, round(weight::numeric, 1) AS weight FROM cdp.matcher_parameters WHERE matcher = 'crm' AND comparison = 'first_name';

-- What is refused.
\set SHOW_CONTEXT never
SELECT * FROM cdp.why_match('crm', 'crm', '60', '60');
SELECT * FROM cdp.why_match('crm', 'crm', '60', '66');
SELECT cdp.accept_match(0, 'no');
SELECT cdp.accept_match((SELECT min(match_id) FROM cdp.match_review), ' ');
SELECT cdp.undo_match((SELECT min(match_id) FROM cdp.match_review), 'nothing was said');
SELECT * FROM cdp.find_matches('crm', 'crm', 0.5, 0.9);
SELECT * FROM cdp.link_matches('crm', 'no_such');
DROP TABLE crm, labels, crm_pairs2;
