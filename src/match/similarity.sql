-- similarity: how alike two texts, dates or numbers are. All count Unicode code points.

CREATE FUNCTION cdp.jaro(a text, b text) RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_jaro';
COMMENT ON FUNCTION cdp.jaro(text, text) IS
  'How alike two texts are, from 0 to 1 for the same: characters in common that lie near each other, and their order. Source: Jaro, JASA 84 (1989)';
CREATE FUNCTION cdp.jaro_winkler(a text, b text) RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_jaro_winkler';
COMMENT ON FUNCTION cdp.jaro_winkler(text, text) IS
  'cdp.jaro, and where that is above 0.7, a tenth of what lacks more for each of the first four characters that agree; from 0 to 1. Source: Winkler, Proc. ASA Section on Survey Research Methods (1990)';
CREATE FUNCTION cdp.levenshtein(a text, b text, max_distance integer DEFAULT 2147483646) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_levenshtein';
COMMENT ON FUNCTION cdp.levenshtein(text, text, integer) IS
  'The fewest characters to insert, delete or replace that make one text the other, from 0; max_distance + 1 for any more than that, which is faster. Source: Levenshtein (1966); Myers, JACM 46 (1999); Hyyrö (2001)';
CREATE FUNCTION cdp.damerau_levenshtein(a text, b text, max_distance integer DEFAULT 2147483646) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_damerau_levenshtein';
COMMENT ON FUNCTION cdp.damerau_levenshtein(text, text, integer) IS
  'As cdp.levenshtein, where two neighbours that change places are one edit, whatever else is edited between them: a metric. Source: Damerau, CACM 7 (1964); Lowrance and Wagner, JACM 22 (1975)';
CREATE FUNCTION cdp.optimal_alignment(a text, b text, max_distance integer DEFAULT 2147483646) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_optimal_alignment';
COMMENT ON FUNCTION cdp.optimal_alignment(text, text, integer) IS
  'As cdp.damerau_levenshtein, where no character is edited twice: never less than that, and faster. Source: Hyyrö, A bit-vector algorithm for computing Levenshtein and Damerau edit distances (2003)';
CREATE FUNCTION cdp.jaccard(a text, b text, q integer DEFAULT 1) RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_jaccard';
COMMENT ON FUNCTION cdp.jaccard(text, text, integer) IS
  'Distinct stretches of q characters that both texts have, divided by those that either has, from 0 to 1; a shorter text is one stretch. Errors: 22023 for q below 1. Source: Jaccard (1912)';
CREATE FUNCTION cdp.qgram_distance(a text, b text, q integer DEFAULT 2) RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_qgram_distance';
COMMENT ON FUNCTION cdp.qgram_distance(text, text, integer) IS
  'How many stretches of q characters one text has and the other has not, each as often as it comes, from 0. Errors: 22023 for q below 1. Source: Ukkonen, TCS 92 (1992)';
CREATE FUNCTION cdp.double_metaphone(value text) RETURNS text[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_double_metaphone';
COMMENT ON FUNCTION cdp.double_metaphone(text) IS
  'How a name sounds, and how else it may: one or two codes of up to four characters; empty without a letter that sounds. Two names may sound alike when their codes overlap (&&). Source: Philips, C/C++ Users Journal 18 (2000)';
CREATE FUNCTION cdp.cologne_phonetics(value text) RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_cologne_phonetics';
COMMENT ON FUNCTION cdp.cologne_phonetics(text) IS
  'How a German word sounds, in digits; empty without a letter. Source: Postel, IBM-Nachrichten 19 (1969)';
CREATE FUNCTION cdp.parse_date(value text, format text DEFAULT '%Y-%m-%d') RETURNS timestamp LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_parse_date';
COMMENT ON FUNCTION cdp.parse_date(text, text) IS
  'The date that a text spells exactly as the format says (strptime''s %Y %y %m %d %j %b %B %H %M %S %%), NULL for anything else, such as 30 February. Errors: 22023 for a format that is none. Source: POSIX strptime';
CREATE FUNCTION cdp.days_between(a timestamp, b timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN abs(date_part('epoch', a) - date_part('epoch', b)) / 86400;
COMMENT ON FUNCTION cdp.days_between(timestamp, timestamp) IS 'How far two dates are apart, in days, from 0';
CREATE FUNCTION cdp.relative_difference(a double precision, b double precision) RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_relative_difference';
COMMENT ON FUNCTION cdp.relative_difference(double precision, double precision) IS
  'How far two numbers are apart, divided by the larger without its sign: from 0, and up to 2 for opposite signs';
