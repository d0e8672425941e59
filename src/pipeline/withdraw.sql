-- withdraw: messages taken back. What they said is gone from state, as if they had never come; that they came stays known.

CREATE TABLE cdp.withdrawn_messages (
  decision_seq  bigint NOT NULL PRIMARY KEY,
  kind          text NOT NULL CHECK (kind IN ('event', 'assertion')),
  source_id     integer NOT NULL,
  message_id    text NOT NULL,
  identifier_id bigint NOT NULL,
  received_at   timestamptz NOT NULL,
  reason        text NOT NULL,
  withdrawn_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE cdp.withdrawn_messages IS
  'Messages that were accepted and later taken back: what, when and why; only ever grows. A repeat of one stays a duplicate';
COMMENT ON COLUMN cdp.withdrawn_messages.identifier_id IS 'The identifier that owned what it said';
SELECT pg_catalog.pg_extension_config_dump('cdp.withdrawn_messages', '');
REVOKE ALL ON TABLE cdp.withdrawn_messages FROM PUBLIC;

-- What they said stays known for as long as it stood: history as it was known then reads on.
CREATE TABLE cdp.withdrawn_assertions (LIKE cdp.assertions, withdrawn_at timestamptz NOT NULL DEFAULT pg_catalog.now(), PRIMARY KEY (decision_seq));
CREATE INDEX withdrawn_assertions_owner ON cdp.withdrawn_assertions (identifier_id);
CREATE TABLE cdp.withdrawn_events (LIKE cdp.event_records, withdrawn_at timestamptz NOT NULL DEFAULT pg_catalog.now(), PRIMARY KEY (event_id));
CREATE INDEX withdrawn_events_owner ON cdp.withdrawn_events (identifier_id, occurred_at);
COMMENT ON TABLE cdp.withdrawn_assertions IS 'What withdrawn identify, group and alias messages said, until when; only ever grows';
COMMENT ON TABLE cdp.withdrawn_events IS 'Events of withdrawn messages, until when they stood; only ever grows';
SELECT pg_catalog.pg_extension_config_dump('cdp.withdrawn_assertions', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.withdrawn_events', '');
REVOKE ALL ON TABLE cdp.withdrawn_assertions, cdp.withdrawn_events FROM PUBLIC;

-- What is said again in the place of what was taken back keeps its receipt time, but was not stored before.
CREATE TABLE cdp_internal.stored_later (decision_seq bigint NOT NULL PRIMARY KEY, stored_at timestamptz NOT NULL DEFAULT pg_catalog.now());
COMMENT ON TABLE cdp_internal.stored_later IS 'Messages that were stored after their receipt, in the place of withdrawn ones; only ever grows';
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.stored_later', '');
REVOKE ALL ON TABLE cdp_internal.stored_later FROM PUBLIC;

CREATE VIEW cdp_internal.known_assertions WITH (security_invoker) AS
  SELECT a.*, timestamptz 'infinity' AS withdrawn_at FROM cdp.assertions AS a UNION ALL SELECT w.* FROM cdp.withdrawn_assertions AS w;
CREATE VIEW cdp_internal.known_events WITH (security_invoker) AS
  SELECT r.*, timestamptz 'infinity' AS withdrawn_at FROM cdp.event_records AS r UNION ALL SELECT w.* FROM cdp.withdrawn_events AS w;
COMMENT ON VIEW cdp_internal.known_assertions IS 'What messages say, and what withdrawn ones said until they were withdrawn';
COMMENT ON VIEW cdp_internal.known_events IS 'Events, and those of withdrawn messages until they were withdrawn';

-- Of sets of identifiers that lost their evidence, the first message that is left and carried the same becomes the
-- evidence, as its repeat was not kept; of the sets in `whole`, all of them do.
CREATE FUNCTION cdp_internal.rehome_evidence(sets text[], whole text[]) RETURNS TABLE (decision_seq bigint, identifiers bigint[])
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  WITH supporter AS (
    SELECT a.carried, a.whole, f.*, row_number() OVER (PARTITION BY a.carried ORDER BY f.seq) AS place
    FROM (SELECT s.name::bigint[] AS carried, s.name = ANY (whole) AS whole FROM unnest(sets) AS s (name)) AS a
    CROSS JOIN LATERAL (
      SELECT unnest(a.carried) AS id
      UNION -- what devices alone said may belong to whoever was on them
      SELECT unnest(e.identifiers) FROM unnest(a.carried) AS d (id)
        JOIN cdp.identifiers AS i ON i.identifier_id = d.id JOIN cdp.identifier_types AS t USING (type)
        JOIN cdp.evidence_members AS m ON m.identifier_id = d.id JOIN cdp.evidence AS e USING (decision_seq)
        WHERE t.sharing = 'latest') AS o
    CROSS JOIN LATERAL (
      SELECT r.event_id AS seq, r.source_id, r.received_at, r.message_id FROM cdp_internal.event_traces AS r
        WHERE r.identifier_id = o.id AND r.carried = a.carried
      UNION ALL
      SELECT r.decision_seq, r.source_id, r.received_at, r.message_id FROM cdp.assertions AS r
        WHERE r.identifier_id = o.id AND r.carried = a.carried AND r.type <> 'alias') AS f
  ), home AS (
    INSERT INTO cdp.evidence (decision_seq, identifiers, source_id, linked_at, message_id)
    SELECT s.seq, s.carried, s.source_id, s.received_at, s.message_id FROM supporter AS s
    WHERE (s.place = 1 OR s.whole) AND NOT EXISTS (SELECT FROM cdp.evidence AS e WHERE e.decision_seq = s.seq)
    RETURNING decision_seq, identifiers
  ), member AS (
    INSERT INTO cdp.evidence_members (identifier_id, decision_seq) SELECT unnest(h.identifiers), h.decision_seq FROM home AS h
  )
  SELECT h.decision_seq, h.identifiers FROM home AS h
$$;
COMMENT ON FUNCTION cdp_internal.rehome_evidence(text[], text[]) IS 'Part of cdp_internal.take_out';

-- When identifiers were first seen, by what is left; infinity: nothing names them any more. `owners`: whose facts may name
-- them beside those that are evidence; `coming`: what is about to be decided names these, at these times.
CREATE FUNCTION cdp_internal.see_anew(identifiers bigint[], owners bigint[], coming bigint[], coming_at timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  WITH asked AS MATERIALIZED (
    SELECT a.id, coalesce(min(c.at), 'infinity') AS coming_at FROM unnest(see_anew.identifiers) AS a (id)
    LEFT JOIN unnest(coming, see_anew.coming_at) AS c (id, at) USING (id) GROUP BY a.id
  ), fact AS (
    SELECT f.* FROM unnest(owners) AS o (id) CROSS JOIN LATERAL (
      SELECT r.event_id AS seq, r.received_at AS at, coalesce(r.carried, ARRAY[r.identifier_id]) AS carried
        FROM cdp_internal.event_traces AS r WHERE r.identifier_id = o.id
      UNION ALL SELECT r.decision_seq, r.received_at, coalesce(r.carried, ARRAY[r.identifier_id])
        FROM cdp.assertions AS r WHERE r.identifier_id = o.id) AS f
  ), first AS (
    SELECT DISTINCT ON (n.id) n.id, n.at FROM (
      SELECT a.id, e.decision_seq AS seq, e.linked_at AS at
        FROM asked AS a JOIN cdp.evidence_members AS m ON m.identifier_id = a.id JOIN cdp.evidence AS e USING (decision_seq)
      UNION ALL SELECT c.id, f.seq, f.at FROM fact AS f CROSS JOIN LATERAL unnest(f.carried) AS c (id)) AS n
    ORDER BY n.id, n.seq
  )
  UPDATE cdp.identifiers AS i SET first_seen_at = coalesce(f.at, a.coming_at)
  FROM asked AS a LEFT JOIN first AS f USING (id)
  WHERE i.identifier_id = a.id AND i.first_seen_at <> coalesce(f.at, a.coming_at)
$$;
COMMENT ON FUNCTION cdp_internal.see_anew(bigint[], bigint[], bigint[], timestamptz[]) IS 'Part of cdp_internal.take_out';

CREATE FUNCTION cdp_internal.take_out(decision_seqs bigint[], reason text, whole text[], coming bigint[], coming_at timestamptz[],
    OUT taken bigint, OUT identifiers bigint[], OUT homes bigint[], OUT home_sets text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  lost     text[];
  doubtful bigint[];
BEGIN
  WITH event AS (
    DELETE FROM cdp.event_records AS r WHERE r.event_id = ANY (decision_seqs) RETURNING r.*
  ), trace AS (
    DELETE FROM cdp.removed_events AS g WHERE g.event_id = ANY (decision_seqs) RETURNING g.*
  ), said AS (
    DELETE FROM cdp.assertions AS a WHERE a.decision_seq = ANY (decision_seqs) RETURNING a.*
  ), misfit AS (
    DELETE FROM cdp.quarantined_traits AS q WHERE q.decision_seq = ANY (decision_seqs)
  ), forgotten AS (
    DELETE FROM cdp.kept_messages AS k WHERE k.decision_seq = ANY (decision_seqs)
  ), kept_event AS (
    INSERT INTO cdp.withdrawn_events SELECT e.* FROM event AS e
  ), kept_assertion AS (
    INSERT INTO cdp.withdrawn_assertions SELECT s.* FROM said AS s
  ), fact AS (
    SELECT e.event_id AS seq, 'event' AS kind, e.source_id, e.message_id, e.identifier_id, e.received_at, e.carried FROM event AS e
    UNION ALL SELECT t.event_id, 'event', t.source_id, t.message_id, t.identifier_id, t.received_at, t.carried FROM trace AS t
    UNION ALL SELECT s.decision_seq, 'assertion', s.source_id, s.message_id, s.identifier_id, s.received_at, s.carried FROM said AS s
  ), logged AS (
    INSERT INTO cdp.withdrawn_messages (decision_seq, kind, source_id, message_id, identifier_id, received_at, reason)
    SELECT f.seq, f.kind, f.source_id, f.message_id, f.identifier_id, f.received_at, take_out.reason FROM fact AS f
  ), named AS (
    SELECT f.seq, f.received_at, n.id FROM fact AS f CROSS JOIN LATERAL unnest(f.identifier_id || f.carried) AS n (id)
  )
  SELECT (SELECT count(*) FROM fact), coalesce(array_agg(DISTINCT n.id), '{}'),
         coalesce(array_agg(DISTINCT n.id) FILTER (WHERE i.first_seen_at = n.received_at), '{}')
    INTO taken, identifiers, doubtful
    FROM named AS n JOIN cdp.identifiers AS i ON i.identifier_id = n.id;

  WITH gone AS (
    DELETE FROM cdp.evidence AS e WHERE e.decision_seq = ANY (decision_seqs) RETURNING e.*
  ), member AS (
    DELETE FROM cdp.evidence_members AS m USING (SELECT g.decision_seq, unnest(g.identifiers) AS id FROM gone AS g) AS g
    WHERE m.identifier_id = g.id AND m.decision_seq = g.decision_seq
  )
  SELECT coalesce(array_agg(DISTINCT g.identifiers::text), '{}') INTO lost FROM gone AS g WHERE NOT g.is_explicit;
  SELECT coalesce(array_agg(h.decision_seq ORDER BY h.decision_seq), '{}'), coalesce(array_agg(h.identifiers::text ORDER BY h.decision_seq), '{}')
    INTO homes, home_sets FROM cdp_internal.rehome_evidence(lost, whole) AS h;
  PERFORM cdp_internal.see_anew(doubtful, identifiers, coming, coming_at);
END $$;
COMMENT ON FUNCTION cdp_internal.take_out(bigint[], text, text[], bigint[], timestamptz[]) IS
  'Takes facts and evidence of messages out, under the locks of their people: how many, the identifiers named, the evidence that repeats became';

CREATE FUNCTION cdp_internal.withdraw(decision_seqs bigint[], reason text) RETURNS bigint
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_withdraw';
COMMENT ON FUNCTION cdp_internal.withdraw(bigint[], text) IS
  'Takes these messages back, in this transaction: identities, profiles, segments and timelines become what the remaining facts say; returns how many were taken out. Errors: 25001 above READ COMMITTED';

-- A message a place, and what became of it.
CREATE FUNCTION cdp_internal.exchange(withdrawn bigint[], sources text[], imports text[], messages text[], received_at timestamptz[], reason text, known_by text[] DEFAULT '{}')
  RETURNS TABLE (place integer, fate text, decision_seq bigint, message_id text)
  LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_exchange';
COMMENT ON FUNCTION cdp_internal.exchange(bigint[], text[], text[], text[], timestamptz[], text, text[]) IS
  'Takes messages back and decides others in their place, as one decision; without any to take back, as cdp.ingest does. known_by: content; id, whatever else the same messageId came with; or own id, which was that of one that is taken back';
