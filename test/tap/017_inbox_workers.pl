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
	return wait_until(sub { beside('active') }, 20);
}

sub is_empty { return $node->safe_psql(shift, 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }

$node->safe_psql('postgres', 'CREATE EXTENSION cdp');
ok(fill('postgres'), 'they come when many lines wait');
my $cancelled = $node->safe_psql('postgres', "SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker' AND state = 'active') AS x");
note "$cancelled cancelled";
ok(wait_until(sub { is_empty('postgres') }, 60), 'a cancel of one of them costs a second try');
verified($node, 'postgres');
is($node->safe_psql('postgres', "SELECT count(*) FROM cdp.quarantine WHERE code = 'processing_error'"), 0, 'and no line');
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
$node->safe_psql('stopped', 'DROP EXTENSION cdp CASCADE');
ok(wait_until(sub { !beside() }, 30), 'they leave with DROP EXTENSION');
$node->stop;

# The launcher, the worker and the one of logical replication take all slots.
my $crowded = new_server('crowded', conf => $conf . "max_worker_processes = 3\n");
$crowded->start;
$crowded->safe_psql('postgres', 'CREATE EXTENSION cdp;' . inbox_of_people(1, $lines, 3));
ok(wait_until(sub { $crowded->safe_psql('postgres', 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }, 60), 'without a free slot the worker goes on alone');
is($crowded->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker'"), 0, 'there was none');
verified($crowded, 'postgres');
$crowded->stop;
done_testing();
