-- aggregates: the first and last value, the longest gap, the most frequent value; and buckets.

CREATE FUNCTION cdp_internal.first_add(state internal, value anyelement, occurred_at timestamptz, event_id bigint) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_first_add';
CREATE FUNCTION cdp_internal.last_add(state internal, value anyelement, occurred_at timestamptz, event_id bigint) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_last_add';
CREATE FUNCTION cdp_internal.edge_value(state internal, value anyelement, occurred_at timestamptz, event_id bigint) RETURNS anyelement
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_edge_value';
CREATE FUNCTION cdp_internal.gap_add(state internal, occurred_at timestamptz) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_gap_add';
CREATE FUNCTION cdp_internal.gap_longest(state internal) RETURNS interval
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_gap_longest';
CREATE FUNCTION cdp_internal.count_add(state internal, value text) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_count_add';
CREATE FUNCTION cdp_internal.count_most(state internal) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'cdp_count_most';

CREATE AGGREGATE cdp.first(value anyelement, occurred_at timestamptz, event_id bigint) (
  SFUNC = cdp_internal.first_add, STYPE = internal, SSPACE = 64, FINALFUNC = cdp_internal.edge_value, FINALFUNC_EXTRA,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.first(value anyelement, occurred_at timestamptz, event_id bigint) IS
  'The earliest value that is not NULL; of several at one instant, that of the smallest event_id';

CREATE AGGREGATE cdp.last(value anyelement, occurred_at timestamptz, event_id bigint) (
  SFUNC = cdp_internal.last_add, STYPE = internal, SSPACE = 64, FINALFUNC = cdp_internal.edge_value, FINALFUNC_EXTRA,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.last(value anyelement, occurred_at timestamptz, event_id bigint) IS
  'The latest value that is not NULL; of several at one instant, that of the largest event_id';

CREATE AGGREGATE cdp.longest_gap(occurred_at timestamptz) (
  SFUNC = cdp_internal.gap_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.gap_longest,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.longest_gap(occurred_at timestamptz) IS
  'The longest time between two events that follow each other. NULL for fewer than two';

CREATE AGGREGATE cdp.most_frequent(value text) (
  SFUNC = cdp_internal.count_add, STYPE = internal, SSPACE = 1024, FINALFUNC = cdp_internal.count_most,
  FINALFUNC_MODIFY = READ_ONLY, PARALLEL = SAFE);
COMMENT ON AGGREGATE cdp.most_frequent(value text) IS
  'The value that occurs most often; of several, the smallest in code point order. NULLs do not count';

CREATE FUNCTION cdp.bucket(profile_id bigint, salt text, buckets integer DEFAULT 100) RETURNS integer
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_bucket';
COMMENT ON FUNCTION cdp.bucket(bigint, text, integer) IS
  'A person''s bucket for random splits, 0 to buckets - 1: always the same one, and independent of those of other salts. The first 8 bytes of the SHA-256 of salt:profile_id, modulo buckets. Errors: 22023 without a bucket. Source: FIPS 180-4';
