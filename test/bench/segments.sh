# What segments cost: ten and a hundred rules judged for everybody, and kept while events come in and while time passes,
# beside hand-written SQL over a wide and a narrow table, materialised views and DuckDB. Sourced by scripts/bench.
PEOPLE=${1:-100000}
MESSAGES=${2:-$((PEOPLE * 20))}
RUNS=${RUNS:-5}         # of each way, taking turns; the median counts
BATCHES=${BATCHES:-15} # of 1,000 new events
CHUNK=${CHUNK:-1000000} # messages in the inbox at once
PARTS=${PARTS:-ten,hundred,hour,new,verify}
export BIN WORK AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"
HAND_TUNED="-c work_mem=256MB -c jit=off" # for SQL over the narrow table
bench() { psql -d bench -At "$@"; }
median() { sort -g | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
row() { printf '%-66s %12s %10s\n' "$@"; }
timed() { # timed FILE COMMAND…: adds how long it took
  local file=$1
  shift
  seconds "$@" >>"$file"
}
declare -A made
once() { # once FUNCTION: unless it was called already
  [ -n "${made[$1]:-}" ] || { made[$1]=yes && "$1"; }
}

describe_server() {
  echo "$(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo), PostgreSQL $(bench -c "SHOW server_version")"
  bench -c "SELECT string_agg(format('%s %s', n, current_setting(n)), ', ') FROM unnest('{shared_buffers, effective_cache_size, work_mem,
    maintenance_work_mem, max_wal_size, checkpoint_timeout, random_page_cost, max_parallel_workers_per_gather, jit, fsync,
    synchronous_commit}'::text[]) AS n"
}

# A chunk of lines from stdin, put into the inbox and processed before the next one comes.
load_chunk() {
  bench -c "\copy cdp.inbox (message) FROM pstdin $AS_TEXT" && timed "$WORK/drain" bench -c "CALL cdp.run()" && bench -c "VACUUM cdp.inbox"
}
export -f psql bench seconds timed load_chunk

# keep_samples: copies stdin to stdout, and lines for each batch of new events to a file. Of at most two million lines it
# takes every hundredth, of more as many from all over them.
keep_samples() {
  awk -v step=$((MESSAGES > 2000000 ? MESSAGES / 20000 : 100)) -v batches="$BATCHES" -v file="$WORK/sample" '
    { print; place = (NR - 1) % step } place <= batches { print >(file place) }'
}

# The messages are never stored: 20,000,000 are 14 GB.
load_messages() {
  say "loading $MESSAGES messages of $PEOPLE people"
  mkdir -p "$WORK/data"
  mkfifo "$WORK/data/events.ndjson"
  ln -s /dev/null "$WORK/data/crm.csv"
  ln -s /dev/null "$WORK/data/truth.csv"
  "$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --end "$(date -u +%F)" --out "$WORK/data" >/dev/null &
  keep_samples <"$WORK/data/events.ndjson" | SHELL=/bin/bash split -l "$CHUNK" --filter=load_chunk
  wait $!
  row "drain of the inbox without segments, s" "$(awk '{ s += $1 } END { print s }' "$WORK/drain")" ""
  bench -c "VACUUM ANALYZE"
}

make_wide() { bench -f "$ROOT/test/bench/segments_wide.sql"; }

# put RULES: compiled in an empty database, and moved: each would otherwise be judged for everybody by itself.
put() {
  psql -d rules -c "SET client_min_messages = warning" -c "TRUNCATE cdp.segments, cdp_internal.timeline_inputs CASCADE" \
    -c "SELECT count(cdp.create_segment(name, rule, per)) FROM $1" >/dev/null
  psql -d rules -c "\copy cdp.segments TO '$WORK/segments.copy'" -c "\copy cdp_internal.timeline_inputs TO '$WORK/inputs.copy'"
  bench -c "DELETE FROM cdp.segments" -c "DELETE FROM cdp_internal.timeline_inputs" -c "TRUNCATE cdp.memberships, cdp_internal.timelines" \
    -c "\copy cdp.segments FROM '$WORK/segments.copy'" -c "\copy cdp_internal.timeline_inputs FROM '$WORK/inputs.copy'"
  row "$1: timelines made, all judged for the first time, s" "$(seconds bench -c "SELECT cdp.refresh_segments()")" ""
  bench -c "CALL cdp.run()" -c "VACUUM ANALYZE cdp.memberships, cdp_internal.timelines"
}

put_hundred() {
  put hundred
  echo "of 100 rules: $(psql -d rules -At -c "SELECT format('%s are sequences, gap windows or lifecycle; %s of class interval; %s memberships',
    (SELECT count(*) FROM hundred WHERE kind IN ('sequence', 'gap', 'lifecycle')), (SELECT count(*) FROM cdp.segments WHERE class = 'interval'), '$(
    bench -c "SELECT count(*) FROM cdp.memberships")')")"
}

# Asked about one instant, that of a transaction: everybody's answers in a file each, and the instant in microseconds.
ask_everybody() {
  bench >"$WORK/instant" <<SQL
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT (extract(epoch FROM now()) * 1000000)::bigint AS now \gset
\echo :now
\o $WORK/answers_cdp
SELECT count(DISTINCT m.profile_id) FROM cdp.segments AS s LEFT JOIN cdp.segment_members AS m ON m.segment = s.name GROUP BY s.name ORDER BY s.name;
\o $WORK/answers_narrow
\i $ROOT/test/bench/segments_ten_narrow.sql
\o $WORK/answers_wide
\set now now()
\i $ROOT/test/bench/segments_ten.sql
COMMIT;
SQL
}

install_duckdb() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "DuckDB: not measured, there is no Node.js with npm"
    return 1
  fi
  timeout 300 npm install --silent --no-audit --no-fund --fetch-retries=1 --prefix "$WORK/duckdb" @duckdb/node-api &>"$WORK/npm.log" ||
    { echo "DuckDB: not measured, npm did not install @duckdb/node-api" && return 1; }
}

# ask_duckdb SECONDS: prints a row for one thread and one for as many as there are cores, beside SECONDS; leaves the answers.
ask_duckdb() {
  local threads took
  bench -c "\copy ne TO '$WORK/ne.csv' (FORMAT csv)" -c "\copy np TO '$WORK/np.csv' (FORMAT csv)"
  for threads in 1 "$(nproc)"; do
    NODE_PATH="$WORK/duckdb/node_modules" node "$ROOT/test/bench/segments_duckdb.js" "$WORK" "$ROOT/test/bench/segments_ten_narrow.sql" \
      "$(cat "$WORK/instant")" "$RUNS" "$threads" >"$WORK/duckdb$threads"
    sed -n 3p "$WORK/duckdb$threads" | tr ' ' '\n' >"$WORK/answers_duckdb"
    took=$(sed -n 2p "$WORK/duckdb$threads" | tr ' ' '\n' | median)
    row "the same ten in DuckDB $(head -n 1 "$WORK/duckdb$threads")" "$(printf '%.3f' "$took")" "$(ratio "$took" "$1")"
  done
  rm "$WORK"/n[ep].csv
}

compare_answers() {
  local ways=(cdp wide narrow)
  [ ! -e "$WORK/answers_duckdb" ] || ways+=(duckdb)
  echo "members of the ten: $(tr '\n' ' ' <"$WORK/answers_cdp")"
  echo "differences between their counts by ${ways[*]}: $(paste "${ways[@]/#/$WORK/answers_}" |
    awk '{ for (way = 2; way <= NF; way++) if ($way != $1) { n++; seen = seen sprintf("; s%02d: %s", NR, $0) } } NF < '${#ways[@]}' { n++ }
         END { print n + 0 (NR == 10 ? "" : " in " NR " lines instead of 10") seen }')"
}

part_ten() {
  local run now sql narrow
  once make_wide
  bench -f "$ROOT/test/bench/segments_narrow.sql"
  put ten
  now=$(bench -c "SELECT quote_literal(now()) || '::timestamptz'")
  for ((run = 0; run < RUNS; run++)); do
    timed "$WORK/ten_cdp" bench -c "SELECT cdp.refresh_segments()"
    timed "$WORK/ten_sql" bench -v now="$now" -f "$ROOT/test/bench/segments_ten.sql"
    PGOPTIONS=$HAND_TUNED timed "$WORK/ten_narrow" bench -v now="$(date +%s%6N)" -f "$ROOT/test/bench/segments_ten_narrow.sql"
  done
  ask_everybody
  ten=$(median <"$WORK/ten_cdp") sql=$(median <"$WORK/ten_sql") narrow=$(median <"$WORK/ten_narrow")
  row "" seconds ratio
  row "ten hand-written queries over the wide table" "$sql" 1
  row "the same ten over a narrow table of integers" "$narrow" "$(ratio "$narrow" "$sql")"
  ! install_duckdb || ask_duckdb "$sql"
  row "ten segments, everybody judged" "$ten" "$(ratio "$ten" "$sql")"
  compare_answers
}

part_hundred() {
  local run hundred
  once put_hundred
  for ((run = 0; run < RUNS; run++)); do
    timed "$WORK/hundred_cdp" bench -c "SELECT cdp.refresh_segments()"
  done
  hundred=$(median <"$WORK/hundred_cdp")
  row "a hundred segments, everybody judged; to ten" "$hundred" "${ten:+$(ratio "$hundred" "$ten")}"
}

# With everything told: what the worker does when it is later by itself, each time rolled back. The first does not count.
part_hour() {
  local passing run
  once put_hundred
  bench -c "CALL cdp.run()" -c "VACUUM ANALYZE"
  {
    cat "$ROOT/test/bench/segments_hour.sql"
    echo "BEGIN; SELECT FROM pg_temp.pass('1 microsecond'), pg_temp.end_day(); ROLLBACK;"
    for ((run = 0; run < RUNS; run++)); do
      for passing in '1 microsecond' '1 minute' '1 hour' '1 day'; do
        echo "BEGIN; SELECT '$passing', p.* FROM pg_temp.pass('$passing') AS p; ROLLBACK;"
        echo "VACUUM cdp.membership_changes, cdp_internal.membership_touches, cdp_internal.segment_bitmaps, cdp_internal.segment_sets;"
      done
      echo "BEGIN; SELECT 'day', d.* FROM pg_temp.end_day() AS d; ROLLBACK;"
    done
  } | PGOPTIONS="-c jit=off" bench | grep . >"$WORK/hour" # the worker does not compile queries either
  row "" seconds "us each"
  for passing in '1 microsecond' '1 minute' '1 hour' '1 day'; do
    hour_row "$passing passes without events: %s changes told" "$passing" 3
  done
  hour_row "1 hour: sets of people folded after that" "1 hour" 4
  hour_row "1 hour: refreshes and builds that are due by then" "1 hour" 5
  hour_row "a day ends: %s days of segments counted" day 3
}

# hour_row TEXT NAME COLUMN: the median of a column of the lines of that name; their second column is how many.
hour_row() {
  local took number
  took=$(awk -F'|' -v name="$2" -v column="$3" '$1 == name { print $column }' "$WORK/hour" | median)
  number=$(awk -F'|' -v name="$2" '$1 == name { print $2; exit }' "$WORK/hour")
  [[ $1 == *%s* ]] || number=0
  # shellcheck disable=SC2059
  row "$(printf "$1" "$number")" "$(printf '%.4f' "$took")" "$([ "$number" = 0 ] || awk -v a="$took" -v b="$number" 'BEGIN { printf "%.1f", a / b * 1e6 }')"
}

# add_events FIRST: batches of other events each, in one session, as the worker is: its first batch compiles, and does not count.
add_events() {
  local run
  for ((run = 0; run <= BATCHES; run++)); do
    python3 "$ROOT/test/bench/segments_new.py" "$WORK/sample$run" $(($1 + run)) 1000 >"$WORK/new$run.ndjson"
  done
  for ((run = 0; run <= BATCHES; run++)); do
    echo "\\copy cdp.inbox (message) FROM '$WORK/new$run.ndjson' $AS_TEXT"
    echo "SELECT clock_timestamp() AS started \\gset"
    echo "SELECT cdp_internal.drain_inbox(1000) > 0 AS some \\gset"
    echo "SELECT extract(epoch FROM clock_timestamp() - :'started');"
  done | bench -v ON_ERROR_STOP=1 | tail -n "$BATCHES"
}

# What a server that has done this work for a while has in memory: not what has just been written for everybody.
warm() { # warm RELATION…
  bench -c "CREATE EXTENSION IF NOT EXISTS pg_prewarm" -c "SELECT sum(pg_prewarm(r)) FROM unnest('{$(IFS=, && echo "$*")}'::regclass[]) AS r"
}
warm_cdp() { # into empty memory: what is read into full memory drives itself out again
  as_server_user "$BIN/pg_ctl" -D "$WORK/server/data" -l "$WORK/server/log" -m fast -w -s restart
  warm $(bench -c "SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ '^cdp_months[.]events_.*_owner'") \
    cdp.message_keys_pkey cdp_internal.timelines{,_pkey} cdp.identifiers{,_pkey,_profile,_type_value_key} \
    cdp.profiles{,_pkey} cdp.memberships{,_person,_present,_entered}
}
warm_views() { warm $(bench -c "SELECT 'dw' UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'dw'::regclass"); }

part_new() {
  local run views new restarted cold
  once make_wide
  once put_hundred
  add_events 100 >"$WORK/cold_cdp"
  warm_cdp
  add_events 200 >"$WORK/restarted_cdp"
  add_events 300 >"$WORK/new_cdp"
  psql -d rules -At -F'|' -c "SELECT name, regexp_replace(rule, '\s+', ' ', 'g'), per FROM hundred" |
    python3 "$ROOT/test/bench/segments_views.py" | bench
  bench -c "SELECT format('REFRESH MATERIALIZED VIEW %I;', matviewname) FROM pg_matviews WHERE matviewname LIKE 'mv_r%'" >"$WORK/refresh.sql"
  warm_views
  for ((run = 0; run < (RUNS + 1) / 2; run++)); do
    timed "$WORK/views" bench -f "$WORK/refresh.sql"
  done
  views=$(median <"$WORK/views") new=$(median <"$WORK/new_cdp") restarted=$(median <"$WORK/restarted_cdp") cold=$(median <"$WORK/cold_cdp")
  row "" seconds ratio
  row "refresh of 100 materialised views" "$views" 1
  row "$(wc -l <"$WORK/new1.ndjson") new events ingested, with all that they change" "$new" "1/$(ratio "$views" "$new")"
  row "the same just after a checkpoint, when each page is logged whole" "$restarted" "1/$(ratio "$views" "$restarted")"
  row "the same just after everybody was judged, little of it in memory" "$cold" "1/$(ratio "$views" "$cold")"
}

part_verify() {
  bench -c "SELECT count(*) || ' differences found by cdp.verify()' FROM cdp.verify() WHERE room = 'segment'"
}

for name in bench rules; do
  psql -d postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS $name" -c "CREATE DATABASE $name"
  psql -d "$name" -c "CREATE EXTENSION cdp"
done
psql -d rules -f "$ROOT/test/bench/segments_rules.sql"
describe_server
load_messages
ten=
for part in ten hundred hour new verify; do
  [[ ,$PARTS, != *,$part,* ]] || "part_$part"
done
row "size of the database, GB" "$(bench -c "SELECT round(pg_database_size('bench') / 1e9, 2)")" ""
