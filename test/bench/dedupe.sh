# scripts/bench dedupe [MILLIONS…]: what a message costs when 1, 10 (and 50) million are known already; default "1 10".
# The same lines go through the inbox of a new database for each size, new and then again, in one process as the worker is one; only
# the number of keys differs. They are of messages that went long ago: what their hashes would be. Medians of the rounds a million
# messages after a checkpoint, which follow each other at least so far apart; just after one, each page that is touched is written to
# the log whole, and a key touches one: that is a column of its own. 50 million take ten minutes.
sizes=("${@:-1 10}")
read -r -a sizes <<<"${sizes[*]}"
batch=${BATCH:-40000} rounds=${ROUNDS:-5}
"$WORK/cdpgen" --people 50000 --events $((batch * (rounds + 2))) --seed 7 --out "$WORK/data" >/dev/null
split -a 1 -d -l "$batch" "$WORK/data/events.ndjson" "$WORK/data/round." # the first one brings most of the people, and does not count
chmod -R a+rX "$WORK/data"

db() { psql -d dedupe "$@"; }
# In batches, each in the order of its keys, as the inbox is drained: the index grows, and is as full and as scattered as it would be.
fill() {
  local million
  psql -d postgres -c 'DROP DATABASE IF EXISTS dedupe' -c 'CREATE DATABASE dedupe' 2>/dev/null
  db -c 'CREATE EXTENSION cdp'
  for ((million = 0; million < $1; million++)); do
    db -c "SET work_mem = '256MB'" -c "INSERT INTO cdp.message_keys SELECT 1, substr(h, 1, 32)::uuid AS key, substr(h, 33, 32)::uuid
           FROM (SELECT encode(sha256(int8send(i)), 'hex') AS h, i / 50000 AS batch FROM generate_series($million * 1000000 + 1, ($million + 1) * 1000000) AS i) AS x ORDER BY batch, key"
  done
  db -c 'VACUUM (ANALYZE) cdp.message_keys'
}
keys() { # NUMBER: what the pipeline does for the keys of so many new messages, alone
  echo "INSERT INTO cdp.message_keys (source_id, message_key, content_hash)
    SELECT 1, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1) ON CONFLICT DO NOTHING;"
}
timed() { printf '%s\n' "\\echo $1" '\timing on' "$2" '\timing off'; }
drain() { # NAME ROUND
  echo "\\copy cdp.inbox (message) FROM '$WORK/data/round.$2' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
  timed "$1" 'CALL cdp.run();'
}
# statements: what one session does; it prints what each step took, in ms.
statements() {
  local round
  drain first 0
  echo 'CHECKPOINT;'
  drain checkpoint 1
  for ((round = 0; round < 20; round++)); do keys 50000; done
  for ((round = 2; round < rounds + 2; round++)); do
    drain new $round
    drain again $round
    timed keys "$(keys "$batch")"
  done
}
# what NAME: the median of its rounds, in microseconds a message.
what() {
  awk -v name="$1" -v batch="$batch" '/^Time/ { if (is_it) print $2 * 1000 / batch; is_it = 0; next } NF { is_it = $1 == name }' "$WORK/timings" |
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

printf '%12s %10s %14s %26s %15s %10s\n' 'keys known' 'new, us' 'repeated, us' 'just after a checkpoint' 'key alone, us' 'table, MB'
first='' ratio=0
for size in "${sizes[@]}"; do
  fill $((size - 1)) # the last million is new
  statements | db -f - >"$WORK/timings"
  n=$(what new) a=$(what again) c=$(what checkpoint) k=$(what keys)
  printf '%12s %10.1f %14.1f %26.1f %15.1f %10s\n' "$size M" "$n" "$a" "$c" "$k" "$(db -At -c "SELECT pg_total_relation_size('cdp.message_keys') / 1048576")"
  first=${first:-"$n $a $c $k"}
  read -r n0 a0 c0 k0 <<<"$first"
  ratio=$(echo "$n $n0 $a $a0 $ratio" | awk '{ x = $1 / $2; y = $3 / $4; m = x > y ? x : y; print (m > $5 ? m : $5) }')
  others=$(echo "$c $c0 $k $k0" | awk '{ printf "%.2f; the INSERT of a key by itself: %.2f", $1 / $2, $3 / $4 }')
done
printf '%s messages of shared/gen, new and again: the dearest against the first: %.2f (bar 1.3); just after a checkpoint: %s\n' $((batch * rounds)) "$ratio" "$others"
