# What it costs to know who is who: all links folded from scratch, links added, and one person of 100,000 identifiers;
# beside the same in plain SQL and in memory. Sourced by scripts/bench.
PEOPLE=${1:-100000}
MESSAGES=${2:-$((PEOPLE * 20))}
RUNS=${RUNS:-$([ "$PEOPLE" -gt 300000 ] && echo 1 || echo 3)} # of each way, taking turns; the median counts
BATCHES=${BATCHES:-50}                                       # of 1,000 messages
MONSTER=${MONSTER:-100000}                                   # identifiers
PARTS=${PARTS:-abc}

g++ -O3 -std=c++20 -I"$ROOT/src" -o "$WORK/identity_links" "$ROOT/test/bench/identity_links.cpp" \
  "$ROOT"/src/core/{identity_fold,junk,text,normalize,normalize_*}.o $(pkg-config --libs icu-i18n icu-uc) -lphonenumber -lsimdjson

# database NAME: an empty one with cdp.
database() {
  psql -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>/dev/null
  psql -d "$1" -c "CREATE EXTENSION cdp" -c "SELECT cdp_internal.make_ready()" >/dev/null
}
bench() { psql -d bench -At "$@"; }
median() { sort -g | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }
row() { printf '%-64s %12s %10s\n' "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# All links, from scratch.
part_a() {
  say "making the links of $MESSAGES messages of $PEOPLE people"
  mkdir -p "$WORK/links"
  mkfifo "$WORK"/links/{events,crm}.csv
  "$WORK/identity_links" make "$WORK/links" <"$WORK/links/events.csv" >"$WORK/links/counts" &
  "$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --out "$WORK/links" --csv --no-json >/dev/null
  wait $!
  rm "$WORK/links/truth.csv"

  database bench
  bench -f "$ROOT/test/bench/identity_sql.sql"
  bench -c "SELECT cdp.create_identifier_type('crm_id')" >/dev/null
  bench -c "\copy cdp.identifiers (identifier_id, profile_id, first_seen_at, type, value) FROM '$WORK/links/identifiers'" \
    -c "\copy cdp.evidence (decision_seq, identifiers, refused, rule, is_explicit, source_id, linked_at, message_id) FROM '$WORK/links/evidence'" \
    -c "\copy cdp.evidence_members (identifier_id, decision_seq) FROM '$WORK/links/members'" \
    -c "CREATE TABLE links AS SELECT DISTINCT least(identifier_id, other_identifier_id) AS a, greatest(identifier_id, other_identifier_id) AS b FROM cdp.links" \
    -c "CREATE TABLE ids AS SELECT identifier_id AS id FROM cdp.identifiers"
  bench -c "VACUUM ANALYZE" -c CHECKPOINT
  bench -c "COPY (SELECT a, b FROM links) TO STDOUT (FORMAT csv)" >"$WORK/links/links.csv"
  LINKS=$(bench -c "SELECT count(*) FROM links")

  for ((run = 0; run < RUNS; run++)); do
    bench -c "SET client_min_messages = warning" -c "DROP TABLE IF EXISTS people_recursion, people_labels, people_cdp, people_memory"
    echo "$(seconds bench -c "CREATE UNLOGGED TABLE people_cdp (identifier_id bigint, profile_id bigint)" -c "SELECT cdp_internal.fold_people('people_cdp')")" >>"$WORK/a_cdp"
    echo "$(seconds bench -c "SET work_mem = '512MB'" -c "SELECT by_recursion()")" >>"$WORK/a_recursion"
    echo "$(seconds bench -c "SET work_mem = '512MB'" -c "SELECT by_labels()")" >>"$WORK/a_labels"
    "$WORK/identity_links" components <"$WORK/links/links.csv" >"$WORK/links/components" 2>>"$WORK/a_memory"
  done
  bench -c "CREATE UNLOGGED TABLE people_memory (id bigint, component bigint)" \
    -c "\copy people_memory FROM '$WORK/links/components' WITH (FORMAT csv)" \
    -c "CREATE TABLE answers AS SELECT c.identifier_id AS id, c.profile_id AS cdp, s.profile_id AS stored, r.component AS recursion, l.component AS labels
        FROM people_cdp AS c JOIN cdp.identifiers AS s USING (identifier_id) JOIN people_recursion AS r ON r.id = c.identifier_id
        JOIN people_labels AS l ON l.id = c.identifier_id"
  differ=$(bench -c "SELECT count(*) FROM answers WHERE (cdp, cdp, cdp) IS DISTINCT FROM (stored, recursion, labels)")
  memory_differs=$(bench -c "SELECT count(*) FROM people_memory AS m JOIN answers AS a USING (id) WHERE m.component <> a.cdp")
  cdp=$(median <"$WORK/a_cdp") recursion=$(median <"$WORK/a_recursion") labels=$(median <"$WORK/a_labels") memory=$(median <"$WORK/a_memory")
  best=$(printf '%s\n' "$recursion" "$labels" | sort -g | head -n 1)

  echo "a. $(cat "$WORK/links/counts"), $LINKS links; median of $RUNS"
  row "from scratch, into a table" seconds "to SQL"
  row "plain SQL: recursive CTE, pruned" "$recursion" "$(ratio "$best" "$recursion")"
  row "plain SQL: smallest label next door, pointer jumping" "$labels" "$(ratio "$best" "$labels")"
  row "cdp: all evidence read, decided under the rules, written" "$cdp" "$(ratio "$best" "$cdp")"
  row "union-find in memory, links in an array" "$memory" "$(ratio "$best" "$memory")"
  echo "identifiers with another answer than cdp: $differ by SQL or as stored, $memory_differs in memory"
}

# Links that are added: a message names a person by one or two identifiers that are known, and a new one.
part_b() {
  database bench
  bench -f "$ROOT/test/bench/identity_sql.sql" -f "$ROOT/test/bench/identity_added.sql" >/dev/null
  psql -d bench >/dev/null -c "CALL prepare($BATCHES, 20000)" -c "CALL cdp.run()" -c "VACUUM ANALYZE" -c CHECKPOINT -c "CALL compare()"
  bench -c "COPY (SELECT string_agg(i.type || ':' || i.identifier_id, ' ' ORDER BY m.place) FROM cdp.evidence AS e
      CROSS JOIN unnest(e.identifiers) WITH ORDINALITY AS m (id, place) JOIN cdp.identifiers AS i ON i.identifier_id = m.id
      GROUP BY e.decision_seq ORDER BY e.decision_seq) TO STDOUT" >"$WORK/sets"
  for ((run = 0; run < 5; run++)); do "$WORK/identity_links" decide <"$WORK/sets" 2>/dev/null; done >"$WORK/b_decide"
  took() { bench -c "SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) * 1000)::numeric, 1) FROM took WHERE way = '$1'"; } # µs a message
  rival=$(took sql) ingest_links=$(took ingest_links) ingest_single=$(took ingest_single) inbox_links=$(took inbox_links) inbox_single=$(took inbox_single)
  less() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a - b }'; }
  echo
  echo "b. $BATCHES batches of 1,000 messages of two or three identifiers, one of them new; a commit a batch; median of batches"
  row "a link added" "µs" "to SQL"
  row "plain SQL: both ids upserted, one UPDATE; of 1.5 pairs" "$rival" 1.00
  row "cdp.ingest, the message and its links" "$ingest_links" "$(ratio "$rival" "$ingest_links")"
  row "cdp.ingest, the message with one known identifier" "$ingest_single" ""
  row "cdp.ingest, what the link adds" "$(less "$ingest_links" "$ingest_single")" "$(ratio "$rival" "$(less "$ingest_links" "$ingest_single")")"
  row "inbox drained, the message and its links" "$inbox_links" "$(ratio "$rival" "$inbox_links")"
  row "inbox drained, the message with one known identifier" "$inbox_single" ""
  row "inbox drained, what the link adds" "$(less "$inbox_links" "$inbox_single")" "$(ratio "$rival" "$(less "$inbox_links" "$inbox_single")")"
  row "of which deciding, in memory" "$(median <"$WORK/b_decide")" ""
  echo "links not made: $(bench -c "SELECT count(*) FROM expected AS e JOIN cdp.identifiers AS a ON a.type = 'user_id' AND a.value = e.user_id LEFT JOIN cdp.identifiers AS b ON b.type = 'anonymous_id' AND b.value = e.anonymous_id WHERE b.profile_id IS DISTINCT FROM a.profile_id")"
}

# One person of many identifiers.
part_c() {
  database bench
  bench -f "$ROOT/test/bench/identity_monster.sql" >/dev/null
  echo
  echo "c. one person of $MONSTER identifiers"
  psql -d bench -At -c "SELECT grow('monster', 1, $((MONSTER / 10)))" -c "SELECT ordinary(2000)" -c "CALL cdp.run()" -c "VACUUM ANALYZE" \
    -c "CALL measure('a tenth of it')" -c "SELECT grow('monster', $((MONSTER / 10 + 1)), $MONSTER)" -c "SELECT guests($((MONSTER / 2)))" \
    -c "SELECT halves($((MONSTER / 2)))" -c "CALL cdp.run()" -c "VACUUM ANALYZE" -c "CALL measure('all of it')" >/dev/null
  row "one more message, a call and a commit each" "median ms" ratio
  bench -F ' | ' -c "SELECT * FROM report()" | while IFS='|' read -r what ms times; do row "${what% }" "${ms// /}" "${times// /}"; done
  row "what" seconds ""
  row "cdp.remove_identifier of one that $((MONSTER / 2)) people share" \
    "$(seconds bench -c "SELECT count(*) FROM cdp.remove_identifier('{\"user_id\": \"guest\"}', reason => 'nobody''s')")" ""
  row "cdp.split_profile of two halves, $((MONSTER / 2)) identifiers each" \
    "$(seconds bench -c "SELECT count(*) FROM cdp.split_profile(cdp.lookup('user_id', 'left'), '{\"email\": \"right@shop.example\"}', reason => 'two people')")" ""
  if [ -n "$(bench -c "SELECT to_regproc('cdp.identity_health')")" ]; then
    row "cdp.identity_health" "$(seconds bench -c "SELECT * FROM cdp.identity_health()")" ""
  fi
  row "cdp.verify" "$(seconds bench -c "CREATE TABLE wrong AS SELECT * FROM cdp.verify()")" ""
  bench -c "SELECT format('%s differences by cdp.verify(); %s people have %s identifiers', (SELECT count(*) FROM wrong), count(DISTINCT profile_id), count(*)) FROM cdp.identifiers"
  bench -c "SELECT format('%s: %s, %s', room, problem, count(*)) FROM wrong GROUP BY room, problem ORDER BY 1"
}

for ((part = 0; part < ${#PARTS}; part++)); do "part_${PARTS:part:1}"; done
