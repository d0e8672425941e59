-- privacy: what is taken out of messages at the door, and whose messages are kept out.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS cdp CASCADE;
CREATE EXTENSION cdp;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

-- Paths that are dropped, or replaced by a hash that only this database can make, before anything is stored.
SELECT cdp.create_source('web', drops => '{traits.birthday,context.ip,context.traits.birthday,properties.*.card,properties.items.note}',
                         hashes => '{traits.ssn,properties.coupon,anonymousId}') IS NOT NULL AS created;
SELECT accepted FROM cdp.ingest($$[
  {"type": "identify", "messageId": "m-1", "userId": "u1", "anonymousId": "a1", "traits": {"birthday": "1980-01-01", "ssn": "123-45-6789", "city": "Utrecht", "b\u0069rthday": "again"},
   "context": {"ip": "10.0.0.1", "locale": "nl-NL", "traits": {"birthday": "1980-01-01"}}},
  {"type": "track", "messageId": "m-2", "anonymousId": "a1", "event": "Paid", "properties": {"payment": {"card": "4111111111111111", "kind": "visa"}, "coupon": ["X", 7, null, {"code": true}],
   "items": [{"sku": "s1", "note": "for Ole"}, {"sku": "s2"}]}}
]$$, source => 'web');
SELECT traits - 'ssn' AS traits, traits ->> 'ssn' ~ '^[0-9a-f]{64}$' AS is_hash, context FROM cdp.assertions;
SELECT properties - 'coupon' AS properties, jsonb_path_query_array(properties, '$.coupon.**.type()') AS coupon FROM cdp.events;
-- The hash is an HMAC-SHA-256: the same value has the same one wherever it is hashed, so that people are still found by it.
SELECT count(DISTINCT profile_id) AS people FROM cdp.identifiers WHERE type IN ('user_id', 'anonymous_id');
SELECT count(*) AS raw FROM cdp.identifiers WHERE value = 'a1' OR raw_value = 'a1';
CREATE FUNCTION hmac_sha256(key bytea, message bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(xored.outer_pad || sha256(xored.inner_pad || message)) FROM (
    SELECT string_agg(set_byte('\x00', 0, get_byte(padded.key, i) # 92), '' ORDER BY i) AS outer_pad,
           string_agg(set_byte('\x00', 0, get_byte(padded.key, i) # 54), '' ORDER BY i) AS inner_pad
    FROM (SELECT key || decode(repeat('00', 64 - length(key)), 'hex')) AS padded (key), generate_series(0, 63) AS i) AS xored
$$;
SELECT traits ->> 'ssn' = encode(hmac_sha256(uuid_send(s.value), '123-45-6789'), 'hex') AS as_computed
FROM cdp.assertions, cdp.secrets AS s WHERE s.name = 'privacy';

-- What goes to quarantine is treated, too; what cannot be read is withheld. Tried again, it is not hashed twice.
SELECT quarantined FROM cdp.ingest($${"batch": [
  {"type": "track", "messageId": "m-3", "anonymousId": "a1", "event": "Paid", "timestamp": "yesterday", "properties": {"coupon": "SECRET"}}
], "context": {"ip": "10.0.0.1", "app": "x"}}$$, source => 'web');
INSERT INTO cdp.inbox (source, message) VALUES ('web', '{"type": "track", "messageId": "m-4", "properties": {"coupon": "SECRET"}'), ('web', '"SECRET"');
CALL cdp.run();
SELECT code, regexp_replace(message, '[0-9a-f]{64}', '<hash>', 'g') AS message, hashed FROM cdp.quarantine ORDER BY quarantine_id;
SELECT count(*) AS told FROM cdp.quarantine AS q WHERE q::text LIKE '%SECRET%' OR q::text LIKE '%10.0.0.1%';
UPDATE cdp.quarantine SET message = replace(message, 'yesterday', '2026-01-01T00:00:00Z') WHERE message_id = 'm-3';
SELECT resolved FROM cdp.retry_quarantined(code => 'invalid_timestamp');
SELECT e.properties ->> 'coupon' = encode(hmac_sha256(uuid_send(s.value), 'SECRET'), 'hex') AS hashed_once, e.context
FROM cdp.events AS e, cdp.secrets AS s WHERE e.message_id = 'm-3' AND s.name = 'privacy';
SELECT count(DISTINCT profile_id) AS people FROM cdp.events;

-- A message that is sent again is known by what came, whatever was left of it, and whatever the rules have become.
SELECT accepted, duplicate, quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-02T00:00:00Z", "properties": {"x": {"card": "1"}}}', source => 'web');
SELECT accepted, duplicate, quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-02T00:00:00Z", "properties": {"x": {"card": "2"}}}', source => 'web');
SELECT cdp.alter_source('web', drops => '{properties.x}', hashes => '{}');
SELECT accepted, duplicate, quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-02T00:00:00Z", "properties": {"x": {"card": "1"}}}', source => 'web');
SELECT accepted, duplicate, quarantined FROM cdp.ingest('{"type": "track", "messageId": "m-2", "anonymousId": "a1", "event": "Paid", "properties": {"payment": {"card": "4111111111111111", "kind": "visa"}, "coupon": ["X", 7, null, {"code": true}],
   "items": [{"sku": "s1", "note": "for Ole"}, {"sku": "s2"}]}}', source => 'web');
SELECT cdp.alter_source('web', drops => '{}');
SELECT accepted, duplicate, quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-02T00:00:00Z", "properties": {"x": {"card": "1"}}}', source => 'web');
-- Of a source that had no rules before, too.
SELECT accepted FROM cdp.ingest('[{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-03T00:00:00Z"}, {"type": "track", "messageId": "x-1", "userId": "u1", "event": "Id"}]', source => 'app');
SELECT cdp.alter_source('app', drops => '{context.ip}');
SELECT accepted, duplicate FROM cdp.ingest('[{"type": "track", "userId": "u1", "event": "No id", "timestamp": "2026-01-03T00:00:00Z"}, {"type": "track", "messageId": "x-1", "userId": "u1", "event": "Id"}]', source => 'app');
-- And one that waited in quarantine, treated, is known when it comes again.
SELECT cdp.disable_source('app');
SELECT quarantined FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Waits", "timestamp": "2026-01-04T00:00:00Z", "context": {"ip": "10.0.0.2"}}', source => 'app');
SELECT cdp.enable_source('app');
SELECT * FROM cdp.retry_quarantined(code => 'source_disabled');
SELECT accepted, duplicate FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Waits", "timestamp": "2026-01-04T00:00:00Z", "context": {"ip": "10.0.0.2"}}', source => 'app');
SELECT event, context FROM cdp.events WHERE event = 'Waits';

-- A plan looks at what is stored.
SELECT cdp.alter_source('app', hashes => '{properties.email}');
SELECT cdp.create_tracking_plan('app', '{"events": {"Mailed": {"properties": {"email": {"format": "email"}}}}}');
SELECT accepted FROM cdp.ingest('{"type": "track", "userId": "u1", "event": "Mailed", "properties": {"email": "ida@example.com"}}', source => 'app');
SELECT property, violation, found LIKE '%@%' AS told FROM cdp.tracking_violations;

-- Somebody's messages are kept out by a list that names nobody.
SELECT cdp.suppress('email', 'Ida@Example.com', 'asked for it by letter') AS suppression \gset
SELECT cdp.suppress('email', ' ida@example.COM', 'asked again') = :suppression AS is_the_same;
SELECT cdp.suppress('phone', '06-12345678', 'asked for it', region => 'NL') > 0 AS suppressed;
SELECT count(*) AS told FROM cdp_internal.suppressions AS s WHERE s::text ILIKE '%ida%' OR position('ida' IN s.hash::text) > 0;
SELECT count(*) AS before FROM cdp.identifiers \gset
SELECT * FROM cdp.ingest('[{"type": "identify", "messageId": "s-1", "userId": "ida", "anonymousId": "a-ida", "traits": {"email": "IDA@example.com"}},
  {"type": "track", "messageId": "s-2", "userId": "ole", "event": "Still here"},
  {"type": "identify", "messageId": "s-3", "traits": {"phone": "+31612345678"}}]', source => 'shop');
SELECT cdp.identify(user_id => 'ida', traits => '{"email": "ida@example.com"}') AS nobody;
SELECT count(*) - :before AS new_identifiers FROM cdp.identifiers;
SELECT count(*) FROM cdp.quarantine WHERE message LIKE '%ida%';
SELECT type, reason, messages, last_message_at IS NOT NULL AS came FROM cdp.suppressed ORDER BY suppression_id;
SELECT source, accepted, suppressed FROM cdp.source_activity WHERE suppressed > 0 ORDER BY source;
-- A replay stays out, and is counted; a message that waits in quarantine goes when it is tried again.
SELECT * FROM cdp.ingest('{"type": "identify", "messageId": "s-1", "userId": "ida", "anonymousId": "a-ida", "traits": {"email": "IDA@example.com"}}', source => 'shop');
SELECT quarantined FROM cdp.ingest('{"type": "identify", "messageId": "s-4", "userId": "ida", "timestamp": "?", "traits": {"email": "ida@example.com"}}', source => 'shop');
UPDATE cdp.quarantine SET message = replace(message, '?', '2026-01-01T00:00:00Z') WHERE message_id = 's-4';
SELECT * FROM cdp.retry_quarantined(code => 'invalid_timestamp');
SELECT message, message_id, resolution FROM cdp.quarantine ORDER BY quarantine_id DESC LIMIT 1;
-- Until somebody says otherwise, which stays known.
SELECT cdp.lift_suppression(:suppression, 'changed her mind');
SELECT cdp.identify(user_id => 'ida', traits => '{"email": "ida@example.com"}') IS NOT NULL AS somebody;
SELECT type, reason, messages, lift_reason FROM cdp.suppressed ORDER BY suppression_id;
SELECT cdp.lift_suppression(:suppression, 'again');
SELECT cdp.suppress('email', 'no address', 'x');
SELECT cdp.suppress('email', 'ida@example.com', '');
-- What is misspelt would keep nothing out.
SELECT cdp.suppress('emial', 'ida@example.com', 'asked for it') IS NOT NULL AS suppressed;
SELECT cdp.create_source('misspelt', drops => '{birthday,Traits.ssn,properties.card}', hashes => '{trait.ssn}') IS NOT NULL AS created;
SELECT * FROM cdp.verify();
DROP FUNCTION hmac_sha256;
