-- A grocer's loyalty programme: a year of real purchases, mailings and coupons comes in through the inbox.
\set ON_ERROR_STOP on
\pset border 1
\pset footer off
\pset pager off
SET timezone = 'UTC';
\echo
\echo
\echo 'Now a year of a real grocer''s loyalty programme (84.51, Complete Journey; CC0).'
\echo 'Five segments a grocer would want are there before the first message:'
\echo
-- They name events that are still to come; that is no mistake here.
SET client_min_messages = error;
\ir grocer_segments.sql
RESET client_min_messages;
SELECT name AS segment, regexp_replace(rule, '\s+', ' ', 'g') AS rule FROM cdp.segments WHERE name = 'frequent_visitors' UNION ALL
SELECT name, '…' FROM cdp.segments WHERE name NOT IN ('frequent_visitors', 'abandoned_cart');
\echo '57,000 messages are coming in; half a minute or so.'
\ir grocer_messages.sql
CREATE TABLE grocer.clock_at AS SELECT clock_timestamp() AS started, (SELECT count(*) FROM cdp.inbox) AS waiting;
-- Whatever the worker has not done yet, this session does; both at once are safe.
CALL cdp.run();
\echo
\echo 'All messages came in through cdp.inbox, with the five segments kept exact in the same commits:'
SELECT (SELECT count(*) FROM cdp.event_records) AS events, (SELECT count(*) FROM cdp.profiles) AS profiles,
       (SELECT count(*) FROM cdp.quarantine) AS quarantined,
       round((SELECT count(*) FROM cdp.message_keys) / extract(epoch FROM clock_timestamp() - c.started)) AS messages_a_second
FROM grocer.clock_at AS c;
\echo 'Who is in, beside the same question asked by plain SQL of the original tables:'
\ir grocer_check.sql
\echo 'cdp.verify() recomputes everything from the kept facts by other code. Differences:'
SELECT count(*) AS differences FROM cdp.verify();
