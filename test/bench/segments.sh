# What segments cost: ten and a hundred rules judged for everybody, and kept while events come in, beside hand-written
# SQL over a wide typed table and its materialised views. Sourced by scripts/bench.
PEOPLE=${1:-100000}
MESSAGES=${2:-$((PEOPLE * 20))}
RUNS=${RUNS:-5}
AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"
bench() { psql -d bench -At "$@"; }
median() { sort -g | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
row() { printf '%-66s %12s %10s\n' "$@"; }
timed() { # timed FILE COMMAND…: adds how long it took
  local file=$1
  shift
  seconds "$@" >>"$file"
}

say "generating $MESSAGES messages of $PEOPLE people"
mkdir -p "$WORK/data"
"$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --end "$(date -u +%F)" --out "$WORK/data" >/dev/null
for name in bench rules; do
  psql -d postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS $name" -c "CREATE DATABASE $name"
  psql -d "$name" -c "CREATE EXTENSION cdp"
done
bench -c "\copy cdp.inbox (message) FROM '$WORK/data/events.ndjson' $AS_TEXT"
row "drain of the inbox without segments, s" "$(seconds bench -c "CALL cdp.run()")" ""
bench -f "$ROOT/test/bench/segments_wide.sql"
psql -d rules -f "$ROOT/test/bench/segments_rules.sql"

# put RULES: compiled in an empty database, and moved: each would otherwise be judged for everybody by itself.
put() {
  psql -d rules -c "TRUNCATE cdp.segments, cdp_internal.timeline_inputs CASCADE" \
    -c "SELECT count(cdp.create_segment(name, rule, per)) FROM $1" >/dev/null
  psql -d rules -c "\copy cdp.segments TO '$WORK/segments.copy'" -c "\copy cdp_internal.timeline_inputs TO '$WORK/inputs.copy'"
  bench -c "DELETE FROM cdp.segments" -c "DELETE FROM cdp_internal.timeline_inputs" -c "TRUNCATE cdp.memberships, cdp_internal.timelines" \
    -c "\copy cdp.segments FROM '$WORK/segments.copy'" -c "\copy cdp_internal.timeline_inputs FROM '$WORK/inputs.copy'"
  row "$1: timelines made, all judged for the first time, s" "$(seconds bench -c "SELECT cdp.refresh_segments()")" ""
  bench -c "CALL cdp.run()" -c "VACUUM ANALYZE cdp.memberships, cdp_internal.timelines"
}

put ten
now=$(bench -c "SELECT quote_literal(now()) || '::timestamptz'")
for ((run = 0; run < RUNS; run++)); do
  timed "$WORK/ten_cdp" bench -c "SELECT cdp.refresh_segments()"
  timed "$WORK/ten_sql" bench -v now="$now" -f "$ROOT/test/bench/segments_ten.sql"
done
ten=$(median <"$WORK/ten_cdp") sql=$(median <"$WORK/ten_sql")

put hundred
echo "of 100 rules: $(psql -d rules -At -c "SELECT format('%s are sequences, gap windows or lifecycle; %s of class interval; %s memberships',
  (SELECT count(*) FROM hundred WHERE kind IN ('sequence', 'gap', 'lifecycle')), (SELECT count(*) FROM cdp.segments WHERE class = 'interval'), '$(
  bench -c "SELECT count(*) FROM cdp.memberships")')")"
for ((run = 0; run < RUNS; run++)); do
  timed "$WORK/hundred_cdp" bench -c "SELECT cdp.refresh_segments()"
done
hundred=$(median <"$WORK/hundred_cdp")

psql -d rules -At -F'|' -c "SELECT name, regexp_replace(rule, '\s+', ' ', 'g'), per FROM hundred" |
  python3 "$ROOT/test/bench/segments_views.py" | bench
bench -c "SELECT format('REFRESH MATERIALIZED VIEW %I;', matviewname) FROM pg_matviews WHERE matviewname LIKE 'mv_r%'" >"$WORK/refresh.sql"
for ((run = 0; run < (RUNS + 1) / 2; run++)); do
  timed "$WORK/views" bench -f "$WORK/refresh.sql"
done
# One session, as the worker is: its first batch compiles, and does not count.
for ((run = 0; run <= RUNS; run++)); do
  python3 "$ROOT/test/bench/segments_new.py" "$WORK/data/events.ndjson" "$run" 1000 >"$WORK/new$run.ndjson"
done
{
  for ((run = 0; run <= RUNS; run++)); do
    echo "\\copy cdp.inbox (message) FROM '$WORK/new$run.ndjson' $AS_TEXT"
    echo "SELECT clock_timestamp() AS started \\gset"
    echo "SELECT cdp_internal.drain_inbox(1000) > 0 AS some \\gset"
    echo "SELECT extract(epoch FROM clock_timestamp() - :'started');"
  done
} | bench -v ON_ERROR_STOP=1 | tail -n "$RUNS" >"$WORK/new_cdp"
views=$(median <"$WORK/views") new=$(median <"$WORK/new_cdp")

row "" seconds ratio
row "ten hand-written queries over the wide table" "$sql" 1
row "ten segments, everybody judged" "$ten" "$(ratio "$ten" "$sql")"
row "a hundred segments, everybody judged; to ten" "$hundred" "$(ratio "$hundred" "$ten")"
row "refresh of 100 materialised views" "$views" 1
row "1,000 new events ingested, with all that they change" "$new" "1/$(ratio "$views" "$new")"
bench -c "SELECT count(*) || ' differences found by cdp.verify()' FROM cdp.verify() WHERE room = 'segment'"
