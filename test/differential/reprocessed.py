#!/usr/bin/env python3
"""Sources that are processed again, against a database in which they were set up so from the beginning.

    reprocessed.py --host DIR [--seed N] [--histories 60] [--only I]

DIR holds the socket of a server that preloads cdp. Two sources keep their messages, a third one does not; settings of the
two change while messages and people's decisions come: whether they may link, what is dropped, what their tracking plan
wants. They are processed again, in batches of any size, while live messages go on, and sometimes the process is killed. In
the end cdp.verify() must be empty, and people, traits, events and segments must be what a fresh database makes of the
messages that are there, in the order of their decisions, under the last settings. --seed and --only make a history again; the
environment's SEED and CASES are defaults.
"""

import json
import sys

import imports
from attached import PEOPLE, Difference, decide_and_compare
from ways import play_in_two

KEEPING = ("crm", "erp")
PLAN = """{"events": {"Seen": {"properties": {"total": {"type": "number", "maximum": %s}}}}}"""
NOT_LEFT = """SELECT message_id FROM cdp.quarantine WHERE resolved_at IS NULL"""
ORDER = """SELECT message_id FROM (SELECT event_id AS seq, message_id FROM cdp.event_records
           UNION ALL SELECT decision_seq, message_id FROM cdp.assertions) AS f ORDER BY seq"""


class History(imports.History):
    duty = "SELECT cdp_internal.reprocess_messages()"

    def run(self):
        self.begin()
        for _ in range(self.random.choice([4, 8, 15, 30])):
            self.step()
        for _ in range(self.random.choice([1, 1, 2, 3])):
            self.change(self.random.choice(KEEPING))
            for _ in range(self.random.randint(0, 3)):
                self.step()
        for source in self.random.sample(KEEPING, 2):
            self.reprocess(source)
        self.finish()
        self.compare()

    def begin(self):
        super().begin()
        self.settings = {source: {"may_link": True, "drops": [], "most": None} for source in KEEPING}
        for source in KEEPING:
            self.execute("SELECT cdp.create_source(%s, keep_messages => true)", [source])

    def step(self):
        if self.random.random() < 0.08:
            return self.decide()
        source = self.random.choice(["default", "crm", "crm", "erp"])
        texts = [self.message() for _ in range(self.random.choice([1, 1, 1, 3]))]
        if self.said and self.random.random() < 0.1:
            texts.append(self.random.choice([one[1] for one in self.said if one[0] == source] or texts[:1]))
        if self.random.random() < 0.5:
            for text in texts:
                self.execute("INSERT INTO cdp.inbox (source, message) VALUES (%s, %s)", [source, text])
            self.execute("CALL cdp.run()")
        else:
            self.execute("SELECT * FROM cdp.ingest(%s, %s)", ["[" + ",".join(texts) + "]", source])
        self.said += [(source, text) for text in texts]

    def set_up(self, execute, source):
        one = self.settings[source]
        execute("SELECT cdp.alter_source(%s, may_link => %s, drops => %s)", [source, one["may_link"], one["drops"]])
        execute("SELECT cdp.drop_tracking_plan(%s) FROM cdp.tracking_plans JOIN cdp.sources USING (source_id) WHERE source = %s", [source, source])
        if one["most"]:
            execute("SELECT cdp.create_tracking_plan(%s, %s, mode => 'quarantine')", [source, PLAN % one["most"]])

    def change(self, source):
        dropped = self.settings[source]["drops"]  # what was not kept does not come back
        self.settings[source] = {"may_link": self.random.random() < 0.6, "drops": dropped + self.random.choice([[], ["traits.city"], ["properties.total", "traits.n"]]),
                                 "most": self.random.choice([None, None, 10, 2])}
        self.set_up(self.execute, source)
        if self.random.random() < 0.3:
            self.reprocess(source)

    def reprocess(self, source):
        kept = self.execute("SELECT count(*) FROM cdp.kept_messages JOIN cdp.sources USING (source_id) WHERE source = %s", [source])[0][0]
        if not kept or self.execute("SELECT FROM cdp.reprocessings WHERE source = %s AND state = 'running'", [source]):
            return
        self.execute("SELECT cdp.reprocess_source(%s)", [source])
        for _ in range(self.random.randint(0, 3)):
            self.execute(self.duty)
            if self.random.random() < 0.5:
                self.step()
        if self.random.random() < 0.2:
            self.kill()
        self.execute("CALL cdp.run()")

    def finish(self):
        self.execute("CALL cdp.run()")
        if self.execute("SELECT FROM cdp.reprocessings WHERE state = 'running' OR done <> total"):
            raise Difference(f"not all was taken anew: {self.execute('SELECT * FROM cdp.reprocessings')}")

    def compare(self):
        found = self.execute("SELECT * FROM cdp.verify()")
        if found:
            raise Difference(f"cdp.verify(): {found}")
        place = {name: number for number, (name,) in enumerate(self.execute(ORDER))}
        refused = {name for (name,) in self.execute(NOT_LEFT)}
        messages = {json.loads(one[1])["messageId"]: one for one in self.said if one[0] != "decision"}
        if place.keys() & refused or place.keys() | refused != messages.keys():
            raise Difference(f"of {len(messages)} messages {len(place)} are there and {len(refused)} in quarantine")
        other = self.other.cursor
        self.other.reset()
        other.execute(imports.SEGMENTS)
        for source in KEEPING:
            other.execute("SELECT cdp.create_source(%s)", [source])
            self.set_up(other.execute, source)
        for name in sorted(place, key=place.get):
            other.execute("SELECT accepted FROM cdp.ingest(%s, %s)", [messages[name][1], messages[name][0]])
            if other.fetchone() != (1,):
                raise Difference(f"{name} is there, and is not accepted under these settings")
        decide_and_compare(self.execute(PEOPLE), other, (one[1:] for one in self.said if one[0] == "decision"))


if __name__ == "__main__":
    sys.exit(play_in_two("reprocessed", __doc__, History))
