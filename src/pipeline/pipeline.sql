-- pipeline: the doors through which messages come in.

CREATE FUNCTION cdp_internal.make_ready() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO cdp.secrets (name) VALUES ('public_id') ON CONFLICT DO NOTHING;
  PERFORM cdp_internal.make_identifier_types();
  INSERT INTO cdp.normalizer_versions (version) SELECT cdp.normalizer_version()
    WHERE NOT EXISTS (SELECT FROM cdp.normalizer_versions) ON CONFLICT DO NOTHING;
  -- Not a member of the extension, and made by the first message: DROP EXTENSION without CASCADE is refused from here
  -- on, so nobody takes every customer along by accident.
  IF to_regclass('cdp_segments.all_segments') IS NULL THEN
    CREATE VIEW cdp_segments.all_segments WITH (security_invoker) AS
      SELECT segment, profile_id, key, since, until FROM cdp.segment_members;
    COMMENT ON VIEW cdp_segments.all_segments IS 'Who is in which segment now';
    PERFORM cdp_internal.grant_readers('cdp_segments.all_segments');
  END IF;
END $$;
COMMENT ON FUNCTION cdp_internal.make_ready() IS 'Makes what must be there before the first message';

CREATE FUNCTION cdp.ingest(messages jsonb, source text DEFAULT NULL, received_at timestamptz DEFAULT now(),
    write_key text DEFAULT NULL, import text DEFAULT NULL, OUT accepted bigint, OUT duplicate bigint, OUT quarantined bigint)
  LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_ingest';
-- As it came: jsonb keeps one of several keys, and takes neither \u0000 nor what is broken.
CREATE FUNCTION cdp.ingest(messages text, source text DEFAULT NULL, received_at timestamptz DEFAULT now(),
    write_key text DEFAULT NULL, import text DEFAULT NULL, OUT accepted bigint, OUT duplicate bigint, OUT quarantined bigint)
  LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_ingest_raw';
CREATE FUNCTION cdp.ingest(messages bytea, source text DEFAULT NULL, received_at timestamptz DEFAULT now(),
    write_key text DEFAULT NULL, import text DEFAULT NULL, OUT accepted bigint, OUT duplicate bigint, OUT quarantined bigint)
  LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_ingest_raw';
COMMENT ON FUNCTION cdp.ingest(text, text, timestamptz, text, text) IS
  'As cdp.ingest(jsonb, …), of text that need not be JSON: what is none goes to cdp.quarantine';
COMMENT ON FUNCTION cdp.ingest(bytea, text, timestamptz, text, text) IS
  'As cdp.ingest(jsonb, …), of bytes as a web server has them: what is no UTF-8 goes to cdp.quarantine, written as \x… there';
COMMENT ON FUNCTION cdp.ingest(jsonb, text, timestamptz, text, text) IS
  'Takes one Segment-spec message or {"batch": […]}; says how many were accepted, were duplicates, went to cdp.quarantine. Events, merges, profiles and segments change in this transaction. source: default ''default'', or that of the write_key. import: see cdp.begin_import. Errors: 25001 above READ COMMITTED, 28000 a write_key that is not valid. Source: https://segment.com/docs/connections/spec/';

CREATE FUNCTION cdp_internal.accept(message jsonb, source text) RETURNS bigint
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_accept';
COMMENT ON FUNCTION cdp_internal.accept(jsonb, text) IS 'One message of a friendly function; returns its profile';

CREATE FUNCTION cdp_internal.drain_inbox(most integer) RETURNS bigint
  LANGUAGE c STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_drain_inbox';
COMMENT ON FUNCTION cdp_internal.drain_inbox(integer) IS
  'Decides at most this many of the oldest inbox lines, in this transaction; returns how many';

CREATE FUNCTION cdp_internal.retry_quarantined(quarantine_ids bigint[]) RETURNS bigint
  LANGUAGE c STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_retry_quarantined';
COMMENT ON FUNCTION cdp_internal.retry_quarantined(bigint[]) IS 'Part of cdp.retry_quarantined';

-- {"email": "a@b.nl", "loyalty_id": ["1", "2"]} as context.externalIds, beside what the context has already.
CREATE FUNCTION cdp_internal.with_identifiers(context jsonb, identifiers jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  external jsonb;
BEGIN
  IF identifiers IS NULL THEN
    RETURN context;
  END IF;
  IF jsonb_typeof(identifiers) <> 'object' THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'identifiers must be a JSON object',
      DETAIL = format('It is of type %s: %s', jsonb_typeof(identifiers), left(identifiers::text, 100)),
      HINT = 'Name each type once, for example {"loyalty_id": "L-42", "email": "anna@example.com"}.';
  END IF;
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', v.value, 'type', i.key, 'collection', 'users', 'encoding', 'none')), '[]')
    INTO external
    FROM jsonb_each(identifiers) AS i,
         jsonb_array_elements(CASE jsonb_typeof(i.value) WHEN 'array' THEN i.value
                                                         ELSE jsonb_build_array(i.value) END) AS v;
  RETURN coalesce(context, '{}') ||
         jsonb_build_object('externalIds', coalesce(context -> 'externalIds', '[]') || external);
END $$;
COMMENT ON FUNCTION cdp_internal.with_identifiers(jsonb, jsonb) IS 'Identifiers of a friendly call as context.externalIds';

CREATE FUNCTION cdp_internal.send(type text, source text, fields jsonb, context jsonb, identifiers jsonb,
    occurred_at timestamptz, message_id text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.accept(fields || jsonb_build_object('type', type,
    'context', cdp_internal.with_identifiers(context, identifiers), 'timestamp', occurred_at,
    'messageId', coalesce(message_id, gen_random_uuid()::text)), coalesce(source, 'default'))
$$;
COMMENT ON FUNCTION cdp_internal.send(text, text, jsonb, jsonb, jsonb, timestamptz, text) IS
  'What the friendly functions have in common';

CREATE FUNCTION cdp.identify(user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL, traits jsonb DEFAULT NULL,
    identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL, "timestamp" timestamptz DEFAULT NULL,
    message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('identify', source, jsonb_build_object('userId', user_id, 'anonymousId', anonymous_id,
    'traits', traits), context, identifiers, "timestamp", message_id)
$$;

CREATE FUNCTION cdp.track(event text, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    properties jsonb DEFAULT NULL, identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('track', source, jsonb_build_object('event', event, 'userId', user_id,
    'anonymousId', anonymous_id, 'properties', properties), context, identifiers, "timestamp", message_id)
$$;

CREATE FUNCTION cdp.page(name text DEFAULT NULL, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    properties jsonb DEFAULT NULL, identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('page', source, jsonb_build_object('name', name, 'userId', user_id,
    'anonymousId', anonymous_id, 'properties', properties), context, identifiers, "timestamp", message_id)
$$;

CREATE FUNCTION cdp.screen(name text DEFAULT NULL, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    properties jsonb DEFAULT NULL, identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('screen', source, jsonb_build_object('name', name, 'userId', user_id,
    'anonymousId', anonymous_id, 'properties', properties), context, identifiers, "timestamp", message_id)
$$;

CREATE FUNCTION cdp."group"(group_id text, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    traits jsonb DEFAULT NULL, identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('group', source, jsonb_build_object('groupId', group_id, 'userId', user_id,
    'anonymousId', anonymous_id, 'traits', traits), context, identifiers, "timestamp", message_id)
$$;

CREATE FUNCTION cdp.alias(previous_id text, user_id text, identifiers jsonb DEFAULT NULL, context jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT cdp_internal.send('alias', source, jsonb_build_object('previousId', previous_id, 'userId', user_id),
    context, identifiers, "timestamp", message_id)
$$;

DO $$
DECLARE
  what text[];
BEGIN
  FOREACH what SLICE 1 IN ARRAY ARRAY[
    ['cdp.identify(text,text,jsonb,jsonb,jsonb,timestamptz,text,text)', 'Says who somebody is: traits, and identifiers that are one person'],
    ['cdp.track(text,text,text,jsonb,jsonb,jsonb,timestamptz,text,text)', 'Says what somebody did'],
    ['cdp.page(text,text,text,jsonb,jsonb,jsonb,timestamptz,text,text)', 'Says which page of a site somebody saw'],
    ['cdp.screen(text,text,text,jsonb,jsonb,jsonb,timestamptz,text,text)', 'Says which screen of an app somebody saw'],
    ['cdp."group"(text,text,text,jsonb,jsonb,jsonb,timestamptz,text,text)', 'Says which group (company, account, household) somebody belongs to; traits are the group''s'],
    ['cdp.alias(text,text,jsonb,jsonb,timestamptz,text,text)', 'Says that a previous user_id and a user_id are one person']]
  LOOP
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', what[1], what[2] ||
      '; returns the profile_id, null when the person is suppressed. identifiers: {"type": "value"} of any further types. timestamp: when it happened, default now. message_id: a repeated one changes nothing; default a fresh one. Errors: 22023 when the message is refused, 25001 above READ COMMITTED.');
  END LOOP;
END $$;

CREATE FUNCTION cdp.retry_quarantined(quarantine_ids bigint[] DEFAULT NULL, code text DEFAULT NULL,
    OUT resolved bigint, OUT still_quarantined bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  chosen bigint[];
BEGIN
  SELECT coalesce(array_agg(q.quarantine_id ORDER BY q.quarantine_id), '{}') INTO chosen
    FROM cdp.quarantine AS q
    WHERE q.resolved_at IS NULL
      AND (quarantine_ids IS NULL OR q.quarantine_id = ANY (quarantine_ids))
      AND (retry_quarantined.code IS NULL OR q.code = retry_quarantined.code);
  -- Rows of attached tables are read again, unless somebody has corrected what they said.
  PERFORM cdp_internal.retry_quarantined(ARRAY(SELECT c.id FROM unnest(chosen) AS c (id) EXCEPT SELECT r.id FROM cdp_internal.retry_attached(chosen) AS r (id)));
  SELECT count(*) FILTER (WHERE q.resolved_at IS NOT NULL), count(*) FILTER (WHERE q.resolved_at IS NULL)
    INTO resolved, still_quarantined
    FROM cdp.quarantine AS q WHERE q.quarantine_id = ANY (chosen);
END $$;
COMMENT ON FUNCTION cdp.retry_quarantined(bigint[], text) IS
  'Tries open quarantined messages again, after UPDATE cdp.quarantine SET message = …: those given, those of one code, or all. They keep their receipt time; what is still refused stays, with today''s reason. A row of an attached table is read again by its key: what it says now is followed, or that it is gone.';
