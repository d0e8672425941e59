-- The ten segments as the best hand-written SQL over a wide typed table has them; :now is where the bench stands.
SELECT count(*) FROM (SELECT a.pid FROM (SELECT pid, max(ts) mx FROM dw WHERE event = 'Product Added' AND ts >= :now - interval '7 days' GROUP BY pid) a
  WHERE NOT EXISTS (SELECT FROM dw o WHERE o.pid = a.pid AND o.event = 'Order Completed' AND o.ts >= a.mx)
    AND NOT EXISTS (SELECT FROM dw m WHERE m.pid = a.pid AND m.event = 'Email Delivered' AND m.ts >= :now - interval '7 days')) x;
SELECT count(*) FROM (SELECT pid FROM dw WHERE event = 'Order Completed' AND ts >= :now - interval '90 days' GROUP BY pid HAVING sum(value) > 500) x;
SELECT count(*) FROM (SELECT pid FROM dw WHERE event = 'Order Completed' GROUP BY pid HAVING max(ts) < :now - interval '45 days') x;
SELECT count(*) FROM (SELECT pid FROM dw WHERE event = 'Product Viewed' AND ts >= :now - interval '30 days' GROUP BY pid
  HAVING count(*) FILTER (WHERE category = 'Garden') >= 3 AND count(*) FILTER (WHERE category = 'Garden') * 10 >= count(*) * 4) x;
SELECT count(*) FROM pr WHERE country = 'DE' AND tier IN ('gold', 'silver');
SELECT count(*) FROM (SELECT DISTINCT v.pid FROM (SELECT pid, product_id FROM dw WHERE event = 'Product Viewed' AND ts >= :now - interval '7 days'
  GROUP BY pid, product_id HAVING count(*) >= 3) v WHERE NOT EXISTS (SELECT FROM dw o WHERE o.pid = v.pid AND o.event = 'Order Completed' AND o.product_id = v.product_id)) x;
SELECT count(*) FROM (SELECT DISTINCT a.pid FROM dw a WHERE a.event = 'Email Link Clicked' AND a.ts >= :now - interval '30 days'
  AND EXISTS (SELECT FROM dw b WHERE b.pid = a.pid AND b.event = 'Order Completed' AND b.ts > a.ts AND b.ts <= a.ts + interval '24 hours')) x;
SELECT count(*) FROM (SELECT pid FROM dw WHERE event = 'Order Completed' GROUP BY pid
  HAVING max(ts) >= :now - interval '20 days' AND count(*) >= 2 AND sum(value) >= 400) x;
SELECT count(*) FROM (SELECT pid FROM (SELECT pid FROM dw WHERE event = 'Order Completed' AND ts >= :now - interval '90 days' GROUP BY pid HAVING sum(value) > 500) s
  JOIN pr USING (pid) WHERE country IN ('US', 'GB') AND NOT EXISTS (SELECT FROM (SELECT a.pid FROM (SELECT pid, max(ts) mx FROM dw
    WHERE event = 'Product Added' AND ts >= :now - interval '7 days' GROUP BY pid) a
    WHERE NOT EXISTS (SELECT FROM dw o WHERE o.pid = a.pid AND o.event = 'Order Completed' AND o.ts >= a.mx)) ab WHERE ab.pid = s.pid)) x;
SELECT count(*) FROM (SELECT DISTINCT e.pid FROM dw e JOIN pr ON pr.pid = e.pid WHERE e.ts >= :now - interval '7 days' AND pr.consent) x;
