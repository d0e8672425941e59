-- feed: who entered and left which segment, told once, in one order, to whoever wants to know.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

SELECT cdp.create_segment('abandoned_cart', $$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
$$, per => $$properties ->> 'product_id'$$);
SELECT cdp.create_segment('dutch', $$traits ->> 'country' = 'NL'$$);

SELECT cdp.identify(user_id => 'anna', traits => '{"country": "NL"}');
-- Nobody need worry yet; if it waits for long, they need.
SELECT * FROM cdp.health() WHERE check_name = 'change feed';
BEGIN;
UPDATE cdp_internal.membership_touches SET touched_at = now() - interval '2 minutes';
SELECT * FROM cdp.health() WHERE check_name = 'change feed';
ROLLBACK;
SELECT cdp.track('Product Added', user_id => 'anna', properties => '{"product_id": "p7"}');
CALL cdp.run();

-- A consumer reads, works, and acknowledges; until then it gets the same rows.
SELECT position, segment, profile_id, key, change FROM cdp.read_changes('mailer');
SELECT position, segment, profile_id, key, change FROM cdp.read_changes('mailer', max => 1);
SELECT cdp.ack_changes('mailer', 2);
SELECT position, segment, profile_id, key, change FROM cdp.read_changes('mailer');

SELECT cdp.track('Order Completed', user_id => 'anna', properties => '{"product_id": "p7"}');
CALL cdp.run();
SELECT position, segment, profile_id, key, change FROM cdp.read_changes('mailer');
SELECT change, decision_seq IS NOT NULL AS by_a_message, changed_at <= told_at AS in_time FROM cdp.membership_changes ORDER BY position;

-- Some segments only; a new consumer starts with who is in.
SELECT position, segment, profile_id, change FROM cdp.read_changes('crm', segments => '{dutch}');

-- Time passes: nobody writes, and it is told all the same. (Only a test gives the sequencer an instant.)
SELECT cdp.track('Product Added', user_id => 'anna', properties => '{"product_id": "p8"}');
CALL cdp.run();
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') AS looked_at;
SELECT position, segment, key, change, changed_at > now() + interval '6 days' AS in_a_week, decision_seq FROM cdp.membership_changes WHERE position > 3 ORDER BY position;
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') AS nothing_waits;

-- A merge: one person's memberships end, the other's begin or go on.
SELECT cdp.identify(anonymous_id => 'phone', traits => '{"country": "NL"}') AS phone \gset
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') > 0 AS told;
SELECT cdp.track('Page Read', user_id => 'anna', anonymous_id => 'phone') AS anna;
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') > 0 AS told;
SELECT segment, profile_id, change FROM cdp.membership_changes WHERE position > 5 ORDER BY position;

-- A segment that is dropped: whoever was in has left, under the name it had.
SELECT cdp.drop_segment('dutch');
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') > 0 AS told;
SELECT segment, profile_id, change, changed_at = told_at AS as_of_when_it_was_noticed FROM cdp.read_changes('crm', segments => '{dutch}') ORDER BY position DESC LIMIT 2;

-- What is stored again without a difference is not told.
SELECT count(*) AS told_so_far FROM cdp.membership_changes \gset
UPDATE cdp.memberships SET left_at = left_at;
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') > 0 AS looked_at;
SELECT count(*) - :told_so_far AS told FROM cdp.membership_changes;

-- Whatever is written to cdp.memberships is told, by hand, too.
INSERT INTO cdp.memberships (segment_id, profile_id, key, entered_at) VALUES (1, 7, 'p9', now() - interval '1 hour');
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') AS looked_at;
UPDATE cdp.memberships SET profile_id = 8 WHERE profile_id = 7;
SELECT cdp_internal.tell_changes(at => now() + interval '8 days') AS looked_at;
SELECT profile_id, key, change FROM cdp.membership_changes WHERE key = 'p9' ORDER BY position;

-- Acknowledging never goes back, nor ahead of what was told.
SELECT cdp.ack_changes('mailer', 3);
SELECT cdp.ack_changes('mailer', 1);
SELECT cdp.ack_changes('mailer', 1000);
SELECT cdp.ack_changes('nobody', 1);
SELECT cdp.read_changes('crm', segments => '{dutsh}');
SELECT cdp.read_changes('');
SELECT consumer, acked_position, segments FROM cdp.change_consumers ORDER BY consumer;

-- Nothing that a consumer has not acknowledged is pruned; afterwards what later changes replace.
SELECT cdp.prune_changes(keep => '-10 days');
SELECT cdp.ack_changes('crm', (SELECT max(position) FROM cdp.membership_changes)) > 3 AS done;
SELECT cdp.prune_changes(keep => '-10 days');
SELECT cdp.drop_consumer('mailer');
SELECT cdp.prune_changes(keep => '-10 days') > 0 AS pruned;
SELECT count(*) = count(DISTINCT (segment_id, profile_id, key)) AS one_word_each FROM cdp.membership_changes;
SELECT cdp.drop_consumer('mailer');

-- For logical replication. What is pruned here stays there.
SET client_min_messages = error; -- wal_level may be too low for it to be used
CREATE PUBLICATION cdp_changes FOR TABLE cdp.membership_changes WITH (publish = 'insert');
RESET client_min_messages;
DROP PUBLICATION cdp_changes;

SELECT check_name, status FROM cdp_internal.feed_health();
SELECT * FROM cdp_internal.verify_feed();
