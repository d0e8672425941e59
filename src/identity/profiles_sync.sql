-- profiles_sync: people in the shape of Segment's Profiles Sync tables, for queries and models that come from there.
-- Source: https://segment.com/docs/unify/profiles-sync/tables/

CREATE VIEW cdp.user_identifiers WITH (security_invoker) AS
  SELECT i.profile_id AS canonical_segment_id, i.type, i.value, i.identifier_id AS seq, i.first_seen_at AS received_at,
         i.first_seen_at AS "timestamp"
  FROM cdp.identifiers AS i
  WHERE EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = i.profile_id);
COMMENT ON VIEW cdp.user_identifiers IS
  'A row an identifier, with the person who has it now, shaped as Segment''s Profiles Sync; canonical_segment_id is the profile_id';

CREATE VIEW cdp.user_traits WITH (security_invoker) AS
  SELECT p.profile_id AS canonical_segment_id, t.key AS name, t.value #>> '{}' AS value,
         (p.trait_origins -> t.key ->> 1)::bigint AS seq, a.received_at, a.asserted_at AS "timestamp"
  FROM cdp.profiles AS p
  CROSS JOIN LATERAL pg_catalog.jsonb_each(p.traits) AS t
  LEFT JOIN cdp.assertions AS a ON a.decision_seq = (p.trait_origins -> t.key ->> 1)::bigint;
COMMENT ON VIEW cdp.user_traits IS
  'A row a golden trait, shaped as Segment''s Profiles Sync; value as text, JSON where it is an array or object; seq is the decision_seq of the message that said it';

-- An id goes where its person goes: the first change after the last that concerned it, and so on.
CREATE VIEW cdp.id_graph_updates WITH (security_invoker) AS
  WITH RECURSIVE updates (segment_id, canonical_segment_id, seq) AS (
    SELECT c.profile_id, c.profile_id, c.change_id FROM cdp.identity_changes AS c
    WHERE c.change IN ('created', 'split')
       -- Who was nobody until somebody was merged into them.
       OR c.change = 'merged' AND NOT EXISTS (SELECT FROM cdp.identity_changes AS b
                                              WHERE b.profile_id = c.profile_id AND b.change_id < c.change_id)
    UNION
    SELECT u.segment_id, n.profile_id, n.change_id
    FROM updates AS u
    CROSS JOIN LATERAL (
      SELECT c.profile_id, c.change_id FROM cdp.identity_changes AS c
      WHERE c.from_profile_id = u.canonical_segment_id AND c.change_id > u.seq
        AND (c.change IN ('added', 'merged') OR c.change = 'split' AND u.segment_id = ANY (c.identifiers))
      ORDER BY c.change_id LIMIT 1) AS n
  )
  SELECT u.segment_id, u.canonical_segment_id, u.seq, coalesce(r.type, a.type) AS triggering_event_type,
         coalesce(r.message_id, a.message_id) AS triggering_event_id, c.effective_at AS received_at,
         coalesce(r.occurred_at, a.asserted_at, c.effective_at) AS "timestamp"
  FROM updates AS u
  JOIN cdp.identity_changes AS c ON c.change_id = u.seq
  LEFT JOIN cdp_internal.event_traces AS r ON r.event_id = c.decision_seq
  LEFT JOIN cdp.assertions AS a ON a.decision_seq = c.decision_seq;
COMMENT ON VIEW cdp.id_graph_updates IS
  'Every profile_id there ever was (segment_id) and whose it became (canonical_segment_id), in the order seq, shaped as Segment''s Profiles Sync, splits included. Triggering event: null for a decision of a person';

CREATE VIEW cdp.profile_merges WITH (security_invoker) AS
  SELECT DISTINCT ON (u.segment_id) u.canonical_segment_id, u.segment_id, u.seq, u.received_at, u."timestamp"
  FROM cdp.id_graph_updates AS u ORDER BY u.segment_id, u.seq DESC;
COMMENT ON VIEW cdp.profile_merges IS
  'A row a profile_id there ever was, with the person it stands for now, shaped as Segment''s Profiles Sync';
