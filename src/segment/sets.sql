-- sets: how many people are in this segment and not in that one, exactly, in milliseconds.

-- Bitmaps of who was told to be in each segment up to a position of the feed: derived, made anew when missing, not dumped.
CREATE TABLE cdp_internal.segment_sets (
  segment_id integer PRIMARY KEY,
  position   bigint NOT NULL
);
COMMENT ON TABLE cdp_internal.segment_sets IS 'Segments that have bitmaps, and the position of the feed they hold for; segment 0: where the feed was last looked through';
CREATE TABLE cdp_internal.segment_bitmaps (
  segment_id integer NOT NULL,
  chunk      bigint NOT NULL,
  position   bigint NOT NULL,
  members    bytea NOT NULL,
  PRIMARY KEY (segment_id, chunk)
);
ALTER TABLE cdp_internal.segment_bitmaps ALTER members SET STORAGE EXTERNAL; -- they do not get smaller
COMMENT ON TABLE cdp_internal.segment_bitmaps IS 'People of a segment, 65,536 ids a row: a checksum and a roaring bitmap of the low bits';

CREATE FUNCTION cdp_internal.change_bitmap(members bytea, added integer[], removed integer[]) RETURNS bytea
  LANGUAGE c IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_change_bitmap';
COMMENT ON FUNCTION cdp_internal.change_bitmap(bytea, integer[], integer[]) IS 'A stored bitmap with members added and removed; null: nobody is left';

CREATE FUNCTION cdp.segment_size(expression text) RETURNS bigint LANGUAGE c STRICT STABLE PARALLEL RESTRICTED
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_segment_size';
COMMENT ON FUNCTION cdp.segment_size(text) IS
  'How many people are now in a combination of segments: names with & (both), | (either), - (not the other) and parentheses. Exact in the snapshot of the query. Errors: 42601 syntax, 42704 unknown segment, XX001 damaged bitmaps';

CREATE FUNCTION cdp.segment_set(expression text) RETURNS SETOF bigint LANGUAGE c STRICT STABLE PARALLEL RESTRICTED
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_segment_set';
COMMENT ON FUNCTION cdp.segment_set(text) IS
  'Who is now in a combination of segments, profile ids in order; see cdp.segment_size';

CREATE FUNCTION cdp_internal.overlap(names text[])
  RETURNS TABLE (segment text, other text, in_both bigint, only_segment bigint, only_other bigint) LANGUAGE c STRICT STABLE PARALLEL RESTRICTED
  SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_segment_overlap';
COMMENT ON FUNCTION cdp_internal.overlap(text[]) IS 'Part of cdp.segment_overlap';

CREATE FUNCTION cdp.segment_overlap(names text[] DEFAULT NULL)
  RETURNS TABLE (segment text, other text, in_both bigint, only_segment bigint, only_other bigint) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM cdp_internal.overlap(coalesce(names, ARRAY(SELECT s.name FROM cdp.segments AS s WHERE s.replaces IS NULL AND s.kind <> 'trait' ORDER BY s.name)))
$$;
COMMENT ON FUNCTION cdp.segment_overlap(text[]) IS
  'Of every two segments, of those named or all: how many people are in both, only in the one, only in the other. Errors: 42704 unknown segment';

-- Who has the last word "entered" for any key, up to a position: everybody of a segment, or those told of since a position.
CREATE FUNCTION cdp_internal.fold_segment(segment_id integer, name text, since bigint, until bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off SET work_mem = '128MB' AS $$
#variable_conflict use_column
BEGIN
  IF since IS NULL THEN
    DELETE FROM cdp_internal.segment_bitmaps AS b WHERE b.segment_id = $1;
    INSERT INTO cdp_internal.segment_bitmaps (segment_id, chunk, position, members)
      SELECT $1, p.profile_id >> 16, $4, cdp_internal.change_bitmap(NULL, array_agg((p.profile_id & 65535)::integer), NULL)
      FROM (SELECT l.profile_id FROM (
              SELECT DISTINCT ON (c.profile_id, c.key) c.profile_id, c.change FROM cdp.membership_changes AS c
              WHERE c.segment = $2 AND c.segment_id = $1 AND c.position <= $4 ORDER BY c.profile_id, c.key, c.position DESC) AS l
            WHERE l.change = 'entered' GROUP BY l.profile_id) AS p
      GROUP BY 2;
  ELSE
    WITH word AS MATERIALIZED (
      SELECT t.profile_id >> 16 AS chunk, (t.profile_id & 65535)::integer AS low, EXISTS (SELECT FROM (
          SELECT DISTINCT ON (c.key) c.change FROM cdp.membership_changes AS c
          WHERE c.profile_id = t.profile_id AND c.segment_id = $1 AND c.position <= $4 ORDER BY c.key, c.position DESC) AS l
        WHERE l.change = 'entered') AS is_in
      FROM (SELECT DISTINCT c.profile_id FROM cdp.membership_changes AS c
            WHERE c.segment = $2 AND c.segment_id = $1 AND c.position > $3 AND c.position <= $4) AS t
    ), made AS (
      SELECT w.chunk, cdp_internal.change_bitmap((SELECT b.members FROM cdp_internal.segment_bitmaps AS b WHERE b.segment_id = $1 AND b.chunk = w.chunk),
               array_agg(w.low) FILTER (WHERE w.is_in), array_agg(w.low) FILTER (WHERE NOT w.is_in)) AS members
      FROM word AS w GROUP BY w.chunk
    ), emptied AS (
      DELETE FROM cdp_internal.segment_bitmaps AS b USING made AS m WHERE b.segment_id = $1 AND b.chunk = m.chunk AND m.members IS NULL
    )
    INSERT INTO cdp_internal.segment_bitmaps (segment_id, chunk, position, members)
      SELECT $1, m.chunk, $4, m.members FROM made AS m WHERE m.members IS NOT NULL
      ON CONFLICT (segment_id, chunk) DO UPDATE SET position = excluded.position, members = excluded.members;
  END IF;
  INSERT INTO cdp_internal.segment_sets AS s (segment_id, position) VALUES ($1, $4)
    ON CONFLICT (segment_id) DO UPDATE SET position = excluded.position;
END $$;
COMMENT ON FUNCTION cdp_internal.fold_segment(integer, text, bigint, bigint) IS 'Part of fold_sets: brings the bitmaps of a segment to a position';

-- One segment a call: one that has none yet and whose feed is not far behind, or one of which much was told since.
CREATE FUNCTION cdp_internal.fold_sets(most_changes integer DEFAULT 500) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  until  bigint := (SELECT f.last_position FROM cdp_internal.feed AS f);
  chosen record;
BEGIN
  IF until IS NULL OR (
       until < (SELECT s.position FROM cdp_internal.segment_sets AS s WHERE s.segment_id = 0) + most_changes
       AND NOT EXISTS (SELECT FROM cdp.segments AS g WHERE NOT EXISTS (SELECT FROM cdp_internal.segment_sets AS s WHERE s.segment_id = g.segment_id)
                       AND EXISTS (SELECT FROM cdp.membership_changes AS c WHERE c.segment = g.name AND c.segment_id = g.segment_id))
       AND NOT EXISTS (SELECT FROM cdp_internal.segment_sets AS s WHERE s.segment_id <> 0
                       AND NOT EXISTS (SELECT FROM cdp.segments AS g WHERE g.segment_id = s.segment_id)))
     OR NOT cdp_internal.try_turn('cdp.membership_changes', 1) THEN
    RETURN 0;
  END IF;
  SELECT g.segment_id, g.name, s.position INTO chosen
    FROM cdp.segments AS g LEFT JOIN cdp_internal.segment_sets AS s USING (segment_id)
    WHERE CASE WHEN s.position IS NULL
      THEN EXISTS (SELECT FROM cdp.membership_changes AS c WHERE c.segment = g.name AND c.segment_id = g.segment_id)
        AND NOT EXISTS (SELECT FROM cdp_internal.membership_touches AS t WHERE t.segment_id = g.segment_id OFFSET 20000)
      ELSE EXISTS (SELECT FROM cdp.membership_changes AS c WHERE c.segment = g.name AND c.position > s.position OFFSET greatest(most_changes - 1, 0)) END
    LIMIT 1;
  IF FOUND THEN
    PERFORM cdp_internal.fold_segment(chosen.segment_id, chosen.name, chosen.position, until);
    RETURN 1;
  END IF;
  DELETE FROM cdp_internal.segment_bitmaps AS b USING cdp_internal.segment_sets AS s
    WHERE s.segment_id = b.segment_id AND NOT EXISTS (SELECT FROM cdp.segments AS g WHERE g.segment_id = s.segment_id);
  DELETE FROM cdp_internal.segment_sets AS s
    WHERE s.segment_id <> 0 AND NOT EXISTS (SELECT FROM cdp.segments AS g WHERE g.segment_id = s.segment_id);
  INSERT INTO cdp_internal.segment_sets AS s (segment_id, position) VALUES (0, until)
    ON CONFLICT (segment_id) DO UPDATE SET position = excluded.position;
  RETURN 0;
END $$;
COMMENT ON FUNCTION cdp_internal.fold_sets(integer) IS
  'Brings the bitmaps of one segment up to date; 0 when all have fewer changes than that since. What is left is counted by cdp.segment_size itself';

CREATE FUNCTION cdp.rebuild_sets(name text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen integer := (SELECT s.segment_id FROM cdp.segments AS s WHERE s.name = $1 AND s.kind <> 'trait');
BEGIN
  IF chosen IS NULL AND $1 IS NOT NULL THEN
    PERFORM cdp_internal.refuse_segment($1);
  END IF;
  PERFORM cdp_internal.take_turn('cdp.membership_changes', 1);
  DELETE FROM cdp_internal.segment_bitmaps AS b WHERE chosen IS NULL OR b.segment_id = chosen;
  DELETE FROM cdp_internal.segment_sets AS s WHERE chosen IS NULL OR s.segment_id = chosen;
END $$;
COMMENT ON FUNCTION cdp.rebuild_sets(text) IS
  'Throws the bitmaps of a segment, or of all, away: the worker, or CALL cdp.run(), makes them anew, and until then people are counted in cdp.memberships. Errors: 42704 unknown segment';

-- Bitmaps with what came since are what the table says.
CREATE FUNCTION cdp_internal.verify_sets()
  RETURNS TABLE (room text, problem text, subject text, stored text, expected text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s record;
BEGIN
  FOR s IN SELECT g.segment_id, g.name FROM cdp.segments AS g JOIN cdp_internal.segment_sets USING (segment_id) WHERE g.kind <> 'trait' ORDER BY g.name LOOP
    BEGIN
      RETURN QUERY
        WITH counted AS MATERIALIZED (SELECT p FROM cdp.segment_set(s.name) AS p),
        kept AS MATERIALIZED (SELECT DISTINCT m.profile_id FROM cdp.memberships AS m
                 WHERE m.segment_id = s.segment_id AND m.entered_at <= now() AND m.left_at > now())
        SELECT 'sets', 'a bitmap is not what is stored', format('segment %s, profile %s', s.name, d.profile_id), d.stored, d.expected
        FROM ((SELECT 'in' AS stored, 'out' AS expected, x.* FROM (TABLE counted EXCEPT TABLE kept) AS x (profile_id))
              UNION ALL
              (SELECT 'out', 'in', x.* FROM (TABLE kept EXCEPT TABLE counted) AS x)) AS d;
    EXCEPTION WHEN data_corrupted THEN
      RETURN QUERY SELECT 'sets', 'a bitmap is damaged', format('segment %s', s.name), SQLERRM, NULL::text;
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION cdp_internal.verify_sets() IS 'Part of cdp.verify()';
