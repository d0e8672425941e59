-- access: who may do what. PUBLIC gets nothing that reads or writes people.

CREATE FUNCTION cdp.grant_access(role name, level text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  statements text[];
  doors constant text[] := ARRAY[
    'GRANT EXECUTE ON FUNCTION cdp.ingest, cdp.identify, cdp.track, cdp.page, cdp.screen, cdp."group", cdp.alias TO %1$I',
    'GRANT INSERT (source, import, received_at, message) ON cdp.inbox TO %1$I'];
  reading constant text[] := ARRAY[
    'GRANT SELECT ON cdp.sources, cdp.identifier_types, cdp.identifiers, cdp.links, cdp.refusals, cdp.event_records, '
    'cdp.events, cdp.assertions, cdp.profiles, cdp.segments, cdp.memberships, cdp.segment_errors, cdp.segment_members, '
    'cdp.membership_history TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.lookup, cdp.current_profile, cdp.find_profiles, cdp.profile, cdp.members, '
    'cdp.why_member, cdp.health, cdp_internal.refuse_segment TO %1$I',
    'GRANT USAGE ON SCHEMA cdp_segments TO %1$I', 'GRANT SELECT ON ALL TABLES IN SCHEMA cdp_segments TO %1$I'];
  segmenting constant text[] := ARRAY['GRANT EXECUTE ON FUNCTION cdp.create_segment, cdp.drop_segment, cdp.refresh_segment TO %1$I'];
  mending constant text[] := ARRAY[
    'GRANT SELECT, UPDATE (message, resolved_at, resolution) ON cdp.quarantine TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.retry_quarantined TO %1$I'];
  seeing_all constant text[] := ARRAY['GRANT SELECT ON cdp.quarantine, cdp.inbox TO %1$I'];
  -- Not the tables of segments: who can write those decides what runs as whom.
  running constant text[] := ARRAY[
    'GRANT SELECT ON cdp.message_keys, cdp.worker_status, cdp.progress TO %1$I',
    'GRANT INSERT, UPDATE, DELETE ON cdp.sources, cdp.identifier_types, cdp.inbox, cdp.quarantine TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.verify, cdp.grant_access, cdp.start_worker, cdp.stop_worker TO %1$I',
    'GRANT EXECUTE ON PROCEDURE cdp.run TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp_internal.begin_run, cdp_internal.run_batch, cdp_internal.end_progress TO %1$I'];
  statement text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = grant_access.role) THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role "%s" does not exist', role),
      HINT = 'CREATE ROLE it first.';
  END IF;
  statements := CASE level
    WHEN 'ingest' THEN doors
    WHEN 'analyst' THEN reading
    WHEN 'marketer' THEN reading || segmenting
    WHEN 'steward' THEN reading || mending
    WHEN 'dpo' THEN reading || seeing_all
    WHEN 'admin' THEN doors || reading || segmenting || mending || seeing_all || running END;
  IF statements IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('unknown access level "%s"', level),
      HINT = 'There are ingest, analyst, marketer, steward, dpo and admin.';
  END IF;
  FOREACH statement IN ARRAY ARRAY['GRANT USAGE ON SCHEMA cdp, cdp_internal TO %1$I'] || statements LOOP
    EXECUTE format(statement, role);
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp.grant_access(name, text) IS
  'Lets a role do its work: ingest (send messages), analyst (read people and segments), marketer (and make segments), steward (and mend quarantine), dpo (and see all that is kept), admin (all of these, and run, verify and grant). Errors: 42704 unknown role, 22023 unknown level';

DO $$
DECLARE
  it record;
BEGIN
  FOR it IN SELECT p.oid::regprocedure AS signature FROM pg_proc AS p
            WHERE p.pronamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace) LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', it.signature);
  END LOOP;
END $$;
-- Pure functions of their arguments.
GRANT USAGE ON SCHEMA cdp TO PUBLIC;
GRANT EXECUTE ON FUNCTION cdp.normalize_email, cdp.normalize_phone, cdp.normalize_text, cdp.normalizer_version,
  cdp_internal.normalize TO PUBLIC;
