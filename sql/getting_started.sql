-- The README's getting started, as written there.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
RESET client_min_messages;

CREATE EXTENSION cdp;

SELECT cdp.create_segment('abandoned_cart', $$
      count(*) FILTER (WHERE event = 'Product Added'   AND occurred_at > now() - interval '7 days') > 0
  AND count(*) FILTER (WHERE event = 'Order Completed' AND occurred_at > now() - interval '7 days') = 0
  AND traits ->> 'country' = 'NL'
$$, per => $$properties ->> 'product_id'$$);

SELECT cdp.track('Product Added', anonymous_id => 'phone-1', properties => '{"product_id": "p7", "price": 49.95}');

SELECT cdp.track('Email Link Clicked', anonymous_id => 'laptop-9', identifiers => '{"email": "Anna@Example.com"}');

SELECT cdp.identify(user_id => 'anna', anonymous_id => 'phone-1', traits => '{"email": "anna@example.com", "country": "NL"}');

SELECT profile_id, type, value FROM cdp.identifiers ORDER BY identifier_id;

SELECT profile_id, key FROM cdp.members('abandoned_cart');

SELECT profile_id, key FROM cdp.members('abandoned_cart', at => now() + interval '8 days');

SELECT cdp.track('Order Completed', user_id => 'anna', properties => '{"product_id": "p7", "total": 49.95}');

SELECT profile_id, key FROM cdp.members('abandoned_cart');
