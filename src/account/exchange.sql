-- exchange: account traits and account segments in the text of all definitions.

CREATE FUNCTION cdp_internal.export_accounts() RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' AS $$
  WITH block AS (
    SELECT d.kind, d.name, format(E'    %s: {\n%s\n    }', to_json(d.name), (
      SELECT string_agg(format('      %s: %s', to_json(m.key), m.value), E',\n' ORDER BY m.place)
      FROM (VALUES (1, 'expression', cdp_internal.as_lines(d.expression)), (2, 'refresh', to_json(d.refresh::text)::text),
                   (3, 'time_zone', to_json(d.time_zone)::text), (4, 'search_path', to_json(d.search_path)::text),
                   (5, 'datestyle', to_json(d.datestyle)::text), (6, 'intervalstyle', to_json(d.intervalstyle)::text)) AS m (place, key, value))) AS text
    FROM cdp.account_definitions AS d
  )
  SELECT coalesce(string_agg(k.text, '' ORDER BY k.kind DESC), '') -- traits first
  FROM (SELECT b.kind, format(E',\n  "account_%ss": {\n%s\n  }', b.kind, string_agg(b.text, E',\n' ORDER BY b.name COLLATE "C")) AS text
        FROM block AS b GROUP BY b.kind) AS k
$$;
COMMENT ON FUNCTION cdp_internal.export_accounts() IS 'Part of cdp.export_definitions';

CREATE FUNCTION cdp_internal.import_account_definition(reader jsonb, kind text, named text, block jsonb) RETURNS text LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d          cdp.account_definitions;
  expression constant text := cdp_internal.from_lines(block -> 'expression');
BEGIN
  SELECT * INTO d FROM cdp.account_definitions AS o WHERE o.kind = import_account_definition.kind AND o.name = named;
  IF NOT FOUND THEN
    PERFORM cdp_internal.create_account_definition(reader, kind, named, expression, coalesce((block ->> 'refresh')::interval, '1 hour'), block ->> 'time_zone', true);
    RETURN 'created';
  ELSIF (d.expression, d.refresh, d.time_zone, d.search_path, d.datestyle, d.intervalstyle) IS NOT DISTINCT FROM
        (expression, coalesce((block ->> 'refresh')::interval, d.refresh), coalesce(block ->> 'time_zone', d.time_zone),
         reader ->> 'search_path', reader ->> 'datestyle', reader ->> 'intervalstyle') THEN
    RETURN 'unchanged';
  END IF;
  PERFORM cdp_internal.alter_account_definition(reader, kind, named, expression, (block ->> 'refresh')::interval, block ->> 'time_zone', true);
  RETURN 'altered';
END $$;
COMMENT ON FUNCTION cdp_internal.import_account_definition(jsonb, text, text, jsonb) IS 'Part of cdp.import_definitions: what was done';
