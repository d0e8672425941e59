# Building a version of a segment in the background: killed at any moment it goes on where it was, what was in force stays
# readable until the new version is, and refreshes happen by themselves.
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

my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my ($out, $err);
my $people = 4000;

my $node = new_server('definitions', conf => "cdp.worker = off\ncdp.worker_naptime = 20\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION cdp;
	SELECT cdp.create_segment('visitors', $$count(*) FILTER (WHERE event = 'Visited') > 0$$);});
$node->safe_psql('postgres', "SELECT cdp.ingest(jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'track', 'messageId', 'm' || n,
	'userId', 'u' || n, 'event', CASE WHEN n % 2 = 0 THEN 'Visited' ELSE 'Bought' END, 'timestamp', '2026-01-01T00:00:00Z')))) FROM generate_series(1, $people) AS n");
$node->safe_psql('postgres', q{
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$;
	CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON cdp.memberships FOR EACH STATEMENT EXECUTE FUNCTION wait_here();
	CREATE TRIGGER wait_here AFTER UPDATE OR DELETE ON cdp_internal.segment_builds FOR EACH STATEMENT EXECUTE FUNCTION wait_here();});

sub value { return $node->safe_psql('postgres', $_[0]) }
sub members { return value("SELECT count(*) FROM cdp.members('$_[0]')") }

my $before = members('visitors');
is($before, $people / 2, 'half of them visited');
is(value(q{SELECT cdp.alter_segment('visitors', rule => $$count(*) FILTER (WHERE event = 'Bought') > 0$$)}), 2, 'a second version');
value(q{SELECT cdp.create_segment('all_of_them', 'count(*) > 0', background => true)});

my ($kills, $tries, $places, $wrong) = (0, 0, 0, 0);
my $last = -1;
while (value('SELECT count(*) FROM cdp_internal.segment_builds') > 0)
{
	die 'no end' if ++$tries > 60;
	my $run = psql_start($node, 'postgres', [ 'SET application_name = victim', 'CALL cdp.run()' ], \$out, \$err);
	if ($kills < 8)
	{
		sleep 0.05 + rand 0.25;
		my ($rc, $pid) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active'");
		if ($pid)
		{
			$kills++;
			kill 9, $pid;
			sleep 0.1;
			recovered($node) or die 'no recovery';
		}
	}
	eval { $run->finish };
	my $place = value(q{SELECT coalesce(sum(done), -1) FROM cdp.progress WHERE task = 'build segment visitors (version 2)'});
	$places++ if $place > $last;
	$last = $place;
	# Until it is in force nothing shows of it.
	$wrong++ if value(q{SELECT version FROM cdp.segments WHERE name = 'visitors'}) == 1 && members('visitors') != $before;
}
cmp_ok($kills, '>=', 4, "killed $kills times");
cmp_ok($places, '>=', 2, 'and it went on where it was');
is($wrong, 0, 'nothing showed before its time');
is(members('visitors'), $people / 2, 'the second version is in force');
is(value(q{SELECT count(*) FROM cdp.members('visitors') AS m JOIN cdp.events AS e USING (profile_id) WHERE e.event <> 'Bought'}), 0, 'with its own members');
is(members('all_of_them'), $people, 'and so is what was built from the start');
is(value(q{SELECT string_agg(state, ',') FROM cdp.segments}), 'active,active', 'nothing is being built any more');
verified($node, 'postgres');

note 'a worker that is killed, and messages beside it';
value(q{CREATE TABLE picked AS SELECT profile_id FROM cdp.profiles WHERE profile_id % 3 = 0});
value(q{SELECT cdp.create_segment('picked', query => 'SELECT profile_id FROM public.picked', refresh => '1 second')});
is(value(q{SELECT cdp.alter_segment('visitors', rule => $$count(*) FILTER (WHERE event = 'Visited') > 0$$)}), 3, 'a third version');
$node->append_conf('postgresql.conf', "cdp.worker = on\n");
$node->reload;
for my $n (1 .. 12)
{
	if ($n % 3 == 0)
	{
		my $pid;
		wait_until(sub { $pid = worker_pid($node, 'postgres') }) or die 'no worker';
		sleep rand 0.2;
		kill 9, $pid;
		sleep 0.1;
		recovered($node) or die 'no recovery';
	}
	value("SELECT cdp.track('Visited', user_id => 'u' || 2 * $n - 1)");
	value("SELECT cdp.track('Visited', user_id => 'late' || $n)");
	value("SELECT cdp.allow_link('{\"user_id\": \"u$n\"}', '{\"user_id\": \"late$n\"}', 'test')") if $n % 4 == 0;
}
ok(wait_until(sub { value('SELECT count(*) FROM cdp_internal.segment_builds') == 0 }, 60), 'the worker builds it');
is(members('visitors'), $people / 2 + 12 + 12 - 3, 'with those who came meanwhile'); # u4, u8 and u12 visited before, and are one with late ones
value('INSERT INTO picked SELECT profile_id FROM cdp.profiles WHERE profile_id % 3 = 1');
ok(wait_until(sub { members('picked') == value('SELECT count(DISTINCT cdp.current_profile(profile_id)) FROM picked') }, 30), 'the worker refreshes what is due');
value(q{ALTER TABLE picked RENAME TO gone});
ok(wait_until(sub { value(q{SELECT count(*) FROM cdp.segment_errors WHERE sqlstate = '42P01'}) == 1 }, 30), 'and notes what fails');
cmp_ok(members('picked'), '>', 0, 'whose members stay');
is(value(q{SELECT status FROM cdp.health() WHERE check_name = 'worker errors'}), 'ok', 'which is no failure of the worker');
value(q{ALTER TABLE gone RENAME TO picked});
ok(wait_until(sub { value('SELECT count(*) FROM cdp.segment_errors') == 0 }, 30), 'until it works again');
verified($node, 'postgres');

$node->stop;
done_testing();
