# A hot standby says who is in a segment as exactly as the primary: at every instant, with no worker and no primary.
# It refuses to write in words that say why, and goes on as a primary after promotion.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::RealBin;
use CdpTest;
use IPC::Run;
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($rc, $out, $err);
my $primary = new_server('primary', streaming => 1, conf => "cdp.worker_naptime = 10\nautovacuum = off\n");
$primary->start;
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', 'CREATE EXTENSION cdp;' . answers() . inbox_of_people(1, 500));
ok(wait_until(sub { $primary->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox') == 0 }), 'the primary takes messages');
# Carts are abandoned for three seconds here, and forgotten after that.
$primary->safe_psql('postgres', q{
	SELECT cdp.create_segment('abandoned_cart', $$
		count(*) FILTER (WHERE event = 'Product Added' AND occurred_at > now() - interval '3 seconds') > 0
		AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '3 seconds') = 0$$,
		per => $$properties->>'product'$$);
	SELECT cdp.create_segment('silent', $$max(occurred_at) <= now() - interval '3 seconds' AND count(*) FILTER (WHERE event = 'Product Added') > 0$$);
	SELECT cdp.create_segment('soon', $$bool_or(event = 'Product Added' AND occurred_at BETWEEN now() - interval '4 seconds' AND now() - interval '2 seconds')$$);});

note 'the same as the primary';
{
	$primary->wait_for_catchup($standby);
	my $members = 'SELECT segment, profile_id, key, since, until FROM cdp.segment_members ORDER BY 1, 2, 3';
	is($standby->safe_psql('postgres', $members), $primary->safe_psql('postgres', $members), 'the same memberships');
	is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM cdp.segment_members'), 't', '... and there are some');
	is($standby->safe_psql('postgres', q{SELECT cdp.profile(cdp.lookup('user_id', 'u1'))}),
		$primary->safe_psql('postgres', q{SELECT cdp.profile(cdp.lookup('user_id', 'u1'))}), 'the same document of a person');
	verified($standby, 'postgres', 'cdp.verify() runs there, and finds nothing');
	ok(wait_until(sub { $primary->safe_psql('postgres', q{SELECT count(*) FROM cdp_internal.segment_sets JOIN cdp.segments USING (segment_id) WHERE name = 'by_price'}) }), 'the primary makes bitmaps');
	$primary->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', q{SELECT cdp.segment_size('by_price - buyers') = (SELECT count(DISTINCT profile_id) FROM cdp.members('by_price')
		WHERE profile_id NOT IN (SELECT profile_id FROM cdp.members('buyers')))}), 't', 'sets of people are combined there');
	is($standby->safe_psql('postgres', 'SELECT * FROM cdp_internal.verify_sets() UNION ALL SELECT * FROM cdp_internal.verify_feed()'), '', '... and are right');
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM cdp.find_profiles('u1')}) > 0, 1, 'people are found');
	cmp_ok($standby->safe_psql('postgres', q{SELECT count(*) FROM cdp.why_member('buyers', cdp.lookup('user_id', 'u1'))}), '>', 0, 'why_member() says why');
	is($standby->safe_psql('postgres', q{SELECT status, value FROM cdp.health() WHERE check_name = 'worker'}), 'ok|none on a standby', 'cdp.health() knows that it is a standby');
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM cdp.health() WHERE status = 'error'}), 0, '... and finds nothing wrong');
}

note 'it refuses to write';
for my $call (q{cdp.track('A', user_id => 'u')}, q{cdp.identify(user_id => 'u')}, q{cdp.ingest('{"type": "track", "event": "A", "userId": "u"}')},
	q{cdp.create_segment('s', 'count(*) > 0')}, q{cdp.drop_segment('buyers')}, q{cdp.refresh_segment('buyers')}, 'cdp.retry_quarantined()',
	q{cdp.grant_access('postgres', 'analyst')})
{
	($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	like($err, qr/ERROR:  (25006: .*(read-only transaction|standby|during recovery)|55000: .*during recovery)/, "$call: read-only");
}
($rc, $out, $err) = $standby->psql('postgres', 'CALL cdp.run()');
like($err, qr/read-only transaction|during recovery|standby/, 'cdp.run(): read-only');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cdp%'"), 0, 'and has no worker');
# The same, had nothing ever been received.
$primary->safe_psql('postgres', 'CREATE DATABASE fresh');
$primary->safe_psql('fresh', 'CREATE EXTENSION cdp');
$primary->wait_for_catchup($standby);
($rc, $out, $err) = $standby->psql('fresh', q{SELECT cdp.track('A', user_id => 'u')});
like($err, qr/read-only|during recovery|standby/, 'the first message, too');

note 'exact in time, by itself';
{
	# Asked in one statement, so that the answer and the instant belong together.
	my $ask = sub {
		return split /\|/, $standby->safe_psql('postgres', q{SELECT
			extract(epoch FROM now() - (SELECT max(occurred_at) FROM cdp.events WHERE event = 'Product Added')),
			(SELECT string_agg(key, ',') FROM cdp_segments.abandoned_cart),
			(SELECT count(*) FROM cdp.members('silent')), (SELECT count(*) FROM cdp_segments.soon),
			(SELECT string_agg(segment, ' ' ORDER BY segment) FROM cdp_segments.all_segments WHERE profile_id = cdp.lookup('user_id', 'anna')
				AND segment IN ('abandoned_cart', 'silent', 'soon')), (SELECT count(*) FROM cdp.verify())});
	};
	$primary->safe_psql('postgres', q{SELECT cdp.track('Product Added', user_id => 'anna', properties => '{"product": "p7"}')});
	$primary->wait_for_catchup($standby);
	$primary->stop('immediate');
	my (%asked, @wrong);
	my $end = time + 10;
	while (time < $end)
	{
		my ($age, $cart, $silent, $soon, $all, $differences) = $ask->();
		my $phase = $age < 2 ? 'before 2 s' : $age < 3 ? 'before 3 s' : $age <= 4 ? 'before 4 s' : 'after';
		$asked{$phase}++;
		my @expected = ($age < 3 ? 'p7' : '', $age < 3 ? 0 : 1, $age >= 2 && $age <= 4 ? 1 : 0,
			join(' ', $age < 3 ? 'abandoned_cart' : 'silent', $age >= 2 && $age <= 4 ? 'soon' : ()), 0);
		my @got = ($cart, $silent, $soon, $all, $differences);
		push @wrong, "at $age s: @got, not @expected" if "@got" ne "@expected";
		last if $age > 4.3;
		sleep 0.02;
	}
	ok($asked{'before 2 s'} || $asked{'before 3 s'}, 'asked while the cart is abandoned');
	ok($asked{'before 4 s'}, '... and when it is over');
	ok($asked{after}, '... and after that');
	is(join("\n", @wrong), '', 'in and out at the right instants, with the primary stopped (' . join(', ', map { "$_: $asked{$_} times" } sort keys %asked) . ')');
	is($standby->safe_psql('postgres', q{SELECT string_agg(round(extract(epoch FROM left_at - entered_at), 6)::text, ',') FROM cdp.membership_history WHERE segment = 'abandoned_cart'}),
		'3.000000', 'history says exactly how long');
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM cdp.membership_history AS h, cdp.members('abandoned_cart', at => h.left_at - interval '1 microsecond') WHERE h.segment = 'abandoned_cart'}),
		1, 'in the segment until a microsecond before the end');
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM cdp.membership_history AS h, cdp.members('abandoned_cart', at => h.left_at) WHERE h.segment = 'abandoned_cart'}),
		0, 'and not at the end');
	verified($standby, 'postgres', 'cdp.verify() finds nothing');
}

note 'promotion';
{
	# A session that met the standby before goes on with the primary.
	my ($in, $got) = ('', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $standby->connstr('postgres') ], '<', \$in, '>', \$got, '2>', \my $complaint);
	my $ask = sub { $got = ''; $in .= "$_[0];\n\\echo done\n"; my $t = IPC::Run::timeout(60); $session->pump until $got =~ /^done$/m; $got =~ s/done\n//; chomp $got; return $got };
	is($ask->(q{SELECT cdp.track('A', user_id => 'bob')}), '', 'a session is refused');
	like($complaint, qr/read-only|during recovery|standby/, '... because of the standby');
	my $state = cdp_state_of_standby();
	$standby->promote;
	is($ask->(q{SELECT cdp.track('Product Added', user_id => 'bob', properties => '{"product": "p8"}') IS NOT NULL}), 't', '... and taken after promotion');
	is($standby->safe_psql('postgres', 'SELECT key FROM cdp_segments.abandoned_cart'), 'p8', '... segments and all');
	ok(wait_until(sub { workers($standby, 'postgres') == 1 }), 'the worker starts');
	$standby->safe_psql('postgres', inbox_of_people(501, 1000));
	ok(wait_until(sub { $standby->safe_psql('postgres', 'SELECT count(*) FROM cdp.inbox') == 0 }), '... and drains the inbox');
	is($standby->safe_psql('postgres', q{SELECT cdp.ingest(json_build_object('type', 'track', 'event', 'Visited', 'anonymousId', 'a21', 'messageId', 'm3',
		'timestamp', '2026-01-01T00:00:00Z', 'properties', json_build_object('n', 3))::jsonb, 'web')}), '(0,1,0)', 'a message the old primary took is a duplicate');
	is(cdp_state_of_standby(), $state, 'what was known before is known');
	verified($standby, 'postgres', 'cdp.verify() finds nothing');
	is($standby->safe_psql('fresh', q{SELECT cdp.track('A', user_id => 'u')}), 1, 'the first message of another database is taken');
	$in .= "\\q\n";
	$session->finish;
}

# Facts of the first 500 lines.
sub cdp_state_of_standby
{
	return $standby->safe_psql('postgres', q{SELECT md5(string_agg(e::text, chr(10) ORDER BY event_id)) FROM cdp.event_records AS e WHERE event_id <=
		(SELECT max(event_id) FROM cdp.event_records WHERE message_id IN (SELECT 'm' || n FROM generate_series(1, 500) AS n))});
}

$standby->stop;
done_testing();
