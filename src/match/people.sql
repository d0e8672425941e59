-- people: one model for people, whatever the columns are called.

CREATE FUNCTION cdp_internal.level(label text, condition text, tf_column text DEFAULT NULL, is_null boolean DEFAULT false) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN jsonb_strip_nulls(jsonb_build_object('sql_condition', condition, 'label_for_charts', label, 'tf_adjustment_column', tf_column,
                                            'tf_adjustment_weight', CASE WHEN tf_column IS NOT NULL THEN 1.0 END, 'is_null_level', nullif(is_null, false)));
COMMENT ON FUNCTION cdp_internal.level(text, text, text, boolean) IS 'Part of cdp.people_matcher';

CREATE FUNCTION cdp_internal.quoted(name text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp RETURN '"' || replace(name, '"', '""') || '"';
COMMENT ON FUNCTION cdp_internal.quoted(text) IS 'Part of cdp.people_matcher';

-- $L and $R stand for a column of the left and of the right record, $O and $P for another one's.
CREATE FUNCTION cdp_internal.people_comparison(role text, col text, other text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH levels (kinds, place, label, condition) AS (VALUES
    ('{name,date,code,text,email,category}'::text[], 1, 'the same', '$L = $R'),
    ('{date,code}', 2, 'one edit apart', 'damerau_levenshtein($L, $R) <= 1'),
    ('{date,code}', 3, 'two edits apart', 'damerau_levenshtein($L, $R) <= 2'),
    ('{address}', 4, 'the same in normal form', 'normal_address($L) = normal_address($R)'),
    ('{email}', 5, 'the same before the @', 'NULLIF(regexp_extract($L, ''^[^@]+'', 0), '''') = NULLIF(regexp_extract($R, ''^[^@]+'', 0), '''')'),
    ('{text}', 6, 'Jaro-Winkler at least 0.95', 'jaro_winkler_similarity($L, $R) >= 0.95'),
    ('{name,email}', 7, 'Jaro-Winkler at least 0.92', 'jaro_winkler_similarity($L, $R) >= 0.92'),
    ('{name,text,email}', 8, 'Jaro-Winkler at least 0.88', 'jaro_winkler_similarity($L, $R) >= 0.88'),
    ('{name}', 9, 'names changed places', '$L = $P OR $O = $R'),
    ('{given}', 10, 'one may be called what the other is', 'list_has_any(name_forms($L), name_forms($R))'),
    ('{name}', 11, 'the beginning of the other', 'left($L, 3) = left($R, 3)'),
    ('{name,text,email}', 12, 'Jaro-Winkler at least 0.7', 'jaro_winkler_similarity($L, $R) >= 0.7'),
    ('{date}', 13, 'within a year', 'ABS($D) <= 31557600.0'),
    ('{date}', 14, 'within ten years', 'ABS($D) <= 315576000.0'),
    ('{code}', 15, 'the same beginning', 'left($L, 2) = left($R, 2)')),
  spelt AS (
    SELECT l.kinds, l.place, l.label, replace(l.condition, '$D', (SELECT string_agg(format('EPOCH(coalesce(try_strptime(%s, ''%%Y-%%m-%%d''), try_strptime(%1$s, ''%%Y%%m%%d'')))', side), ' - ')
                                                                  FROM unnest('{$L,$R}'::text[]) AS side)) AS condition
    FROM levels AS l)
  SELECT jsonb_build_object('output_column_name', col, 'comparison_description', people_comparison.role, 'comparison_levels',
    jsonb_build_array(cdp_internal.level(col || ' is unknown', format('%s IS NULL OR %s IS NULL', cdp_internal.quoted(col || '_l'), cdp_internal.quoted(col || '_r')), NULL, true))
    || jsonb_agg(cdp_internal.level(l.label, -- in one go, whatever columns are called
         format(replace(replace(replace(replace(replace(l.condition, '%', '%%'), '$L', '%1$s'), '$R', '%2$s'), '$O', '%3$s'), '$P', '%4$s'),
                cdp_internal.quoted(col || '_l'), cdp_internal.quoted(col || '_r'), cdp_internal.quoted(other || '_l'), cdp_internal.quoted(other || '_r')),
         CASE l.place WHEN 1 THEN col END) ORDER BY l.place)
    || cdp_internal.level('anything else', 'ELSE'))
  FROM spelt AS l
  WHERE l.kinds && ARRAY[people_comparison.role, CASE people_comparison.role WHEN 'given' THEN 'name' WHEN 'address' THEN 'text' END] AND (other IS NOT NULL OR l.condition NOT LIKE '%$P%')
$$;
COMMENT ON FUNCTION cdp_internal.people_comparison(text, text, text) IS 'Part of cdp.people_matcher';

-- What each role is compared as, and whether it alone is worth a look at all who have it in common.
CREATE FUNCTION cdp_internal.people_roles() RETURNS TABLE (role text, kind text, place integer, alone boolean, paired boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  VALUES ('given_name', 'given', 1, true, true), ('family_name', 'name', 2, true, true), ('full_name', 'text', 3, true, true),
         ('date_of_birth', 'date', 4, true, true), ('email', 'email', 5, true, true), ('phone', 'code', 6, true, true), ('person_number', 'code', 7, true, true),
         ('postal_code', 'code', 8, true, true), ('street', 'address', 9, true, true), ('street_2', 'text', 10, true, true), ('house_number', 'code', 11, false, false),
         ('city', 'text', 12, true, true), ('region', 'category', 13, false, false), ('occupation', 'category', 14, false, true), ('gender', 'category', 15, false, false)
$$;
COMMENT ON FUNCTION cdp_internal.people_roles() IS 'Part of cdp.people_matcher';

CREATE FUNCTION cdp.people_matcher(columns jsonb, link_type text DEFAULT 'dedupe_only', id_column text DEFAULT 'unique_id', source_column text DEFAULT 'source_dataset') RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  unknown text;
BEGIN
  IF coalesce(jsonb_typeof(columns), '') <> 'object' OR columns = '{}' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'no column is named',
      DETAIL = format('Given was %s.', coalesce(left(columns::text, 100), 'null')),
      HINT = 'Write {"role": "column"}, for example {"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born"}.';
  END IF;
  IF jsonb_path_exists(columns, '$.* ? (@.type() != "string" || @ == "")') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a role is given the name of a column', DETAIL = format('They are %s.', columns);
  END IF;
  unknown := (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(columns) AS k WHERE k NOT IN (SELECT r.role FROM cdp_internal.people_roles() AS r));
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('unknown role of a column: %s', unknown),
      HINT = 'There are ' || (SELECT string_agg(r.role, ', ' ORDER BY r.place) FROM cdp_internal.people_roles() AS r) || '.';
  END IF;
  RETURN (
    WITH roles AS (SELECT r.*, columns ->> r.role AS col, cdp_internal.quoted(columns ->> r.role) AS spelt FROM cdp_internal.people_roles() AS r WHERE columns ? r.role),
    singles AS (SELECT r.place, format('l.%s = r.%1$s', r.spelt) AS rule FROM roles AS r WHERE r.alone),
    pairs AS (SELECT a.place, b.place AS second, format('l.%s = r.%1$s AND l.%s = r.%2$s', a.spelt, b.spelt) AS rule
              FROM roles AS a JOIN roles AS b ON a.place < b.place WHERE a.paired AND b.paired),
    swapped AS (SELECT format('l.%s = r.%s AND l.%2$s = r.%1$s', cdp_internal.quoted(columns ->> 'given_name'), cdp_internal.quoted(columns ->> 'family_name')) AS rule
                WHERE columns ?& '{given_name,family_name}')
    SELECT jsonb_build_object(
      'link_type', link_type, 'unique_id_column_name', id_column, 'pairs_per_record', 60, 'total_pairs_per_record', 8,
      'probability_two_random_records_match', 0.0001,
      'comparisons', (SELECT jsonb_agg(cdp_internal.people_comparison(r.kind, r.col,
          CASE r.role WHEN 'given_name' THEN columns ->> 'family_name' WHEN 'family_name' THEN columns ->> 'given_name' END) ORDER BY r.place) FROM roles AS r),
      'blocking_rules_to_generate_predictions', (SELECT jsonb_agg(x.rule ORDER BY x.kind, x.place, x.second) FROM (
          SELECT 1 AS kind, s.place, 0 AS second, s.rule FROM singles AS s
          UNION ALL SELECT 2, p.place, p.second, p.rule FROM pairs AS p
          UNION ALL SELECT 3, 0, 0, w.rule FROM swapped AS w) AS x),
      'training_rules', (SELECT jsonb_agg(x.rule ORDER BY x.place, x.rule) FROM (
          SELECT s.place, s.rule FROM singles AS s JOIN cdp_internal.people_roles() AS r USING (place)
          WHERE r.role IN ('date_of_birth', 'email', 'phone', 'person_number')
          UNION ALL SELECT p.place, p.rule FROM pairs AS p
          JOIN cdp_internal.people_roles() AS a ON a.place = p.place JOIN cdp_internal.people_roles() AS b ON b.place = p.second
          WHERE (a.role, b.role) IN (('given_name', 'family_name'), ('family_name', 'postal_code'), ('given_name', 'postal_code'), ('family_name', 'street'), ('full_name', 'postal_code'), ('full_name', 'city'), ('given_name', 'city'))) AS x))
      || CASE WHEN link_type = 'dedupe_only' THEN '{}' ELSE jsonb_build_object('source_dataset_column_name', source_column) END);
END $$;
COMMENT ON FUNCTION cdp.people_matcher(jsonb, text, text, text) IS
  'Settings for cdp.create_matcher for records of people, from the names of their columns by role: given_name, family_name, full_name, date_of_birth (YYYY-MM-DD or YYYYMMDD), email, phone, person_number, postal_code, street, street_2, house_number, city, region, occupation, gender. Errors: 22023 for an unknown role, or no column';
