# What it costs to combine segments: cdp.segment_size beside the best SQL on the membership table; and what the change feed
# costs a membership. Sourced by scripts/bench.
PEOPLE=${1:-10000000}
RUNS=${RUNS:-5}
PARTS=${PARTS:-ab}
psql -d postgres -c "DROP DATABASE IF EXISTS bench" -c "CREATE DATABASE bench" 2>/dev/null
psql -d bench -c "CREATE EXTENSION cdp"
bench() { psql -d bench -At "$@"; }
row() { printf '%-66s %12s %10s\n' "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a / b }'; }
segment() {
  bench -c "INSERT INTO cdp.segments (segment_id, name, rule, owner, search_path, datestyle, intervalstyle, compiled)
    VALUES ($1, '$2', 'true', 'postgres', '', '', '', '{}')"
}
# milliseconds SQL…: the best of RUNS in one session, by EXPLAIN-free \timing of the last statement.
milliseconds() {
  local args=() i
  for ((i = 0; i < RUNS; i++)); do args+=(-c "$1"); done
  bench -c '\timing on' "${args[@]}" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -g | head -n 1
}
first() { bench -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'; }

# Three segments, a half, three tenths and a fifth of all people: as many memberships as people.
part_a() {
  say "making $PEOPLE memberships"
  segment 1 a; segment 2 b; segment 3 c
  bench -c "ALTER TABLE cdp.memberships DISABLE TRIGGER USER" -c "
    INSERT INTO cdp.memberships (segment_id, profile_id, entered_at)
    SELECT s, p, '2026-01-01' FROM generate_series(1, $PEOPLE) AS p, LATERAL (VALUES (1, 5), (2, 3), (3, 2)) AS v (s, tenths)
    WHERE abs(hashint8extended(p, s)) % 10 < tenths" -c "ALTER TABLE cdp.memberships ENABLE TRIGGER USER"
  # As if all had been told; telling that many takes minutes.
  bench -c "INSERT INTO cdp.membership_changes (position, profile_id, changed_at, told_at, segment_id, segment, change)
      SELECT row_number() OVER (), profile_id, entered_at, entered_at, segment_id, name, 'entered' FROM cdp.memberships JOIN cdp.segments USING (segment_id)" \
    -c "INSERT INTO cdp_internal.feed SELECT max(position), now() FROM cdp.membership_changes" -c "VACUUM ANALYZE"
  echo "a. $(bench -c "SELECT count(*) FROM cdp.memberships") memberships of $PEOPLE people in three segments; best of $RUNS"
  row "bitmaps of all three made, s" "$(seconds psql -d bench -c "CALL cdp.run()")" ""
  bench -c "VACUUM ANALYZE"
  # Some hundred changes that are told and not folded, and some that are not told.
  bench -c "DELETE FROM cdp.memberships WHERE profile_id % ($PEOPLE / 100) = 0" -c "SELECT cdp_internal.tell_changes()" \
    -c "INSERT INTO cdp.memberships (segment_id, profile_id, entered_at) SELECT 1 + p % 3, $PEOPLE + p, now() FROM generate_series(1, 100) AS p" >/dev/null
  now="entered_at <= now() AND left_at > now()"
  people_in() { echo "SELECT profile_id FROM cdp.memberships WHERE segment_id = $1 AND $now"; }
  exists() { echo "EXISTS (SELECT FROM cdp.memberships AS o WHERE o.profile_id = m.profile_id AND o.segment_id = $1 AND o.$now)"; }
  sql_set="SELECT count(*) FROM ($(people_in 1) INTERSECT $(people_in 2) EXCEPT $(people_in 3)) AS p"
  sql_exists="SELECT count(DISTINCT profile_id) FROM cdp.memberships AS m WHERE segment_id = 1 AND $now AND $(exists 2) AND NOT $(exists 3)"
  sql_smallest="SELECT count(DISTINCT profile_id) FROM cdp.memberships AS m WHERE segment_id = 2 AND $now AND $(exists 1) AND NOT $(exists 3)"
  sql_group="SELECT count(*) FROM (SELECT FROM cdp.memberships WHERE $now AND segment_id IN (1, 2, 3) GROUP BY profile_id
    HAVING bool_or(segment_id = 1) AND bool_or(segment_id = 2) AND NOT bool_or(segment_id = 3)) AS p"
  cdp="SELECT cdp.segment_size('a & b - c')"
  answers=$(for q in "$sql_set" "$sql_exists" "$sql_smallest" "$sql_group" "$cdp"; do bench -c "SET work_mem = '1GB'" -c "$q"; done | sort | uniq -c)
  best=0
  row "a & b - c" ms "to best SQL"
  for way in set exists smallest group; do
    query="sql_$way"
    took=$(PGOPTIONS="-c work_mem=1GB" milliseconds "${!query}")
    eval "took_$way=$took"
    best=$(printf '%s\n' "$took" "$([ "$best" = 0 ] && echo "$took" || echo "$best")" | sort -g | head -n 1)
  done
  row "SQL: INTERSECT, EXCEPT" "$took_set" "$(ratio "$best" "$took_set")"
  row "SQL: EXISTS and NOT EXISTS, from the first" "$took_exists" "$(ratio "$best" "$took_exists")"
  row "SQL: EXISTS and NOT EXISTS, from the smaller" "$took_smallest" "$(ratio "$best" "$took_smallest")"
  row "SQL: GROUP BY profile_id HAVING" "$took_group" "$(ratio "$best" "$took_group")"
  warm=$(milliseconds "$cdp") cold=$(first "$cdp")
  row "cdp.segment_size, first in a session" "$cold" "$(ratio "$best" "$cold")"
  row "cdp.segment_size, again" "$warm" "$(ratio "$best" "$warm")"
  took=$(milliseconds "SELECT * FROM cdp.segment_overlap()" | tail -n 1)
  row "cdp.segment_overlap of the three" "$took" ""
  took=$(milliseconds "SELECT count(*) FROM cdp.segment_set('a & b - c')")
  row "cdp.segment_set, the people themselves" "$took" ""
  row "bitmaps, MB; memberships with their indexes, MB" \
    "$(bench -c "SELECT round(pg_total_relation_size('cdp_internal.segment_bitmaps') / 1e6, 1)")" \
    "$(bench -c "SELECT round(pg_total_relation_size('cdp.memberships') / 1e6)")"
  echo "answers, and how many ways gave them: $answers"
}

# The triggers and the index that the feed needs, and the sequencer: batches of 1,000 memberships, a commit each, taking turns.
part_b() {
  bench -c "TRUNCATE cdp.memberships, cdp.membership_changes, cdp_internal.feed, cdp_internal.membership_touches" -c "
    CREATE PROCEDURE enter(base bigint) LANGUAGE plpgsql AS \$\$ BEGIN
      FOR i IN 1..100 LOOP
        INSERT INTO cdp.memberships (segment_id, profile_id, entered_at, left_at)
          SELECT 1 + g % 3, abs(hashint8extended(base + i * 1000 + g, 0)), now(), now() + interval '7 days' FROM generate_series(1, 1000) AS g;
        COMMIT;
      END LOOP; END \$\$" -c "
    CREATE PROCEDURE move() LANGUAGE plpgsql AS \$\$ DECLARE ids bigint[] := ARRAY(SELECT profile_id FROM cdp.memberships ORDER BY random() LIMIT 100000); BEGIN
      FOR i IN 1..100 LOOP
        UPDATE cdp.memberships AS m SET left_at = left_at + interval '1 minute' FROM unnest(ids[(i - 1) * 1000 + 1 : i * 1000]) AS u (id) WHERE m.profile_id = u.id;
        COMMIT;
      END LOOP; END \$\$"
  for ((run = 0; run < 3; run++)); do
    for with in ENABLE DISABLE; do
      [ $with = ENABLE ] && index="CREATE INDEX memberships_entered ON cdp.memberships (segment_id, entered_at)" || index="DROP INDEX cdp.memberships_entered"
      [ $run$with = 0ENABLE ] && index="SELECT"
      bench -c "TRUNCATE cdp.memberships, cdp_internal.membership_touches" -c "ALTER TABLE cdp.memberships $with TRIGGER USER" -c "$index" >/dev/null
      first "CALL enter($run * 1000000)" >>"$WORK/enter_$with"
      first "CALL move()" >>"$WORK/move_$with"
      [ $with = DISABLE ] || seconds psql -d bench -c "CALL cdp.run()" >>"$WORK/tell"
    done
  done
  least() { sort -g "$1" | head -n 1; }
  each() { awk -v ms="$(least "$WORK/$1")" 'BEGIN { printf "%.1f", ms / 100 }'; }
  echo
  echo "b. 100,000 memberships in batches of 1,000, a commit a batch; best of three, taking turns"
  row "a membership" "with feed µs" "without"
  row "inserted" "$(each enter_ENABLE)" "$(each enter_DISABLE)"
  row "end moved" "$(each move_ENABLE)" "$(each move_DISABLE)"
  row "told, and its bitmaps folded, in the background" "$(awk -v s="$(least "$WORK/tell")" 'BEGIN { printf "%.1f", s * 10 }')" ""
}

for ((part = 0; part < ${#PARTS}; part++)); do "part_${PARTS:part:1}"; done
