-- Truth and the CRM of the generator, and how well components of identifiers agree with the truth.

CREATE TABLE crm (crm_id text, email text, phone text, first_name text, last_name text, loyalty_id text, country text, city text,
  birth_date text, marketing_consent text, lifetime_value text, created_at text, updated_at text);
CREATE TABLE truth (kind text, value text, country text, person integer, shared boolean);
CREATE TABLE plain (identifier_id bigint, component bigint);

-- One message a customer, as from another system; after the stream, as the generator's own baseline has it.
CREATE PROCEDURE send_crm() LANGUAGE sql AS $$
  INSERT INTO cdp.inbox (source, message)
  SELECT 'crm', jsonb_build_object('type', 'identify', 'messageId', 'crm ' || c.crm_id, 'timestamp', c.updated_at,
    'traits', jsonb_strip_nulls(jsonb_build_object('email', c.email, 'phone', c.phone, 'firstName', c.first_name, 'lastName', c.last_name,
      'country', c.country)),
    'context', jsonb_build_object('externalIds', (SELECT jsonb_agg(jsonb_build_object('id', i.id, 'type', i.type, 'collection', 'users', 'encoding', 'none'))
      FROM (VALUES (c.crm_id, 'crm_id'), (c.loyalty_id, 'loyalty_id')) AS i (id, type) WHERE i.id IS NOT NULL)))
  FROM crm AS c
$$;

-- Right and wrong pairs, counted by component, by person, and by both. Identifiers count as cdp stored them: every
-- spelling of an address is one. The generator's own baseline has no device ids, so there is a count without them.
CREATE FUNCTION score() RETURNS TABLE (place integer, what text, "precision" numeric, recall numeric, people bigint, largest bigint)
LANGUAGE plpgsql AS $$
BEGIN
  CREATE TABLE observed AS
    WITH known AS (
      SELECT DISTINCT CASE t.kind WHEN 'email_raw' THEN 'email' WHEN 'phone_raw' THEN 'phone' ELSE t.kind END AS type, t.value, t.country, t.person, t.shared
      FROM truth AS t WHERE t.person IS NOT NULL
    ), normal AS (
      SELECT DISTINCT k.type, cdp_internal.normalize(i.normalizer, k.value, k.country, false) AS value, k.person, k.shared
      FROM known AS k JOIN cdp.identifier_types AS i USING (type)
    )
    SELECT i.identifier_id, i.type, min(n.person) AS person, i.profile_id AS cdp, coalesce(p.component, i.identifier_id) AS plain
    FROM cdp.identifiers AS i JOIN normal AS n USING (type, value) LEFT JOIN plain AS p USING (identifier_id)
    GROUP BY i.identifier_id, i.type, i.profile_id, p.component
    HAVING NOT bool_or(n.shared) AND count(DISTINCT n.person) = 1;
  RETURN QUERY
    WITH said AS (
      SELECT w.place, w.what, o.person, CASE WHEN w.by_cdp THEN o.cdp ELSE o.plain END AS component
      FROM observed AS o
      JOIN (VALUES (1, 'union-find, device ids not counted', false, false), (2, 'cdp, device ids not counted', true, false),
                   (3, 'union-find, all identifiers', false, true), (4, 'cdp, all identifiers', true, true)) AS w (place, what, by_cdp, by_all)
        ON w.by_all OR o.type NOT IN ('device_id', 'advertising_id')
    ), both_same AS (
      SELECT s.place, sum(s.n * (s.n - 1) / 2) AS pairs FROM (SELECT d.place, count(*) AS n FROM said AS d GROUP BY d.place, d.person, d.component) AS s GROUP BY s.place
    ), by_component AS (
      SELECT s.place, sum(s.n * (s.n - 1) / 2) AS pairs FROM (SELECT d.place, count(*) AS n FROM said AS d GROUP BY d.place, d.component) AS s GROUP BY s.place
    ), by_person AS (
      SELECT s.place, sum(s.n * (s.n - 1) / 2) AS pairs FROM (SELECT d.place, count(*) AS n FROM said AS d GROUP BY d.place, d.person) AS s GROUP BY s.place
    ), sizes AS (
      SELECT true AS by_cdp, count(*) AS people, max(s.n) AS largest FROM (SELECT count(*) AS n FROM cdp.identifiers AS i GROUP BY i.profile_id) AS s
      UNION ALL
      SELECT false, count(*), max(s.n) FROM (SELECT count(*) AS n FROM cdp.identifiers AS i LEFT JOIN plain AS p USING (identifier_id)
        GROUP BY coalesce(p.component, i.identifier_id)) AS s
    )
    SELECT w.place, w.what, round(100 * b.pairs / c.pairs, 4), round(100 * b.pairs / p.pairs, 3), s.people, s.largest
    FROM (SELECT DISTINCT d.place, d.what FROM said AS d) AS w
    JOIN both_same AS b USING (place) JOIN by_component AS c USING (place) JOIN by_person AS p USING (place)
    JOIN sizes AS s ON s.by_cdp = (w.place % 2 = 0);
END $$;
