# The change feed: what is killed tells nothing twice and forgets nothing; a dump takes it along; logical replication reads it.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($out, $err);
my $node = new_server('feed', streaming => 1,
	conf => "cdp.worker = off\ncdp.worker_naptime = 10\nautovacuum = off\nwal_level = logical\nmax_replication_slots = 4\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift) }

# What a consumer who applied everything would hold, and what is stored.
my $told = q{SELECT count(*) FROM (SELECT segment_id, profile_id, key FROM cdp.membership_changes
	GROUP BY 1, 2, 3 HAVING (array_agg(change ORDER BY position DESC))[1] = 'entered') AS t};
my $stored = 'SELECT count(*) FROM cdp.memberships, cdp_internal.feed WHERE entered_at <= told_until AND left_at > told_until';
my $gaps = 'SELECT count(*) FROM (SELECT position - row_number() OVER (ORDER BY position) AS d FROM cdp.membership_changes) AS c WHERE d <> 0';

# Servers from 15.20 on must be told which plugins may be used; earlier ones do not know the setting.
$node->psql('postgres', q{ALTER SYSTEM SET output_plugin_libraries = 'wal2json'});
$node->reload;
sql('CREATE EXTENSION cdp;' . answers() . inbox_of_people(1, 1500));
sql('CREATE PUBLICATION cdp_changes FOR TABLE cdp.membership_changes WITH (publish = \'insert\')');
sql(q{SELECT pg_create_logical_replication_slot('warehouse', 'wal2json')});
sql('CALL cdp.run()');
sql('TRUNCATE cdp.membership_changes, cdp_internal.feed');
sql('INSERT INTO cdp_internal.membership_touches SELECT entered_at, profile_id, segment_id, key FROM cdp.memberships');

# The sequencer, in small steps that are slow enough to be hit at any stage.
sql(q{CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;}
	  . join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" }
	  qw(cdp.membership_changes cdp_internal.membership_touches cdp_internal.feed));
my $hits = 0;
for my $round (1 .. 6)
{
	my $run = psql_start($node, 'postgres', [ ('SELECT cdp_internal.tell_changes(7)') x 100 ], \$out, \$err);
	my $pid;
	wait_until(sub { $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT cdp_internal.tell%'}) }) or die 'nobody tells';
	sleep 0.1 + rand 0.4;
	$hits += sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	kill 9, $pid or die "kill: $!";
	sleep 0.1;
	recovered($node) or die 'no recovery';
	eval { $run->finish };
}
cmp_ok($hits, '>=', 3, 'the sequencer was killed in the middle of its work');
cmp_ok(my $early = sql('SELECT count(*) FROM cdp.membership_changes'), '>', 0, 'it got somewhere');
cmp_ok(sql('SELECT count(*) FROM cdp_internal.membership_touches'), '>', 0, 'and not to the end');
is(sql('SELECT * FROM cdp_internal.verify_feed()'), '', 'what is told is right, though not all is told');
sql("DROP TRIGGER wait_here ON $_") for qw(cdp.membership_changes cdp_internal.membership_touches cdp_internal.feed);

# The worker tells the rest, and what happens meanwhile.
$node->append_conf('postgresql.conf', "cdp.worker = on\n");
$node->reload;
sql(inbox_of_people(1501, 2000));
my $nothing_waits = q{SELECT (SELECT count(*) FROM cdp.inbox) + (SELECT count(*) FROM cdp_internal.membership_touches)};
ok(wait_until(sub { sql($nothing_waits) eq '0' }, 60), 'the worker drains the inbox and tells');
cmp_ok(sql('SELECT count(*) FROM cdp.membership_changes'), '>', $early, 'more is told');
is(sql($told), sql($stored), 'told is what is stored');
is(sql($gaps), '0', 'positions have no gaps');
is(sql('SELECT * FROM cdp_internal.verify_feed()'), '', 'verify_feed() finds nothing');
sql('SELECT cdp.stop_worker()');

# One notification a step of the sequencer; writers send none.
like($node->safe_psql('postgres', q{LISTEN cdp_membership_changes; SELECT cdp.track('Bought', user_id => 'somebody', properties => '{"price": 1}');
	SELECT cdp_internal.tell_changes()}), qr/^\d+\n\d+\nAsynchronous notification "cdp_membership_changes" with payload "\d+" received/m, "one NOTIFY");

# Logical replication: every change, in the order of positions.
$out = sql(q{SELECT data FROM pg_logical_slot_get_changes('warehouse', NULL, NULL, 'format-version', '2', 'add-tables', 'cdp.membership_changes', 'actions', 'insert')
	WHERE data::jsonb ->> 'action' = 'I'});
my @positions = map { /"name":"position","type":"bigint","value":(\d+)/ ? $1 : () } split /\n/, $out;
my $last = sql('SELECT max(position) FROM cdp.membership_changes');
@positions = @positions[ -$last .. -1 ];
is_deeply(\@positions, [ 1 .. $last ], 'wal2json: all positions, in order');
ok($out =~ /"name":"segment","type":"text","value":"lately"/, 'with the name of the segment');

# A dump takes along what was told, and what waits to be told.
sql(q{SELECT cdp.read_changes('mailer', 1); SELECT cdp.ack_changes('mailer', 5)});
sql(q{DELETE FROM cdp.memberships WHERE profile_id = (SELECT min(profile_id) FROM cdp.memberships WHERE left_at = 'infinity')});
my $dump = $node->basedir . '/dump';
$node->append_conf('postgresql.conf', "cdp.worker = off\n");
$node->restart;
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
my ($told_before, $stored_before) = (sql($told), sql($stored));
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
is($node->safe_psql('restored', $told), $told_before, 'what was told is there');
is($node->safe_psql('restored', q{SELECT acked_position FROM cdp.change_consumers}), 5, 'and what was acknowledged');
$node->safe_psql('restored', 'CALL cdp.run()');
is($node->safe_psql('restored', $told), $stored_before, 'what waited is told, and nothing is told again');
is($node->safe_psql('restored', $gaps), '0', 'positions go on');
is($node->safe_psql('restored', 'SELECT * FROM cdp_internal.verify_feed()'), '', 'verify_feed() finds nothing');

$node->stop;
done_testing();
