# How right cdp's people are on the generator's truth, under the default rules, beside union-find on the same
# identifiers: pairs of identifiers, not shared by people, that are said to be one person's. Sourced by scripts/bench.
PEOPLE=${1:-100000}
MESSAGES=${2:-$((PEOPLE * 20))}
SEEDS=("${@:3}")
[ ${#SEEDS[@]} -gt 0 ] || SEEDS=(42 43 44)
AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"

g++ -O3 -std=c++20 -I"$ROOT/src" -o "$WORK/identity_links" "$ROOT/test/bench/identity_links.cpp" \
  "$ROOT"/src/core/{identity_fold,junk,text,normalize,normalize_*}.o $(pkg-config --libs icu-i18n icu-uc) -lphonenumber -lsimdjson
bench() { psql -d bench -At "$@"; }

# The generator's own baseline counts traits.loyaltyId as an identifier: a sender says so in context.externalIds.
with_loyalty() {
  sed -E 's/^(\{"type":"identify".*"loyaltyId":"([^"]*)".*"context":\{)/\1"externalIds":[{"id":"\2","type":"loyalty_id","collection":"users","encoding":"none"}],/'
}

for seed in "${SEEDS[@]}"; do
  say "generating $MESSAGES messages of $PEOPLE people, seed $seed"
  "$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed "$seed" --out "$WORK/data" >/dev/null
  psql -d postgres -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS bench" -c "CREATE DATABASE bench"
  bench -c "CREATE EXTENSION cdp"
  with_loyalty <"$WORK/data/events.ndjson" | bench -c "\copy cdp.inbox (message) FROM pstdin $AS_TEXT"
  bench -f "$ROOT/test/bench/identity_quality.sql" \
    -c "\copy crm FROM '$WORK/data/crm.csv' WITH (FORMAT csv, HEADER)" \
    -c "\copy truth FROM '$WORK/data/truth.csv' WITH (FORMAT csv, HEADER)"
  rm "$WORK"/data/*
  bench -c "CALL send_crm()"
  drain=$(seconds bench -c "CALL cdp.run()")
  bench -c "COPY (SELECT e.identifiers[1], o.id FROM cdp.evidence AS e CROSS JOIN unnest(e.identifiers[2:]) AS o (id)) TO STDOUT (FORMAT csv)" |
    "$WORK/identity_links" components 2>/dev/null | bench -c "\copy plain FROM pstdin WITH (FORMAT csv)"
  echo "seed $seed: $(bench -c "SELECT format('%s facts, %s identifiers, %s quarantined', (SELECT count(*) FROM cdp.event_records) + (SELECT count(*) FROM cdp.assertions),
    (SELECT count(*) FROM cdp.identifiers), (SELECT count(*) FROM cdp.quarantine))"), drained in $drain s"
  printf '%-44s %12s %12s %10s %8s\n' "" "precision %" "recall %" "people" "largest"
  bench -F '|' -c "SELECT * FROM score() ORDER BY place" | while IFS='|' read -r _ what precision recall people largest; do
    printf '%-44s %12s %12s %10s %8s\n' "$what" "$precision" "$recall" "$people" "$largest"
  done
  bench -F '|' -c "SELECT r.rule, r.type, count(*), count(DISTINCT r.value) FROM cdp.refusals AS r GROUP BY 1, 2 ORDER BY 1, 3 DESC" |
    while IFS='|' read -r rule type count values; do
      printf 'refused by %-16s %-16s %9s times, %7s values\n' "$rule" "$type" "$count" "$values"
    done
done
