-- tracking plans: what a source is expected to send.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SELECT cdp.create_source('web') IS NOT NULL AS created;

-- A plan says which events there are, and a JSON Schema for the properties of each.
SELECT cdp.create_tracking_plan('web', $${
  "events": {
    "Order Completed": {
      "type": "object", "required": ["order_id", "total", "items"],
      "properties": {
        "order_id": {"type": "string", "pattern": "^O-[0-9]+$"},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD", null]},
        "coupon": {"type": ["string", "null"]},
        "delivered_on": {"type": "string", "format": "date"},
        "items": {"type": "array", "items": {"type": "object", "required": ["sku"],
                  "properties": {"sku": {"type": "string"}, "quantity": {"type": "integer", "minimum": 1, "maximum": 99}}}}
      },
      "additionalProperties": false
    },
    "Product Viewed": true
  },
  "traits": {"properties": {"age": {"type": "integer"}, "email": {"type": "string", "format": "email"}}, "additionalProperties": {"type": ["string", "number"]}},
  "group_traits": {"required": ["plan"]}
}$$);
SELECT mode, is_enabled FROM cdp.tracking_plans;

-- By default it is observed: messages are taken, and what does not keep to the plan is counted, with an example.
SELECT * FROM cdp.ingest($$[
  {"type": "track", "messageId": "p-1", "userId": "u1", "event": "Order Completed", "properties": {"order_id": "O-1", "total": 10.50, "currency": "EUR", "items": [{"sku": "s1", "quantity": 2}], "coupon": null}},
  {"type": "track", "messageId": "p-2", "userId": "u1", "event": "Order Completed", "properties": {"order_id": "17", "total": "10.50", "currency": "GBP", "items": [{"quantity": 0.5}, {"sku": "s2", "quantity": 100}]}},
  {"type": "track", "messageId": "p-3", "userId": "u1", "event": "Order Completed", "properties": {"order_id": "O-2", "total": -1, "items": [], "cupon": "X", "delivered_on": "tomorrow"}},
  {"type": "track", "messageId": "p-4", "userId": "u1", "event": "Order Completed"},
  {"type": "track", "messageId": "p-5", "userId": "u1", "event": "Order completed"},
  {"type": "track", "messageId": "p-6", "userId": "u1", "event": "Product Viewed", "properties": {"anything": 1}},
  {"type": "page", "messageId": "p-7", "userId": "u1", "name": "Home"},
  {"type": "identify", "messageId": "p-8", "userId": "u1", "traits": {"age": 42.0, "email": "a@example.com", "city": "Utrecht"}},
  {"type": "identify", "messageId": "p-9", "userId": "u1", "traits": {"age": "42", "vip": true}},
  {"type": "group", "messageId": "p-10", "userId": "u1", "groupId": "acme"}
]$$, source => 'web');
SELECT type, event, property, violation, messages, found, message_id FROM cdp.tracking_violations ORDER BY type, event, property, violation;
-- A repeat is not counted again.
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "messageId": "p-4", "userId": "u1", "event": "Order Completed"}', source => 'web');
SELECT messages FROM cdp.tracking_violations WHERE event = 'Order Completed' AND property = 'order_id' AND violation = 'required';
-- Other sources have nothing to do with it.
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Order completed"}', source => 'app');
SELECT DISTINCT source FROM cdp.tracking_violations;

-- What is put aside waits until the plan, or the message, is corrected.
SELECT cdp.alter_tracking_plan('web', mode => 'quarantine');
SELECT * FROM cdp.ingest($$[
  {"type": "track", "messageId": "q-1", "userId": "u1", "event": "Order Shipped", "properties": {"order_id": "O-1"}},
  {"type": "track", "messageId": "q-2", "userId": "u1", "event": "Order Completed", "properties": {"order_id": "O-3", "total": "9", "items": []}}
]$$, source => 'web');
SELECT message_id, code, reason, detail FROM cdp.quarantine ORDER BY quarantine_id;
SELECT cdp.track('Order Shipped', user_id => 'u1', source => 'web');
UPDATE cdp.quarantine SET message = replace(message, '"9"', '9') WHERE message_id = 'q-2';
SELECT cdp.alter_tracking_plan('web', (SELECT jsonb_set(plan, '{events,Order Shipped}', '{"required": ["order_id"]}') FROM cdp.tracking_plans));
SELECT * FROM cdp.retry_quarantined(code => 'plan_violation');

-- Off, on again, and gone.
SELECT cdp.disable_tracking_plan('web');
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Whatever"}', source => 'web');
SELECT cdp.enable_tracking_plan('web');
SELECT quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Whatever"}', source => 'web');
SELECT cdp.drop_tracking_plan('web');
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Whatever"}', source => 'web');
SELECT cdp.clear_tracking_violations('web') > 0 AS cleared;
SELECT count(*) AS kept FROM cdp.tracking_violations;

-- What a schema may say is stated; the rest is refused by its name, and where it stands.
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"properties": {"x": {"oneOf": []}}}}}');
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"properties": {"x": {"type": "float"}}}}}');
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"properties": {"x": {"pattern": "("}}}}}');
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"properties": {"x": {"format": "ipv4"}}}}}');
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"required": "x"}}}');
SELECT cdp.create_tracking_plan('web', '{"events": ["A"]}');
SELECT cdp.create_tracking_plan('web', '{"tracks": {}}');
SELECT cdp.create_tracking_plan('web', '[]');
SELECT cdp.create_tracking_plan('web', '{}', mode => 'maybe');
SELECT cdp.create_tracking_plan('nowhere', '{}');
SELECT cdp.alter_tracking_plan('web', mode => 'observe');
SELECT cdp.drop_tracking_plan('web');

-- A pattern that would run for ever does not match, and nobody waits for it long.
SELECT cdp.create_tracking_plan('web', '{"events": {"A": {"properties": {"x": {"pattern": "^(a+)+$"}}}}}');
SELECT cdp.create_tracking_plan('web', '{}');
SELECT accepted FROM cdp.ingest(jsonb_build_object('type', 'track', 'userId', 'u1', 'event', 'A', 'properties', jsonb_build_object('x', repeat('a', 60) || '!')), source => 'web');
SELECT property, violation, messages FROM cdp.tracking_violations;
SELECT cdp.drop_tracking_plan('web');
SELECT cdp.clear_tracking_violations('web');

-- A plan may be written from what has been seen.
SELECT accepted FROM cdp.ingest($$[
  {"type": "track", "userId": "u1", "event": "Signed Up", "properties": {"plan": "free", "age": 30, "tags": ["a"], "score": 1.5}},
  {"type": "track", "userId": "u2", "event": "Signed Up", "properties": {"plan": "gold", "age": null, "score": 2}},
  {"type": "screen", "userId": "u2", "name": "Start"},
  {"type": "identify", "userId": "u2", "traits": {"city": "Utrecht"}}, {"type": "identify", "userId": "u3"}
]$$, source => 'shop');
SELECT jsonb_pretty(cdp.discover_tracking_plan('shop'));
-- What it was made from keeps to it.
SELECT cdp.create_tracking_plan('web', cdp.discover_tracking_plan('web'), mode => 'quarantine');
SELECT sum(i.accepted) AS accepted, sum(i.quarantined) AS quarantined
FROM cdp.events AS e, cdp.ingest(jsonb_build_object('type', e.type, 'userId', 'u9', CASE e.type WHEN 'track' THEN 'event' ELSE 'name' END, e.event, 'properties', e.properties), source => 'web') AS i
WHERE e.source = 'web';
SELECT cdp.discover_tracking_plan('nowhere');
SELECT cdp.discover_tracking_plan('web', since => 'infinity');
SELECT * FROM cdp.verify();
