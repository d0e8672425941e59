# Dump and restore: what comes back is all of it, and it goes on where it stopped. And DROP EXTENSION: never by accident.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use Digest::MD5 qw(md5_hex);
use Encode qw(encode_utf8);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

delete $ENV{PGAPPNAME}; # pg_restore says who it is
my ($rc, $out, $err);
my $node = new_server('server', conf => "cdp.worker_naptime = 10\nautovacuum = off\n");
$node->start;
my $dir = $node->basedir;

sub database { $node->safe_psql('postgres', "CREATE DATABASE $_") for @_; return }

# Every table and sequence of the extension, with a fingerprint of what is in it. What a worker notes about itself is
# not data, nor is what is derived; a restore touches memberships once more.
sub contents
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT format('%s: %s rows, %s', c.oid::regclass, (xpath('/row/n/text()', x))[1], (xpath('/row/h/text()', x))[1])
		FROM pg_class AS c, LATERAL (SELECT query_to_xml(CASE c.relkind
			WHEN 'S' THEN format('SELECT 1 AS n, concat_ws('' '', last_value, is_called) AS h FROM %s', c.oid::regclass)
			ELSE format('SELECT count(*) AS n, md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) AS h FROM %s AS t',
				c.oid::regclass) END, false, true, '')) AS q (x)
		WHERE c.relnamespace IN ('cdp'::regnamespace, 'cdp_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'S')
			AND c.oid::regclass::text NOT IN ('cdp.worker_status', 'cdp_internal.progress', 'cdp_internal.membership_touches',
				'cdp_internal.segment_sets', 'cdp_internal.segment_bitmaps', 'cdp_internal.timelines', 'cdp_internal.timelines_complete')
		ORDER BY c.oid::regclass::text COLLATE "C"});
}

# What roles may do, and all that hangs on the extension without being part of it.
sub surroundings
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT 'table ' || c.oid::regclass || ' ' || coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(c.relacl) AS a), '')
			|| coalesce((SELECT string_agg(t.attname || '=' || t.attacl::text, ',' ORDER BY t.attnum) FROM pg_attribute AS t
				WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL), '')
			|| CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) || pg_get_userbyid(c.relowner)
				|| (SELECT string_agg(coalesce(col_description(c.oid, t.attnum), ''), ',' ORDER BY t.attnum) FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attnum > 0) ELSE '' END || coalesce(obj_description(c.oid, 'pg_class'), '')
		FROM pg_class AS c WHERE c.relnamespace::regnamespace::text LIKE 'cdp%' AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
		UNION ALL
		SELECT 'function ' || p.oid::regprocedure || ' ' || coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(p.proacl) AS a), '')
		FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text LIKE 'cdp%'
		UNION ALL
		SELECT 'schema ' || n.nspname || ' ' || coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(n.nspacl) AS a), '')
		FROM pg_namespace AS n WHERE n.nspname LIKE 'cdp%'
		ORDER BY 1});
}

sub members
{
	my ($database) = @_;
	return $node->safe_psql($database, q{SELECT segment, profile_id, key, since, until FROM cdp_segments.all_segments ORDER BY 1, 2, 3});
}

$node->safe_psql('postgres', 'CREATE ROLE sender; CREATE ROLE analyst; CREATE ROLE marketer LOGIN; CREATE ROLE steward');
database('shop');
$node->safe_psql('shop', 'CREATE EXTENSION cdp;' . answers());
$node->safe_psql('shop', "SELECT cdp.grant_access('sender', 'ingest'), cdp.grant_access('analyst', 'analyst'),
	cdp.grant_access('marketer', 'marketer'), cdp.grant_access('steward', 'steward')");
$node->safe_psql('shop', inbox_of_people(1, 2000));
$node->safe_psql('shop', 'CALL cdp.run()');
$node->safe_psql('shop', q{
	SET ROLE marketer;
	SELECT cdp.create_segment('recent_cart', $$count(*) FILTER (WHERE event = 'Bought' AND occurred_at > now() - interval '7 days') > 0
		AND traits->>'country' = 'NL'$$, per => $$properties->>'product'$$, time_zone => 'Europe/Amsterdam');
	SELECT cdp.create_segment_template('at_least', 'At least', 'Did so much.', 'count(*) >= {times}', '[{"name": "times", "type": "integer", "description": "how often"}]');
	RESET ROLE;
	INSERT INTO cdp.identifier_types (type, normalizer, default_region) VALUES ('mobile', 'phone', 'NL');
	SELECT cdp.identify(user_id => 'anna', identifiers => '{"mobile": "06 12345678"}', traits => '{"country": "NL", "note": "a\\\\b \"c\" \u00e9"}');
	SELECT cdp.track('Bought', user_id => 'anna', properties => '{"product": "p1", "price": 10.50}', message_id => 'once')});
# A list with somebody who is not there yet, and a line of a COPY that could not be put on one; a query; a version that waits.
$node->safe_psql('shop', q{
	SELECT cdp.create_list('vips');
	SELECT cdp.add_members('vips', 'user_id', ARRAY['anna', 'not yet']);
	INSERT INTO cdp.list_imports (segment, type, value) VALUES ('vip', 'user_id', 'anna');
	SELECT cdp.create_segment('rich', query => $$SELECT profile_id, 'k' AS key FROM cdp.profiles WHERE traits ? 't1'$$);
	SELECT cdp.create_computed_trait('how_many', 'count(*)');});
# Profile views, of one who is no superuser.
$node->safe_psql('shop', q{
	SET ROLE marketer;
	SELECT cdp.create_profile_view('people', '{"country": "trait country varchar(2)", "n": "trait n integer", "mobile": "identifier mobile", "vip": "segment vips"}');
	SELECT cdp.create_profile_view('kept', '["trait country", "segment lucky", "identifier email"]', materialized => true, refresh => '1 hour');
	GRANT SELECT ON cdp_views.kept TO analyst;});
# A source with rules of privacy, a plan and a key; somebody whose messages are kept out.
$node->safe_psql('shop', q{
	SELECT cdp.create_source('till', kind => 'till', region => 'NL', time_zone => 'Europe/Amsterdam') WHERE NOT EXISTS (SELECT FROM cdp.sources WHERE source = 'till');
	SELECT cdp.create_source('private', hashes => '{properties.card}', drops => '{context.ip}', write_key => 'a key for the tests');
	SELECT cdp.create_tracking_plan('private', '{"events": {"Paid": {"required": ["card"]}}}');
	SELECT cdp.ingest('{"type": "track", "messageId": "p1", "userId": "anna", "event": "Paid", "properties": {"card": "4111"}, "context": {"ip": "10.0.0.1"}}', 'private');
	SELECT cdp.ingest('{"type": "track", "messageId": "p2", "userId": "anna", "event": "Payed"}', 'private');
	SELECT cdp.suppress('user_id', 'kept out', 'asked')});
# Lines that wait: nobody takes them before they are dumped.
$node->safe_psql('shop', 'SELECT cdp.stop_worker();' . inbox_of_people(2001, 2100) . q{;
	SELECT cdp.alter_segment('lately', rule => $$max(occurred_at) > now() - interval '2 months'$$)});
my $people = $node->safe_psql('shop', 'SELECT * FROM cdp_views.people ORDER BY profile_id; SELECT * FROM cdp_views.kept ORDER BY profile_id');
my ($contents, $surroundings, $members, $state) = (contents('shop'), surroundings('shop'), members('shop'), cdp_state($node, 'shop'));
like($contents, qr/^cdp\.memberships: [1-9]/m, 'there are memberships');
like($contents, qr/^cdp\.inbox: 100 rows/m, 'there are lines that wait in the inbox');
verified($node, 'shop', 'cdp.verify() finds nothing before the dump');

# Everything that must hold in a database that was restored.
sub restored
{
	my ($database, $how) = @_;
	is(members($database), $members, "$how: the same people are in the same segments");
	is($node->safe_psql($database, "SELECT key FROM cdp_segments.recent_cart"), 'p1', "$how: a segment's own view works");
	is(surroundings($database), $surroundings, "$how: the same views, comments and rights");
	is($node->safe_psql($database, 'SELECT * FROM cdp_views.people ORDER BY profile_id; SET ROLE analyst; SELECT * FROM cdp_views.kept ORDER BY profile_id'), $people, "$how: the same people in profile views");
	verified($node, $database, "$how: cdp.verify() finds nothing");
	is($node->safe_psql($database, q{SELECT cdp.ingest('{"type": "track", "event": "Bought", "userId": "anna", "messageId": "once",
		"timestamp": "2026-01-01T00:00:00Z", "properties": {}}')}), '(0,0,1)', "$how: other content under a messageId that came before is known");
	is($node->safe_psql($database, q{SELECT cdp.ingest(json_build_object('type', 'track', 'event', 'Visited', 'anonymousId', 'a21', 'messageId', 'm3',
		'timestamp', '2026-01-01T00:00:00Z', 'properties', json_build_object('n', 3))::jsonb, 'web')}), '(0,1,0)', "$how: a message that came before is a duplicate");
	my $greatest = $node->safe_psql($database, 'SELECT greatest(max(event_id), (SELECT max(decision_seq) FROM cdp.assertions)) FROM cdp.event_records');
	my $person = $node->safe_psql($database, 'SELECT max(identifier_id) FROM cdp.identifiers');
	cmp_ok($node->safe_psql($database, q{SELECT cdp.track('Bought', user_id => 'newcomer', properties => '{"product": "p2"}')}),
		'>', $person, "$how: a new person gets a new id");
	cmp_ok($node->safe_psql($database, "SELECT max(event_id) FROM cdp.events WHERE profile_id = cdp.lookup('user_id', 'newcomer')"),
		'>', $greatest, "$how: and a new decision a later number");
	is($node->safe_psql($database, q{SELECT cdp.identify(user_id => 'newcomer', traits => '{"country": "NL"}') IS NOT NULL,
		(SELECT count(*) FROM cdp.segments)}), 't|9', "$how: what is known goes on");
	is($node->safe_psql($database, q{
		SELECT cdp.ingest('{"type": "track", "messageId": "p1", "userId": "anna", "event": "Paid", "properties": {"card": "4111"}, "context": {"ip": "10.0.0.1"}}', write_key => 'a key for the tests');
		SELECT cdp.ingest('{"type": "track", "messageId": "p3", "userId": "anna", "event": "Paid", "properties": {"card": "4111"}, "context": {"ip": "10.0.0.1"}}', 'private');
		SELECT count(*), count(DISTINCT properties ->> 'card'), max(length(properties ->> 'card')) FROM cdp.events WHERE event = 'Paid';
		SELECT accepted, duplicates FROM cdp.source_activity WHERE source = 'private';
		SELECT event, violation FROM cdp.tracking_violations WHERE source = 'private';
		SELECT cdp.track('Seen', user_id => 'kept out') IS NULL}), "(0,1,0)\n(1,0,0)\n2|1|64\n3|1\nPayed|unplanned\nt",
		"$how: sources, their keys, plans, hashes and counts, and who is kept out, are as they were");
	is($node->safe_psql($database, q{SELECT cdp.identify(user_id => 'not yet') IS NOT NULL; SELECT count(*) FROM cdp.members('vips')}), "t\n2", "$how: lists go on");
	is($node->safe_psql($database, "SELECT string_agg(key, ',' ORDER BY key) FROM cdp.members('recent_cart')"), 'p1,p2', "$how: segments go on, too");
	is($node->safe_psql($database, "SELECT rule FROM cdp.render_segment_template('at_least', '{\"times\": 3}')"), 'count(*) >= 3', "$how: a template of one's own is there");
	is($node->safe_psql($database, "SELECT cdp.lookup('mobile', '+31612345678') = cdp.lookup('user_id', 'anna')"), 't', "$how: a type of one's own is known");
	is($node->safe_psql($database, q{SET ROLE sender; SELECT cdp.track('Sent', user_id => 'anna') IS NOT NULL}), 't', "$how: who may send sends");
	($rc, $out, $err) = $node->psql($database, 'SET ROLE sender; SELECT * FROM cdp.profiles');
	like($err, qr/permission denied/, "$how: and still reads nothing");
	is($node->safe_psql($database, 'SET ROLE analyst; SELECT count(*) > 0 FROM cdp_segments.recent_cart'), 't', "$how: who may read reads");
	$node->safe_psql($database, q{SET ROLE marketer; SELECT cdp.create_segment('after', 'count(*) > 0'); SELECT cdp.drop_segment('recent_cart');
		RESET ROLE; SELECT cdp.drop_segment('buyers')});
	$node->safe_psql($database, q{UPDATE cdp_internal.profile_view_refreshes SET tried_at = tried_at - interval '1 hour'});
	$node->safe_psql($database, 'CALL cdp.run()');
	wait_until(sub { $node->safe_psql($database, 'SELECT count(*) FROM cdp.inbox') == 0 });
	is($node->safe_psql($database, q{SELECT r.people = (SELECT count(*) FROM cdp_views.kept), r.error IS NULL, lag < interval '5 minutes' FROM cdp.profile_views AS r WHERE name = 'kept'}), 't|t|t', "$how: what is materialized is refreshed");
	is($node->safe_psql($database, q{SELECT version, state FROM cdp.segments WHERE name = 'lately'}), '2|active', "$how: the version that waited is in force");
	is($node->safe_psql($database, "SELECT count(*) FROM cdp.message_keys AS k JOIN cdp.sources AS s USING (source_id),
		generate_series(2001, 2100) AS n WHERE s.source IN ('web', 'till') AND message_key = encode(substring(sha256(convert_to('m' || n, 'UTF8')) FOR 16), 'hex')::uuid"),
		$node->safe_psql($database, "SELECT count(*) FROM generate_series(2001, 2100) AS n WHERE n % 97 <> 0 AND n % 89 <> 0 AND n % 53 <> 0 AND NOT (n % 31 = 0 AND n % 5 = 2)"),
		"$how: the lines that waited are done");
	verified($node, $database, "$how: and after all this cdp.verify() finds nothing");
	($rc, $out, $err) = $node->psql($database, 'DROP EXTENSION cdp');
	like($err, qr/cannot drop extension cdp because other objects depend on it/, "$how: DROP EXTENSION without CASCADE is refused");
	return;
}

sub restore
{
	my ($how, $database, $dump, @command) = @_;
	command_ok($dump, "$how: dump") if $dump;
	database($database);
	command_ok(\@command, "$how: restore");
	return;
}

note 'custom format, one transaction';
{
	my @dump = ('pg_dump', '-Fc', '-d', $node->connstr('shop'), '-f', "$dir/shop.dump");
	restore('-Fc', 'restored', \@dump,
		'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('restored'), "$dir/shop.dump");
	# The worker of the new database takes the lines that wait; without it the contents are equal row by row.
	ok(wait_until(sub { $node->safe_psql('restored', 'SELECT count(*) FROM cdp.inbox') == 0 }), 'its worker does the lines that waited');
	$node->safe_psql('postgres', 'ALTER SYSTEM SET cdp.worker = off');
	$node->reload;
	wait_until(sub { workers($node) == 0 });
	restore('-Fc', 'equal', undef,
		'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('equal'), "$dir/shop.dump");
	is(contents('equal'), $contents, '-Fc: every table and sequence is equal');
	same_state(cdp_state($node, 'equal'), $state, '-Fc: and so is all that is known');
	restored('equal', '-Fc');

	command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('equal'), '-f', "$dir/again.dump" ], 'a restored database is dumped');
	my $again = contents('equal');
	restore('again', 'again', undef, 'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('again'), "$dir/again.dump");
	is(contents('again'), $again, 'and restored: equal');
}

note 'other ways';
{
	restore('plain', 'plain', [ 'pg_dump', '-d', $node->connstr('shop'), '-f', "$dir/shop.sql" ],
		'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dir/shop.sql");
	is(contents('plain'), $contents, 'plain: every table and sequence is equal');
	restored('plain', 'plain');

	restore('parallel', 'parallel', undef, 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr('parallel'), "$dir/shop.dump");
	is(contents('parallel'), $contents, 'parallel: every table and sequence is equal');

	restore('sections', 'sections', undef, 'pg_restore', '--exit-on-error', '--section=pre-data', '-d', $node->connstr('sections'), "$dir/shop.dump");
	command_ok([ 'pg_restore', '--exit-on-error', "--section=$_", '-d', $node->connstr('sections'), "$dir/shop.dump" ], "sections: $_") for qw(data post-data);
	is(contents('sections'), $contents, 'sections: every table and sequence is equal');

	restore('schema only', 'schema', [ 'pg_dump', '-Fc', '--schema-only', '-d', $node->connstr('shop'), '-f', "$dir/schema.dump" ],
		'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('schema'), "$dir/schema.dump");
	is($node->safe_psql('schema', 'SELECT count(*) FROM cdp.identifiers'), 0, 'schema only: no people');
	is($node->safe_psql('schema', q{SELECT cdp.track('A', user_id => 'u') IS NOT NULL}), 't', 'schema only: the first message is taken');
	verified($node, 'schema', 'schema only: cdp.verify() finds nothing');

	database('nothing');
	$node->safe_psql('nothing', 'CREATE EXTENSION cdp');
	restore('no data', 'nothing_restored', [ 'pg_dump', '-Fc', '-d', $node->connstr('nothing'), '-f', "$dir/nothing.dump" ],
		'pg_restore', '--exit-on-error', '--single-transaction', '-d', $node->connstr('nothing_restored'), "$dir/nothing.dump");
	is(contents('nothing_restored'), contents('nothing'), 'no data: nothing is restored');
	is($node->safe_psql('nothing_restored', q{SELECT cdp.track('A', user_id => 'u')}), 1, 'no data: the first person is the first');
	$node->safe_psql('nothing_restored', 'CREATE DATABASE nothing_copied TEMPLATE nothing');
	is($node->safe_psql('nothing_copied', q{SELECT cdp.track('A', user_id => 'u')}), 1, 'and of a copied database, too');
	isnt($node->safe_psql('nothing_copied', 'SELECT public_id FROM cdp.profiles'), $node->safe_psql('nothing_restored', 'SELECT public_id FROM cdp.profiles'),
		'whose public ids are its own');
}

note 'with a worker that is awake while it is restored';
{
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET cdp.worker');
	$node->reload;
	for my $way ([ 'awake_one', '-Fc in one transaction', 'pg_restore', '--exit-on-error', '--single-transaction', "$dir/shop.dump" ],
		[ 'awake_j', 'parallel', 'pg_restore', '--exit-on-error', '-j', '2', "$dir/shop.dump" ],
		[ 'awake_psql', 'plain in one transaction', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '--single-transaction', '-f', "$dir/shop.sql" ])
	{
		my ($database, $name, $program, @rest) = @$way;
		restore($name, $database, undef, $program, '-d', $node->connstr($database), @rest);
		ok(wait_until(sub { workers($node, $database) == 1 && $node->safe_psql($database, 'SELECT count(*) FROM cdp.inbox') == 0 }),
			"$name: the worker does the lines that waited");
		verified($node, $database, "$name: cdp.verify() finds nothing");
		same_state(cdp_state($node, $database), cdp_state($node, 'restored'), "$name: all is the same");
	}

	# A long restore, as the worker sees it: all the time in the world between the inbox and the tables that come after it.
	my $script = slurp_file("$dir/shop.sql");
	$script =~ s/(^COPY cdp\.inbox .*?^\\\.\n)/$1SELECT pg_sleep(2);\n/ms or die 'no inbox in the dump';
	append_to_file("$dir/slow.sql", $script);
	{
		restore('plain, table by table', 'awake_slow', undef, 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('awake_slow'), '-f', "$dir/slow.sql");
		wait_until(sub { $node->safe_psql('awake_slow', 'SELECT count(*) FROM cdp.inbox') == 0 }, 5);
		is($node->safe_psql('awake_slow', 'SELECT count(*) FROM cdp.inbox'), 0, 'plain, table by table: the worker does the lines that waited');
		is($node->safe_psql('awake_slow', "SELECT count(*) FROM cdp.quarantine WHERE code = 'processing_error'"), 0, 'plain, table by table: but not too early');
		same_state(cdp_state($node, 'awake_slow'), cdp_state($node, 'restored'), 'plain, table by table: all is the same');
	}
	$node->safe_psql('postgres', 'ALTER SYSTEM SET cdp.worker = off');
	$node->reload;
	wait_until(sub { workers($node) == 0 });
}

note 'DROP EXTENSION';
{
	database('dropped');
	$node->safe_psql('dropped', 'CREATE EXTENSION cdp; DROP EXTENSION cdp');
	is($node->safe_psql('dropped', "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'cdp%'"), 0, 'before the first message it is dropped, and nothing stays');
	$node->safe_psql('dropped', q{CREATE EXTENSION cdp; SELECT cdp.track('A', user_id => 'u')});
	($rc, $out, $err) = $node->psql('dropped', 'DROP EXTENSION cdp');
	isnt($rc, 0, 'after the first message it is not');
	like($err, qr/cannot drop extension cdp because other objects depend on it.*cdp_segments\.all_segments.*CASCADE/s, '... and the error says why, and what to write');
	is($node->safe_psql('dropped', 'SELECT count(*) FROM cdp.profiles'), 1, '... and everybody is there');

	is($node->safe_psql('dropped', q{
		SELECT cdp.track('A', user_id => 'u') IS NOT NULL;
		SELECT cdp.create_segment('s', 'count(*) > 1') IS NOT NULL;
		SET client_min_messages = warning;
		DROP EXTENSION cdp CASCADE;
		CREATE EXTENSION cdp;
		SELECT cdp.track('A', user_id => 'u', message_id => 'm');
		SELECT cdp.create_segment('s', 'count(*) > 0') IS NOT NULL;
		SELECT cdp.track('B', user_id => 'u', message_id => 'n');
		SELECT count(*) FROM cdp.members('s');
		SELECT count(*) FROM cdp.verify()}), "t\nt\n1\nt\n1\n1\n0", 'DROP … CASCADE and CREATE again in one session');

	# A session that keeps its plans over it.
	my ($in, $got) = ('', '');
	my $kept = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('dropped') ], '<', \$in, '>', \$got, '2>', \$err);
	my $ask = sub {
		my ($sql) = @_;
		$got = '';
		$in .= "$sql;\n\\echo done\n";
		my $timer = IPC::Run::timeout(60);
		$kept->pump until $got =~ /^done$/m;
		$got =~ s/^done\n//m;
		chomp $got;
		return $got;
	};
	my $everything = q{SELECT accepted FROM cdp.ingest('{"type": "track", "event": "C", "userId": "v"}');
		SELECT cdp.identify(user_id => 'v', anonymous_id => 'w', traits => '{"a": 1}') IS NOT NULL;
		INSERT INTO cdp.inbox (message) VALUES ('bad'); CALL cdp.run();
		SELECT name FROM cdp.find_profiles('v'); SELECT cdp.profile(cdp.lookup('user_id', 'v')) IS NOT NULL; SELECT count(*) FROM cdp.verify()};
	$ask->($everything) for 1 .. 7; # often enough for generic plans
	is($ask->($everything), "1\nt\n\nt\n0", 'a session that has its plans');
	$node->safe_psql('dropped', "SET client_min_messages = warning; DROP EXTENSION cdp CASCADE");
	($rc, $out, $err) = $node->psql('dropped', q{SELECT cdp.track('A', user_id => 'u')});
	like($err, qr/schema "cdp" does not exist/, 'dropped');
	$node->safe_psql('dropped', q{CREATE EXTENSION cdp; SELECT cdp.create_segment('everybody', 'count(*) >= 0')});
	is($ask->($everything), "1\nt\n\nt\n0", '... they work on in an extension that was dropped and made again by another session');
	is($ask->("SELECT count(*) FROM cdp.members('everybody')"), 1, '... and so do segments');
	$in .= "\\q\n";
	$kept->finish;
}

note 'rights';
{
	is($node->safe_psql('shop', q{SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text LIKE 'cdp%'
		AND has_function_privilege('public', p.oid, 'execute') AND p.proname !~ '^(normaliz|hash_email|is_junk|junk_|(last_)?sequence|funnel|(first|last|longest_gap|most_frequent|bucket|jaro|jaro_winkler|levenshtein|damerau_levenshtein|optimal_alignment|jaccard|qgram_distance|double_metaphone|cologne_phonetics|parse_date|days_between|relative_difference)$)'}), 0, 'PUBLIC may call nothing but pure functions');
	is($node->safe_psql('shop', q{SELECT count(*) FROM pg_class AS c WHERE c.relnamespace::regnamespace::text LIKE 'cdp%' AND c.relkind IN ('r', 'v', 'S')
		AND (has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE'))}), 0, 'and read and write no table');
	$node->safe_psql('shop', q{
		CREATE FUNCTION secret_score(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
		REVOKE ALL ON FUNCTION secret_score FROM PUBLIC;
		CREATE FUNCTION open_score(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0'});
	($rc, $out, $err) = $node->psql('shop', q{SET ROLE marketer; SELECT cdp.create_segment('scored', 'secret_score(count(*))')});
	like($err, qr/permission denied for function secret_score/, 'a rule that calls what its owner may not is refused');
	$node->safe_psql('shop', q{SET ROLE marketer; SELECT cdp.create_segment('scored', 'open_score(count(*))')});
	my $before = $node->safe_psql('shop', "SELECT count(*) FROM cdp.members('scored')");
	cmp_ok($before, '>', 0, 'and what it may is not');
	$node->safe_psql('shop', 'REVOKE ALL ON FUNCTION open_score FROM PUBLIC');
	is($node->safe_psql('shop', q{SET ROLE sender; SELECT cdp.track('After', user_id => 'after', message_id => 'after') IS NOT NULL}), 't',
		'what its owner may no longer fails for the segment, and does not hurt who sends');
	is($node->safe_psql('shop', q{SELECT g.name, e.sqlstate FROM cdp.segment_errors AS e JOIN cdp.segments AS g USING (segment_id)}),
		'scored|42501', '... there is a row that says so');
	is($node->safe_psql('shop', q{SELECT count(*) FROM cdp.members('scored')}), $before, '... and members stay as they were');
	like($node->safe_psql('shop', q{SELECT status || ' ' || value FROM cdp.health() WHERE check_name = 'segments'}), qr/^error scored: permission denied for function open_score/,
		'... and cdp.health() tells');
	$node->safe_psql('shop', 'GRANT EXECUTE ON FUNCTION open_score TO marketer');
	$node->safe_psql('shop', q{SET ROLE marketer; SELECT cdp.refresh_segment('scored')});
	is($node->safe_psql('shop', q{SELECT (SELECT count(*) FROM cdp.segment_errors), (SELECT count(*) FROM cdp.members('scored'))}), '0|' . ($before + 1),
		'granted again and refreshed by its owner, it goes on');
}

$node->stop;
done_testing();
