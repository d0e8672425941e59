# Tables of months are made beside readers and writers, and nobody ever misses a message: not even who looks at the moment when a
# commit can be seen already, and the others are not told yet that the catalog has changed.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_server('months', conf => "cdp.worker_naptime = 10\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp');
$node->safe_psql('postgres', q{CREATE FUNCTION seen(message text, at timestamptz) RETURNS bigint LANGUAGE sql AS
	$$ SELECT accepted FROM cdp.ingest(jsonb_build_object('type', 'track', 'event', 'Seen', 'messageId', message, 'userId', message, 'timestamp', at)) $$});
$node->safe_psql('postgres', q{CREATE FUNCTION looked() RETURNS text LANGUAGE plpgsql AS $$
	DECLARE keys bigint := (SELECT count(*) FROM cdp.message_keys); BEGIN RETURN keys || ' ' || (SELECT count(*) FROM cdp.event_records); END $$});

# One who is told late. A debugger holds the committing process where all can see its commit and nobody knows of the table.
SKIP:
{
	my $gdb = qx(which gdb 2>/dev/null);
	chomp $gdb;
	skip 'no gdb here', 2 if $gdb eq '';
	my ($writer, $reader) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
	$reader->query('SELECT looked()');
	my $pid = $writer->query('SELECT pg_backend_pid()');
	my ($said, $asked, $out) = map { PostgreSQL::Test::Utils::tempdir() . "/$_" } qw(said asked out);
	PostgreSQL::Test::Utils::append_to_file($asked, "set pagination off\nbreak AtEOXact_Inval\nshell touch $said\ncontinue\nshell sleep 5\ndelete\ndetach\nquit\n");
	my $held = IPC::Run::start([ $gdb, '-p', $pid, '-batch', '-x', $asked ], '>', $out, '2>&1');
	for (1 .. 300) { last if -e $said; sleep 0.1 }
	skip 'gdb may not look into processes', 2 unless -e $said && PostgreSQL::Test::Utils::slurp_file($out) =~ /Breakpoint 1 at/;
	sleep 1;
	$writer->{stdin} .= "SELECT seen('late', '2020-09-05');\n";
	$writer->{run}->pump_nb;
	for (1 .. 300) { last if PostgreSQL::Test::Utils::slurp_file($out) =~ /Breakpoint 1, /; sleep 0.1 }
	like(PostgreSQL::Test::Utils::slurp_file($out), qr/Breakpoint 1, /, 'the writer is held');
	my ($keys, $events) = split ' ', $reader->query('SELECT looked()');
	is($events, $keys, 'a reader who sees that a message came sees its event');
	$held->finish;
	$_->quit for $writer, $reader;
}

# Many months, readers all the time, and the worker making tables.
my $months = 24;
my @readers = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
$_->set_query_timer_restart for @readers; # each query has its own time
my $missed = 0;
for my $month (1 .. $months)
{
	$node->safe_psql('postgres', "SELECT seen('m' || $month || '-' || n, timestamptz '2015-01-01' + interval '1 month' * $month + interval '1 hour' * n) FROM generate_series(1, 3) AS n");
	for my $reader (@readers)
	{
		my ($keys, $events) = split ' ', $reader->query('SELECT looked()');
		$missed++ if $events != $keys;
	}
}
is($missed, 0, 'readers beside never miss an event');
$_->quit for @readers;
my $waiting = q{SELECT (SELECT count(*) FROM cdp_months.events_other) || ' ' || (SELECT count(*) FROM cdp.event_months WHERE month BETWEEN '2015-01-15' AND '2017-01-15')};
$node->poll_query_until('postgres', $waiting, "0 $months") or diag $node->safe_psql('postgres', $waiting);
is($node->safe_psql('postgres', $waiting), "0 $months", 'every month has its table, and its events are there');

# Killed while tables are made: all or nothing, and it goes on.
my $killed = 0;
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', "SELECT count(seen('k' || $round || '-' || n, timestamptz '2000-01-01' + interval '1 year' * $round + interval '1 month' * n)) FROM generate_series(0, 11) AS n");
	my $worker = worker_pid($node, 'postgres');
	next if $worker eq '';
	sleep rand 0.05;
	kill 'KILL', $worker;
	$killed++;
	for (1 .. 300) { last unless kill 0, $worker; sleep 0.1 } # until the server has noticed
	recovered($node) or die 'no recovery after kill -9 of the worker';
}
cmp_ok($killed, '>', 0, "the worker was killed $killed times");
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM cdp_months.events_other)}) or diag 'events still wait';
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT event_id) || ' ' || (SELECT count(*) FROM cdp.message_keys) FROM cdp.event_records WHERE message_id LIKE 'k%'}) =~ s/ \d+$//r, '60 60', 'no event is lost, none is there twice');
verified($node, 'postgres', 'cdp.verify() finds nothing');
done_testing();
