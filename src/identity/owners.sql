-- owners: which identifier of a message owns what it says, today.

-- Who was last on a device before a decision: the first identifier of the latest message that named a person on it.
CREATE FUNCTION cdp_internal.user_on_device(device bigint, before bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT person.identifier_id
  FROM cdp.evidence_members AS m
  JOIN cdp.evidence AS e USING (decision_seq)
  CROSS JOIN LATERAL (SELECT i.identifier_id, t.sharing
                      FROM unnest(e.identifiers) WITH ORDINALITY AS c (id, place)
                      JOIN cdp.identifiers AS i ON i.identifier_id = c.id
                      JOIN cdp.identifier_types AS t USING (type)
                      WHERE i.left_out IS NULL ORDER BY c.place LIMIT 1) AS person
  WHERE m.identifier_id = device AND m.decision_seq < before AND person.sharing IS NULL
    AND NOT coalesce(e.rule IN ('removed_link', 'forbidden_link') AND device = ANY (e.refused), false)
  ORDER BY m.decision_seq DESC LIMIT 1
$$;
COMMENT ON FUNCTION cdp_internal.user_on_device(bigint, bigint) IS 'Of a device shared by policy latest';

CREATE FUNCTION cdp_internal.owner_of(carried bigint[], decision_seq bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH eligible AS MATERIALIZED (
    SELECT c.place, i.identifier_id, t.sharing
    FROM unnest(carried) WITH ORDINALITY AS c (id, place)
    JOIN cdp.identifiers AS i ON i.identifier_id = c.id
    JOIN cdp.identifier_types AS t USING (type)
    WHERE i.left_out IS NULL
  )
  SELECT coalesce(
    CASE WHEN NOT EXISTS (SELECT FROM eligible WHERE sharing IS NULL) THEN
      (SELECT u.id FROM eligible AS e CROSS JOIN LATERAL (SELECT cdp_internal.user_on_device(e.identifier_id, decision_seq) AS id) AS u
       WHERE e.sharing = 'latest' AND u.id IS NOT NULL ORDER BY e.place LIMIT 1) END,
    (SELECT e.identifier_id FROM eligible AS e ORDER BY e.place LIMIT 1),
    carried[1])
$$;
COMMENT ON FUNCTION cdp_internal.owner_of(bigint[], bigint) IS 'The identifier that owns a message which carried these by priority';

CREATE FUNCTION cdp_internal.store_owners(changed bigint[], devices bigint[], owners bigint[])
  RETURNS TABLE (was bigint, owner bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  asked bigint[];
BEGIN
  UPDATE cdp.identifiers AS i SET user_on_device_id = u.id
  FROM (SELECT d.id AS device, CASE WHEN t.sharing = 'latest' AND x.left_out IS NULL THEN cdp_internal.user_on_device(d.id, 9223372036854775807) END AS id
        FROM unnest(devices) AS d (id) JOIN cdp.identifiers AS x ON x.identifier_id = d.id JOIN cdp.identifier_types AS t USING (type)) AS u
  WHERE i.identifier_id = u.device AND i.user_on_device_id IS DISTINCT FROM u.id;
  -- Facts of these identifiers, and of whoever is, or was, seen with one of them, may belong to another now.
  SELECT array_agg(DISTINCT x.id) INTO asked
    FROM (SELECT unnest(changed || devices || owners) AS id
          UNION SELECT c.id FROM unnest(changed || devices) AS s (id) JOIN cdp.evidence_members AS m ON m.identifier_id = s.id
                JOIN cdp.evidence AS e USING (decision_seq) CROSS JOIN LATERAL unnest(e.identifiers) AS c (id)) AS x;
  RETURN QUERY
    WITH fact AS MATERIALIZED (
      SELECT r.event_id AS seq, r.identifier_id AS was, coalesce(r.carried, ARRAY[r.identifier_id]) AS carried
      FROM unnest(asked) AS a (id) JOIN cdp_internal.event_traces AS r ON r.identifier_id = a.id
      WHERE coalesce(r.carried, ARRAY[r.identifier_id]) && (changed || devices)
    ), owned AS MATERIALIZED (
      SELECT f.*, cdp_internal.owner_of(f.carried, f.seq) AS owner FROM fact AS f
    ), moved AS (
      UPDATE cdp.event_records AS r SET identifier_id = o.owner, carried = nullif(o.carried, ARRAY[o.owner])
      FROM owned AS o WHERE r.event_id = o.seq AND o.owner <> o.was RETURNING o.was, o.owner
    ), trace_moved AS (
      UPDATE cdp.removed_events AS r SET identifier_id = o.owner, carried = nullif(o.carried, ARRAY[o.owner])
      FROM owned AS o WHERE r.event_id = o.seq AND o.owner <> o.was RETURNING o.was, o.owner
    ) SELECT m.was, m.owner FROM moved AS m UNION SELECT t.was, t.owner FROM trace_moved AS t;
  RETURN QUERY
    WITH fact AS MATERIALIZED (
      SELECT r.decision_seq AS seq, r.identifier_id AS was, coalesce(r.carried, ARRAY[r.identifier_id]) AS carried
      FROM unnest(asked) AS a (id) JOIN cdp.assertions AS r ON r.identifier_id = a.id
      WHERE coalesce(r.carried, ARRAY[r.identifier_id]) && (changed || devices)
    ), owned AS MATERIALIZED (
      SELECT f.*, cdp_internal.owner_of(f.carried, f.seq) AS owner FROM fact AS f
    ), moved AS (
      UPDATE cdp.assertions AS r SET identifier_id = o.owner, carried = nullif(o.carried, ARRAY[o.owner])
      FROM owned AS o WHERE r.decision_seq = o.seq AND o.owner <> o.was RETURNING o.was, o.owner
    ) SELECT DISTINCT m.was, m.owner FROM moved AS m;
END $$;
COMMENT ON FUNCTION cdp_internal.store_owners(bigint[], bigint[], bigint[]) IS
  'Gives facts to their owners after identifiers were left out, or taken in again, or links of shared devices changed; returns who lost facts to whom';
