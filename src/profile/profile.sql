-- profile: one row a person, and what was said about them.

CREATE TABLE cdp.assertions (
  decision_seq  bigint NOT NULL PRIMARY KEY,
  identifier_id bigint NOT NULL,
  source_id     integer NOT NULL,
  type          text NOT NULL CHECK (type IN ('identify', 'group', 'alias')),
  group_id      text,
  asserted_at   timestamptz NOT NULL,
  received_at   timestamptz NOT NULL,
  message_id    text NOT NULL,
  traits        jsonb,
  context       jsonb,
  extra         jsonb,
  carried       bigint[]
);
CREATE INDEX assertions_owner ON cdp.assertions (identifier_id, decision_seq);
CREATE INDEX assertions_group ON cdp.assertions (group_id, decision_seq) WHERE type = 'group';
COMMENT ON TABLE cdp.assertions IS
  'What identify, group and alias messages said, by the identifier that owns them; golden traits are a fold over these';

CREATE TABLE cdp.profiles (
  profile_id    bigint NOT NULL PRIMARY KEY,
  public_id     uuid NOT NULL UNIQUE,
  traits        jsonb NOT NULL DEFAULT '{}',
  trait_origins jsonb NOT NULL DEFAULT '{}',
  last_seen_at  timestamptz NOT NULL,
  rules_version integer NOT NULL DEFAULT 0
) WITH (fillfactor = 85);
COMMENT ON TABLE cdp.profiles IS 'One row a person, with the golden traits';
COMMENT ON COLUMN cdp.profiles.profile_id IS
  'Smallest identifier_id of the person. An id that was merged away still finds its person: cdp.current_profile(id)';
COMMENT ON COLUMN cdp.profiles.public_id IS 'The id to give to others: says nothing about how many people there are';
COMMENT ON COLUMN cdp.profiles.traits IS
  'The golden value a trait by the default policy of survivorship, without rules the newest; a trait that has none is absent';
COMMENT ON COLUMN cdp.profiles.trait_origins IS
  'For each trait ever asserted: [when it was asserted, in microseconds since 2000-01-01 UTC, and the decision_seq] of the message whose value it is; of the newest where the value is absent or made of many';
COMMENT ON COLUMN cdp.profiles.rules_version IS
  'The version of survivorship rules and definitions that the traits were folded by; 0: none. See cdp.apply_survivorship';
COMMENT ON COLUMN cdp.profiles.last_seen_at IS 'Latest receipt time of a message about the person';

-- A secret of this database: public ids are made with it, so that a rebuild makes the same ones.
CREATE TABLE cdp.secrets (
  name  text NOT NULL PRIMARY KEY,
  value uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid()
);
COMMENT ON TABLE cdp.secrets IS 'Keys of this database, made at first use; nobody but the owner may read them';
REVOKE ALL ON TABLE cdp.secrets FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('cdp.assertions', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.profiles', '');
SELECT pg_catalog.pg_extension_config_dump('cdp.secrets', '');
