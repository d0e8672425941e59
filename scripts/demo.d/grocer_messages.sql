-- A grocer's loyalty programme becomes customer messages.
--
--   psql -v data=test/data/complete_journey -f scripts/demo.d/grocer_messages.sql
--
-- Loads the files into ordinary tables in schema grocer, as they are, and writes one message for each
-- household with demographics, basket, mailing and coupon handed in to cdp.inbox. Run it twice and
-- the second time every message is a duplicate: message ids and times are the same.
\set ON_ERROR_STOP on
\if :{?data}
\else
  \set data test/data/complete_journey
\endif
\setenv CDP_DEMO_DATA :data
SET client_min_messages = warning;
SET timezone = 'UTC';

BEGIN;

CREATE SCHEMA IF NOT EXISTS grocer;

CREATE TABLE IF NOT EXISTS grocer.transactions (
  household_id int NOT NULL, store_id int NOT NULL, basket_id numeric(20) NOT NULL,   -- one is written 4.0128e+10
  product_id int NOT NULL,
  quantity int NOT NULL, sales_value numeric(10,2) NOT NULL, retail_disc numeric(10,2) NOT NULL,
  coupon_disc numeric(10,2) NOT NULL, coupon_match_disc numeric(10,2) NOT NULL,
  transaction_timestamp timestamp NOT NULL);
CREATE TABLE IF NOT EXISTS grocer.products (
  product_id int PRIMARY KEY, department text, product_category text);
CREATE TABLE IF NOT EXISTS grocer.demographics (
  household_id int PRIMARY KEY, age text, income text, home_ownership text, marital_status text,
  household_size text, household_comp text, kids_count text);
CREATE TABLE IF NOT EXISTS grocer.campaigns (
  campaign_id int, household_id int, PRIMARY KEY (campaign_id, household_id));
CREATE TABLE IF NOT EXISTS grocer.campaign_descriptions (
  campaign_id int PRIMARY KEY, campaign_type text, start_date date, end_date date);
CREATE TABLE IF NOT EXISTS grocer.coupon_redemptions (
  household_id int, coupon_upc text, campaign_id int, redemption_date date,
  PRIMARY KEY (household_id, coupon_upc, campaign_id, redemption_date));

TRUNCATE grocer.transactions, grocer.products, grocer.demographics, grocer.campaigns,
         grocer.campaign_descriptions, grocer.coupon_redemptions;

\copy grocer.transactions from program 'gzip -dc "$CDP_DEMO_DATA"/transactions.csv.gz' with (format csv, header)
\copy grocer.products from program 'gzip -dc "$CDP_DEMO_DATA"/products.csv.gz' with (format csv, header)
\copy grocer.demographics from program 'gzip -dc "$CDP_DEMO_DATA"/demographics.csv.gz' with (format csv, header)
\copy grocer.campaigns from program 'gzip -dc "$CDP_DEMO_DATA"/campaigns.csv.gz' with (format csv, header)
\copy grocer.campaign_descriptions from program 'gzip -dc "$CDP_DEMO_DATA"/campaign_descriptions.csv.gz' with (format csv, header)
\copy grocer.coupon_redemptions from program 'gzip -dc "$CDP_DEMO_DATA"/coupon_redemptions.csv.gz' with (format csv, header)

ANALYZE grocer.transactions, grocer.products, grocer.demographics, grocer.campaigns,
        grocer.campaign_descriptions, grocer.coupon_redemptions;

-- The data are of 2017. All dates move by the same whole number of weeks, so that a Monday stays a
-- Monday and the newest falls in the last seven days. Written once: a second run keeps it.
CREATE TABLE IF NOT EXISTS grocer.clock (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  oldest timestamp NOT NULL,        -- first purchase and last date, as in the files
  newest timestamp NOT NULL,
  weeks int NOT NULL,
  shift interval NOT NULL GENERATED ALWAYS AS (weeks * interval '7 days') STORED);

INSERT INTO grocer.clock (oldest, newest, weeks)
SELECT oldest, newest, floor(extract(epoch FROM (now() AT TIME ZONE 'UTC') - newest) / (7 * 86400))
  FROM (SELECT (SELECT min(transaction_timestamp) FROM grocer.transactions) AS oldest,
               greatest((SELECT max(transaction_timestamp) FROM grocer.transactions),
                        (SELECT max(redemption_date) FROM grocer.coupon_redemptions),
                        (SELECT max(start_date) FROM grocer.campaigns JOIN grocer.campaign_descriptions
                                                     USING (campaign_id))) AS newest) AS dates
ON CONFLICT DO NOTHING;

-- Every message is about a household, and says so in the same way.
CREATE OR REPLACE FUNCTION grocer.message(type text, message_id text, at timestamp, household_id int, rest jsonb)
RETURNS text LANGUAGE sql STABLE AS $$
  SELECT (jsonb_build_object(
            'type', type,
            'messageId', message_id,
            'timestamp', to_char(at + shift, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'context', jsonb_build_object('externalIds', jsonb_build_array(jsonb_build_object(
                         'id', household_id::text, 'type', 'household_id',
                         'collection', 'users', 'encoding', 'none')))) || rest)::text
    FROM grocer.clock
$$;

WITH
households AS (              -- who they are, as known on the first day
  SELECT oldest::date::timestamp AS at,
         grocer.message('identify', 'household-' || household_id, oldest::date::timestamp, household_id,
           jsonb_build_object('traits', jsonb_strip_nulls(jsonb_build_object(
             'age', age, 'income', income, 'homeOwnership', home_ownership,
             'maritalStatus', marital_status, 'householdSize', household_size,
             'householdComposition', household_comp, 'kids', kids_count)))) AS message
    FROM grocer.demographics CROSS JOIN grocer.clock
),
baskets AS (                 -- one order for each basket; money is exact to the cent
  SELECT transaction_timestamp AS at,
         grocer.message('track', 'order-' || basket_id, transaction_timestamp, household_id,
           jsonb_build_object('event', 'Order Completed', 'properties', jsonb_build_object(
             'order_id', basket_id::text,
             'store_id', store_id::text,
             'currency', 'USD',
             'total', sum(sales_value),
             'discount', sum(retail_disc),
             'coupon_discount', sum(coupon_disc + coupon_match_disc),
             'products', jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'product_id', product_id::text,
               'department', department,
               'category', product_category,
               'quantity', quantity,
               'price', trim_scale(round(sales_value / greatest(quantity, 1), 4)),
               'amount', sales_value)) ORDER BY product_id)))) AS message
    FROM grocer.transactions LEFT JOIN grocer.products USING (product_id)
   GROUP BY basket_id, household_id, store_id, transaction_timestamp
),
mailings AS (
  SELECT start_date::timestamp AS at,
         grocer.message('track', 'mailing-' || campaign_id || '-' || household_id, start_date::timestamp, household_id,
           jsonb_build_object('event', 'Campaign Mailed', 'properties', jsonb_build_object(
             'campaign_id', campaign_id::text,
             'campaign_type', campaign_type,
             'start_date', (start_date + shift)::date,
             'end_date', (end_date + shift)::date))) AS message
    FROM grocer.campaigns JOIN grocer.campaign_descriptions USING (campaign_id) CROSS JOIN grocer.clock
),
redemptions AS (
  SELECT redemption_date::timestamp AS at,
         grocer.message('track', concat_ws('-', 'redemption', household_id, coupon_upc, campaign_id, redemption_date),
           redemption_date::timestamp, household_id,
           jsonb_build_object('event', 'Coupon Redeemed', 'properties', jsonb_build_object(
             'coupon_upc', coupon_upc,
             'campaign_id', campaign_id::text))) AS message
    FROM grocer.coupon_redemptions
)
INSERT INTO cdp.inbox (source, message)
SELECT 'grocer', message
  FROM (TABLE households UNION ALL TABLE baskets UNION ALL TABLE mailings UNION ALL TABLE redemptions) AS m
 ORDER BY at;

COMMIT;
