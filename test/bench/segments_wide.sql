-- A wide typed table of the same events, with the indexes that suit the queries.
CREATE TABLE dw AS SELECT i.profile_id AS pid, r.event_id, r.type, r.event, r.occurred_at AS ts, r.received_at, r.message_id,
  r.properties ->> 'product_id' AS product_id, r.properties ->> 'category' AS category, (r.properties ->> 'value')::numeric AS value,
  (r.properties ->> 'price')::numeric AS price, r.properties ->> 'currency' AS currency, r.properties ->> 'order_id' AS order_id,
  r.properties ->> 'campaign_id' AS campaign_id, r.properties ->> 'path' AS path, r.properties ->> 'query' AS query
  FROM cdp.event_records AS r JOIN cdp.identifiers AS i USING (identifier_id);
CREATE INDEX ON dw (event, ts);
CREATE INDEX ON dw (pid, event, ts);
CREATE INDEX ON dw (ts);
CREATE TABLE pr AS SELECT profile_id AS pid, traits -> 'address' ->> 'country' AS country, traits ->> 'tier' AS tier,
  (traits ->> 'emailConsent')::boolean AS consent FROM cdp.profiles;
CREATE INDEX ON pr (country, tier);
CREATE UNIQUE INDEX ON pr (pid);
VACUUM ANALYZE;
