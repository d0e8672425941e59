# Numbers that are drawn for lines of the inbox before they are decided: who decides meanwhile has his own, and retention knows of both.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $lines = 3000;
my $filled = 0;
my $node = new_server('reserved', conf => "cdp.worker_naptime = 10\ncdp.batch_size = 200\ncdp.inbox_workers = 2\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp; CREATE TABLE go (try integer)');
$node->safe_psql('postgres', q{SELECT cdp.identify(user_id => 'held')});

sub waits_for
{
	my ($event, $seconds) = @_;
	return wait_until(sub { $node->safe_psql('postgres',
		"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker' AND wait_event = '$event')") eq 't' }, $seconds);
}

sub more { $filled += $lines; return inbox_of_people($filled - $lines + 1, $filled, 3) }

sub drained
{
	return wait_until(sub { $node->safe_psql('postgres', 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }, 60);
}

# Somebody holds a person for whom a line waits in an inbox worker, and decides something about them first.
my ($caught, $out, $err);
for my $try (1 .. 30)
{
	my $holder = psql_start($node, 'postgres', ['BEGIN', "SELECT FROM cdp.profiles WHERE profile_id = cdp.lookup('user_id', 'held') FOR UPDATE",
		"DO 'BEGIN WHILE NOT EXISTS (SELECT FROM go WHERE try = $try) LOOP PERFORM pg_sleep(0.02); END LOOP; END'",
		"SELECT cdp.identify(user_id => 'held', message_id => 'call $try')", 'COMMIT'], \$out, \$err);
	wait_until(sub { $node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'DO%try = $try)%')") eq 't' }) or die 'no holder';
	$node->safe_psql('postgres', more() . qq{; INSERT INTO cdp.inbox (message) VALUES ('{"type": "identify", "userId": "held", "messageId": "line $try"}'); } . more());
	$caught = waits_for('transactionid', 2);
	$node->safe_psql('postgres', "INSERT INTO go VALUES ($try)");
	$holder->finish or diag($err);
	drained() or die 'not drained';
	next unless $caught;
	is($node->safe_psql('postgres', "SELECT string_agg(message_id, ', ' ORDER BY decision_seq) FROM cdp.assertions WHERE message_id IN ('call $try', 'line $try')"),
		"call $try, line $try", 'what is decided later has the later number');
	last;
}
ok($caught, 'an inbox worker waited for a person');
verified($node, 'postgres');

# Retention looks while an inbox worker has been given lines, and may not begin them yet.
$node->safe_psql('postgres', q{SELECT cdp.set_retention(keep => '1 day')});
for my $try (1 .. 60)
{
	$node->safe_psql('postgres', more());
	$node->safe_psql('postgres', more());
	waits_for('Extension', 1);
	my $holder = psql_start($node, 'postgres', ['BEGIN', 'LOCK TABLE cdp.inbox IN SHARE MODE', "SELECT pg_sleep(30), 'holds the inbox'", 'COMMIT'], \$out, \$err);
	wait_until(sub { $node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%holds the inbox%' AND wait_event = 'PgSleep')") eq 't' }) or die 'no holder';
	$caught = waits_for('relation', 1);
	$node->safe_psql('postgres', 'CALL cdp.apply_retention()') if $caught;
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%holds the inbox%' AND pid <> pg_backend_pid()");
	$holder->finish;
	drained() or die 'not drained';
	last if $caught;
}
ok($caught, 'an inbox worker waited for the inbox');
$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
is($node->safe_psql('postgres', 'SELECT sum(due) FROM cdp.retention'), 0, 'retention finds what it had been given');
verified($node, 'postgres');
$node->stop;
done_testing();
