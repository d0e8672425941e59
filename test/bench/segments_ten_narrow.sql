-- The ten segments over the narrow table, asked the shortest way in words that PostgreSQL and DuckDB both know.
-- :now is in microseconds; the codes are those of segments_narrow.sql.
\set viewed 1
\set added 2
\set ordered 4
\set delivered 7
\set clicked 9
\set garden 1
\set day 86400000000
SELECT count(*) FROM (SELECT pid FROM ne WHERE ev IN (:added, :ordered, :delivered) AND ts >= :now - 7 * :day GROUP BY pid
  HAVING max(ts) FILTER (WHERE ev = :added) > coalesce(max(ts) FILTER (WHERE ev = :ordered), 0) AND count(*) FILTER (WHERE ev = :delivered) = 0) x;
SELECT count(*) FROM (SELECT pid FROM ne WHERE ev = :ordered AND ts >= :now - 90 * :day GROUP BY pid HAVING sum(cents) > 50000) x;
SELECT count(*) FROM (SELECT pid FROM ne WHERE ev = :ordered GROUP BY pid HAVING max(ts) < :now - 45 * :day) x;
SELECT count(*) FROM (SELECT pid FROM ne WHERE ev = :viewed AND ts >= :now - 30 * :day GROUP BY pid
  HAVING count(*) FILTER (WHERE cat = :garden) >= 3 AND count(*) FILTER (WHERE cat = :garden) * 10 >= count(*) * 4) x;
SELECT count(*) FROM np WHERE country = 1 AND tier IN (1, 2);
SELECT count(*) FROM (SELECT DISTINCT v.pid FROM (SELECT pid, prod FROM ne WHERE ev = :viewed AND ts >= :now - 7 * :day
  GROUP BY pid, prod HAVING count(*) >= 3) v WHERE NOT EXISTS (SELECT 1 FROM ne o WHERE o.pid = v.pid AND o.ev = :ordered AND o.prod = v.prod)) x;
SELECT count(*) FROM (SELECT DISTINCT a.pid FROM ne a WHERE a.ev = :clicked AND a.ts >= :now - 30 * :day
  AND EXISTS (SELECT 1 FROM ne b WHERE b.pid = a.pid AND b.ev = :ordered AND b.ts > a.ts AND b.ts <= a.ts + :day)) x;
SELECT count(*) FROM (SELECT pid FROM ne WHERE ev = :ordered GROUP BY pid
  HAVING max(ts) >= :now - 20 * :day AND count(*) >= 2 AND sum(cents) >= 40000) x;
SELECT count(*) FROM (SELECT pid FROM (SELECT pid FROM ne WHERE ev = :ordered AND ts >= :now - 90 * :day GROUP BY pid HAVING sum(cents) > 50000) s
  JOIN np USING (pid) WHERE country IN (2, 3) AND NOT EXISTS (SELECT 1 FROM (
    SELECT pid FROM ne WHERE ev IN (:added, :ordered) AND ts >= :now - 7 * :day GROUP BY pid
    HAVING max(ts) FILTER (WHERE ev = :added) > coalesce(max(ts) FILTER (WHERE ev = :ordered), 0)) ab WHERE ab.pid = s.pid)) x;
SELECT count(*) FROM (SELECT DISTINCT e.pid FROM ne e JOIN np ON np.pid = e.pid WHERE e.ts >= :now - 7 * :day AND np.consent) x;
