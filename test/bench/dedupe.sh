# scripts/bench dedupe [MILLIONS…]: what the key of a message costs when 1, 10 (and 50) million are known already; default "1 10".
# The keys are of messages that went long ago, so the table is filled with what their hashes would be; then the same number of
# new messages and of repeats goes through the inbox, at each size, three times, and the median counts.
sizes=("${@:-1 10}")
read -r -a sizes <<<"${sizes[*]}"
batch=${BATCH:-20000}
median() { sort -n | sed -n 2p; }
psql -c 'CREATE DATABASE dedupe'
db() { psql -d dedupe "$@"; }
db -c 'CREATE EXTENSION cdp' -c "SELECT cdp.ingest('{\"type\": \"track\", \"event\": \"E\", \"userId\": \"u\", \"messageId\": \"first\"}')" >/dev/null
# fill UP-TO: keys of the form 128 bits of SHA-256, as messages have them, in the order of their coming.
fill() {
  local have
  have=$(db -At -c 'SELECT count(*) FROM cdp.message_keys')
  while [ "$have" -lt "$1" ]; do
    local to=$((have + 1000000 < $1 ? have + 1000000 : $1))
    db -c "INSERT INTO cdp.message_keys SELECT 1, substr(encode(sha256(i::text::bytea), 'hex'), 1, 32)::uuid, substr(encode(sha256(i::text::bytea), 'hex'), 33, 32)::uuid
           FROM generate_series($have, $to - 1) AS i"
    have=$to
  done
  db -c 'VACUUM (ANALYZE) cdp.message_keys' -c 'CHECKPOINT'
}
# messages FROM: a batch of them into the inbox.
messages() {
  db -c "INSERT INTO cdp.inbox (message) SELECT format('{\"type\": \"track\", \"event\": \"E\", \"userId\": \"u%s\", \"messageId\": \"n%s\", \"timestamp\": \"2026-01-01T00:00:00Z\"}', i % 1000, $1 + i)
         FROM generate_series(1, $batch) AS i"
}
drain() { db -c 'CALL cdp.run()'; }
keys() { # what the key alone costs: the statement of the pipeline
  db -c "INSERT INTO cdp.message_keys (source_id, message_key, content_hash) SELECT 1, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $batch) ON CONFLICT DO NOTHING"
}
number=1
messages 0 && drain # what is prepared once is
printf '%12s %14s %14s %14s %12s\n' 'keys known' 'new, s' 'repeats, s' 'keys alone, s' 'table, MB'
first='' ratio=0
for size in "${sizes[@]}"; do
  fill "$((size * 1000000))"
  new='' again='' alone=''
  for _ in 1 2 3; do
    messages "$((number * 1000000))"
    new+="$(seconds drain)"$'\n'
    messages "$((number * 1000000))"
    again+="$(seconds drain)"$'\n'
    alone+="$(seconds keys)"$'\n'
    number=$((number + 1))
  done
  n=$(printf %s "$new" | median) a=$(printf %s "$again" | median) k=$(printf %s "$alone" | median)
  printf '%12s %14s %14s %14s %12s\n' "$size M" "$n" "$a" "$k" "$(db -At -c "SELECT pg_total_relation_size('cdp.message_keys') / 1048576")"
  first=${first:-"$n $a"}
  read -r n0 a0 <<<"$first"
  ratio=$(echo "$n $n0 $a $a0 $ratio" | awk '{ x = $1 / $2; y = $3 / $4; m = x > y ? x : y; print (m > $5 ? m : $5) }')
done
echo "$batch messages a time; the dearest against the first: $ratio (bar 1.3)"
