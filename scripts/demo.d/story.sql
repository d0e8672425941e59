-- The story of one person, told in a dozen messages.
--
--   psql -X -f scripts/demo.d/story.sql
--
-- Needs a database with the extension and nobody in it yet.
\set ON_ERROR_STOP on
\set QUIET on
\pset format aligned
\pset border 1
\pset footer off
\pset null '-'
\pset pager off
SET timezone = 'UTC';
SET client_min_messages = warning;

-- Two short questions, asked again and again.
\set who_is_who 'SELECT profile_id, type, value FROM cdp.identifiers ORDER BY identifier_id;'
\set who_is_in 'SELECT profile_id, key AS product, date_trunc(\'minute\', until) AS until FROM cdp.members(\'abandoned_cart\') ORDER BY key;'

\echo
\echo 'A shop wants to know who left something in the cart, and what.'
\echo 'The rule is SQL. "per" means: one membership for each person and product.'
\echo
\set ECHO queries
SELECT cdp.create_segment('abandoned_cart', $$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND count(*) FILTER (WHERE event = 'Email Sent' AND properties->>'campaign' = 'cart' AND occurred_at > now() - interval '7 days') = 0
  AND traits->>'country' = 'NL'
$$, per => $$properties->>'product_id'$$) AS created \gset
\set ECHO none

\echo
\echo '1. Two days ago. A phone looks around. Nobody knows whose it is.'
\echo '   (A profile is called by the number of its oldest identifier.)'
\echo
\set ECHO queries
SELECT cdp.page('Home', anonymous_id => 'phone-1', context => '{"device": {"id": "ios-77", "type": "ios"}}',
                "timestamp" => now() - interval '2 days') AS profile \gset
SELECT cdp.track('Product Viewed', anonymous_id => 'phone-1', properties => '{"product_id": "p7", "name": "Bicycle lamp"}',
                 "timestamp" => now() - interval '2 days') AS profile \gset
SELECT cdp.track('Product Added', anonymous_id => 'phone-1', properties => '{"product_id": "p7", "name": "Bicycle lamp", "price": 49.95}',
                 "timestamp" => now() - interval '2 days') AS profile \gset
\echo '-> profile' :profile
\set ECHO none

\echo
\echo '2. Yesterday. A laptop opens a link in an e-mail. The link says whose e-mail it was.'
\echo
\set ECHO queries
SELECT cdp.page('Lamps', anonymous_id => 'laptop-9', "timestamp" => now() - interval '1 day') AS profile \gset
SELECT cdp.track('Email Link Clicked', anonymous_id => 'laptop-9', identifiers => '{"email": "Anna@Example.com"}',
                 properties => '{"campaign": "spring"}', "timestamp" => now() - interval '1 day') AS profile \gset
\echo '-> profile' :profile
\set ECHO none

\echo
\echo 'Two people so far, as far as anyone can tell: the phone, and the laptop with its e-mail address.'
\echo
:who_is_who

\echo '3. Today. Somebody logs in on the phone: it is Anna, and her address is the one in the e-mail.'
\echo
\set ECHO queries
SELECT cdp.identify(user_id => 'anna', anonymous_id => 'phone-1',
                    traits => '{"email": "anna@example.com", "country": "NL", "name": "Anna de Vries"}') AS profile \gset
\echo '-> profile' :profile
\set ECHO none

\echo
\echo 'One message, and phone and laptop are one person.'
\echo
:who_is_who
\echo 'The same commit put her into the segment, with the lamp: the cart is known to be hers,'
\echo 'and the rule asks for the Netherlands. It also knows when she will leave: seven days after the cart.'
\echo
:who_is_in

\echo '4. On the laptop she adds a bell. A second product, a second membership.'
\echo
\set ECHO queries
SELECT cdp.track('Product Added', anonymous_id => 'laptop-9', properties => '{"product_id": "p8", "name": "Bell", "price": 12.50}') AS profile \gset
\echo '-> profile' :profile
\set ECHO none
\echo
:who_is_in

\echo '5. In the shop, at the till, a loyalty card buys the lamp. Whose card is it? Not known yet.'
\echo
\set ECHO queries
SELECT cdp.track('Order Completed', identifiers => '{"loyalty_id": "L-42"}', message_id => 'till-3-receipt-118',
                 properties => '{"order_id": "118", "product_id": "p7", "total": 49.95, "currency": "EUR"}') AS profile \gset
\echo '-> profile' :profile
\set ECHO none
\echo
\echo 'The till sends its receipt again. The same message twice is one purchase.'
\echo
\set ECHO queries
SELECT cdp.track('Order Completed', identifiers => '{"loyalty_id": "L-42"}', message_id => 'till-3-receipt-118',
                 properties => '{"order_id": "118", "product_id": "p7", "total": 49.95, "currency": "EUR"}') AS profile \gset
\echo '-> profile' :profile
SELECT count(*) AS purchases FROM cdp.events WHERE event = 'Order Completed';
\set ECHO none
:who_is_who

\echo '6. Anna adds the card to her account.'
\echo
\set ECHO queries
SELECT cdp.identify(user_id => 'anna', identifiers => '{"loyalty_id": "L-42"}') AS profile \gset
\echo '-> profile' :profile
\set ECHO none
\echo
\echo 'The purchase is hers now. The lamp is out of the segment in the same commit; the bell stays.'
\echo
:who_is_who
:who_is_in

\echo '7. And the bell? If nothing more happens she leaves by the passing of time. No need to wait: ask.'
\echo
\set ECHO queries
SELECT key AS product FROM cdp.members('abandoned_cart', at => now() + interval '6 days');
SELECT key AS product FROM cdp.members('abandoned_cart', at => now() + interval '8 days');
\set ECHO none
\echo 'In six days the bell is still there, in eight days nobody is. No message and no job is needed for it.'

\echo
\echo '8. Why is she in? Each condition, its value, its evidence.'
\echo
\set ECHO queries
SELECT key AS product, left(condition, 57) AS condition, holds, (SELECT v FROM jsonb_each_text("values") AS x (k, v)) AS value,
       jsonb_path_query_array(evidence, '$.*.events[*]') AS events
  FROM cdp.why_member('abandoned_cart', cdp.lookup('email', 'ANNA@example.com')) WHERE key IS NOT NULL AND condition <> 'until';
\set ECHO none

\echo '9. Everything about Anna is one document.'
\echo
\set ECHO queries
SELECT jsonb_pretty(cdp.profile(cdp.lookup('loyalty_id', 'L-42'))->'traits') AS "Anna's traits";
SELECT occurred_at::timestamp(0), type, event, properties->>'product_id' AS product
  FROM cdp.events WHERE profile_id = cdp.lookup('user_id', 'anna') ORDER BY occurred_at, event_id;
\set ECHO none

\echo
\echo '10. Her partner Bert buys a bicycle in the shop, with his e-mail address. Another person, and profiles say so.'
\echo
\set ECHO queries
SELECT cdp.identify(traits => '{"email": "bert@example.com", "name": "Bert", "country": "NL"}') AS profile \gset
SELECT cdp.track('Order Completed', identifiers => '{"email": "bert@example.com"}', properties => '{"product_id": "p99", "total": 799}') AS profile \gset
\echo '-> profile' :profile
\set ECHO none
\echo
\echo 'In the evening he looks at bells on the tablet, which Anna uses, too, and leaves his address for a newsletter.'
\echo 'A device that is known as hers does not make the two one person. What was refused is kept, with the reason:'
\echo
\set ECHO queries
SELECT cdp.track('Product Viewed', user_id => 'anna', anonymous_id => 'tablet', properties => '{"product_id": "p8"}') AS profile \gset
SELECT cdp.identify(anonymous_id => 'tablet', identifiers => '{"email": "bert@example.com"}') AS profile \gset
SELECT type, value, rule, reason FROM cdp.refusals;
\set ECHO none

\echo '11. But then he orders on the tablet while Anna is still logged in. The message says: anna, and bert@example.com.'
\echo
\set ECHO queries
SELECT cdp.track('Order Completed', user_id => 'anna', anonymous_id => 'tablet', identifiers => '{"email": "bert@example.com"}',
                 message_id => 'checkout-4711', properties => '{"product_id": "p8", "total": 12.50}') AS profile \gset
\echo '-> profile' :profile
SELECT profile_id, traits FROM cdp.profiles ORDER BY profile_id;
\set ECHO none
\echo 'One person: wrong. She is called Bert now, and owns a bicycle. Why are they one?'
\echo
\set ECHO queries
SELECT step, one, other, message_id FROM cdp.why_same('{"loyalty_id": "L-42"}', '{"email": "bert@example.com"}');
\set ECHO none
\echo 'The last link is the bridge. One call takes it out, and says who they are now:'
\echo
\set ECHO queries
SELECT * FROM cdp.split_profile(cdp.lookup('user_id', 'anna'), '{"email": "bert@example.com"}', reason => 'her partner, on her tablet');
\set ECHO none

\echo '12. As if it had never been: traits, purchases, the segment.'
\echo
\set ECHO queries
SELECT p.profile_id, p.traits, (SELECT count(*) FROM cdp.events AS e WHERE e.profile_id = p.profile_id) AS events,
       (SELECT string_agg(m.key, ', ') FROM cdp.segment_members AS m WHERE m.profile_id = p.profile_id) AS carts
  FROM cdp.profiles AS p ORDER BY p.profile_id;
\set ECHO none
\echo 'And it stays so. The same checkout comes again the next day, and joins nobody:'
\echo
\set ECHO queries
SELECT cdp.track('Order Completed', user_id => 'anna', anonymous_id => 'tablet', identifiers => '{"email": "bert@example.com"}',
                 properties => '{"product_id": "p9", "total": 5}') AS profile \gset
SELECT cdp.lookup('user_id', 'anna') <> cdp.lookup('email', 'bert@example.com') AS still_two;
SELECT count(*) AS differences FROM cdp.verify();
\set ECHO none
