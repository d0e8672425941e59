# Everything at once: messages through every door, people who merge and are split, definitions that come, change and go,
# lists, queries, refreshes, consumers of the feed, the worker, and readers who look meanwhile: nobody ever sees a person in
# two states, no call deadlocks, and in the end cdp.verify() finds nothing. DURATION is in seconds: 10, or 120 for a soak.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{DURATION} // 10;
my $node = new_server('server', conf => "cdp.worker_naptime = 20\ndeadlock_timeout = 200ms\nfsync = off\n"
	  . "max_connections = 60\nlog_statement = none\nlog_min_messages = warning\n");
$node->start;
my $folder = $node->basedir;
chmod 0755, $folder;

# Files for COPY: without messageId and timestamp a line is a new message each time, with them a duplicate from the second on.
for my $file (0 .. 9)
{
	append_to_file("$folder/$file.ndjson", join '', map {
		my ($one, $next) = ($file * 7 + $_, $file * 7 + $_ + 1);
		$_ % 3 == 0 ? qq({"type": "track", "event": "Bought", "userId": "p$one", "properties": {"product": "x$_"}}\n)
		: $_ % 3 == 1 ? qq({"type": "identify", "anonymousId": "a$one", "traits": {"email": "p$next\@shop.example", "score": $_}}\n)
		: qq({"type": "track", "event": "Visited", "messageId": "copied$file.$_", "timestamp": "2026-01-01T00:00:00Z", "anonymousId": "a$one"}\n)
	} 1 .. 12);
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION cdp;
	CREATE EXTENSION dblink;
	SELECT cdp_internal.make_ready();
	SELECT cdp.create_identifier_type('card', priority => 60, max_values => 3);
	SELECT cdp.create_identifier_type('tv', priority => 8, sharing => 'joins');
	-- These nobody changes. A person is in one of the first two, whatever happens.
	SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Bought') > 0$$);
	SELECT cdp.create_segment('others', $$count(*) FILTER (WHERE event = 'Bought') = 0$$);
	SELECT cdp.create_segment('lately', $$max(occurred_at) > now() - interval '2 seconds'$$);
	SELECT cdp.create_segment('products', $$count(*) FILTER (WHERE occurred_at > now() - interval '5 seconds') > 0$$, per => $$properties ->> 'product'$$);
	SELECT cdp.create_segment('went_back', $$cdp.sequence('1 -> 2 within 3 seconds -> not 1', occurred_at, event = 'Bought', event = 'Visited') AND traits ->> 'plan' IS DISTINCT FROM 'pro'$$);
	SELECT cdp.create_list('guests');

	CREATE SEQUENCE number;
	CREATE SEQUENCE unique_name;
	CREATE TABLE done (what text, times bigint, PRIMARY KEY (what, times));
	CREATE TABLE declined (what text, sqlstate text, message text);
	CREATE TABLE seen (reader text, problem text, at timestamptz DEFAULT clock_timestamp());
	CREATE TABLE decision (decision_seq bigint);
	CREATE TABLE held (consumer text, segment_id integer, profile_id bigint, key text, change text, UNIQUE NULLS NOT DISTINCT (consumer, segment_id, profile_id, key));
	CREATE TABLE read_until (consumer text PRIMARY KEY, position bigint NOT NULL);
	INSERT INTO read_until VALUES ('c1', 0), ('c2', 0);

	-- A dozen newcomers a second, of whom everybody meets a few; and those who were there from the start.
	CREATE FUNCTION somebody() RETURNS integer LANGUAGE sql AS $$
		SELECT CASE WHEN random() < 0.4 THEN floor(random() * 80) ELSE
			floor(extract(epoch FROM clock_timestamp()))::bigint % 100000 * 12 + 100 - floor(random() * 40) END::integer $$;
	CREATE FUNCTION random_message() RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		n bigint := nextval('number');
		person integer := somebody();
		other integer := CASE WHEN random() < 0.15 THEN person + 1 ELSE person END;
		carried jsonb := jsonb_build_array(jsonb_build_object('collection', 'users', 'encoding', 'none', 'type', 'card', 'id', 'card' || other),
			jsonb_build_object('collection', 'users', 'encoding', 'none', 'type', 'tv', 'id', 'tv' || person / 3));
		named jsonb := (ARRAY[jsonb_build_object('userId', 'p' || person), jsonb_build_object('anonymousId', 'a' || person, 'userId', 'p' || person),
			jsonb_build_object('anonymousId', 'a' || person), jsonb_build_object('anonymousId', 'a' || other)])[1 + floor(random() * 4)];
	BEGIN
		IF random() < 0.3 THEN
			named := named || jsonb_build_object('context', jsonb_build_object('externalIds', CASE WHEN random() < 0.7 THEN carried - 1 ELSE carried - 0 END));
		END IF;
		IF random() < 0.3 THEN
			RETURN named || jsonb_build_object('type', 'identify', 'messageId', 'm' || n, 'traits', jsonb_build_object('score', n % 10,
				'plan', (ARRAY['free', 'pro'])[1 + n % 2], 'email', CASE WHEN random() < 0.5 THEN 'p' || other || '@shop.example' END));
		END IF;
		RETURN named || jsonb_build_object('type', 'track', 'messageId', 'm' || n, 'event', (ARRAY['Visited', 'Visited', 'Bought', 'Mailed'])[1 + floor(random() * 4)],
			'timestamp', clock_timestamp() + (random() * 8 - 6) * interval '1 second',
			'properties', jsonb_build_object('product', 'x' || floor(random() * 4), 'price', n % 50));
	END $$;
	CREATE FUNCTION count_one(what text) RETURNS void LANGUAGE sql AS $$
		INSERT INTO done VALUES (what, nextval('unique_name')) $$;

	-- One call of cdp is all that a transaction does.
	CREATE PROCEDURE send(folder text) LANGUAGE plpgsql AS $$
	DECLARE
		door text := (ARRAY['ingest', 'ingest', 'batch', 'batch', 'track', 'identify', 'alias', 'inbox', 'copy', 'again'])[1 + floor(random() * 10)];
		messages jsonb := (SELECT jsonb_agg(random_message()) FROM generate_series(1, CASE WHEN door = 'batch' THEN 2 + floor(random() * 12)::int ELSE 2 END));
		person integer := somebody();
	BEGIN
		PERFORM count_one(door);
		COMMIT;
		CASE door
			WHEN 'ingest' THEN PERFORM cdp.ingest(messages -> 0);
			WHEN 'batch' THEN PERFORM cdp.ingest(jsonb_build_object('batch', messages));
			WHEN 'track' THEN PERFORM cdp.track('Bought', user_id => 'p' || person, anonymous_id => 'a' || person);
			WHEN 'identify' THEN PERFORM cdp.identify(user_id => 'p' || person, traits => jsonb_build_object('plan', 'pro'));
			WHEN 'alias' THEN PERFORM cdp.alias('p' || person, 'p' || person + 1);
			WHEN 'inbox' THEN INSERT INTO cdp.inbox (message) SELECT m FROM jsonb_array_elements(messages) AS m;
			WHEN 'copy' THEN EXECUTE format('COPY cdp.inbox (message) FROM %L WITH (FORMAT csv, DELIMITER E''\x01'', QUOTE E''\x02'')',
				format('%s/%s.ndjson', folder, floor(random() * 10)));
			ELSE PERFORM cdp.ingest(jsonb_build_object('batch', messages || messages));
		END CASE;
		COMMIT;
	END $$;

	-- What people decide about people, as far as it can be done.
	CREATE PROCEDURE decide() LANGUAGE plpgsql AS $$
	DECLARE
		what text := (ARRAY['split', 'split', 'split', 'remove_link', 'remove_link', 'allow_link', 'forbid_link', 'revoke', 'revoke'])[1 + floor(random() * 9)];
		one cdp.identifiers;
		other cdp.identifiers;
		a jsonb;
		b jsonb;
	BEGIN
		SELECT * INTO one FROM cdp.identifiers AS i WHERE what NOT IN ('split', 'remove_link') OR EXISTS (SELECT FROM cdp.identifiers AS j
			WHERE j.profile_id = i.profile_id AND j.identifier_id <> i.identifier_id) ORDER BY random() LIMIT 1;
		SELECT * INTO other FROM cdp.identifiers AS i WHERE i.identifier_id <> one.identifier_id AND (i.profile_id = one.profile_id) = (what IN ('split', 'remove_link'))
			ORDER BY abs(i.identifier_id - one.identifier_id), random() LIMIT 1;
		IF one.identifier_id IS NULL OR other.identifier_id IS NULL THEN
			RETURN;
		END IF;
		a := jsonb_build_object(one.type, one.value);
		b := jsonb_build_object(other.type, other.value);
		COMMIT;
		BEGIN
			CASE what
				WHEN 'split' THEN PERFORM cdp.split_profile(one.profile_id, b, 'two people');
				WHEN 'remove_link' THEN PERFORM cdp.remove_link(a, b, 'a mistake');
				WHEN 'allow_link' THEN PERFORM cdp.allow_link(a, b, 'one person');
				WHEN 'forbid_link' THEN PERFORM cdp.forbid_link(a, b, 'two people');
				ELSE PERFORM cdp.revoke_decision((SELECT d.decision_id FROM cdp.identity_decisions AS d WHERE d.revoked_at IS NULL
					ORDER BY random() LIMIT 1), 'not so');
			END CASE;
			PERFORM count_one(what);
		EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state THEN -- they came apart, or together, meanwhile
			INSERT INTO declined VALUES (what, SQLSTATE, SQLERRM);
		END;
		COMMIT;
		PERFORM pg_sleep(random() * 0.1);
	END $$;

	CREATE FUNCTION random_rule() RETURNS text LANGUAGE sql AS $$ SELECT (ARRAY[
		$r$count(*) FILTER (WHERE event = 'Bought') > 2$r$,
		$r$count(*) FILTER (WHERE event = 'Visited' AND occurred_at > now() - interval '4 seconds') > 0$r$,
		$r$max(occurred_at) < now() - interval '1 second' AND traits ->> 'plan' = 'pro'$r$,
		$r$cdp.sequence('1 -> 2 within 2 seconds', occurred_at, event = 'Visited', event = 'Bought')$r$,
		$r$cdp.sequence('1 -> not 2', occurred_at, event = 'Bought', event = 'Mailed') AND count(*) > 1$r$,
		$r$coalesce((traits ->> 'score')::numeric, 0) > 5$r$,
		$r$sum((properties ->> 'price')::numeric) FILTER (WHERE occurred_at > date_trunc('minute', now())) > 20$r$,
		$r$count(DISTINCT event) = 3$r$,
		$r$string_agg(event, ',' ORDER BY occurred_at, event_id) LIKE '%Visited,Bought%'$r$,
		$r$cdp.in_segment('buyers') AND NOT cdp.in_segment('lately')$r$,
		$r$max(occurred_at) < now() - CASE WHEN cdp.in_segment('guests') THEN interval '2 seconds' ELSE interval '1 second' END$r$,
		$r$NOT cdp.in_segment('products')$r$,
		$r$count(*) = 0$r$, $r$true$r$])[1 + floor(random() * 14)] $$;
	-- Changes of definitions; what is refused because somebody else was first is noted.
	CREATE PROCEDURE define() LANGUAGE plpgsql AS $$
	DECLARE
		what text := (ARRAY['create', 'create', 'create', 'alter', 'alter', 'alter', 'rename', 'disable', 'enable', 'enable', 'drop', 'refresh', 'create query',
			'alter query', 'refresh query', 'create list', 'add', 'add', 'add', 'remove', 'refresh all'])[1 + floor(random() * 21)];
		background boolean := random() < 0.5;
		wanted text := CASE WHEN what LIKE '%query' THEN 'query' WHEN what IN ('add', 'remove') THEN 'list' WHEN what IN ('alter', 'refresh') THEN 'rule' END;
		chosen text := (SELECT s.name FROM cdp.segments AS s WHERE s.replaces IS NULL AND (s.name LIKE 's_%' OR s.name = 'guests' AND what IN ('add', 'remove'))
			AND (wanted IS NULL OR s.kind = wanted) ORDER BY random() LIMIT 1);
		fresh text := 's' || nextval('unique_name');
		picked bigint[] := ARRAY(SELECT p.profile_id FROM cdp.profiles AS p ORDER BY random() LIMIT 5);
		many boolean := (SELECT count(*) > 12 FROM cdp.segments);
		query text := (ARRAY['SELECT profile_id FROM cdp.profiles WHERE profile_id % 3 = 0', 'SELECT profile_id, event AS key FROM cdp.events GROUP BY 1, 2 HAVING count(*) > 1',
			'SELECT 4000000000 + profile_id AS profile_id FROM cdp.profiles UNION ALL SELECT profile_id FROM cdp.segment_members WHERE segment = ''buyers'''])[1 + floor(random() * 3)];
	BEGIN
		COMMIT;
		IF chosen IS NULL AND what NOT LIKE 'create%' AND what <> 'refresh all' THEN
			RETURN;
		ELSIF many AND what LIKE 'create%' AND chosen IS NOT NULL THEN
			what := 'drop';
		END IF;
		BEGIN
			CASE what
				WHEN 'create' THEN PERFORM cdp.create_segment(fresh, random_rule(), background => background);
				WHEN 'alter' THEN
					IF random() < 0.3 THEN
						PERFORM cdp.alter_segment(chosen, rule => 'count(*) > 0', per => $q$properties ->> 'product'$q$, background => background);
					ELSE
						PERFORM cdp.alter_segment(chosen, rule => random_rule(), per => '', background => background);
					END IF;
				WHEN 'rename' THEN PERFORM cdp.rename_segment(chosen, fresh);
				WHEN 'disable' THEN PERFORM cdp.disable_segment(chosen);
				WHEN 'enable' THEN PERFORM cdp.enable_segment(chosen, background);
				WHEN 'drop' THEN PERFORM cdp.drop_segment(chosen);
				WHEN 'create query' THEN PERFORM cdp.create_segment(fresh, query => query, refresh => '1 second', background => background);
				WHEN 'alter query' THEN PERFORM cdp.alter_segment(chosen, query => query, background => background);
				WHEN 'create list' THEN PERFORM cdp.create_list(fresh);
				WHEN 'add' THEN
					CASE floor(random() * 3)
						WHEN 0 THEN PERFORM cdp.add_members(chosen, picked, CASE WHEN background THEN now() + interval '1 second' END);
						WHEN 1 THEN PERFORM cdp.add_members(chosen, 'user_id', ARRAY['p' || somebody(), 'p' || somebody() + 50]);
						ELSE PERFORM cdp.add_members(chosen, query => 'SELECT profile_id FROM cdp.profiles WHERE profile_id % 5 = 0');
					END CASE;
				WHEN 'remove' THEN PERFORM cdp.remove_members(chosen, profile_ids => picked);
				WHEN 'refresh all' THEN PERFORM cdp.refresh_segments();
				ELSE PERFORM cdp.refresh_segment(chosen);
			END CASE;
			PERFORM count_one(what);
		EXCEPTION WHEN undefined_object OR object_not_in_prerequisite_state THEN -- dropped or renamed, disabled, meanwhile
			INSERT INTO declined VALUES (what, SQLSTATE, SQLERRM);
		END;
		COMMIT;
		PERFORM pg_sleep(random() * 0.3);
	END $$;

	-- A consumer applies what it reads: no position is left out, entered and left alternate.
	CREATE PROCEDURE consume(consumer text) LANGUAGE plpgsql AS $$
	#variable_conflict use_column
	DECLARE
		one record;
		last bigint := (SELECT u.position FROM read_until AS u WHERE u.consumer = consume.consumer);
	BEGIN
		FOR one IN SELECT r.position, c.segment_id, r.profile_id, r.key, r.change FROM cdp.read_changes(consume.consumer, 1 + floor(random() * 300)::integer) AS r
			JOIN cdp.membership_changes AS c USING (position) ORDER BY 1
		LOOP
			IF one.position <> last + 1 THEN
				INSERT INTO seen VALUES (consumer, format('position %s after %s', one.position, last));
			END IF;
			last := one.position;
			INSERT INTO held AS h VALUES (consumer, one.segment_id, one.profile_id, one.key, one.change)
				ON CONFLICT (consumer, segment_id, profile_id, key) DO UPDATE SET change = excluded.change WHERE h.change <> excluded.change;
			IF NOT FOUND THEN
				INSERT INTO seen VALUES (consumer, format('%s: a second "%s"', one.position, one.change));
			END IF;
		END LOOP;
		UPDATE read_until AS u SET position = last WHERE u.consumer = consume.consumer;
		IF last > 0 THEN
			PERFORM cdp.ack_changes(consumer, last);
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.05);
	END $$;

	-- One statement sees each person in one state. What is stored is compared as of an instant after its snapshot was taken.
	CREATE FUNCTION look(at timestamptz) RETURNS SETOF text LANGUAGE sql STABLE AS $$
		WITH inside AS MATERIALIZED (
			SELECT s.name, s.kind, s.class, s.state, m.* FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id) WHERE m.entered_at <= at AND m.left_at > at
		), event AS MATERIALIZED (SELECT * FROM cdp.events AS e WHERE e.occurred_at <= at
		), expected AS MATERIALIZED (
			SELECT p.profile_id, NULL AS key, CASE WHEN count(e) FILTER (WHERE e.event = 'Bought') > 0 THEN 'buyers' ELSE 'others' END AS name
			FROM cdp.profiles AS p LEFT JOIN event AS e USING (profile_id) GROUP BY 1
			UNION ALL SELECT e.profile_id, NULL, 'lately' FROM event AS e GROUP BY 1 HAVING max(e.occurred_at) > at - interval '2 seconds'
			UNION ALL SELECT e.profile_id, e.properties ->> 'product', 'products' FROM event AS e WHERE e.occurred_at > at - interval '5 seconds' GROUP BY 1, 2)
		SELECT format('twice in %s: profile %s', i.name, i.profile_id) FROM inside AS i GROUP BY i.name, i.profile_id, i.key HAVING count(*) > 1
		UNION ALL
		SELECT format('in %s (%s %s, %s) from %s until %s, and nobody: profile %s at %s', i.name, i.state, i.class, i.kind, i.entered_at, i.left_at, i.profile_id, at) FROM inside AS i WHERE NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = i.profile_id)
		UNION ALL
		SELECT format('an event of nobody: %s', e.event_id) FROM event AS e WHERE NOT EXISTS (SELECT FROM cdp.profiles AS p WHERE p.profile_id = e.profile_id)
		UNION ALL
		SELECT format('stored in %s, but is not: profile %s, key %s', x.name, x.profile_id, x.key) FROM (SELECT i.profile_id, i.key, i.name FROM inside AS i
			WHERE i.name IN ('buyers', 'others', 'lately', 'products') EXCEPT TABLE expected) AS x
		UNION ALL
		SELECT format('not stored in %s, but is: profile %s, key %s', x.name, x.profile_id, x.key) FROM (TABLE expected EXCEPT SELECT i.profile_id, i.key, i.name FROM inside AS i) AS x $$;
	-- What everybody reads: as of now(), which is before the snapshot.
	CREATE FUNCTION look_now() RETURNS SETOF text LANGUAGE sql STABLE AS $$
		SELECT format('now both buyer and not: profile %s', a.profile_id) FROM cdp.segment_members AS a JOIN cdp.segment_members AS b USING (profile_id)
			WHERE a.segment = 'buyers' AND b.segment = 'others'
		UNION ALL
		SELECT format('now twice in %s: profile %s', m.segment, m.profile_id) FROM cdp.segment_members AS m GROUP BY m.segment, m.profile_id, m.key HAVING count(*) > 1
		UNION ALL
		SELECT format('%s are both buyers and not', n) FROM cdp.segment_size('buyers & others') AS n WHERE n > 0 $$;
	-- All of cdp.verify() on the snapshot of the caller's transaction, as of an instant after it was taken.
	CREATE FUNCTION look_all(how text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM public.dblink_connect('second', how), public.dblink_exec('second', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
		PERFORM public.dblink_exec('second', format('SET TRANSACTION SNAPSHOT %L', pg_export_snapshot()));
		RETURN QUERY SELECT d.row FROM public.dblink('second', $q$SELECT concat_ws(E'\n', v, format('as of %s, last seen %s', now(), (SELECT max(last_seen_at) FROM cdp.profiles)), s.state, s.version, s.rule, s.per, (SELECT string_agg(m::text, E'\n') FROM cdp.memberships AS m
			WHERE m.segment_id = s.segment_id AND v.subject LIKE format('%%profile %s,%%', m.profile_id)), (SELECT string_agg(e::text, E'\n') FROM cdp.events AS e
			WHERE v.subject LIKE format('%%profile %s,%%', e.profile_id))) FROM cdp.verify() AS v LEFT JOIN cdp.segments AS s ON v.subject LIKE format('segment %s,%%', s.name)$q$) AS d (row text);
		PERFORM public.dblink_disconnect('second');
	END $$;
});
ok(wait_until(sub { workers($node, 'postgres') }), 'a worker is there');

my $how = $node->connstr('postgres');
$how =~ s/'/''/g;
my %scripts = (
	send => [ 4, "CALL send('$folder');\n" ],
	decide => [ 1, "CALL decide();\n" ],
	define => [ 2, "CALL define();\n" ],
	run => [ 1, "CALL cdp.run(5);\nSELECT pg_sleep(0.05);\n" ],
	c1 => [ 1, "CALL consume('c1');\n" ],
	c2 => [ 1, "CALL consume('c2');\n" ],
	look => [ 2, "INSERT INTO seen SELECT 'look', l FROM look(clock_timestamp()) AS l;\nSELECT pg_sleep(0.02);\n" ],
	now => [ 1, "INSERT INTO seen SELECT 'now', l FROM look_now() AS l;\nSELECT pg_sleep(0.02);\n" ],
	verify => [ 1, "BEGIN ISOLATION LEVEL REPEATABLE READ;\nINSERT INTO seen SELECT 'verify', l FROM look_all('$how') AS l;\nCOMMIT;\nSELECT pg_sleep(0.2);\n" ]);
my (%clients, %report, %errors);
for my $name (sort keys %scripts)
{
	my ($number, $script) = @{ $scripts{$name} };
	append_to_file("$folder/$name.sql", $script);
	($report{$name}, $errors{$name}) = ('', '');
	$clients{$name} = IPC::Run::start([ 'pgbench', '-n', '-c', $number, '-j', 1, '-T', $seconds, '-f', "$folder/$name.sql", $node->connstr('postgres') ],
		'>', \$report{$name}, '2>', \$errors{$name});
}
for my $name (sort keys %scripts)
{
	eval { $clients{$name}->finish };
	unlike($errors{$name}, qr/ERROR|FATAL|aborted|failed/, "$name: no call fails in $seconds s");
	my ($times) = $report{$name} =~ /transactions actually processed: (\d+)/;
	cmp_ok($times // 0, '>', 0, '... ' . ($times // 0) . ' times');
}
my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected|40P01/, 'no deadlock');
is(join("\n", $log =~ /^.*\b(?:ERROR|FATAL|PANIC):.*$/mg), '', 'no error, neither of anybody nor of the worker');
note $_ for split /\n/, $node->safe_psql('postgres', q{
	SELECT string_agg(format('%s %s', what, n), ', ' ORDER BY what) FROM (SELECT what, count(*) AS n FROM done GROUP BY what) AS d;
	SELECT format('declined: %s %s, %s times', what, min(message), count(*)) FROM declined GROUP BY what, sqlstate ORDER BY 1;
	SELECT format('%s facts of %s people; %s merges, %s splits; %s memberships, %s changes told', (SELECT count(*) FROM cdp.message_keys), (SELECT count(*) FROM cdp.profiles),
		(SELECT count(*) FROM cdp.identity_changes WHERE change = 'merged'), (SELECT count(*) FROM cdp.identity_changes WHERE change = 'split'),
		(SELECT count(*) FROM cdp.memberships), (SELECT count(*) FROM cdp.membership_changes))});
is($node->safe_psql('postgres', q{SELECT reader, problem, count(*) FROM seen GROUP BY 1, 2 ORDER BY min(at) LIMIT 20}), '', 'no reader saw a person in two states');
for my $what (qw(merged split))
{
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM cdp.identity_changes WHERE change = '$what'"), '>', $seconds / 5, "people were $what");
}
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT what, ' ') FROM unnest(ARRAY['create', 'alter', 'rename', 'disable', 'enable', 'drop', 'refresh', 'add', 'copy', 'alias']) AS what
	WHERE what NOT IN (SELECT d.what FROM done AS d)}), '', 'everything was done at least once') if $seconds >= 60;

# At rest.
ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM cdp.inbox) + (SELECT count(*) FROM cdp_internal.segment_builds)') == 0 }, 60),
	'the inbox is drained, and what was to be built is built');
verified($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT * FROM cdp.segment_errors'), '', 'no rule failed');
is($node->safe_psql('postgres', q{SELECT code, count(*) FROM cdp.quarantine GROUP BY 1}), '', 'no message is in quarantine');
$node->safe_psql('postgres', q{SELECT cdp.stop_worker(); DO $$ BEGIN WHILE cdp_internal.tell_changes() > 0 LOOP END LOOP; END $$;});
for my $consumer (qw(c1 c2))
{
	$node->safe_psql('postgres', "CALL consume('$consumer')") until $node->safe_psql('postgres', "SELECT count(*) FROM cdp.read_changes('$consumer')") == 0;
}
is($node->safe_psql('postgres', q{
	WITH stored AS (SELECT c.consumer, m.segment_id, m.profile_id, m.key FROM cdp.memberships AS m JOIN cdp.segments AS s USING (segment_id), cdp_internal.feed AS f, read_until AS c
		WHERE m.entered_at <= f.told_until AND m.left_at > f.told_until),
	applied AS (SELECT h.consumer, h.segment_id, h.profile_id, h.key FROM held AS h WHERE h.change = 'entered')
	(SELECT 'not told', * FROM (TABLE stored EXCEPT TABLE applied) AS x) UNION ALL (SELECT 'told', * FROM (TABLE applied EXCEPT TABLE stored) AS x)}), '',
	'whoever applied what was told holds what is stored');
is($node->safe_psql('postgres', 'SELECT count(*) FROM seen'), 0, '... every position once, entered and left in turn');
verified($node, 'postgres', 'cdp.verify() finds nothing in the end');
$node->stop;
done_testing();
