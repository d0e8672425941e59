\echo Use "CREATE EXTENSION cdp" to load this file. \quit

DO $$ BEGIN
  IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
      MESSAGE = 'cdp needs a database with encoding UTF8',
      DETAIL = pg_catalog.format('This database has encoding %s.', pg_catalog.current_setting('server_encoding')),
      HINT = 'Create one: CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0';
  END IF;
END $$;

-- Not IF NOT EXISTS: a schema that somebody else made and owns is refused, never adopted.
CREATE SCHEMA cdp;
COMMENT ON SCHEMA cdp IS 'Customer Data Platform: tables, views and functions for people who use it';
CREATE SCHEMA cdp_segments;
COMMENT ON SCHEMA cdp_segments IS 'One view a segment, for BI tools';
CREATE SCHEMA cdp_months;
COMMENT ON SCHEMA cdp_months IS 'Events by month, a partition of cdp.event_records each; read cdp.events';
CREATE SCHEMA cdp_internal;
COMMENT ON SCHEMA cdp_internal IS 'Parts of cdp that nobody needs to call';

-- One number for each message that changed something, drawn after its locks are held: conflicting decisions replay
-- in this order.
CREATE SEQUENCE cdp.decision_seq;
COMMENT ON SEQUENCE cdp.decision_seq IS 'The order in which messages were decided';
SELECT pg_catalog.pg_extension_config_dump('cdp.decision_seq', '');

-- Work that one transaction does at a time; each is named by a table of its own.
CREATE FUNCTION cdp_internal.take_turn(work regclass, part integer DEFAULT 0) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_take_turn';
CREATE FUNCTION cdp_internal.try_turn(work regclass, part integer DEFAULT 0) RETURNS boolean
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_try_turn';
CREATE FUNCTION cdp_internal.share_turn(work regclass, part integer) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_share_turn';
CREATE FUNCTION cdp_internal.await_turns(work regclass, part integer) RETURNS void
LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_await_turns';
REVOKE ALL ON FUNCTION cdp_internal.take_turn(regclass, integer), cdp_internal.try_turn(regclass, integer),
  cdp_internal.share_turn(regclass, integer), cdp_internal.await_turns(regclass, integer) FROM PUBLIC;
