# Matching on public sets with known truth, under one model for all (cdp.people_matcher; the columns' names alone differ),
# trained without labels: candidate pairs, quality of pairs and clusters, seconds a phase on one core and on all. MATCHING_DATA is the
# folder of the sets, MATCHING_CANCELS how often each statement is cancelled (10). TIMED_BY is a command that runs what is timed, such as one that keeps the machine quiet meanwhile. Sourced by scripts/bench.
DATA=${MATCHING_DATA:-$ROOT/../shared/data}
[ -d "$DATA/febrl3" ] || { say "set MATCHING_DATA to the folder of febrl3, febrl4, splink_fake_1000 and splink_historical_50k"; exit 2; }
install_packages python3-psycopg2
psql -d postgres -c "CREATE DATABASE bench"
bench() { psql -d bench -At "$@"; }
bench -c "CREATE EXTENSION cdp" -f "$ROOT/test/bench/matching.sql"

# make NAME COLUMNS…, all text; load NAME FILE [COLUMNS]
make() {
  local name=$1
  shift
  bench -c "CREATE TABLE $name ($(printf '%s text, ' "$@" | sed 's/, $//'))"
}
load() {
  case $2 in
  *.gz) gzip -dc "$2" ;;
  *) cat "$2" ;;
  esac | bench -c "\copy $1 ${3:-} FROM pstdin WITH (FORMAT csv, HEADER)"
}

FEBRL=(rec_id given_name surname street_number address_1 address_2 suburb postcode state date_of_birth soc_sec_id)
FEBRL_ROLES='{"given_name": "given_name", "family_name": "surname", "date_of_birth": "date_of_birth", "postal_code": "postcode",
  "city": "suburb", "street": "address_1", "street_2": "address_2", "house_number": "street_number", "region": "state", "person_number": "soc_sec_id"}'
make fake_1000 unique_id first_name surname dob city email cluster
load fake_1000 "$DATA/splink_fake_1000/records.csv"
make febrl3 "${FEBRL[@]}"
load febrl3 "$DATA/febrl3/records.csv"
make febrl4 "${FEBRL[@]}" source_dataset
for part in a b; do load febrl4 "$DATA/febrl4/$part.csv" "($(IFS=,; echo "${FEBRL[*]}"))"; bench -c "UPDATE febrl4 SET source_dataset = '$part' WHERE source_dataset IS NULL"; done
make historical_50k unique_id cluster full_name first_and_surname first_name surname dob birth_place postcode_fake gender occupation
load historical_50k "$DATA/splink_historical_50k/records.csv.gz"
bench -c "CREATE TABLE truths (name text, id text, person text)" -c "CREATE TABLE two (id text, person text)"
for name in febrl3:febrl3/truth_clusters.csv febrl4:febrl4/truth_pairs.csv historical_50k:splink_historical_50k/truth_clusters.csv.gz; do
  load two "$DATA/${name#*:}"
  bench -c "INSERT INTO truths SELECT '${name%%:*}', id, person FROM two" -c "TRUNCATE two"
done
bench -c "INSERT INTO truths SELECT 'febrl4', person, person FROM truths WHERE name = 'febrl4'" \
  -c "INSERT INTO truths SELECT 'fake_1000', unique_id, cluster FROM fake_1000" \
  -c "SELECT cdp.create_matcher('fake_1000', cdp.people_matcher('{\"given_name\": \"first_name\", \"family_name\": \"surname\", \"date_of_birth\": \"dob\", \"city\": \"city\", \"email\": \"email\"}'))" \
  -c "SELECT cdp.create_matcher('febrl3', cdp.people_matcher('$FEBRL_ROLES', id_column => 'rec_id'))" \
  -c "SELECT cdp.create_matcher('febrl4', cdp.people_matcher('$FEBRL_ROLES', 'link_only', 'rec_id'))" \
  -c "SELECT cdp.create_matcher('historical_50k', cdp.people_matcher('{\"given_name\": \"first_name\", \"family_name\": \"surname\", \"date_of_birth\": \"dob\", \"postal_code\": \"postcode_fake\", \"city\": \"birth_place\", \"occupation\": \"occupation\", \"gender\": \"gender\"}'))" >/dev/null

printf '%-15s %9s  %-30s %-30s\n' set pairs 'pairs: best F1 (P, R, at)' 'pairs at 0.95: F1 (P, R)'
SETS=(fake_1000 febrl3 febrl4 historical_50k)
# scripts/bench matching RECORDS: also so many made by test/bench/people.py.
if [ "${1:-0}" -gt 0 ]; then
  make people id person first_name last_name dob postcode city phone email
  python3 "$ROOT/test/bench/people.py" "$1" | bench -c "\copy people FROM pstdin WITH (FORMAT csv, HEADER)"
  bench -c "INSERT INTO truths SELECT 'people', id, person FROM people" -c "SELECT cdp.create_matcher('people', cdp.people_matcher('{\"given_name\": \"first_name\", \"family_name\": \"last_name\", \"date_of_birth\": \"dob\", \"postal_code\": \"postcode\", \"city\": \"city\", \"phone\": \"phone\", \"email\": \"email\"}', id_column => 'id'))" >/dev/null
  SETS+=(people)
fi
for name in "${SETS[@]}"; do
  bench -c "SELECT * FROM cdp.train_matcher('$name', '$name')" >/dev/null
  bench -c "TRUNCATE truth, pairs" -c "INSERT INTO truth SELECT id, person FROM truths WHERE name = '$name'" -c "ANALYZE truth"
  bench -c "INSERT INTO pairs SELECT * FROM cdp.score_pairs('$name', '$name', 0.0000001)" -c "ANALYZE pairs"
  IFS='|' read -r records candidates read keys made scored < <(bench -c "SELECT records, pairs, round(read_s::numeric, 3), round(keys_s::numeric, 3), round(pairs_s::numeric, 3), round(score_s::numeric, 3) FROM cdp_internal.measure_scoring('$name', '$name')")
  printf '%-15s %9s  %-30s %-30s\n' "$name" "$candidates" \
    "$(bench -c "SELECT format('%s (%s, %s, %s)', f1, prec, recall, round(threshold::numeric, 4)) FROM pair_quality(NULL)")" \
    "$(bench -c "SELECT format('%s (%s, %s)', f1, prec, recall) FROM pair_quality(0.95)")"
  for method in 'connected 0.95' 'connected 0.99' 'cohesive 0.5' 'cohesive 0.95'; do
    bench -c "TRUNCATE clusters"
    took=$(seconds bench -c "INSERT INTO clusters SELECT id, cluster_id FROM cdp.cluster_pairs('pairs', ${method#* }, '${method% *}')")
    printf '  %-26s %s, %s s\n' "clusters, $method:" "$(bench -c "SELECT format('F1 %s (%s, %s), B3 %s, largest %s', f1, prec, recall, b3, largest) FROM cluster_quality()")" "$took"
  done
  printf '  %s records; of the processor: reading %s s, keys %s s, pairs %s s, scores %s s (%s million pairs a second)\n' \
    "$records" "$read" "$keys" "$made" "$scored" "$(awk -v n="$candidates" -v s="$scored" 'BEGIN { printf "%.2f", n / s / 1e6 }')"
done

# Seconds a phase, of all sets; nothing else is timed by the clock before.
${TIMED_BY:-} /usr/bin/python3 "$ROOT/test/bench/matching_phases.py" "$WORK/server" bench "${SETS[@]}"

# How soon it stops when it is told to; the pairs are those of the last set above.
if [ "${1:-0}" -gt 0 ]; then /usr/bin/python3 "$ROOT/test/bench/matching_cancel.py" "$WORK/server" bench "${MATCHING_CANCELS:-10}"; fi

# The same records once more, followed: a full run, and then a thousand that come, a thousand that change and a thousand that go, and what
# that costs of the full run. A matcher without frequencies, and with the rules that were chosen, has nothing that a full run would find
# otherwise: what it has in the end must be what it has after another full run.
if [ "${1:-0}" -gt 0 ]; then
  fresh=$((${1} + 1001))
  # timed WHAT MATCHER
  timed() {
    printf '%s\n' 'SELECT cpu() AS before, clock_timestamp() AS at \gset' "SELECT linked + waiting AS found FROM cdp.update_matches('$2') \\gset" \
      "SELECT '  $1: ' || round((cpu() - :before)::numeric, 3) || ' s, ' || round(extract(epoch FROM clock_timestamp() - :'at'::timestamptz), 3) || ' s on the clock, ' || :found || ' pairs';"
  }
  # followed WHAT CHANGE…: each matched by one process, as the worker does.
  followed() {
    local what=$1 change
    shift
    { for change; do printf '%s;\n' "$change"; timed "$what" people; timed "$what, without frequencies" plain; done } | bench -f -
  }
  bench -c "ALTER TABLE people ADD PRIMARY KEY (id)" -c "VACUUM ANALYZE people" -c "SELECT cdp.create_matcher('plain', cdp.export_matcher('people'))" \
    -c "UPDATE cdp.matcher_levels SET tf_column = NULL WHERE matcher = 'plain'" \
    -c "UPDATE cdp.matchers SET pairs_per_record = NULL, total_pairs_per_record = NULL WHERE name = 'plain'" \
    -c "DELETE FROM cdp.matcher_rules WHERE matcher = 'plain' AND purpose = 'blocking' AND rule NOT IN (SELECT rule FROM cdp.blocking_analysis('people', 'people') WHERE used AND purpose = 'blocking')" \
    -c "SELECT cdp.follow_matches(m, 'people') FROM unnest('{people,plain}'::text[]) AS m" >/dev/null
  timed "followed: the full run, with all that is kept" people | bench -f -
  printf '  kept: %s\n' "$(bench -c "SELECT pg_size_pretty(sum(pg_total_relation_size('cdp_internal.' || t))) FROM unnest('{match_records,match_index,match_additions}'::text[]) AS t")"
  timed "without frequencies" plain | bench -f -
  # Half of those that come are about people who are there: a copy of a record with another telephone. The first find nothing in the
  # memory of their process, which is another after each change of another kind.
  came=()
  for seed in 7 8 9; do
    python3 "$ROOT/test/bench/people.py" 1000 $seed | awk -F, -v OFS=, -v from="$fresh" 'NR == 1 { print; next } NR <= 1001 { $1 = from + NR - 2; $2 = "new " $2; print }' >"$WORK/new.$seed.csv"
    fresh=$((fresh + 1000))
    came+=("CREATE TEMP TABLE n$seed (LIKE people); COPY n$seed FROM PROGRAM 'cat $WORK/new.$seed.csv' WITH (FORMAT csv, HEADER); INSERT INTO people SELECT n.id, n.person, p.first_name, p.last_name, p.dob, p.postcode, p.city, n.phone, p.email FROM n$seed AS n JOIN people AS p ON p.id = (n.id::bigint * 37 % 100000 + 1)::text WHERE n.id::bigint % 2 = 0; INSERT INTO people SELECT * FROM n$seed WHERE id::bigint % 2 = 1")
  done
  run() { ${TIMED_BY:-} bash -c "$(declare -f psql bench timed followed); BIN='$BIN' WORK='$WORK'; followed \"\$@\"" "$0" "$@"; }
  run 'a thousand came' "${came[@]}"
  run 'a thousand changed' "UPDATE people SET city = upper(city), phone = NULL WHERE id::bigint BETWEEN 5000 AND 5999" \
    "UPDATE people SET city = upper(city), phone = NULL WHERE id::bigint BETWEEN 6000 AND 6999"
  run 'a thousand went' "DELETE FROM people WHERE id::bigint BETWEEN 8000 AND 8999" "DELETE FROM people WHERE id::bigint BETWEEN 9000 AND 9999"
  run 'one came' "INSERT INTO people SELECT '-1', 'x', first_name, last_name, dob, postcode, city, NULL, email FROM people WHERE id = '77'" \
    "INSERT INTO people SELECT '-2', 'x', first_name, last_name, dob, postcode, city, NULL, email FROM people WHERE id = '78'"
  bench -c "CREATE VIEW state AS SELECT id_l, id_r, match_weight::text, found FROM cdp.matches WHERE matcher = 'plain' AND found <> 'gone' UNION ALL SELECT 'cluster of', id, cluster_id, NULL FROM cdp.match_clusters WHERE matcher = 'plain'" \
    -c "CREATE TABLE followed AS SELECT * FROM state" -c "SELECT FROM cdp.update_matches('plain', rebuild => true)" >/dev/null
  printf '  of %s facts of it (pairs, clusters) a full run finds %s otherwise\n' "$(bench -c "SELECT count(*) FROM followed")" \
    "$(bench -c "SELECT (SELECT count(*) FROM (SELECT * FROM followed EXCEPT ALL SELECT * FROM state) AS a) + (SELECT count(*) FROM (SELECT * FROM state EXCEPT ALL SELECT * FROM followed) AS b)")"
fi
