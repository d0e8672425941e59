-- read: rows of attached tables as their owner reads them, by key or a page at a time. What fails for one row is told of that row.

CREATE FUNCTION cdp_internal.row_key(key text[]) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE cardinality(key) WHEN 1 THEN key[1] ELSE key::text END
$$;
COMMENT ON FUNCTION cdp_internal.row_key(text[]) IS 'The key of an attached row as one text';

-- SQL of rows as their owner reads them, those for which `condition` holds. `first`: it is asked before anything else of a row is,
-- so that no other row can fail; without, the planner may use an order.
CREATE FUNCTION cdp_internal.rows_in_sql(a cdp_internal.attachments, relation regclass, condition text, first boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(E'SELECT ARRAY[%s] AS key, %s AS identifiers, %s AS body, %s AS event, %s AS occurred_at, %s AS watermark FROM %s WHERE %s(%s\n)',
    (SELECT string_agg(quote_ident(k.name) || '::pg_catalog.text', ', ' ORDER BY k.place) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place)),
    a.identifiers, a.body, coalesce(a.event, 'NULL::pg_catalog.text'), coalesce('(' || a.occurred_at || E'\n)::pg_catalog.timestamptz', 'NULL'),
    coalesce('(' || a.watermark || E'\n)::pg_catalog.text', 'NULL'),
    CASE WHEN first THEN format('(SELECT * FROM %s WHERE %s OFFSET 0) AS %I', relation, condition, (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation)) ELSE relation::text END,
    CASE WHEN first THEN '' ELSE format('(%s) AND ', condition) END, coalesce(a.filter, 'true'))
$$;
COMMENT ON FUNCTION cdp_internal.rows_in_sql(cdp_internal.attachments, regclass, text, boolean) IS 'Part of cdp.run';

CREATE FUNCTION cdp_internal.query_within_budget(owner name, time_zone text, search_path text, datestyle text, intervalstyle text, query text, milliseconds integer)
  RETURNS SETOF jsonb LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_query_within_budget';
COMMENT ON FUNCTION cdp_internal.query_within_budget(name, text, text, text, text, text, integer) IS
  'As cdp_internal.query_as_owner, in so much time (null: cdp.expression_timeout; 0: any). Errors: 54T00 it took longer';

CREATE FUNCTION cdp_internal.rows_as_owner(a cdp_internal.attachments, query text, milliseconds integer DEFAULT NULL) RETURNS SETOF jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
  SELECT * FROM cdp_internal.query_within_budget(a.owner, a.time_zone, a.search_path, 'ISO, MDY', 'postgres', query, milliseconds)
$$;
COMMENT ON FUNCTION cdp_internal.rows_as_owner(cdp_internal.attachments, text, integer) IS 'Part of cdp.run; gives up after five seconds what somebody has locked';

-- SQLSTATEs of what a value did, and not the table.
CREATE FUNCTION cdp_internal.is_of_row(state text) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT left(state, 2) IN ('22', '23', 'P0', '38', '39', '21') OR state = '54T00'
$$;
COMMENT ON FUNCTION cdp_internal.is_of_row(text) IS 'Part of cdp.run';

-- Which expression of the mapping a row has no time for: each is tried alone.
CREATE FUNCTION cdp_internal.slow_expression(a cdp_internal.attachments, relation regclass, condition text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one text;
BEGIN
  FOR one IN SELECT DISTINCT e.expression FROM (
      SELECT p.expression FROM (VALUES ('identifiers', a.mapping -> 'identifiers'), ('traits', a.mapping -> 'traits'), ('properties', a.mapping -> 'properties')) AS m (name, pairs)
        CROSS JOIN LATERAL cdp_internal.mapping_pairs(relation, m.pairs, m.name) AS p WHERE m.pairs IS NOT NULL
      UNION ALL SELECT m.value FROM jsonb_each_text(a.mapping) AS m WHERE m.key IN ('event_from', 'occurred_at', 'filter', 'watermark', 'message')) AS e
      WHERE NOT EXISTS (SELECT FROM pg_attribute AS t WHERE t.attrelid = relation AND quote_ident(t.attname) = e.expression AND t.attnum > 0) LOOP
    BEGIN
      PERFORM cdp_internal.rows_as_owner(a, format(E'SELECT (%s\n)::pg_catalog.text AS value FROM (SELECT * FROM %s WHERE %s OFFSET 0) AS %I', one, relation, condition,
        (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation)));
    EXCEPTION WHEN SQLSTATE '54T00' THEN
      RETURN one;
    WHEN OTHERS THEN
      NULL; -- it fails, in time
    END;
  END LOOP;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.slow_expression(cdp_internal.attachments, regclass, text) IS 'Part of cdp.run';


-- Why a row that was read cannot be used; null: it can.
CREATE FUNCTION cdp_internal.row_problem(a cdp_internal.attachments, said jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN said -> 'identifiers' IS NULL OR said ->> 'identifiers' IS NULL THEN NULL
    WHEN a.is_message THEN CASE WHEN coalesce(jsonb_typeof(said -> 'body'), 'null') <> 'object' THEN 'its message is not an object'
                                WHEN said -> 'body' ? 'batch' THEN 'its message is a batch: a row is one message' END
    WHEN a.event IS NOT NULL AND a.occurred_at IS NOT NULL AND said ->> 'occurred_at' IS NULL THEN format('occurred_at, %s, is null', a.occurred_at)
    WHEN NOT EXISTS (SELECT FROM jsonb_array_elements(said -> 'identifiers') AS i WHERE i.value -> 1 NOT IN ('null', '""', '[]'))
      THEN (SELECT format('it names nobody: %s %s null or empty', string_agg(v.expression, ', ' ORDER BY m.key, v.place), CASE count(*) WHEN 1 THEN 'is' ELSE 'are all' END)
            FROM jsonb_each(a.mapping -> 'identifiers') AS m
            CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(m.value) WHEN 'array' THEN m.value ELSE jsonb_build_array(m.value) END) WITH ORDINALITY AS v (expression, place)) END
$$;
COMMENT ON FUNCTION cdp_internal.row_problem(cdp_internal.attachments, jsonb) IS 'Part of cdp.run: an event needs the time that it is mapped to';

-- Keys as columns of their own types, place and c1, c2, …
CREATE FUNCTION cdp_internal.wanted_in_sql(a cdp_internal.attachments, keys text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('SELECT x.place, %s FROM ROWS FROM (%s) WITH ORDINALITY AS x (%s, place)',
           string_agg(format('x.a%s::%s AS c%s', n, a.key_types[n], n), ', ' ORDER BY n),
           string_agg(format('pg_catalog.unnest(%L::pg_catalog.text[])',
             (SELECT array_agg(k.part ORDER BY k.place) FROM unnest(keys) WITH ORDINALITY AS k (part, place) WHERE (k.place - 1) % cardinality(a.key_columns) = n - 1)), ', ' ORDER BY n),
           string_agg('a' || n, ', ' ORDER BY n))
  FROM generate_series(1, cardinality(a.key_columns)) AS n
$$;
COMMENT ON FUNCTION cdp_internal.wanted_in_sql(cdp_internal.attachments, text[]) IS 'Part of cdp.run';

-- The other way round from row_key: their columns, one after the other.
CREATE FUNCTION cdp_internal.keys_of(row_keys text[], width integer) RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN width = 1 THEN row_keys ELSE
    ARRAY(SELECT c.part FROM unnest(row_keys) WITH ORDINALITY AS k (row_key, place) CROSS JOIN LATERAL unnest(k.row_key::text[]) WITH ORDINALITY AS c (part, place)
          ORDER BY k.place, c.place) END
$$;
COMMENT ON FUNCTION cdp_internal.keys_of(text[], integer) IS 'The columns of keys of attached rows, one after the other';

CREATE FUNCTION cdp_internal.slow_problem(expression text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%s ran out of its time: cdp.expression_timeout is %s', coalesce('expression ' || expression, 'the row'), current_setting('cdp.expression_timeout'))
$$;
COMMENT ON FUNCTION cdp_internal.slow_problem(text) IS 'Part of cdp.run';

-- A row at a time, after all together ran out of time: each has the whole of it. When several run out of it, it is not the rows.
CREATE FUNCTION cdp_internal.read_slow_keys(a cdp_internal.attachments, relation regclass, keys text[])
  RETURNS TABLE (place bigint, row_key text, said jsonb, problem text, detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  width constant integer := cardinality(a.key_columns);
  slow  integer := 0;
BEGIN
  FOR i IN 1 .. cardinality(keys) / width LOOP
    FOR row_key, said, problem, detail IN SELECT r.row_key, r.said, r.problem, r.detail FROM cdp_internal.read_keys(a, relation, keys[(i - 1) * width + 1:i * width]) AS r LOOP
      place := i;
      slow := slow + (problem IS NOT NULL AND detail LIKE 'SQLSTATE: 54T00%')::integer;
      IF slow = 3 THEN
        RAISE EXCEPTION USING ERRCODE = '54T01', MESSAGE = 'several rows: ' || problem, HINT = 'Make it faster; or give it more time: ALTER SYSTEM SET cdp.expression_timeout = ''30s''; SELECT pg_reload_conf().';
      END IF;
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.read_slow_keys(cdp_internal.attachments, regclass, text[]) IS 'Part of cdp.run';

-- Rows by key, in the order of `keys` (columns one after the other); found false: there is none, or the filter leaves it out.
CREATE FUNCTION cdp_internal.read_keys(a cdp_internal.attachments, relation regclass, keys text[])
  RETURNS TABLE (place bigint, row_key text, said jsonb, problem text, detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  width  constant integer := cardinality(a.key_columns);
  number constant integer := cardinality(keys) / width;
  wanted text;
  middle integer;
  state  text;
BEGIN
  wanted := cdp_internal.wanted_in_sql(a, keys);
  BEGIN
    RETURN QUERY
      SELECT (q ->> 'place')::bigint, r.row_key, CASE WHEN p.problem IS NULL THEN r.said END, p.problem, NULL::text
      FROM cdp_internal.rows_as_owner(a, format(
        'SELECT cdp_wanted.place, ARRAY[%s] AS wanted, cdp_found.* FROM (%s) AS cdp_wanted LEFT JOIN LATERAL (%s) AS cdp_found ON true',
        (SELECT string_agg(format('cdp_wanted.c%s::pg_catalog.text', n), ', ' ORDER BY n) FROM generate_series(1, width) AS n), wanted,
        cdp_internal.rows_in_sql(a, relation, (SELECT string_agg(format('%I = cdp_wanted.c%s', a.key_columns[n], n), ' AND ' ORDER BY n)
                                               FROM generate_series(1, width) AS n), true))) AS q
      CROSS JOIN LATERAL (SELECT cdp_internal.row_key(ARRAY(SELECT jsonb_array_elements_text(q -> 'wanted'))) AS wanted,
                                 CASE WHEN q ->> 'identifiers' IS NOT NULL THEN cdp_internal.row_key(ARRAY(SELECT jsonb_array_elements_text(q -> 'key'))) END AS found) AS k
      -- A key may be spelled another way than it was (1.0 and 1.00): the row goes by its spelling of today, and the other is gone.
      CROSS JOIN LATERAL (SELECT coalesce(k.found, k.wanted) AS row_key, CASE WHEN k.found IS NOT NULL THEN q - 'place' - 'wanted' - 'key' END AS said
                          UNION ALL SELECT k.wanted, NULL WHERE k.wanted <> k.found) AS r
      CROSS JOIN LATERAL (SELECT cdp_internal.row_problem(a, r.said) AS problem) AS p;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
    IF NOT cdp_internal.is_of_row(state) THEN
      RAISE;
    END IF;
  END;
  IF number = 1 THEN
    IF state = '54T00' THEN
      problem := cdp_internal.slow_problem(cdp_internal.slow_expression(a, relation,
        (SELECT string_agg(format('%I = %L::%s', a.key_columns[n], keys[n], a.key_types[n]), ' AND ') FROM generate_series(1, width) AS n)));
    END IF;
    place := 1; row_key := cdp_internal.row_key(keys); said := NULL; detail := concat_ws(E'\n', 'SQLSTATE: ' || state, nullif(detail, ''));
    RETURN NEXT;
    RETURN;
  END IF;
  IF state = '54T00' THEN
    RETURN QUERY SELECT r.* FROM cdp_internal.read_slow_keys(a, relation, keys) AS r;
    RETURN;
  END IF;
  middle := number / 2;
  RETURN QUERY SELECT r.* FROM cdp_internal.read_keys(a, relation, keys[:middle * width]) AS r;
  RETURN QUERY SELECT r.place + middle, r.row_key, r.said, r.problem, r.detail FROM cdp_internal.read_keys(a, relation, keys[middle * width + 1:]) AS r;
END $$;
COMMENT ON FUNCTION cdp_internal.read_keys(cdp_internal.attachments, regclass, text[]) IS 'Part of cdp.run; what fails for one row is told of that row';

-- The next rows of a pass through all of them, by key, or by watermark and key.
CREATE FUNCTION cdp_internal.read_page(a cdp_internal.attachments, relation regclass, most integer, milliseconds integer DEFAULT NULL)
  RETURNS TABLE (place bigint, key text[], watermark text, said jsonb, problem text, detail text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  columns text[] := CASE WHEN a.kind = 'polled' THEN ARRAY[format(E'(%s\n)', a.watermark)] ELSE '{}' END
                    || ARRAY(SELECT quote_ident(k.name) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place) ORDER BY k.place);
  types   text[] := CASE WHEN a.kind = 'polled' THEN ARRAY[a.watermark_type] ELSE '{}' END || a.key_types;
  condition text := 'true';
  tail    text;
  budget  constant integer := extract(epoch FROM current_setting('cdp.expression_timeout')::interval) * 1000;
  keys    text;
  state   text;
  began   timestamptz;
  took    integer;
BEGIN
  IF a.place IS NOT NULL THEN
    SELECT format('(%s) > (%s)', string_agg(columns[n], ', ' ORDER BY n), string_agg(format('%L::%s', a.place[n], types[n]), ', ' ORDER BY n)) INTO condition
      FROM generate_series(1, cardinality(columns)) AS n;
  ELSIF a.pass_from IS NOT NULL THEN
    condition := format('%s >= %L::%s%s', columns[1], a.pass_from, a.watermark_type, ' - ' || quote_literal(a.overlap) || '::pg_catalog.interval');
  ELSIF a.kind = 'polled' THEN
    condition := columns[1] || ' IS NOT NULL';
  END IF;
  tail := format(' ORDER BY %s LIMIT %s', array_to_string(columns, ', '), most);
  BEGIN
    RETURN QUERY
      SELECT q.place, ARRAY(SELECT jsonb_array_elements_text(q.value -> 'key')), q.value ->> 'watermark',
             CASE WHEN p.problem IS NULL THEN q.value - 'key' - 'watermark' END, p.problem, NULL::text
      FROM cdp_internal.rows_as_owner(a, cdp_internal.rows_in_sql(a, relation, condition) || tail, milliseconds) WITH ORDINALITY AS q (value, place)
      CROSS JOIN LATERAL (SELECT cdp_internal.row_problem(a, q.value) AS problem) AS p;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    state := SQLSTATE;
    IF NOT cdp_internal.is_of_row(state) OR milliseconds IS NOT NULL THEN
      RAISE;
    END IF;
  END;
  keys := format('SELECT ARRAY[%s] AS key, %s AS watermark FROM %s WHERE %s%s',
    (SELECT string_agg(quote_ident(k.name) || '::pg_catalog.text', ', ' ORDER BY k.place) FROM unnest(a.key_columns) WITH ORDINALITY AS k (name, place)),
    CASE WHEN a.kind = 'polled' THEN columns[1] || '::pg_catalog.text' ELSE 'NULL' END, relation, condition, tail);
  IF state = '54T00' AND a.watermark IS NOT NULL THEN
    -- The time is for expressions; what a view takes by itself is its own.
    began := clock_timestamp();
    PERFORM cdp_internal.rows_as_owner(a, keys, 0);
    took := extract(epoch FROM clock_timestamp() - began) * 1000;
    IF took > budget / 5 THEN
      RETURN QUERY SELECT r.* FROM cdp_internal.read_page(a, relation, most, took * 3 + budget) AS r;
      RETURN;
    END IF;
  END IF;
  -- The keys alone, and then each row for itself.
  FOR place, key, watermark, said, problem, detail IN
    WITH page AS MATERIALIZED (
      SELECT q.place, ARRAY(SELECT jsonb_array_elements_text(q.value -> 'key')) AS key, q.value ->> 'watermark' AS watermark
      FROM cdp_internal.rows_as_owner(a, keys, 0) WITH ORDINALITY AS q (value, place)
    )
    SELECT p.place, p.key, p.watermark, r.said, r.problem, r.detail
    FROM page AS p
    JOIN cdp_internal.read_keys((SELECT o FROM cdp_internal.attachments AS o WHERE o.attachment_id = a.attachment_id), relation,
      (SELECT array_agg(c.part ORDER BY o.place, c.place) FROM page AS o CROSS JOIN LATERAL unnest(o.key) WITH ORDINALITY AS c (part, place))) AS r USING (place)
    ORDER BY p.place LOOP
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.read_page(cdp_internal.attachments, regclass, integer, integer) IS 'Part of cdp.run';

