-- access: who may do what. PUBLIC gets nothing that reads or writes people.

CREATE FUNCTION cdp.grant_access(role name, level text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  statements text[];
  doors constant text[] := ARRAY[
    'GRANT EXECUTE ON FUNCTION cdp.ingest(jsonb, text, timestamptz, text, text), cdp.ingest(text, text, timestamptz, text, text), cdp.ingest(bytea, text, timestamptz, text, text), cdp.identify, cdp.track, cdp.page, cdp.screen, cdp."group", cdp.leave_group, cdp.alias TO %1$I',
    'GRANT INSERT (source, import, received_at, message, line) ON cdp.inbox TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.line_number, cdp.load_csv, cdp_internal.csv_fields, cdp_internal.csv_pairs, cdp_internal.csv_message, cdp_internal.refuse_line, cdp_internal.nearest_names TO %1$I'];
  reading constant text[] := ARRAY[
    'GRANT SELECT ON cdp.sources, cdp.source_days, cdp.source_activity, cdp.tracking_plans, cdp.tracking_violations, cdp_internal.source_counts, cdp_internal.source_totals, cdp_internal.all_source_counts, cdp.identifier_types, cdp.identifiers, cdp.links, cdp.evidence, cdp.evidence_members, cdp.withdrawn_messages, cdp.withdrawn_assertions, cdp.withdrawn_events, cdp_internal.known_assertions, cdp_internal.known_events, cdp.removed_events, cdp_internal.event_traces, cdp.retention_rules, cdp.retention, cdp.retention_due, cdp_internal.governed_events, cdp.detached_months, cdp_internal.stored_later, cdp.identity_log, cdp.identity_decisions, cdp.identity_changes, cdp.pending_identifier_types, cdp.refusals, cdp.event_records, '
    'cdp.events, cdp.assertions, cdp.profiles, cdp.survivorship_rules, cdp.trait_definitions, cdp.quarantined_traits, cdp.survivorship_errors, cdp.personal_columns, cdp_internal.survivorship_versions, cdp.segments, cdp.segment_templates, cdp.memberships, cdp.segment_errors, cdp.segment_members, cdp.segment_versions, cdp.segment_dependencies, cdp.segment_refreshes, cdp.segment_costs, cdp.list_members, '
    'cdp.membership_history, cdp.event_names, cdp_internal.event_names, cdp.membership_changes, cdp.change_consumers, '
    'cdp_internal.membership_touches, cdp_internal.feed, cdp_internal.segment_sets, cdp_internal.segment_bitmaps, cdp.segment_days, cdp.segment_overlaps, cdp.computed_traits, cdp.computed_trait_values, cdp.computed_trait_history, cdp.people, cdp.accounts, cdp.account_members, cdp.account_definitions, cdp.account_results, cdp.account_errors, cdp.account_dependencies, cdp.account_trait_values, cdp.account_segment_members, cdp.account_history, cdp.profile_views, cdp_internal.profile_views, cdp_internal.profile_view_columns, cdp_internal.profile_view_refreshes, cdp.user_identifiers, cdp.user_traits, cdp.id_graph_updates, cdp.profile_merges TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.lookup, cdp_internal.nearest_names, cdp.current_profile, cdp.find_profiles, cdp.profile, cdp.golden_traits, cdp.why_trait, cdp.why_account_trait, cdp.trait_history, cdp.pending_survivorship, cdp_internal.fold_traits, cdp_internal.rules_in_force, cdp_internal.version_at, cdp_internal.check_instant, cdp_internal.identifiers_at, cdp_internal.known_policy, cdp_internal.explain_trait, cdp_internal.history_of_trait, cdp_internal.stored_sources, cdp_internal.folded_part, cdp_internal.profile_now, cdp_internal.latest_events, cdp_internal.profile_at, cdp.members, cdp.export_definitions, cdp_internal.export_accounts, cdp_internal.as_lines, '
    'cdp.why_member, cdp.why_computed_trait, cdp.explain_segment, cdp.preview_segment, cdp_internal.judge_at, cdp.render_segment_template, cdp.read_changes, cdp.ack_changes, cdp.drop_consumer, cdp.segment_size, cdp.segment_set, cdp.segment_overlap, cdp_internal.overlap, '
    'cdp.discover_tracking_plan, cdp.why_same, cdp.identity_health, cdp.check_identifier_type, cdp.health, cdp_internal.refuse_segment, cdp_internal.refuse_computed_trait TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.in_segment(text), cdp.in_segment(text, bigint), cdp.trait_since(text), cdp.trait_since(text, bigint) TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.account, cdp_internal.need_members, cdp_internal.account_traits, cdp_internal.judge_account, cdp_internal.find_account_definition, cdp_internal.refuse_to_guess, cdp.in_account_segment(text), '
    'cdp.in_account_segment(text, bigint), cdp.account_values(text), cdp.account_values(text, bigint) TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.percentile(text), cdp.percentile(text, bigint), cdp.rank(text), cdp.rank(text, bigint) TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp_internal.known_person, cdp_internal.person_at, cdp_internal.identifiers_of, cdp_internal.one_identifier, '
    'cdp_internal.chain, cdp_internal.name_identifier, cdp_internal.say_rule, cdp_internal.why_one, cdp_internal.why_decided, '
    'cdp_internal.why_refused, cdp_internal.find_bridges, cdp_internal.find_hubs, cdp_internal.count_types, cdp_internal.say_split, '
    'cdp_internal.check_expression, cdp_internal.candidate_query, cdp_internal.measure_candidate, cdp_internal.judge_candidate, '
    'cdp_internal.share TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.check_profile_view, cdp_internal.find_profile_view, cdp_internal.view_value_can_miss, cdp_internal.view_cast, cdp_internal.view_source, cdp_internal.view_values, '
    'cdp_internal.view_type, cdp_internal.refuse_view_column, cdp_internal.as_type, cdp_internal.nearest_names TO %1$I',
    'GRANT SELECT ON cdp.matchers, cdp.matcher_comparisons, cdp.matcher_levels, cdp.matcher_rules, cdp.matcher_sessions, cdp.matcher_session_values, cdp.matcher_parameters TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.export_matcher, cdp.blocking_analysis, cdp.score_pairs, cdp.cluster_pairs, cdp.why_match, cdp_internal.why_match, cdp_internal.match_record, cdp_internal.match_values, cdp.match_accuracy, cdp.match_errors, cdp.unlinkable_records, cdp.name_forms, cdp_internal.listed_name_forms, cdp_internal.normalize, cdp_internal.needs_full_run TO %1$I', 'GRANT SELECT ON cdp.nicknames TO %1$I',
    'GRANT SELECT ON cdp.matches, cdp.match_decisions, cdp.match_labels, cdp.match_review, cdp.followed_matchers, cdp.match_clusters TO %1$I',
    'GRANT USAGE ON SCHEMA cdp_segments, cdp_views TO %1$I', 'GRANT SELECT ON ALL TABLES IN SCHEMA cdp_segments TO %1$I'];
  segmenting constant text[] := ARRAY[
    'GRANT EXECUTE ON FUNCTION cdp.create_segment, cdp.create_segment_from, cdp.create_segment_template, cdp.drop_segment_template, cdp.create_list, cdp.alter_segment, cdp.rename_segment, cdp.disable_segment, cdp.enable_segment, '
    'cdp.drop_segment, cdp.refresh_segment, cdp.import_definitions, cdp.create_computed_trait, cdp.alter_computed_trait, cdp.rename_computed_trait, cdp.drop_computed_trait, '
    'cdp.create_profile_view, cdp.alter_profile_view, cdp.rename_profile_view, cdp.drop_profile_view, cdp.refresh_profile_view TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.create_account_trait, cdp.alter_account_trait, cdp.rename_account_trait, cdp.drop_account_trait, cdp.create_account_segment, cdp.alter_account_segment, cdp.rename_account_segment, cdp.drop_account_segment TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.add_members(text, bigint[], timestamptz, text), cdp.add_members(text, text, timestamptz, text), '
    'cdp.add_members(text, text, text[], timestamptz, text), cdp.remove_members(text, bigint[]), cdp.remove_members(text, text), '
    'cdp.remove_members(text, text, text[]) TO %1$I',
    'GRANT SELECT, DELETE, INSERT (segment, type, value, expires_at, reason) ON cdp.list_imports TO %1$I', 'GRANT SELECT ON cdp.progress TO %1$I'];
  mending constant text[] := ARRAY[
    'GRANT SELECT, UPDATE (message, resolved_at, resolution) ON cdp.quarantine TO %1$I',
    'GRANT INSERT, UPDATE, DELETE ON cdp.nicknames, cdp.matchers, cdp.matcher_comparisons, cdp.matcher_levels, cdp.matcher_rules, cdp.matcher_sessions, cdp.matcher_session_values TO %1$I',
    'GRANT INSERT, UPDATE ON cdp.matches, cdp.match_decisions TO %1$I',
    'GRANT EXECUTE ON PROCEDURE cdp.link_all_matches TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.find_matches, cdp_internal.judge_matches, cdp_internal.put_matches, cdp_internal.put_all_matches, cdp_internal.check_match_thresholds, cdp_internal.lock_matcher, cdp_internal.need_read_committed, cdp_internal.need_own_transactions, cdp.follow_matches, cdp.unfollow_matches, cdp.update_matches, cdp.accept_match, cdp.reject_match, cdp.undo_match, cdp_internal.decide_match, cdp.link_matches, cdp_internal.link_batch, cdp_internal.count_unlinked, cdp_internal.end_progress, cdp.train_from_labels, cdp_internal.learn_from_labels TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.people_matcher, cdp_internal.people_roles, cdp_internal.quoted, cdp_internal.people_comparison, cdp_internal.level, cdp.create_matcher, cdp.drop_matcher, cdp.train_matcher, cdp_internal.train_matcher, cdp_internal.check_matcher, cdp_internal.add_matcher_rules, cdp_internal.trained_probability TO %1$I',
    'GRANT SELECT ON cdp.quarantine_reasons TO %1$I', 'GRANT EXECUTE ON FUNCTION cdp.fix_quarantined, cdp_internal.as_jsonb, cdp.retry_quarantined, cdp.allow_link, cdp.forbid_link, cdp.remove_link, cdp.remove_identifier, '
    'cdp.split_profile, cdp.revoke_decision TO %1$I'];
  seeing_all constant text[] := ARRAY['GRANT SELECT ON cdp.quarantine, cdp.quarantine_reasons, cdp.inbox, cdp.suppressed, cdp.kept_messages TO %1$I',
    'GRANT SELECT (suppression_id, type, reason, suppressed_by, suppressed_at, lifted_by, lifted_at, lift_reason) ON cdp_internal.suppressions TO %1$I',
    'GRANT SELECT ON cdp_internal.source_counts, cdp_internal.source_totals, cdp_internal.all_source_counts TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.suppress, cdp.lift_suppression TO %1$I'];
  -- Not the tables of segments: who can write those decides what runs as whom.
  running constant text[] := ARRAY[
    'GRANT SELECT ON cdp.event_months, cdp.reprocessings, cdp_internal.reprocessings, cdp.imports, cdp_internal.imports, cdp_internal.import_messages, cdp_internal.import_counts, cdp.message_keys, cdp.attached_tables, cdp.worker_status, cdp.progress, cdp.write_keys TO %1$I',
    'GRANT SELECT (write_key_id, source_id, created_by, created_at) ON cdp_internal.write_keys TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.create_source, cdp.alter_source, cdp.enable_source, cdp.disable_source, cdp.create_write_key, cdp.drop_write_key, '
    'cdp.create_tracking_plan, cdp.alter_tracking_plan, cdp.drop_tracking_plan, cdp.enable_tracking_plan, cdp.disable_tracking_plan, '
    'cdp.clear_tracking_violations, cdp_internal.make_privacy_secret TO %1$I',
    'GRANT INSERT, UPDATE, DELETE ON cdp.sources, cdp.inbox, cdp.quarantine TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.create_identifier_type, cdp.alter_identifier_type, cdp.drop_identifier_type, '
    'cdp.refresh_segments, cdp.apply_identity_rules, cdp.identity_diff, cdp.set_survivorship, cdp.drop_survivorship, cdp.set_source_trust, cdp.define_trait, cdp.drop_trait_definition, cdp.apply_survivorship, cdp.profile_diff, cdp.account_diff, cdp.check_normalizers, cdp.accept_normalizers TO %1$I',
    'GRANT SELECT ON cdp.normalizer_versions TO %1$I',
    'GRANT EXECUTE ON PROCEDURE cdp.rebuild TO %1$I', 'GRANT SELECT ON cdp.identity_queue TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp_internal.begin_rebuild, cdp_internal.rebuild_batch TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp.verify, cdp.refresh_all_accounts, cdp.prune_changes, cdp.rebuild_sets, cdp.refresh_statistics, cdp.grant_access, cdp.start_worker, cdp.stop_worker, cdp.attach_table, cdp.alter_attached_table, cdp.warehouse_message, cdp.warehouse_tables, cdp.attach_warehouse, cdp_internal.find_warehouse, cdp_internal.has_row_key, cdp_internal.warehouse_expression, cdp_internal.check_warehouse, cdp_internal.orders_view_in_sql, cdp_internal.object_in_sql, cdp.recompare_table, cdp.detach_table, cdp_internal.attached_relation, cdp_internal.attachment_problem, cdp.begin_import, cdp.end_import, cdp.undo_import, cdp.reprocess_source, cdp.stop_reprocessing, cdp.drop_kept_messages, cdp.make_months, cdp.set_retention, cdp.drop_retention, cdp.detach_events, cdp.attach_events TO %1$I',
    'GRANT EXECUTE ON PROCEDURE cdp.run, cdp.apply_retention TO %1$I',
    'GRANT EXECUTE ON FUNCTION cdp_internal.need_own_transactions, cdp_internal.begin_run, cdp_internal.run_batch, cdp_internal.mend_batch, cdp_internal.fold_batch, cdp_internal.follow_attached, cdp_internal.follow_batch, cdp_internal.maintain_segments, cdp_internal.maintain_accounts, cdp_internal.tell_changes, cdp_internal.fold_sets, cdp_internal.close_days, cdp_internal.fold_source_counts, cdp_internal.undo_imports, cdp_internal.reprocess_messages, cdp_internal.make_months, cdp_internal.keep_events, cdp_internal.begin_retention, cdp_internal.move_months, cdp_internal.refresh_profile_views, cdp_internal.end_progress TO %1$I'];
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
  IF level <> 'ingest' THEN
    PERFORM cdp_internal.grant_profile_views(role);
  END IF;
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
GRANT EXECUTE ON FUNCTION cdp.normalize_email, cdp.normalize_phone, cdp.normalize_text, cdp.normalize_casefold,
  cdp.normalize_name, cdp.normalize_address, cdp.normalize_uuid, cdp.normalize_sha256, cdp.hash_email,
  cdp.normalizer_version, cdp.is_junk, cdp.junk_values, cdp_internal.normalize, cdp_internal.junk_list,
  cdp.sequence, cdp.sequence_by, cdp.sequence_count, cdp.sequence_count_by, cdp.last_sequence, cdp.last_sequence_by,
  cdp.funnel, cdp.funnel_by, cdp.first, cdp.last, cdp.longest_gap, cdp.most_frequent, cdp.bucket,
  cdp.jaro, cdp.jaro_winkler, cdp.levenshtein, cdp.damerau_levenshtein, cdp.optimal_alignment, cdp.jaccard, cdp.qgram_distance,
  cdp.double_metaphone, cdp.cologne_phonetics, cdp.parse_date, cdp.days_between, cdp.relative_difference TO PUBLIC;
