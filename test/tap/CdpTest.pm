# Servers with cdp for the TAP tests. EXT_DESTDIR: where `make install DESTDIR=…` put the extension, if not in place.
package CdpTest;
use strict;
use warnings FATAL => 'all';
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();
use Time::HiRes qw(sleep);

our @EXPORT = qw(new_server configure workers worker_pid messages wait_until recovered psql_start
  killed_in cdp_state same_state inbox_of_people answers verified);

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

# True as soon as the server takes connections again. A psql that is turned away may be gone before it is asked, which
# IPC::Run dies of.
sub recovered
{
	my ($node) = @_;
	return wait_until(sub { my ($rc) = eval { $node->psql('postgres', 'SELECT 1') }; return defined $rc && $rc == 0 });
}

# A psql in the background, each statement in its own transaction; finish() the handle.
sub psql_start
{
	my ($node, $database, $statements, $out, $err) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database), map { ('-c', $_) } @$statements ],
		'>', $out, '2>', $err);
}

# Kills a session with kill -9 while it runs a statement; true: in the middle of a transaction.
sub killed_in
{
	my ($node, $call) = @_;
	my ($out, $err, $pid);
	my $run = psql_start($node, 'postgres', [$call], \$out, \$err);
	wait_until(sub { $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = '$call'") }) or die 'no run';
	sleep 0.05 + rand 0.3;
	my $state = $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid");
	kill 9, $pid;
	for (1 .. 300) { last unless kill 0, $pid; sleep 0.1 } # until the server has noticed
	sleep 0.1;
	recovered($node) or die 'no recovery';
	eval { $run->finish };
	return $state eq 'active';
}

# All that cdp knows, as text, one line a fact, by the rank of ids instead of ids: what crashes leave out of sequences
# does not show, while order and everything else does. A difference says what it is about. numbers => 0: by what identifiers
# and messages are called, where what several processes had begun was killed; which of two people a merge left, and so since when they are
# in a segment, is not said then.
sub cdp_state
{
	my ($node, $database, %options) = @_;
	my $numbers = $options{numbers} // 1;
	return $node->safe_psql($database, q{
		SET timezone = 'UTC';
		CREATE TEMP TABLE person AS SELECT identifier_id AS id, profile_id, }
	. ($numbers ? 'row_number() OVER (ORDER BY identifier_id)::text' : "type || '=' || value") . q{ AS rank FROM cdp.identifiers;
		CREATE UNIQUE INDEX ON person (id);
		CREATE TEMP TABLE decision AS SELECT seq, }
	. ($numbers ? 'row_number() OVER (ORDER BY seq)::text' : "(SELECT s.source FROM cdp.sources AS s WHERE s.source_id = d.source_id) || ' ' || message_id") . q{ AS rank
			FROM (SELECT event_id, source_id, message_id FROM cdp.event_records UNION ALL SELECT decision_seq, source_id, message_id FROM cdp.assertions) AS d (seq, source_id, message_id);
		CREATE UNIQUE INDEX ON decision (seq);
		CREATE TEMP TABLE whole AS SELECT profile_id AS id, }
	. ($numbers ? '(SELECT o.rank FROM person AS o WHERE o.id = p.profile_id)' : 'min(rank COLLATE "C")') . q{ AS rank FROM person AS p GROUP BY profile_id;
		CREATE UNIQUE INDEX ON whole (id);
		ANALYZE person, decision, whole;
		CREATE TEMP TABLE state (line text);
		INSERT INTO state SELECT concat_ws(' | ', 'identifier', p.rank, o.rank, i.type, i.value, i.raw_value, i.first_seen_at, i.left_out,
				(SELECT u.rank FROM person AS u WHERE u.id = i.user_on_device_id))
			FROM cdp.identifiers AS i JOIN person AS p ON p.id = i.identifier_id LEFT JOIN whole AS o ON o.id = i.profile_id;
		CREATE FUNCTION pg_temp.ranks(bigint[]) RETURNS text LANGUAGE sql AS $$
			SELECT string_agg(p.rank, ',' ORDER BY i.place) FROM unnest($1) WITH ORDINALITY AS i (id, place) LEFT JOIN person AS p USING (id) $$;
		INSERT INTO state SELECT concat_ws(' | ', 'evidence', d.rank, pg_temp.ranks(e.identifiers), 'refused', pg_temp.ranks(e.refused), e.rule,
				e.is_explicit, s.source, e.linked_at, e.message_id)
			FROM cdp.evidence AS e LEFT JOIN decision AS d ON d.seq = e.decision_seq LEFT JOIN cdp.sources AS s USING (source_id);
		INSERT INTO state SELECT concat_ws(' | ', 'decision', d.kind, pg_temp.ranks(ARRAY[d.identifier_id, d.other_identifier_id]), d.reason,
				pg_temp.ranks(ARRAY[d.profile_id, d.other_profile_id]), d.revoked_at IS NOT NULL) FROM cdp.identity_decisions AS d;
		INSERT INTO state SELECT concat_ws(' | ', 'change', d.rank, c.change} . ($numbers ? q{, pg_temp.ranks(ARRAY[c.profile_id]), pg_temp.ranks(ARRAY[c.from_profile_id]),
				pg_temp.ranks((SELECT array_agg(i ORDER BY i) FROM unnest(c.identifiers) AS i))} : '') . q{)
			FROM cdp.identity_changes AS c LEFT JOIN decision AS d ON d.seq = c.decision_seq WHERE c.change NOT IN ('linked', 'refused');
		INSERT INTO state SELECT concat_ws(' | ', 'refusal', d.rank, r.type, r.value, r.rule, r.reason, pg_temp.ranks(r.conflicts), s.source, r.message_id, r.refused_at)
			FROM cdp.refusals AS r LEFT JOIN decision AS d ON d.seq = r.decision_seq LEFT JOIN cdp.sources AS s USING (source_id);
		INSERT INTO state SELECT concat_ws(' | ', 'event', d.rank, p.rank, s.source, e.type, e.event, e.occurred_at, e.received_at,
				e.message_id, e.properties, e.context, e.extra, pg_temp.ranks(e.carried))
			FROM cdp.event_records AS e LEFT JOIN decision AS d ON d.seq = e.event_id LEFT JOIN person AS p ON p.id = e.identifier_id
			LEFT JOIN cdp.sources AS s USING (source_id);
		INSERT INTO state SELECT concat_ws(' | ', 'assertion', d.rank, p.rank, s.source, a.type, a.group_id, a.asserted_at,
				a.received_at, a.message_id, a.traits, a.context, a.extra, pg_temp.ranks(a.carried))
			FROM cdp.assertions AS a LEFT JOIN decision AS d ON d.seq = a.decision_seq LEFT JOIN person AS p ON p.id = a.identifier_id
			LEFT JOIN cdp.sources AS s USING (source_id);
		INSERT INTO state SELECT concat_ws(' | ', 'profile', p.rank, f.traits, f.last_seen_at, (SELECT
				string_agg(concat_ws(' ', o.key, o.value -> 0, d.rank), ', ' ORDER BY o.key COLLATE "C") FROM jsonb_each(f.trait_origins) AS o
				LEFT JOIN decision AS d ON d.seq = (o.value ->> 1)::bigint))
			FROM cdp.profiles AS f LEFT JOIN whole AS p ON p.id = f.profile_id;
		INSERT INTO state SELECT concat_ws(' | ', 'membership', g.name, p.rank, m.key, } . ($numbers ? 'm.entered_at, m.left_at, d.rank' : 'm.left_at') . q{)
			FROM cdp.memberships AS m LEFT JOIN whole AS p ON p.id = m.profile_id LEFT JOIN decision AS d ON d.seq = m.decision_seq
			LEFT JOIN cdp.segments AS g USING (segment_id) WHERE } . ($numbers ? 'true' : 'm.left_at > now()') . q{;
		INSERT INTO state SELECT concat_ws(' | ', 'rule failed', g.name, p.rank, e.sqlstate, e.message, e.failed_at)
			FROM cdp.segment_errors AS e LEFT JOIN whole AS p ON p.id = e.profile_id LEFT JOIN cdp.segments AS g USING (segment_id);
		INSERT INTO state SELECT concat_ws(' | ', 'key', s.source, k.message_key, k.content_hash)
			FROM cdp.message_keys AS k LEFT JOIN cdp.sources AS s USING (source_id);
		INSERT INTO state SELECT concat_ws(' | ', 'quarantine', q.source, q.import, q.received_at, q.message, q.message_id, q.code,
				q.reason, q.detail, q.resolution) FROM cdp.quarantine AS q;
		INSERT INTO state SELECT concat_ws(' | ', 'inbox', i.source, i.import, i.received_at, i.message) FROM cdp.inbox AS i;
		SELECT line FROM state ORDER BY line COLLATE "C";});
}

# One test: both states are the same; else the lines that differ are shown.
sub same_state
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (%more, @differences);
	$more{$_}++ for split /\n/, $got;
	$more{$_}-- for split /\n/, $expected;
	push @differences, ($more{$_} > 0 ? "+ $_" : "- $_") for grep { $more{$_} } sort keys %more;
	Test::More::is(scalar @differences, 0, $name)
	  or Test::More::diag(join "\n", @differences > 20 ? (@differences[0 .. 19], '…') : @differences);
	return;
}

# SQL that fills the inbox, the same whenever it is called: some hundred people whose identifiers come together bit by
# bit, traits, purchases, repeats, conflicts and bad lines; `times` as many people for long ones.
sub inbox_of_people
{
	my ($from, $to, $times) = @_;
	my ($users, $devices, $addresses) = map { $_ * ($times // 1) } 211, 301, 150;
	return qq{
		INSERT INTO cdp.inbox (source, import, received_at, message)
		SELECT CASE WHEN n % 5 = 0 THEN 'till' ELSE 'web' END, 'people', '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second',
			CASE
			WHEN n % 97 = 0 THEN 'no JSON, line ' || n
			WHEN n % 89 = 0 THEN json_build_object('type', 'track', 'event', 'Nobody', 'messageId', 'n' || n)::text
			WHEN n % 53 = 0 THEN json_build_object('type', 'track', 'event', 'Other content', 'userId', 'u1', 'messageId', 'm' || n - 1)::text
			WHEN n % 31 = 0 AND n % 5 = 2 THEN json_build_object('type', 'track', 'event', 'Visited', 'anonymousId', 'a' || (n - 1) * 7 % $devices,
				'messageId', 'm' || n - 1, 'timestamp', '2026-01-01T00:00:00Z', 'properties', json_build_object('n', n - 1))::text
			WHEN n % 10 < 2 THEN json_build_object('type', 'identify', 'userId', 'u' || n * 13 % $users, 'anonymousId', 'a' || n * 17 % $devices,
				'messageId', 'm' || n, 'timestamp', '2026-01-01T00:00:00Z'::timestamptz + n::bigint * 7919 % 86400 * interval '1 second',
				'traits', json_build_object('n', n, 't' || n % 7, n % 11,
					'email', CASE WHEN n % 4 = 0 THEN 'Person' || n % $addresses || '\@Example.com' END))::text
			WHEN n % 10 = 2 THEN json_build_object('batch', json_build_array(
				json_build_object('type', 'track', 'event', 'Bought', 'userId', 'u' || n * 3 % $users, 'messageId', 'm' || n,
					'timestamp', '2026-01-01T00:00:00Z', 'properties', json_build_object('price', n % 50)),
				json_build_object('type', 'page', 'name', 'Home', 'anonymousId', 'a' || n * 5 % $devices, 'messageId', 'p' || n,
					'timestamp', '2026-01-01T00:00:00Z')))::text
			ELSE json_build_object('type', 'track', 'event', 'Visited', 'anonymousId', 'a' || n * 7 % $devices, 'messageId', 'm' || n,
				'timestamp', '2026-01-01T00:00:00Z', 'properties', json_build_object('n', n))::text END
		FROM generate_series($from, $to) AS n ORDER BY n;};
}

# Every person in it has an answer to each of these, which changes with what they do.
sub answers
{
	return q{
		SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Bought') > 2$$);
		SELECT cdp.create_segment('lucky', $$(traits->>'n')::int % 2 = 0 AND count(*) > 3$$);
		SELECT cdp.create_segment('by_price', $$count(*) > 0$$, per => $$properties->>'price'$$);
		SELECT cdp.create_segment('lately', $$max(occurred_at) > now() - interval '1 month'$$);};
}

# One test: cdp.verify() finds nothing.
sub verified
{
	my ($node, $database, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::is($node->safe_psql($database, 'SELECT * FROM cdp.verify()'), '', $name // 'cdp.verify() finds nothing');
	return;
}

1;
