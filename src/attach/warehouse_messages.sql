-- warehouse messages: rows of tables that other tools wrote, as messages of Segment's spec. Each function takes a row as jsonb, so that a
-- column that is missing says nothing, and one that nobody knows is a property or a trait like the others.

-- 2025-10-07 09:50:26 +0200 as 2025-10-07T09:50:26+02:00.
CREATE FUNCTION cdp_internal.iso_time(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(nullif(trim(value #>> '{}'), ''), ' UTC$', 'Z'), '^(\d{4}-\d\d-\d\d) (?=\d)', '\1T'), ' ?([+-]\d\d):?(\d\d)$', '\1:\2')
$$;
COMMENT ON FUNCTION cdp_internal.iso_time(jsonb) IS 'A time as databases and shops write it, in ISO 8601; anything else as it is';

CREATE FUNCTION cdp_internal.camel_case(name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT left(name, 1) || substr(replace(initcap(replace(name, '_', ' ')), ' ', ''), 2)
$$;
COMMENT ON FUNCTION cdp_internal.camel_case(text) IS 'user_agent as userAgent';

-- A column that holds JSON, as text or as it is.
CREATE FUNCTION cdp_internal.as_json(value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^\s*[\[{]' THEN (value #>> '{}')::jsonb ELSE value END
$$;
COMMENT ON FUNCTION cdp_internal.as_json(jsonb) IS 'Part of cdp.warehouse_message';

-- context_page_url and context_user_agent as {"page": {"url": …}, "userAgent": …}: the objects of the spec are known, all else is flat.
CREATE FUNCTION cdp_internal.warehouse_context(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH part AS (
    SELECT m[1] AS section, coalesce(m[2], substr(c.key, 9)) AS name, c.value
    FROM jsonb_each(said) AS c
    LEFT JOIN LATERAL regexp_match(c.key, '^context_(app|campaign|device|library|location|network|os|page|referrer|screen|traits)_(.+)$') AS m ON true
    WHERE c.key LIKE 'context\_%' AND c.value <> 'null'
  )
  SELECT coalesce((SELECT jsonb_object_agg(cdp_internal.camel_case(p.name), CASE p.name WHEN 'external_ids' THEN cdp_internal.as_json(p.value) ELSE p.value END)
                   FROM part AS p WHERE p.section IS NULL), '{}')
      || coalesce((SELECT jsonb_object_agg(s.section, s.value) FROM (
           SELECT p.section, jsonb_object_agg(CASE p.section WHEN 'traits' THEN p.name ELSE cdp_internal.camel_case(p.name) END, p.value) AS value
           FROM part AS p WHERE p.section IS NOT NULL GROUP BY p.section) AS s), '{}')
$$;
COMMENT ON FUNCTION cdp_internal.warehouse_context(jsonb) IS 'Part of cdp.warehouse_message';

-- Segment's and RudderStack's: a table a kind of message, and one an event; id is the messageId.
CREATE FUNCTION cdp_internal.segment_message(name text, said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('type', k.type,
           'messageId', CASE WHEN name <> 'users' THEN said -> 'id' END,
           'userId', CASE WHEN name = 'users' THEN said -> 'id' ELSE said -> 'user_id' END, 'anonymousId', said -> 'anonymous_id',
           'event', CASE k.type WHEN 'track' THEN coalesce(nullif(said -> 'event_text', 'null'), said -> 'event') END,
           'name', CASE WHEN k.type IN ('page', 'screen') THEN said -> 'name' END, 'category', CASE WHEN k.type IN ('page', 'screen') THEN said -> 'category' END,
           'groupId', CASE k.type WHEN 'group' THEN said -> 'group_id' END, 'previousId', CASE k.type WHEN 'alias' THEN said -> 'previous_id' END,
           'timestamp', cdp_internal.iso_time(coalesce(nullif(said -> 'timestamp', 'null'), said -> 'received_at')),
           'originalTimestamp', cdp_internal.iso_time(coalesce(nullif(said -> 'original_timestamp', 'null'), nullif(said -> 'timestamp', 'null'), said -> 'received_at')),
           'sentAt', cdp_internal.iso_time(said -> 'sent_at'), 'receivedAt', cdp_internal.iso_time(said -> 'received_at')))
      || jsonb_build_object('context', cdp_internal.warehouse_context(said),
           CASE WHEN k.type IN ('identify', 'group') THEN 'traits' ELSE 'properties' END, coalesce(b.body, '{}'))
  FROM (SELECT CASE name WHEN 'identifies' THEN 'identify' WHEN 'users' THEN 'identify' WHEN 'pages' THEN 'page' WHEN 'screens' THEN 'screen'
                         WHEN 'groups' THEN 'group' WHEN 'aliases' THEN 'alias' ELSE 'track' END AS type) AS k
  CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(CASE WHEN k.type <> 'identify' THEN c.key WHEN c.key IN ('first_name', 'last_name', 'created_at') THEN cdp_internal.camel_case(c.key) ELSE c.key END,
             CASE c.key WHEN 'products' THEN cdp_internal.as_json(c.value) ELSE c.value END) AS body
    FROM jsonb_each(said) AS c
    WHERE c.value <> 'null' AND c.key NOT LIKE 'context\_%'
      AND c.key NOT IN ('id', 'user_id', 'anonymous_id', 'timestamp', 'original_timestamp', 'sent_at', 'received_at', 'uuid', 'uuid_ts', 'loaded_at', 'channel')
      AND NOT (k.type = 'track' AND c.key IN ('event', 'event_text')) AND NOT (k.type = 'group' AND c.key = 'group_id')
      AND NOT (k.type = 'alias' AND c.key = 'previous_id')) AS b
$$;
COMMENT ON FUNCTION cdp_internal.segment_message(text, jsonb) IS 'Part of cdp.warehouse_message';

-- Snowplow's atomic.events: a page view is a page, a screen view a screen, all else is tracked. Its times are UTC without a zone.
CREATE FUNCTION cdp_internal.snowplow_message(said jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('messageId', said -> 'event_id', 'userId', said -> 'user_id',
           'anonymousId', coalesce(nullif(said -> 'domain_userid', 'null'), said -> 'network_userid'),
           'type', CASE k.event WHEN 'page_view' THEN 'page' WHEN 'screen_view' THEN 'screen' ELSE 'track' END,
           'event', CASE WHEN k.event NOT IN ('page_view', 'screen_view') THEN k.name END, 'name', CASE k.event WHEN 'page_view' THEN said -> 'page_title' WHEN 'screen_view' THEN k.data -> 'name' END,
           'timestamp', cdp_internal.iso_time(coalesce(nullif(said -> 'derived_tstamp', 'null'), said -> 'collector_tstamp')),
           'originalTimestamp', cdp_internal.iso_time(coalesce(nullif(said -> 'dvce_created_tstamp', 'null'), nullif(said -> 'dvce_tstamp', 'null'), said -> 'collector_tstamp')),
           'sentAt', cdp_internal.iso_time(said -> 'dvce_sent_tstamp'), 'receivedAt', cdp_internal.iso_time(said -> 'collector_tstamp')))
      || jsonb_build_object('context', jsonb_strip_nulls(jsonb_build_object('ip', said -> 'user_ipaddress', 'userAgent', said -> 'useragent', 'locale', said -> 'br_lang',
           'timezone', said -> 'os_timezone', 'app', jsonb_build_object('namespace', said -> 'app_id'), 'channel', said -> 'platform',
           'page', jsonb_build_object('url', said -> 'page_url', 'title', said -> 'page_title', 'referrer', said -> 'page_referrer', 'path', said -> 'page_urlpath'),
           'campaign', jsonb_build_object('name', said -> 'mkt_campaign', 'source', said -> 'mkt_source', 'medium', said -> 'mkt_medium', 'term', said -> 'mkt_term', 'content', said -> 'mkt_content'),
           'location', jsonb_build_object('country', said -> 'geo_country', 'region', said -> 'geo_region', 'city', said -> 'geo_city'),
           'os', jsonb_build_object('name', said -> 'os_name'), 'library', jsonb_build_object('name', said -> 'name_tracker', 'version', said -> 'v_tracker'),
           'contexts', cdp_internal.as_json(said -> 'contexts'))),
         'properties', coalesce(k.data, '{}') || coalesce(b.body, '{}'))
  FROM (SELECT e.event, e.data, coalesce(CASE e.event WHEN 'struct' THEN said ->> 'se_action' WHEN 'unstruct' THEN coalesce(nullif(said ->> 'event_name', ''), split_part(e.schema, '/', 2)) END,
               nullif(said ->> 'event_name', ''), e.event) AS name
        FROM (SELECT CASE WHEN said ->> 'event' = 'unstruct' AND coalesce(said ->> 'event_name', split_part(u.data ->> 'schema', '/', 2)) = 'screen_view' THEN 'screen_view' ELSE said ->> 'event' END AS event,
                     u.data ->> 'schema' AS schema, CASE WHEN jsonb_typeof(u.data -> 'data') = 'object' THEN u.data -> 'data' END AS data
              FROM (SELECT cdp_internal.as_json(said -> 'unstruct_event') -> 'data' AS data) AS u) AS e) AS k
  CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(coalesce(substring(c.key FROM '^page_(url|title|referrer)$'), CASE k.event WHEN 'struct' THEN substring(c.key FROM '^se_(.+)$') END, c.key), c.value) AS body
    FROM jsonb_each(said) AS c
    WHERE c.value <> 'null' AND (c.key ~ '^(tr|ti|pp|mkt|refr)_' OR c.key ~ '^page_(url|title|referrer)$' OR k.event = 'struct' AND c.key ~ '^se_')) AS b
$$;
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

CREATE FUNCTION cdp.warehouse_message(kind text, "table" text, "row" jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE kind WHEN 'segment' THEN cdp_internal.segment_message("table", "row") WHEN 'rudderstack' THEN cdp_internal.segment_message("table", "row")
                   WHEN 'snowplow' THEN cdp_internal.snowplow_message("row")
                   WHEN 'shopify' THEN CASE "table" WHEN 'orders' THEN cdp_internal.shopify_order("row") WHEN 'customers' THEN cdp_internal.shopify_customer("row") END END
$$;
COMMENT ON FUNCTION cdp.warehouse_message(text, text, jsonb) IS
  'A row of a warehouse''s table as a message: what cdp.attach_warehouse maps rows with. kind: segment, rudderstack, snowplow or shopify. "row": to_jsonb of it; of an order of shopify, an array of its lines';
