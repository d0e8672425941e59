-- warehouse messages: rows of tables that other tools wrote, as messages of Segment's spec. Each function takes a row as jsonb, so that a
-- column that is missing says nothing, and one that nobody knows is a property or a trait like the others.

-- 2025-10-07 09:50:26 +0200 as 2025-10-07T09:50:26+02:00.
CREATE FUNCTION cdp_internal.iso_time(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(nullif(trim(value #>> '{}'), ''), ' UTC$', 'Z'), '^(\d{4}-\d\d-\d\d) (?=\d)', '\1T'), ' ?([+-]\d\d):?(\d\d)$', '\1:\2')
$$;
COMMENT ON FUNCTION cdp_internal.iso_time(jsonb) IS 'A time as databases and shops write it, in ISO 8601; anything else as it is';

-- A column that holds JSON, as text or as it is.
CREATE FUNCTION cdp_internal.as_json(value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^\s*[\[{]' THEN (value #>> '{}')::jsonb ELSE value END
$$;
COMMENT ON FUNCTION cdp_internal.as_json(jsonb) IS 'Part of cdp.warehouse_message';

-- Segment's and RudderStack's: a table a kind of message, and one an event; id is the messageId. context_page_url and
-- context_user_agent become {"page": {"url": …}, "userAgent": …}: the objects of the spec are known, all else is flat. What a
-- call of a function would cost more than its work stands here itself.
CREATE FUNCTION cdp_internal.segment_message(name text, said jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  kind    constant text := CASE name WHEN 'identifies' THEN 'identify' WHEN 'users' THEN 'identify' WHEN 'pages' THEN 'page' WHEN 'screens' THEN 'screen'
                                     WHEN 'groups' THEN 'group' WHEN 'aliases' THEN 'alias' ELSE 'track' END;
  row     jsonb := jsonb_strip_nulls(said);
  other   text[] := '{id,user_id,anonymous_id,timestamp,original_timestamp,sent_at,received_at,uuid,uuid_ts,loaded_at,channel}'::text[]
                    || CASE kind WHEN 'track' THEN '{event,event_text}'::text[] WHEN 'group' THEN '{group_id}' WHEN 'alias' THEN '{previous_id}' ELSE '{}' END;
  body    jsonb;
  context jsonb;
  objects jsonb;
  time    text;
BEGIN
  SELECT jsonb_object_agg(CASE WHEN kind = 'identify' AND c.key IN ('first_name', 'last_name', 'created_at')
                               THEN CASE c.key WHEN 'first_name' THEN 'firstName' WHEN 'last_name' THEN 'lastName' ELSE 'createdAt' END ELSE c.key END,
                          CASE WHEN c.key = 'products' THEN cdp_internal.as_json(c.value) ELSE c.value END) FILTER (WHERE c.key NOT LIKE 'context\_%'),
         jsonb_object_agg(left(n.name, 1) || substr(replace(initcap(replace(n.name, '_', ' ')), ' ', ''), 2),
                          CASE WHEN n.name = 'external_ids' THEN cdp_internal.as_json(c.value) ELSE c.value END) FILTER (WHERE c.key LIKE 'context\_%' AND n.section IS NULL)
    INTO body, context
    FROM jsonb_each(row) AS c
    CROSS JOIN LATERAL (SELECT substr(c.key, 9) AS name, substring(c.key FROM '^context_(app|campaign|device|library|location|network|os|page|referrer|screen|traits)_.') AS section) AS n
    WHERE c.key <> ALL (other);
  SELECT jsonb_object_agg(s.section, s.value) INTO objects FROM (
    SELECT m.parts[1] AS section, jsonb_object_agg(CASE WHEN m.parts[1] = 'traits' THEN m.parts[2]
                                                        ELSE left(m.parts[2], 1) || substr(replace(initcap(replace(m.parts[2], '_', ' ')), ' ', ''), 2) END, c.value) AS value
    FROM jsonb_each(row) AS c
    CROSS JOIN LATERAL (SELECT regexp_match(c.key, '^context_(app|campaign|device|library|location|network|os|page|referrer|screen|traits)_(.+)$') AS parts) AS m
    WHERE c.key LIKE 'context\_%' AND m.parts IS NOT NULL GROUP BY m.parts[1]) AS s;
  -- Columns of text may hold times as a database writes them.
  FOREACH time IN ARRAY '{timestamp,original_timestamp,sent_at,received_at}'::text[] LOOP
    IF row ->> time LIKE '____-__-__ %' THEN
      row := jsonb_set(row, ARRAY[time], to_jsonb(cdp_internal.iso_time(row -> time)));
    END IF;
  END LOOP;
  RETURN jsonb_strip_nulls(jsonb_build_object('type', kind, 'messageId', CASE WHEN name <> 'users' THEN row -> 'id' END,
      'userId', CASE WHEN name = 'users' THEN row -> 'id' ELSE row -> 'user_id' END, 'anonymousId', row -> 'anonymous_id',
      'event', CASE kind WHEN 'track' THEN coalesce(row -> 'event_text', row -> 'event') END,
      'name', CASE WHEN kind IN ('page', 'screen') THEN row -> 'name' END, 'category', CASE WHEN kind IN ('page', 'screen') THEN row -> 'category' END,
      'groupId', CASE kind WHEN 'group' THEN row -> 'group_id' END, 'previousId', CASE kind WHEN 'alias' THEN row -> 'previous_id' END,
      'timestamp', coalesce(row -> 'timestamp', row -> 'received_at'),
      'originalTimestamp', coalesce(row -> 'original_timestamp', row -> 'timestamp', row -> 'received_at'),
      'sentAt', row -> 'sent_at', 'receivedAt', row -> 'received_at'))
    || jsonb_build_object('context', coalesce(context, '{}') || coalesce(objects, '{}'),
      CASE WHEN kind IN ('identify', 'group') THEN 'traits' ELSE 'properties' END, coalesce(body, '{}'));
END $$;
COMMENT ON FUNCTION cdp_internal.segment_message(text, jsonb) IS 'Part of cdp.warehouse_message';

-- Snowplow's atomic.events: a page view is a page, a screen view a screen, all else is tracked. Its times are UTC without a zone.
CREATE FUNCTION cdp_internal.snowplow_message(said jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  row      jsonb := jsonb_strip_nulls(said);
  event    text := row ->> 'event';
  described jsonb := CASE WHEN row ? 'unstruct_event' THEN cdp_internal.as_json(row -> 'unstruct_event') -> 'data' END;
  data     jsonb := CASE jsonb_typeof(described -> 'data') WHEN 'object' THEN described -> 'data' END;
  named    text := coalesce(nullif(row ->> 'event_name', ''), CASE event WHEN 'unstruct' THEN split_part(described ->> 'schema', '/', 2) END, event);
  body     jsonb;
  time     text;
BEGIN
  IF event = 'unstruct' AND named = 'screen_view' THEN
    event := named;
  ELSIF event = 'struct' THEN
    named := coalesce(row ->> 'se_action', named);
  END IF;
  SELECT jsonb_object_agg(coalesce(substring(c.key FROM '^page_(url|title|referrer)$'), CASE event WHEN 'struct' THEN substring(c.key FROM '^se_(.+)$') END, c.key), c.value) INTO body
    FROM jsonb_each(row) AS c WHERE c.key ~ '^(tr|ti|pp|mkt|refr)_|^page_(url|title|referrer)$' OR event = 'struct' AND c.key LIKE 'se\_%';
  FOREACH time IN ARRAY '{derived_tstamp,collector_tstamp,dvce_created_tstamp,dvce_tstamp,dvce_sent_tstamp}'::text[] LOOP
    IF row ->> time LIKE '____-__-__ %' THEN
      row := jsonb_set(row, ARRAY[time], to_jsonb(cdp_internal.iso_time(row -> time)));
    END IF;
  END LOOP;
  RETURN jsonb_strip_nulls(jsonb_build_object('messageId', row -> 'event_id', 'userId', row -> 'user_id', 'anonymousId', coalesce(row -> 'domain_userid', row -> 'network_userid'),
      'type', CASE event WHEN 'page_view' THEN 'page' WHEN 'screen_view' THEN 'screen' ELSE 'track' END,
      'event', CASE WHEN event NOT IN ('page_view', 'screen_view') THEN named END, 'name', CASE event WHEN 'page_view' THEN row -> 'page_title' WHEN 'screen_view' THEN data -> 'name' END,
      'timestamp', coalesce(row -> 'derived_tstamp', row -> 'collector_tstamp'),
      'originalTimestamp', coalesce(row -> 'dvce_created_tstamp', row -> 'dvce_tstamp', row -> 'collector_tstamp'),
      'sentAt', row -> 'dvce_sent_tstamp', 'receivedAt', row -> 'collector_tstamp'))
    || jsonb_build_object('context', jsonb_strip_nulls(jsonb_build_object('ip', row -> 'user_ipaddress', 'userAgent', row -> 'useragent', 'locale', row -> 'br_lang',
      'timezone', row -> 'os_timezone', 'app', jsonb_build_object('namespace', row -> 'app_id'), 'channel', row -> 'platform',
      'page', jsonb_build_object('url', row -> 'page_url', 'title', row -> 'page_title', 'referrer', row -> 'page_referrer', 'path', row -> 'page_urlpath'),
      'campaign', jsonb_build_object('name', row -> 'mkt_campaign', 'source', row -> 'mkt_source', 'medium', row -> 'mkt_medium', 'term', row -> 'mkt_term', 'content', row -> 'mkt_content'),
      'location', jsonb_build_object('country', row -> 'geo_country', 'region', row -> 'geo_region', 'city', row -> 'geo_city'),
      'os', jsonb_build_object('name', row -> 'os_name'), 'library', jsonb_build_object('name', row -> 'name_tracker', 'version', row -> 'v_tracker'),
      'contexts', CASE WHEN row ? 'contexts' THEN cdp_internal.as_json(row -> 'contexts') END)),
    'properties', coalesce(data, '{}') || coalesce(body, '{}'));
END $$;
COMMENT ON FUNCTION cdp_internal.snowplow_message(jsonb) IS 'Part of cdp.warehouse_message';

-- Shops put an apostrophe before what a spreadsheet would take for a number or a formula.
CREATE FUNCTION cdp_internal.shop_text(said jsonb, name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT nullif(trim(ltrim(said ->> name, '''')), '')
$$;
COMMENT ON FUNCTION cdp_internal.shop_text(jsonb, text) IS 'Part of cdp.warehouse_message';
CREATE FUNCTION cdp_internal.shop_number(said jsonb, name text) RETURNS numeric LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN n.value ~ '^-?\d+(\.\d+)?$' THEN n.value::numeric END FROM (SELECT cdp_internal.shop_text(said, name) AS value) AS n
$$;
COMMENT ON FUNCTION cdp_internal.shop_number(jsonb, text) IS 'Part of cdp.warehouse_message';
CREATE FUNCTION cdp_internal.shop_answer(said jsonb, name text) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE lower(cdp_internal.shop_text(said, name)) WHEN 'yes' THEN true WHEN 'true' THEN true WHEN 'no' THEN false WHEN 'false' THEN false END
$$;
COMMENT ON FUNCTION cdp_internal.shop_answer(jsonb, text) IS 'Part of cdp.warehouse_message';
CREATE FUNCTION cdp_internal.shop_tags(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_jsonb(regexp_split_to_array(cdp_internal.shop_text(said, 'Tags'), '\s*,\s*'))
$$;
COMMENT ON FUNCTION cdp_internal.shop_tags(jsonb) IS 'Part of cdp.warehouse_message';
-- What else somebody added to the export, under its own header.
CREATE FUNCTION cdp_internal.shop_rest(said jsonb, known text) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(btrim(regexp_replace(lower(c.key), '[^a-z0-9]+', '_', 'g'), '_'), c.value ORDER BY c.key), '{}')
  FROM jsonb_each(said) AS c WHERE c.value NOT IN ('null', '""') AND c.key !~ known AND c.key ~ '[A-Za-z0-9]'
$$;
COMMENT ON FUNCTION cdp_internal.shop_rest(jsonb, text) IS 'Part of cdp.warehouse_message';
CREATE FUNCTION cdp_internal.external_ids(VARIADIC pairs text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('type', pairs[n], 'id', pairs[n + 1], 'collection', 'users', 'encoding', 'none') ORDER BY n), '[]')
  FROM generate_series(1, cardinality(pairs), 2) AS n WHERE pairs[n + 1] IS NOT NULL
$$;
COMMENT ON FUNCTION cdp_internal.external_ids(text[]) IS 'Types and values as context.externalIds; a value that is null is none';

CREATE FUNCTION cdp_internal.shopify_customer(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('type', 'identify',
    'context', jsonb_build_object('externalIds', cdp_internal.external_ids('shopify_customer_id', cdp_internal.shop_text(said, 'Customer ID'),
      'email', cdp_internal.shop_text(said, 'Email'), 'phone', cdp_internal.shop_text(said, 'Phone'))),
    'traits', jsonb_strip_nulls(jsonb_build_object('firstName', cdp_internal.shop_text(said, 'First Name'), 'lastName', cdp_internal.shop_text(said, 'Last Name'),
      'email', cdp_internal.shop_text(said, 'Email'), 'phone', cdp_internal.shop_text(said, 'Phone'),
      'company', coalesce(cdp_internal.shop_text(said, 'Default Address Company'), cdp_internal.shop_text(said, 'Company')),
      'address', nullif(jsonb_strip_nulls(jsonb_build_object('street', concat_ws(', ', a.street1, a.street2),
        'city', coalesce(cdp_internal.shop_text(said, 'Default Address City'), cdp_internal.shop_text(said, 'City')),
        'state', coalesce(cdp_internal.shop_text(said, 'Default Address Province Code'), cdp_internal.shop_text(said, 'Province Code')),
        'country', coalesce(cdp_internal.shop_text(said, 'Default Address Country Code'), cdp_internal.shop_text(said, 'Country Code')),
        'postalCode', coalesce(cdp_internal.shop_text(said, 'Default Address Zip'), cdp_internal.shop_text(said, 'Zip')))), '{"street": ""}'),
      'accepts_email_marketing', coalesce(cdp_internal.shop_answer(said, 'Accepts Email Marketing'), cdp_internal.shop_answer(said, 'Accepts Marketing')),
      'accepts_sms_marketing', cdp_internal.shop_answer(said, 'Accepts SMS Marketing'), 'tax_exempt', cdp_internal.shop_answer(said, 'Tax Exempt'),
      'total_spent', cdp_internal.shop_number(said, 'Total Spent'), 'total_orders', cdp_internal.shop_number(said, 'Total Orders'),
      'note', cdp_internal.shop_text(said, 'Note'), 'tags', cdp_internal.shop_tags(said)))
    || cdp_internal.shop_rest(said, '^(Customer ID|First Name|Last Name|Email|Phone|Company|Note|Tags|Tax Exempt|Total (Spent|Orders)|Accepts .*Marketing|City|Zip|Address[12]|Province.*|Country.*|Default Address .*)$'))
  FROM (SELECT coalesce(cdp_internal.shop_text(said, 'Default Address Address1'), cdp_internal.shop_text(said, 'Address1')) AS street1,
               coalesce(cdp_internal.shop_text(said, 'Default Address Address2'), cdp_internal.shop_text(said, 'Address2')) AS street2) AS a
$$;
COMMENT ON FUNCTION cdp_internal.shopify_customer(jsonb) IS 'Part of cdp.warehouse_message';

-- An order is as many lines as it has items, and only the first of them says what is true of the whole.
CREATE FUNCTION cdp_internal.shopify_order(lines jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('type', 'track', 'event', 'Order Completed', 'timestamp', cdp_internal.iso_time(said -> 'Created at'),
           'originalTimestamp', cdp_internal.iso_time(said -> 'Created at')))
      || jsonb_build_object('context', jsonb_build_object('externalIds', cdp_internal.external_ids('email', cdp_internal.shop_text(said, 'Email'),
             'phone', coalesce(cdp_internal.shop_text(said, 'Phone'), cdp_internal.shop_text(said, 'Billing Phone')))),
           'properties', jsonb_strip_nulls(jsonb_build_object('order_id', cdp_internal.shop_text(said, 'Name'), 'shopify_order_id', cdp_internal.shop_text(said, 'Id'),
             'currency', cdp_internal.shop_text(said, 'Currency'), 'total', cdp_internal.shop_number(said, 'Total'), 'subtotal', cdp_internal.shop_number(said, 'Subtotal'),
             'shipping', cdp_internal.shop_number(said, 'Shipping'), 'tax', cdp_internal.shop_number(said, 'Taxes'), 'discount', cdp_internal.shop_number(said, 'Discount Amount'),
             'coupon', cdp_internal.shop_text(said, 'Discount Code'), 'tags', cdp_internal.shop_tags(said), 'accepts_marketing', cdp_internal.shop_answer(said, 'Accepts Marketing'),
             'refunded_amount', cdp_internal.shop_number(said, 'Refunded Amount'), 'paid_at', cdp_internal.iso_time(said -> 'Paid at'),
             'fulfilled_at', cdp_internal.iso_time(said -> 'Fulfilled at'), 'cancelled_at', cdp_internal.iso_time(said -> 'Cancelled at'),
             'products', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', cdp_internal.shop_text(l.value, 'Lineitem name'), 'sku', cdp_internal.shop_text(l.value, 'Lineitem sku'),
                 'quantity', cdp_internal.shop_number(l.value, 'Lineitem quantity'), 'price', cdp_internal.shop_number(l.value, 'Lineitem price'),
                 'discount', cdp_internal.shop_number(l.value, 'Lineitem discount'))) ORDER BY l.value ->> 'Lineitem name', l.value ->> 'Lineitem sku')
               FROM jsonb_array_elements(lines) AS l)))
             || cdp_internal.shop_rest(said, '^(Name|Id|Email|Phone|Currency|Total|Subtotal|Shipping|Taxes|Discount (Amount|Code)|Tags|Accepts Marketing|Refunded Amount|(Created|Paid|Fulfilled|Cancelled) at|Lineitem .*|Billing .*|Shipping (Name|Street|Address[12]|Company|City|Zip|Province.*|Country|Phone))$'))
  FROM (SELECT jsonb_object_agg(c.key, c.value) AS said
        FROM (SELECT c.key, (array_agg(c.value ORDER BY c.value::text))[1] AS value FROM jsonb_array_elements(lines) AS l CROSS JOIN LATERAL jsonb_each(l.value) AS c
              WHERE c.value NOT IN ('null', '""') GROUP BY c.key) AS c) AS o
$$;
COMMENT ON FUNCTION cdp_internal.shopify_order(jsonb) IS 'Part of cdp.warehouse_message';

CREATE FUNCTION cdp.warehouse_message(kind text, "table" text, "row" jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  CASE kind
    WHEN 'segment', 'rudderstack' THEN RETURN cdp_internal.segment_message("table", "row");
    WHEN 'snowplow' THEN RETURN cdp_internal.snowplow_message("row");
    WHEN 'shopify' THEN
      RETURN CASE "table" WHEN 'orders' THEN cdp_internal.shopify_order("row") WHEN 'customers' THEN cdp_internal.shopify_customer("row") END;
    ELSE RETURN NULL;
  END CASE;
END $$;
COMMENT ON FUNCTION cdp.warehouse_message(text, text, jsonb) IS
  'A row of a warehouse''s table as a message: what cdp.attach_warehouse maps rows with. kind: segment, rudderstack, snowplow or shopify. "row": to_jsonb of it; of an order of shopify, an array of its lines';
