-- The rules of the bench: the ten of the guide as HAVING clauses, and a hundred that a shop might have.

-- s08's quintiles are fixed thresholds here: ranks over all people are of class interval.
CREATE TABLE ten (name text, rule text, per text);
INSERT INTO ten VALUES
('s01_cart_abandon', $$count(*) FILTER (WHERE event = 'Product Added' AND occurred_at >= now() - interval '7 days') > 0
  AND coalesce(max(occurred_at) FILTER (WHERE event = 'Order Completed'), '-infinity')
      < max(occurred_at) FILTER (WHERE event = 'Product Added' AND occurred_at >= now() - interval '7 days')
  AND count(*) FILTER (WHERE event = 'Email Delivered' AND occurred_at >= now() - interval '7 days') = 0$$, NULL),
('s02_high_spend', $$sum((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at >= now() - interval '90 days') > 500$$, NULL),
('s03_lapsed', $$max(occurred_at) FILTER (WHERE event = 'Order Completed') < now() - interval '45 days'$$, NULL),
('s04_category_affinity', $$count(*) FILTER (WHERE event = 'Product Viewed' AND properties->>'category' = 'Garden' AND occurred_at >= now() - interval '30 days') >= 3
  AND count(*) FILTER (WHERE event = 'Product Viewed' AND properties->>'category' = 'Garden' AND occurred_at >= now() - interval '30 days') * 10
      >= count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '30 days') * 4$$, NULL),
('s05_trait', $$traits->'address'->>'country' = 'DE' AND traits->>'tier' IN ('gold', 'silver')$$, NULL),
('s06_viewed3_not_bought', $$count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '7 days') >= 3
  AND count(*) FILTER (WHERE event = 'Order Completed') = 0$$, $$properties->>'product_id'$$),
('s07_seq_24h', $$cdp.sequence('1 -> 2 within 24 hours', occurred_at, event = 'Email Link Clicked', event = 'Order Completed') FILTER (WHERE occurred_at >= now() - interval '30 days')$$, NULL),
('s08_rfm_top', $$max(occurred_at) FILTER (WHERE event = 'Order Completed') >= now() - interval '20 days'
  AND count(*) FILTER (WHERE event = 'Order Completed') >= 2 AND sum((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed') >= 400$$, NULL),
('s09_nested_not', $$sum((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at >= now() - interval '90 days') > 500
  AND traits->'address'->>'country' IN ('US', 'GB')
  AND NOT (count(*) FILTER (WHERE event = 'Product Added' AND occurred_at >= now() - interval '7 days') > 0
           AND coalesce(max(occurred_at) FILTER (WHERE event = 'Order Completed'), '-infinity')
               < max(occurred_at) FILTER (WHERE event = 'Product Added' AND occurred_at >= now() - interval '7 days'))$$, NULL),
('s10_active_consent', $$count(*) FILTER (WHERE occurred_at >= now() - interval '7 days') > 0 AND (traits->>'emailConsent')::boolean$$, NULL);

-- kind: sequence, gap and lifecycle are the third that peers cannot say.
CREATE TABLE hundred (name text, kind text, rule text, per text);
INSERT INTO hundred
SELECT format('r%s', lpad((row_number() OVER ())::text, 3, '0')), r.kind, r.rule, r.per FROM (
  SELECT 'count' AS kind, format($$count(*) FILTER (WHERE event = 'Product Viewed' AND properties->>'category' = %L AND occurred_at >= now() - interval '%s days') >= %s$$, c, d, n) AS rule, NULL AS per
    FROM (VALUES ('Garden', 30, 3), ('Books', 14, 2), ('Shoes', 30, 4), ('Toys', 7, 1), ('Home', 60, 5), ('Jackets', 30, 4), ('Dresses', 14, 2), ('Sports', 45, 4)) AS v (c, d, n)
  UNION ALL
  SELECT 'sum', format($$sum((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at >= now() - interval '%s days') > %s$$, d, n), NULL
    FROM (VALUES (30, 100), (60, 250), (90, 500), (7, 50), (14, 75), (45, 200), (90, 1000), (30, 400)) AS v (d, n)
  UNION ALL
  SELECT 'recency', format($$max(occurred_at) FILTER (WHERE event = %L) < now() - interval '%s days'$$, e, d), NULL
    FROM (VALUES ('Order Completed', 45), ('Order Completed', 30), ('Email Opened', 30), ('Checkout Started', 14), ('Email Link Clicked', 60), ('Products Searched', 21)) AS v (e, d)
  UNION ALL
  SELECT 'trait', format($$traits->'address'->>'country' = %L AND traits->>'tier' = %L$$, c, t), NULL
    FROM (VALUES ('DE', 'gold'), ('FR', 'silver'), ('US', 'gold'), ('PL', 'bronze'), ('GB', 'gold'), ('NL', 'silver')) AS v (c, t)
  UNION ALL
  SELECT 'mixed', format($$count(*) FILTER (WHERE event = %L AND occurred_at >= now() - interval '%s days') >= %s AND traits->>'tier' = %L$$, e, d, n, t), NULL
    FROM (VALUES ('Product Viewed', 7, 5, 'gold'), ('Order Completed', 30, 1, 'silver'), ('Product Added', 14, 2, 'bronze'), ('Email Opened', 30, 2, 'gold'),
                 ('Products Searched', 30, 1, 'silver'), ('Checkout Started', 14, 1, 'gold'), ('Email Link Clicked', 30, 1, 'bronze')) AS v (e, d, n, t)
  UNION ALL
  SELECT 'abandoned', format($$count(*) FILTER (WHERE event = 'Product Added' AND occurred_at >= now() - interval '%s days') > 0
    AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at >= now() - interval '%s days') = 0
    AND count(*) FILTER (WHERE event = 'Email Delivered' AND occurred_at >= now() - interval '%s days') = 0$$, d, d, m), NULL
    FROM (VALUES (1, 1), (3, 7), (7, 7), (14, 7)) AS v (d, m)
  UNION ALL
  SELECT 'product', format($$count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '%s days') >= %s AND count(*) FILTER (WHERE event = 'Order Completed') = 0$$, d, n),
         $$properties->>'product_id'$$
    FROM (VALUES (7, 3), (3, 2), (14, 4), (30, 5)) AS v (d, n)
  UNION ALL
  SELECT 'share', format($$count(*) FILTER (WHERE event = 'Product Viewed' AND properties->>'category' = %L AND occurred_at >= now() - interval '30 days') * 10
    >= count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '30 days') * 4
    AND count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '30 days') >= 3$$, c), NULL
    FROM (VALUES ('Garden'), ('Books'), ('Beauty'), ('Grocery'), ('Electronics'), ('Accessories')) AS v (c)
  UNION ALL
  SELECT 'distinct', format($$count(DISTINCT properties->>'category') FILTER (WHERE event = 'Product Viewed' AND occurred_at >= now() - interval '%s days') >= %s$$, d, n), NULL
    FROM (VALUES (7, 3), (30, 5), (14, 4)) AS v (d, n)
  UNION ALL
  SELECT 'between', format($$count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at BETWEEN now() - interval '%s days' AND now() - interval '%s days') > 0$$, f, n), NULL
    FROM (VALUES (90, 30), (60, 30), (60, 14)) AS v (f, n)
  UNION ALL
  SELECT 'calendar', format($$count(*) FILTER (WHERE event = %L AND occurred_at >= date_trunc(%L, now(), %L)) >= %s$$, e, u, z, n), NULL
    FROM (VALUES ('Order Completed', 'month', 'Europe/Amsterdam', 1), ('Product Viewed', 'week', 'Europe/Amsterdam', 3), ('Email Opened', 'day', 'America/New_York', 1), ('Products Searched', 'month', 'UTC', 2)) AS v (e, u, z, n)
  UNION ALL
  SELECT 'extreme', format($$max((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at >= now() - interval '%s days') >= %s$$, d, n), NULL
    FROM (VALUES (90, 300), (30, 150), (60, 500)) AS v (d, n)
  UNION ALL
  SELECT 'average', $$avg((properties->>'value')::numeric) FILTER (WHERE event = 'Order Completed') BETWEEN 50 AND 100$$, NULL
  UNION ALL
  SELECT 'sequence', format($$cdp.sequence(%L, occurred_at, event = %L, event = %L) AND max(occurred_at) FILTER (WHERE event = %L) >= now() - interval '%s days'$$, p, a, b, b, d), NULL
    FROM (VALUES ('1 -> 2 within 24 hours', 'Email Link Clicked', 'Order Completed', 30), ('1 -> 2 within 1 hour', 'Products Searched', 'Product Viewed', 7),
                 ('1 -> 2 within 7 days', 'Email Opened', 'Order Completed', 60), ('1 -> 2 after 1 day within 14 days', 'Product Added', 'Order Completed', 30),
                 ('1 -> 1 -> 2', 'Product Viewed', 'Order Completed', 30), ('1 -> 2 within 2 days', 'Checkout Started', 'Order Completed', 14)) AS v (p, a, b, d)
  UNION ALL
  SELECT 'sequence', format($$cdp.sequence(%L, occurred_at, event = %L, event = %L, event = %L) FILTER (WHERE occurred_at >= now() - interval '14 days')$$, p, a, b, c), NULL
    FROM (VALUES ('1 -> 2 -> not 3', 'Product Viewed', 'Product Added', 'Order Completed'), ('1 -> not 3 -> 2 within 7 days', 'Email Delivered', 'Order Completed', 'Email Opened'),
                 ('1 -> 2 within 1 day -> 3 within 1 day', 'Product Viewed', 'Product Added', 'Order Completed'), ('1 -> 2 -> 3; all within 3 days', 'Products Searched', 'Product Viewed', 'Product Added'),
                 ('not 1 -> 2 -> 3', 'Email Delivered', 'Product Added', 'Order Completed')) AS v (p, a, b, c)
  UNION ALL
  SELECT 'sequence', format($$cdp.sequence_by('1 -> 2 within %s days', occurred_at, properties->>'product_id', event = 'Product Viewed', event = 'Product Added') FILTER (WHERE occurred_at >= now() - interval '30 days')$$, d), NULL
    FROM (VALUES (1), (3), (7), (14), (30)) AS v (d)
  UNION ALL
  SELECT 'sequence', format($$cdp.funnel('%s days', occurred_at, event = 'Product Viewed', event = 'Product Added', event = 'Checkout Started', event = 'Order Completed') FILTER (WHERE occurred_at >= now() - interval '30 days') = %s$$, d, n), NULL
    FROM (VALUES (7, 3), (1, 2), (14, 4)) AS v (d, n)
  UNION ALL
  SELECT 'gap', format($$cdp.last_sequence(%L, occurred_at, event = %L, event = %L) < now() - interval '%s days'$$, p, a, b, d), NULL
    FROM (VALUES ('1 -> 2 within 1 day', 'Product Viewed', 'Product Added', 7), ('1 -> 1 after 7 days', 'Order Completed', 'Email Opened', 14), ('1 -> 2', 'Email Opened', 'Email Link Clicked', 30)) AS v (p, a, b, d)
  UNION ALL
  SELECT 'gap', format($$count(*) FILTER (WHERE event = %L AND occurred_at BETWEEN now() - interval '%s days' AND now() - interval '%s days') > 0
    AND count(*) FILTER (WHERE event = %L AND occurred_at >= now() - interval '%s days') = 0$$, e, f, n, e, n), NULL
    FROM (VALUES ('Order Completed', 90, 30), ('Product Viewed', 60, 14), ('Email Opened', 90, 45), ('Products Searched', 60, 30)) AS v (e, f, n)
  UNION ALL
  SELECT 'lifecycle', format($$min(occurred_at) FILTER (WHERE event = %L) >= now() - interval '%s days'$$, e, d), NULL
    FROM (VALUES ('Order Completed', 30), ('Product Viewed', 7), ('Signed Up', 14)) AS v (e, d)
  UNION ALL
  SELECT 'lifecycle', format($$count(DISTINCT date_trunc('week', occurred_at)) FILTER (WHERE event = %L AND occurred_at >= date_trunc('week', now()) - interval '%s weeks') >= %s$$, e, m, n), NULL
    FROM (VALUES ('Product Viewed', 8, 5), ('Order Completed', 12, 3), ('Email Opened', 8, 3)) AS v (e, m, n)
  UNION ALL
  SELECT 'lifecycle', format($$cdp.sequence('1 -> not 1 -> 1 after %s days', occurred_at, event = %L) AND max(occurred_at) FILTER (WHERE event = %L) >= now() - interval '14 days'$$, d, e, e), NULL
    FROM (VALUES ('Order Completed', 30), ('Product Viewed', 30), ('Email Opened', 21)) AS v (e, d)
  UNION ALL
  SELECT 'text', format($$count(*) FILTER (WHERE type = 'page' AND properties->>'path' LIKE %L AND occurred_at >= now() - interval '%s days') >= %s$$, p, d, n), NULL
    FROM (VALUES ('/c/%', 7, 3), ('/p/%', 14, 2)) AS v (p, d, n)
) AS r;
