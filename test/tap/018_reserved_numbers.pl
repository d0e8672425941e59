# Numbers that are drawn for lines of the inbox before they are decided: who decides meanwhile has his own, and retention knows of both.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $lines = 3000;
my $filled = 0;
my $node = new_server('reserved', conf => "cdp.worker_naptime = 10\ncdp.batch_size = 200\ncdp.inbox_workers = 2\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION cdp; CREATE TABLE go (try integer)');
$node->safe_psql('postgres', q{SELECT cdp.identify(user_id => 'held')});

my ($out, $err);

sub seen
{
	my ($who, $seconds) = @_;
	return wait_until(sub { $node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $who)") eq 't' }, $seconds);
}

sub more { $filled += $lines; return inbox_of_people($filled - $lines + 1, $filled, 3) }

# Of one person, who says something or did something long ago.
sub lines
{
	my ($who, $count) = @_;
	my $type = $who eq 'acts' ? 'track' : 'identify';
	return "INSERT INTO cdp.inbox (message) SELECT json_build_object('type', '$type', 'event', 'Old', 'userId', '$who', 'timestamp', '2026-01-01',
		'traits', json_build_object('n', n), 'messageId', gen_random_uuid()) FROM generate_series(1, $count) AS n";
}

sub drained
{
	return wait_until(sub { $node->safe_psql('postgres', 'SELECT NOT EXISTS (SELECT FROM cdp.inbox)') eq 't' }, 60);
}

# A session that begins a transaction so, and ends it when told to.
sub hold
{
	my ($number, $first, @last) = @_;
	my $wait = "DO 'BEGIN WHILE NOT EXISTS (SELECT FROM go WHERE try = $number) LOOP PERFORM pg_sleep(0.02); END LOOP; END'";
	return psql_start($node, 'postgres', ['BEGIN', $first, $wait, @last, 'COMMIT'], \$out, \$err);
}

sub holds { my ($number) = @_; return seen("query LIKE 'DO%try = $number)%'") }

sub let_go
{
	my ($number, $holder) = @_;
	$node->safe_psql('postgres', "INSERT INTO go VALUES ($number)");
	return $holder->finish || diag($err);
}

# Somebody holds a person for whom a line waits in an inbox worker, and decides something about them first.
my $caught;
for my $try (1 .. 30)
{
	my $holder = hold($try, "SELECT FROM cdp.profiles WHERE profile_id = cdp.lookup('user_id', 'held') FOR UPDATE",
		"SELECT cdp.identify(user_id => 'held', message_id => 'call $try')");
	holds($try) or die 'no holder';
	$node->safe_psql('postgres', more() . qq{; INSERT INTO cdp.inbox (message) VALUES ('{"type": "identify", "userId": "held", "messageId": "line $try"}'); } . more());
	$caught = seen("backend_type = 'cdp inbox worker' AND wait_event = 'transactionid'", 2);
	let_go($try, $holder);
	drained() or die 'not drained';
	next unless $caught;
	is($node->safe_psql('postgres', "SELECT string_agg(message_id, ', ' ORDER BY decision_seq) FROM cdp.assertions WHERE message_id IN ('call $try', 'line $try')"),
		"call $try, line $try", 'what is decided later has the later number');
	last;
}
ok($caught, 'an inbox worker waited for a person');
verified($node, 'postgres');

# People whom somebody joins once their lines are shared out, and had the number for it before: whoever decides about them first has the lower one.
sub say
{
	my ($name, @identifiers) = @_;
	my $ids = join ', ', map { "json_build_object('type', '$_->[0]', 'id', '$_->[1]' || n, 'collection', 'users', 'encoding', 'none')" } @identifiers;
	return "json_build_object('type', 'identify', 'messageId', '$name' || n, 'traits', json_build_object('said', '$name'), 'context', json_build_object('externalIds', json_build_array($ids)))";
}
my $card = ['loyalty_id', 'L'];
$caught = 0;
for my $try (201 .. 220)
{
	my $pairs = 'generate_series(' . join(', ', 50 * $try + 1, 50 * $try + 50) . ') AS n';
	$node->safe_psql('postgres', 'SELECT FROM cdp.ingest((SELECT json_agg(m)::text FROM (SELECT ' . say('card', $card) . " AS m FROM $pairs UNION ALL SELECT "
		. say('mail', ['crm_id', 'M']) . " FROM $pairs) AS s))");
	my $holder = hold($try, 'SELECT FROM cdp.ingest((SELECT json_agg(' . say('both', $card, ['crm_id', 'M']) . ")::text FROM $pairs))");
	holds($try) or die 'no holder';
	$node->safe_psql('postgres', more() . "; INSERT INTO cdp.inbox (message) SELECT u.m FROM $pairs, unnest(ARRAY[" . say('one', $card, ['user_id', 'A']) . '::text, '
		. say('other', ['crm_id', 'M'], ['user_id', 'B']) . '::text]) AS u (m); ' . more());
	$caught = seen("backend_type = 'cdp inbox worker' AND wait_event = 'transactionid'", 5) && seen("backend_type = 'cdp worker' AND wait_event = 'transactionid'", 1);
	let_go($try, $holder);
	drained() or die 'not drained';
	last if $caught;
}
ok($caught, 'both waited for people who were being joined');
verified($node, 'postgres');

# A line joins two people. The next window, which is read meanwhile, has a line about each, by an identifier that the first does not name:
# these two keep their order.
my $couples = 'generate_series(5001, 8000) AS n';
$node->safe_psql('postgres', 'SELECT FROM cdp.ingest((SELECT json_agg(m)::text FROM (SELECT ' . say('left', $card, ['user_id', 'X']) . " AS m FROM $couples UNION ALL SELECT "
	. say('right', ['crm_id', 'M'], ['device_id', 'Y']) . " FROM $couples) AS s))");
$node->safe_psql('postgres', 'INSERT INTO cdp.inbox (message) SELECT m FROM (SELECT n / 250 AS block, 0 AS place, n, ' . say('join', $card, ['crm_id', 'M']) . "::text AS m FROM $couples
	UNION ALL SELECT n / 250, 1, n, " . say('first', ['user_id', 'X']) . "::text FROM $couples UNION ALL SELECT n / 250, 2, n, " . say('then', ['device_id', 'Y']) . "::text FROM $couples) AS s
	ORDER BY block, place > 0, n, place");
ok(drained(), 'lines about people whom others joined');
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE a.decision_seq < b.decision_seq) FROM cdp.assertions AS a JOIN cdp.assertions AS b ON b.message_id = replace(a.message_id, 'first', 'then')
	WHERE a.message_id LIKE 'first%'}), '3000|3000', 'are decided in their order');
verified($node, 'postgres');

# Whether the e-mail address that two people have in common is dropped changes while lines are being shared out and decided.
my $pairs = 0;
$node->safe_psql('postgres', q{SELECT cdp.create_source('form', drops => '{traits.email}')});
for my $try (1 .. 12)
{
	$pairs += 400;
	$node->safe_psql('postgres', "INSERT INTO cdp.inbox (source, message) SELECT 'form', json_build_object('type', 'identify', 'messageId', who || n, 'userId', who || n,
		'traits', json_build_object('email', format('e%s\@x.example', n), 'said', who)) FROM generate_series($pairs - 399, $pairs) AS n, unnest('{F,G}'::text[]) AS who");
	usleep(50_000);
	$node->safe_psql('postgres', "SELECT cdp.alter_source('form', drops => '" . ($try % 2 ? '{}' : '{traits.email}') . "')");
}
ok(drained(), 'lines of a source that changed');
verified($node, 'postgres');

# A line without messageId has one of its content. Whoever else has that as his messageId comes after it, or before, as the lines do.
$node->safe_psql('postgres', 'CREATE DATABASE named');
$node->safe_psql('named', q{CREATE EXTENSION cdp; SELECT FROM generate_series(1, 400) AS n, cdp.ingest(format('{"type": "identify", "userId": "p%s", "traits": {"n": %s}, "timestamp": "2026-01-01"}', n, n))});
my $ids = $node->safe_psql('named', q{SELECT string_agg(format('(%s, %L)', traits ->> 'n', message_id), ', ') FROM cdp.assertions});
$node->safe_psql('postgres', more() . qq{; INSERT INTO cdp.inbox (message) SELECT CASE WHEN who = 'p' THEN format('{"type": "identify", "userId": "p%s", "traits": {"n": %s}, "timestamp": "2026-01-01"}', n, n)
	ELSE format('{"type": "identify", "userId": "q%s", "messageId": "%s", "traits": {"n": %s}}', n, id, -n) END
	FROM (VALUES $ids) AS ids (n, id), unnest(CASE n % 2 WHEN 0 THEN '{p,q}'::text[] ELSE '{q,p}' END) WITH ORDINALITY AS w (who, place) ORDER BY n, place; } . more());
ok(drained(), 'lines that name the content of others');
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE (traits ->> 'n')::integer % 2 = 0 AND (traits ->> 'n')::integer > 0 OR (traits ->> 'n')::integer % 2 <> 0 AND (traits ->> 'n')::integer < 0)
	FROM cdp.assertions WHERE message_id LIKE 'content-%'}), '400|400', 'of two with one messageId the first line counts');
verified($node, 'postgres');

# Lets the worker decide 200 lines, a batch that it does not share, and stops it in the next one, where it comes to this lock.
my $number = 100;
sub stopped_at
{
	my ($lock, @lines) = @_;
	my $waits = "backend_type = 'cdp worker' AND wait_event = 'relation'";
	my $first = hold(++$number, $lock);
	holds($number) or die 'no holder';
	$node->safe_psql('postgres', join '; ', 'BEGIN', lines('talks', 200), @lines, 'COMMIT');
	seen($waits) or die 'the first batch does not wait';
	my $second = hold(++$number, $lock);
	seen("query = '$lock' AND wait_event = 'relation'") or die 'nobody waits behind it';
	let_go($number - 1, $first);
	holds($number) && seen($waits) or die 'the second batch does not wait';
	return $second;
}

sub finds_all
{
	ok(drained(), 'it goes on');
	$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
	return is($node->safe_psql('postgres', 'SELECT sum(events), sum(due) FROM cdp.retention'), '0|0', 'retention finds what was numbered before it looked');
}

# Retention looks while an inbox worker has been given old events, and has not begun to write: who wants the inbox came before it.
$node->safe_psql('postgres', q{SELECT cdp.set_retention(keep => '1 day')});
$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
$node->safe_psql('postgres', lines('talks', 1000));
ok(seen("backend_type = 'cdp inbox worker'"), 'there is an inbox worker') && drained();
my $holder = stopped_at('LOCK TABLE cdp_internal.suppressions IN ACCESS EXCLUSIVE MODE', lines('talks', 130), lines('acts', 70));
my $locker = hold(++$number, 'LOCK TABLE cdp.inbox IN SHARE MODE');
seen("query LIKE 'LOCK TABLE cdp.inbox%' AND wait_event = 'relation'") or die 'nobody waits for the inbox';
let_go($number - 1, $holder);
ok(holds($number) && seen("backend_type = 'cdp inbox worker' AND wait_event = 'relation'"), 'an inbox worker waits for the inbox');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox'), 70, 'it has the events');
$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
let_go($number, $locker);
finds_all();

# The same of the worker, which keeps all the lines of one person.
$holder = stopped_at('LOCK TABLE cdp.segments IN EXCLUSIVE MODE', lines('acts', 200));
$node->safe_psql('postgres', 'CALL cdp.apply_retention()');
let_go($number, $holder);
finds_all();
verified($node, 'postgres');
$node->stop;
done_testing();
