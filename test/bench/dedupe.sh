# scripts/bench dedupe [MILLIONS…]: what a message costs when 1, 10 (and 50) million are known already; default "1 10".
# The same lines go through the inbox of a new database for each size, new and then again, in one process as the worker is one; only
# the number of keys differs. They are of messages that went long ago: what their hashes would be. Medians of the rounds, which begin
# with a checkpoint: for a while each page that is touched is written to the log whole. 50 million take ten minutes.
sizes=("${@:-1 10}")
read -r -a sizes <<<"${sizes[*]}"
batch=${BATCH:-40000} rounds=${ROUNDS:-5}
"$WORK/cdpgen" --people 50000 --events $((batch * (rounds + 1))) --seed 7 --out "$WORK/data" >/dev/null
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
# statements: what one session does; it prints what each step took, in ms.
statements() {
  local round again
  for ((round = 0; round <= rounds; round++)); do
    for again in new again; do
      echo "\\copy cdp.inbox (message) FROM '$WORK/data/round.$round' WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
      echo "\\echo $again $round"
      printf '%s\n' '\timing on' 'CALL cdp.run();' '\timing off'
    done
    echo "\\echo keys $round"
    printf '%s\n' '\timing on' "INSERT INTO cdp.message_keys (source_id, message_key, content_hash)
      SELECT 1, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $batch) ON CONFLICT DO NOTHING;" '\timing off'
    [ "$round" -gt 0 ] || echo 'CHECKPOINT;'
  done
}
# what NAME: the median of its rounds, in microseconds a message.
what() {
  awk -v name="$1" -v batch="$batch" '$1 == name { is_it = $2 > 0 } /^Time/ { if (is_it) print $2 * 1000 / batch; is_it = 0 }' "$WORK/timings" |
    sort -n | sed -n "$(((rounds + 1) / 2))p"
}

printf '%12s %14s %14s %14s %12s\n' 'keys known' 'new, us' 'repeated, us' 'key alone, us' 'table, MB'
first='' ratio=0
for size in "${sizes[@]}"; do
  fill $size
  statements | db -f - >"$WORK/timings"
  n=$(what new) a=$(what again) k=$(what keys)
  printf '%12s %14.1f %14.1f %14.1f %12s\n' "$size M" "$n" "$a" "$k" "$(db -At -c "SELECT pg_total_relation_size('cdp.message_keys') / 1048576")"
  first=${first:-"$n $a $k"}
  read -r n0 a0 k0 <<<"$first"
  ratio=$(echo "$n $n0 $a $a0 $ratio" | awk '{ x = $1 / $2; y = $3 / $4; m = x > y ? x : y; print (m > $5 ? m : $5) }')
  last=$(echo "$k $k0" | awk '{ print $1 / $2 }')
done
echo "$((batch * rounds)) messages of shared/gen, new and again: the dearest against the first: $ratio (bar 1.3); the INSERT of a key by itself: $last"
