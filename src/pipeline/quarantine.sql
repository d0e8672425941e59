-- quarantine: what waits there by reason, and messages corrected by an expression.

CREATE VIEW cdp.quarantine_reasons WITH (security_invoker) AS
  SELECT q.code, q.source, q.reason, count(*) AS messages, pg_catalog.min(q.quarantined_at) AS first_at, pg_catalog.max(q.quarantined_at) AS last_at,
         pg_catalog.max(q.quarantine_id) AS newest_id
  FROM cdp.quarantine AS q WHERE q.resolved_at IS NULL GROUP BY q.code, q.source, q.reason;
COMMENT ON VIEW cdp.quarantine_reasons IS 'What waits in cdp.quarantine, a row a code, source and reason';
COMMENT ON COLUMN cdp.quarantine_reasons.newest_id IS 'The newest of them, to look at: SELECT * FROM cdp.quarantine WHERE quarantine_id = …';
REVOKE ALL ON TABLE cdp.quarantine_reasons FROM PUBLIC;

CREATE FUNCTION cdp_internal.as_jsonb(message text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN message::jsonb;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
  RETURN NULL;
END $$;
COMMENT ON FUNCTION cdp_internal.as_jsonb(text) IS 'Text as jsonb; null when it is none';

-- Expressions are the caller's: they run with the caller's rights and search_path, one message at a time.
CREATE FUNCTION cdp.fix_quarantined(expression text, "where" text DEFAULT 'true', code text DEFAULT NULL, source text DEFAULT NULL,
    dry_run boolean DEFAULT false, OUT fixed bigint, OUT resolved bigint, OUT still_quarantined bigint, OUT unchanged bigint)
LANGUAGE plpgsql AS $$
DECLARE
  given CONSTANT pg_catalog.text := pg_catalog.format(
    'SELECT m.quarantine_id, m.text, (%s
     )::pg_catalog.text AS fixed FROM (SELECT q.quarantine_id, q.source, q.import, q.received_at, q.message_id, q.code, q.reason, q.detail, q.quarantined_at,
       q.message AS text, cdp_internal.as_jsonb(q.message) AS message FROM cdp.quarantine AS q
       WHERE q.resolved_at IS NULL AND ($1 IS NULL OR q.code OPERATOR(pg_catalog.=) $1) AND ($2 IS NULL OR q.source OPERATOR(pg_catalog.=) $2)) AS m
     WHERE (%s
     ) ORDER BY m.quarantine_id', $1, $2);
  it  record;
  ids pg_catalog.int8[] := '{}';
BEGIN
  IF expression IS NULL OR "where" IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'expression and where must not be null';
  END IF;
  unchanged := 0;
  FOR it IN EXECUTE given USING code, source LOOP
    IF it.fixed IS NULL OR it.fixed OPERATOR(pg_catalog.=) it.text THEN
      unchanged := unchanged OPERATOR(pg_catalog.+) 1;
      CONTINUE;
    END IF;
    ids := ids OPERATOR(pg_catalog.||) it.quarantine_id;
    IF NOT dry_run THEN
      UPDATE cdp.quarantine AS q SET message = it.fixed WHERE q.quarantine_id OPERATOR(pg_catalog.=) it.quarantine_id AND q.resolved_at IS NULL;
    END IF;
  END LOOP;
  fixed := pg_catalog.cardinality(ids);
  resolved := 0;
  still_quarantined := 0;
  IF NOT dry_run AND fixed OPERATOR(pg_catalog.>) 0 THEN
    SELECT r.resolved, r.still_quarantined INTO resolved, still_quarantined FROM cdp.retry_quarantined(quarantine_ids => ids) AS r;
  END IF;
END $$;
COMMENT ON FUNCTION cdp.fix_quarantined(text, text, text, text, boolean) IS
  'Corrects open quarantined messages and tries them again. expression: SQL that gives the message as it should be, over message (jsonb; null when it is no JSON), text (as it came), quarantine_id, source, import, received_at, message_id, code, reason, detail, quarantined_at; null leaves one alone. where: which. It runs with the rights of the caller, all in one transaction. dry_run: only counts. Errors: those of the expression, and nothing is changed';
