# Sixteen senders on a few hundred people, with rules that refuse, and somebody who splits, allows, forbids and takes
# decisions back meanwhile: no deadlock, no lost link, and the same as one after the other in the order of decision.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{DURATION} // 60;
my $node = new_server('server', preload => 0,
	conf => "max_connections = 40\ndeadlock_timeout = 200ms\nfsync = off\nlog_statement = none\n");
$node->start;

# The same in both databases: types with every kind of rule, and people who are known from the start.
my $setup = q{
	CREATE EXTENSION cdp;
	SELECT cdp_internal.make_ready();
	SELECT cdp.create_identifier_type('card', priority => 60, max_values => 2);
	SELECT cdp.create_identifier_type('kiosk', priority => 12, sharing => 'latest');
	SELECT cdp.create_identifier_type('till', priority => 11, sharing => 'none');
	SELECT cdp.create_identifier_type('tv', priority => 8, sharing => 'joins');
	SELECT cdp.alter_identifier_type('phone', max_values => 1);};
$node->safe_psql('postgres', $setup);

# What was sent, a row a message or decision, written before it is sent; `n` is its timestamp, too. A message names two
# or three of the identifiers of somebody and of a neighbour, who are new people as time goes by.
$node->safe_psql('postgres', q{
	CREATE TABLE sent (n bigint PRIMARY KEY, message jsonb, decision text, arguments jsonb, seq bigint, at timestamptz, error text);
	CREATE SEQUENCE number;
	CREATE FUNCTION identifier_of(type text, person integer) RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('type', type, 'collection', 'users', 'encoding', 'none', 'id', CASE type
			WHEN 'email' THEN 'p' || person || '@shop.example'
			WHEN 'phone' THEN '+316' || 10000000 + person
			ELSE type || CASE WHEN type IN ('kiosk', 'till', 'tv', 'anonymous_id') THEN person / 3 ELSE person END END) $$;
	CREATE FUNCTION somebody(n bigint) RETURNS integer LANGUAGE sql AS $$ SELECT (n / 1000 * 20 + floor(random() * 200))::integer $$;
	CREATE FUNCTION random_type() RETURNS text LANGUAGE sql AS $$
		SELECT (ARRAY['user_id', 'user_id', 'email', 'email', 'phone', 'card', 'card', 'loyalty_id', 'anonymous_id', 'anonymous_id', 'kiosk', 'kiosk', 'till', 'tv'])[1 + floor(random() * 14)] $$;
	CREATE FUNCTION random_message(n bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		person integer := somebody(n);
		carried jsonb;
	BEGIN
		SELECT jsonb_agg(identifier_of(random_type(), person + CASE WHEN random() < 0.15 THEN 1 ELSE 0 END)) INTO carried
			FROM generate_series(1, 1 + floor(random() * 3)::integer);
		IF random() < 0.01 THEN
			RETURN jsonb_build_object('type', 'alias', 'messageId', 'm' || n, 'userId', 'user_id' || person, 'previousId', 'user_id' || person + 1,
				'timestamp', '2026-01-01T00:00:00Z'::timestamptz + n % 7919 * interval '1 second');
		END IF;
		RETURN jsonb_build_object('type', CASE WHEN random() < 0.5 THEN 'identify' ELSE 'track' END, 'messageId', 'm' || n, 'event', 'E',
			'timestamp', '2026-01-01T00:00:00Z'::timestamptz + n % 7919 * interval '1 second',
			'traits', jsonb_build_object('n', n, 't' || n % 5, n % 11), 'context', jsonb_build_object('externalIds', carried));
	END $$;
	CREATE PROCEDURE send() LANGUAGE plpgsql AS $$
	DECLARE
		size integer := (ARRAY[1, 1, 2, 5, 20])[1 + floor(random() * 5)];
		messages jsonb;
	BEGIN
		WITH made AS (INSERT INTO sent (n, message) SELECT s.n, random_message(s.n) FROM (SELECT nextval('number') AS n FROM generate_series(1, size)) AS s
			RETURNING n, message)
		SELECT jsonb_build_object('batch', jsonb_agg(message ORDER BY n)) INTO messages FROM made;
		COMMIT;
		PERFORM cdp.ingest(messages);
		COMMIT;
	END $$;

	CREATE FUNCTION carry_out(decision text, arguments jsonb) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		one jsonb := arguments -> 0;
		other jsonb := arguments -> 1;
	BEGIN
		CASE decision
			WHEN 'allow_link' THEN PERFORM cdp.allow_link(one, other, 'known to be one');
			WHEN 'forbid_link' THEN PERFORM cdp.forbid_link(one, other, 'known to be two');
			WHEN 'remove_link' THEN PERFORM cdp.remove_link(one, other, 'a mistake');
			WHEN 'remove_identifier' THEN PERFORM cdp.remove_identifier(one, 'nobody''s');
			WHEN 'split_profile' THEN PERFORM cdp.split_profile((SELECT profile_id FROM cdp.identifiers WHERE jsonb_build_object(type, value) = one), other, 'two people');
			ELSE PERFORM cdp.revoke_decision((SELECT min(d.decision_id) FROM sent AS s JOIN cdp.identity_decisions AS d ON d.decision_seq = s.seq
				WHERE s.n = one::bigint AND d.revoked_at IS NULL), 'not so');
		END CASE;
	END $$;
	CREATE PROCEDURE decide() LANGUAGE plpgsql AS $$
	DECLARE
		number bigint := nextval('number');
		what text := (ARRAY['allow_link', 'allow_link', 'forbid_link', 'remove_link', 'remove_link', 'remove_identifier', 'split_profile', 'split_profile', 'revoke', 'revoke'])
			[1 + floor(random() * 10)];
		one bigint;
		other bigint;
		arguments jsonb;
	BEGIN
		IF what = 'revoke' THEN
			SELECT jsonb_build_array(s.n) INTO arguments FROM sent AS s JOIN cdp.identity_decisions AS d ON d.decision_seq = s.seq
				WHERE s.decision IS NOT NULL AND d.revoked_at IS NULL ORDER BY s.n DESC OFFSET floor(random() * 5) LIMIT 1;
		ELSE
			SELECT identifier_id INTO one FROM cdp.identifiers ORDER BY identifier_id DESC OFFSET floor(random() * 300) LIMIT 1;
			SELECT identifier_id INTO other FROM cdp.identifiers WHERE identifier_id <> one
				AND CASE WHEN what IN ('allow_link', 'forbid_link') THEN identifier_id BETWEEN one - 40 AND one + 40
					ELSE profile_id = (SELECT profile_id FROM cdp.identifiers WHERE identifier_id = one) END ORDER BY random() LIMIT 1;
			SELECT jsonb_agg(jsonb_build_object(type, value)) INTO arguments FROM cdp.identifiers WHERE identifier_id IN (one, other) HAVING count(*) = 2;
		END IF;
		IF arguments IS NULL THEN
			RETURN;
		END IF;
		INSERT INTO sent (n, decision, arguments) VALUES (number, what, arguments);
		COMMIT;
		BEGIN
			PERFORM carry_out(what, arguments);
			UPDATE sent SET seq = currval('cdp.decision_seq'), at = now() WHERE n = number;
		EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state THEN
			-- The two came apart, or together, meanwhile; or it contradicts an earlier decision.
			UPDATE sent SET error = SQLERRM WHERE n = number;
		END;
		COMMIT;
		PERFORM pg_sleep(0.02);
	END $$;
});

# Sixteen and one.
my $send = $node->basedir . '/send.sql';
append_to_file($send, "CALL send();\n");
my $decide = $node->basedir . '/decide.sql';
append_to_file($decide, "CALL decide();\n");
my ($sent, $decided, $errors, $more_errors) = ('', '', '', '');
my @clients = map {
	my ($script, $number, $out, $err) = @$_;
	IPC::Run::start([ 'pgbench', '-n', '-c', $number, '-j', 1, '-T', $seconds, '-f', $script, $node->connstr('postgres') ], '>', $out, '2>', $err)
} [ $send, 16, \$sent, \$errors ], [ $decide, 1, \$decided, \$more_errors ];
$_->finish for @clients;
unlike($errors . $more_errors, qr/ERROR|aborted|failed/, "sixteen senders and one who decides, for $seconds s, without an error");
is(scalar(() = "$sent $decided" =~ /number of failed transactions: 0 /g), 2, '... and no transaction failed');
my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected|40P01/, 'no deadlock');
unlike($log, qr/\b(FATAL|PANIC|WARNING):/, 'nothing worse either');
note $node->safe_psql('postgres', q{SELECT format('%s messages, %s decisions, %s of them refused; %s identifiers of %s people; %s merges, %s splits, %s refusals',
	count(message), count(decision), count(error), (SELECT count(*) FROM cdp.identifiers), (SELECT count(*) FROM cdp.profiles),
	(SELECT count(*) FROM cdp.identity_changes WHERE change = 'merged'), (SELECT count(*) FROM cdp.identity_changes WHERE change = 'split'),
	(SELECT count(*) FROM cdp.refusals)) FROM sent});
note $node->safe_psql('postgres', q{SELECT string_agg(format('%s %s', rule, n), ', ' ORDER BY rule) FROM (SELECT rule, count(*) AS n FROM cdp.refusals GROUP BY rule) AS r});
is($node->safe_psql('postgres', q{SELECT (SELECT count(message) FROM sent) - (SELECT count(*) FROM cdp.event_records) - (SELECT count(*) FROM cdp.assertions),
	(SELECT count(*) FROM cdp.quarantine)}), '0|0', 'each message is there once');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM sent WHERE decision IS NOT NULL AND error IS NULL'), '>', $seconds, 'decisions were made');
is($node->safe_psql('postgres', q{SELECT count(*) FROM cdp.links AS l JOIN cdp.identifiers AS a USING (identifier_id)
	JOIN cdp.identifiers AS b ON b.identifier_id = l.other_identifier_id
	WHERE a.profile_id <> b.profile_id AND coalesce(a.left_out, b.left_out) IS NULL}), 0, 'no link is lost');
verified($node, 'postgres');

# One after the other: the same identifiers by the same ids, whom no message has named yet; then, in their order, messages
# through the inbox, and what each decision wrote down. (A split is planned before it locks anybody: what counts is what it
# decided.)
my $dir = $node->basedir;
$node->safe_psql('postgres', qq{
	COPY (SELECT identifier_id, identifier_id, first_seen_at, type, value, raw_value, raw_region FROM cdp.identifiers) TO '$dir/identifiers';
	COPY (SELECT f.seq, 0, s.message, f.received_at, NULL, NULL, NULL FROM sent AS s
			JOIN (SELECT event_id AS seq, message_id, received_at FROM cdp.event_records
				UNION ALL SELECT decision_seq, message_id, received_at FROM cdp.assertions) AS f ON f.message_id = s.message ->> 'messageId'
		UNION ALL SELECT s.seq, 1, NULL, NULL, 'revoke ' || d.kind, d.identifier_id, d.other_identifier_id
			FROM sent AS s JOIN cdp.identity_decisions AS d ON d.revoked_at = s.at
		UNION ALL SELECT s.seq, CASE d.kind WHEN 'forbid_link' THEN 3 ELSE 2 END, NULL, NULL, d.kind, d.identifier_id, d.other_identifier_id
			FROM sent AS s JOIN cdp.identity_decisions AS d ON d.decided_at = s.at) TO '$dir/steps';});
$node->safe_psql('postgres', 'CREATE DATABASE replay');
$node->safe_psql('replay', "$setup;
	CREATE TABLE step (seq bigint, place integer, message jsonb, received_at timestamptz, decision text, one bigint, other bigint);
	COPY step FROM '$dir/steps';
	COPY cdp.identifiers (identifier_id, profile_id, first_seen_at, type, value, raw_value, raw_region) FROM '$dir/identifiers';");
$node->safe_psql('replay', q{
	DO $$
	DECLARE
		s record;
	BEGIN
		FOR s IN SELECT * FROM step ORDER BY seq, place, decision, one, other LOOP
			IF s.decision IS NULL THEN
				INSERT INTO cdp.inbox (received_at, message) VALUES (s.received_at, s.message::text);
				CONTINUE;
			END IF;
			WHILE cdp_internal.drain_inbox(500) > 0 LOOP
				COMMIT;
			END LOOP;
			CASE s.decision
				WHEN 'allow_link' THEN PERFORM cdp.allow_link(to_jsonb(s.one), to_jsonb(s.other), 'again');
				WHEN 'forbid_link' THEN PERFORM cdp.forbid_link(to_jsonb(s.one), to_jsonb(s.other), 'again');
				WHEN 'remove_link' THEN PERFORM cdp.remove_link(to_jsonb(s.one), to_jsonb(s.other), 'again');
				WHEN 'remove_identifier' THEN PERFORM cdp.remove_identifier(to_jsonb(s.one), 'again');
				ELSE PERFORM cdp.revoke_decision(d.decision_id, 'again') FROM cdp.identity_decisions AS d
					WHERE 'revoke ' || d.kind = s.decision AND d.revoked_at IS NULL AND (d.identifier_id, d.other_identifier_id) IS NOT DISTINCT FROM (s.one, s.other);
			END CASE;
			COMMIT;
		END LOOP;
	END $$;});
$node->safe_psql('replay', 'CALL cdp.run()');

my %states = (
	'who is who' => q{SELECT identifier_id, type, value, profile_id, left_out, user_on_device_id FROM cdp.identifiers},
	'whose the facts are' => q{SELECT message_id, identifier_id, carried FROM cdp.event_records
		UNION ALL SELECT message_id, identifier_id, carried FROM cdp.assertions},
	'the evidence' => q{SELECT message_id, identifiers, refused, rule FROM cdp.evidence},
	'the refusals' => q{SELECT message_id, type, value, rule, reason FROM cdp.refusals},
	'the golden traits' => q{SELECT profile_id, traits, last_seen_at FROM cdp.profiles},
	'the decisions in force' => q{SELECT kind, identifier_id, other_identifier_id, profile_id, other_profile_id FROM cdp.identity_decisions WHERE revoked_at IS NULL});
for my $what (sort keys %states)
{
	same_state(map({ $node->safe_psql($_, "SELECT concat_ws(' | ', " . join(', ', map { "s.$_" } ($states{$what} =~ /^SELECT (.*?) FROM/)[0] =~ /\w+/g) . ") AS line FROM ($states{$what}) AS s ORDER BY 1") } 'postgres', 'replay'),
		"$what, as one after the other");
}
$node->stop;
done_testing();
