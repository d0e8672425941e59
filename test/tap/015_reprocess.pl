# A source is processed again while whoever does it is killed: no message is lost, none is there twice, none is kept twice.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // time;
srand $seed;
note "SEED=$seed";
my $node = new_server('server', conf => "cdp.worker = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp;' . q{
	SELECT cdp.create_source('till', time_zone => 'Europe/Amsterdam', keep_messages => true);
	INSERT INTO cdp.inbox (source, message) SELECT 'till', jsonb_build_object('type', CASE WHEN n % 5 = 0 THEN 'identify' ELSE 'track' END, 'messageId', 'm' || n,
		'userId', 'u' || n % 150, 'anonymousId', 'a' || n % 300, 'event', CASE WHEN n % 5 <> 0 THEN 'Order Completed' END,
		'properties', jsonb_build_object('total', n), 'traits', jsonb_build_object('n', n), 'timestamp', to_char(timestamp '2026-03-01' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS'))::text
		FROM generate_series(1, 2000) AS n;
	SELECT cdp.create_segment('spenders', $$sum((properties ->> 'total')::numeric) > 12000$$);
	CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END $$;});
$node->safe_psql('postgres', 'CALL cdp.run()');
$node->safe_psql('postgres', q{
	ALTER DATABASE postgres SET cdp.batch_size = 40;
	CREATE TABLE people AS SELECT profile_id, traits FROM cdp.profiles;
	CREATE TABLE events AS SELECT message_id, profile_id, occurred_at, properties, received_at FROM cdp.events;
	SELECT cdp.alter_source('till', time_zone => 'UTC')});
$node->safe_psql('postgres', join '', map { "CREATE TRIGGER wait_here AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION wait_here();" }
	qw(cdp.event_records cdp.kept_messages cdp.profiles cdp_internal.reprocessings));

is($node->safe_psql('postgres', q{SELECT cdp.reprocess_source('till')}), '2000', 'all messages were kept');
my $hits = 0;
for (1 .. 5)
{
	last if $node->safe_psql('postgres', q{SELECT count(*) FROM cdp.reprocessings WHERE state = 'running'}) eq '0';
	$hits += killed_in($node, 'CALL cdp.run()');
	verified($node, 'postgres', 'whoever was killed, all is well');
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT message_id) FROM cdp.kept_messages'), '2000|2000', 'each message is kept once');
}
cmp_ok($hits, '>=', 2, 'killed in the middle');
$node->safe_psql('postgres', 'CALL cdp.run()');
is($node->safe_psql('postgres', 'SELECT state, done, refused, total FROM cdp.reprocessings'), 'done|2000|0|2000', 'then all is taken anew');
verified($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT count(*) FROM people FULL JOIN cdp.profiles AS p USING (profile_id) WHERE people.traits IS DISTINCT FROM p.traits'), '0', 'people are who they were');
is($node->safe_psql('postgres', q{SELECT count(*) FROM events AS o FULL JOIN cdp.events AS e USING (message_id)
	WHERE (o.profile_id, o.properties, o.received_at, o.occurred_at AT TIME ZONE 'Europe/Amsterdam') IS DISTINCT FROM (e.profile_id, e.properties, e.received_at, e.occurred_at AT TIME ZONE 'UTC')}),
	'0', 'and each event happened when the clock of its source now says');
done_testing();
