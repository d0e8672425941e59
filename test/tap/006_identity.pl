# Rules applied, splits, decisions and rebuilds, killed at whatever moment: all or nothing of each, and the work goes on.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $lines = 1500;
my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my ($out, $err);

# Rules under which people merge and split; one statement each, so that each may be killed.
my @steps = (
	q{SELECT cdp.alter_identifier_type('email', max_values => 1), cdp.alter_identifier_type('anonymous_id', sharing => 'joins')},
	q{SELECT cdp.alter_identifier_type('user_id', is_unique => false)},
	q{SELECT cdp.apply_identity_rules()},
	q{CALL cdp.run()},
	q{SELECT cdp.remove_identifier(jsonb_build_object('anonymous_id', (SELECT min(value) FROM cdp.identifiers WHERE type = 'anonymous_id')), reason => 'shared')},
	q{SELECT cdp.split_profile(p.profile_id, (SELECT to_jsonb(min(i.identifier_id)) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id
		AND i.type = 'user_id'), reason => 'two') FROM (SELECT profile_id FROM cdp.identifiers GROUP BY profile_id ORDER BY count(*) DESC, 1 LIMIT 1) AS p},
	q{SELECT cdp.alter_identifier_type('user_id', is_unique => true)},
	q{SELECT cdp.apply_identity_rules()},
	q{CALL cdp.run()},
	q{CALL cdp.rebuild()});

my @nodes;
for my $name (qw(calm storm))
{
	my $node = new_server($name, preload => 0, conf => "cdp.worker = off\nautovacuum = off\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION cdp;' . answers() . inbox_of_people(1, $lines));
	$node->safe_psql('postgres', 'CALL cdp.run()');
	push @nodes, $node;
}
my ($calm, $storm) = @nodes;
same_state(cdp_state($storm, 'postgres'), cdp_state($calm, 'postgres'), 'both begin alike');
$calm->safe_psql('postgres', $_) for @steps;
verified($calm, 'postgres', 'undisturbed: cdp.verify() finds nothing');
cmp_ok($calm->safe_psql('postgres', "SELECT count(*) FROM cdp.identity_changes WHERE change = 'split'"), '>', 20, 'people were split');
my $merged = $calm->safe_psql('postgres', "SELECT count(*) FROM cdp.identity_changes WHERE change = 'merged'");
cmp_ok($merged, '>', 20, '... and merged');

# Waits at what a decision writes make it long enough to be hit at any stage.
my @tables = qw(cdp.identifiers cdp.evidence cdp.identity_changes cdp.event_records cdp.profiles cdp.memberships cdp.identity_decisions);
$storm->safe_psql('postgres', q{
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;}
	  . join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" } @tables);
my $kills = 0;
for my $step (@steps)
{
	my $tries = 0;
	for (;;)
	{
		die "no end of $step" if ++$tries > 15;
		my $run = psql_start($storm, 'postgres', [ 'SET application_name = victim', $step ], \$out, \$err);
		if ($tries <= 6)
		{
			sleep rand 0.2;
			my ($rc, $pid) = $storm->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active'");
			if ($pid)
			{
				$kills++;
				kill 9, $pid;
				sleep 0.1;
				recovered($storm) or die 'no recovery';
			}
		}
		my $fine = eval { $run->finish };
		last if $fine && $err !~ /server closed|terminating connection/;
		# A decision that was committed before the kill is made already.
		last if $step =~ /split_profile|remove_identifier/ && $storm->safe_psql('postgres', "SELECT count(*) FROM cdp.identity_decisions WHERE kind = '"
			  . ($step =~ /split/ ? 'forbid_link' : 'remove_identifier') . "'") > 0;
	}
}
cmp_ok($kills, '>', 5, "killed $kills times");
$storm->safe_psql('postgres', join '', map { "DROP TRIGGER wait_here ON $_;" } @tables);
$storm->safe_psql('postgres', 'CALL cdp.run()');
is($storm->safe_psql('postgres', 'SELECT count(*) FROM cdp.identity_queue'), 0, 'nobody waits to be decided');
verified($storm, 'postgres');

# What happened on the way may have come in other batches; who is who, what they did and what holds now is the same.
my $state = sub { join "\n", grep { !/^(change|membership|rule failed)/ } split /\n/, cdp_state($_[0], 'postgres') };
same_state($state->($storm), $state->($calm), 'everything is as without the storm');
is($storm->safe_psql('postgres', 'SELECT count(*) FROM cdp.segment_members'), $calm->safe_psql('postgres', 'SELECT count(*) FROM cdp.segment_members'),
	'as many memberships hold');

$_->stop for @nodes;
done_testing();
