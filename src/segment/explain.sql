-- explain: what a segment is made of, and what it cost.

CREATE TABLE cdp.segment_costs (
  segment_id   integer PRIMARY KEY,
  refreshed_at timestamptz NOT NULL,
  milliseconds numeric NOT NULL,
  people       bigint NOT NULL,
  events       bigint,
  changed      bigint NOT NULL,
  together     integer NOT NULL
);
COMMENT ON TABLE cdp.segment_costs IS 'The last time that everybody was judged for a segment, and what it cost';
COMMENT ON COLUMN cdp.segment_costs.events IS 'What timelines said of events that was looked at; null when PostgreSQL judged';
COMMENT ON COLUMN cdp.segment_costs.changed IS 'Memberships that were written or taken away';
COMMENT ON COLUMN cdp.segment_costs.together IS 'How many segments shared the cost';
SELECT pg_catalog.pg_extension_config_dump('cdp.segment_costs', '');

CREATE FUNCTION cdp_internal.describe_segment(segment_id integer)
  RETURNS TABLE (part text, number integer, text text, details jsonb, people bigint, kept bigint) LANGUAGE c STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_describe_segment';
REVOKE ALL ON FUNCTION cdp_internal.describe_segment(integer) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.describe_segment(integer) IS 'Part of cdp.explain_segment: a rule; of one that is not exact what it names';

-- What is not judged by conditions: who is in it is what is stored.
CREATE FUNCTION cdp_internal.describe_stored(s cdp.segments)
  RETURNS TABLE (part text, number integer, text text, details jsonb, people bigint, kept bigint) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.kind, NULL::integer,
         CASE s.kind WHEN 'list' THEN 'who is put on it' WHEN 'query' THEN s.query ELSE CASE WHEN s.per IS NULL THEN 'per person' ELSE 'per key' END END,
         CASE s.kind WHEN 'list' THEN jsonb_build_object('identifiers', (SELECT count(*) FROM cdp.list_members AS l WHERE l.segment_id = s.segment_id)) ELSE '{}' END,
         count(DISTINCT m.profile_id), count(*)
  FROM cdp.memberships AS m WHERE m.segment_id = s.segment_id AND m.entered_at <= now() AND m.left_at > now()
  UNION ALL
  SELECT 'judged by', NULL, 'PostgreSQL', jsonb_build_object('because', 'a query over everybody, at each refresh'), NULL, NULL WHERE s.kind <> 'list'
  UNION ALL
  SELECT 'freshness', NULL, s.class,
         CASE s.kind WHEN 'list' THEN jsonb_build_object('because', 'what can change it is known: who is put on it, taken off it, or merged')
                     ELSE jsonb_build_object('because', 'it cannot be kept exact: ' || array_to_string(s.reasons, '; '), 'refresh', s.refresh) END,
         NULL, NULL
$$;
REVOKE ALL ON FUNCTION cdp_internal.describe_stored(cdp.segments) FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.describe_stored(cdp.segments) IS 'Part of cdp.explain_segment: a list, a query, or a rule that is not exact';

CREATE FUNCTION cdp.explain_segment(name text)
  RETURNS TABLE (part text, number integer, text text, details jsonb, people bigint, kept bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  s      cdp.segments := (SELECT o FROM cdp.segments AS o WHERE o.name = $1 AND o.kind <> 'trait');
  chosen integer := s.segment_id;
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.refuse_segment($1);
  END IF;
  RETURN QUERY
    SELECT 'state'::text, NULL::integer, 'disabled'::text,
           jsonb_build_object('because', 'nobody is in it until cdp.enable_segment(name); an exact rule is told as it would be'), NULL::bigint, NULL::bigint
    WHERE s.state = 'disabled';
  RETURN QUERY SELECT * FROM cdp_internal.describe_stored(s) WHERE s.kind <> 'rule' OR s.class <> 'exact';
  IF s.kind = 'rule' THEN
    RETURN QUERY SELECT * FROM cdp_internal.describe_segment(chosen);
  END IF;
  RETURN QUERY
    SELECT 'last refresh'::text, NULL::integer, format('%s ms', r.milliseconds),
           jsonb_build_object('at', r.refreshed_at, 'people', r.people, 'events', r.events, 'changed', r.changed, 'together', r.together,
                              'read_per_change', round((r.people + coalesce(r.events, 0))::numeric / nullif(r.changed, 0), 1)),
           NULL::bigint, NULL::bigint
    FROM cdp.segment_costs AS r WHERE r.segment_id = chosen AND s.class = 'exact'
    UNION ALL
    SELECT 'last refresh', NULL, format('%s ms', round(extract(epoch FROM r.took) * 1000, 1)),
           jsonb_build_object('at', r.refreshed_at, 'members', r.members, 'entered', r.entered, 'left', r.left_it, 'unknown', r.unknown)
             || CASE WHEN r.tried_at > r.refreshed_at OR r.refreshed_at IS NULL THEN jsonb_build_object('failed_at', r.tried_at) ELSE '{}' END,
           NULL, NULL
    FROM cdp.segment_refreshes AS r WHERE r.segment_id = chosen AND s.class = 'interval';
END $$;
REVOKE ALL ON FUNCTION cdp.explain_segment(text) FROM PUBLIC;
COMMENT ON FUNCTION cdp.explain_segment(text) IS
  'What a segment is made of: its conditions, how many people each holds for and how many memberships it keeps, who judges it, what it depends on, what its last refresh cost';
