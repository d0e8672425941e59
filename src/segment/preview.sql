-- preview: look at a rule before it is saved. It keeps the search_path of its caller, which is what the rule is read with, and
-- pins its own in C.
CREATE FUNCTION cdp.preview_segment(rule text, per text DEFAULT NULL, time_zone text DEFAULT 'UTC',
                                    overlap_with text[] DEFAULT NULL, sample integer DEFAULT 10)
  RETURNS TABLE (people bigint, memberships bigint, sample_people bigint[], overlap jsonb, class text, because text, judged_by text,
                 warnings text[], milliseconds numeric, people_read bigint, events_read bigint)
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'cdp_preview_segment';
REVOKE ALL ON FUNCTION cdp.preview_segment(text, text, text, text[], integer) FROM PUBLIC;
COMMENT ON FUNCTION cdp.preview_segment(text, text, text, text[], integer) IS
  'What a rule would give as a segment, now and exactly, without making it: how many, a sample, the overlap with segments there are, what it costs, what is likely misspelt. It locks nothing';
