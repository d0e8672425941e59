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
COMMENT ON FUNCTION cdp_internal.describe_segment(integer) IS 'Part of cdp.explain_segment';

CREATE FUNCTION cdp.explain_segment(name text)
  RETURNS TABLE (part text, number integer, text text, details jsonb, people bigint, kept bigint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  s      cdp.segments := (SELECT o FROM cdp.segments AS o WHERE o.name = $1);
  chosen integer := s.segment_id;
BEGIN
  IF chosen IS NULL THEN
    PERFORM cdp_internal.refuse_segment($1);
  ELSIF s.state = 'disabled' THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('segment "%s" is disabled', $1),
      HINT = format('SELECT cdp.enable_segment(%L).', $1);
  ELSIF s.kind = 'list' OR s.class = 'interval' THEN
    RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
      MESSAGE = format('segment "%s" is %s, which cannot be explained yet', $1,
        CASE s.kind WHEN 'list' THEN 'a list' WHEN 'query' THEN 'a query' ELSE 'a rule of class interval' END),
      HINT = format(CASE s.kind WHEN 'list' THEN 'cdp.why_member(%L, profile_id) explains a person; cdp.list_members has what is on it.'
        ELSE 'cdp.why_member(%L, profile_id) explains a person; cdp.segment_refreshes has the last refresh.' END, $1);
  END IF;
  RETURN QUERY SELECT * FROM cdp_internal.describe_segment(chosen);
  RETURN QUERY
    SELECT 'last refresh'::text, NULL::integer, format('%s ms', r.milliseconds),
           jsonb_build_object('at', r.refreshed_at, 'people', r.people, 'events', r.events, 'changed', r.changed, 'together', r.together,
                              'read_per_change', round((r.people + coalesce(r.events, 0))::numeric / nullif(r.changed, 0), 1)),
           NULL::bigint, NULL::bigint
    FROM cdp.segment_costs AS r WHERE r.segment_id = chosen;
END $$;
REVOKE ALL ON FUNCTION cdp.explain_segment(text) FROM PUBLIC;
COMMENT ON FUNCTION cdp.explain_segment(text) IS
  'What a segment is made of: its conditions, how many people each holds for and how many memberships it keeps, who judges it, what it depends on, what its last refresh cost';
