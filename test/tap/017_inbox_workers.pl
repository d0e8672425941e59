# Processes that drain the inbox together: they come when many lines wait, and nothing depends on them.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $lines = 6000;
my $conf = "cdp.worker_naptime = 10\ncdp.batch_size = 200\n";
my $node = new_server('shared', conf => $conf . "cdp.inbox_workers = 3\n");
$node->start;

sub beside
{
	my ($state) = @_;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker'"
		  . ($state ? " AND state = '$state'" : '') . ' LIMIT 1');
}

sub fill
{
	my ($database, $from) = (@_, 1);
	$node->safe_psql($database, inbox_of_people($from, $from + $lines - 1, 3));
	return wait_until(sub { beside() }, 20);
}

sub is_empty { return $node->safe_psql(shift, 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }

$node->safe_psql('postgres', 'CREATE EXTENSION cdp');
ok(fill('postgres'), 'they come when many lines wait');
my $cancelled = $node->safe_psql('postgres', "SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker' AND state = 'active') AS x");
note "$cancelled cancelled";
ok(wait_until(sub { is_empty('postgres') }, 60), 'a cancel of one of them costs a second try');
verified($node, 'postgres');
is($node->safe_psql('postgres', "SELECT count(*) FROM cdp.quarantine WHERE code = 'processing_error'"), 0, 'and no line');

# Who is left when a setting wants fewer; a whole table is locked; some lines fail, in the parts of several processes.
fill('postgres', $lines + 1);
$node->safe_psql('postgres', 'REINDEX TABLE cdp.inbox') for 1 .. 10;
pass('REINDEX of the inbox waits for them, and they for it, one after the other');
$node->safe_psql('postgres', 'BEGIN; LOCK TABLE cdp.event_records; COMMIT') for 1 .. 10;
pass('so does who locks the events');
$node->safe_psql('postgres', inbox_of_people(2 * $lines + 1, 5 * $lines, 3) . '; ALTER SYSTEM SET cdp.inbox_workers = 1; SELECT pg_reload_conf()');
ok(wait_until(sub { !beside() }, 20), 'they leave when they are no longer wanted');
is(is_empty('postgres'), '', 'while lines wait');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET cdp.inbox_workers; SELECT pg_reload_conf()');
ok(wait_until(sub { is_empty('postgres') }, 120), 'the rest is decided');
$node->safe_psql('postgres', <<'SQL' . inbox_of_people(5 * $lines + 1, 5 * $lines + 3000, 3));
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.event = 'Bad' THEN RAISE 'refused'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON cdp.event_records FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO cdp.inbox (message) SELECT json_build_object('type', 'track', 'messageId', 'b' || i, 'userId', 'b' || i, 'timestamp', '2026-01-01',
  'event', CASE WHEN i % 4 = 0 THEN 'Bad' ELSE 'Good' END) FROM generate_series(1, 200) AS i;
SQL
ok(wait_until(sub { is_empty('postgres') }, 120), 'lines that fail go to quarantine');
is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE message ~ 'Bad') FROM cdp.quarantine WHERE code = 'processing_error'"), '50|50', 'and none that others had to do with');
verified($node, 'postgres');
ok(wait_until(sub { !beside() }, 30), 'they leave when nothing waits any more');

$node->safe_psql('postgres', 'CREATE DATABASE stopped');
$node->safe_psql('stopped', 'CREATE EXTENSION cdp');
ok(fill('stopped'), 'and come again');
is($node->safe_psql('stopped', 'SELECT cdp.stop_worker()'), 't', 'stop_worker() in between');
is(beside(), '', 'no process is left then');
my $left = $node->safe_psql('stopped', 'SELECT count(*) FROM cdp.inbox');
$node->safe_psql('stopped', 'CALL cdp.run()');
ok(is_empty('stopped'), "CALL cdp.run() decides the $left lines that were left");
verified($node, 'stopped');

$node->safe_psql('postgres', 'CREATE DATABASE dropped');
$node->safe_psql('dropped', 'CREATE EXTENSION cdp');
ok(fill('dropped'), 'and come in another database');
$node->safe_psql('postgres', 'DROP DATABASE dropped');
pass('DROP DATABASE waits for them no longer than for the worker');
$node->safe_psql('stopped', 'SELECT cdp.start_worker()');
ok(fill('stopped', $lines + 1), 'the worker that was started again has some, too');

# Somebody holds a person: one of them waits for that, the worker for it; then for who drops the extension, who waits for the worker.
my ($waits, $out, $err);
my $of = "FROM pg_stat_activity WHERE datname = 'stopped' AND wait_event_type = 'Lock' AND backend_type";
for my $try (1 .. 20)
{
	my $holder = psql_start($node, 'stopped', ['BEGIN', "SELECT cdp.identify(user_id => 'u$try')", 'SELECT pg_sleep(4)', 'COMMIT'], \$out, \$err);
	$waits = wait_until(sub { $node->safe_psql('postgres', "SELECT EXISTS (SELECT $of = 'cdp inbox worker' AND wait_event = 'transactionid')") eq 't' }, 3);
	my $drop = $waits && psql_start($node, 'stopped', ["SET statement_timeout = '60s'", 'DROP EXTENSION cdp CASCADE'], \$out, \$err);
	$holder->finish;
	if ($waits)
	{
		ok($drop->finish, 'DROP EXTENSION and they do not wait for each other for ever') or diag($err);
		last;
	}
	fill('stopped', ($try + 1) * $lines + 1);
}
ok($waits, 'one of them waited for a person');
ok(wait_until(sub { !beside() }, 30), 'they leave with DROP EXTENSION');
$node->stop;

# The launcher, the worker and the one of logical replication take all slots.
my $crowded = new_server('crowded', conf => $conf . "cdp.inbox_workers = 2\nmax_worker_processes = 3\n");
$crowded->start;
$crowded->safe_psql('postgres', 'CREATE EXTENSION cdp;' . inbox_of_people(1, $lines, 3));
ok(wait_until(sub { $crowded->safe_psql('postgres', 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }, 60), 'without a free slot the worker goes on alone');
is($crowded->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker'"), 0, 'there was none');
verified($crowded, 'postgres');
$crowded->stop;
done_testing();
