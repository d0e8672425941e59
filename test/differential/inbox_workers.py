#!/usr/bin/env python3
"""The inbox drained by several processes at once, against the same lines decided in order by one.

    inbox_workers.py --host DIR [--seed N] [--histories 30] [--only I]

DIR holds the socket of a server that preloads cdp. Lines about some dozens of people - merges under limits that depend on
the order, the same messageId with other content, traits said of the same instant, shared devices, accounts, batches in a line,
lines that are refused - lie in the inbox of two databases. In one CALL cdp.run() decides them; in the other the worker and
two processes beside it share them out, a few lines at a time, and sometimes one of them is terminated. Who is who, what was
said, done, refused and put aside, traits, accounts and segments must be the same, and so the order of identifiers' ids, unless somebody was
terminated; cdp.verify() must be empty.
--seed and --only make a history again; the environment's SEED and CASES are defaults.
"""

import json
import random
import sys

from attached import PEOPLE, Difference
from ways import play_in_two, wait_for_worker

SEGMENTS = """
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Seen') >= 3$$);
SELECT cdp.create_segment('delft', $$traits ->> 'city' = 'DELFT' AND count(*) < 9$$);
SELECT cdp.create_segment('each', $$count(*) > 1$$, per => $$properties ->> 'total'$$);
"""
NAMED = "(SELECT i.type || '=' || i.value FROM cdp.identifiers AS i WHERE i.identifier_id = {})"
STATE = {
    "people": PEOPLE,
    "evidence": f"SELECT {NAMED.format('l.identifier_id')}, {NAMED.format('l.other_identifier_id')}, l.message_id FROM cdp.links AS l",
    "refusals": "SELECT type, value, reason, message_id FROM cdp.refusals",
    "owners": f"""SELECT {NAMED.format('e.identifier_id')}, e.message_id, e.received_at FROM cdp.event_records AS e
        UNION ALL SELECT {NAMED.format('a.identifier_id')}, a.message_id, a.received_at FROM cdp.assertions AS a""",
    "quarantine": "SELECT code, reason, message_id, message FROM cdp.quarantine",
    "keys": "SELECT message_key, content_hash FROM cdp.message_keys",
    "counts": "SELECT what, sum(messages) FROM cdp_internal.all_source_counts GROUP BY what",
    "accounts": "SELECT group_id, traits FROM cdp.accounts",
    "first sights": "SELECT type, value, raw_value, first_seen_at FROM cdp.identifiers",
}
# Who is killed costs the order of ids and numbers in one window, and so which of two people a later merge leaves, and what of the same instant.
NUMBERED = {
    "order of ids": "SELECT string_agg(type || '=' || value, ' ' ORDER BY identifier_id) FROM cdp.identifiers",
    "changes": f"""SELECT change, {NAMED.format('c.profile_id')}, {NAMED.format('c.from_profile_id')} FROM cdp.identity_changes AS c
        WHERE change NOT IN ('linked', 'refused')""",
    "memberships": f"SELECT segment_id, {NAMED.format('m.profile_id')}, key, entered_at, left_at FROM cdp.memberships AS m",
}
BEGIN = 1_767_225_600  # 2026-01-01


class Lines:
    def __init__(self, rolls, ties):
        self.random, self.ties, self.number, self.sent = rolls, ties, 0, []
        self.people = rolls.choice([40, 120, 300])

    def identifiers(self):
        person = self.random.randrange(self.people)
        if self.random.random() < 0.04:  # somebody is taken for somebody else
            person = self.random.choice([person, self.random.randrange(self.people)])
        other = self.random.randrange(self.people) if self.random.random() < 0.05 else person
        ids = {"userId": f"u{person}", "anonymousId": f"a{person}-{self.random.randrange(3)}",
               "email": f"E{other}.{self.random.randrange(4)}@x.example", "device": f"home{person // 5}"}
        likely = {"userId": 0.5, "anonymousId": 0.5, "email": 0.5, "device": 0.1}
        return {kind: ids[kind] for kind in ids if self.random.random() < likely[kind]} or {"userId": ids["userId"]}

    def message(self):
        self.number += 1
        if self.sent and self.random.random() < 0.04:
            return self.random.choice(self.sent)
        ids = self.identifiers()
        document = {"messageId": f"m{self.number}", "context": {},
                    "timestamp": self.time(self.random.choice([1, 2, 2, 2]))}
        document |= {kind: ids[kind] for kind in ("userId", "anonymousId") if kind in ids}
        if "device" in ids:
            document["context"]["device"] = {"id": ids["device"]}
        if "email" in ids:
            document["context"]["traits"] = {"email": ids["email"]}
        roll = self.random.random()
        if roll < 0.5:
            document |= {"type": "identify", "traits": {"city": self.random.choice(["DELFT", "ROME"]), "n": self.number}}
        elif roll < 0.6 and "userId" in ids:
            document |= {"timestamp": self.time(1), "type": "group", "groupId": f"g{self.random.randrange(6)}", "traits": {"plan": self.number}}
        else:
            document |= {"type": "track", "event": "Seen", "properties": {"total": self.random.choice([1, 7, 15])}}
        if self.sent and self.random.random() < 0.02:  # an id that came with other content
            document["messageId"] = self.random.choice(self.sent).get("messageId")
        if self.random.random() < 0.02:
            document["type"] = "nonsense"
        self.sent.append(document)
        return document

    def time(self, day):
        n = 0 if self.ties else self.number
        return f"2026-01-0{day}T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z"

    def line(self):
        roll = self.random.random()
        if roll < 0.01:
            return self.random.choice(["{", "", '{"type": "track"}'])
        if roll < 0.06:
            return json.dumps({"batch": [self.message() for _ in range(self.random.randint(2, 4))]})
        return json.dumps(self.message())


def rules(rolls):
    for kind in ("user_id", "email", "anonymous_id", "device_id"):
        yield kind, rolls.choice(["", ", is_unique => true, clear => '{max_values}'", ", is_unique => false, max_values => 1",
                                  ", is_unique => false, max_values => 2"]) if kind != "device_id" else ""


def fill(database, chosen, lines):
    database.reset()
    database.cursor.execute("DELETE FROM cdp.identifier_types; SELECT cdp_internal.make_identifier_types();")
    for kind, rule in chosen:
        if rule:
            database.cursor.execute(f"SELECT cdp.alter_identifier_type('{kind}'{rule})")
    database.cursor.execute("SELECT cdp.apply_identity_rules()")
    database.cursor.execute("CALL cdp.run()")
    database.cursor.execute(SEGMENTS)
    values = [value for n, line in enumerate(lines) for value in (f"{BEGIN + 7_000_000 + n}", line)]
    database.cursor.execute("INSERT INTO cdp.inbox (received_at, message) VALUES "
                            + ", ".join(["(to_timestamp(%s), %s)"] * len(lines)), values)


def beside(database):
    database.cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'cdp inbox worker' AND datname = current_database()")
    return [row[0] for row in database.cursor.fetchall()]


class History:
    shared = 0  # how many were shared out

    def __init__(self, one, other, seed):
        self.one, self.other, self.random = one, other, random.Random(seed)
        self.trace = []

    def run(self):
        self.one.server("ALTER SYSTEM SET cdp.inbox_workers = 3", "ALTER SYSTEM SET cdp.batch_size = 40", "SELECT pg_reload_conf()")
        try:
            self.play()
        finally:
            self.one.server("ALTER SYSTEM RESET cdp.inbox_workers", "ALTER SYSTEM RESET cdp.batch_size", "SELECT pg_reload_conf()")

    def play(self):
        one, other = self.one, self.other
        killed = self.random.random() < 0.3
        chosen, lines = list(rules(self.random)), Lines(self.random, ties=not killed)
        texts = [lines.line() for _ in range(self.random.choice([600, 1200, 2000]))]
        self.trace = [f"{kind}{rule}" for kind, rule in chosen] + texts
        fill(one, chosen, texts)
        one.cursor.execute("SET cdp.batch_size = 100000")
        one.cursor.execute("CALL cdp.run()")
        shared = False
        fill(other, chosen, texts)
        other.cursor.execute("SELECT cdp.start_worker()")
        while not shared:
            shared = bool(beside(other))
            other.cursor.execute("SELECT NOT EXISTS (SELECT FROM cdp.inbox)")
            if other.cursor.fetchone()[0]:
                break
        if killed:
            for pid in beside(other):
                other.cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_for_worker(other, 120)
        other.cursor.execute("SELECT cdp.stop_worker()")
        other.cursor.execute("CALL cdp.run()")
        self.compare(STATE if killed else STATE | NUMBERED)
        History.shared += shared

    def compare(self, state):
        for what, query in state.items():
            rows = []
            for database in (self.one, self.other):
                database.cursor.execute(query)
                rows.append(sorted(map(repr, database.cursor.fetchall())))
            if rows[0] != rows[1]:
                lost, more = sorted(set(rows[0]) - set(rows[1])), sorted(set(rows[1]) - set(rows[0]))
                raise Difference("\n  ".join([f"{what} differ", "by one:", *lost[:5], "by several:", *more[:5]]))
        self.other.cursor.execute("SELECT * FROM cdp.verify()")
        if found := self.other.cursor.fetchall():
            raise Difference(f"cdp.verify(): {found[:5]}")


def main():
    failed = play_in_two("inbox_workers", __doc__, History, histories=30)
    print(f"{History.shared} of them shared out")
    return failed or History.shared == 0


if __name__ == "__main__":
    sys.exit(main())
