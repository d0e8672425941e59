# Eight senders and the worker on the same few people, who merge all the time: no deadlock, no error, nothing lost.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{DURATION} // 10;
my $node = new_server('server', conf => "cdp.worker_naptime = 10\ndeadlock_timeout = 200ms\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION cdp; SELECT cdp.create_segment('active', $$count(*) > 2 AND max(occurred_at) > now() - interval '1 day'$$)});

# What was sent, a row a message, written before it is sent. Every half second there are 150 new identifiers, so
# that there is always somebody left to be merged; now and then a message also names somebody older.
$node->safe_psql('postgres', q{
	SELECT cdp_internal.make_ready();
	UPDATE cdp.identifier_types SET is_unique = false;
	CREATE TABLE sent (message_id text PRIMARY KEY, type text, door text, identifiers text[], other text[]);
	CREATE SEQUENCE number;
	CREATE FUNCTION somebody() RETURNS text LANGUAGE sql AS $$
		SELECT 'p' || floor(random() * 150) || '.' || (floor(extract(epoch FROM clock_timestamp()) * 2)
			- CASE WHEN random() < 0.02 THEN 1 ELSE 0 END)::bigint % 10000 $$;
	CREATE FUNCTION carrying(type text, message_id text, identifiers text[]) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('type', type, 'messageId', message_id, 'event', 'E' || floor(random() * 3), 'timestamp', clock_timestamp(),
			'traits', jsonb_build_object('t' || floor(random() * 5), random(), 'n', floor(random() * 10)), 'context', jsonb_build_object('externalIds',
				(SELECT jsonb_agg(jsonb_build_object('type', 'user_id', 'id', i, 'collection', 'users', 'encoding', 'none')) FROM unnest(identifiers) AS i))) $$;
	-- One message, or a batch of two, through a random door. What is sent is the only thing its transaction does.
	CREATE PROCEDURE send() LANGUAGE plpgsql AS $$
	DECLARE
		door   text := (ARRAY['track', 'identify', 'alias', 'ingest', 'ingest', 'batch', 'batch', 'inbox'])[1 + floor(random() * 8)];
		number bigint := nextval('number');
		who    text[] := (SELECT array_agg(DISTINCT somebody()) FROM generate_series(1, CASE WHEN random() < 0.1 THEN 4 ELSE 1 + floor(random() * 2)::int END));
		also   text[] := (SELECT array_agg(DISTINCT somebody()) FROM generate_series(1, 2));
		once   jsonb := carrying('track', 'm' || number, who);
	BEGIN
		IF door = 'alias' THEN
			who := ARRAY[who[1], also[1]];
		END IF;
		INSERT INTO sent VALUES ('m' || number, CASE WHEN door IN ('identify', 'alias') THEN door ELSE 'track' END, door, who, CASE WHEN door = 'batch' THEN also END);
		COMMIT;
		CASE door
			WHEN 'track' THEN PERFORM cdp.track('E', message_id => 'm' || number, identifiers => jsonb_build_object('user_id', to_jsonb(who)));
			WHEN 'identify' THEN PERFORM cdp.identify(message_id => 'm' || number, identifiers => jsonb_build_object('user_id', to_jsonb(who)), traits => jsonb_build_object('n', number % 10));
			WHEN 'alias' THEN PERFORM cdp.alias(who[1], who[2], message_id => 'm' || number);
			WHEN 'ingest' THEN PERFORM cdp.ingest(once);
			WHEN 'batch' THEN PERFORM cdp.ingest(jsonb_build_object('batch', jsonb_build_array(once, carrying('identify', 'b' || number, also))));
			ELSE INSERT INTO cdp.inbox (message) SELECT once FROM generate_series(1, CASE WHEN number % 7 = 0 THEN 2 ELSE 1 END);
		END CASE;
		COMMIT;
	END $$;
});
ok(wait_until(sub { workers($node, 'postgres') }), 'a worker is there');

my $script = $node->basedir . '/send.sql';
append_to_file($script, "CALL send();\n");
my $errors = '';
my $report = '';
my $fine = IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 1, '-T', $seconds, '-f', $script, $node->connstr('postgres') ], '>', \$report, '2>', \$errors);
ok($fine, "eight senders send for $seconds s");
unlike($errors, qr/ERROR|aborted/, '... and no call fails');
note $report =~ /(number of transactions actually processed.*)/;

ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox') == 0 }, 60), 'the inbox is drained');
my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected|40P01/, 'no deadlock');
unlike($log, qr/\b(ERROR|FATAL|PANIC|WARNING):/, 'no error at all, neither of senders nor of the worker');

my $sent = $node->safe_psql('postgres', 'SELECT count(*) + count(other) FROM sent');
cmp_ok($sent, '>', 100 * $seconds, "$sent messages were sent");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.links'), '>', 10 * $seconds, 'they joined people');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.message_keys'), $sent, 'each is there');
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM sent WHERE type = 'track') - (SELECT count(*) FROM cdp.events),
		(SELECT count(*) FROM sent WHERE type <> 'track') + (SELECT count(other) FROM sent) - (SELECT count(*) FROM cdp.assertions),
		(SELECT count(*) FROM cdp.quarantine)}), '0|0|0', 'as an event or as an assertion, once, and none in quarantine');

# Connected components of what was sent, by SQL that knows nothing of cdp: everybody gets the least name they can reach.
$node->safe_psql('postgres', q{
	CREATE TABLE joined AS SELECT message_id, unnest(identifiers) AS name FROM sent UNION ALL SELECT 'b' || message_id, unnest(other) FROM sent;
	CREATE TABLE edge AS SELECT DISTINCT a.name AS one, b.name AS other FROM joined AS a JOIN joined AS b USING (message_id);
	CREATE TABLE component AS SELECT DISTINCT name, name AS least FROM joined;
	CREATE UNIQUE INDEX ON component (name);
	ANALYZE edge, component;
	DO $$ BEGIN
		LOOP
			UPDATE component AS c SET least = n.least
				FROM (SELECT e.one AS name, min(o.least) AS least FROM edge AS e JOIN component AS o ON o.name = e.other GROUP BY e.one) AS n
				WHERE n.name = c.name AND n.least < c.least;
			EXIT WHEN NOT FOUND;
		END LOOP;
	END $$;});
my $expected = $node->safe_psql('postgres', q{SELECT string_agg(name, ' ' ORDER BY name) FROM component GROUP BY least ORDER BY 1});
my $got = $node->safe_psql('postgres', q{SELECT string_agg(value, ' ' ORDER BY value) FROM cdp.identifiers GROUP BY profile_id ORDER BY 1});
cmp_ok(scalar(split /\n/, $expected), '>', 1, 'they are ' . scalar(split /\n/, $expected) . ' people');
is($got, $expected, 'identities are the connected components of what was sent');
is($node->safe_psql('postgres', q{SELECT count(*) FROM cdp.identifiers AS i FULL JOIN cdp.profiles AS p ON p.profile_id = i.identifier_id
	WHERE (i.profile_id = i.identifier_id) IS DISTINCT FROM (p.profile_id IS NOT NULL)}), 0, 'each has one profile, called by the smallest identifier');
is($node->safe_psql('postgres', q{SELECT count(*) FROM sent AS s JOIN cdp.events AS e USING (message_id) JOIN cdp.identifiers AS i ON i.value = s.identifiers[1]
	WHERE e.profile_id <> i.profile_id}), 0, 'each event belongs to the person it names');
verified($node, 'postgres');
$node->stop;
done_testing();
