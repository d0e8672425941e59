-- sequence: what happened in which order. Aggregates over events; docs/sequences.md says what a pattern means.
-- The functions behind aggregates pin no search_path: that would be paid for every row, and they run no SQL.

CREATE FUNCTION cdp_internal.sequence_add(state internal, pattern text, occurred_at timestamptz, steps boolean[]) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_sequence_add';
CREATE FUNCTION cdp_internal.sequence_by_add(state internal, pattern text, occurred_at timestamptz, binding text, steps boolean[]) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_sequence_by_add';
CREATE FUNCTION cdp_internal.funnel_add(state internal, within interval, occurred_at timestamptz, steps boolean[]) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_funnel_add';
CREATE FUNCTION cdp_internal.funnel_by_add(state internal, within interval, occurred_at timestamptz, binding text, steps boolean[]) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_funnel_by_add';
CREATE FUNCTION cdp_internal.sequence_found(state internal) RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_sequence_found';
CREATE FUNCTION cdp_internal.sequence_count(state internal) RETURNS bigint
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_sequence_count';
CREATE FUNCTION cdp_internal.sequence_last(state internal) RETURNS timestamptz
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_sequence_last';
CREATE FUNCTION cdp_internal.funnel_depth(state internal) RETURNS integer
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_funnel_depth';

CREATE AGGREGATE cdp.sequence(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_found,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.sequence(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) IS
  'Whether the steps happened in the order of the pattern, such as ''1 -> 2 within 24 hours -> not 3''; step n is the n-th boolean. False without rows. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.sequence_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_by_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_found,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.sequence_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) IS
  'Whether the pattern was met by events with one and the same binding, such as a product; events without one are left out. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.sequence_count(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_count,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.sequence_count(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) IS
  'How often the pattern was met: the most matches that lie one after another. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.sequence_count_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_by_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_count,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.sequence_count_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) IS
  'How often the pattern was met by events with the same binding: the sum over all bindings. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.last_sequence(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_last,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.last_sequence(pattern text, occurred_at timestamptz, VARIADIC steps boolean[]) IS
  'When the pattern was last met: the latest instant at which a match ends. NULL when it never was. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.last_sequence_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.sequence_by_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.sequence_last,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.last_sequence_by(pattern text, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) IS
  'When the pattern was last met by events with the same binding. NULL when it never was. Errors: 22023 for a pattern that is none, 22004 for NULL';

CREATE AGGREGATE cdp.funnel(within interval, occurred_at timestamptz, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.funnel_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.funnel_depth,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.funnel(within interval, occurred_at timestamptz, VARIADIC steps boolean[]) IS
  'The deepest step that was reached in order, at most so long after the first; 0: not even the first. Days are of 24 hours. Errors: 22023 when it is not positive or has months, 22004 for NULL';

CREATE AGGREGATE cdp.funnel_by(within interval, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) (
  SFUNC = cdp_internal.funnel_by_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.funnel_depth,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.funnel_by(within interval, occurred_at timestamptz, binding text, VARIADIC steps boolean[]) IS
  'The deepest step that was reached in order by events with one and the same binding; events without one are left out. Errors: 22023 when it is not positive or has months, 22004 for NULL';
