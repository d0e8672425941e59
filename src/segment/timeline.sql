-- timeline: what segments know of people's events, packed. Made of cdp.event_records and made again whenever it is
-- missing or too old: TRUNCATE cdp_internal.timelines loses nothing
-- (but DELETE takes rows whose absence is not noticed).

CREATE TABLE cdp_internal.timeline_inputs (
  input_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  definition text NOT NULL
);
CREATE UNIQUE INDEX timeline_inputs_definition ON cdp_internal.timeline_inputs
  (pg_catalog.md5(definition));
COMMENT ON TABLE cdp_internal.timeline_inputs IS 'What the rules of all segments ask of an event, each once';

CREATE TABLE cdp_internal.timelines (
  identifier_id bigint NOT NULL,
  from_at       timestamptz NOT NULL,
  until_at      timestamptz NOT NULL,
  inputs        integer NOT NULL,
  events        bytea NOT NULL,
  PRIMARY KEY (identifier_id, from_at)
) WITH (fillfactor = 70, toast_tuple_target = 8160);
ALTER TABLE cdp_internal.timelines ALTER COLUMN events SET STORAGE EXTERNAL;
COMMENT ON TABLE cdp_internal.timelines IS
  'An identifier''s events from an instant on until the next row''s, as cdp_internal.timeline_inputs see them';
COMMENT ON COLUMN cdp_internal.timelines.inputs IS 'The newest input that has been asked of all these events';
COMMENT ON COLUMN cdp_internal.timelines.until_at IS 'When the last of these events occurred';

SELECT pg_catalog.pg_extension_config_dump('cdp_internal.timeline_inputs', '');
SELECT pg_catalog.pg_extension_config_dump('cdp_internal.timeline_inputs_input_id_seq', '');

CREATE TABLE cdp_internal.trait_runs (
  profile_id bigint NOT NULL,
  trait      text NOT NULL,
  since      timestamptz NOT NULL,
  latest_at  timestamptz NOT NULL,
  latest_seq bigint NOT NULL,
  value      uuid NOT NULL,
  PRIMARY KEY (profile_id, trait)
) WITH (fillfactor = 85);
COMMENT ON TABLE cdp_internal.trait_runs IS
  'Since when a person''s trait is what it is, of traits that rules ask that of; made again from cdp.assertions where it is missing';
COMMENT ON COLUMN cdp_internal.trait_runs.since IS 'When the value was said first of those times that nothing else was said between; -infinity: it was never set';
COMMENT ON COLUMN cdp_internal.trait_runs.value IS 'A hash of the value';

-- A row: every identifier that has events has a timeline. Kept while there are inputs, since whoever stores events then
-- adds to timelines.
CREATE TABLE cdp_internal.timelines_complete (since timestamptz NOT NULL DEFAULT pg_catalog.now());
COMMENT ON TABLE cdp_internal.timelines_complete IS 'One row while no timeline is missing';

CREATE FUNCTION cdp_internal.timelines_went() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM cdp_internal.timelines_complete
  WHERE TG_OP = 'TRUNCATE' OR NOT EXISTS (SELECT FROM cdp_internal.timeline_inputs);
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION cdp_internal.timelines_went() FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.timelines_went() IS 'Trigger: timelines, or all that is asked of them, went';
CREATE TRIGGER timelines_went AFTER TRUNCATE ON cdp_internal.timelines
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.timelines_went();
CREATE TRIGGER inputs_went AFTER DELETE OR TRUNCATE ON cdp_internal.timeline_inputs
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.timelines_went();

-- Events that change hands, or go: their timelines are made again when they are next wanted.
CREATE FUNCTION cdp_internal.forget_timelines() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    TRUNCATE cdp_internal.timelines;
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO cdp_internal.timelines AS t (identifier_id, from_at, until_at, inputs, events)
      SELECT DISTINCT r.identifier_id, '-infinity'::timestamptz, '-infinity'::timestamptz, 0, ''::bytea FROM new_records AS r
      ON CONFLICT (identifier_id, from_at) DO NOTHING;
    UPDATE cdp_internal.timelines AS t SET inputs = 0 FROM (SELECT DISTINCT identifier_id FROM new_records) AS r
      WHERE t.identifier_id = r.identifier_id;
  END IF;
  UPDATE cdp_internal.timelines AS t SET inputs = 0 FROM (SELECT DISTINCT identifier_id FROM old_records) AS r
    WHERE t.identifier_id = r.identifier_id;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION cdp_internal.forget_timelines() FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.forget_timelines() IS 'Trigger: keeps timelines true to cdp.event_records';
CREATE TRIGGER forget_timelines_of_moved AFTER UPDATE ON cdp.event_records
  REFERENCING OLD TABLE AS old_records NEW TABLE AS new_records
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.forget_timelines();
CREATE TRIGGER forget_timelines_of_deleted AFTER DELETE ON cdp.event_records
  REFERENCING OLD TABLE AS old_records
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.forget_timelines();
CREATE TRIGGER forget_timelines_of_all AFTER TRUNCATE ON cdp.event_records
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.forget_timelines();

-- While no rule is kept whoever stores events adds nothing to timelines. So the inputs get new numbers: all there is was
-- not asked them, and is made anew for the next rule.
CREATE FUNCTION cdp_internal.timelines_unwatched() RETURNS trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kept text[];
BEGIN
  IF NOT EXISTS (SELECT FROM cdp.segments AS s WHERE s.kind IN ('rule', 'trait') AND s.class = 'exact' AND s.state <> 'disabled') THEN
    kept := ARRAY(SELECT i.definition FROM cdp_internal.timeline_inputs AS i ORDER BY i.input_id);
    DELETE FROM cdp_internal.timeline_inputs;
    INSERT INTO cdp_internal.timeline_inputs (definition) SELECT * FROM unnest(kept);
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION cdp_internal.timelines_unwatched() FROM PUBLIC;
COMMENT ON FUNCTION cdp_internal.timelines_unwatched() IS 'Trigger: the last rule that is kept may have gone or been disabled';
CREATE TRIGGER timelines_unwatched AFTER UPDATE OF kind, class, state OR DELETE ON cdp.segments
  FOR EACH STATEMENT EXECUTE FUNCTION cdp_internal.timelines_unwatched();
