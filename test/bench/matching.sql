-- The quality of pairs and clusters, in plain SQL that calls nothing of cdp's.
CREATE TABLE truth (id text PRIMARY KEY, person text NOT NULL);
CREATE TABLE pairs (id_l text, id_r text, source_l text, source_r text, match_weight float8, match_probability float8, match_key integer, gammas smallint[]);
CREATE TABLE clusters (id text PRIMARY KEY, cluster text NOT NULL);

-- Pairs at or above each weight against all true pairs; across: only those between sources.
CREATE FUNCTION pair_quality(at float8, OUT threshold float8, OUT prec numeric, OUT recall numeric, OUT f1 numeric, OUT found bigint, OUT ceiling numeric)
LANGUAGE sql SET enable_nestloop = off SET work_mem = '256MB' AS $$
  WITH total AS (SELECT sum(n * (n - 1) / 2)::numeric AS n FROM (SELECT count(*) AS n FROM truth GROUP BY person) AS s),
  judged AS (SELECT p.match_probability AS probability, (a.person = b.person)::int AS right FROM pairs AS p
             JOIN truth AS a ON a.id = p.id_l JOIN truth AS b ON b.id = p.id_r),
  steps AS (SELECT probability, sum(sum(j.right)) OVER w AS hits, sum(count(*)) OVER w AS n FROM judged AS j GROUP BY probability
            WINDOW w AS (ORDER BY probability DESC)),
  rated AS (SELECT s.probability, s.hits / s.n AS p, s.hits / t.n AS r, 2 * s.hits / (s.n + t.n) AS f, s.n FROM steps AS s, total AS t)
  SELECT r.probability, round(r.p, 4), round(r.r, 4), round(r.f, 4), r.n::bigint, (SELECT round(max(o.r), 4) FROM rated AS o)
  FROM rated AS r WHERE at IS NULL OR r.probability >= at ORDER BY CASE WHEN at IS NULL THEN -r.f ELSE r.probability END LIMIT 1
$$;

-- Who is in no pair is a cluster of one.
CREATE FUNCTION cluster_quality(OUT prec numeric, OUT recall numeric, OUT f1 numeric, OUT b3 numeric, OUT largest bigint)
LANGUAGE sql SET enable_nestloop = off SET work_mem = '256MB' AS $$
  WITH joined AS (SELECT t.id, t.person, coalesce(c.cluster, t.id) AS cluster FROM truth AS t LEFT JOIN clusters AS c USING (id)),
  cells AS (SELECT person, cluster, count(*)::numeric AS n FROM joined GROUP BY 1, 2),
  people AS (SELECT person, count(*)::numeric AS n FROM joined GROUP BY 1),
  groups AS (SELECT cluster, count(*)::numeric AS n FROM joined GROUP BY 1),
  counts AS (SELECT (SELECT sum(n * (n - 1) / 2) FROM cells) AS hits, (SELECT sum(n * (n - 1) / 2) FROM people) AS wanted,
                    (SELECT nullif(sum(n * (n - 1) / 2), 0) FROM groups) AS said,
                    (SELECT sum(c.n * c.n / g.n) / sum(c.n) FROM cells AS c JOIN groups AS g USING (cluster)) AS bp,
                    (SELECT sum(c.n * c.n / p.n) / sum(c.n) FROM cells AS c JOIN people AS p USING (person)) AS br,
                    (SELECT max(n) FROM groups) AS largest)
  SELECT round(hits / said, 4), round(hits / wanted, 4), round(2 * hits / (said + wanted), 4), round(2 * bp * br / (bp + br), 4), largest::bigint FROM counts
$$;

-- Seconds of the processor that this backend has used so far, of all its threads.
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql AS $$
  SELECT (x[12]::float8 + x[13]::float8) / 100 FROM (SELECT string_to_array(substr(s, strpos(s, ') ') + 2), ' ') AS x FROM pg_read_file('/proc/self/stat') AS s) AS f
$$;
