-- templates_shipped: the templates that come with cdp. Event and property names are those of Segment's e-commerce spec, and parameters.

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('abandoned_cart', 'Abandoned cart',
   'Put something into the cart, nothing was ordered since, and no mail went out lately. For reminders: one membership a person. An order or a mail ends it at once, time ends it after "window".', $$[
     {"name": "window", "type": "interval", "default": "7 days", "description": "how long after the last product a cart is still worth a reminder"},
     {"name": "wait", "type": "interval", "default": "1 hour", "description": "how long to leave people alone while they shop"},
     {"name": "quiet", "type": "interval", "default": "7 days", "description": "no mail within this time"},
     {"name": "added_event", "type": "text", "default": "Product Added", "description": "the event of putting something into the cart"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"},
     {"name": "mail_events", "type": "text list", "default": ["Email Sent", "Email Delivered"], "description": "the events of a mail going out"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''abandoned_cart'', ''my_abandoned_cart'', ''{"wait": "2 hours", "mail_events": ["Cart Reminder Sent"]}'');', $$
      max(occurred_at) FILTER (WHERE event = {added_event}) > now() - {window}
  AND max(occurred_at) FILTER (WHERE event = {added_event}) <= now() - {wait}
  AND coalesce(max(occurred_at) FILTER (WHERE event = {order_event}), '-infinity') < max(occurred_at) FILTER (WHERE event = {added_event})
  AND count(*) FILTER (WHERE event IN ({mail_events}) AND occurred_at > now() - {quiet}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('abandoned_product', 'Abandoned product',
   'One membership a person and product: in the cart, not ordered nor taken out since, and not mailed about lately. Orders and mails count for the product that they name. The key says which product to show.', $$[
     {"name": "window", "type": "interval", "default": "7 days", "description": "how long after it was added a product is still worth a reminder"},
     {"name": "wait", "type": "interval", "default": "1 hour", "description": "how long to leave people alone while they shop"},
     {"name": "quiet", "type": "interval", "default": "7 days", "description": "no mail about the product within this time"},
     {"name": "added_event", "type": "text", "default": "Product Added", "description": "the event of putting something into the cart"},
     {"name": "ending_events", "type": "text list", "default": ["Order Completed", "Product Removed"], "description": "the events after which a product is no longer in the cart"},
     {"name": "mail_events", "type": "text list", "default": ["Email Sent", "Email Delivered"], "description": "the events of a mail going out"},
     {"name": "product_property", "type": "text", "default": "product_id", "description": "the property that names the product; orders need it, too"}]$$,
   'properties ->> {product_property}', 'SELECT cdp.create_segment_from(''abandoned_product'', ''my_abandoned_product'', ''{"quiet": "7 days"}'');', $$
      max(occurred_at) FILTER (WHERE event = {added_event}) > now() - {window}
  AND max(occurred_at) FILTER (WHERE event = {added_event}) <= now() - {wait}
  AND coalesce(max(occurred_at) FILTER (WHERE event IN ({ending_events})), '-infinity') < max(occurred_at) FILTER (WHERE event = {added_event})
  AND count(*) FILTER (WHERE event IN ({mail_events}) AND occurred_at > now() - {quiet}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('abandoned_checkout', 'Abandoned checkout',
   'Began to check out and did not order afterwards. The warmest of all reminders: send it soon.', $$[
     {"name": "window", "type": "interval", "default": "3 days", "description": "how long after the last checkout it is still worth a reminder"},
     {"name": "wait", "type": "interval", "default": "1 hour", "description": "how long a checkout may take"},
     {"name": "checkout_event", "type": "text", "default": "Checkout Started", "description": "the event of beginning to check out"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''abandoned_checkout'', ''my_abandoned_checkout'', ''{"wait": "30 minutes"}'');', $$
      cdp.last_sequence('1 -> not 2', occurred_at, event = {checkout_event}, event = {order_event}) > now() - {window}
  AND cdp.last_sequence('1 -> not 2', occurred_at, event = {checkout_event}, event = {order_event}) <= now() - {wait}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('abandoned_browse', 'Abandoned browsing',
   'Looked at products a few times, and neither put anything into the cart nor ordered since. For a gentle "still looking?".', $$[
     {"name": "views", "type": "integer", "unit": "views", "default": 3, "minimum": 1, "description": "at least so many views within the window"},
     {"name": "window", "type": "interval", "default": "7 days", "description": "how far back to look"},
     {"name": "wait", "type": "interval", "default": "1 hour", "description": "how long to leave people alone while they look"},
     {"name": "view_event", "type": "text", "default": "Product Viewed", "description": "the event of looking at a product"},
     {"name": "buying_events", "type": "text list", "default": ["Product Added", "Order Completed"], "description": "the events that show more than looking"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''abandoned_browse'', ''my_abandoned_browse'', ''{"views": 5}'');', $$
      count(*) FILTER (WHERE event = {view_event} AND occurred_at > now() - {window}) >= {views}
  AND cdp.last_sequence('1 -> not 2', occurred_at, event = {view_event}, event IN ({buying_events})) > now() - {window}
  AND max(occurred_at) FILTER (WHERE event = {view_event}) <= now() - {wait}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('repeat_viewers', 'Repeat viewers',
   'One membership a person and product: looked at again and again, and not ordered. The key says which product; a question answered or a small offer often decides.', $$[
     {"name": "views", "type": "integer", "unit": "views", "default": 3, "minimum": 1, "description": "at least so many views of the product"},
     {"name": "window", "type": "interval", "default": "14 days", "description": "how far back to look"},
     {"name": "view_event", "type": "text", "default": "Product Viewed", "description": "the event of looking at a product"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"},
     {"name": "product_property", "type": "text", "default": "product_id", "description": "the property that names the product; orders need it, too"}]$$,
   'properties ->> {product_property}', 'SELECT cdp.create_segment_from(''repeat_viewers'', ''my_repeat_viewers'', ''{"views": 4, "window": "30 days"}'');', $$
      count(*) FILTER (WHERE event = {view_event} AND occurred_at > now() - {window}) >= {views}
  AND count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('price_drop_watchers', 'Price drop watchers',
   'One membership a person and product: looked at it or wished for it lately and did not order it since. Join the key with your price list and write to those whose product became cheaper.', $$[
     {"name": "window", "type": "interval", "default": "60 days", "description": "how far back to look"},
     {"name": "interest_events", "type": "text list", "default": ["Product Viewed", "Product Added", "Product Added to Wishlist"], "description": "the events of being interested in a product"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"},
     {"name": "product_property", "type": "text", "default": "product_id", "description": "the property that names the product; orders need it, too"}]$$,
   'properties ->> {product_property}', 'SELECT cdp.create_segment_from(''price_drop_watchers'', ''my_price_drop_watchers'', ''{"window": "30 days"}'');', $$
      max(occurred_at) FILTER (WHERE event IN ({interest_events})) > now() - {window}
  AND coalesce(max(occurred_at) FILTER (WHERE event = {order_event}), '-infinity') < max(occurred_at) FILTER (WHERE event IN ({interest_events}))$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('replenishment_due', 'Time to buy again',
   'One membership a person and product: ordered it about as long ago as it lasts, and not again since. For what is used up: coffee, cosmetics, pet food.', $$[
     {"name": "lasts", "type": "interval", "default": "30 days", "description": "how long the product lasts"},
     {"name": "until", "type": "interval", "default": "45 days", "description": "after so long they have bought it elsewhere"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"},
     {"name": "product_property", "type": "text", "default": "product_id", "description": "the property that names the product; orders need it, too"}]$$,
   'properties ->> {product_property}', 'SELECT cdp.create_segment_from(''replenishment_due'', ''my_replenishment_due'', ''{"lasts": "60 days", "until": "80 days"}'');', $$
      max(occurred_at) FILTER (WHERE event = {order_event}) <= now() - {lasts}
  AND max(occurred_at) FILTER (WHERE event = {order_event}) > now() - {until}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('new_sign_ups', 'New sign-ups',
   'Signed up lately. For a welcome series; they leave when the window is over.', $$[
     {"name": "window", "type": "interval", "default": "30 days", "description": "how long somebody is new"},
     {"name": "signup_event", "type": "text", "default": "Signed Up", "description": "the event of signing up"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''new_sign_ups'', ''my_new_sign_ups'', ''{"window": "14 days"}'');', $$min(occurred_at) FILTER (WHERE event = {signup_event}) > now() - {window}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('onboarding_unfinished', 'Onboarding not finished',
   'Signed up a while ago and did not yet do what makes people stay. For help, not for offers. The first key event ends it.', $$[
     {"name": "wait", "type": "interval", "default": "1 day", "description": "how long people may take by themselves"},
     {"name": "window", "type": "interval", "default": "30 days", "description": "after so long it is no longer onboarding"},
     {"name": "signup_event", "type": "text", "default": "Signed Up", "description": "the event of signing up"},
     {"name": "key_events", "type": "text list", "default": ["Order Completed"], "description": "the events, any of which means that they have arrived"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''onboarding_unfinished'', ''my_onboarding_unfinished'', ''{"key_events": ["Project Created", "Teammate Invited"], "wait": "3 days"}'');', $$
      max(occurred_at) FILTER (WHERE event = {signup_event}) <= now() - {wait}
  AND max(occurred_at) FILTER (WHERE event = {signup_event}) > now() - {window}
  AND count(*) FILTER (WHERE event IN ({key_events})) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('trial_ending', 'Trial about to end',
   'A trial that ends within days, by a trait that holds the date, without a subscription. For the last good reason to stay.', $$[
     {"name": "ahead", "type": "interval", "default": "3 days", "description": "how long before the end"},
     {"name": "end_trait", "type": "text", "default": "trial_ends_at", "description": "the trait that holds the end of the trial, a date or an instant"},
     {"name": "subscribed_event", "type": "text", "default": "Subscription Started", "description": "the event of becoming a customer"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''trial_ending'', ''my_trial_ending'', ''{"ahead": "7 days"}'');', $$
      (traits ->> {end_trait})::timestamptz > now()
  AND (traits ->> {end_trait})::timestamptz <= now() + {ahead}
  AND count(*) FILTER (WHERE event = {subscribed_event}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('first_time_buyers', 'First purchase lately',
   'The first order ever was within the window. For thanks, and for what makes a second order likely.', $$[
     {"name": "window", "type": "interval", "default": "30 days", "description": "how far back to look"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''first_time_buyers'', ''my_first_time_buyers'', ''{"window": "7 days"}'');', $$min(occurred_at) FILTER (WHERE event = {order_event}) > now() - {window}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('one_time_buyers', 'One-time buyers',
   'Ordered exactly once, and that is a while ago. The second order is the one that matters most.', $$[
     {"name": "wait", "type": "interval", "default": "30 days", "description": "how long a second order may take by itself"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''one_time_buyers'', ''my_one_time_buyers'', ''{"wait": "60 days"}'');', $$
      count(*) FILTER (WHERE event = {order_event}) = 1
  AND max(occurred_at) FILTER (WHERE event = {order_event}) <= now() - {wait}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('loyal_buyers', 'Loyal buyers',
   'Ordered often within the window. For early access, and to be left out of discounts.', $$[
     {"name": "orders", "type": "integer", "unit": "orders", "default": 3, "minimum": 1, "description": "at least so many orders"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''loyal_buyers'', ''my_loyal_buyers'', ''{"orders": 5}'');', $$count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {orders}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('lapsed_buyers', 'Lapsed buyers',
   'Have ordered, but not for a long time. They are in until they order again.', $$[
     {"name": "silence", "type": "interval", "default": "180 days", "description": "no order for so long"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''lapsed_buyers'', ''my_lapsed_buyers'', ''{"silence": "1 year"}'');', $$max(occurred_at) FILTER (WHERE event = {order_event}) <= now() - {silence}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('win_back', 'Win back',
   'Ordered more than once and went silent, but not too long ago to be won back. They are in from "silence" to "lost" after the last order.', $$[
     {"name": "silence", "type": "interval", "default": "90 days", "description": "no order for so long"},
     {"name": "lost", "type": "interval", "default": "365 days", "description": "after so long it is not worth trying"},
     {"name": "orders", "type": "integer", "unit": "orders", "default": 2, "minimum": 1, "description": "at least so many orders in all"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''win_back'', ''my_win_back'', ''{"silence": "60 days"}'');', $$
      max(occurred_at) FILTER (WHERE event = {order_event}) <= now() - {silence}
  AND max(occurred_at) FILTER (WHERE event = {order_event}) > now() - {lost}
  AND count(*) FILTER (WHERE event = {order_event}) >= {orders}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('returned_customers', 'Returned customers',
   'Ordered again lately, after a long gap: the first order within the window came so long after the one before it. For a welcome back.', $$[
     {"name": "window", "type": "interval", "default": "30 days", "description": "how far back to look"},
     {"name": "gap", "type": "interval", "default": "180 days", "description": "between the two orders lies at least so long"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''returned_customers'', ''my_returned_customers'', ''{"gap": "1 year"}'');', $$
      min(occurred_at) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window})
    - max(occurred_at) FILTER (WHERE event = {order_event} AND occurred_at <= now() - {window}) >= {gap}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('dormant', 'Dormant',
   'Did anything at all once, and nothing for a long time: no visit, no order, no reading of mails. Events that are not theirs, such as mails that were sent, do not count.', $$[
     {"name": "silence", "type": "interval", "default": "90 days", "description": "nothing for so long"},
     {"name": "not_theirs", "type": "text list", "default": ["Email Sent", "Email Delivered", "Email Bounced"], "description": "events that are done to people, not by them"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''dormant'', ''my_dormant'', ''{"silence": "30 days"}'');', $$max(occurred_at) FILTER (WHERE (event IN ({not_theirs})) IS NOT TRUE) <= now() - {silence}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('regularly_active', 'Regularly active',
   'Active in many of the last weeks, this one included; weeks begin on Monday in the segments time zone. The habit, not the volume: two visits in one week are one week.', $$[
     {"name": "active_weeks", "type": "integer", "unit": "weeks", "default": 6, "minimum": 1, "maximum": 520, "description": "active in at least so many weeks"},
     {"name": "weeks", "type": "integer", "unit": "weeks", "default": 8, "minimum": 1, "maximum": 520, "description": "of so many, the current one being the last"},
     {"name": "activity_events", "type": "text list", "default": ["Product Viewed", "Product Added", "Order Completed"], "description": "the events that count as being active"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''regularly_active'', ''my_regularly_active'', ''{"active_weeks": 3, "weeks": 4}'');', $$
  count(DISTINCT date_trunc('week', occurred_at)) FILTER (WHERE event IN ({activity_events})
    AND occurred_at >= date_trunc('week', now()) - interval '1 week' * ({weeks} - 1)) >= {active_weeks}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('big_spenders', 'Big spenders',
   'Paid at least an amount in total within the window.', $$[
     {"name": "amount", "type": "number", "unit": "your currency", "default": 500, "minimum": 0, "description": "at least so much in total"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "amount_property", "type": "text", "default": "total", "description": "the property of an order that holds what was paid"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''big_spenders'', ''my_big_spenders'', ''{"amount": 1000, "amount_property": "revenue"}'');', $$sum((properties ->> {amount_property})::numeric) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {amount}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('high_order_value', 'High order value',
   'Pay a lot an order, on average, whatever the number of orders.', $$[
     {"name": "amount", "type": "number", "unit": "your currency", "default": 100, "minimum": 0, "description": "at least so much on average"},
     {"name": "orders", "type": "integer", "unit": "orders", "default": 2, "minimum": 1, "description": "of at least so many orders"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "amount_property", "type": "text", "default": "total", "description": "the property of an order that holds what was paid"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''high_order_value'', ''my_high_order_value'', ''{"amount": 150}'');', $$
      avg((properties ->> {amount_property})::numeric) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {amount}
  AND count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {orders}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('high_value_prospects', 'High-value prospects',
   'Look at what big spenders buy, and have not ordered yet: the prices of what they viewed are high on average.', $$[
     {"name": "price", "type": "number", "unit": "your currency", "default": 100, "minimum": 0, "description": "the average price is at least"},
     {"name": "views", "type": "integer", "unit": "views", "default": 3, "minimum": 1, "description": "of at least so many views"},
     {"name": "window", "type": "interval", "default": "30 days", "description": "how far back to look"},
     {"name": "price_property", "type": "text", "default": "price", "description": "the property that holds the price"},
     {"name": "view_event", "type": "text", "default": "Product Viewed", "description": "the event of looking at a product"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''high_value_prospects'', ''my_high_value_prospects'', ''{"price": 250}'');', $$
      avg((properties ->> {price_property})::numeric) FILTER (WHERE event = {view_event} AND occurred_at > now() - {window}) >= {price}
  AND count(*) FILTER (WHERE event = {view_event} AND occurred_at > now() - {window}) >= {views}
  AND count(*) FILTER (WHERE event = {order_event}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('champions', 'Champions (RFM)',
   'The best customers by recency, frequency and monetary value, each with a fixed threshold: ordered lately, often, and for a lot.', $$[
     {"name": "recency", "type": "interval", "default": "30 days", "description": "the last order is not older"},
     {"name": "frequency", "type": "integer", "unit": "orders", "default": 4, "minimum": 1, "description": "at least so many orders within the window"},
     {"name": "monetary", "type": "number", "unit": "your currency", "default": 400, "minimum": 0, "description": "for at least so much within the window"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "amount_property", "type": "text", "default": "total", "description": "the property of an order that holds what was paid"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''champions'', ''my_champions'', ''{"recency": "60 days", "frequency": 5, "monetary": 1000}'');', $$
      max(occurred_at) FILTER (WHERE event = {order_event}) > now() - {recency}
  AND count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {frequency}
  AND sum((properties ->> {amount_property})::numeric) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {monetary}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('champions_at_risk', 'Champions at risk',
   'Were champions until their orders stopped: often and for a lot in the time before the silence, and nothing since. Worth a personal letter.', $$[
     {"name": "silence", "type": "interval", "default": "60 days", "description": "no order for so long"},
     {"name": "frequency", "type": "integer", "unit": "orders", "default": 4, "minimum": 1, "description": "at least so many orders within the window"},
     {"name": "monetary", "type": "number", "unit": "your currency", "default": 400, "minimum": 0, "description": "for at least so much within the window"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "amount_property", "type": "text", "default": "total", "description": "the property of an order that holds what was paid"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''champions_at_risk'', ''my_champions_at_risk'', ''{"silence": "90 days"}'');', $$
      max(occurred_at) FILTER (WHERE event = {order_event}) <= now() - {silence}
  AND count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {frequency}
  AND sum((properties ->> {amount_property})::numeric) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {monetary}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('discount_lovers', 'High discount affinity',
   'Mostly order with a coupon or a discount. They wait for sales: tell them of sales, and do not waste other offers on them.', $$[
     {"name": "share", "type": "number", "unit": "percent", "default": 70, "minimum": 0, "maximum": 100, "description": "at least this part of the orders"},
     {"name": "orders", "type": "integer", "unit": "orders", "default": 3, "minimum": 1, "description": "of at least so many orders"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "coupon_property", "type": "text", "default": "coupon", "description": "the property of an order that holds its coupon"},
     {"name": "discount_property", "type": "text", "default": "discount", "description": "the property of an order that holds its discount"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''discount_lovers'', ''my_discount_lovers'', ''{"share": 50}'');', $$
      count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {orders}
  AND 100 * count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}
        AND (coalesce(properties ->> {coupon_property}, '') <> '' OR coalesce((properties ->> {discount_property})::numeric, 0) > 0))
    >= {share} * count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window})$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('full_price_buyers', 'Full-price buyers',
   'Order without coupons and discounts. Leave them out of sales: they buy anyway.', $$[
     {"name": "orders", "type": "integer", "unit": "orders", "default": 2, "minimum": 1, "description": "at least so many orders, none of them reduced"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "coupon_property", "type": "text", "default": "coupon", "description": "the property of an order that holds its coupon"},
     {"name": "discount_property", "type": "text", "default": "discount", "description": "the property of an order that holds its discount"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''full_price_buyers'', ''my_full_price_buyers'', ''{"orders": 3}'');', $$
      count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {orders}
  AND count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}
        AND (coalesce(properties ->> {coupon_property}, '') <> '' OR coalesce((properties ->> {discount_property})::numeric, 0) > 0)) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('serial_returners', 'Serial returners',
   'Send back a large part of what they order. To be left out of campaigns that cost money.', $$[
     {"name": "share", "type": "number", "unit": "percent", "default": 50, "minimum": 0, "maximum": 100, "description": "refunds are at least this part of the orders"},
     {"name": "orders", "type": "integer", "unit": "orders", "default": 3, "minimum": 1, "description": "of at least so many orders"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look"},
     {"name": "refund_event", "type": "text", "default": "Order Refunded", "description": "the event of a refund"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''serial_returners'', ''my_serial_returners'', ''{"share": 40}'');', $$
      count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window}) >= {orders}
  AND 100 * count(*) FILTER (WHERE event = {refund_event} AND occurred_at > now() - {window})
    >= {share} * count(*) FILTER (WHERE event = {order_event} AND occurred_at > now() - {window})$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('category_affinity', 'Category affinity',
   'A large share of what they look at is of one category. For the newsletter of that category.', $$[
     {"name": "category", "type": "text", "description": "the category"},
     {"name": "share", "type": "number", "unit": "percent", "default": 50, "minimum": 0, "maximum": 100, "description": "at least this part of the views"},
     {"name": "views", "type": "integer", "unit": "views", "default": 3, "minimum": 1, "description": "at least so many views of the category"},
     {"name": "window", "type": "interval", "default": "30 days", "description": "how far back to look"},
     {"name": "category_property", "type": "text", "default": "category", "description": "the property that names the category"},
     {"name": "view_event", "type": "text", "default": "Product Viewed", "description": "the event of looking at a product"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''category_affinity'', ''my_category_affinity'', ''{"category": "shoes", "share": 60}'');', $$
      count(*) FILTER (WHERE event = {view_event} AND properties ->> {category_property} = {category} AND occurred_at > now() - {window}) >= {views}
  AND 100 * count(*) FILTER (WHERE event = {view_event} AND properties ->> {category_property} = {category} AND occurred_at > now() - {window})
    >= {share} * count(*) FILTER (WHERE event = {view_event} AND occurred_at > now() - {window})$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('cross_sell', 'Cross-sell',
   'Ordered one category and never another that goes with it.', $$[
     {"name": "bought", "type": "text", "description": "the category that they ordered"},
     {"name": "offered", "type": "text", "description": "the category that they never ordered"},
     {"name": "window", "type": "interval", "default": "365 days", "description": "how far back to look for what they ordered"},
     {"name": "category_property", "type": "text", "default": "category", "description": "the property of an order that names the category"},
     {"name": "order_event", "type": "text", "default": "Order Completed", "description": "the event of an order"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''cross_sell'', ''my_cross_sell'', ''{"bought": "printers", "offered": "ink"}'');', $$
      count(*) FILTER (WHERE event = {order_event} AND properties ->> {category_property} = {bought} AND occurred_at > now() - {window}) > 0
  AND count(*) FILTER (WHERE event = {order_event} AND properties ->> {category_property} = {offered}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('newsletter_engaged', 'Newsletter readers',
   'Opened or clicked mails lately. For the mails that need readers, and to keep the senders reputation good.', $$[
     {"name": "times", "type": "integer", "unit": "times", "default": 2, "minimum": 1, "description": "at least so many times"},
     {"name": "window", "type": "interval", "default": "60 days", "description": "how far back to look"},
     {"name": "reading_events", "type": "text list", "default": ["Email Opened", "Email Link Clicked"], "description": "the events of reading a mail"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''newsletter_engaged'', ''my_newsletter_engaged'', ''{"times": 1, "window": "30 days"}'');', $$count(*) FILTER (WHERE event IN ({reading_events}) AND occurred_at > now() - {window}) >= {times}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('unengaged_subscribers', 'Unengaged subscribers',
   'Got many mails and read none of them. Ask once whether they still want them, then stop: they cost reputation.', $$[
     {"name": "mails", "type": "integer", "unit": "mails", "default": 5, "minimum": 1, "description": "at least so many mails within the window"},
     {"name": "window", "type": "interval", "default": "90 days", "description": "how far back to look"},
     {"name": "mail_events", "type": "text list", "default": ["Email Delivered"], "description": "the events of a mail arriving"},
     {"name": "reading_events", "type": "text list", "default": ["Email Opened", "Email Link Clicked"], "description": "the events of reading a mail"},
     {"name": "unsubscribed_event", "type": "text", "default": "Unsubscribed", "description": "the event of unsubscribing"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''unengaged_subscribers'', ''my_unengaged_subscribers'', ''{"mails": 10}'');', $$
      count(*) FILTER (WHERE event IN ({mail_events}) AND occurred_at > now() - {window}) >= {mails}
  AND count(*) FILTER (WHERE event IN ({reading_events}) AND occurred_at > now() - {window}) = 0
  AND count(*) FILTER (WHERE event = {unsubscribed_event}) = 0$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('funnel_stuck', 'Stuck in a funnel',
   'Came exactly so far in a funnel within its time, and no further. Steps are events in order; "reached" is the number of the last step done.', $$[
     {"name": "reached", "type": "integer", "unit": "step", "default": 2, "minimum": 1, "maximum": 63, "description": "the number of the step that was reached, and not the next"},
     {"name": "steps", "type": "steps", "default": ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"], "description": "the events of the funnel, in order"},
     {"name": "within", "type": "interval", "default": "7 days", "description": "all steps within this time of the first"},
     {"name": "window", "type": "interval", "default": "30 days", "description": "how far back to look"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''funnel_stuck'', ''my_funnel_stuck'', ''{"reached": 1, "steps": ["Signed Up", "Project Created", "Teammate Invited"], "within": "14 days"}'');', $$cdp.funnel({within}, occurred_at, {steps}) FILTER (WHERE occurred_at > now() - {window}) = {reached}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('birthday_soon', 'Birthday soon',
   'A birthday within the next days, by a trait that holds the date; those of February 29th have it on the 28th in other years. Days begin in the segments time zone. The rule names six years: make the segment anew after five.', $$[
     {"name": "from_days", "type": "integer", "unit": "days", "default": 0, "minimum": 0, "maximum": 300, "description": "from so many days ahead; 0: today"},
     {"name": "to_days", "type": "integer", "unit": "days", "default": 7, "minimum": 0, "maximum": 300, "description": "to so many days ahead"},
     {"name": "birthday_trait", "type": "text", "default": "birthday", "description": "the trait that holds the date of birth"},
     {"name": "first_year", "type": "year", "default": "this year", "description": "the first of the six years"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''birthday_soon'', ''my_birthday_soon'', ''{"to_days": 14}'');', $$
     ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} + 1 - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} + 2 - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} + 3 - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} + 4 - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR ((traits ->> {birthday_trait})::date + interval '1 year' * ({first_year} + 5 - extract(year FROM (traits ->> {birthday_trait})::date)))::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('anniversary_soon', 'Anniversary soon',
   'One to five years ago, within the next days, something happened for the first time: the first order, the sign-up. Days begin in the segments time zone.', $$[
     {"name": "from_days", "type": "integer", "unit": "days", "default": 0, "minimum": 0, "maximum": 300, "description": "from so many days ahead; 0: today"},
     {"name": "to_days", "type": "integer", "unit": "days", "default": 7, "minimum": 0, "maximum": 300, "description": "to so many days ahead"},
     {"name": "anniversary_event", "type": "text", "default": "Order Completed", "description": "the event whose first time is remembered"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''anniversary_soon'', ''my_anniversary_soon'', ''{"anniversary_event": "Signed Up", "to_days": 0}'');', $$
     (min(occurred_at) FILTER (WHERE event = {anniversary_event}) + interval '1 year')::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR (min(occurred_at) FILTER (WHERE event = {anniversary_event}) + interval '2 years')::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR (min(occurred_at) FILTER (WHERE event = {anniversary_event}) + interval '3 years')::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR (min(occurred_at) FILTER (WHERE event = {anniversary_event}) + interval '4 years')::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}
  OR (min(occurred_at) FILTER (WHERE event = {anniversary_event}) + interval '5 years')::date - CURRENT_DATE BETWEEN {from_days} AND {to_days}$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('random_holdout', 'Random holdout',
   'A random part of all people, always the same ones for a salt. Leave them out of a campaign and see what it was worth: "audience - holdout" in cdp.segment_size.', $$[
     {"name": "salt", "type": "text", "description": "a name for this split, such as that of the campaign; other names give independent splits"},
     {"name": "percent", "type": "number", "unit": "percent", "default": 10, "minimum": 0, "maximum": 100, "description": "so many of all people"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''random_holdout'', ''my_random_holdout'', ''{"salt": "holdout 2026", "percent": 5}'');', $$cdp.bucket(profile_id, {salt}, 10000) < {percent} * 100$$);

INSERT INTO cdp.segment_templates (template, title, description, parameters, per, example, rule) VALUES
  ('random_group', 'One of several random groups',
   'Splits all people at random into groups of equal size; this is one of them. For tests of two or more variants: one segment a group, with the same salt.', $$[
     {"name": "salt", "type": "text", "description": "a name for this split, the same for all its groups"},
     {"name": "groups", "type": "integer", "unit": "groups", "default": 2, "minimum": 2, "maximum": 1000, "description": "so many groups"},
     {"name": "number", "type": "integer", "unit": "group", "default": 1, "minimum": 1, "maximum": 1000, "description": "which of them, from 1 on"}]$$,
   NULL, 'SELECT cdp.create_segment_from(''random_group'', ''my_random_group'', ''{"salt": "spring sale", "groups": 3, "number": 2}'');', $$cdp.bucket(profile_id, {salt}, {groups}) = {number} - 1$$);

-- Conditions stand below each other; the line break before the first is none of the rule.
UPDATE cdp.segment_templates SET rule = pg_catalog.ltrim(rule, E'\n');
