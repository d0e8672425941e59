# The launcher and the workers through everything that can happen to a server.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use IPC::Run;
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fast = "cdp.worker_naptime = 50\ncdp.launcher_naptime = 1\nautovacuum = off\n";
my ($out, $err, $rc);

sub events { return $_[0]->safe_psql($_[1] // 'postgres', 'SELECT count(*) FROM cdp.event_records') }

sub drained
{
	my ($node, $database, $events) = @_;
	return wait_until(sub {
			$node->safe_psql($database, 'SELECT count(*) FROM cdp.inbox') == 0 && events($node, $database) == $events;
	});
}

# How often the pattern is in the log, from this offset on.
sub log_count
{
	my ($node, $pattern, $offset) = @_;
	my $log = slurp_file($node->logfile, $offset // 0);
	my $count = () = $log =~ /$pattern/g;
	return $count;
}

note 'without shared_preload_libraries';
{
	my $plain = new_server('plain', preload => 0);
	$plain->start;
	$plain->safe_psql('postgres', 'CREATE EXTENSION cdp; ' . messages(1, 2500));
	is(workers($plain), 0, 'no worker without preload');

	$plain->safe_psql('postgres', 'CALL cdp.run(1)');
	is(events($plain), 1000, 'run(1) does one batch');
	$plain->safe_psql('postgres', 'CALL cdp.run()');
	is(events($plain), 2500, 'run() does the rest');
	is($plain->safe_psql('postgres', 'SELECT count(*) FROM cdp_internal.progress'), 0, 'run() leaves no progress row');
	($rc, $out, $err) = $plain->psql('postgres', 'BEGIN; CALL cdp.run(); COMMIT');
	like($err, qr/commits as it goes on/, 'run() refuses to run inside a transaction');

	my $pid = $plain->safe_psql('postgres', 'SELECT cdp.start_worker()');
	is(worker_pid($plain, 'postgres'), $pid, 'start_worker() starts one and returns its pid');
	($rc, $out, $err) = $plain->psql('postgres', 'SELECT cdp.start_worker()');
	like($err, qr/already running, with pid $pid.*HINT:.*stop_worker/s, 'a second one is refused with a hint');
	$plain->safe_psql('postgres', messages(2501, 2510));
	ok(drained($plain, 'postgres', 2510), 'the started worker drains');
	$plain->safe_psql('postgres', q{SELECT cdp.create_profile_view('kept', '["last_seen_at"]', materialized => true, refresh => '1 second');
		SELECT cdp.track('Arrived', user_id => 'somebody new')});
	ok(wait_until(sub { $plain->safe_psql('postgres', 'SELECT (SELECT count(*) FROM cdp_views.kept) = count(*) FROM cdp.profiles') eq 't' }),
		'and refreshes a profile view that is due');
	is($plain->safe_psql('postgres', q{SELECT lag < interval '1 minute', error IS NULL FROM cdp.profile_views}), 't|t', 'and says so');
	$plain->safe_psql('postgres', q{SELECT cdp.drop_profile_view('kept')});
	is($plain->safe_psql('postgres', 'SELECT cdp.stop_worker()'), 't', 'stop_worker() stops it');
	is(workers($plain), 0, 'it is gone when stop_worker() returns');
	is($plain->safe_psql('postgres', 'SELECT cdp.stop_worker()'), 'f', 'stop_worker() without a worker');

	$plain->safe_psql('postgres', 'CREATE DATABASE own');
	$plain->safe_psql('own', 'CREATE EXTENSION cdp; SELECT cdp.start_worker()');
	$plain->safe_psql('postgres', 'DROP DATABASE own');
	is(workers($plain), 0, 'a worker without a launcher also leaves for DROP DATABASE');
	$plain->stop;
}

my $node = new_server('primary', streaming => 1, conf => $fast);
$node->start;

note 'CREATE and DROP EXTENSION';
{
	ok(wait_until(sub {
				$node->safe_psql('postgres',
					"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp launcher'") == 1;
	}), 'the launcher runs');
	sleep 1.5;
	my $size = -s $node->logfile;
	is(workers($node), 0, 'no worker without the extension');

	$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION cdp; ROLLBACK');
	sleep 1;
	is(workers($node), 0, 'a CREATE EXTENSION that is rolled back leaves nothing');

	$node->append_conf('postgresql.conf', 'cdp.launcher_naptime = 1000');
	$node->reload;
	sleep 0.3;
	my $start = time;
	$node->safe_psql('postgres', 'CREATE EXTENSION cdp');
	ok(wait_until(sub { workers($node, 'postgres') == 1 }), 'CREATE EXTENSION starts the worker');
	cmp_ok(time - $start, '<', 2, '... at once, without waiting for the launcher to look around');
	$node->append_conf('postgresql.conf', 'cdp.launcher_naptime = 1');
	$node->reload;
	is($node->safe_psql('postgres',
			"SELECT application_name, datname FROM pg_stat_activity WHERE backend_type = 'cdp worker'"),
		'cdp worker|postgres', 'it is visible in pg_stat_activity');

	$node->safe_psql('postgres', messages(1, 3000));
	ok(drained($node, 'postgres', 3000), 'it drains the inbox');
	is($node->safe_psql('postgres', 'SELECT pid FROM cdp.worker_status'), worker_pid($node, 'postgres'),
		'cdp.worker_status knows it');

	$node->safe_psql('postgres', 'DROP EXTENSION cdp CASCADE');
	ok(wait_until(sub { workers($node) == 0 }), 'it leaves when the extension is dropped');
	sleep 1;
	my $log = slurp_file($node->logfile, $size);
	unlike($log, qr/(WARNING|ERROR|FATAL):/, 'and nothing of this is an error');

	$node->safe_psql('postgres', 'CREATE EXTENSION cdp');
	ok(wait_until(sub { workers($node) == 1 }), 'it comes back with the extension');
	$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION cdp CASCADE; ROLLBACK; ' . messages(1, 10));
	ok(drained($node, 'postgres', 10), 'a DROP EXTENSION that is rolled back does not stop the work');
	$node->safe_psql('postgres', 'DROP EXTENSION cdp CASCADE; CREATE EXTENSION cdp;' . messages(1, 10));
	ok(drained($node, 'postgres', 10), 'dropped and created in one go: the worker works on');
}

note 'databases';
{
	$node->safe_psql('postgres', "CREATE DATABASE empty$_") for 1 .. 3;
	$node->safe_psql('postgres', 'CREATE DATABASE d');
	$node->safe_psql('d', 'CREATE EXTENSION cdp');
	ok(wait_until(sub { workers($node, 'd') == 1 }), 'each database has its own worker');
	sleep 2;
	my $visits = sub {
		$node->safe_psql('postgres', "SELECT sum(xact_commit) FROM pg_stat_database WHERE datname LIKE 'empty%'");
	};
	my $before = $visits->();
	cmp_ok($before, '>', 0, 'databases without the extension were looked at');
	sleep 2.5;
	is($visits->(), $before, '... once, and are left alone');

	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE d');
	ok(wait_until(sub { workers($node, 'copy') == 1 && workers($node, 'd') == 1 }),
		'a copied database gets a worker, the original has its own again');
	$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
	ok(wait_until(sub { workers($node, 'renamed') == 1 }), 'a renamed database has its worker again');

	my $size = -s $node->logfile;
	my $start = time;
	$node->safe_psql('postgres', 'DROP DATABASE renamed');
	cmp_ok(time - $start, '<', 3, "DROP DATABASE does not mind the database's worker");
	$node->safe_psql('postgres', 'DROP DATABASE d WITH (FORCE)');
	sleep 1.5;
	unlike(slurp_file($node->logfile, $size), qr/does not exist/, 'nobody looks for the dropped databases');
	is(workers($node), 1, 'one worker is left');

	$node->safe_psql('postgres', 'CREATE DATABASE t');
	$node->safe_psql('t', 'CREATE EXTENSION cdp');
	ok(wait_until(sub { workers($node, 't') == 1 }), 'worker in t');
	$node->safe_psql('postgres', 'ALTER DATABASE t IS_TEMPLATE true');
	ok(wait_until(sub { workers($node, 't') == 0 }), 'a template has no worker');
	$node->safe_psql('postgres', 'ALTER DATABASE t IS_TEMPLATE false');
	ok(wait_until(sub { workers($node, 't') == 1 }), 'worker in t again');
	my $session = psql_start($node, 't', ['SELECT pg_sleep(60)'], \$out, \$err);
	wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)'") });
	($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE t');
	like($err, qr/being accessed by other users/, 'a DROP DATABASE that fails because of somebody else');
	ok(wait_until(sub { workers($node, 't') == 1 }), '... leaves the worker working');
	$node->safe_psql('postgres', 'DROP DATABASE t WITH (FORCE)');
	eval { $session->finish };
}

note 'a busy worker';
{
	$node->safe_psql('postgres', q{
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.event = 'Slow' THEN PERFORM pg_sleep(0.05); END IF; RETURN NEW; END $$;
		CREATE TRIGGER slow BEFORE INSERT ON cdp.event_records FOR EACH ROW EXECUTE FUNCTION slow();});
	my $before = events($node);
	my $busy = sub {
		wait_until(sub { $node->safe_psql('postgres',
					"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp worker' AND datname = 'postgres' AND state = 'active' AND query LIKE '%inbox%' AND wait_event = 'PgSleep'") });
	};
	$node->safe_psql('postgres', messages(1001, 1100, 'Slow'));
	ok($busy->(), 'busy, and says with what');
	my $start = time;
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('postgres', 'DROP DATABASE other');
	cmp_ok(time - $start, '<', 3, 'DROP DATABASE of another database does not wait for it');
	ok($busy->(), 'still busy');

	$start = time;
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . worker_pid($node, 'postgres') . ')');
	ok($node->wait_for_log(qr/canceling statement due to user request/), 'it can be cancelled');
	cmp_ok(time - $start, '<', 2, 'at once');
	ok($busy->(), 'and goes on');
	$start = time;
	$node->safe_psql('postgres', 'SELECT cdp.stop_worker()');
	cmp_ok(time - $start, '<', 2, 'stop_worker() stops it in the middle of a batch');
	sleep 2.5;
	is(workers($node), 0, 'the launcher leaves it stopped');
	$node->safe_psql('postgres', 'UPDATE cdp.inbox SET message = replace(message, $$Slow$$, $$Quick$$)');
	$node->safe_psql('postgres', 'SELECT cdp.start_worker()');
	ok(drained($node, 'postgres', $before + 100), 'start_worker() starts it again, nothing was lost');

	$node->safe_psql('postgres', 'CREATE DATABASE busy');
	$node->safe_psql('busy', q{CREATE EXTENSION cdp;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
		CREATE TRIGGER slow BEFORE INSERT ON cdp.event_records FOR EACH ROW EXECUTE FUNCTION slow();} . messages(1, 500));
	wait_until(sub { $node->safe_psql('postgres',
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp worker' AND datname = 'busy' AND wait_event = 'PgSleep'") });
	$start = time;
	$node->safe_psql('postgres', 'DROP DATABASE busy');
	cmp_ok(time - $start, '<', 3, 'DROP DATABASE of the very database it is busy in');
}

note 'errors';
{
	my $before = events($node);
	my $size = -s $node->logfile;
	$node->safe_psql('postgres', 'ALTER TABLE cdp.event_records RENAME TO hidden;' . messages(2001, 2020));
	ok($node->wait_for_log(qr/relation "cdp.event_records" does not exist/, $size), 'the error is logged');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT consecutive_failures >= 5 FROM cdp.worker_status') eq 't' }),
		'cdp.worker_status counts failures');
	like($node->safe_psql('postgres', 'SELECT last_error FROM cdp.worker_status'),
		qr/"cdp.event_records" does not exist \(SQLSTATE 42P01\)/, 'and has the error');
	like($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE backend_type = 'cdp worker'"),
		qr/waiting \d+ ms after \d+ failures/, 'pg_stat_activity says that it waits');
	sleep 2;
	cmp_ok(log_count($node, 'WARNING: .*event_records', $size), '<', 8, 'it backs off');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), 20, 'no line is blamed for a missing table');
	$node->safe_psql('postgres', 'ALTER TABLE cdp.hidden RENAME TO event_records');
	ok(drained($node, 'postgres', $before + 20), 'it recovers');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT consecutive_failures = 0 FROM cdp.worker_status') eq 't' }),
		'and says so');

	$before += 20;
	$node->safe_psql('postgres', q{
		CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.event = 'Poison' THEN RAISE EXCEPTION 'this line is poisoned' USING ERRCODE = 'XX000'; END IF;
		RETURN NEW; END $$;
		CREATE TRIGGER poison BEFORE INSERT ON cdp.event_records FOR EACH ROW EXECUTE FUNCTION poison();}
		  . messages(3001, 3700) . ';' . messages(4001, 4002, 'Poison') . ';' . messages(5001, 5700));
	ok(drained($node, 'postgres', $before + 1400), 'bad lines do not stop the good ones');
	is($node->safe_psql('postgres', "SELECT count(*), min(reason), min(message::json->>'event') FROM cdp.quarantine WHERE code = 'processing_error'"),
		'2|this line is poisoned|Poison', 'they are in quarantine, with the reason');

	$node->safe_psql('postgres', 'SELECT cdp.stop_worker();'
		  . messages(6001, 6700) . ';' . messages(7001, 7002, 'Poison') . ';' . messages(8001, 8700));
	$node->safe_psql('postgres', 'CALL cdp.run()');
	is(events($node), $before + 2800, 'cdp.run() does the same');
	is($node->safe_psql('postgres', "SELECT count(*) FROM cdp.quarantine WHERE code = 'processing_error'"), 4, 'quarantined');
	is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE later) || ' of ' || count(*) FROM (SELECT event_id > lag(event_id, 1, 0::bigint) OVER (ORDER BY number) AS later
		FROM cdp.event_records, substr(message_id, 2) AS s, CAST(s AS integer) AS number WHERE number BETWEEN 3001 AND 8700) AS e}),
		'2800 of 2800', 'what a batch fails with does not put later lines before it');
	$node->safe_psql('postgres', messages(9001, 9030, 'Poison'));
	($rc, $out, $err) = $node->psql('postgres', 'CALL cdp.run()');
	like($err, qr/WARNING:.*10 lines in a row went to quarantine/, 'cdp.run() stops when everything fails');
	$node->safe_psql('postgres', 'SELECT cdp.start_worker()');
	sleep 2;
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), '>', 2, 'the worker slows down then');
	$node->safe_psql('postgres', 'DROP TRIGGER poison ON cdp.event_records; DELETE FROM cdp.inbox');

	my $pid = worker_pid($node, 'postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 5000)");
	ok(wait_until(sub { my $p = worker_pid($node, 'postgres'); $p && $p != $pid }), 'terminated, it comes back');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'cdp launcher'");
	is(workers($node, 'postgres'), 1, 'the worker does not need the launcher');
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp launcher'") == 1 }),
		'the launcher comes back, too');
	sleep 1.5;
	is(workers($node), 1, 'and starts no second worker');
}

note 'progress of a long run';
{
	$node->safe_psql('postgres', 'SELECT cdp.stop_worker();' . messages(20001, 20040, 'Slow'));
	my $run = psql_start($node, 'postgres', [ 'SET cdp.batch_size = 5', 'CALL cdp.run()' ], \$out, \$err);
	ok(wait_until(sub {
				$node->safe_psql('postgres', "SELECT task, done BETWEEN 5 AND 39, total FROM cdp.progress") eq 'run|t|40';
	}), 'cdp.progress shows it while it runs');
	$run->kill_kill;
	wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%cdp.run()%' AND pid <> pg_backend_pid()") == 0 });
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.progress'), 0, 'and nothing once its process is gone');
	$node->safe_psql('postgres', 'SELECT cdp.start_worker()');
	$run = psql_start($node, 'postgres', [ 'SET cdp.batch_size = 5', 'CALL cdp.run()' ], \$out, \$err);
	$run->finish;
	is($err, '', 'run() beside a worker');
	is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM cdp.inbox), (SELECT count(*) FROM cdp_internal.progress)'), '0|0', 'all done');
}

note 'a restore';
{
	my $before = events($node);
	my $restore = psql_start($node, 'postgres', [ "SET application_name = 'pg_restore'", 'SELECT pg_sleep(60)' ], \$out, \$err);
	wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore' AND query LIKE '%sleep%'") });
	$node->safe_psql('postgres', messages(25001, 25010));
	sleep 1;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), 10, 'the worker waits while pg_restore is connected');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_restore'");
	ok(drained($node, 'postgres', $before + 10), 'and works when it is done');
	$restore->finish;
}

note 'switched off and on';
{
	my $before = events($node);
	$node->safe_psql('postgres', 'ALTER SYSTEM SET cdp.worker = off');
	$node->reload;
	ok(wait_until(sub { workers($node) == 0 }), 'off: the workers leave');
	($rc, $out, $err) = $node->psql('postgres', 'SELECT cdp.start_worker()');
	like($err, qr/cdp.worker is off/, 'start_worker() says why not');
	$node->safe_psql('postgres', messages(30001, 30010));
	sleep 1.5;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), 10, 'nothing is drained');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET cdp.worker');
	$node->reload;
	ok(drained($node, 'postgres', $before + 10), 'on: drained');
}

note 'crashes';
{
	my $before = events($node);
	$node->safe_psql('postgres', 'ALTER SYSTEM SET cdp.batch_size = 10');
	$node->reload;
	$node->safe_psql('postgres', messages(40001, 40060, 'Slow'));
	ok(wait_until(sub { events($node) >= $before + 10 }), 'some batches are done');
	kill 9, worker_pid($node, 'postgres');
	ok($node->poll_query_until('postgres', 'SELECT 1', '1'), 'the server recovers from kill -9 of the worker');
	ok(wait_until(sub { workers($node, 'postgres') == 1 }), 'the worker is back');
	ok(drained($node, 'postgres', $before + 60), 'every message once');

	$node->safe_psql('postgres', messages(50001, 50060, 'Slow'));
	ok(wait_until(sub { events($node) >= $before + 70 }), 'some batches are done');
	$node->stop('immediate');
	$node->start;
	ok(wait_until(sub { workers($node, 'postgres') == 1 }), 'back after an immediate stop');
	ok(drained($node, 'postgres', $before + 120), 'every message once');
	$node->restart;
	ok(wait_until(sub { workers($node, 'postgres') == 1 }), 'back after a restart');
	is($node->safe_psql('postgres', "SELECT count(*) - count(DISTINCT message_id) FROM cdp.event_records WHERE message_id ~ '^m[45]0'"), 0,
		'no message twice');
}

note 'standby and promotion';
{
	$node->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;
	sleep 1;
	is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cdp%'"), 0,
		'neither launcher nor worker on a standby');
	($rc, $out, $err) = $standby->psql('postgres', 'SELECT cdp.start_worker()');
	like($err, qr/standby has no cdp worker/, 'nor by hand');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM cdp.progress'), 0, 'cdp.progress can be read there');
	$standby->promote;
	ok(wait_until(sub { workers($standby, 'postgres') == 1 }), 'it starts on promotion');
	my $before = events($standby);
	$standby->safe_psql('postgres', messages(60001, 60010));
	ok(drained($standby, 'postgres', $before + 10), 'and works');
	$standby->stop;
}

note 'too few slots';
{
	$node->append_conf('postgresql.conf', 'max_worker_processes = 2'); # the launcher of logical replication has the other
	$node->restart;
	ok($node->wait_for_log(qr/no free slot for a cdp worker.*HINT:.*max_worker_processes/s), 'the log says what to change');
	($rc, $out, $err) = $node->psql('postgres', 'SELECT cdp.start_worker()');
	like($err, qr/no free slot.*HINT:.*max_worker_processes/s, 'so does start_worker()');
}
$node->stop;
done_testing();
