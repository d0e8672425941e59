-- event_names: which events there are, so that a rule about one that never was can say so. No unique index: two who see
-- a new name at the same time both write it, and nobody waits.

CREATE TABLE cdp_internal.event_names (event text NOT NULL, first_seen_at timestamptz NOT NULL);
CREATE INDEX event_names_event ON cdp_internal.event_names USING hash (event);
COMMENT ON TABLE cdp_internal.event_names IS 'Names of events that were stored, each at least once; read cdp.event_names';
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.event_names', '');

CREATE VIEW cdp.event_names WITH (security_invoker) AS
  SELECT n.event, pg_catalog.min(n.first_seen_at) AS first_seen_at FROM cdp_internal.event_names AS n GROUP BY n.event;
COMMENT ON VIEW cdp.event_names IS 'Every name of an event that ever came, and when it was first received';
