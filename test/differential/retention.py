#!/usr/bin/env python3
"""Events that retention removes, and months that are detached and attached, against plain SQL and a database without.

    retention.py --host DIR [--seed N] [--histories 60] [--only I]

DIR holds the socket of a server that preloads cdp. Messages of two sources, late ones among them, an import and people's
decisions come in any order, and in between rules of retention are set and dropped, months are detached and brought back,
in batches of any size, some of which are terminated or undone. Whatever is going on, people must be judged by the events
that are there, which plain SQL says, and cdp.verify() must be empty. In the end the other database gets the same without any
of that: who is who, what was said and whose every event is or was must be the same; what is there must be what no rule
removed, whole. --seed and --only make a history again; the environment's SEED and CASES are defaults.
"""

import json
import random
import sys

import psycopg2

from attached import Difference
from ways import play_in_two

SEGMENTS = """
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Seen') >= 2$$);
SELECT cdp.create_segment('spenders', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Seen') > 20$$);
SELECT cdp.create_segment('delft', $$traits ->> 'city' = 'DELFT' AND count(*) < 3$$);
SELECT cdp.create_segment('each', $$count(*) > 1$$, per => $$properties ->> 'total'$$);
SELECT cdp.create_computed_trait('spent', $$sum((properties ->> 'total')::numeric)$$);
"""
# Who should be in what, from the events that are there.
EXPECTED = """
WITH e AS (SELECT * FROM cdp.events)
SELECT 'buyers', profile_id, '' FROM e GROUP BY profile_id HAVING count(*) FILTER (WHERE event = 'Seen') >= 2
UNION ALL SELECT 'spenders', profile_id, '' FROM e GROUP BY profile_id HAVING sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Seen') > 20
UNION ALL SELECT 'delft', p.profile_id, '' FROM cdp.profiles AS p WHERE traits ->> 'city' = 'DELFT' AND (SELECT count(*) FROM e WHERE e.profile_id = p.profile_id) < 3
UNION ALL SELECT 'each', profile_id, coalesce(properties ->> 'total', '') FROM e GROUP BY profile_id, properties ->> 'total' HAVING count(*) > 1
UNION ALL SELECT 'spent', profile_id, sum((properties ->> 'total')::numeric)::text FROM e GROUP BY profile_id HAVING sum((properties ->> 'total')::numeric) IS NOT NULL
"""
STORED = """
SELECT segment, profile_id, coalesce(key, '') FROM cdp.segment_members
UNION ALL SELECT trait, profile_id, value #>> '{}' FROM cdp.computed_trait_values
"""
# Ids differ where messages were decided in another order only.
PEOPLE = """
SELECT 'person', (SELECT string_agg(i.type || '=' || i.value, ' ' ORDER BY i.type, i.value) FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id),
       (p.traits - 'spent')::text, p.last_seen_at IS NOT NULL FROM cdp.profiles AS p
UNION ALL SELECT 'link', concat_ws(' ', a.type, a.value, b.type, b.value), l.message_id, true FROM cdp.links AS l
  JOIN cdp.identifiers AS a USING (identifier_id) JOIN cdp.identifiers AS b ON b.identifier_id = l.other_identifier_id
UNION ALL SELECT 'event', i.type || '=' || i.value, concat_ws(' ', t.source_id = (SELECT s.source_id FROM cdp.sources AS s WHERE s.source = 'shop'), t.message_id) || ' ' || coalesce((SELECT string_agg(c.value, ' ' ORDER BY o.place) FROM unnest(t.carried) WITH ORDINALITY AS o (id, place)
    JOIN cdp.identifiers AS c ON c.identifier_id = o.id), ''), true
  FROM cdp_internal.event_traces AS t JOIN cdp.identifiers AS i USING (identifier_id)
"""
DAYS = [1, 40, 100, 130, 200, 400, 420, 800]
SOURCES = {None: "default", "shop": "shop", "old": "crm"}


class History:
    def __init__(self, one, other, seed):
        self.one, self.other, self.random, self.trace = one, other, random.Random(seed), []
        self.said = []      # statements for both
        self.number = 0
        self.import_id, self.undone = None, False

    def execute(self, statement, values=None):
        self.trace.append(self.one.cursor.mogrify(statement, values).decode())
        self.one.cursor.execute(statement, values)
        return self.one.cursor.fetchall() if self.one.cursor.description else []

    def both(self, statement, values=None):
        self.said.append((statement, values))
        return self.execute(statement, values)

    def run(self):
        for database in (self.one, self.other):
            database.reset()
            database.cursor.execute("DO $$ DECLARE t text; BEGIN FOR t IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'cdp_months'::regnamespace "
                                    "AND c.relname LIKE 'detached%' AND c.relkind = 'r' LOOP EXECUTE 'DROP TABLE cdp_months.' || t; END LOOP; END $$")
            database.cursor.execute(SEGMENTS)
        self.execute("SET cdp.batch_size = %s", [self.random.choice([1, 2, 5, 1000])])
        self.import_id = self.both("SELECT cdp.begin_import('crm', 'old')")[0][0]
        for _ in range(self.random.choice([6, 12, 25])):
            self.random.choices([self.send, self.decide, self.rule, self.month, self.work, self.undo],
                                [8, 1, 2, 2, 3, 0.4])[0]()
            if self.random.random() < 0.4:
                self.check()
        self.finish()

    def send(self):
        name = self.random.choice([None, "shop", "old"])
        if self.undone and name == "old":
            name = None
        texts = [self.message() for _ in range(self.random.choice([1, 1, 3, 8]))]
        if self.said and self.random.random() < 0.1:
            texts.append(self.random.choice([v[0][1:-1] for s, v in self.said if s.startswith("SELECT * FROM cdp.ingest") and v[0].count("messageId") == 1] or texts[:1]))
        for text in texts:
            self.both("SELECT * FROM cdp.ingest(%s, %s, import => %s)", ["[" + text + "]", SOURCES[name], "old" if name == "old" else None])

    def value(self, kind):
        return self.random.choice([f"{kind}{n}@x.example" if kind == "e" else f"{kind}{n}" for n in range(1, 5)])

    def message(self):
        self.number += 1
        document = {"messageId": f"m{self.number}", "userId": self.value("u")}
        if self.random.random() < 0.3:
            document["anonymousId"] = self.value("a")
        if self.random.random() < 0.2:
            document["context"] = {"traits": {"email": self.value("e")}}
        if self.random.random() < 0.25:
            document |= {"type": "identify", "traits": {"city": self.random.choice(["DELFT", "ROME"])}}
        else:
            self.one.cursor.execute("SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 day' * %s, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", [self.random.choice(DAYS)])
            document |= {"type": "track", "event": self.random.choice(["Seen", "Seen", "Mailed"]), "timestamp": self.one.cursor.fetchone()[0],
                         "properties": self.random.choice([{"total": 1}, {"total": 7}, {"total": 15}, {}])}
        return json.dumps(document)

    def decide(self):
        pairs = self.execute("SELECT a.type, a.value, b.type, b.value FROM cdp.identifiers a JOIN cdp.identifiers b "
                             "ON a.identifier_id < b.identifier_id ORDER BY 1, 2, 3, 4")
        if pairs:
            one, value, other, another = self.random.choice(pairs)
            kind = self.random.choice(["remove_link", "forbid_link", "remove_identifier"])
            ids = [json.dumps({one: value})] + ([] if kind == "remove_identifier" else [json.dumps({other: another})])
            self.both(f"SELECT * FROM cdp.{kind}({', '.join(['%s'] * len(ids))}, 'because')", ids)

    def rule(self):
        source = self.random.choice([None, None, "shop", "crm"])
        event = self.random.choice([None, None, "Seen"])
        if source and not self.execute("SELECT FROM cdp.sources WHERE source = %s", [source]):
            return
        if self.random.random() < 0.3:
            rules = self.execute("SELECT source, event FROM cdp.retention_rules ORDER BY 1, 2")
            if rules:
                self.execute("SELECT cdp.drop_retention(%s, %s)", self.random.choice(rules))
            return
        keep = self.random.choice([None, "30 days", "120 days", "150 days", "410 days", "3 years"])
        self.execute("SELECT cdp.set_retention(%s, %s, %s)", [source, event, keep])

    def month(self):
        self.one.cursor.execute("SELECT date_trunc('month', now() - interval '1 day' * %s, 'UTC')::text", [self.random.choice(DAYS[1:])])
        month = self.one.cursor.fetchone()[0]
        state = self.execute("SELECT state FROM cdp.detached_months WHERE month = %s", [month])
        if not state and self.execute("SELECT cdp_internal.next_month(%s) <= now()", [month])[0][0]:
            self.execute("SELECT cdp.detach_events(%s)", [month])
        elif state == [("detached",)]:
            self.execute("SELECT cdp.attach_events(%s)", [month])

    def work(self):
        """A pass, some batches, or one that does not commit."""
        way = self.random.random()
        if way < 0.3:
            self.execute("CALL cdp.apply_retention()")
        elif way < 0.5:
            self.execute("CALL cdp.run()")
        elif way < 0.6:
            other = psycopg2.connect(host=self.one.host, user="postgres", dbname=self.one.name)
            other.cursor().execute("SET cdp.batch_size = 3; SELECT cdp_internal.keep_events(), cdp_internal.move_months(), cdp_internal.move_months()")
            self.trace.append("-- a batch in a session that is terminated")
            self.one.cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [other.info.backend_pid])
            other.close()
        else:
            for _ in range(self.random.randint(1, 4)):
                self.execute("SELECT cdp_internal.keep_events()")
                self.execute("SELECT cdp_internal.move_months()")
                self.execute("SELECT cdp_internal.make_months()")

    def undo(self):
        if not self.undone:
            self.undone = True
            self.both("SELECT cdp.undo_import((SELECT import_id FROM cdp.imports))")
            self.both("CALL cdp.run()")

    def check(self):
        found = self.execute("SELECT * FROM cdp.verify()")
        if found:
            raise Difference(f"cdp.verify(): {found}")
        self.same("segments", STORED, EXPECTED)

    def same(self, what, stored, expected):
        stored, expected = (sorted(map(repr, self.execute(query))) for query in (stored, expected))
        if stored != expected:
            raise Difference(f"{what}: stored\n  " + "\n  ".join(sorted(set(stored) - set(expected))) +
                             "\nexpected\n  " + "\n  ".join(sorted(set(expected) - set(stored))))

    def finish(self):
        self.execute("CALL cdp.run()")
        for (month,) in self.execute("SELECT month::text FROM cdp.detached_months WHERE state = 'detached'"):
            self.execute("SELECT cdp.attach_events(%s)", [month])
        self.execute("CALL cdp.run()")
        self.execute("CALL cdp.apply_retention()")
        self.check()
        other = self.other.cursor
        for statement, values in self.said:
            other.execute(statement, values)
        other.execute("CALL cdp.run()")
        other.execute(PEOPLE)
        expected, stored = sorted(map(repr, other.fetchall())), sorted(map(repr, self.execute(PEOPLE)))
        if stored != expected:
            raise Difference("stored " + "\n  ".join(sorted(set(stored) - set(expected))) + "\nexpected " + "\n  ".join(sorted(set(expected) - set(stored))))
        self.compare_events(other)

    def compare_events(self, other):
        """What is there is as it came; what is not, some rule removed; nothing that is there is too old by today's rules."""
        query = "SELECT source || ' ' || message_id, event, occurred_at, properties::text FROM cdp.event_records JOIN cdp.sources USING (source_id)"
        other.execute(query)
        came, there = set(other.fetchall()), set(self.execute(query))
        gone = {row[0] for row in self.execute("SELECT source || ' ' || message_id FROM cdp.removed_events JOIN cdp.sources USING (source_id)")}
        if there - came or {row[0] for row in came - there} != gone:
            raise Difference(f"events: {there - came}, removed {gone}, missing {came - there}")
        old = self.execute("""SELECT e.message_id FROM cdp.events AS e WHERE e.occurred_at < (now() AT TIME ZONE 'UTC' - (SELECT k.keep FROM cdp.retention_rules AS k
            WHERE coalesce(k.source, e.source) = e.source AND coalesce(k.event, e.event) = e.event ORDER BY k.source, k.event LIMIT 1)) AT TIME ZONE 'UTC'""")
        if old:
            raise Difference(f"too old: {old}")
        if self.execute("SELECT FROM cdp.detached_months") or self.execute("SELECT FROM pg_class WHERE relname LIKE 'detached_2%' AND relkind = 'r'"):
            raise Difference("archives are left")


if __name__ == "__main__":
    sys.exit(play_in_two("retention", __doc__, History))
