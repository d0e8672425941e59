-- Five segments a grocer would want. A rule is a SQL HAVING clause over one household's events.
\set ON_ERROR_STOP on
\o /dev/null

-- Bought before, but not in the last 45 days.
SELECT cdp.create_segment('lapsed', $$
      count(*) FILTER (WHERE event = 'Order Completed') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '45 days') = 0
$$);

-- Got mail in the last 90 days and has handed in no coupon since the latest of it.
SELECT cdp.create_segment('mailed_not_redeemed', $$
      max(occurred_at) FILTER (WHERE event = 'Campaign Mailed') > now() - interval '90 days'
  AND max(occurred_at) FILTER (WHERE event = 'Campaign Mailed')
      > coalesce(max(occurred_at) FILTER (WHERE event = 'Coupon Redeemed'), '-infinity')
$$);

-- Three coupons or more in half a year.
SELECT cdp.create_segment('coupon_lovers', $$
  count(*) FILTER (WHERE event = 'Coupon Redeemed' AND occurred_at > now() - interval '180 days') >= 3
$$);

-- Fruit and vegetables in three orders or more in 90 days.
SELECT cdp.create_segment('category_fans', $$
  count(*) FILTER (WHERE event = 'Order Completed'
                     AND properties @> '{"products": [{"department": "PRODUCE"}]}'
                     AND occurred_at > now() - interval '90 days') >= 3
$$);

-- Four visits or more in 30 days.
SELECT cdp.create_segment('frequent_visitors', $$
  count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '30 days') >= 4
$$);

\o
