-- The five segments once more, by plain SQL over the grocer's own tables: other code, other tables,
-- the same households? "equal" compares them one by one, not only their number.
\set ON_ERROR_STOP on
SET timezone = 'UTC';

WITH
today AS (                   -- now, in the calendar of the files
  SELECT (now() AT TIME ZONE 'UTC') - shift AS now FROM grocer.clock
),
orders AS (
  SELECT DISTINCT household_id, basket_id, transaction_timestamp AS at FROM grocer.transactions
),
produce_orders AS (
  SELECT DISTINCT household_id, basket_id, transaction_timestamp AS at
    FROM grocer.transactions JOIN grocer.products USING (product_id)
   WHERE department = 'PRODUCE'
),
mailings AS (
  SELECT household_id, start_date AS at FROM grocer.campaigns JOIN grocer.campaign_descriptions USING (campaign_id)
),
by_sql (segment, household_id) AS (
  SELECT 'lapsed', household_id
    FROM orders CROSS JOIN today
   GROUP BY household_id, now HAVING max(at) <= now - interval '45 days'
  UNION ALL
  SELECT DISTINCT 'mailed_not_redeemed', household_id
    FROM mailings m CROSS JOIN today
   WHERE m.at > now - interval '90 days'
     AND NOT EXISTS (SELECT FROM mailings l WHERE l.household_id = m.household_id AND l.at > m.at)
     AND NOT EXISTS (SELECT FROM grocer.coupon_redemptions r
                      WHERE r.household_id = m.household_id AND r.redemption_date >= m.at)
  UNION ALL
  SELECT 'coupon_lovers', household_id
    FROM grocer.coupon_redemptions CROSS JOIN today
   WHERE redemption_date > now - interval '180 days'
   GROUP BY household_id HAVING count(*) >= 3
  UNION ALL
  SELECT 'category_fans', household_id
    FROM produce_orders CROSS JOIN today
   WHERE at > now - interval '90 days'
   GROUP BY household_id HAVING count(*) >= 3
  UNION ALL
  SELECT 'frequent_visitors', household_id
    FROM orders CROSS JOIN today
   WHERE at > now - interval '30 days'
   GROUP BY household_id HAVING count(*) >= 4
),
households AS (              -- which profile is which household
  SELECT household_id, cdp.lookup('household_id', household_id::text) AS profile_id
    FROM (SELECT household_id FROM grocer.transactions UNION SELECT household_id FROM grocer.campaigns) AS h
),
by_cdp (segment, profile_id, household_id) AS (
  SELECT s.name, m.profile_id, h.household_id
    FROM unnest(ARRAY['lapsed', 'mailed_not_redeemed', 'coupon_lovers', 'category_fans',
                      'frequent_visitors']) AS s (name)
   CROSS JOIN LATERAL cdp.members(s.name) AS m
    LEFT JOIN households AS h ON h.profile_id = m.profile_id
)
SELECT segment,
       count(c.profile_id) AS by_cdp,
       count(q.household_id) AS by_sql,
       bool_and(c.profile_id IS NOT NULL AND q.household_id IS NOT NULL) AS equal
  FROM by_sql q FULL JOIN by_cdp c USING (segment, household_id)
 GROUP BY segment ORDER BY segment;
