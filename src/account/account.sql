-- account: companies, households, teams. Group messages are facts about them, owned by who sent them; who belongs to an account
-- and what it is are read from these, so that merges, splits and removed identifiers are right without anything being kept.

-- How the traits of an account come about is said here alone: the newest of each, or what policy accounts chooses.
CREATE FUNCTION cdp_internal.account_traits(group_id text) RETURNS jsonb
  LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cdp_account_traits';
COMMENT ON FUNCTION cdp_internal.account_traits(text) IS 'The golden traits of an account: a fold of what group messages said of it';

-- Of one person and one account, what was said after the last time they left.
CREATE VIEW cdp.account_members WITH (security_invoker) AS
  SELECT m.group_id, m.profile_id, pg_catalog.min(m.asserted_at) AS since, pg_catalog.max(m.asserted_at) AS last_message_at
  FROM (SELECT a.group_id, i.profile_id, a.asserted_at,
               pg_catalog.count(*) FILTER (WHERE a.context @> '{"left": true}')
                 OVER (PARTITION BY a.group_id, i.profile_id ORDER BY a.asserted_at DESC, a.decision_seq DESC) AS times_left
        FROM cdp.assertions AS a JOIN cdp.identifiers AS i USING (identifier_id)
        WHERE a.type = 'group') AS m
  WHERE m.times_left = 0
  GROUP BY m.group_id, m.profile_id;
COMMENT ON VIEW cdp.account_members IS
  'Who belongs to which account: whoever a group message put into it and none took out since; people may be in several';
COMMENT ON COLUMN cdp.account_members.since IS 'When they joined, or came back after they left';

CREATE VIEW cdp.accounts WITH (security_invoker) AS
  SELECT g.group_id, cdp_internal.account_traits(g.group_id) AS traits,
         (SELECT pg_catalog.count(*) FROM cdp.account_members AS m WHERE m.group_id = g.group_id) AS members,
         g.first_seen_at, g.last_seen_at
  FROM (SELECT a.group_id, pg_catalog.min(a.received_at) AS first_seen_at, pg_catalog.max(a.received_at) AS last_seen_at
        FROM cdp.assertions AS a WHERE a.type = 'group' GROUP BY a.group_id
        HAVING NOT pg_catalog.bool_and(coalesce(a.context @> '{"left": true}', false))) AS g;
COMMENT ON VIEW cdp.accounts IS 'Every account that a group message ever put somebody into, or said something of, with its golden traits and how many people belong to it';
COMMENT ON COLUMN cdp.accounts.traits IS 'Newest value a trait that a group message said, or what policy accounts of survivorship chooses; one said to be null is absent';
COMMENT ON COLUMN cdp.accounts.last_seen_at IS 'Latest receipt time of a group message about it';

-- Segment's spec knows no way out, so leaving is a group message with a mark of our own, decided and undone like any other.
CREATE FUNCTION cdp.leave_group(group_id text, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL, identifiers jsonb DEFAULT NULL,
    "timestamp" timestamptz DEFAULT NULL, message_id text DEFAULT NULL, source text DEFAULT 'default') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Who is nobody belongs to nothing, and a message would make them somebody. What is wrong with a call is for the message to say.
  IF num_nulls(user_id, anonymous_id) < 2 AND identifiers IS NULL AND group_id <> ''
     AND cdp.lookup('user_id', user_id) IS NULL AND cdp.lookup('anonymous_id', anonymous_id) IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN cdp_internal.send('group', source, jsonb_build_object('groupId', group_id, 'userId', user_id, 'anonymousId', anonymous_id),
    '{"left": true}', identifiers, "timestamp", message_id);
END $$;
COMMENT ON FUNCTION cdp.leave_group(text, text, text, jsonb, timestamptz, text, text) IS
  'Says that somebody no longer belongs to a group since "timestamp" (default now): a group message with {"left": true} in its context. A later cdp."group" brings them back. Returns the profile_id; NULL, and nothing is stored, when nobody is known by that id. Errors: as cdp."group"';
