# bi.sh [people]: a profile view of everybody, of a column and of one person, beside SQL that was written by hand and groups each
# table once; and what it costs to keep it materialized. The best of three, so that what else the machine does shows least.
people=${1:-100000}
psql -d postgres -c 'CREATE EXTENSION cdp' >/dev/null
psql -d postgres -v people="$people" >/dev/null <<'SQL'
INSERT INTO cdp.inbox (message) SELECT json_build_object('type', 'identify', 'userId', 'u' || n, 'anonymousId', 'a' || n, 'messageId', 'i' || n, 'timestamp', '2026-01-01T00:00:00Z',
    'traits', json_build_object('email', 'p' || n || '@example.com', 'name', 'Person ' || n, 'country', (ARRAY['NL', 'BE', 'DE'])[1 + n % 3], 'age', 18 + n % 70))::text
  FROM generate_series(1, :people) AS n;
INSERT INTO cdp.inbox (message) SELECT json_build_object('type', 'track', 'event', 'Order Completed', 'userId', 'u' || 1 + n % :people, 'messageId', 'o' || n,
    'timestamp', '2026-01-02T00:00:00Z', 'properties', json_build_object('total', n % 250))::text
  FROM generate_series(1, 3 * :people) AS n;
CALL cdp.run();
SELECT cdp.create_computed_trait('spend', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')$$);
SELECT cdp.create_computed_trait('orders', $$count(*) FILTER (WHERE event = 'Order Completed')$$);
SELECT cdp.create_computed_trait('biggest', $$max((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed')$$);
SELECT cdp.create_segment('vip', $$(computed ->> 'spend')::numeric > 400$$), cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$);
SELECT cdp.create_profile_view(v, '["identifier email", "trait name", "trait country", "trait age integer", "computed spend", "computed orders", "computed biggest", "segment vip", "segment dutch"]',
  materialized => v = 'kept') FROM unnest(ARRAY['people', 'kept']) AS v;
CREATE FUNCTION number(of text) RETURNS integer LANGUAGE sql STABLE AS 'SELECT segment_id FROM cdp.segments WHERE name = of';
SELECT format('CREATE VIEW by_hand AS SELECT p.profile_id, i.email, p.traits ->> ''name'' AS name, p.traits ->> ''country'' AS country, (p.traits ->> ''age'')::integer AS age, m.spend::numeric, m.orders::bigint, m.biggest::numeric, coalesce(m.vip, false) AS vip, coalesce(m.dutch, false) AS dutch
  FROM cdp.profiles AS p LEFT JOIN (SELECT profile_id, min(value) AS email FROM cdp.identifiers WHERE type = ''email'' GROUP BY 1) AS i USING (profile_id)
  LEFT JOIN (SELECT profile_id, max(key) FILTER (WHERE segment_id = %1$s) AS spend, max(key) FILTER (WHERE segment_id = %2$s) AS orders, max(key) FILTER (WHERE segment_id = %3$s) AS biggest,
      bool_or(true) FILTER (WHERE segment_id = %4$s) AS vip, bool_or(true) FILTER (WHERE segment_id = %5$s) AS dutch
    FROM cdp.memberships WHERE segment_id IN (%1$s, %2$s, %3$s, %4$s, %5$s) AND entered_at <= now() AND left_at > now() GROUP BY 1) AS m USING (profile_id)',
  number('spend'), number('orders'), number('biggest'), number('vip'), number('dutch')) \gexec
VACUUM ANALYZE;
SQL
different=$(psql -d postgres -At -c 'SELECT count(*) FROM (TABLE cdp_views.people EXCEPT TABLE by_hand) AS d')
[ "$different" = 0 ] || { say "the view and what was written by hand differ in $different rows"; exit 1; }
best() { # milliseconds
  psql -d postgres -At -c 'SET max_parallel_workers_per_gather = 0' -c '\timing on' -c '\o /dev/null' -c "$1" -c "$1" -c "$1" -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -n | head -1
}
printf '%s people; milliseconds, best of four\n%-44s %12s %12s %12s\n' "$people" '' 'profile view' 'by hand' materialized
row() { printf '%-44s %12s %12s %12s\n' "$1" "$(best "${2//VIEW/cdp_views.people}")" "$(best "${2//VIEW/by_hand}")" "$(best "${2//VIEW/cdp_views.kept}")"; }
row 'all columns of everybody' 'SELECT * FROM VIEW'
row 'all columns of everybody, without JIT' 'SET jit = off; SELECT * FROM VIEW'
row 'spend by country' 'SELECT country, sum(spend) FROM VIEW GROUP BY country'
row 'how many are vip' 'SELECT count(*) FROM VIEW WHERE vip'
row 'how many people' 'SELECT count(*) FROM VIEW'
row 'one person' 'SELECT * FROM VIEW WHERE profile_id = 3'
psql -d postgres -c "SELECT cdp.track('Order Completed', user_id => 'u' || n, properties => '{\"total\": 1}') FROM generate_series(1, 1000) AS n" >/dev/null
printf 'refresh after 1,000 orders: %s s\n' "$(seconds psql -d postgres -c "SELECT cdp.refresh_profile_view('kept')")"
