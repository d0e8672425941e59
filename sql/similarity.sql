-- How alike two names, dates or codes are.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

SELECT a, b, round(cdp.jaro(a, b)::numeric, 3) AS jaro, round(cdp.jaro_winkler(a, b)::numeric, 3) AS jaro_winkler
FROM (VALUES ('SHACKLEFORD', 'SHACKELFORD'), ('DUNNINGHAM', 'CUNNIGHAM'), ('MASSEY', 'MASSIE'), ('JON', 'JAN'), ('', '')) AS v (a, b);
SELECT cdp.levenshtein('kitten', 'sitting'), cdp.levenshtein('kitten', 'sitting', 1) AS at_most_1, cdp.levenshtein('Müller', 'Muller') AS characters;
SELECT cdp.damerau_levenshtein('1980-05-12', '1980-05-21') AS swapped, cdp.damerau_levenshtein('ca', 'abc') AS between, cdp.optimal_alignment('ca', 'abc') AS not_twice;
SELECT cdp.jaccard('night', 'nacht'), cdp.jaccard('night', 'nacht', 2) AS pairs, cdp.qgram_distance('night', 'nacht');
SELECT n, cdp.double_metaphone(n), cdp.cologne_phonetics(n) FROM unnest('{Smith,Schmidt,Meyer,Maier,François,42}'::text[]) AS n;
SELECT cdp.parse_date('1630-08-01'), cdp.parse_date('3 Feb 1999', '%d %b %Y') AS named, cdp.parse_date('1999-02-30') AS no_day,
       cdp.days_between('2024-03-01', '2024-02-28'), cdp.relative_difference(10, 8);

-- What is unknown stays unknown.
SELECT cdp.jaro_winkler(NULL, 'a'), cdp.double_metaphone(NULL), cdp.parse_date('1999-01-01', NULL);

SELECT cdp.levenshtein('a', 'b', -1);
SELECT cdp.jaccard('a', 'b', 0);
SELECT cdp.parse_date('1999', 'year');

-- The same as others say, on names: fuzzystrmatch has the distance and the sounds.
CREATE EXTENSION fuzzystrmatch;
CREATE TABLE names AS SELECT initcap(a || b || c) AS name FROM unnest('{schm,wr,gh,mac,van ,ch,kn,th,x,"",sz,j,r,ps,gn}'::text[]) AS a,
  unnest('{ie,a,ough,augh,e,o,ui,ill,all}'::text[]) AS b, unnest('{dt,cz,tch,ght,mb,sch,witz,ngr,sia,ccio,ge,lla,t,gn,wski,x,eau,ggi}'::text[]) AS c;
SELECT count(*) AS names, count(*) FILTER (WHERE (cdp.double_metaphone(name))[1] IS DISTINCT FROM nullif(dmetaphone(name), '')) AS first_differs,
       count(*) FILTER (WHERE coalesce((cdp.double_metaphone(name))[2], (cdp.double_metaphone(name))[1]) IS DISTINCT FROM nullif(dmetaphone_alt(name), '')) AS second_differs
FROM names;
SELECT count(*) AS pairs, count(*) FILTER (WHERE cdp.levenshtein(a.name, b.name) <> levenshtein(a.name, b.name)) AS differ,
       count(*) FILTER (WHERE cdp.levenshtein(a.name, b.name, 3) <> least(levenshtein(a.name, b.name), 4)) AS limited_differ
FROM names AS a, names AS b WHERE left(md5(a.name), 1) = 'a' AND left(md5(b.name), 1) = 'b';
