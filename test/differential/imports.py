#!/usr/bin/env python3
"""Imports that are undone, against a database that never saw them.

    imports.py --host DIR [--seed N] [--histories 60] [--only I]

DIR holds the socket of a server that preloads cdp. Live messages, messages of two imports about the same people and
people's decisions come in any order, by call and by the inbox; then one import or both are undone, in batches of any
size, while live messages go on, and sometimes the undoing process is killed. In the end cdp.verify() must be empty, and
people, traits, events and segments must be what a fresh database makes of the messages that are left, in their order.
What came of an import is imported once more, too. --seed and --only make a history again; the environment's SEED and
CASES are defaults.
"""

import json
import random
import sys

import psycopg2

from attached import PEOPLE, Difference, decide_and_compare
from ways import play_in_two

SEGMENTS = """
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Seen') >= 2$$);
SELECT cdp.create_segment('spenders', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Seen') > 20$$);
SELECT cdp.create_segment('delft', $$traits ->> 'city' = 'DELFT' AND count(*) FILTER (WHERE event = 'Seen') < 2$$);
"""
SOURCES = {None: "default", "old": "crm", "new": "erp"}


class History:
    duty = "SELECT cdp_internal.undo_imports()"

    def __init__(self, one, other, seed):
        self.one, self.other, self.random, self.trace = one, other, random.Random(seed), []
        self.said = []  # (import, text) and ("decision", pair, statement), in order
        self.number = 0
        self.undone = set()

    def execute(self, statement, values=None):
        self.trace.append(self.one.cursor.mogrify(statement, values).decode())
        self.one.cursor.execute(statement, values)
        return self.one.cursor.fetchall() if self.one.cursor.description else []

    def run(self):
        self.begin()
        for _ in range(self.random.choice([4, 8, 15, 30])):
            self.step()
        undo = self.random.choice([["old"], ["new"], ["old", "new"], ["new", "old"]])
        for name in undo:
            self.undo(name)
            for _ in range(self.random.randint(0, 2)):
                self.step()
        self.finish()
        self.compare()
        if self.random.random() < 0.3:
            self.again()
            self.compare()

    def begin(self):
        rules = []
        for kind in ("email", "crm_id", "loyalty_id"):
            rule = self.random.choice(["", "", ", is_unique => true, clear => '{max_values}'", ", is_unique => false, max_values => 1",
                                       ", is_unique => false, max_values => 2"])
            rules.append((kind, self.random.choice([100, 80, 60]), rule))
        for database in (self.one, self.other):
            database.reset()
            database.cursor.execute("DELETE FROM cdp.identifier_types; SELECT cdp_internal.make_identifier_types();"
                                    "SELECT cdp.create_identifier_type('crm_id')")
            for kind, priority, rule in rules:
                database.cursor.execute(f"SELECT cdp.alter_identifier_type('{kind}', priority => {priority}{rule})")
            database.cursor.execute("SELECT cdp.apply_identity_rules()")
            database.cursor.execute("CALL cdp.run()")
            database.cursor.execute(SEGMENTS)
        self.trace.append(f"-- {rules}")
        self.ids = {name: self.execute("SELECT cdp.begin_import(%s, %s)", [SOURCES[name], name])[0][0] for name in ("old", "new")}
        self.execute("SET cdp.batch_size = %s", [self.random.choice([1, 2, 5, 1000])])

    def step(self):
        if self.random.random() < 0.08:
            return self.decide()
        name = self.random.choice([None, "old", "new"])
        if name in self.undone:
            name = None
        texts = [self.message() for _ in range(self.random.choice([1, 1, 1, 3]))]
        if self.said and self.random.random() < 0.1:
            texts.append(self.random.choice([one[1] for one in self.said if one[0] != "decision" and one[0] == name] or texts[:1]))
        if self.random.random() < 0.5:
            for text in texts:
                self.execute("INSERT INTO cdp.inbox (source, import, message) VALUES (%s, %s, %s)", [SOURCES[name], name, text])
            self.execute("CALL cdp.run()")
        else:
            self.execute("SELECT * FROM cdp.ingest(%s, %s, import => %s)", ["[" + ",".join(texts) + "]", SOURCES[name], name])
        self.said += [(name, text) for text in texts]

    def value(self, kind):
        return self.random.choice([None] + [f"{kind}{n}@x.example" if kind == "e" else f"{kind}{n}" for n in range(1, 5)])

    def message(self):
        self.number += 1
        ids = [{"type": kind, "id": value, "collection": "users", "encoding": "none"} for kind, value in
               (("email", self.value("e")), ("loyalty_id", self.value("L")), ("crm_id", str(self.random.randint(1, 5))))
               if value and self.random.random() < 0.6] or [{"type": "crm_id", "id": "1", "collection": "users", "encoding": "none"}]
        document = {"messageId": f"m{self.number}", "timestamp": f"2026-0{self.random.randint(1, 3)}-01T00:{self.number // 60:02}:{self.number % 60:02}Z",
                    "context": {"externalIds": ids}}
        if self.random.random() < 0.4:
            document |= {"type": "identify", "traits": {"city": self.random.choice(["DELFT", "ROME"]), "n": self.number % 7}}
        else:
            document |= {"type": "track", "event": "Seen", "properties": {"total": self.random.choice([1, 7, 15])}}
        return json.dumps(document)

    def decide(self):
        pairs = self.execute("SELECT a.type, a.value, b.type, b.value FROM cdp.identifiers a JOIN cdp.identifiers b "
                             "ON a.identifier_id < b.identifier_id ORDER BY 1, 2, 3, 4")
        if not pairs:
            return
        pair = self.random.choice(pairs)
        statement = "SELECT * FROM cdp.{}('{}', '{}', 'because')".format(
            self.random.choice(["remove_link", "forbid_link"]), json.dumps({pair[0]: pair[1]}), json.dumps({pair[2]: pair[3]}))
        self.execute(statement)
        self.said.append(("decision", pair, statement))

    def undo(self, name):
        self.execute("SELECT cdp.undo_import(%s)", [self.ids[name]])
        self.undone.add(name)
        for _ in range(self.random.randint(0, 3)):  # live messages in between
            self.execute("SELECT cdp_internal.undo_imports()")
            if self.random.random() < 0.5:
                text = self.message()
                self.execute("SELECT * FROM cdp.ingest(%s, 'default')", [text])
                self.said.append((None, text))
        if self.random.random() < 0.3:  # what still comes of it does not get in
            self.execute("INSERT INTO cdp.inbox (source, import, message) VALUES (%s, %s, %s)", [SOURCES[name], name, self.message()])
            self.execute("CALL cdp.run()")
        if self.random.random() < 0.2:
            self.kill()

    def kill(self):
        """Another session is ended in the middle of a batch: it is as if it had not begun."""
        other = psycopg2.connect(host=self.one.host, user="postgres", dbname=self.one.name)
        cursor = other.cursor()
        cursor.execute(self.duty)
        self.trace.append("-- a batch in a session that is terminated")
        self.one.cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [other.info.backend_pid])
        other.close()

    def finish(self):
        self.execute("CALL cdp.run()")
        left = self.execute("SELECT count(*) FROM cdp_internal.imports WHERE state = 'undoing'")[0][0]
        if left:
            raise Difference(f"{left} imports are still being undone")
        for name in self.undone:
            if self.execute("SELECT undone = accepted FROM cdp.imports WHERE import_id = %s", [self.ids[name]]) != [(True,)]:
                raise Difference(f"cdp.imports counts {name} wrong")

    def again(self):
        """An import that was undone comes as another one: its messageIds are free."""
        name = sorted(self.undone)[0]
        self.execute("SELECT cdp.begin_import(%s, 'again')", [SOURCES[name]])
        texts = list(dict.fromkeys(text for one, text, *_ in self.said if one == name))
        for text in texts:
            self.execute("SELECT * FROM cdp.ingest(%s, %s, import => 'again')", [text, SOURCES[name]])
        self.said = [one for one in self.said if one[0] != name] + [("again", text, SOURCES[name]) for text in texts]

    def compare(self):
        found = self.execute("SELECT * FROM cdp.verify()")
        if found:
            raise Difference(f"cdp.verify(): {found}")
        other = self.other.cursor
        self.other.reset()
        other.execute(SEGMENTS)
        decisions = []
        for one in self.said:
            if one[0] == "decision":
                decisions.append(one)
            elif one[0] not in self.undone:
                other.execute("SELECT cdp.ingest(%s, %s)", [one[1], one[2] if one[0] == "again" else SOURCES[one[0]]])
        decide_and_compare(self.execute(PEOPLE), other, (one[1:] for one in decisions))


if __name__ == "__main__":
    sys.exit(play_in_two("imports", __doc__, History))
