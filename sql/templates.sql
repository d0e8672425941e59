-- templates: rules with blanks, for people who do not write SQL.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- What there is.
SELECT template, title FROM cdp.segment_templates ORDER BY template;
-- One of them: what it finds, and what may be filled in.
SELECT description FROM cdp.segment_templates WHERE template = 'lapsed_buyers';
SELECT p ->> 'name' AS name, p ->> 'type' AS type, p -> 'default' AS "default", p ->> 'description' AS description
FROM cdp.segment_templates, jsonb_array_elements(parameters) AS p WHERE template = 'lapsed_buyers';
-- The rule, before it is saved.
SELECT rule FROM cdp.render_segment_template('lapsed_buyers', '{"silence": "1 year"}');
-- A segment of one.
SELECT cdp.create_segment_from('loyal_buyers', 'regulars', '{"orders": 5}');
SELECT rule, owner = session_user AS mine FROM cdp.segments WHERE name = 'regulars';

-- For each template, people whose names say what they did. Times are told relative to now.
CREATE TABLE people (template text, who text, what text, ago interval, props jsonb DEFAULT '{}');
INSERT INTO people (template, who, what, ago) VALUES
  ('abandoned_cart', 'added 2 days ago', 'Product Added', '2 days'),
  ('abandoned_cart', 'added 2 days ago, mailed 8 days ago', 'Product Added', '2 days'), ('abandoned_cart', 'added 2 days ago, mailed 8 days ago', 'Email Sent', '8 days'),
  ('abandoned_cart', 'ordered before', 'Order Completed', '3 days'), ('abandoned_cart', 'ordered before', 'Product Added', '2 days'),
  ('abandoned_cart', 'ordered since', 'Product Added', '2 days'), ('abandoned_cart', 'ordered since', 'Order Completed', '1 day'),
  ('abandoned_cart', 'mailed yesterday', 'Product Added', '2 days'), ('abandoned_cart', 'mailed yesterday', 'Email Delivered', '1 day'),
  ('abandoned_cart', 'added 8 days ago', 'Product Added', '8 days'), ('abandoned_cart', 'still shopping', 'Product Added', '10 minutes'),
  ('abandoned_cart', 'only looked', 'Product Viewed', '2 days'),
  ('abandoned_checkout', 'began 2 hours ago', 'Checkout Started', '2 hours'),
  ('abandoned_checkout', 'ordered, and began anew', 'Checkout Started', '5 hours'), ('abandoned_checkout', 'ordered, and began anew', 'Order Completed', '4 hours'),
  ('abandoned_checkout', 'ordered, and began anew', 'Checkout Started', '3 hours'),
  ('abandoned_checkout', 'ordered', 'Checkout Started', '2 hours'), ('abandoned_checkout', 'ordered', 'Order Completed', '1 hour'),
  ('abandoned_checkout', 'began 10 minutes ago', 'Checkout Started', '10 minutes'), ('abandoned_checkout', 'began 4 days ago', 'Checkout Started', '4 days'),
  ('abandoned_browse', 'added before', 'Product Added', '5 days'),
  ('abandoned_browse', 'added after', 'Product Added', '1 day'),
  ('new_sign_ups', '10 days ago', 'Signed Up', '10 days'), ('new_sign_ups', '40 days ago', 'Signed Up', '40 days'),
  ('new_sign_ups', 'again', 'Signed Up', '40 days'), ('new_sign_ups', 'again', 'Signed Up', '10 days'),
  ('onboarding_unfinished', 'signed up 3 days ago', 'Signed Up', '3 days'), ('onboarding_unfinished', 'only looked', 'Signed Up', '3 days'),
  ('onboarding_unfinished', 'only looked', 'Product Viewed', '2 days'),
  ('onboarding_unfinished', 'ordered', 'Signed Up', '3 days'), ('onboarding_unfinished', 'ordered', 'Order Completed', '2 days'),
  ('onboarding_unfinished', 'signed up just now', 'Signed Up', '1 hour'), ('onboarding_unfinished', 'signed up long ago', 'Signed Up', '31 days'),
  ('first_time_buyers', 'first order 5 days ago', 'Order Completed', '5 days'), ('first_time_buyers', 'first order last year', 'Order Completed', '300 days'),
  ('first_time_buyers', 'first order last year', 'Order Completed', '5 days'),
  ('one_time_buyers', 'once', 'Order Completed', '40 days'), ('one_time_buyers', 'twice', 'Order Completed', '40 days'), ('one_time_buyers', 'twice', 'Order Completed', '50 days'),
  ('one_time_buyers', 'once, lately', 'Order Completed', '20 days'), ('one_time_buyers', 'never', 'Product Viewed', '40 days'),
  ('lapsed_buyers', 'a year ago', 'Order Completed', '1 year'), ('lapsed_buyers', 'last month', 'Order Completed', '1 year'), ('lapsed_buyers', 'last month', 'Order Completed', '1 month'),
  ('lapsed_buyers', 'never', 'Product Viewed', '1 year'),
  ('win_back', 'silent for 100 days', 'Order Completed', '100 days'), ('win_back', 'silent for 100 days', 'Order Completed', '200 days'),
  ('win_back', 'not silent', 'Order Completed', '80 days'), ('win_back', 'not silent', 'Order Completed', '200 days'),
  ('win_back', 'lost', 'Order Completed', '400 days'), ('win_back', 'lost', 'Order Completed', '500 days'), ('win_back', 'ordered once', 'Order Completed', '100 days'),
  ('returned_customers', 'after a year', 'Order Completed', '1 year'), ('returned_customers', 'after a year', 'Order Completed', '10 days'),
  ('returned_customers', 'after a year, twice', 'Order Completed', '1 year'), ('returned_customers', 'after a year, twice', 'Order Completed', '10 days'),
  ('returned_customers', 'after a year, twice', 'Order Completed', '5 days'),
  ('returned_customers', 'never away', 'Order Completed', '1 year'), ('returned_customers', 'never away', 'Order Completed', '100 days'),
  ('returned_customers', 'never away', 'Order Completed', '10 days'),
  ('returned_customers', 'not back yet', 'Order Completed', '1 year'), ('returned_customers', 'new', 'Order Completed', '10 days'),
  ('dormant', 'last visit 4 months ago', 'Product Viewed', '4 months'), ('dormant', 'only mailed since', 'Product Viewed', '4 months'), ('dormant', 'only mailed since', 'Email Sent', '1 day'),
  ('dormant', 'opened a mail', 'Product Viewed', '4 months'), ('dormant', 'opened a mail', 'Email Opened', '1 day'), ('dormant', 'only ever mailed', 'Email Sent', '4 months'),
  ('newsletter_engaged', 'opened and clicked', 'Email Opened', '3 days'), ('newsletter_engaged', 'opened and clicked', 'Email Link Clicked', '3 days'),
  ('newsletter_engaged', 'opened once', 'Email Opened', '3 days'), ('newsletter_engaged', 'long ago', 'Email Opened', '70 days'), ('newsletter_engaged', 'long ago', 'Email Opened', '80 days'),
  ('unengaged_subscribers', 'opened one', 'Email Opened', '10 days'), ('unengaged_subscribers', 'opened long ago', 'Email Opened', '100 days'),
  ('unengaged_subscribers', 'unsubscribed', 'Unsubscribed', '10 days'), ('unengaged_subscribers', 'few mails', 'Email Delivered', '10 days'),
  ('funnel_stuck', 'in the cart', 'Product Viewed', '3 days'), ('funnel_stuck', 'in the cart', 'Product Added', '2 days'),
  ('funnel_stuck', 'only viewed', 'Product Viewed', '3 days'), ('funnel_stuck', 'too late', 'Product Viewed', '20 days'), ('funnel_stuck', 'too late', 'Product Added', '2 days'),
  ('funnel_stuck', 'at the checkout', 'Product Viewed', '3 days'), ('funnel_stuck', 'at the checkout', 'Product Added', '2 days'), ('funnel_stuck', 'at the checkout', 'Checkout Started', '1 day'),
  ('anniversary_soon', 'a year ago in 3 days', 'Order Completed', now() - (now() + interval '3 days' - interval '1 year')),
  ('anniversary_soon', 'four years ago today', 'Order Completed', now() - (now() - interval '4 years')),
  ('anniversary_soon', 'a year ago in 9 days', 'Order Completed', now() - (now() + interval '9 days' - interval '1 year')),
  ('anniversary_soon', 'a year ago yesterday', 'Order Completed', now() - (now() - interval '1 day' - interval '1 year')),
  ('anniversary_soon', 'first order today', 'Order Completed', '0');
INSERT INTO people (template, who, what, ago)
  SELECT 'abandoned_browse', who, 'Product Viewed', n * interval '1 day' FROM (VALUES ('three views', 4), ('added before', 4), ('added after', 4), ('one view', 2)) AS v (who, days), generate_series(2, days) AS n
  UNION ALL SELECT 'loyal_buyers', who, 'Order Completed', n * days * interval '1 day' FROM (VALUES ('3 this year', 3, 50), ('3 in three years', 3, 300), ('2 this year', 2, 50)) AS v (who, orders, days), generate_series(1, orders) AS n
  UNION ALL SELECT 'regularly_active', who, 'Product Viewed', n * step * interval '1 week' FROM (VALUES ('each week', 7, 1), ('every second week', 7, 2), ('often, but in one week', 7, 0)) AS v (who, times, step), generate_series(0, times) AS n
  UNION ALL SELECT 'unengaged_subscribers', who, 'Email Delivered', n * interval '1 week' FROM (VALUES ('reads nothing'), ('opened one'), ('opened long ago'), ('unsubscribed')) AS v (who), generate_series(1, 6) AS n;
INSERT INTO people VALUES
  ('abandoned_product', 'one of two ordered', 'Product Added', '2 days', '{"product_id": "p1"}'), ('abandoned_product', 'one of two ordered', 'Product Added', '2 days', '{"product_id": "p2"}'),
  ('abandoned_product', 'one of two ordered', 'Order Completed', '1 day', '{"product_id": "p1"}'),
  ('abandoned_product', 'taken out', 'Product Added', '2 days', '{"product_id": "p1"}'), ('abandoned_product', 'taken out', 'Product Removed', '1 day', '{"product_id": "p1"}'),
  ('abandoned_product', 'mailed about one', 'Product Added', '2 days', '{"product_id": "p1"}'), ('abandoned_product', 'mailed about one', 'Product Added', '2 days', '{"product_id": "p3"}'),
  ('abandoned_product', 'mailed about one', 'Email Sent', '1 day', '{"product_id": "p3"}'), ('abandoned_product', '8 days ago', 'Product Added', '8 days', '{"product_id": "p1"}'),
  ('repeat_viewers', 'p1 ordered', 'Order Completed', '1 day', '{"product_id": "p1"}'),
  ('price_drop_watchers', 'wished for p1, viewed p2', 'Product Added to Wishlist', '50 days', '{"product_id": "p1"}'),
  ('price_drop_watchers', 'wished for p1, viewed p2', 'Product Viewed', '50 days', '{"product_id": "p2"}'),
  ('price_drop_watchers', 'ordered', 'Product Viewed', '5 days', '{"product_id": "p1"}'), ('price_drop_watchers', 'ordered', 'Order Completed', '4 days', '{"product_id": "p1"}'),
  ('price_drop_watchers', 'long ago', 'Product Viewed', '70 days', '{"product_id": "p1"}'),
  ('replenishment_due', 'coffee 35 days ago', 'Order Completed', '35 days', '{"product_id": "coffee"}'), ('replenishment_due', 'coffee 35 days ago', 'Order Completed', '5 days', '{"product_id": "tea"}'),
  ('replenishment_due', 'again', 'Order Completed', '35 days', '{"product_id": "coffee"}'), ('replenishment_due', 'again', 'Order Completed', '5 days', '{"product_id": "coffee"}'),
  ('replenishment_due', 'elsewhere', 'Order Completed', '50 days', '{"product_id": "coffee"}'),
  ('big_spenders', '300 and 250', 'Order Completed', '10 days', '{"total": 300}'), ('big_spenders', '300 and 250', 'Order Completed', '20 days', '{"total": 250}'),
  ('big_spenders', '499.99', 'Order Completed', '10 days', '{"total": 499.99}'), ('big_spenders', '900 long ago', 'Order Completed', '400 days', '{"total": 900}'),
  ('high_order_value', '150 and 90', 'Order Completed', '10 days', '{"total": 150}'), ('high_order_value', '150 and 90', 'Order Completed', '20 days', '{"total": 90}'),
  ('high_order_value', '90 and 90', 'Order Completed', '10 days', '{"total": 90}'), ('high_order_value', '90 and 90', 'Order Completed', '20 days', '{"total": 90}'),
  ('high_order_value', '500 once', 'Order Completed', '10 days', '{"total": 500}'),
  ('high_value_prospects', 'views 120, ordered', 'Order Completed', '9 months', '{}'), ('trial_ending', 'in 2 days, subscribed', 'Subscription Started', '1 day', '{}'),
  ('cross_sell', 'a printer', 'Order Completed', '9 days', '{"category": "printers"}'), ('cross_sell', 'a printer and ink', 'Order Completed', '9 days', '{"category": "printers"}'),
  ('cross_sell', 'a printer and ink', 'Order Completed', '2 years', '{"category": "ink"}'), ('cross_sell', 'ink', 'Order Completed', '9 days', '{"category": "ink"}');
INSERT INTO people
  SELECT 'repeat_viewers', who, 'Product Viewed', n * interval '1 day', jsonb_build_object('product_id', product)
    FROM (VALUES ('p1 3 times', 'p1', 3), ('p1 and p2 twice', 'p1', 2), ('p1 and p2 twice', 'p2', 2), ('p1 ordered', 'p1', 4)) AS v (who, product, views), generate_series(1, views) AS n
  UNION ALL SELECT 'high_value_prospects', who, 'Product Viewed', n * interval '1 day', jsonb_build_object('price', price)
    FROM (VALUES ('views 120', 120, 3), ('views 120, ordered', 120, 3), ('views 20', 20, 3), ('one view of 900', 900, 1)) AS v (who, price, views), generate_series(1, views) AS n
  UNION ALL SELECT template, who, 'Order Completed', (first + n * 20) * interval '1 day', jsonb_build_object('total', total)
    FROM (VALUES ('champions', 'lately, often, a lot', 5, 4, 100), ('champions', 'lately, often, little', 5, 4, 99.99), ('champions', 'lately, seldom, a lot', 5, 3, 200), ('champions', 'not lately', 15, 4, 100),
                 ('champions_at_risk', 'was one', 70, 4, 100), ('champions_at_risk', 'still is', 15, 4, 100), ('champions_at_risk', 'never was', 70, 2, 100)) AS v (template, who, first, orders, total), generate_series(1, orders) AS n
  UNION ALL SELECT template, who, 'Order Completed', n * interval '10 days', CASE WHEN n <= reduced THEN props ELSE '{"coupon": "", "discount": 0}' END
    FROM (VALUES ('discount_lovers', '3 of 4 with coupon', 4, 3, '{"coupon": "SPRING"}'::jsonb), ('discount_lovers', '3 of 4 with discount', 4, 3, '{"discount": 5.5}'), ('discount_lovers', '1 of 4', 4, 1, '{"coupon": "SPRING"}'),
                 ('discount_lovers', '2 of 2', 2, 2, '{"coupon": "SPRING"}'), ('full_price_buyers', '0 of 2', 2, 0, NULL), ('full_price_buyers', '1 of 4', 4, 1, '{"discount": 1}'), ('full_price_buyers', '0 of 1', 1, 0, NULL),
                 ('serial_returners', '2 of 4', 4, 0, NULL), ('serial_returners', '1 of 4', 4, 0, NULL), ('serial_returners', '1 of 1', 1, 0, NULL)) AS v (template, who, orders, reduced, props), generate_series(1, orders) AS n
  UNION ALL SELECT 'serial_returners', who, 'Order Refunded', n * interval '9 days', '{}' FROM (VALUES ('2 of 4', 2), ('1 of 4', 1), ('1 of 1', 1)) AS v (who, refunds), generate_series(1, refunds) AS n
  UNION ALL SELECT 'category_affinity', who, 'Product Viewed', n * interval '1 day', jsonb_build_object('category', CASE WHEN n <= shoes THEN 'shoes' ELSE 'hats' END)
    FROM (VALUES ('3 of 4', 4, 3), ('3 of 8', 8, 3), ('2 of 2', 2, 2)) AS v (who, views, shoes), generate_series(1, views) AS n;
-- All become people with their template as a trait; some have dates, too.
CREATE TABLE dates (template text, who text, traits jsonb);
INSERT INTO dates VALUES
  ('birthday_soon', 'in 3 days', jsonb_build_object('birthday', (now() + interval '3 days' - interval '30 years')::date)), ('birthday_soon', 'today', jsonb_build_object('birthday', (now() - interval '40 years')::date)),
  ('birthday_soon', 'yesterday', jsonb_build_object('birthday', (now() - interval '1 day' - interval '30 years')::date)), ('birthday_soon', 'in 20 days', jsonb_build_object('birthday', (now() + interval '20 days' - interval '30 years')::date)),
  ('birthday_soon', 'unknown', '{}'),
  ('trial_ending', 'in 2 days', jsonb_build_object('trial_ends_at', now() + interval '2 days')), ('trial_ending', 'in 2 days, subscribed', jsonb_build_object('trial_ends_at', now() + interval '2 days')),
  ('trial_ending', 'in 5 days', jsonb_build_object('trial_ends_at', now() + interval '5 days')), ('trial_ending', 'ended', jsonb_build_object('trial_ends_at', now() - interval '1 hour')),
  ('random_holdout', 'one', '{}'), ('random_holdout', 'two', '{}'), ('random_group', 'one', '{}'), ('random_group', 'two', '{}');
SELECT count(cdp.identify(user_id => template || ': ' || who, traits => jsonb_build_object('template', template, 'who', who) || coalesce(d.traits, '{}')))  AS people
FROM (SELECT template, who FROM people UNION SELECT template, who FROM dates) AS p LEFT JOIN dates AS d USING (template, who);
SELECT count(cdp.track(what, user_id => template || ': ' || who, "timestamp" => now() - ago, properties => props)) > 0 AS events FROM people;

-- A segment of each, with what must be given and else as shipped.
SELECT count(cdp.create_segment_from(template, template, CASE template WHEN 'category_affinity' THEN '{"category": "shoes"}' WHEN 'cross_sell' THEN '{"bought": "printers", "offered": "ink"}'
  WHEN 'random_holdout' THEN '{"salt": "x", "percent": 50}' WHEN 'random_group' THEN '{"salt": "x"}' ELSE '{}' END::jsonb)) = count(*) AS all_made FROM cdp.segment_templates;
-- Who is in, and who is not, of those who were made for it.
SELECT t.template, i.people AS "in", o.people AS "not in" FROM cdp.segment_templates AS t
CROSS JOIN LATERAL (SELECT string_agg(concat_ws(': ', p.traits ->> 'who', m.key), '; ' ORDER BY p.traits ->> 'who' COLLATE "C", m.key COLLATE "C") FROM cdp.members(t.template) AS m JOIN cdp.profiles AS p USING (profile_id) WHERE p.traits ->> 'template' = t.template) AS i (people)
CROSS JOIN LATERAL (SELECT string_agg(p.traits ->> 'who', '; ' ORDER BY p.traits ->> 'who' COLLATE "C") FROM cdp.profiles AS p WHERE p.traits ->> 'template' = t.template AND NOT EXISTS (SELECT FROM cdp.members(t.template) AS m WHERE m.profile_id = p.profile_id)) AS o (people)
WHERE t.template NOT LIKE 'random%' ORDER BY t.template;
-- Random groups: everybody is in one of two, and half of the people, more or less, held out.
SELECT cdp.create_segment_from('random_group', 'other_group', '{"salt": "x", "number": 2}') > 0 AS created;
SELECT cdp.segment_size('random_group | other_group') = count(*) AS all_people, cdp.segment_size('random_group & other_group') AS in_both,
  cdp.segment_size('random_holdout') BETWEEN 0.3 * count(*) AND 0.7 * count(*) AS about_half FROM cdp.profiles;
-- All are exact, and judged by the fast engine; no rule fails for anybody.
SELECT count(*) AS segments, bool_and(class = 'exact') AS exact, bool_and(compiled ? 'decomposition') AS fast FROM cdp.segments;
SELECT count(*) AS errors FROM cdp.segment_errors;
SELECT count(*) AS wrong FROM cdp.verify();
-- Nobody needs to look: with time alone people leave, and others come.
SELECT count(*) FILTER (WHERE template = 'birthday_soon') AS birthdays, count(*) FILTER (WHERE template = 'abandoned_cart') AS carts, count(*) FILTER (WHERE template = 'lapsed_buyers') AS lapsed
FROM (SELECT 'birthday_soon', profile_id FROM cdp.members('birthday_soon', at => now() + interval '15 days') UNION ALL SELECT 'abandoned_cart', profile_id FROM cdp.members('abandoned_cart', at => now() + interval '30 days')
  UNION ALL SELECT 'lapsed_buyers', profile_id FROM cdp.members('lapsed_buyers', at => now() + interval '1 year')) AS m (template, profile_id) JOIN cdp.profiles AS p USING (profile_id) WHERE p.traits ->> 'template' = template;

-- Every example works as it stands.
SELECT count(*) AS examples FROM cdp.segment_templates WHERE example ~ '^SELECT cdp\.create_segment_from\(.*\);$';
\pset format unaligned
\t
\o /dev/null
SELECT example FROM cdp.segment_templates ORDER BY template \gexec
\o
\t
\pset format aligned
SELECT count(*) AS made_from_examples, bool_and(compiled ? 'decomposition') AS fast FROM cdp.segments WHERE name LIKE 'my\_%';

-- What is filled in is a value, whatever it looks like; a list is a list.
SELECT rule FROM cdp.render_segment_template('new_sign_ups', '{"signup_event": "it''s \\ here''; DROP TABLE people; --", "window": "1 month 3 days"}');
SELECT cdp.create_segment_from('new_sign_ups', 'odd_event', '{"signup_event": "it''s \\ {window}", "window": "1 month 3 days"}') > 0 AS created;
SELECT cdp.track('it''s \ {window}', user_id => 'odd') > 0 AS sent;
SELECT count(*) FROM cdp.members('odd_event');
SELECT rule, per FROM cdp.render_segment_template('abandoned_product', '{"mail_events": ["A", "B''C"], "product_property": "sku"}');
SELECT rule FROM cdp.render_segment_template('funnel_stuck', '{"steps": ["A", "B"], "reached": 1}');
SELECT rule FROM cdp.render_segment_template('birthday_soon', '{"first_year": 2026, "to_days": 0}');
SELECT strpos(rule, extract(year FROM now())::text) > 0 AS this_year FROM cdp.render_segment_template('birthday_soon');
-- What does not fit is refused, with what would.
SELECT cdp.create_segment_from('abandoned_card', 'x');
SELECT cdp.create_segment_from(NULL, 'x');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"silense": "1 year"}');
SELECT cdp.create_segment_from('category_affinity', 'x');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"silence": 30}');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"silence": "30"}');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"silence": "a while"}');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"silence": "-1 day"}');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"order_event": ""}');
SELECT cdp.create_segment_from('lapsed_buyers', 'x', '{"order_event": null}');
SELECT cdp.create_segment_from('random_holdout', 'x', '{"salt": "x", "percent": 120}');
SELECT cdp.create_segment_from('loyal_buyers', 'x', '{"orders": 2.5}');
SELECT cdp.create_segment_from('loyal_buyers', 'x', '{"orders": 0}');
SELECT cdp.create_segment_from('newsletter_engaged', 'x', '{"reading_events": "Email Opened"}');
SELECT cdp.create_segment_from('newsletter_engaged', 'x', '{"reading_events": []}');
SELECT cdp.create_segment_from('newsletter_engaged', 'x', '{"reading_events": ["A", 1]}');
SELECT cdp.create_segment_from('loyal_buyers', 'x', '[]');
SELECT cdp.create_segment_from('loyal_buyers', 'loyal_buyers');
SELECT cdp.create_segment_from('loyal_buyers', 'x', time_zone => 'Mars/Olympus');

-- Templates of one's own.
SELECT cdp.create_segment_template('visited_store', 'Visited a store', 'Was in one of our stores lately.',
  rule => $$count(*) FILTER (WHERE event = 'Store Visited' AND properties ->> 'city' = {city} AND occurred_at > now() - {window}) >= {visits}$$,
  parameters => '[{"name": "city", "type": "text", "description": "where the store is"},
    {"name": "window", "type": "interval", "default": "30 days", "maximum": "1 year", "description": "how far back to look"},
    {"name": "visits", "type": "integer", "default": 1, "minimum": 1, "unit": "visits", "description": "at least so many"}]');
SELECT cdp.create_segment_from('visited_store', 'in_utrecht', '{"city": "Utrecht"}') > 0 AS created;
SELECT rule FROM cdp.segments WHERE name = 'in_utrecht';
SELECT example, created_by = session_user AS mine FROM cdp.segment_templates WHERE template = 'visited_store';
SELECT cdp.create_segment_from('visited_store', 'x', '{"city": "Utrecht", "window": "2 years"}');
-- Braces in strings are braces: no value gets between their quotes.
SELECT cdp.create_segment_template('tagged', 'Tagged', 'Has a tag.', $$traits ->> 'tags' LIKE '{tag}%' AND traits ->> 'x' = {tag} AND traits ->> 'y' = e'\'{tag}'$$,
  '[{"name": "tag", "type": "text", "description": "the tag"}]');
SELECT rule FROM cdp.render_segment_template('tagged', '{"tag": "vip"}');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits}');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > 1', '[{"name": "visits", "type": "integer", "description": "x"}]');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits}', '[{"name": "visits", "type": "whole", "description": "x"}]');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits}', '[{"name": "visits", "type": "integer", "default": "many", "description": "x"}]');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits}', '[{"name": "visits", "type": "integer"}]');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits}', '{"visits": 1}');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > {visits} -- many', '[{"name": "visits", "type": "integer", "description": "x"}]');
SELECT cdp.create_segment_template('X', 'X', 'X', 'count(*) > 1');
SELECT cdp.create_segment_template('dormant', 'X', 'X', 'count(*) > 1');
SELECT cdp.drop_segment_template('visited_store'), cdp.drop_segment_template('tagged');
SELECT cdp.drop_segment_template('dormant');
SELECT cdp.drop_segment_template('visited_store');

-- Analysts read templates, marketers use them, and the rule runs as its maker, with the maker's search_path.
SET client_min_messages = warning;
CREATE ROLE regress_cdp_reader;
CREATE ROLE regress_cdp_maker;
RESET client_min_messages;
SELECT cdp.grant_access('regress_cdp_reader', 'analyst'), cdp.grant_access('regress_cdp_maker', 'marketer');
SET ROLE regress_cdp_reader;
SELECT count(*) > 20 AS templates FROM cdp.segment_templates;
SELECT rule <> '' AS rendered FROM cdp.render_segment_template('dormant');
SELECT cdp.create_segment_from('dormant', 'made_by_reader');
SELECT cdp.create_segment_template('x', 'X', 'X', 'count(*) > 1');
SET ROLE regress_cdp_maker;
SET search_path = pg_catalog, public;
SELECT cdp.create_segment_from('dormant', 'made_by_maker', time_zone => 'Europe/Amsterdam') > 0 AS created;
SELECT owner, search_path, time_zone FROM cdp.segments WHERE name = 'made_by_maker';
DELETE FROM cdp.segment_templates;
RESET search_path;
RESET ROLE;
DROP OWNED BY regress_cdp_reader, regress_cdp_maker;
SELECT cdp.drop_segment('made_by_maker');
DROP ROLE regress_cdp_reader, regress_cdp_maker;
DROP TABLE people, dates;
