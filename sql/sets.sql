-- sets: how many people are in this segment and not in that one, exactly.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
\set SHOW_CONTEXT never

SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$);
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') > 0$$);
SELECT cdp.create_segment('viewed', 'count(*) > 0', per => $$properties ->> 'product_id'$$);
SELECT accepted FROM cdp.ingest((SELECT jsonb_build_object('batch', jsonb_agg(m)) FROM (
  SELECT jsonb_build_object('type', 'identify', 'userId', 'u' || n, 'traits', jsonb_build_object('country', CASE WHEN n <= 6 THEN 'NL' ELSE 'DE' END))
  FROM generate_series(1, 10) AS n
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Order Completed', 'userId', 'u' || n, 'timestamp', '2026-01-01T00:00:00Z', 'messageId', 'o' || n)
  FROM generate_series(4, 8) AS n
  UNION ALL
  SELECT jsonb_build_object('type', 'track', 'event', 'Product Viewed', 'userId', 'u' || n, 'timestamp', '2026-01-01T00:00:00Z',
    'messageId', 'v' || n || p, 'properties', jsonb_build_object('product_id', p)) FROM generate_series(6, 9) AS n, unnest('{p1,p2}'::text[]) AS p) AS a (m)));

-- Bitmaps are made in the background; nobody needs to wait for them.
SELECT cdp.segment_size('dutch - buyers');
CALL cdp.run();
SELECT cdp.segment_size('dutch - buyers');

-- People are counted, not memberships. & binds tighter than | and -, which go from left to right.
SELECT cdp.segment_size('viewed'), (SELECT count(*) FROM cdp.members('viewed')) AS memberships;
SELECT cdp.segment_size('dutch & buyers'), cdp.segment_size('dutch | buyers & viewed'), cdp.segment_size('(dutch | buyers) & viewed'),
       cdp.segment_size('dutch - buyers - viewed'), cdp.segment_size('dutch - (buyers - viewed)');
SELECT * FROM cdp.segment_overlap('{dutch,buyers,viewed}');
SELECT p.traits ->> 'country' AS country, count(*) FROM cdp.segment_set('viewed - buyers') AS who JOIN cdp.profiles AS p ON p.profile_id = who GROUP BY 1;

-- Exact in every snapshot: with what this transaction did and nobody else sees, and without it again.
BEGIN;
SELECT cdp.track('Order Completed', user_id => 'u1') > 0 AS sent;
SELECT cdp.segment_size('buyers');
ROLLBACK;
SELECT cdp.segment_size('buyers');
-- With what was committed and not told, with what was told and not folded, and after that.
SELECT cdp.track('Order Completed', user_id => 'u1') > 0 AS sent;
SELECT cdp.segment_size('buyers');
SELECT cdp_internal.tell_changes() > 0 AS told;
SELECT cdp.segment_size('buyers');
SELECT cdp_internal.fold_sets(1), cdp_internal.fold_sets(1), cdp_internal.fold_sets(1), cdp_internal.fold_sets(1);
SELECT cdp.segment_size('buyers');
-- Time alone changes sets, too: whoever has left is out, told or not.
UPDATE cdp.memberships SET left_at = entered_at + interval '1 microsecond' WHERE segment_id = 2 AND profile_id = cdp.lookup('user_id', 'u4');
SELECT cdp.segment_size('buyers');
SELECT * FROM cdp_internal.verify_sets();

-- What is not an expression, and what is not a segment.
SELECT cdp.segment_size('dutch &');
SELECT cdp.segment_size('dutch buyers');
SELECT cdp.segment_size('(dutch');
SELECT cdp.segment_size('dutch)');
SELECT cdp.segment_size('!dutch');
SELECT cdp.segment_size('');
SELECT cdp.segment_size('dutch - "buyers"');
SELECT cdp.segment_size('dutch - buyer');
SELECT * FROM cdp.segment_overlap('{dutch,buyer}');
SELECT * FROM cdp.segment_overlap(ARRAY['dutch', NULL]);
SELECT cdp.segment_size(repeat('(', 100000) || 'dutch' || repeat(' & dutch)', 100000)) AS deep;

-- Damaged bytes are an error, never another answer; without bitmaps the table is read.
UPDATE cdp_internal.segment_bitmaps SET members = set_byte(members, length(members) - 1, 255 - get_byte(members, length(members) - 1)) WHERE segment_id = 1;
SELECT cdp.segment_size('dutch');
SELECT room, problem, subject FROM cdp_internal.verify_sets();
UPDATE cdp_internal.segment_bitmaps SET members = '\x00' WHERE segment_id = 1;
SELECT cdp.segment_size('dutch & buyers');
SELECT cdp.rebuild_sets('dutch');
SELECT cdp.segment_size('dutch');
CALL cdp.run();
SELECT cdp.segment_size('dutch');
SELECT * FROM cdp_internal.verify_sets();

-- An analyst may; who may not see every row counts what they see.
SET client_min_messages = warning;
CREATE ROLE regress_cdp_counter;
RESET client_min_messages;
SELECT cdp.grant_access('regress_cdp_counter', 'analyst');
SET ROLE regress_cdp_counter;
SELECT cdp.segment_size('dutch & buyers'), (SELECT count(*) FROM cdp.segment_set('dutch & buyers'));
RESET ROLE;
ALTER TABLE cdp.memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY a_few ON cdp.memberships USING (profile_id <= 6);
SET ROLE regress_cdp_counter;
SELECT cdp.segment_size('dutch & buyers');
RESET ROLE;
DROP POLICY a_few ON cdp.memberships;
ALTER TABLE cdp.memberships DISABLE ROW LEVEL SECURITY;

-- A segment that is dropped takes its bitmaps along when the worker, or this, comes by.
SELECT cdp.drop_segment('viewed');
CALL cdp.run();
SELECT count(DISTINCT segment_id) AS segments FROM cdp_internal.segment_bitmaps;
DROP OWNED BY regress_cdp_counter;
DROP ROLE regress_cdp_counter;
