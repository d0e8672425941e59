# Other rules of survivorship, applied in the background: killed at any moment it goes on where it was, messages that come meanwhile are
# folded by the new rules, and segments follow in the same commit.
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
my $people = 3000;

my $node = new_server('survivorship', conf => "cdp.worker = off\nautovacuum = off\n");
$node->start;
sub value { return $node->safe_psql('postgres', $_[0]) }
sub say_plans
{
	my ($source, $plan, $when) = @_;
	value("SELECT cdp.ingest(jsonb_build_object('batch', jsonb_agg(jsonb_build_object('type', 'identify', 'messageId', 'm' || n, 'userId', 'u' || n,
		'traits', jsonb_build_object('plan', '$plan'), 'timestamp', '$when'))), '$source') FROM generate_series(1, $people) AS n");
}
value('CREATE EXTENSION cdp');
say_plans('crm', 'gold', '2026-01-01T00:00:00Z');
say_plans('web', 'basic', '2026-01-02T00:00:00Z');
value(q{SELECT cdp.create_segment('gold', $$traits ->> 'plan' = 'gold'$$)});
is(value(q{SELECT count(*) FROM cdp.members('gold')}), 0, 'the newest says basic');
value(q{CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$;
	CREATE TRIGGER wait_here AFTER UPDATE ON cdp.profiles FOR EACH STATEMENT EXECUTE FUNCTION wait_here();
	CREATE TRIGGER wait_here AFTER UPDATE OR DELETE ON cdp_internal.survivorship_builds FOR EACH STATEMENT EXECUTE FUNCTION wait_here();
	SELECT cdp.set_survivorship('plan', 'source_priority', sources => '{crm}')});
is(value('SELECT count(*) FROM cdp.profile_diff()'), $people, 'everybody would change');
is(value('SELECT cdp.apply_survivorship()'), 1, 'the first version');

my ($kills, $tries, $places, $sent, $wrong) = (0, 0, 0, 0, 0);
my $last = -1;
while (value('SELECT count(*) FROM cdp_internal.survivorship_builds') > 0)
{
	die 'no end' if ++$tries > 60;
	my $run = psql_start($node, 'postgres', [ 'SET application_name = victim', 'CALL cdp.run()' ], \$out, \$err);
	if ($kills < 8)
	{
		sleep 0.05 + rand 0.2;
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
	my $place = value(q{SELECT coalesce(sum(done), -1) FROM cdp.progress WHERE task LIKE 'apply survivorship%'});
	$places++ if $place > $last;
	$last = $place;
	# Whoever is folded anew is in the segment, whoever is not is not.
	$wrong += value(q{SELECT count(*) FROM cdp.profiles AS p WHERE (p.rules_version = 1) <> (p.traits ->> 'plan' = 'gold')
		OR (p.rules_version = 1) <> EXISTS (SELECT FROM cdp.members('gold') AS m WHERE m.profile_id = p.profile_id)});
	# A message of somebody whose turn has not come, and one of somebody new.
	value("SELECT cdp.identify(user_id => 'u' || $people - $tries, traits => '{\"plan\": \"silver\"}', source => 'web')");
	$sent += value("SELECT count(*) FROM cdp.profiles AS p JOIN cdp.identifiers AS i USING (profile_id) WHERE i.value = 'u' || $people - $tries AND p.rules_version = 1 AND p.traits ->> 'plan' = 'gold'");
}
ok($kills >= 3, "killed $kills times while it folded people anew");
ok($places >= 3, "it went on from where it was, $places times");
is($wrong, 0, 'at every moment people, version and segment fit');
is($sent, $tries, 'messages that came meanwhile were folded by the new rules');
is(value(q{SELECT count(*) FROM cdp.members('gold')}), $people, 'all are gold now');
is(value('SELECT count(*) FROM cdp.profiles WHERE rules_version <> 1'), 0, 'nobody is left behind');
is(value('SELECT count(*) FROM cdp.verify()'), 0, 'verify() finds nothing');

# Cancelled, it stops between batches or in one, and can be called again.
value(q{SELECT cdp.drop_survivorship('plan'); SELECT cdp.apply_survivorship()});
my $run = psql_start($node, 'postgres', [ 'SET application_name = victim', 'CALL cdp.run()' ], \$out, \$err);
sleep 0.2;
value(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'});
eval { $run->finish };
value('CALL cdp.run()');
is(value(q{SELECT count(*) FROM cdp.members('gold')}), 0, 'taken back: basic, or silver');
is(value('SELECT count(*) FROM cdp.verify()'), 0, 'verify() finds nothing');

# Rules in force, drafts, and who was folded by what are in a dump.
my $dump = $node->backup_dir . '.sql';
value(q{SELECT cdp.set_survivorship('plan', 'earliest'); SELECT cdp.apply_survivorship(); SELECT cdp.define_trait('plan', 'text')});
$node->run_log([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ]);
value('CREATE DATABASE restored');
$node->run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ]);
$node->safe_psql('restored', 'CALL cdp.run()');
is($node->safe_psql('restored', q{SELECT count(*) FROM cdp.members('gold')}), $people, 'restored half-way, it goes on');
is($node->safe_psql('restored', 'SELECT count(*) FROM cdp.verify()'), 0, 'verify() finds nothing');
is($node->safe_psql('restored', 'SELECT count(*) FROM cdp.pending_survivorship()'), 1, 'the draft is there');
done_testing();
