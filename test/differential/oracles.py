"""The oracles: what is stored against what plain SQL says over the messages as the generator knows them.

Nothing of cdp is called: its tables are read, and the test's own temporary tables, made of the model.
"""

import json
import re

import psycopg2.extras

from messages import EVENT_TYPES, iso
from model import EPOCH_2000

TABLES = """
CREATE TEMP TABLE accepted (number int PRIMARY KEY, decision_seq bigint, type text, event text, source text,
  occurred_at timestamptz, received_at timestamptz, properties jsonb, context jsonb, traits jsonb);
CREATE TEMP TABLE carried (number int, identifier_id bigint, place int); -- what no rule left out; the rest has numbers of its own
CREATE TEMP TABLE step (step int PRIMARY KEY, profile_id bigint, decision_seq bigint, from_at timestamptz,
  until_at timestamptz, traits jsonb, since jsonb);
CREATE TEMP TABLE knows (step int, number int);
CREATE TEMP TABLE known (step int, profile_id bigint, event_id bigint, type text, event text, source text,
  occurred_at timestamptz, received_at timestamptz, properties jsonb, context jsonb);
CREATE INDEX ON known (step);
CREATE INDEX ON step (profile_id);
"""

# Who is one person: what messages carry together is connected, but for what the rules leave out.
IDENTITIES = """
WITH RECURSIVE edge AS (
  SELECT DISTINCT a.identifier_id AS a, b.identifier_id AS b FROM carried a JOIN carried b USING (number)),
reached AS (SELECT DISTINCT identifier_id AS start, identifier_id AS reached FROM carried
            UNION SELECT r.start, e.b FROM reached r JOIN edge e ON e.a = r.reached),
person AS (SELECT start AS identifier_id, min(reached) AS profile_id FROM reached GROUP BY start)
"""

IDENTITY_DIFFERENCES = IDENTITIES + """
SELECT coalesce(i.identifier_id, p.identifier_id), i.type, i.value, i.profile_id, p.profile_id
FROM person p FULL JOIN cdp.identifiers i USING (identifier_id) WHERE i.profile_id IS DISTINCT FROM p.profile_id
"""

LINK_DIFFERENCES = """
WITH expected AS (SELECT a.identifier_id, b.identifier_id AS other_identifier_id, min(m.decision_seq) AS decision_seq
  FROM carried a JOIN carried b USING (number) JOIN accepted m USING (number)
  WHERE a.place = 1 AND b.place > 1 GROUP BY 1, 2),
stored AS (SELECT identifier_id, other_identifier_id, min(decision_seq) AS decision_seq FROM cdp.links GROUP BY 1, 2)
SELECT identifier_id, other_identifier_id, l.decision_seq, e.decision_seq
FROM expected e FULL JOIN stored l USING (identifier_id, other_identifier_id)
WHERE l.decision_seq IS DISTINCT FROM e.decision_seq
"""

FACTS = """
SELECT event_id, identifier_id, s.source, f.type, event, NULL, pg_temp.micros(occurred_at),
  pg_temp.micros(received_at), message_id, properties, context, NULL
FROM cdp.event_records f JOIN cdp.sources s USING (source_id)
UNION ALL
SELECT decision_seq, identifier_id, s.source, f.type, NULL, group_id, pg_temp.micros(asserted_at),
  pg_temp.micros(received_at), message_id, NULL, context, traits
FROM cdp.assertions f JOIN cdp.sources s USING (source_id) ORDER BY 1
"""

# Golden traits: of each name the newest assertion, ties by the order of decisions; null removes.
PROFILE_DIFFERENCES = IDENTITIES + """
, owner AS (
  SELECT c.number, min(p.profile_id) AS profile_id FROM carried c JOIN person p USING (identifier_id) GROUP BY 1),
newest AS (SELECT DISTINCT ON (o.profile_id, t.key) o.profile_id, t.key, t.value, m.occurred_at, m.decision_seq
  FROM accepted m JOIN owner o USING (number) CROSS JOIN LATERAL jsonb_each(m.traits) t WHERE m.type = 'identify'
  ORDER BY o.profile_id, t.key, m.occurred_at DESC, m.decision_seq DESC),
golden AS (SELECT profile_id, coalesce(jsonb_object_agg(key, value) FILTER (WHERE value <> 'null'), '{}') AS traits,
  jsonb_object_agg(key, jsonb_build_array((extract(epoch FROM occurred_at) * 1000000)::bigint - %(epoch)s,
                                          decision_seq)) AS origins
  FROM newest GROUP BY 1),
expected AS (SELECT o.profile_id, max(m.received_at) AS last_seen_at, coalesce(g.traits, '{}') AS traits,
  coalesce(g.origins, '{}') AS origins FROM owner o JOIN accepted m USING (number) LEFT JOIN golden g USING (profile_id)
  GROUP BY o.profile_id, g.traits, g.origins)
SELECT profile_id, jsonb_build_array(p.traits, p.trait_origins, p.last_seen_at)::text,
  jsonb_build_array(e.traits, e.origins, e.last_seen_at)::text
FROM expected e FULL JOIN cdp.profiles p USING (profile_id)
WHERE (p.traits, p.trait_origins, p.last_seen_at) IS DISTINCT FROM (e.traits, e.origins, e.last_seen_at)
"""

# The meaning of a rule, as docs/design.md has it, of a person as known at a step and at many instants. A profile
# that was merged away, or is not there yet, is at no step and in no segment.
MEMBERSHIP_DIFFERENCES = """
WITH break AS MATERIALIZED (
  SELECT DISTINCT k.profile_id, b.at FROM known k CROSS JOIN LATERAL (VALUES {breaks}) b (at)
  UNION SELECT s.profile_id, b.at FROM step s CROSS JOIN LATERAL (VALUES {person_breaks}) b (at)
), chosen AS (
  SELECT profile_id, at + shift AS at FROM break CROSS JOIN unnest({shifts}::interval[]) AS u (shift)
  UNION
  SELECT profile_id, date_trunc('day', at) + shift FROM break CROSS JOIN unnest({midnights}::interval[]) AS u (shift)
  UNION SELECT profile_id, at FROM break
  UNION SELECT profile_id, entered_at FROM cdp.memberships WHERE segment_id = ANY ({segments})
  UNION SELECT profile_id, left_at FROM cdp.memberships WHERE segment_id = ANY ({segments})
  UNION
  SELECT p.profile_id, r.at FROM (SELECT DISTINCT profile_id FROM step) p, unnest(%(instants)s::timestamptz[]) AS r (at)
), point AS MATERIALIZED (
  SELECT DISTINCT c.profile_id, c.at + d.shift AS at
  FROM chosen c CROSS JOIN (VALUES (interval '-1 us'), (interval '0'), (interval '1 us')) AS d (shift)
  WHERE isfinite(c.at)
), place AS MATERIALIZED (
  SELECT q.profile_id, q.at, s.step, s.traits, s.since
  FROM point q LEFT JOIN step s ON s.profile_id = q.profile_id AND q.at >= s.from_at AND q.at < s.until_at
), expected AS MATERIALIZED (
  SELECT q.profile_id, q.at, h.key FROM place q CROSS JOIN LATERAL (
    SELECT {key} AS key FROM
      (SELECT event_id, type, event, source, occurred_at, received_at, properties, context FROM known x
       WHERE x.step = q.step AND x.occurred_at <= q.at ORDER BY x.occurred_at, x.event_id) e {group_by} HAVING {rule}) h
  WHERE q.step IS NOT NULL
), stored AS MATERIALIZED (
  SELECT q.profile_id, q.at, m.key FROM place q JOIN cdp.memberships m
    ON m.segment_id = {segment} AND m.profile_id = q.profile_id AND m.entered_at <= q.at AND q.at < m.left_at
), difference AS (
  (SELECT 'in' AS expected, 'out' AS got, x.* FROM (TABLE expected EXCEPT ALL TABLE stored) x)
  UNION ALL (SELECT 'out', 'in', x.* FROM (TABLE stored EXCEPT ALL TABLE expected) x))
SELECT (SELECT count(*) FROM place), (SELECT count(*) FROM expected), d.*
FROM (SELECT) one LEFT JOIN (SELECT * FROM difference ORDER BY at LIMIT 5) d ON true
"""

# The decision of an entry is one that was received at its instant, the last that could matter to the rule; none of them
# may. Ranges of one membership leave gaps.
RANGE_DIFFERENCES = """
SELECT m.segment_id, m.profile_id, m.key, m.entered_at, m.decision_seq, s.decision_seq
FROM cdp.memberships m LEFT JOIN step s ON s.profile_id = m.profile_id AND s.from_at = m.entered_at
WHERE m.decision_seq IS NOT NULL AND (s.decision_seq IS NULL OR m.decision_seq > s.decision_seq
  OR m.decision_seq <= (SELECT max(p.decision_seq) FROM step p WHERE p.profile_id = s.profile_id AND p.from_at < s.from_at))
UNION ALL
SELECT a.segment_id, a.profile_id, a.key, b.entered_at, NULL, NULL FROM cdp.memberships a JOIN cdp.memberships b
  ON a.segment_id = b.segment_id AND a.profile_id = b.profile_id AND a.key IS NOT DISTINCT FROM b.key
 AND a.ctid <> b.ctid AND a.entered_at <= b.entered_at AND b.entered_at <= a.left_at
"""

# Literally the query of docs/design.md, over cdp's own profiles and events, with now() replaced by a literal.
DESIGN = """
SELECT p.profile_id, '{at}'::timestamptz, h.key FROM cdp.profiles p CROSS JOIN LATERAL (SELECT {key} AS key FROM
  (SELECT event_id, type, event, source, occurred_at, received_at, properties, context FROM cdp.events x
   WHERE x.profile_id = p.profile_id AND x.occurred_at <= '{at}' ORDER BY x.occurred_at, x.event_id) e {group_by} HAVING {rule}) h
"""
DESIGN_DIFFERENCES = """
WITH expected AS ({expected}),
stored AS (SELECT m.profile_id, a.at, m.key FROM cdp.memberships m JOIN unnest(%(at)s::timestamptz[]) AS a (at)
  ON m.entered_at <= a.at AND a.at < m.left_at WHERE m.segment_id = {segment})
(SELECT 'in', 'out', x.* FROM (TABLE expected EXCEPT ALL TABLE stored) x)
UNION ALL (SELECT 'out', 'in', x.* FROM (TABLE stored EXCEPT ALL TABLE expected) x) LIMIT 5
"""

CALENDAR_SHIFTS = "'{1 hour,-1 hour,1 day,-1 day,2 days,3 days}'"
CALENDAR_MIDNIGHTS = "'{0,1 day,2 days,3 days,4 days}'"


class Difference(Exception):
    """An oracle disagrees. `oracle`: identities, profiles, messages, memberships, verify or ways."""

    def __init__(self, oracle, text, rule=None):
        super().__init__(text)
        self.oracle, self.text, self.rule = oracle, text, rule


def as_json(value):
    return None if value is None else json.dumps(value)


def load(cursor, model):
    """Fills the test's tables with what should be, under the ids that the database gave in the same order."""
    cursor.execute("SELECT identifier_id, type, value FROM cdp.identifiers ORDER BY identifier_id")
    stored = cursor.fetchall()
    if [(kind, value) for _, kind, value in stored] != model.identifiers:
        raise Difference("messages", f"identifiers, by id: {stored}\nexpected, by first mention: {model.identifiers}")
    ids = [None] + [row[0] for row in stored]
    cursor.execute("SELECT event_id FROM cdp.event_records UNION ALL "
                   "SELECT decision_seq FROM cdp.assertions ORDER BY 1")
    seqs = [None] + [row[0] for row in cursor.fetchall()]
    if len(seqs) - 1 != len(model.accepted):
        raise Difference("messages", f"{len(seqs) - 1} facts are stored, {len(model.accepted)} should be")
    cursor.execute("".join(map("DELETE FROM pg_temp.{};".format, ("accepted", "carried", "step", "knows", "known"))))
    insert = psycopg2.extras.execute_values
    insert(cursor, "INSERT INTO accepted VALUES %s", [
        (one.number, seqs[one.number], m.type, m.event, m.source, iso(m.occurred_at), iso(m.received_at),
         as_json(m.properties), as_json(m.context), as_json(m.traits))
        for one in model.accepted for m in [one.message]], page_size=1000)
    insert(cursor, "INSERT INTO carried VALUES %s",
           [(one.number, ids[number], place) for one in model.accepted for place, number in enumerate(one.joined, 1)] +
           [(-number, ids[number], 1) for number in {number for one in model.accepted
                                                     for number in set(one.identifiers) - set(one.joined)}], page_size=1000)
    steps = model.lasting_steps()
    insert(cursor, "INSERT INTO step VALUES %s", [
        (place, ids[step.profile], seqs[step.number], iso(step.start),
         "infinity" if step.end is None else iso(step.end), as_json(step.traits),
         as_json({name: iso(at) for name, at in step.since.items()}))
        for place, step in enumerate(steps)], page_size=1000)
    knows = [(place, number) for place, step in enumerate(steps) for number in step.events]
    if knows:
        insert(cursor, "INSERT INTO knows VALUES %s", knows, page_size=5000)
    cursor.execute("INSERT INTO known SELECT k.step, s.profile_id, m.decision_seq, m.type, m.event, m.source, "
                   "m.occurred_at, m.received_at, m.properties, m.context "
                   "FROM knows k JOIN accepted m USING (number) JOIN step s USING (step)")
    cursor.execute("ANALYZE known, step")
    return ids, seqs


def check_messages(cursor, model, ids, seqs):
    """Each accepted message is one fact, as it was sent, and belongs to its strongest identifier."""
    cursor.execute(FACTS)
    for one, row in zip(model.accepted, cursor.fetchall()):
        m = one.message
        is_event = m.type in EVENT_TYPES
        message_id = m.message_id or re.sub("[0-9a-f]{32}$", "", row[8])
        wanted = (seqs[one.number], ids[one.identifiers[0]], m.source, m.type, m.event or None, m.group_id,
                  m.occurred_at, m.received_at, m.message_id or ("random-" if m.anew else "content-"),
                  m.properties if is_event else None, m.context, None if is_event else m.traits)
        if row[:8] + (message_id,) + row[9:] != wanted:
            raise Difference("messages", f"stored   {row}\nexpected {wanted}\nof {m.text}")
    cursor.execute("SELECT identifier_id, pg_temp.micros(first_seen_at), coalesce(raw_value, value) "
                   "FROM cdp.identifiers ORDER BY 1")
    expected = [(ids[number + 1], *seen) for number, seen in enumerate(model.first_seen)]
    stored = cursor.fetchall()
    if stored != expected:
        raise Difference("messages", f"identifiers as first seen: {stored}\nexpected: {expected}")
    cursor.execute("SELECT count(*) FROM cdp.refusals")
    if cursor.fetchone()[0] != model.refused:
        raise Difference("messages", f"expected {model.refused} refused identifiers")
    cursor.execute("SELECT code FROM cdp.quarantine ORDER BY quarantine_id")
    stored = [row[0] for row in cursor.fetchall()]
    if sorted(stored) != sorted(model.codes):
        raise Difference("messages", f"quarantined: {stored}\nexpected: {model.codes}")


def check_identities(cursor):
    cursor.execute(IDENTITY_DIFFERENCES)
    for identifier, kind, value, got, expected in cursor.fetchall():
        raise Difference("identities", f"identifier {identifier} ({kind} {value}): profile {got}, expected {expected}")
    cursor.execute(LINK_DIFFERENCES)
    for one, other, got, expected in cursor.fetchall():
        raise Difference("identities", f"link {one} - {other}: decision {got}, expected {expected}")


def check_profiles(cursor):
    cursor.execute(PROFILE_DIFFERENCES, {"epoch": EPOCH_2000})
    for profile, got, expected in cursor.fetchall():
        raise Difference("profiles", f"profile {profile}: {got}\nexpected {expected}")


# Another segment is held against its own rule; whoever asks about it asks what is stored.
ASKED = ("EXISTS (SELECT FROM cdp.memberships m WHERE m.segment_id = \\1 AND m.profile_id = {profile} "
         "AND m.entered_at <= {now} AND {now} < m.left_at)")


VALUE_ASKED = ("(SELECT m.key::jsonb FROM cdp.memberships m WHERE m.segment_id = \\1 AND m.profile_id = {profile} "
               "AND m.entered_at <= {now} AND {now} < m.left_at)")


# Of cdp's own profiles: the last step is how they are now.
SINCE_NOW = "(SELECT (since ->> '\\1')::timestamptz FROM step WHERE profile_id = p.profile_id AND until_at = 'infinity')"


def parts(rule, now, profile, since="(q.since ->> '\\1')::timestamptz"):
    text = re.sub(r"cdp\.in_segment\('s(\d+)'\)", ASKED.format(profile=profile, now=now), rule.text)
    value = VALUE_ASKED.format(profile=profile, now=now)
    text = re.sub(r"computed->>'s(\d+)'", f"({value} #>> '{{}}')", text)
    text = re.sub(r"computed->'s(\d+)'", value, text)
    text = re.sub(r"cdp\.trait_since\('(\w+)'\)", since, text)
    text = re.sub(r"\bnow\(\)", now, text).replace("%", "%%")
    if rule.is_value:
        return {"rule": f"({text}) IS NOT NULL", "key": f"to_jsonb({text})::text", "group_by": ""}
    return {"rule": text,
            "key": f"({rule.per})::text" if rule.per else "NULL::text",
            "group_by": f"GROUP BY {rule.per}" if rule.per else ""}


def check_memberships(cursor, segment, rule, instants):
    """Returns how many instants were looked at, and at how many somebody was in."""
    text = MEMBERSHIP_DIFFERENCES.format(
        segment=segment, segments=f"ARRAY{[segment, *rule.asked]}", breaks=", ".join(f"({one})" for one in ["k.occurred_at"] + rule.breaks),
        person_breaks=", ".join(f"({one})" for one in ["s.from_at"] + rule.person_breaks),
        shifts=CALENDAR_SHIFTS if rule.calendar else "'{}'", midnights=CALENDAR_MIDNIGHTS if rule.calendar else "'{}'",
        **parts(rule, "(q.at)", "q.profile_id"))
    set_zone(cursor, rule.time_zone)
    cursor.execute(text, {"instants": instants})
    rows = cursor.fetchall()
    set_zone(cursor, "UTC")
    looked, inside = rows[0][:2]
    if rows[0][2] is not None:
        raise Difference("memberships", "\n".join(
            f"at {at}, profile {profile}, key {key}: expected {expected}, got {got}"
            for _, _, expected, got, profile, at, key in rows), rule)
    return looked, inside


def check_design(cursor, segment, rule, instants):
    expected = " UNION ALL ".join(DESIGN.format(at=at, **parts(rule, f"('{at}'::timestamptz)", "p.profile_id", SINCE_NOW)) for at in instants)
    set_zone(cursor, rule.time_zone)
    cursor.execute(DESIGN_DIFFERENCES.format(expected=expected, segment=segment), {"at": instants})
    rows = cursor.fetchall()
    set_zone(cursor, "UTC")
    for wanted, got, profile, at, key in rows:
        raise Difference("memberships", f"at {at}, profile {profile}, key {key}: "
                                        f"the design's query says {wanted}, got {got}", rule)


def check_ranges(cursor):
    cursor.execute(RANGE_DIFFERENCES)
    for segment, profile, key, at, got, expected in cursor.fetchall():
        what = f"decision {got}, expected {expected}" if got or expected else "two ranges touch"
        text = f"segment {segment}, profile {profile}, key {key}, from {at}: {what}"
        raise Difference("memberships", text, segment)


def check_verify(cursor):
    cursor.execute("SELECT * FROM cdp.verify()")
    for row in cursor.fetchall():
        raise Difference("verify", f"cdp.verify(): {row}")
    cursor.execute("SELECT * FROM cdp.segment_errors")
    for row in cursor.fetchall():
        raise Difference("verify", f"cdp.segment_errors: {row}", row[0])


def set_zone(cursor, zone):
    cursor.execute("SELECT set_config('timezone', %s, false)", [zone])


def prepare(cursor):
    cursor.execute(TABLES)
    cursor.execute("CREATE FUNCTION pg_temp.micros(timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE "
                   "AS 'SELECT (extract(epoch FROM $1) * 1000000)::bigint'")
