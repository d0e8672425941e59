# Whatever is killed, at whatever moment: every message is there exactly once, and all is as if nothing had happened.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use IPC::Run;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# LINES, and KILLS of each kind of process: scripts/soak crash asks for many. WORKERS: how many drain the inbox together; with
# one of them numbers are compared, too.
my $lines = $ENV{LINES} // 3000;
my $kills = $ENV{KILLS} // 5;
my $times = $lines > 3000 ? int($lines / 3000) : 1;
my $batch = $lines > 50000 ? int($lines / 1000) : 50;
my $patience = 60 * $times;
my $workers = $ENV{WORKERS} // 2;
my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my ($out, $err);
sub state_of { return cdp_state(shift, 'postgres', numbers => $workers == 1) }

# The same inbox, undisturbed, in batches of another size.
my $calm = new_server('calm', preload => 0, conf => "autovacuum = off\n");
$calm->start;
$calm->safe_psql('postgres', 'CREATE EXTENSION cdp;' . answers() . inbox_of_people(1, $lines, $times));
$calm->safe_psql('postgres', 'CALL cdp.run()');
my $expected = state_of($calm);
verified($calm, 'postgres', 'undisturbed: cdp.verify() finds nothing');
my @counts = map { $calm->safe_psql('postgres', "SELECT count(*) FROM $_") }
  my @tables = qw(cdp.message_keys cdp.event_records cdp.assertions cdp.quarantine);
cmp_ok($counts[0], '>', $lines * 0.9, 'most lines are accepted');
cmp_ok($counts[3], '>', $lines / 60, 'some are quarantined');
is($counts[0], $counts[1] + $counts[2], 'every accepted message is one fact');

# The storm. Waits at each table that a batch writes make batches long enough to be hit at any stage.
my $storm = new_server('storm', conf => "cdp.worker = off\ncdp.worker_naptime = 10\ncdp.batch_size = $batch\ncdp.inbox_workers = $workers\nautovacuum = off\n");
$storm->start;
$storm->safe_psql('postgres', 'CREATE EXTENSION cdp;' . answers() . inbox_of_people(1, $lines, $times));
$storm->safe_psql('postgres', q{
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;}
	  . join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" }
	  qw(cdp.message_keys cdp.identifiers cdp.evidence cdp.event_records cdp.assertions cdp.profiles cdp.memberships cdp.inbox cdp.quarantine));
is($storm->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), $lines, 'the same inbox');

sub waiting { return $storm->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox') }


# kill -9, when it is there to be killed; true when the process was in the middle of a transaction.
sub strike
{
	my ($pid, $what) = @_;
	my $state = $storm->safe_psql('postgres', "SELECT coalesce(state, '') FROM pg_stat_activity WHERE pid = $pid");
	kill 9, $pid or die "$what $pid: $!";
	sleep 0.1; # for the server to notice
	recovered($storm) or die "no recovery after kill -9 of $what";
	return $state eq 'active';
}

my ($hits, $left) = (0, $lines);
for my $round (1 .. $kills)
{
	my $run = psql_start($storm, 'postgres', ['CALL cdp.run()'], \$out, \$err);
	my $pid;
	wait_until(sub { $pid = $storm->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'CALL cdp.run()'") })
	  or die 'cdp.run() did not start';
	sleep 0.05 + rand 0.5;
	$hits += strike($pid, 'a backend');
	eval { $run->finish };
	like($err, qr/server closed the connection|terminating connection/, "cdp.run() killed at a random moment ($round)");
}
cmp_ok($hits, '>=', $kills / 2, 'it was in the middle of its work');
cmp_ok(waiting(), '<', $left, 'it got somewhere');
$left = waiting();
is($storm->safe_psql('postgres', 'SELECT count(*) FROM cdp.progress'), 0, 'nothing says that it still runs');

$storm->append_conf('postgresql.conf', "cdp.worker = on\n");
$storm->reload;
$hits = 0;
my $struck_beside = 0;
for my $round (1 .. $kills)
{
	my $pid;
	ok(wait_until(sub { $pid = worker_pid($storm, 'postgres') }), "a worker is there ($round)");
	wait_until(sub { $storm->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid") eq 'active' });
	sleep rand 0.4;
	# Every second time the one that drains with it.
	my $beside = '';
	wait_until(sub { $beside = $storm->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker' LIMIT 1") }, 5)
	  if $workers > 1 && $round % 2;
	$struck_beside += $beside ne '';
	$hits += $beside ne '' ? strike($beside, 'an inbox worker') : strike($pid, 'the worker');
}
cmp_ok($hits, '>=', $kills / 2, 'killed in the middle of its work');
cmp_ok($struck_beside, '>', 0, 'and so one beside it') if $workers > 1;
cmp_ok(waiting(), '<', $left, 'it got somewhere');
$left = waiting();

for my $round (1 .. 3)
{
	wait_until(sub { workers($storm, 'postgres') });
	sleep rand 0.4;
	$storm->stop('immediate');
	$storm->start;
}
# The others: whoever writes for all, and the server itself.
for my $what ('checkpointer', 'walwriter', 'background writer', 'postmaster')
{
	wait_until(sub { workers($storm, 'postgres') });
	sleep rand 0.4;
	if ($what eq 'postmaster')
	{
		$storm->kill9;
		# Those that it started notice by themselves, and the memory they share is free then.
		ok(wait_until(sub {
			return 1 if $storm->start(fail_ok => 1);
			$storm->{_pid} = undef; # of the file that the dead one left
			return 0;
		}, 30), 'the server itself killed, and started again');
		next;
	}
	my $pid = $storm->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$what'");
	strike($pid, $what);
	pass("$what killed");
}
$left = waiting();
cmp_ok($left, '>', 0, "the storm came before the end ($left lines were left)");
# A killed server is started with a worker that is already at work, then the rest is left in peace.
$storm->safe_psql('postgres', join '', map { "DROP TRIGGER wait_here ON $_;" }
	  qw(cdp.message_keys cdp.identifiers cdp.evidence cdp.event_records cdp.assertions cdp.profiles cdp.memberships cdp.inbox cdp.quarantine));
ok(wait_until(sub { waiting() == 0 }, $patience), 'the rest is drained');

is($storm->safe_psql('postgres', "SELECT count(*) FROM $tables[$_]"), $counts[$_], "as many rows in $tables[$_]") for 0 .. $#tables;
is($storm->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT (source_id, message_id)) FROM
	(SELECT source_id, message_id FROM cdp.event_records UNION ALL SELECT source_id, message_id FROM cdp.assertions) AS f'),
	0, 'no message twice');
verified($storm, 'postgres');
same_state(state_of($storm), $expected, 'everything is as without the storm, row by row');

note 'senders who do not know what became of their message';
{
	# Each batch is sent again until the server says what it did with it.
	$calm->safe_psql('postgres', "SELECT cdp.ingest(jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'identify',
		'messageId', 's' || n, 'userId', 'u' || n % 211, 'anonymousId', 's' || n / 3, 'timestamp', '2026-01-03T00:00:00Z',
		'traits', jsonb_build_object('sent', n)) ORDER BY n)), 'sender', '2026-01-04T00:00:00Z') FROM generate_series(1, 600) AS n");
	$storm->safe_psql('postgres', 'CREATE TRIGGER wait_here AFTER INSERT OR UPDATE ON cdp.profiles FOR EACH STATEMENT EXECUTE FUNCTION wait_here()');
	my ($tries, $kills) = (0, 0);
	for my $batch (0 .. 29)
	{
		my $from = $batch * 20 + 1;
		my $to = $from + 19;
		for (;;)
		{
			die 'too many tries' if ++$tries > 200;
			my $sender = psql_start($storm, 'postgres', [ "SELECT accepted + duplicate FROM cdp.ingest((SELECT
				jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'identify', 'messageId', 's' || n, 'userId', 'u' || n % 211,
				'anonymousId', 's' || n / 3, 'timestamp', '2026-01-03T00:00:00Z', 'traits', jsonb_build_object('sent', n)) ORDER BY n))
				FROM generate_series($from, $to) AS n), 'sender', '2026-01-04T00:00:00Z')" ], \$out, \$err);
			if ($batch % 10 == 5 && $kills < $batch / 5)
			{
				sleep rand 0.06;
				my ($rc, $pid) = $storm->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query LIKE '%sender%' AND pid <> pg_backend_pid() LIMIT 1");
				if ($pid) { $kills++; kill 9, $pid; sleep 0.1; recovered($storm); }
			}
			eval { $sender->finish };
			last if $out =~ /^20$/m;
			recovered($storm);
		}
	}
	cmp_ok($tries, '>=', 30, "all batches were sent, in $tries tries with $kills kills");
	same_state(state_of($storm), state_of($calm), 'sent again until it is answered: everything exactly once');
	verified($storm, 'postgres');
}

$calm->stop;
$storm->stop;
done_testing();
