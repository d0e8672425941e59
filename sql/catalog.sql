-- The house rules, read off the catalog.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;

-- Every public table, view, function and type has a comment.
SELECT p.oid::regprocedure::text AS without_comment FROM pg_proc AS p
WHERE pronamespace = 'cdp'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT c.oid::regclass::text AS without_comment FROM pg_class AS c
WHERE relnamespace = 'cdp'::regnamespace AND relkind IN ('r', 'v', 'p', 'm', 'S') AND obj_description(c.oid, 'pg_class') IS NULL
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'i') ORDER BY 1;

-- Every function pins search_path; a procedure that commits cannot, what takes a rule or a query keeps its caller's for that
-- (create_segment_from has a body that was bound when it was made), and what an aggregate, or a profile view, calls for each
-- row, in C, would pay for it each time.
SELECT p.oid::regprocedure::text AS search_path_not_pinned FROM pg_proc AS p
WHERE pronamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace)
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false) AND prokind <> 'a'
  AND NOT EXISTS (SELECT FROM pg_aggregate AS a, pg_language AS l WHERE p.oid IN (a.aggtransfn, a.aggfinalfn) AND l.oid = p.prolang AND l.lanname = 'c')
  AND p.proname NOT IN ('as_type', 'listed_name_forms')
ORDER BY 1;

-- What PUBLIC can execute: pure functions.
SELECT p.oid::regprocedure::text AS public_can_execute FROM pg_proc AS p
WHERE pronamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace)
  AND has_function_privilege('public', p.oid, 'execute') ORDER BY 1;
SELECT c.oid::regclass::text AS public_can_read FROM pg_class AS c
WHERE relnamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace, 'cdp_segments'::regnamespace, 'cdp_views'::regnamespace)
  AND relkind IN ('r', 'v', 'm') AND has_table_privilege('public', c.oid, 'select, insert, update, delete') ORDER BY 1;

-- Views read with the rights of who reads; progress shows processes, not people, and is granted to admins.
SELECT c.oid::regclass::text AS not_security_invoker FROM pg_class AS c
WHERE relnamespace = 'cdp'::regnamespace AND relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (reloptions), false) ORDER BY 1;

-- pg_dump takes every table and sequence along, but for what a worker notes about itself.
SELECT c.oid::regclass::text AS not_dumped FROM pg_class AS c, pg_extension AS e
WHERE e.extname = 'cdp' AND relnamespace = 'cdp'::regnamespace AND relkind IN ('r', 'S') AND NOT c.oid = ANY (e.extconfig) ORDER BY 1;
