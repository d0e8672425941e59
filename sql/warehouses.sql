-- Warehouses: tables that Segment, RudderStack, Snowplow or a Shopify export wrote, found and attached as they are.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
SET TimeZone = 'UTC';
\pset null -

-- Segment: a schema a source, a table a kind of message and one an event, types as its Postgres warehouse has them.
CREATE SCHEMA website;
CREATE TABLE website.identifies (id varchar(1024) PRIMARY KEY, received_at timestamptz, uuid bigint, uuid_ts timestamptz, anonymous_id varchar(1024), context_ip varchar(1024),
  context_library_name varchar(1024), context_library_version varchar(1024), context_page_url varchar(1024), context_user_agent varchar(1024), context_campaign_name varchar(1024),
  original_timestamp timestamptz, sent_at timestamptz, "timestamp" timestamptz, user_id varchar(1024), email varchar(1024), first_name varchar(1024), plan varchar(1024), logins bigint);
CREATE TABLE website.users (id varchar(1024) PRIMARY KEY, received_at timestamptz, uuid bigint, uuid_ts timestamptz, context_ip varchar(1024), email varchar(1024), first_name varchar(1024), plan varchar(1024));
CREATE TABLE website.tracks (id varchar(1024) PRIMARY KEY, received_at timestamptz, uuid bigint, uuid_ts timestamptz, anonymous_id varchar(1024), context_ip varchar(1024), event varchar(1024),
  event_text varchar(1024), original_timestamp timestamptz, sent_at timestamptz, "timestamp" timestamptz, user_id varchar(1024));
CREATE TABLE website.order_completed (LIKE website.tracks INCLUDING INDEXES, order_id varchar(1024), total numeric(18, 6), products varchar(65535));
CREATE TABLE website.pages (id varchar(1024) PRIMARY KEY, received_at timestamptz, uuid bigint, uuid_ts timestamptz, anonymous_id varchar(1024), context_ip varchar(1024), name varchar(1024),
  original_timestamp timestamptz, path varchar(1024), referrer varchar(1024), sent_at timestamptz, "timestamp" timestamptz, title varchar(1024), url varchar(1024), user_id varchar(1024));
CREATE TABLE website.screens (id varchar(1024) PRIMARY KEY, received_at timestamptz, anonymous_id varchar(1024), context_device_id varchar(1024), context_device_advertising_id varchar(1024),
  name varchar(1024), "timestamp" timestamptz, original_timestamp timestamptz, user_id varchar(1024));
CREATE TABLE website.groups (id varchar(1024) PRIMARY KEY, received_at timestamptz, anonymous_id varchar(1024), group_id varchar(1024), "timestamp" timestamptz, original_timestamp timestamptz,
  user_id varchar(1024), name varchar(1024), employees bigint);
CREATE TABLE website.aliases (id varchar(1024) PRIMARY KEY, received_at timestamptz, previous_id varchar(1024), "timestamp" timestamptz, original_timestamp timestamptz, user_id varchar(1024));
CREATE TABLE website.campaign_budgets (month date, budget numeric);
COPY website.identifies FROM STDIN WITH (FORMAT csv);
ajs-1,2026-01-05 10:00:02+00,101,2026-01-05 11:00:00+00,a-1,198.51.100.7,analytics.js,4.1.0,https://shop.example/sale,Mozilla/5.0,january,2026-01-05 10:00:00+00,2026-01-05 10:00:01+00,2026-01-05 10:00:01+00,u-1,Anna@Example.com,Anna,gold,3
\.
COPY website.tracks FROM STDIN WITH (FORMAT csv);
ajs-2,2026-01-05 10:10:02+00,102,2026-01-05 11:00:00+00,a-1,198.51.100.7,order_completed,Order Completed,2026-01-05 10:10:00+00,2026-01-05 10:10:01+00,2026-01-05 10:10:01+00,
\.
COPY website.order_completed FROM STDIN WITH (FORMAT csv);
ajs-2,2026-01-05 10:10:02+00,102,2026-01-05 11:00:00+00,a-1,198.51.100.7,order_completed,Order Completed,2026-01-05 10:10:00+00,2026-01-05 10:10:01+00,2026-01-05 10:10:01+00,,o-1,49.95,"[{""sku"":""mug"",""quantity"":2}]"
\.
COPY website.pages FROM STDIN WITH (FORMAT csv);
ajs-3,2026-01-05 10:01:02+00,103,2026-01-05 11:00:00+00,a-1,198.51.100.7,Sale,2026-01-05 10:01:00+00,/sale,https://search.example/,2026-01-05 10:01:01+00,2026-01-05 10:01:01+00,The sale,https://shop.example/sale,
\.
INSERT INTO website.screens VALUES ('ios-1', '2026-01-06', 'a-2', 'device-9', 'ad-9', 'Basket', '2026-01-06', '2026-01-06', 'u-1');
INSERT INTO website.groups VALUES ('ajs-4', '2026-01-06', 'a-1', 'acme', '2026-01-06', '2026-01-06', 'u-1', 'Acme', 12);
INSERT INTO website.aliases VALUES ('ajs-5', '2026-01-07', 'u-0', '2026-01-07', '2026-01-07', 'u-1');

-- A look at what would be attached; nothing is changed.
SELECT * FROM cdp.warehouse_tables('segment', 'website');

-- One of these messages came directly, too.
SELECT * FROM cdp.ingest('{"type": "track", "event": "Order Completed", "messageId": "ajs-2", "anonymousId": "a-1", "timestamp": "2026-01-05T10:10:01Z", "originalTimestamp": "2026-01-05T10:10:00Z",
  "properties": {"order_id": "o-1", "total": 49.95, "products": [{"sku": "mug", "quantity": 2}]}}', source => 'website');
SELECT relation, messages, state FROM cdp.attach_warehouse('segment', schema => 'website');
CALL cdp.run();
SELECT message_id, type, event, occurred_at, properties FROM cdp.events ORDER BY message_id;
SELECT message_id, type, asserted_at, traits, context FROM cdp.assertions ORDER BY message_id COLLATE "C";
SELECT type, value FROM cdp.identifiers WHERE profile_id = cdp.lookup('user_id', 'u-1') ORDER BY type, value;
-- Another comes directly after it was read here: it is known.
SELECT * FROM cdp.ingest('{"type": "identify", "messageId": "ajs-1", "anonymousId": "a-1", "userId": "u-1", "timestamp": "2026-01-05T10:00:01Z", "traits": {"firstName": "Anna"}}', source => 'website');
SELECT count(*) AS quarantined FROM cdp.quarantine;

-- Rows that change, go and come back: one message a row, always.
UPDATE website.pages SET title = 'The winter sale';
DELETE FROM website.screens;
CALL cdp.run();
SELECT message_id, type, properties ->> 'title' AS title FROM cdp.events ORDER BY message_id;
INSERT INTO website.screens VALUES ('ios-1', '2026-01-06', 'a-2', 'device-9', 'ad-9', 'Basket', '2026-01-06', '2026-01-06', 'u-1');
CALL cdp.run();
SELECT message_id, type, event FROM cdp.events WHERE type = 'screen';
-- The row of the message that came directly is only another form of it.
UPDATE website.order_completed SET total = 1;
DELETE FROM website.order_completed;
CALL cdp.run();
SELECT message_id, properties -> 'total' AS total FROM cdp.events WHERE event = 'Order Completed';
SELECT * FROM cdp.verify();

-- The warehouse grows: a column, an event.
ALTER TABLE website.pages ADD search varchar(1024);
CREATE TABLE website.product_viewed (LIKE website.tracks INCLUDING INDEXES, sku varchar(1024));
INSERT INTO website.product_viewed (id, received_at, anonymous_id, event, event_text, "timestamp", original_timestamp, sku) VALUES ('ajs-6', '2026-01-08', 'a-1', 'product_viewed', 'Product Viewed', '2026-01-08', '2026-01-08', 'mug');
INSERT INTO website.pages (id, received_at, anonymous_id, name, "timestamp", original_timestamp, search) VALUES ('ajs-7', '2026-01-08', 'a-1', 'Search', '2026-01-08', '2026-01-08', 'mugs');
SELECT relation, messages, state FROM cdp.warehouse_tables('segment', 'website') WHERE state IN ('new', 'changed');
SELECT relation, messages, state FROM cdp.attach_warehouse('segment', 'website') WHERE state <> 'unchanged';
CALL cdp.run();
SELECT message_id, type, event, properties FROM cdp.events WHERE message_id IN ('ajs-6', 'ajs-7') ORDER BY 1;

-- RudderStack has the same tables, without keys: they are polled by the time at which rows were loaded.
CREATE SCHEMA app;
CREATE TABLE app.identifies (id text, anonymous_id text, user_id text, channel text, sent_at timestamptz, received_at timestamptz, original_timestamp timestamptz, "timestamp" timestamptz, uuid_ts timestamptz,
  context_app_name text, context_os_name text, context_traits_email text, context_request_ip text, email text, loyalty_tier text);
CREATE TABLE app.tracks (id text, anonymous_id text, user_id text, channel text, event text, event_text text, sent_at timestamptz, received_at timestamptz, original_timestamp timestamptz, "timestamp" timestamptz, uuid_ts timestamptz);
CREATE TABLE app.rudder_discards (column_name text, column_value text, received_at timestamptz, row_id text, table_name text, uuid_ts timestamptz);
INSERT INTO app.identifies VALUES ('r-1', 'ra-1', 'ru-1', 'mobile', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01 00:05', 'Shop', 'iOS', 'bob@example.com', '203.0.113.9', 'bob@example.com', 'silver');
INSERT INTO app.tracks VALUES ('r-2', 'ra-1', 'ru-1', 'mobile', 'tapped', 'Tapped', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01 00:05');
SELECT * FROM cdp.warehouse_tables('rudderstack', 'app');
SELECT relation, messages, state FROM cdp.attach_warehouse('rudderstack', 'app', source => 'rudder', every => '10 milliseconds');
CALL cdp.run();
SELECT message_id, type, event, source, occurred_at FROM cdp.events WHERE source = 'rudder';
SELECT message_id, traits, context FROM cdp.assertions WHERE message_id = 'r-1';

-- Snowplow's atomic.events, all of its columns.
CREATE SCHEMA atomic;
CREATE TABLE atomic.events (app_id varchar(255), platform varchar(255), etl_tstamp timestamp, collector_tstamp timestamp NOT NULL, dvce_created_tstamp timestamp, event varchar(128), event_id char(36) NOT NULL,
  txn_id integer, name_tracker varchar(128), v_tracker varchar(100), v_collector varchar(100) NOT NULL, v_etl varchar(100) NOT NULL, user_id varchar(255), user_ipaddress varchar(128), user_fingerprint varchar(128),
  domain_userid varchar(128), domain_sessionidx smallint, network_userid varchar(128), geo_country char(2), geo_region char(3), geo_city varchar(75), geo_zipcode varchar(15), geo_latitude double precision,
  geo_longitude double precision, geo_region_name varchar(100), ip_isp varchar(100), ip_organization varchar(128), ip_domain varchar(128), ip_netspeed varchar(100), page_url varchar(4096), page_title varchar(2000),
  page_referrer varchar(4096), page_urlscheme varchar(16), page_urlhost varchar(255), page_urlport integer, page_urlpath varchar(3000), page_urlquery varchar(6000), page_urlfragment varchar(3000),
  refr_urlscheme varchar(16), refr_urlhost varchar(255), refr_urlport integer, refr_urlpath varchar(6000), refr_urlquery varchar(6000), refr_urlfragment varchar(3000), refr_medium varchar(25), refr_source varchar(50),
  refr_term varchar(255), mkt_medium varchar(255), mkt_source varchar(255), mkt_term varchar(255), mkt_content varchar(500), mkt_campaign varchar(255), contexts json, se_category varchar(1000), se_action varchar(1000),
  se_label varchar(4096), se_property varchar(1000), se_value double precision, unstruct_event json, tr_orderid varchar(255), tr_affiliation varchar(255), tr_total decimal(18, 2), tr_tax decimal(18, 2),
  tr_shipping decimal(18, 2), tr_city varchar(255), tr_state varchar(255), tr_country varchar(255), ti_orderid varchar(255), ti_sku varchar(255), ti_name varchar(255), ti_category varchar(255), ti_price decimal(18, 2),
  ti_quantity integer, pp_xoffset_min integer, pp_xoffset_max integer, pp_yoffset_min integer, pp_yoffset_max integer, useragent varchar(1000), br_name varchar(50), br_family varchar(50), br_version varchar(50),
  br_type varchar(50), br_renderengine varchar(50), br_lang varchar(255), br_features_pdf boolean, br_features_flash boolean, br_features_java boolean, br_features_director boolean, br_features_quicktime boolean,
  br_features_realplayer boolean, br_features_windowsmedia boolean, br_features_gears boolean, br_features_silverlight boolean, br_cookies boolean, br_colordepth varchar(12), br_viewwidth integer, br_viewheight integer,
  os_name varchar(50), os_family varchar(50), os_manufacturer varchar(50), os_timezone varchar(255), dvce_type varchar(50), dvce_ismobile boolean, dvce_screenwidth integer, dvce_screenheight integer,
  doc_charset varchar(128), doc_width integer, doc_height integer, tr_currency char(3), tr_total_base decimal(18, 2), tr_tax_base decimal(18, 2), tr_shipping_base decimal(18, 2), ti_currency char(3),
  ti_price_base decimal(18, 2), base_currency char(3), geo_timezone varchar(64), mkt_clickid varchar(128), mkt_network varchar(64), etl_tags varchar(500), dvce_sent_tstamp timestamp, refr_domain_userid varchar(128),
  refr_dvce_tstamp timestamp, derived_contexts json, domain_sessionid char(128), derived_tstamp timestamp, event_vendor varchar(1000), event_name varchar(1000), event_format varchar(128), event_version varchar(128),
  event_fingerprint varchar(128), true_tstamp timestamp);
INSERT INTO atomic.events (app_id, platform, etl_tstamp, collector_tstamp, dvce_created_tstamp, derived_tstamp, event, event_name, event_id, v_collector, v_etl, user_id, domain_userid, network_userid, page_url, page_title, mkt_campaign, geo_country)
  VALUES ('shop', 'web', '2026-03-01 09:05', '2026-03-01 09:00:01', '2026-03-01 08:59:59', '2026-03-01 09:00', 'page_view', 'page_view', 'c6ef3124-b53a-4b13-a233-0088f79dcbcb', 'ssc-2', 'enrich-3', 'su-1', 'sd-1', 'sn-1', 'https://shop.example/', 'Home', 'spring', 'NL');
INSERT INTO atomic.events (etl_tstamp, collector_tstamp, derived_tstamp, event, event_name, event_id, v_collector, v_etl, domain_userid, se_category, se_action, se_value)
  VALUES ('2026-03-01 09:05', '2026-03-01 09:01', '2026-03-01 09:01', 'struct', 'event', 'c6ef3124-b53a-4b13-a233-0088f79dcbcc', 'ssc-2', 'enrich-3', 'sd-1', 'shop', 'add-to-basket', 9.5);
INSERT INTO atomic.events (etl_tstamp, collector_tstamp, derived_tstamp, event, event_vendor, event_name, event_id, v_collector, v_etl, domain_userid, unstruct_event)
  VALUES ('2026-03-01 09:05', '2026-03-01 09:02', '2026-03-01 09:02', 'unstruct', 'com.example', 'checkout', 'c6ef3124-b53a-4b13-a233-0088f79dcbcd', 'ssc-2', 'enrich-3', 'sd-1',
          '{"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": {"schema": "iglu:com.example/checkout/jsonschema/1-0-0", "data": {"step": 2, "total": 19.9}}}');
SELECT * FROM cdp.warehouse_tables('snowplow', 'atomic');
SELECT relation, messages, state FROM cdp.attach_warehouse('snowplow', 'atomic', every => '10 milliseconds');
CALL cdp.run();
SELECT type, event, occurred_at, properties FROM cdp.events WHERE source = 'atomic' ORDER BY occurred_at;
SELECT context FROM cdp.events WHERE source = 'atomic' AND type = 'page';
SELECT type, value FROM cdp.identifiers WHERE profile_id = cdp.lookup('user_id', 'su-1') ORDER BY type;

-- Shopify's exports, loaded with their headers; a customer's key makes the table one that is followed.
CREATE SCHEMA shop;
CREATE TABLE shop.customers ("Customer ID" text PRIMARY KEY, "First Name" text, "Last Name" text, "Email" text, "Accepts Email Marketing" text, "Default Address Company" text, "Default Address Address1" text,
  "Default Address Address2" text, "Default Address City" text, "Default Address Province Code" text, "Default Address Country Code" text, "Default Address Zip" text, "Default Address Phone" text, "Phone" text,
  "Accepts SMS Marketing" text, "Total Spent" text, "Total Orders" text, "Note" text, "Tax Exempt" text, "Tags" text);
COPY shop.customers FROM STDIN WITH (FORMAT csv, HEADER match);
Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,Tags
'7410991464001,Carla,"de Vries, MSc",carla@example.com,yes,,Keizersgracht 1,,Amsterdam,NH,NL,'1015 CJ,,'+31612345678,no,64.50,2,"Said ""call me""",no,"vip, newsletter"
\.
CREATE TABLE shop.orders ("Name" text, "Email" text, "Financial Status" text, "Paid at" text, "Fulfillment Status" text, "Fulfilled at" text, "Accepts Marketing" text, "Currency" text, "Subtotal" text, "Shipping" text,
  "Taxes" text, "Total" text, "Discount Code" text, "Discount Amount" text, "Shipping Method" text, "Created at" text, "Lineitem quantity" text, "Lineitem name" text, "Lineitem price" text, "Lineitem compare at price" text,
  "Lineitem sku" text, "Lineitem requires shipping" text, "Lineitem taxable" text, "Lineitem fulfillment status" text, "Billing Name" text, "Billing Street" text, "Billing Address1" text, "Billing Address2" text,
  "Billing Company" text, "Billing City" text, "Billing Zip" text, "Billing Province" text, "Billing Country" text, "Billing Phone" text, "Notes" text, "Cancelled at" text, "Payment Method" text, "Refunded Amount" text,
  "Id" text, "Tags" text, "Risk Level" text, "Source" text, "Lineitem discount" text, "Phone" text);
COPY shop.orders FROM STDIN WITH (FORMAT csv, HEADER match);
Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,Lineitem fulfillment status,Billing Name,Billing Street,Billing Address1,Billing Address2,Billing Company,Billing City,Billing Zip,Billing Province,Billing Country,Billing Phone,Notes,Cancelled at,Payment Method,Refunded Amount,Id,Tags,Risk Level,Source,Lineitem discount,Phone
#1001,Carla@Example.com,paid,2026-01-10 09:50:26 +0100,fulfilled,2026-01-11 14:21:21 +0100,yes,EUR,54.50,4.95,9.46,54.45,WELCOME5,5.00,Standard,2026-01-10 09:50:20 +0100,2,Mug - Blue,14.75,,MUG-B,true,true,fulfilled,Carla de Vries,Keizersgracht 1,Keizersgracht 1,,,Amsterdam,'1015 CJ,NH,NL,,,,Shopify Payments,0.00,5512345678901,,Low,web,0.00,
#1001,Carla@Example.com,,,,,,,,,,,,,,2026-01-10 09:50:20 +0100,1,"Tray, oak",25.00,,TRAY,true,true,fulfilled,,,,,,,,,,,,,,,,,,,0.00,
\.
SELECT * FROM cdp.warehouse_tables('shopify', 'shop');
SELECT relation, messages, state FROM cdp.attach_warehouse('shopify', 'shop', every => '10 milliseconds');
CALL cdp.run();
SELECT traits FROM cdp.assertions JOIN cdp.sources USING (source_id) WHERE source = 'shop';
SELECT event, occurred_at, jsonb_pretty(properties) AS properties FROM cdp.events WHERE source = 'shop';
SELECT type, value FROM cdp.identifiers WHERE profile_id = cdp.lookup('email', 'carla@example.com') ORDER BY type;
-- A newer export takes the place of the old one.
TRUNCATE shop.orders;
INSERT INTO shop.orders ("Name", "Email", "Created at", "Total", "Refunded Amount", "Lineitem name") VALUES ('#1001', 'carla@example.com', '2026-01-10 09:50:20 +0100', '54.45', '54.45', 'Mug - Blue');
SELECT cdp.recompare_table('shop.orders_as_messages', source => 'shop') > 0 AS compared;
CALL cdp.run();
SELECT properties -> 'refunded_amount' AS refunded, jsonb_array_length(properties -> 'products') AS products FROM cdp.events WHERE source = 'shop';

-- A table whose rows are messages already: any jsonb column or expression.
CREATE TABLE website.raw (number bigint PRIMARY KEY, payload jsonb);
INSERT INTO website.raw VALUES (1, '{"type": "track", "event": "Rated", "messageId": "raw-1", "userId": "u-1", "timestamp": "2026-01-09T00:00:00Z"}'), (2, '{"batch": []}'), (3, NULL), (4, '{"type": "track"}');
SELECT cdp.attach_table('website.raw', source => 'website', message => 'payload') > 0 AS attached;
CALL cdp.run();
SELECT message_id, event FROM cdp.events WHERE event = 'Rated';
SELECT code, reason FROM cdp.quarantine WHERE import = 'website.raw' ORDER BY quarantine_id;

-- What is wrong.
SELECT cdp.attach_warehouse('segmnt', 'website');
SELECT cdp.attach_warehouse('segment', 'nowhere');
SELECT cdp.attach_warehouse('snowplow', 'shop');
SELECT cdp.attach_table('website.raw', source => 'other', message => 'payload', event => 'E', occurred_at => 'now()');
SELECT cdp.attach_table('website.raw', source => 'other', message => 'number');
SELECT * FROM cdp.verify();
DROP SCHEMA website, app, atomic, shop CASCADE;
DROP EXTENSION cdp CASCADE;
