# Attached tables: whatever is killed while rows are loaded and followed, every row is one message in the end; and a dump takes
# what is attached along, so that the copy goes on where the original was.
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

delete $ENV{PGAPPNAME}; # pg_restore says who it is
my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my $node = new_server('server', conf => "cdp.worker = off\ncdp.worker_naptime = 10\ncdp.batch_size = 50\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp;' . q{
	CREATE TABLE customers (no integer PRIMARY KEY, email text, city text);
	INSERT INTO customers SELECT n, 'p' || n % 700 || '@example.com', 'city ' || n % 10 FROM generate_series(1, 1500) AS n;
	SELECT cdp.create_identifier_type('crm_id');
	SELECT cdp.create_segment('in_city_3', $$traits ->> 'city' = 'city 3'$$);
	SELECT cdp.attach_table('customers', 'crm', '{"crm_id": "no", "email": "email"}', traits => '["city"]');
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END $$;}
	  . join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" }
	  qw(cdp.message_keys cdp.identifiers cdp.evidence cdp.assertions cdp.profiles cdp.withdrawn_messages cdp_internal.attached_rows cdp_internal.attached_changes));

sub left_over
{
	return $node->safe_psql('postgres', q{SELECT coalesce(sum(waiting), 0) + count(*) FILTER (WHERE state <> 'current') FROM cdp.attached_tables});
}

# A run that is killed, when it is there to be killed; true: in the middle of a transaction.
sub strike
{
	my ($out, $err, $pid);
	my $run = psql_start($node, 'postgres', ['CALL cdp.run()'], \$out, \$err);
	wait_until(sub { $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'CALL cdp.run()'") }) or die 'no run';
	sleep 0.1 + rand 0.4;
	my $state = $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid");
	kill 9, $pid;
	sleep 0.1;
	recovered($node) or die 'no recovery';
	eval { $run->finish };
	return $state eq 'active';
}

my $hits = 0;
$hits += strike() for 1 .. 3;
cmp_ok($hits, '>=', 2, 'killed while rows are loaded');
cmp_ok(left_over(), '>', 0, 'and not done yet');
# Users go on, a row several times, and their changes are killed over as well.
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', "UPDATE customers SET city = 'city ' || (no + $round) % 10 WHERE no % 7 = $round");
	$node->safe_psql('postgres', "UPDATE customers SET email = 'q' || no % 300 || '\@example.com' WHERE no % 11 = $round");
	$node->safe_psql('postgres', "DELETE FROM customers WHERE no % 50 = $round; INSERT INTO customers SELECT 10000 + $round * 100 + n, NULL, 'city 3' FROM generate_series(1, 20) AS n");
	$hits += strike();
}
cmp_ok($hits, '>=', 4, 'killed while changes are followed');

note 'a dump in the middle of it';
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', $dump ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('copy'), $dump ], 'restored');
for my $database ('postgres', 'copy')
{
	$node->safe_psql($database, join '', map { "DROP TRIGGER wait_here ON $_;" }
		  qw(cdp.message_keys cdp.identifiers cdp.evidence cdp.assertions cdp.profiles cdp.withdrawn_messages cdp_internal.attached_rows cdp_internal.attached_changes))
	  if $database eq 'postgres';
	$node->safe_psql($database, "UPDATE customers SET city = 'city 3' WHERE no = 8");
	$node->safe_psql($database, 'CALL cdp.run()');
	is($node->safe_psql($database, 'SELECT state, waiting, quarantined, rows = (SELECT count(*) FROM customers) FROM cdp.attached_tables'), 'current|0|0|t',
		"$database: all rows are read");
	is($node->safe_psql($database, 'SELECT count(*) - count(DISTINCT split_part(message_id, $$/$$, 2)) FROM cdp.assertions'), 0, "$database: one message a row");
	is($node->safe_psql($database, q{SELECT count(*) FROM customers AS c LEFT JOIN cdp.assertions AS a ON split_part(a.message_id, '/', 2) = c.no::text
		WHERE a.traits ->> 'city' IS DISTINCT FROM c.city}), 0, "$database: which says what the row says");
	is($node->safe_psql($database, q{SELECT count(*) FROM (SELECT count(DISTINCT i.profile_id) FROM customers AS c
		JOIN cdp.identifiers AS i ON i.type = 'crm_id' AND i.value = c.no::text WHERE c.email IS NOT NULL GROUP BY c.email HAVING count(DISTINCT i.profile_id) > 1) AS x}), 0,
		"$database: rows with one address are one person");
	verified($node, $database, "$database: cdp.verify() finds nothing");
}
is($node->safe_psql('postgres', 'SELECT jsonb_agg(traits ORDER BY traits, last_seen_at) FROM cdp.profiles') ne '', 1, 'there are people');

note 'the worker follows by itself';
$node->append_conf('postgresql.conf', "cdp.worker = on\n");
$node->reload;
ok(wait_until(sub { workers($node, 'postgres') }), 'a worker is there');
$node->safe_psql('postgres', "UPDATE customers SET city = 'Utrecht' WHERE no = 9");
ok(wait_until(sub { left_over() == 0 }), 'it follows');
is($node->safe_psql('postgres', q{SELECT traits ->> 'city' FROM cdp.profiles WHERE profile_id = cdp.lookup('crm_id', '9')}), 'Utrecht', 'and profiles say so');
$node->safe_psql('postgres', q{SELECT cdp.detach_table('customers', keep_data => false)});
ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM cdp.attached_tables') == 0 }, 60), 'it takes back what was detached');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.profiles'), 0, 'all of it');
verified($node, 'postgres');
done_testing();
