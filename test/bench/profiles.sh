# Where golden values come from: every one of 1,000 random people held against the assertions by plain SQL; and what applying
# rules, one document and one message cost. Sourced by scripts/bench.
PEOPLE=${1:-20000}
MESSAGES=${2:-400000}
AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"

say "generating $MESSAGES messages of $PEOPLE people"
"$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --out "$WORK/data" >/dev/null
chmod -R a+rX "$WORK/data"
psql -d postgres -c "CREATE DATABASE bench"
psql -d bench -c "CREATE EXTENSION cdp"
psql -d bench -c "\copy cdp.inbox (source, message) FROM PROGRAM 'awk -v OFS=\"\x01\" \"{ print (NR % 3 ? \\\"web\\\" : \\\"app\\\"), \\\$0 }\" $WORK/data/events.ndjson' $AS_TEXT"
psql -d bench -c "CALL cdp.run()"
# A third source that knows a little of everybody, and says it again and again.
psql -d bench <<'SQL'
INSERT INTO cdp.inbox (source, message)
  SELECT 'crm', jsonb_build_object('type', 'identify', 'userId', i.value, 'timestamp', timestamptz '2026-06-01Z' + n * interval '20 days', 'traits',
           jsonb_build_object('firstName', p.traits ->> 'firstName', 'tier', (ARRAY['bronze', 'silver', 'gold'])[1 + (i.identifier_id * n) % 3],
                              'age', 20 + (i.identifier_id * n) % 50, 'tags', jsonb_build_array('t' || i.identifier_id % 7, 't' || n)))::text
  FROM cdp.identifiers AS i JOIN cdp.profiles AS p USING (profile_id), generate_series(1, 3) AS n WHERE i.type = 'user_id';
CALL cdp.run();
SELECT cdp.set_survivorship('tier', 'source_priority', sources => '{crm,app}');
SELECT cdp.set_survivorship('age', 'earliest');
SELECT cdp.set_survivorship('firstName', 'most_frequent');
SELECT cdp.set_survivorship('tags', 'union_list');
SELECT cdp.apply_survivorship();
SQL
apply=$(seconds psql -d bench -c "CALL cdp.run()")
psql -d bench -At <<'SQL'
SELECT setseed(0.42);
CREATE TABLE chosen AS SELECT profile_id FROM cdp.profiles WHERE traits <> '{}' ORDER BY random() LIMIT 1000;
CREATE TABLE said AS
  SELECT i.profile_id, t.key AS trait, t.value, s.source, a.message_id, a.asserted_at, a.decision_seq
  FROM chosen JOIN cdp.identifiers AS i USING (profile_id) JOIN cdp.assertions AS a USING (identifier_id) JOIN cdp.sources AS s USING (source_id)
  CROSS JOIN LATERAL jsonb_each(a.traits) AS t WHERE a.type = 'identify';
CREATE INDEX ON said (profile_id, trait);
-- A null takes back what its own source said before; of the latest, what any source said.
CREATE TABLE counts AS SELECT s.* FROM said AS s WHERE s.value <> 'null' AND NOT EXISTS (
  SELECT FROM said AS n WHERE (n.profile_id, n.trait) = (s.profile_id, s.trait) AND n.value = 'null'
    AND (n.source = s.source OR s.trait NOT IN ('tier', 'age', 'firstName', 'tags')) AND (n.asserted_at, n.decision_seq) > (s.asserted_at, s.decision_seq));
CREATE TABLE expected AS
  SELECT DISTINCT ON (profile_id, trait) c.* FROM counts AS c
    CROSS JOIN LATERAL (SELECT count(*) AS often FROM counts AS o WHERE (o.profile_id, o.trait, o.value) = (c.profile_id, c.trait, c.value)) AS n
  WHERE trait <> 'tags'
  ORDER BY profile_id, trait,
    CASE WHEN trait = 'tier' THEN coalesce(array_position('{crm,app}', source), 3) END,
    CASE WHEN trait = 'firstName' THEN -n.often END,
    CASE WHEN trait = 'age' THEN asserted_at END, CASE WHEN trait = 'age' THEN decision_seq END,
    asserted_at DESC, decision_seq DESC;
CREATE TABLE golden AS
  SELECT p.profile_id, t.key AS trait, t.value, d.document -> 'trait_sources' -> t.key ->> 'source' AS source,
         (d.document -> 'trait_sources' -> t.key ->> 'asserted_at')::timestamptz AS asserted_at
  FROM chosen JOIN cdp.profiles AS p USING (profile_id) CROSS JOIN LATERAL jsonb_each(p.traits) AS t
  CROSS JOIN LATERAL (SELECT cdp.profile(p.profile_id, 0) AS document OFFSET 0) AS d;
CREATE TABLE explained AS
  SELECT g.profile_id, g.trait, w.value, w.source, w.message_id, w.asserted_at
  FROM golden AS g CROSS JOIN LATERAL (SELECT * FROM cdp.why_trait(g.profile_id, g.trait) AS y WHERE y.outcome = 'winner') AS w WHERE g.trait <> 'tags';
SELECT format('people %s, golden values %s, said %s', (SELECT count(*) FROM chosen), (SELECT count(*) FROM golden), (SELECT count(*) FROM said));
SELECT 'golden values that plain SQL does not find: ' || count(*) FROM
  ((SELECT profile_id, trait, value, source, asserted_at FROM golden WHERE trait <> 'tags' EXCEPT SELECT profile_id, trait, value, source, asserted_at FROM expected)
   UNION ALL (SELECT profile_id, trait, value, source, asserted_at FROM expected EXCEPT SELECT profile_id, trait, value, source, asserted_at FROM golden WHERE trait <> 'tags')) AS d;
SELECT 'winners of why_trait that are not the message that plain SQL finds: ' || count(*) FROM
  ((SELECT profile_id, trait, value, source, message_id FROM explained EXCEPT SELECT profile_id, trait, value, source, message_id FROM expected)
   UNION ALL (SELECT profile_id, trait, value, source, message_id FROM expected EXCEPT SELECT profile_id, trait, value, source, message_id FROM explained)) AS d;
SELECT 'lists that are not the items that were said: ' || count(*) FROM golden AS g WHERE trait = 'tags' AND
  (SELECT array_agg(DISTINCT v ORDER BY v) FROM jsonb_array_elements_text(g.value) AS v) IS DISTINCT FROM
  (SELECT array_agg(DISTINCT v ORDER BY v) FROM counts AS c, jsonb_array_elements_text(c.value) AS v WHERE (c.profile_id, c.trait) = (g.profile_id, g.trait));
SQL
say "rules applied to $(psql -d bench -At -c 'SELECT count(*) FROM cdp.profiles') people in $apply s"
psql -d bench -At -c "SELECT 'verify(): ' || count(*) || ' differences' FROM cdp.verify()"
