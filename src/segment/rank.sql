-- rank: where a person stands among everybody. All people are ranked once a query, with the rights of who asks.

CREATE FUNCTION cdp.percentile(trait text, profile_id bigint) RETURNS double precision LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_percentile';
COMMENT ON FUNCTION cdp.percentile(text, bigint) IS
  'The share of the people with this numeric trait (a computed one, if there is one of the name) whose value is lower, or the same and their profile_id not higher: from above 0 to 1 for the highest; NULL for who has no such number';
CREATE FUNCTION cdp.rank(trait text, profile_id bigint) RETURNS bigint LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_rank';
COMMENT ON FUNCTION cdp.rank(text, bigint) IS
  'The place of a person among those with this numeric trait, 1 for the highest value; of equal values the higher profile_id comes first, as in cdp.percentile. NULL for who has no such number';

CREATE FUNCTION cdp.percentile(trait text) RETURNS double precision LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_rank_of_nobody';
COMMENT ON FUNCTION cdp.percentile(text) IS 'In rules: cdp.percentile(trait, profile_id) of the person it is about; makes the segment one of class interval';
CREATE FUNCTION cdp.rank(trait text) RETURNS bigint LANGUAGE c STABLE STRICT
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_rank_of_nobody';
COMMENT ON FUNCTION cdp.rank(text) IS 'In rules: cdp.rank(trait, profile_id) of the person it is about; makes the segment one of class interval';
