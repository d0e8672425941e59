# scripts/bench dedupe [MILLIONS…]: what a message costs when 1, 10 (and 50) million are known already; default "1 10".
# The same lines go through the inbox of a database for each size, new and then again, in one process as the worker is one; only the
# number of keys differs. They are of messages that went long ago: what their hashes would be. The sizes take turns, so that a machine
# that is slower for a while is so for all of them; medians. They begin a million messages after a checkpoint, which follow each other
# at least so far apart; just after one, each page that is touched is written to the log whole, and a key touches one: that is a column
# of its own. 50 million take a quarter of an hour.
sizes=("${@:-1 10}")
read -r -a sizes <<<"${sizes[*]}"
batch=${BATCH:-40000} rounds=${ROUNDS:-9}
"$WORK/cdpgen" --people 50000 --events $((batch * (rounds + 2))) --seed 7 --out "$WORK/data" >/dev/null
split -a 3 -d -l "$batch" "$WORK/data/events.ndjson" "$WORK/data/round." # the first one brings most of the people, and does not count
chmod -R a+rX "$WORK/data"

# In batches, each in the order of its keys, as the inbox is drained: the index grows, and is as full and as scattered as it would be.
fill() { # DATABASE MILLIONS
  local million
  psql -d postgres -c "CREATE DATABASE $1"
  psql -d "$1" -c 'CREATE EXTENSION cdp'
  for ((million = 0; million < $2; million++)); do
    psql -d "$1" -c "SET work_mem = '256MB'" -c "INSERT INTO cdp.message_keys SELECT 1, substr(h, 1, 32)::uuid AS key, substr(h, 33, 32)::uuid
           FROM (SELECT encode(sha256(int8send(i)), 'hex') AS h, i / 50000 AS batch FROM generate_series($million * 1000000 + 1, ($million + 1) * 1000000) AS i) AS x ORDER BY batch, key"
  done
  psql -d "$1" -c 'VACUUM (ANALYZE) cdp.message_keys'
}
keys() { # NUMBER: what the pipeline does for the keys of so many new messages, alone
  echo "INSERT INTO cdp.message_keys (source_id, message_key, content_hash)
    SELECT 1, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1) ON CONFLICT DO NOTHING;"
}
timed() { printf '%s\n' "\\echo $1" '\timing on' "$2" '\timing off'; }
drain() { # NAME ROUND
  echo "\\copy cdp.inbox (message) FROM '$WORK/data/round.$(printf %03d "$2")' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
  timed "$1" 'CALL cdp.run();'
}
# One session a size; it prints what each step took, in ms.
declare -A input session
begin() { # SIZE
  mkfifo "$WORK/input.$1"
  "$BIN/psql" -X -q -At -v ON_ERROR_STOP=1 -h "$WORK/server" -U postgres -d "dedupe_$1" -f "$WORK/input.$1" >"$WORK/timings.$1" &
  session[$1]=$!
  exec {input[$1]}>"$WORK/input.$1"
}
tell() { # SIZE: what stdin says, until it is done
  rm -f "$WORK/done"
  { cat && echo "\\! touch $WORK/done"; } >&"${input[$1]}"
  until [ -e "$WORK/done" ]; do
    kill -0 "${session[$1]}" || exit 1
    sleep 0.05
  done
}
million_more() { for ((i = 0; i < 20; i++)); do keys 50000; done; }
next_round() { # NUMBER
  drain new "$1"
  drain again "$1"
  timed keys "$(keys "$batch")"
}
# what SIZE NAME: the median of its rounds, in microseconds a message.
what() {
  awk -v name="$2" -v batch="$batch" '/^Time/ { if (is_it) print $2 * 1000 / batch; is_it = 0; next } NF { is_it = $1 == name }' "$WORK/timings.$1" |
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

for size in "${sizes[@]}"; do fill "dedupe_$size" $((size - 1)); done # the last million is new
for size in "${sizes[@]}"; do begin "$size" && drain first 0 | tell "$size"; done
psql -d postgres -c CHECKPOINT
for size in "${sizes[@]}"; do drain checkpoint 1 | tell "$size"; done
for size in "${sizes[@]}"; do million_more | tell "$size"; done
for ((round = 2; round < rounds + 2; round++)); do
  for size in "${sizes[@]}"; do next_round "$round" | tell "$size"; done
done
for size in "${sizes[@]}"; do
  echo '\q' >&"${input[$size]}"
  wait "${session[$size]}"
done

printf '%12s %10s %14s %26s %15s %10s\n' 'keys known' 'new, us' 'repeated, us' 'just after a checkpoint' 'key alone, us' 'table, MB'
first='' ratio=0
for size in "${sizes[@]}"; do
  n=$(what "$size" new) a=$(what "$size" again) c=$(what "$size" checkpoint) k=$(what "$size" keys)
  printf '%12s %10.1f %14.1f %26.1f %15.1f %10s\n' "$size M" "$n" "$a" "$c" "$k" "$(psql -d "dedupe_$size" -At -c "SELECT pg_total_relation_size('cdp.message_keys') / 1048576")"
  first=${first:-"$n $a $c $k"}
  read -r n0 a0 c0 k0 <<<"$first"
  ratio=$(echo "$n $n0 $a $a0 $ratio" | awk '{ x = $1 / $2; y = $3 / $4; m = x > y ? x : y; print (m > $5 ? m : $5) }')
  others=$(echo "$c $c0 $k $k0" | awk '{ printf "%.2f; the INSERT of a key by itself: %.2f", $1 / $2, $3 / $4 }')
done
printf '%s messages of shared/gen, new and again: the dearest against the first: %.2f (bar 1.3); just after a checkpoint: %s\n' $((batch * rounds)) "$ratio" "$others"
