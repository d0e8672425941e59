# Messages a second through each door, beside plain COPY of the same lines and rows. Sourced by scripts/bench.
PEOPLE=${1:-100000}
MESSAGES=${2:-1000000}
SINGLE=${SINGLE:-$((MESSAGES / 100))} # messages sent one a call and one a transaction

say "generating $MESSAGES messages of $PEOPLE people"
"$WORK/cdpgen" --people "$PEOPLE" --events "$MESSAGES" --seed 42 --out "$WORK/data" --csv >/dev/null
chmod -R a+rX "$WORK/data"
AS_TEXT="WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')"

fresh() {
  psql -d postgres -c "DROP DATABASE IF EXISTS bench" -c "CREATE DATABASE bench"
  psql -d bench -c "CREATE EXTENSION cdp" -c "CHECKPOINT"
}

fresh
psql -d bench <<'SQL'
CREATE TABLE plain_text (message text);
CREATE TABLE plain_jsonb (message jsonb);
CREATE TABLE plain_rows (message_id text, type text, event text, anonymous_id text, user_id text, email text, phone text,
  loyalty_id text, ts timestamptz, received_at timestamptz, product_id text, category text, value numeric, currency text,
  country text, campaign text, consent text);
CREATE INDEX ON plain_rows (message_id);
CREATE INDEX ON plain_rows (user_id, ts);
CREATE INDEX ON plain_rows (anonymous_id, ts);
SQL
copy_text=$(seconds psql -d bench -c "\copy plain_text FROM '$WORK/data/events.ndjson' $AS_TEXT")
copy_jsonb=$(seconds psql -d bench -c "\copy plain_jsonb FROM '$WORK/data/events.ndjson' $AS_TEXT")
copy_rows=$(seconds psql -d bench -c "\copy plain_rows FROM '$WORK/data/events.csv' WITH (FORMAT csv, HEADER)")
psql -d bench -c "DROP TABLE plain_jsonb, plain_rows"

# The inbox, with nobody else at work: COPY in, CALL cdp.run().
copy_inbox=$(seconds psql -d bench -c "\copy cdp.inbox (message) FROM '$WORK/data/events.ndjson' $AS_TEXT")
drain=$(seconds psql -d bench -c "CALL cdp.run()")
inbox_counts=$(psql -d bench -At -c "SELECT format('%s events, %s profiles, %s identifiers, %s links, %s quarantined',
  (SELECT count(*) FROM cdp.events), (SELECT count(*) FROM cdp.profiles), (SELECT count(*) FROM cdp.identifiers),
  (SELECT count(*) FROM cdp.links), (SELECT count(*) FROM cdp.quarantine))")

# The same with five segments that are kept in the same commits, on a tenth of the messages.
TENTH=$((MESSAGES / 10))
fresh
psql -d bench -c "\copy cdp.inbox (message) FROM PROGRAM 'head -n $TENTH $WORK/data/events.ndjson' $AS_TEXT"
drain_tenth=$(seconds psql -d bench -c "CALL cdp.run()")
fresh
psql -d bench >/dev/null <<'SQL'
SELECT cdp.create_segment('cart', $$count(*) FILTER (WHERE event = 'Product Added' AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0$$);
SELECT cdp.create_segment('spenders', $$sum((properties ->> 'value')::numeric) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '90 days') > 500$$);
SELECT cdp.create_segment('lapsed', $$max(occurred_at) FILTER (WHERE event = 'Order Completed') < now() - interval '45 days'$$);
SELECT cdp.create_segment('viewers', $$count(*) FILTER (WHERE event = 'Product Viewed' AND occurred_at > now() - interval '7 days') >= 3$$, per => $$properties ->> 'product_id'$$);
SELECT cdp.create_segment('gold', $$traits ->> 'tier' = 'gold'$$);
SQL
psql -d bench -c "\copy cdp.inbox (message) FROM PROGRAM 'head -n $TENTH $WORK/data/events.ndjson' $AS_TEXT"
drain_segments=$(seconds psql -d bench -c "CALL cdp.run()")

# Calls: one message a call and a transaction, and 500 a call.
fresh
psql -d bench -c "CREATE TABLE lines (n serial, message jsonb)" \
  -c "\copy lines (message) FROM PROGRAM 'head -n $TENTH $WORK/data/events.ndjson' $AS_TEXT"
psql -d bench -c "CREATE TABLE single_row (LIKE cdp.event_records)" -c "CREATE UNIQUE INDEX ON single_row (event_id)" \
  -c "CREATE INDEX ON single_row (identifier_id, occurred_at)"
single_insert=$(seconds psql -d bench -c "DO \$\$ DECLARE l record; BEGIN FOR l IN SELECT n, message FROM lines WHERE n <= $SINGLE LOOP
  INSERT INTO single_row VALUES (l.n, l.n, 1, 'track', l.message ->> 'event', (l.message ->> 'timestamp')::timestamptz, now(),
    l.message ->> 'messageId', l.message -> 'properties', l.message -> 'context'); COMMIT; END LOOP; END \$\$")
sync_single=$(seconds psql -d bench -c "DO \$\$ DECLARE l record; BEGIN FOR l IN SELECT message FROM lines WHERE n <= $SINGLE LOOP
  PERFORM cdp.ingest(l.message); COMMIT; END LOOP; END \$\$")
sync_batch=$(seconds psql -d bench -c "DO \$\$ DECLARE b jsonb; BEGIN FOR b IN SELECT jsonb_agg(message ORDER BY n) FROM lines
  WHERE n > $SINGLE GROUP BY n / 500 ORDER BY n / 500 LOOP PERFORM cdp.ingest(b); COMMIT; END LOOP; END \$\$")

awk -v n="$MESSAGES" -v tenth="$TENTH" -v single="$SINGLE" -v ct="$copy_text" -v cj="$copy_jsonb" -v cr="$copy_rows" \
    -v ci="$copy_inbox" -v d="$drain" -v dt="$drain_tenth" -v ds="$drain_segments" -v si="$single_insert" \
    -v ss="$sync_single" -v sb="$sync_batch" '
  function row(name, count, time) { printf "%-58s %9.0f %10.3f\n", name, count / time, (count / time) / (n / cj) }
  BEGIN {
    printf "%-58s %9s %10s\n", "way", "messages/s", "to jsonb COPY"
    row("COPY of the lines into one text column", n, ct)
    row("COPY of the lines into one jsonb column", n, cj)
    row("COPY of typed rows with three indexes", n, cr)
    row("COPY of the lines into cdp.inbox", n, ci)
    row("inbox, drained by CALL cdp.run()", n, d)
    row("inbox, COPY and drain together", n, ci + d)
    row("inbox drained, first tenth, no segment", tenth, dt)
    row("inbox drained, first tenth, five segments", tenth, ds)
    row("single-row INSERTs of events, a commit each", single, si)
    row("cdp.ingest, one message a call, a commit each", single, ss)
    row("cdp.ingest, 500 messages a call, a commit each", tenth - single, sb)
  }'
echo "inbox: $inbox_counts"
