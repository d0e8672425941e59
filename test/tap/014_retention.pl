# Old events are removed, and months detached and brought back, whatever is killed meanwhile: nobody loses an event that stays, none is there
# twice, and in the end people are judged by what is there.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my $node = new_server('server', conf => "cdp.worker = off\ncdp.batch_size = 40\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp;' . q{
	INSERT INTO cdp.inbox (message) SELECT jsonb_build_object('type', 'track', 'messageId', 'm' || n, 'userId', 'u' || n % 150, 'anonymousId', 'a' || n % 300,
		'event', CASE WHEN n % 3 = 0 THEN 'Order Completed' ELSE 'Product Viewed' END, 'properties', jsonb_build_object('total', n),
		'timestamp', date_trunc('day', now()) - interval '6 hours' * (n % 1600 + 1))::text FROM generate_series(1, 3200) AS n;
	SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 4$$);
	SELECT cdp.create_computed_trait('spent', $$sum((properties ->> 'total')::numeric)$$);
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END $$;});
$node->safe_psql('postgres', 'CALL cdp.run()');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET cdp.batch_size = 8');
$node->safe_psql('postgres', join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" }
	qw(cdp.event_records cdp.removed_events cdp.profiles cdp.memberships cdp_internal.retention_queue));
$node->safe_psql('postgres', q{
	CREATE TABLE sent AS SELECT * FROM cdp.event_records;
	CREATE VIEW wrong AS
		SELECT p.profile_id FROM cdp.profiles AS p LEFT JOIN LATERAL (
			SELECT count(*) FILTER (WHERE e.event = 'Order Completed') >= 4 AS buyer, sum((e.properties ->> 'total')::numeric) AS spent
			FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS x ON true
		LEFT JOIN cdp.computed_trait_values AS v ON v.profile_id = p.profile_id AND v.trait = 'spent'
		WHERE x.buyer <> EXISTS (SELECT FROM cdp.members('buyers') AS m WHERE m.profile_id = p.profile_id)
			OR (v.value #>> '{}')::numeric IS DISTINCT FROM x.spent});

sub strike
{
	my $hit = killed_in($node, shift);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0', 'whoever was killed, people are judged by what is there');
	return $hit;
}

my $hits = 0;
$node->safe_psql('postgres', q{SELECT cdp.set_retention(keep => '200 days'), cdp.set_retention(event => 'Order Completed', keep => '300 days')});
$hits += strike('CALL cdp.apply_retention()') for 1 .. 4;
cmp_ok($hits, '>=', 3, 'killed while events are removed');
my $due = 'SELECT coalesce(sum(due), 0) FROM cdp.retention';
cmp_ok($node->safe_psql('postgres', $due), '>', 0, 'and not done yet');
# Cancelled, it leaves what is done done.
$node->psql('postgres', q{SET statement_timeout = '150ms'; CALL cdp.apply_retention()});
verified($node, 'postgres', 'in between all is well');
cmp_ok($node->safe_psql('postgres', q{SELECT done FROM cdp.progress WHERE task = 'retention'}), '>', 0, 'progress shows how far it is');
$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
is($node->safe_psql('postgres', $due), '0', 'then all is removed');
my $kept = q{occurred_at >= (now() AT TIME ZONE 'UTC' - CASE event WHEN 'Order Completed' THEN interval '300 days' ELSE interval '200 days' END) AT TIME ZONE 'UTC'};
is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT event_id, properties FROM sent WHERE $kept EXCEPT SELECT event_id, properties FROM cdp.event_records) AS x"), '0', 'but what is to be kept');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT event_id) FROM (SELECT event_id FROM cdp.event_records UNION ALL SELECT event_id FROM cdp.removed_events) AS x'), '3200|3200', 'each event is there, or was');
verified($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0', 'people are judged by what is left');

# A month, there and back again.
$node->safe_psql('postgres', q{SELECT cdp.drop_retention(), cdp.drop_retention(event => 'Order Completed'); CREATE TABLE there AS SELECT * FROM cdp.event_records});
my $month = $node->safe_psql('postgres', q{SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - interval '3 months'});
$hits = 0;
for my $way ('detach', 'attach')
{
	$node->safe_psql('postgres', "SELECT cdp.${way}_events('$month')");
	for (1 .. 4)
	{
		last if $node->safe_psql('postgres', q{SELECT count(*) FROM cdp.detached_months WHERE state LIKE '%ing'}) eq '0';
		$hits += strike('CALL cdp.run()');
	}
	$node->safe_psql('postgres', 'CALL cdp.run()');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM wrong'), '0', "people are judged by what is there: $way");
	verified($node, 'postgres', "after ${way}ing all is well");
	my $archived = $way eq 'detach' ? $node->safe_psql('postgres', 'SELECT archive FROM cdp.detached_months') : 'there WHERE false';
	is($node->safe_psql('postgres', "SELECT count(*), (SELECT count(*) FROM there) FROM (SELECT event_id FROM cdp.event_records UNION SELECT event_id FROM $archived) AS x") =~ s/^(\d+)\|\1$/same/r, 'same', 'no event is lost');
}
cmp_ok($hits, '>=', 2, 'killed while events were moved');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (TABLE there EXCEPT TABLE cdp.event_records) AS x'), '0', 'after all, the events are what they were');
done_testing();
