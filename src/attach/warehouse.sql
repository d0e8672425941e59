-- warehouse: finds tables that other tools wrote, and attaches them.

-- A table of a warehouse and what it is to this kind; `message` null: it is left alone, and why.
CREATE FUNCTION cdp_internal.find_warehouse(kind text, schema text) RETURNS TABLE (relation regclass, name text, message text, key text, times text[], reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH found AS MATERIALIZED (
    SELECT c.oid::regclass AS relation, c.relname::text AS name, ARRAY(SELECT t.attname::text FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS columns
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relname NOT LIKE '%\_as\_messages'
  ), judged AS (
    SELECT f.*, CASE
      WHEN kind = 'snowplow' THEN CASE WHEN f.columns @> '{event_id,event,collector_tstamp}' THEN 'events' END
      WHEN kind = 'shopify' THEN CASE WHEN f.columns @> '{Name,"Created at","Lineitem name"}' THEN 'orders' WHEN f.columns @> '{"First Name","Last Name",Email}' THEN 'customers' END
      WHEN NOT f.columns @> '{id}' THEN NULL
      WHEN f.name IN ('identifies', 'pages', 'screens', 'groups', 'aliases', 'users', 'tracks') THEN f.name
      WHEN f.columns @> '{event}' AND f.columns && '{user_id,anonymous_id}' AND f.columns && '{timestamp,received_at}' THEN 'event' END AS role
    FROM found AS f
  )
  SELECT j.relation, j.name,
    CASE WHEN r.reason IS NULL THEN CASE kind WHEN 'snowplow' THEN 'page, screen, track' WHEN 'shopify' THEN CASE j.role WHEN 'orders' THEN 'track Order Completed' ELSE 'identify' END
      ELSE CASE j.role WHEN 'identifies' THEN 'identify' WHEN 'users' THEN 'identify' WHEN 'pages' THEN 'page' WHEN 'screens' THEN 'screen' WHEN 'groups' THEN 'group'
                       WHEN 'aliases' THEN 'alias' WHEN 'tracks' THEN 'track' ELSE 'track ' || j.name END END END,
    CASE kind WHEN 'snowplow' THEN 'event_id' WHEN 'shopify' THEN CASE WHEN j.role = 'orders' THEN 'Name' WHEN j.columns @> '{"Customer ID"}' THEN 'Customer ID' ELSE 'Email' END ELSE 'id' END,
    ARRAY(SELECT w.name FROM unnest(CASE kind WHEN 'snowplow' THEN '{load_tstamp,etl_tstamp,collector_tstamp}'::text[] WHEN 'shopify' THEN '{Customer ID,Email}'
                                          ELSE '{uuid_ts,loaded_at,received_at}' END) WITH ORDINALITY AS w (name, place)
          WHERE w.name = ANY (j.columns) ORDER BY w.place),
    r.reason
  FROM judged AS j CROSS JOIN LATERAL (SELECT CASE
    WHEN j.role IS NULL THEN CASE WHEN kind IN ('segment', 'rudderstack') AND j.name = 'accounts' THEN 'groups says the same' ELSE format('its columns are not those of a table of %s', kind) END
    WHEN j.role = 'users' AND EXISTS (SELECT FROM judged AS o WHERE o.role = 'identifies') THEN 'identifies says the same, with its history'
    WHEN j.role = 'tracks' AND EXISTS (SELECT FROM judged AS o WHERE o.role = 'event') THEN 'events have tables of their own, with properties'
    WHEN j.role = 'event' AND j.name LIKE '%\_view' AND EXISTS (SELECT FROM judged AS o WHERE o.name = left(j.name, -5)) THEN format('a view of %s', left(j.name, -5)) END AS reason) AS r
$$;
COMMENT ON FUNCTION cdp_internal.find_warehouse(text, text) IS 'Part of cdp.warehouse_tables';

-- Whether a table can be followed by triggers with this key.
CREATE FUNCTION cdp_internal.has_row_key(relation regclass, key text) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attname = key AND t.attnotnull
    WHERE c.oid = relation AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relhassubclass AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indexprs IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = t.attnum)
$$;
COMMENT ON FUNCTION cdp_internal.has_row_key(regclass, text) IS 'Part of cdp.warehouse_tables';

CREATE FUNCTION cdp_internal.warehouse_expression(kind text, name text, relation regclass) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('cdp.warehouse_message(%L, %L, %s)', kind, CASE kind WHEN 'shopify' THEN 'customers' ELSE name END, cdp_internal.object_in_sql(array_agg(t.attname::text ORDER BY t.attnum), array_agg(quote_ident(t.attname) ORDER BY t.attnum)))
  FROM pg_attribute AS t WHERE t.attrelid = relation AND t.attnum > 0 AND NOT t.attisdropped
$$;
COMMENT ON FUNCTION cdp_internal.warehouse_expression(text, text, regclass) IS 'Part of cdp.attach_warehouse';

CREATE FUNCTION cdp_internal.check_warehouse(kind text, schema text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF kind IS NULL OR kind NOT IN ('segment', 'rudderstack', 'snowplow', 'shopify') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no warehouse of kind %s', coalesce(quote_literal(kind), 'null')),
      HINT = 'Kinds are segment, rudderstack, snowplow and shopify. Any other table is attached by cdp.attach_table.';
  ELSIF schema IS NULL OR to_regnamespace(quote_ident(schema)) IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_schema_name', MESSAGE = format('schema %s does not exist', coalesce(quote_ident(schema), 'null'));
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.check_warehouse(text, text) IS 'Part of cdp.warehouse_tables';

CREATE FUNCTION cdp.warehouse_tables(kind text, schema text, source text DEFAULT NULL,
    OUT relation regclass, OUT messages text, OUT key text, OUT watermark text, OUT state text, OUT reason text) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  PERFORM cdp_internal.check_warehouse(kind, schema);
  RETURN QUERY
    SELECT f.relation, f.message, CASE WHEN f.message IS NOT NULL THEN f.key END,
           CASE WHEN f.message IS NULL OR cdp_internal.has_row_key(f.relation, f.key) AND f.message <> 'track Order Completed' THEN NULL
                WHEN f.message = 'track Order Completed' THEN 'Created at' ELSE f.times[1] END,
           CASE WHEN f.message IS NULL THEN 'left alone' WHEN a.relation IS NULL THEN 'new'
                WHEN v.view IS NOT NULL OR a.mapping ->> 'message' = cdp_internal.warehouse_expression(kind, f.name, f.relation) THEN 'attached' ELSE 'changed' END,
           coalesce(f.reason, CASE WHEN kind = 'shopify' AND f.message LIKE 'track%' THEN format('a view, %I.%I, makes one message of the lines of an order', schema, f.name || '_as_messages') END)
    FROM cdp_internal.find_warehouse(kind, schema) AS f
    CROSS JOIN LATERAL (SELECT CASE WHEN kind = 'shopify' AND f.message LIKE 'track%' THEN to_regclass(format('%I.%I', schema, f.name || '_as_messages')) END AS view) AS v
    LEFT JOIN cdp.attached_tables AS a ON a.relation = coalesce(v.view, f.relation)::text AND a.source = coalesce(source, schema) AND a.state NOT IN ('detaching', 'kept')
    ORDER BY f.message IS NULL, f.name COLLATE "C";
END $$;
COMMENT ON FUNCTION cdp.warehouse_tables(text, text, text) IS
  'What cdp.attach_warehouse would attach in a schema that a tool wrote, and what not, with the reason; changes nothing. kind: segment, rudderstack, snowplow or shopify. watermark: null, the table is followed by triggers; else polled by this column. state: new, attached, changed (it has columns that are not mapped), left alone. Errors: 22023, 3F000';

-- One message of the lines of an order; made by whoever attaches, and his.
CREATE FUNCTION cdp_internal.orders_view_in_sql(schema text, name text, relation regclass) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('CREATE OR REPLACE VIEW %1$I.%2$I AS SELECT "Name" AS order_name, pg_catalog.min("Created at"::pg_catalog.text) AS created_at, '
    'cdp.warehouse_message(''shopify'', ''orders'', pg_catalog.jsonb_agg(%3$s)) AS message FROM %4$s WHERE "Name" IS NOT NULL GROUP BY "Name"', schema, name || '_as_messages',
    cdp_internal.object_in_sql(array_agg(t.attname::text ORDER BY t.attnum), array_agg(quote_ident(t.attname) ORDER BY t.attnum)), relation)
  FROM pg_attribute AS t WHERE t.attrelid = relation AND t.attnum > 0 AND NOT t.attisdropped
$$;
COMMENT ON FUNCTION cdp_internal.orders_view_in_sql(text, text, regclass) IS 'Part of cdp.attach_warehouse';

CREATE FUNCTION cdp.attach_warehouse(kind text, schema text, source text DEFAULT NULL, every interval DEFAULT '1 minute', recompare interval DEFAULT '1 day',
    OUT relation regclass, OUT messages text, OUT state text, OUT attachment_id integer) RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  t    record;
  rel  regclass;
  name constant text := coalesce(source, schema);
  view text;
  found boolean := false;
BEGIN
  PERFORM cdp_internal.check_warehouse(kind, schema);
  IF kind = 'shopify' AND NOT EXISTS (SELECT FROM cdp.identifier_types AS i WHERE i.type = 'shopify_customer_id') THEN
    PERFORM cdp.create_identifier_type('shopify_customer_id', priority => 80);
  END IF;
  FOR t IN SELECT w.*, c.relname::text AS name FROM cdp.warehouse_tables(kind, schema, name) AS w JOIN pg_class AS c ON c.oid = w.relation LOOP
    relation := t.relation; messages := t.messages; state := t.state; attachment_id := NULL;
    IF t.messages IS NULL THEN
      CONTINUE;
    ELSIF kind = 'shopify' AND t.messages LIKE 'track%' THEN
      view := format('%I.%I', schema, t.name || '_as_messages');
      EXECUTE cdp_internal.orders_view_in_sql(schema, t.name, t.relation);
      rel := view::regclass; relation := rel;
      IF t.state = 'new' THEN
        attachment_id := cdp.attach_table(rel, name, key => '{order_name}', message => 'message', watermark => 'created_at', every => every, recompare => recompare);
      END IF;
    ELSIF t.state = 'new' THEN
      attachment_id := cdp.attach_table(t.relation, name, key => ARRAY[t.key], watermark => quote_ident(t.watermark), every => every,
        overlap => '1 day', recompare => CASE WHEN t.watermark IS NOT NULL THEN recompare END,
        message => cdp_internal.warehouse_expression(kind, t.name, t.relation));
    ELSIF t.state = 'changed' THEN
      attachment_id := cdp.alter_attached_table(t.relation, name, key => ARRAY[t.key], watermark => quote_ident(t.watermark), every => every,
        overlap => '1 day', recompare => CASE WHEN t.watermark IS NOT NULL THEN recompare END,
        message => cdp_internal.warehouse_expression(kind, t.name, t.relation));
    END IF;
    attachment_id := coalesce(attachment_id, (SELECT a.attachment_id FROM cdp.attached_tables AS a WHERE a.relation = relation::text AND a.source = name LIMIT 1));
    state := CASE t.state WHEN 'new' THEN 'attached' WHEN 'changed' THEN 'altered' ELSE 'unchanged' END;
    found := true;
    RETURN NEXT;
  END LOOP;
  IF NOT found THEN
    RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('schema %I has no table that %s writes', schema, kind),
      HINT = format('SELECT * FROM cdp.warehouse_tables(%L, %L) says what is there.', kind, schema);
  END IF;
END $$;
COMMENT ON FUNCTION cdp.attach_warehouse(text, text, text, interval, interval) IS
  'Attaches all tables of a schema that Segment, RudderStack, Snowplow or a Shopify export wrote; see cdp.warehouse_tables for which. Rows that have a messageId count once, whether they come from here or directly. Called again it takes in tables and columns that have come. source: default the name of the schema. Errors: 22023, 3F000, 42P01 there is none, and those of cdp.attach_table';
