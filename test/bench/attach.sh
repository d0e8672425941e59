# Sourced by scripts/bench attach [rows…]: tables of so many rows (default 100,000 and 1,000,000), attached. What 1,000 changed rows
# cost to follow, which must not depend on the table; and what the user's UPDATE costs with cdp and without, by turns.
sizes=("$@")
[ ${#sizes[@]} -gt 0 ] || sizes=(100000 1000000)

median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'; }
turn=0

# timed DATABASE TIMES STATEMENT…: milliseconds of the last statement each time, the median; \$turn is another number every time.
timed() {
  local database=$1 times=$2 number
  shift 2
  for number in $(seq "$times"); do
    turn=$((turn + 1))
    { printf '%s;\n' "${@:1:$#-1}"; printf '\\timing on\n%s;\n' "${@: -1}"; } | sed "s/TURN/$turn/g" | psql -d "$database" |
      awk '/^Time:/ { time = $2 } END { print time }'
  done | median
}

# Three rounds with cdp and without by turns, so that both meet the same pages, each of several times in one session.
compare() {
  local database=$1 from=$2 to=$3 on off round way
  on=$WORK/on off=$WORK/off
  : >"$on"
  : >"$off"
  for round in 1 2 3; do
    for way in DISABLE ENABLE; do
      {
        echo "ALTER TABLE crm.customers $way TRIGGER USER; VACUUM crm.customers; CHECKPOINT; UPDATE crm.customers SET points = points + 1 WHERE customer_no = $from;"
        echo '\timing on'
        for turn in 1 2 3 4 5; do
          echo "UPDATE crm.customers SET first_name = 'round $round $way $turn ' || customer_no WHERE customer_no BETWEEN $from AND $to;"
        done
      } | psql -d "$database" | awk '/^Time:/ { print $2 }' >>"$([ $way = ENABLE ] && echo "$on" || echo "$off")"
    done
  done
  local with without
  with=$(median <"$on")
  without=$(median <"$off")
  printf 'UPDATE of %s rows of %s: %s ms without cdp, %s ms with it: %s times\n' $((to - from + 1)) "$rows" "$without" "$with" \
    "$(awk "BEGIN { printf \"%.2f\", $with / $without }")"
  # What was not noted while the triggers were off comes with the next change of these rows.
  psql -d "$database" -c 'TRUNCATE cdp_internal.attached_changes'
}

for rows in "${sizes[@]}"; do
  database=attach_$rows
  "$BIN/createdb" -h "$WORK/server" -U postgres "$database"
  psql -d "$database" <<SQL
CREATE EXTENSION cdp;
SELECT cdp.create_identifier_type('crm_id', priority => 80) \g /dev/null
CREATE SCHEMA crm;
CREATE TABLE crm.customers (customer_no integer PRIMARY KEY, email text, first_name text, city text, points integer, changed_at timestamptz DEFAULT now());
INSERT INTO crm.customers SELECT n, 'person' || n || '@example.com', 'name ' || n, 'city ' || n % 1000, 0 FROM generate_series(1, $rows) AS n;
VACUUM ANALYZE crm.customers;
SELECT cdp.create_segment('cities', \$\$traits ->> 'city' = 'city 7'\$\$) \g /dev/null
SELECT cdp.attach_table('crm.customers', 'crm', '{"crm_id": "customer_no", "email": "email"}',
  traits => '{"firstName": "first_name", "city": "city", "points": "points"}') \g /dev/null
SQL
  loaded=$(timed "$database" 1 'CALL cdp.run()')
  psql -d "$database" -c 'VACUUM ANALYZE'
  printf '%s rows attached and read in %s s: %s rows/s\n' "$rows" "$(awk "BEGIN { printf \"%.1f\", $loaded / 1000 }")" \
    "$(awk "BEGIN { printf \"%.0f\", $rows * 1000 / $loaded }")"
  printf '1,000 changed rows of %s followed in %s ms\n' "$rows" "$(timed "$database" 7 \
    "UPDATE crm.customers SET points = points + 1 WHERE customer_no % ($rows / 1000) = TURN % ($rows / 1000)" 'CALL cdp.run()')"
  wrong=$(psql -d "$database" -At -c "SELECT count(*) FROM crm.customers AS c LEFT JOIN cdp.identifiers AS i ON i.type = 'crm_id' AND i.value = c.customer_no::text
    LEFT JOIN cdp.profiles AS p USING (profile_id) WHERE (p.traits ->> 'points')::integer IS DISTINCT FROM c.points")
  printf 'profiles that differ from their rows: %s\n' "$wrong"
  compare "$database" 1001 2000
  [ "$rows" -lt 1000000 ] || compare "$database" 100001 200000
done
