# Messages from the inbox to fully processed, beside COPY and INSERT of the same; by several processes; single calls; how both scale; memory; where the
# time goes. Sourced by scripts/bench: scripts/bench collect [people [messages]].
PEOPLE=${1:-100000}
MESSAGES=${2:-2000000}
SINGLE=${SINGLE:-$((MESSAGES / 200 < 20000 ? MESSAGES / 200 : 20000))} # one a call, for each connection
CONNECTIONS=${CONNECTIONS:-"1 2 4"}
WORKERS=${WORKERS:-"1 $(nproc)"}

say "generating $MESSAGES messages of $PEOPLE people"
"$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --out "$WORK/data" --csv >/dev/null
chmod -R a+rX "$WORK/data"
AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"
LINES=$WORK/data/events.ndjson

fresh() {
  psql -d postgres -c "DROP DATABASE IF EXISTS bench" -c "CREATE DATABASE bench"
  psql -d bench -c "CREATE EXTENSION cdp" -c "CHECKPOINT"
}
row() { printf '%-66s %9.0f %8s\n' "$1" "$(awk "BEGIN { print $2 / $3 }")" "$4"; }
share() { awk "BEGIN { printf \"%.3f\", $1 / $2 }"; }

# The most memory of its own that a process ever had, MiB: shared buffers do not count, though nobody else may have touched them.
watch_memory() {
  local most=0 now
  while [ -e "/proc/$1/status" ]; do
    now=$(awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$1/status" 2>/dev/null || echo 0)
    [ "${now:-0}" -le "$most" ] || most=$now
    echo "$most" >"$WORK/memory"
    sleep 0.2
  done
}

# drain NAME: CALL cdp.run() as one process, watched; perf, where there is one, notes where it is.
drain() {
  local start
  rm -f "$WORK/pid" "$WORK/memory"
  start=$(date +%s.%N)
  "$BIN/psql" -X -q -At -h "$WORK/server" -U postgres -d bench -o "$WORK/pid" -c "SELECT pg_backend_pid()" -c '\o' -c "CALL cdp.run()" &
  local call=$!
  while [ ! -s "$WORK/pid" ]; do sleep 0.02; kill -0 $call 2>/dev/null || break; done
  local pid watcher profiler=
  pid=$(cat "$WORK/pid" 2>/dev/null || true)
  watch_memory "$pid" & watcher=$!
  if command -v perf >/dev/null; then
    perf record -q -F 199 -g -p "$pid" -o "$WORK/perf.$1" >/dev/null 2>&1 & profiler=$!
  fi
  wait $call
  ELAPSED=$(awk "BEGIN { print $(date +%s.%N) - $start }")
  MEMORY=$(cat "$WORK/memory" 2>/dev/null || echo '?')
  kill $watcher 2>/dev/null || true
  [ -z "$profiler" ] || wait $profiler 2>/dev/null || true
}

# The newest line goes last. Who looked for any would walk over all that are deleted, on a core that is measured.
until_drained() {
  psql -d bench -c "DO \$\$ BEGIN WHILE EXISTS (SELECT FROM cdp.inbox ORDER BY inbox_id DESC LIMIT 1) LOOP
    COMMIT; PERFORM pg_sleep(0.02); COMMIT; END LOOP; END \$\$" >/dev/null
}

# in_parallel N STATEMENT: N connections at once, each with its number for %; the seconds it took.
in_parallel() {
  local n=$1 i start waiting=()
  start=$(date +%s.%N)
  for ((i = 0; i < n; i++)); do psql -d bench -c "${2//%/$i}" >/dev/null & waiting+=($!); done
  for i in "${waiting[@]}"; do wait "$i"; done
  ELAPSED=$(awk "BEGIN { print $(date +%s.%N) - $start }")
}

median() { sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# Before, between and after what is held against it: a machine may be slower for a while.
copy_jsonb() {
  psql -d plain -c "DROP TABLE IF EXISTS plain_jsonb" -c "CREATE TABLE plain_jsonb (message jsonb)" -c CHECKPOINT
  seconds psql -d plain -c "\copy plain_jsonb FROM '$LINES' $AS_TEXT" >>"$WORK/copies"
}

# A server gets its shared memory from the system page by page, at the first touch: once in its life, and here it would count as ours, since
# COPY into one table goes through few of them again and again.
touch_shared_memory() {
  psql -d plain -c "CREATE UNLOGGED TABLE touched (page text)" -c "ALTER TABLE touched ALTER page SET STORAGE PLAIN" \
    -c "INSERT INTO touched SELECT repeat('x', 8000) FROM generate_series(1, (SELECT setting::int FROM pg_settings WHERE name = 'shared_buffers'))" \
    -c "DROP TABLE touched"
}
psql -d postgres -c "CREATE DATABASE plain"
touch_shared_memory
psql -d plain -c "CREATE TABLE plain_rows (message_id text, type text, event text, anonymous_id text, user_id text, email text, phone text,
  loyalty_id text, ts timestamptz, received_at timestamptz, product_id text, category text, value numeric, currency text,
  country text, campaign text, consent text)" -c "CREATE INDEX ON plain_rows (message_id)" -c "CREATE INDEX ON plain_rows (user_id, ts)"
copy_jsonb
rows=$(seconds psql -d plain -c "\copy plain_rows FROM '$WORK/data/events.csv' WITH (FORMAT csv, HEADER)")
psql -d plain -c "DROP TABLE plain_rows"

declare -A copied drained memory found
for segments in 0 10; do
  fresh
  if [ $segments = 10 ]; then
    psql -d bench -f - <"$ROOT/test/bench/segments_rules.sql" >/dev/null
    psql -d bench -c "SELECT cdp.create_segment(name, rule, per) FROM ten" >/dev/null
  fi
  copied[$segments]=$(seconds psql -d bench -c "\copy cdp.inbox (message) FROM '$LINES' $AS_TEXT")
  drain "$segments"
  drained[$segments]=$ELAPSED memory[$segments]=$MEMORY
  found[$segments]=$(psql -d bench -At -c "SELECT format('  %s events, %s profiles, %s identifiers, %s memberships, %s quarantined', (SELECT count(*) FROM cdp.events),
    (SELECT count(*) FROM cdp.profiles), (SELECT count(*) FROM cdp.identifiers), (SELECT count(*) FROM cdp.memberships),
    (SELECT count(*) FROM cdp.quarantine))")
  copy_jsonb
done
psql -d postgres -c "DROP DATABASE plain"

jsonb=$(median <"$WORK/copies")
printf '%-66s %9s %8s\n' "$MESSAGES messages of $PEOPLE people; one server, one run" "a second" "share"
row "COPY of the lines into one jsonb column; of $(tr '\n' ' ' <"$WORK/copies")s" "$MESSAGES" "$jsonb" 1
row 'COPY of typed rows with two indexes' "$MESSAGES" "$rows" "$(share "$jsonb" "$rows")"
for segments in 0 10; do
  total=$(awk "BEGIN { print ${copied[$segments]} + ${drained[$segments]} }")
  row "inbox to fully processed, $segments segments (${memory[$segments]} MiB of its own)" "$MESSAGES" "${drained[$segments]}" "$(share "$jsonb" "${drained[$segments]}")"
  row "  with the COPY into the inbox" "$MESSAGES" "$total" "$(share "$jsonb" "$total")"
  echo "${found[$segments]}"
done

# By the worker, alone and with others beside it; and INSERT of as many rows by as many connections, 20,000 a transaction: in turns, medians. The
# worker begins when it sees them, at most a hundredth of a second later.
part=$((MESSAGES / 4))
psql -d postgres -c "ALTER SYSTEM SET cdp.worker_naptime = 10" -c "ALTER SYSTEM SET cdp.worker = on"
scale() { # WORKERS
  psql -d postgres -c "ALTER SYSTEM SET cdp.inbox_workers = $1" -c "SELECT pg_reload_conf()" >/dev/null
  fresh
  psql -d bench -c "CREATE TABLE lines (message jsonb, n serial)" -c "\copy lines (message) FROM PROGRAM 'head -n $part $LINES' $AS_TEXT" -c "ANALYZE lines" \
    -c "CREATE TABLE rows (LIKE cdp.event_records)" -c "CREATE UNIQUE INDEX ON rows (event_id)" -c "CREATE INDEX ON rows (identifier_id, occurred_at)"
  in_parallel "$1" "DO \$\$ BEGIN FOR i IN 0 .. ($part - 1) / 20000 / $1 LOOP
    INSERT INTO rows SELECT n, n, 1, 'track', l.message ->> 'event', (l.message ->> 'timestamp')::timestamptz, now(), l.message ->> 'messageId',
      l.message -> 'properties', l.message -> 'context' FROM lines AS l WHERE n > (i * $1 + %) * 20000 AND n <= (i * $1 + % + 1) * 20000; COMMIT; END LOOP; END \$\$"
  echo "$ELAPSED" >>"$WORK/insert.$1"
  psql -d bench -c "DROP TABLE lines, rows" -c "\copy cdp.inbox (message) FROM PROGRAM 'head -n $part $LINES' $AS_TEXT"
  seconds until_drained >>"$WORK/inbox.$1"
}
for ((turn = 0; turn < ${TURNS:-3}; turn++)); do
  for workers in $WORKERS; do scale "$workers"; done
done
for workers in $WORKERS; do
  insert=$(median <"$WORK/insert.$workers") inbox=$(median <"$WORK/inbox.$workers")
  [ "$workers" = 1 ] && insert_alone=$insert inbox_alone=$inbox
  row "INSERT of rows with the same indexes, $workers connections" "$part" "$insert" "x $(share "$insert_alone" "$insert")"
  row "inbox by the worker, $workers processes" "$part" "$inbox" "x $(share "$inbox_alone" "$inbox")"
done
psql -d postgres -c "ALTER SYSTEM SET cdp.worker = off" -c "SELECT pg_reload_conf()" >/dev/null

# Calls: a message a call and a transaction, against an INSERT of one row into a table with the same indexes.
fresh
most=$(echo "$CONNECTIONS" | tr ' ' '\n' | sort -n | tail -1)
psql -d bench -c "CREATE TABLE lines (n serial PRIMARY KEY, message jsonb)" \
  -c "\copy lines (message) FROM PROGRAM 'head -n $((SINGLE * most * 4 + 1000)) $LINES' $AS_TEXT" -c "ANALYZE lines" \
  -c "CREATE TABLE single_row (LIKE cdp.event_records)" -c "CREATE UNIQUE INDEX ON single_row (event_id)" \
  -c "CREATE INDEX ON single_row (identifier_id, occurred_at)"
at=1000
psql -d bench -c "SELECT cdp.ingest((SELECT jsonb_agg(message ORDER BY n) FROM lines WHERE n <= 1000))" >/dev/null
for connections in $CONNECTIONS; do
  each="FOR l IN SELECT n, message FROM lines WHERE n > $at + % * $SINGLE AND n <= $at + (% + 1) * $SINGLE ORDER BY n LOOP"
  in_parallel "$connections" "DO \$\$ DECLARE l record; BEGIN $each
    INSERT INTO single_row VALUES (l.n, l.n, 1, 'track', l.message ->> 'event', (l.message ->> 'timestamp')::timestamptz, now(),
      l.message ->> 'messageId', l.message -> 'properties', l.message -> 'context'); COMMIT; END LOOP; END \$\$"
  insert=$ELAPSED
  in_parallel "$connections" "DO \$\$ DECLARE l record; BEGIN $each PERFORM cdp.ingest(l.message); COMMIT; END LOOP; END \$\$"
  row "single-row INSERTs, a commit each, $connections connections" $((SINGLE * connections)) "$insert" 1
  row "cdp.ingest, a message a call, a commit each, $connections connections" $((SINGLE * connections)) "$ELAPSED" "$(share "$insert" "$ELAPSED")"
  at=$((at + SINGLE * connections))
  psql -d bench -c "TRUNCATE single_row"
done
echo "server: $(nproc) cores, $(psql -d bench -At -c "SELECT count(*) FROM cdp.verify()") rows of cdp.verify()"

for segments in 0 10; do
  [ ! -s "$WORK/perf.$segments" ] || {
    echo "where the time goes, $segments segments (perf, children included, by function):"
    perf report -i "$WORK/perf.$segments" --children --no-call-graph -q --stdio 2>/dev/null -g none --percent-limit 4 | awk 'NF' | head -40
  }
done
