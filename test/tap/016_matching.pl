# Matching that is killed in the middle, and that several do at once while records change: in the end it is what one undisturbed run finds, the
# links are those of its matches, and all of them taken back leave as many people as there are records.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kills = $ENV{KILLS} // 3;
my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my ($out, $err);
my $node = new_server('matching', conf => "cdp.worker = off\nautovacuum = off\n");
$node->start;
sub ask { return $node->safe_psql('postgres', $_[0]) }

my $records = 6000;
ask(qq{
	CREATE EXTENSION cdp;
	CREATE TABLE crm (id integer PRIMARY KEY, first_name text, last_name text, born text, town text);
	INSERT INTO crm SELECT i, CASE WHEN i % 3 = 0 THEN left(md5('f' || p % 400), 6) || 'x' ELSE left(md5('f' || p % 400), 7) END, left(md5('l' || p % 1500), 8),
		(date '1940-01-01' + p * 7919 % 25000)::text, 'town ' || p % 40
	FROM (SELECT i, CASE WHEN i % 3 = 0 THEN i - 1 ELSE i END AS p FROM generate_series(1, $records) AS i) AS r;
	SELECT cdp.create_matcher('crm', cdp.people_matcher('{"given_name": "first_name", "family_name": "last_name", "date_of_birth": "born", "city": "town"}', id_column => 'id'));
	SELECT count(*) FROM cdp.train_matcher('crm', 'crm');
	SELECT cdp.create_matcher('calm', cdp.export_matcher('crm'));
	SELECT cdp.create_identifier_type('crm_id', priority => 60);
	SELECT cdp.attach_table('crm', source => 'crm', identifiers => '{"crm_id": "id"}', traits => '{"firstName": "first_name"}');
	CALL cdp.run();});
my $people = 'SELECT count(DISTINCT profile_id) FROM cdp.identifiers';
is(ask($people), $records, 'each record is somebody');

# A statement in a session of its own, killed after a moment of that length or less; true when it was at work.
sub strike
{
	my ($statement, $length) = @_;
	my $run = psql_start($node, 'postgres', ['SELECT pg_sleep(0.5)', $statement], \$out, \$err);
	my $pid;
	wait_until(sub { $pid = ask("SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(0.5)'") }) or die "no session for $statement";
	ask(qq{DO \$\$ BEGIN
		FOR i IN 1 .. 2000 LOOP -- until its sleep is over: it may be quicker than another session starts
			PERFORM pg_stat_clear_snapshot(), pg_sleep(0.002);
			EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND query = 'SELECT pg_sleep(0.5)');
		END LOOP;
	END \$\$});
	sleep rand $length;
	my $there = kill 9, $pid;
	eval { $run->finish };
	sleep 0.1;
	recovered($node) or die 'no recovery after kill -9';
	return $there && $err =~ /server closed the connection|terminating connection/;
}

my $hits = 0;
for my $statement ("SELECT * FROM cdp.train_matcher('crm', 'crm')", "SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2)",
	"CALL cdp.link_all_matches('crm', 'crm_id', batch => 50)")
{
	if ($statement =~ /link/) { ask("SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2)") }
	$hits += strike($statement, 0.2) for 1 .. $kills;
	verified($node, 'postgres', "nothing is wrong after $statement was killed");
}
cmp_ok($hits, '>=', $kills, 'most were in the middle of their work');
is(ask('SELECT count(*) FROM cdp.progress'), 0, 'nothing says that it still runs');

# Trained as before, or not at all.
my $model = sub { ask("SELECT md5((cdp.export_matcher('$_[0]') - 'settings')::text)") };
is($model->('crm'), $model->('calm'), 'a training that is killed changes nothing, one that ends finds the same');

# Two at once, with people who decide and rows that change meanwhile.
ask("SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2)");
my @decided = split /\n/, ask("SELECT match_id FROM cdp.match_review ORDER BY match_weight DESC LIMIT 6");
my (@runs, @outs, @errs);
for my $statement ("SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2)", "SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2)",
	"INSERT INTO crm SELECT id + 100000, first_name, last_name, born, town FROM crm WHERE id % 100 = 1",
	"UPDATE crm SET town = 'elsewhere' WHERE id % 50 = 7", "DELETE FROM crm WHERE id % 200 = 9", "CALL cdp.link_all_matches('crm', 'crm_id')",
	"CALL cdp.run()", map({ "SELECT cdp.accept_match($_, 'yes')" } @decided[0 .. 2]), map({ "SELECT cdp.reject_match($_, 'no')" } @decided[3 .. 5]))
{
	push @runs, psql_start($node, 'postgres', [$statement], \$outs[@runs], \$errs[@runs]);
}
$_->finish for @runs;
is(join('', map { $_ // '' } @errs), '', 'all went well');
ask("SELECT * FROM cdp.find_matches('crm', 'crm', 0.9, 0.2); CALL cdp.run()");
ask("SELECT * FROM cdp.find_matches('calm', 'crm', 0.9, 0.2)");
is( ask(q{SELECT count(*) FROM (SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'crm' AND found <> 'gone'
	EXCEPT SELECT id_l, id_r, match_weight, found FROM cdp.matches WHERE matcher = 'calm') AS other}), 0, 'the matches are those of an undisturbed run');
is( ask("SELECT count(*) FROM cdp.matches AS a JOIN cdp.matches AS b USING (id_l, id_r) WHERE a.matcher = 'crm' AND b.matcher = 'calm' AND a.found = b.found AND a.found <> 'gone'"),
	ask("SELECT count(*) FROM cdp.matches WHERE matcher = 'calm'"), 'all of them');
is(ask('SELECT string_agg(state, \',\' ORDER BY match_id) FROM cdp.matches WHERE match_id IN (' . join(',', sort { $a <=> $b } @decided) . ')'),
	join(',', map { my $id = $_; (grep { $_ == $id } @decided[0 .. 2]) ? 'accepted' : 'rejected' } sort { $a <=> $b } @decided), 'what people said holds');

# Links are those of the matches, and split back exactly.
ask("CALL cdp.link_all_matches('crm', 'crm_id')");
is(ask("SELECT count(*) FROM cdp.matches WHERE matcher = 'crm' AND (state IN ('linked', 'accepted')) <> (linked_seq IS NOT NULL)"), 0, 'all links are made');
is(ask("SELECT count(*) FROM cdp.matches WHERE matcher = 'crm' AND linked_seq IS NOT NULL AND cdp.lookup('crm_id', id_l) IS DISTINCT FROM cdp.lookup('crm_id', id_r)"), 0,
	'who is linked is one');
cmp_ok(ask($people), '<', ask('SELECT count(*) FROM cdp.identifiers'), 'there are fewer people than records');
verified($node, 'postgres', 'linked: cdp.verify() finds nothing');
ask("SELECT count(cdp.reject_match(match_id, 'all back')) FROM cdp.matches WHERE matcher = 'crm' AND state IN ('linked', 'accepted')");
ask("CALL cdp.link_all_matches('crm', 'crm_id')");
is(ask($people), ask('SELECT count(*) FROM cdp.identifiers'), 'taken back, each record is somebody again');
verified($node, 'postgres', 'taken back: cdp.verify() finds nothing');
$node->stop;
done_testing();
