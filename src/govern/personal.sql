-- personal: what cdp keeps of people, column by column. Erasure and export go by this; a column that is not here fails a test.

-- A view, not a table: it belongs to the code, and a dump must not bring back that of another version.
CREATE VIEW cdp.personal_columns WITH (security_invoker) AS
  SELECT v.* FROM (VALUES
    -- What was said by people and about them.
    ('cdp.inbox', 'message', 'delete', true), ('cdp.inbox', 'import', 'delete', false), ('cdp.inbox', 'source', 'delete', true),
    ('cdp.quarantine', 'message', 'delete', true), ('cdp.quarantine', 'message_id', 'delete', true), ('cdp.quarantine', 'reason', 'delete', false),
    ('cdp.quarantine', 'detail', 'delete', false), ('cdp.quarantine', 'source', 'delete', true), ('cdp.quarantine', 'import', 'delete', false),
    ('cdp.event_records', 'properties', 'delete', true), ('cdp.event_records', 'context', 'delete', true), ('cdp.event_records', 'extra', 'delete', true),
    ('cdp.event_records', 'event', 'delete', true), ('cdp.event_records', 'type', 'delete', true), ('cdp.event_records', 'message_id', 'delete', true),
    ('cdp.removed_events', 'type', 'delete', true), ('cdp.removed_events', 'message_id', 'delete', true), ('cdp.removed_events', 'archive', 'keep', false),
    ('cdp.assertions', 'traits', 'delete', true), ('cdp.assertions', 'context', 'delete', true), ('cdp.assertions', 'extra', 'delete', true),
    ('cdp.assertions', 'group_id', 'delete', true), ('cdp.assertions', 'type', 'delete', true), ('cdp.assertions', 'message_id', 'delete', true),
    ('cdp.withdrawn_events', 'properties', 'delete', true), ('cdp.withdrawn_events', 'context', 'delete', true), ('cdp.withdrawn_events', 'extra', 'delete', true), ('cdp.withdrawn_events', 'event', 'delete', true), ('cdp.withdrawn_events', 'type', 'delete', true), ('cdp.withdrawn_events', 'message_id', 'delete', true),
    ('cdp.withdrawn_assertions', 'traits', 'delete', true), ('cdp.withdrawn_assertions', 'context', 'delete', true), ('cdp.withdrawn_assertions', 'extra', 'delete', true), ('cdp.withdrawn_assertions', 'group_id', 'delete', true), ('cdp.withdrawn_assertions', 'type', 'delete', true), ('cdp.withdrawn_assertions', 'message_id', 'delete', true),
    ('cdp.quarantined_traits', 'value', 'delete', true), ('cdp.quarantined_traits', 'trait', 'delete', true),
    ('cdp.kept_messages', 'message', 'delete', true), ('cdp.kept_messages', 'message_id', 'delete', true), ('cdp.kept_messages', 'import', 'delete', false),
    -- Who they are.
    ('cdp.identifiers', 'value', 'delete', true), ('cdp.identifiers', 'raw_value', 'delete', true), ('cdp.identifiers', 'raw_region', 'delete', false),
    ('cdp.identifiers', 'type', 'delete', true), ('cdp.identifiers', 'left_out', 'delete', false),
    ('cdp.evidence', 'message_id', 'delete', false), ('cdp.refusals', 'value', 'delete', true), ('cdp.refusals', 'type', 'delete', true),
    ('cdp.refusals', 'reason', 'delete', false), ('cdp.refusals', 'message_id', 'delete', false),
    ('cdp.identity_decisions', 'reason', 'clear', false), ('cdp.identity_decisions', 'decided_by', 'keep', false), ('cdp.identity_decisions', 'revoked_by', 'keep', false),
    ('cdp.identity_decisions', 'revoke_reason', 'clear', false), ('cdp.identity_changes', 'reason', 'clear', false),
    ('cdp.withdrawn_messages', 'message_id', 'delete', false), ('cdp.withdrawn_messages', 'reason', 'clear', false), ('cdp.withdrawn_messages', 'kind', 'keep', false),
    ('cdp_internal.attached_changes', 'keys', 'delete', false), ('cdp_internal.attached_rows', 'row_key', 'delete', false),
    ('cdp_internal.attached_rows', 'message_ids', 'delete', false), ('cdp_internal.attachments', 'place', 'delete', false), ('cdp_internal.attachments', 'compare_place', 'delete', false), ('cdp_internal.attachments', 'pass_from', 'keep', false),
    ('cdp.account_results', 'group_id', 'derived', true), ('cdp.account_results', 'value', 'derived', true), ('cdp.account_errors', 'group_id', 'derived', false),
    ('cdp.account_errors', 'message', 'derived', false), ('cdp_internal.profile_view_refreshes', 'misfits', 'derived', false), ('cdp_internal.profile_view_refreshes', 'message', 'derived', false), ('cdp.account_definitions', 'place', 'derived', false),
    -- Counts by source name the newest message that broke a tracking plan, and what it said.
    ('cdp_internal.source_counts', 'message_id', 'clear', false), ('cdp_internal.source_counts', 'found', 'clear', false),
    ('cdp_internal.source_counts', 'event', 'clear', false), ('cdp_internal.source_counts', 'property', 'clear', false),
    ('cdp_internal.source_totals', 'message_id', 'clear', false), ('cdp_internal.source_totals', 'found', 'clear', false),
    ('cdp_internal.source_totals', 'event', 'clear', false), ('cdp_internal.source_totals', 'property', 'clear', false),
    ('cdp_internal.suppressions', 'reason', 'clear', false), ('cdp_internal.suppressions', 'lift_reason', 'clear', false),
    -- What follows from it: it goes when that is gone.
    ('cdp.profiles', 'traits', 'derived', true), ('cdp.profiles', 'trait_origins', 'derived', false), ('cdp.survivorship_errors', 'message', 'derived', false),
    ('cdp.survivorship_errors', 'trait', 'derived', false), ('cdp_internal.timelines', 'events', 'derived', false), ('cdp_internal.trait_runs', 'trait', 'derived', false),
    ('cdp.memberships', 'key', 'derived', true), ('cdp_internal.membership_touches', 'key', 'derived', false), ('cdp.membership_changes', 'key', 'derived', true),
    ('cdp.membership_changes', 'segment', 'derived', true), ('cdp.membership_changes', 'change', 'derived', true), ('cdp.segment_errors', 'message', 'derived', false),
    ('cdp_internal.segment_bitmaps', 'members', 'derived', false),
    -- Pairs of records that were matched, by the records' own ids.
    ('cdp.matches', 'id_l', 'delete', true), ('cdp.matches', 'id_r', 'delete', true), ('cdp.matches', 'source_l', 'delete', false), ('cdp.matches', 'source_r', 'delete', false),
    ('cdp.match_decisions', 'id_l', 'delete', true), ('cdp.match_decisions', 'id_r', 'delete', true), ('cdp.match_decisions', 'source_l', 'delete', false),
    ('cdp.match_decisions', 'source_r', 'delete', false), ('cdp.match_decisions', 'reason', 'clear', false), ('cdp.match_decisions', 'decided_by', 'keep', false),
    ('cdp.match_decisions', 'undone_by', 'keep', false), ('cdp.match_decisions', 'undo_reason', 'clear', false),
    ('cdp_internal.match_records', 'id', 'derived', false), ('cdp_internal.match_records', 'source', 'derived', false), ('cdp_internal.match_records', 'features', 'derived', false),
    ('cdp_internal.match_records', 'neighbours', 'derived', false), ('cdp_internal.match_index', 'entries', 'derived', false), ('cdp_internal.match_changes', 'keys', 'delete', false),
    -- Lists: what was put on them, by identifier.
    ('cdp.list_members', 'reason', 'delete', true), ('cdp.list_imports', 'value', 'delete', true), ('cdp.list_imports', 'type', 'delete', true),
    ('cdp.list_imports', 'segment', 'delete', true), ('cdp.list_imports', 'reason', 'delete', true), ('cdp.list_imports', 'problem', 'delete', false)
  ) AS v ("table", "column", erase, is_exported)
  UNION ALL
  -- How cdp is set up, and what it says of itself: about nobody.
  SELECT o."table", c."column", 'keep', false
  FROM (VALUES
    ('cdp.sources', '{source,party,kind,brand,owner,region,time_zone,drops,hashes}'), ('cdp.quarantine', '{code,resolution,hashed}'), ('cdp.kept_messages', '{hashed}'), ('cdp_internal.reprocessings', '{state,begun_by}'),
    ('cdp_internal.imports', '{source,name,state,begun_by,undone_by}'),
    ('cdp_internal.write_keys', '{key_hash,created_by}'), ('cdp.tracking_plans', '{plan,mode}'), ('cdp_internal.suppressions', '{type,hash,suppressed_by,lifted_by}'),
    ('cdp_internal.source_counts', '{source,what,type,violation}'), ('cdp_internal.source_totals', '{source,what,type,violation}'), ('cdp_internal.event_names', '{event}'),
    ('cdp.identifier_types', '{type,normalizer,default_region,sharing,blocked_values,blocked_patterns}'),
    ('cdp.pending_identifier_types', '{type,normalizer,default_region,sharing,blocked_values,blocked_patterns}'),
    ('cdp.evidence', '{rule}'), ('cdp.identity_decisions', '{kind}'), ('cdp.identity_changes', '{change}'), ('cdp.refusals', '{rule}'),
    ('cdp.normalizer_versions', '{version}'), ('cdp.secrets', '{name}'),
    ('cdp.survivorship_rules', '{policy,trait,strategy,sources,aggregate,argument,computed,search_path,datestyle,intervalstyle}'),
    ('cdp.trait_definitions', '{trait,type,unit,allowed_values,description}'), ('cdp.quarantined_traits', '{code,hint}'),
    ('cdp_internal.survivorship_versions', '{rules}'),
    ('cdp.segments', '{name,kind,rule,per,query,time_zone,search_path,datestyle,intervalstyle,class,reasons,state,compiled}'),
    ('cdp.segment_errors', '{sqlstate}'), ('cdp_internal.timeline_inputs', '{definition}'),
    ('cdp.segment_versions', '{name,kind,class,rule,per,query,time_zone,search_path,datestyle,intervalstyle}'),
    ('cdp.segment_templates', '{template,title,description,parameters,rule,per,example}'), ('cdp.change_consumers', '{consumer,segments}'),
    ('cdp_internal.attachments', '{name,relation_of,kind,source,time_zone,search_path,mapping,key_columns,key_types,watched,identifiers,body,event,occurred_at,filter,watermark,watermark_type,state,comparing,error,hint}'), ('cdp_internal.attached_changes', '{kind}'),
    ('cdp.account_definitions', '{name,kind,expression,time_zone,search_path,datestyle,intervalstyle,compiled}'), ('cdp.account_errors', '{sqlstate}'),
    ('cdp.nicknames', '{name,nickname}'), ('cdp_internal.match_bindings', '{matcher,owner,time_zone,fingerprint,error}'), ('cdp_internal.match_changes', '{kind}'),
    ('cdp.matchers', '{name,link_type,id_column,source_column,settings}'), ('cdp.matcher_comparisons', '{matcher,name,description}'),
    ('cdp.matcher_levels', '{matcher,label,condition,tf_column}'), ('cdp.matcher_rules', '{matcher,purpose,rule}'),
    ('cdp.matcher_sessions', '{matcher,rule}'), ('cdp.matcher_session_values', '{matcher}'), ('cdp.matches', '{matcher,found,state}'), ('cdp.match_decisions', '{matcher}'),
    ('cdp_internal.profile_views', '{name,description}'), ('cdp_internal.profile_view_columns', '{view,name,kind,path,part,type,description}'),
    ('cdp_internal.profile_view_refreshes', '{view,sqlstate}'), ('cdp.segment_days', '{segment}'), ('cdp.retention_rules', '{source,event,type,set_by}'), ('cdp.detached_months', '{state,archive,kept_in,done_by}'), ('cdp.worker_status', '{last_error}'), ('cdp_internal.progress', '{task}')
  ) AS o ("table", columns) CROSS JOIN LATERAL pg_catalog.unnest(o.columns::text[]) AS c ("column");
COMMENT ON VIEW cdp.personal_columns IS
  'Every column of cdp that can hold text, JSON or bytes. erase: what forgetting a person does with it (delete the row, clear the value, derived: it goes with what it was made from, keep: nothing personal); is_exported: whether a person who asks for their data gets it';
REVOKE ALL ON TABLE cdp.personal_columns FROM PUBLIC;
