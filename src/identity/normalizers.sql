-- Normal forms: one spelling for each identifier value; and the values that identify nobody.

CREATE FUNCTION cdp_internal.normalize(normalizer text, value text, region text, strict boolean) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_normalize';
COMMENT ON FUNCTION cdp_internal.normalize(text, text, text, boolean) IS
  'Normal form of an identifier value; strict: an error for what is refused, else NULL';

CREATE FUNCTION cdp.normalize_email(value text, provider_rules boolean DEFAULT false) RETURNS text LANGUAGE sql
  IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
  RETURN cdp_internal.normalize(CASE WHEN provider_rules THEN 'mailbox' ELSE 'email' END, value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_email(text, boolean) IS
  'Normal form of an e-mail address: trimmed, case-folded, domain in ASCII (IDNA); provider_rules: also without what its provider ignores, such as +tags and Gmail''s dots. Errors: 22023 for what is no address. Source: ICU, UTS 46; the providers'' documentation';

CREATE FUNCTION cdp.normalize_phone(value text, region text DEFAULT NULL) RETURNS text LANGUAGE sql IMMUTABLE
  PARALLEL SAFE SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('phone', value, region, true);
COMMENT ON FUNCTION cdp.normalize_phone(text, text) IS
  'Phone number in E.164; region is the ISO 3166 code for numbers in national form. Errors: 22023 for impossible numbers. Source: libphonenumber, ITU-T E.164';

CREATE FUNCTION cdp.normalize_text(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('text', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_text(text) IS
  'Normal form of ids: trimmed, Unicode NFC, case kept. Errors: 22023 when nothing is left. Source: UAX 15';

CREATE FUNCTION cdp.normalize_casefold(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('casefold', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_casefold(text) IS
  'Normal form of ids whose case means nothing: Unicode NFKC_Casefold, trimmed, one space for many. Errors: 22023 when nothing is left. Source: UAX 15, UAX 44';

CREATE FUNCTION cdp.normalize_name(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('name', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_name(text) IS
  'A person''s name for matching, not for showing: case-folded, without diacritics, punctuation and titles, given name first, Dutch and German particles in one spelling. Errors: 22023 without a letter or digit. Source: UAX 15';

CREATE FUNCTION cdp.normalize_address(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('address', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_address(text) IS
  'A postal address for matching, not for posting: case-folded, without diacritics and punctuation, street words shortened, house numbers and Dutch postcodes without spaces. Errors: 22023 without a letter or digit. Source: UAX 15';

CREATE FUNCTION cdp.normalize_uuid(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('uuid', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_uuid(text) IS
  'A UUID in lower case with hyphens; also from braces, urn:uuid: or without hyphens. Errors: 22023 for what is none. Source: RFC 9562';

CREATE FUNCTION cdp.normalize_sha256(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp RETURN cdp_internal.normalize('sha256', value, NULL, true);
COMMENT ON FUNCTION cdp.normalize_sha256(text) IS
  'A SHA-256 digest: 64 hexadecimal digits in lower case. Errors: 22023 for what is none. Source: FIPS 180-4';

CREATE FUNCTION cdp.hash_email(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  RETURN encode(sha256(convert_to(cdp_internal.normalize('email', value, NULL, true), 'UTF8')), 'hex');
COMMENT ON FUNCTION cdp.hash_email(text) IS
  'SHA-256 of the normal form of an e-mail address, in hexadecimal, for identifiers of type hashed_email. Errors: 22023 for what is no address. Source: FIPS 180-4';

CREATE FUNCTION cdp.normalizer_version() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_normalizer_version';
COMMENT ON FUNCTION cdp.normalizer_version() IS 'Versions of the libraries that decide the normal forms';

CREATE FUNCTION cdp.is_junk(type text, value text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_is_junk';
COMMENT ON FUNCTION cdp.is_junk(text, text) IS
  'Why a value of an identifier type, raw or normalised, identifies nobody; NULL when it may identify somebody. Source: cdp.junk_values()';

CREATE FUNCTION cdp_internal.junk_list() RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_junk_list';
COMMENT ON FUNCTION cdp_internal.junk_list() IS 'The rows of cdp.junk_values(), a line each, its columns separated by tabs';

CREATE FUNCTION cdp.junk_values() RETURNS TABLE (value text, applies_to text, why text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT split_part(r.line, E'\t', 1), split_part(r.line, E'\t', 2), split_part(r.line, E'\t', 3)
  FROM string_to_table(cdp_internal.junk_list(), E'\n') AS r (line);
END;
COMMENT ON FUNCTION cdp.junk_values() IS
  'The values that identify nobody, in lower case, with the identifier type they apply to ('''' for all) and why; patterns stand in parentheses';
