-- docs/matching.md, its first part: from a CRM table to reviewed links in ten statements, and what came of them.
\getenv sources PG_ABS_SRCDIR
\set crm :sources '/sql/crm.inc'
\set ECHO none
\i :crm
\set ECHO all

SELECT cdp.create_matcher('crm', cdp.people_matcher(
  '{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born",
    "postal_code": "zip", "city": "town", "email": "mail"}', id_column => 'id'));
SELECT rule, pairs, converged FROM cdp.train_matcher('crm', 'crm');
SELECT * FROM cdp.find_matches('crm', 'crm', merge_threshold => 0.9999, review_threshold => 0.6);
SELECT match_id, id_l, id_r, round(match_weight::numeric, 1) AS weight FROM cdp.match_review LIMIT 3;
SELECT w.step, w.comparison, w.label, w.value, w.other_value, round(w.weight::numeric, 1) AS weight, round(w.total::numeric, 1) AS total
FROM (SELECT * FROM cdp.match_review LIMIT 1) AS r, cdp.why_match(r.matcher, 'crm', r.id_l, r.id_r) AS w;
SELECT cdp.accept_match((SELECT match_id FROM cdp.match_review LIMIT 1), 'the same handwriting', 'anna');
SELECT cdp.reject_match((SELECT match_id FROM cdp.match_review LIMIT 1), 'father and son', 'anna');
SELECT cdp.create_identifier_type('crm_id', priority => 60);
SELECT cdp.attach_table('crm', source => 'crm', identifiers => '{"crm_id": "id"}', traits => '{"firstName": "first_name", "city": "town"}') > 0 AS attached;
SELECT linked, unlinked FROM cdp.link_matches('crm', 'crm_id');

-- All who were linked are one person, with the traits of their rows; those who were rejected are two.
CALL cdp.run();
SELECT state, count(*) FROM cdp.matches GROUP BY state ORDER BY state;
SELECT count(*) AS apart FROM cdp.matches AS m WHERE m.state IN ('linked', 'accepted') AND cdp.lookup('crm_id', m.id_l) IS DISTINCT FROM cdp.lookup('crm_id', m.id_r);
SELECT count(*) AS joined FROM cdp.matches AS m WHERE m.state = 'rejected' AND cdp.lookup('crm_id', m.id_l) = cdp.lookup('crm_id', m.id_r);
SELECT count(*) AS records, count(DISTINCT cdp.lookup('crm_id', id::text)) AS people FROM crm;
SELECT count(*) FROM crm WHERE (SELECT p.traits ->> 'city' FROM cdp.profiles AS p WHERE p.profile_id = cdp.lookup('crm_id', id::text)) IS NULL;
SELECT count(*) FROM cdp.verify();
DROP TABLE crm CASCADE;
