# Servers with cdp for the TAP tests. EXT_DESTDIR: where `make install DESTDIR=…` put the extension, if not in place.
package CdpTest;
use strict;
use warnings FATAL => 'all';
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_server configure workers worker_pid messages wait_until psql_start);

# A server that is not started yet. Options: preload (default 1), streaming, conf (text).
sub new_server
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => $options{streaming} // 0, extra => [ '--encoding=UTF8', '--no-locale' ]);
	configure($node, %options);
	return $node;
}

sub configure
{
	my ($node, %options) = @_;
	if (my $stage = $ENV{EXT_DESTDIR})
	{
		my $lib = `pg_config --pkglibdir`;
		chomp $lib;
		$node->append_conf('postgresql.conf',
			"extension_destdir = '$stage'\ndynamic_library_path = '$stage$lib:\$libdir'\n");
	}
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'cdp'\n") if $options{preload} // 1;
	# Cluster->init turns restart_after_crash off.
	$node->append_conf('postgresql.conf',
		"restart_after_crash = on\nmax_worker_processes = 16\n" . ($options{conf} // ''));
	return;
}

# How many workers run, on the server or in one database.
sub workers
{
	my ($node, $database) = @_;
	my $where = $database ? "AND datname = '$database'" : '';
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cdp worker' $where");
}

sub worker_pid
{
	my ($node, $database) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'cdp worker' AND datname = '$database'");
}

# SQL that puts one message into the inbox for each number from..to.
sub messages
{
	my ($from, $to, $event) = @_;
	$event //= 'X';
	return "INSERT INTO cdp.inbox (message) SELECT json_build_object('type', 'track', 'messageId', 'm' || i, "
	  . "'userId', 'u' || i % 10, 'event', '$event', 'timestamp', '2026-01-01T00:00:00Z') "
	  . "FROM generate_series($from, $to) AS i";
}

# True as soon as the condition is; false after some seconds.
sub wait_until
{
	my ($condition, $seconds) = @_;
	for (1 .. ($seconds // 20) * 20)
	{
		return 1 if $condition->();
		select undef, undef, undef, 0.05;
	}
	return 0;
}

# A psql in the background, each statement in its own transaction; finish() the handle.
sub psql_start
{
	my ($node, $database, $statements, $out, $err) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database), map { ('-c', $_) } @$statements ],
		'>', $out, '2>', $err);
}

1;
