#!/usr/bin/env python3
"""Attached tables under random changes, against a database that only ever gets what their rows say at the end.

    attached.py --host DIR [--seed N] [--histories 60] [--only I]

DIR holds the socket of a server that preloads cdp. Rows are inserted, updated, deleted, truncated, their keys changed,
and messages and people's decisions come in between; they are followed now and then, in batches of any size. After each
time cdp.verify() must be empty, and people, traits, events and segments must be what a fresh database makes of the same
messages and of the rows as they are, each at the place of its last change; of traits those that changed alone, as the others
were said already, and an earlier time counts; also when some of them are dropped or hashed at the door, as the source has it when they are
said, and when the row, or what is new in it, was refused in between. Now and then rows change unseen, and all are compared. --seed and --only make a history again; the
environment's SEED and CASES are defaults.
"""

import hashlib
import hmac
import json
import random
import sys
import uuid

from ways import play_in_two

TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (no integer PRIMARY KEY, email text, card text, city text, points numeric, at timestamptz NOT NULL);
CREATE TABLE shop.orders (day date, no integer, customer integer, email text, total numeric(10, 2), at timestamptz NOT NULL,
                          PRIMARY KEY (no, day));
"""
ATTACH = """
SELECT cdp.attach_table('shop.customers', 'crm', '{"crm_id": "no", "email": "email", "loyalty_id": "card"}',
  traits => '{"city": "upper(city)", "points": "CASE WHEN points = 13 THEN 1 / (points - 13) ELSE points END"}', occurred_at => 'at');
SELECT cdp.attach_table('shop.orders', 'erp', '{"crm_id": "customer", "email": "email"}',
  event => 'Order Completed', occurred_at => 'at', properties => '["total", "no"]', filter => 'total >= 0');
"""
SEGMENTS = """
SELECT cdp.create_segment('buyers', $$count(*) FILTER (WHERE event = 'Order Completed') >= 2$$);
SELECT cdp.create_segment('spenders', $$sum((properties ->> 'total')::numeric) FILTER (WHERE event = 'Order Completed') > 20$$);
SELECT cdp.create_segment('delft', $$traits ->> 'city' = 'DELFT' AND count(*) FILTER (WHERE event = 'Seen') < 2$$);
"""
PEOPLE = """
SELECT (SELECT jsonb_agg(i.type || ':' || i.value ORDER BY i.type, i.value) FROM cdp.identifiers i
        WHERE i.profile_id = p.profile_id AND i.first_seen_at < 'infinity'),
  p.traits,
  (SELECT jsonb_agg(jsonb_build_array(t.key, t.value, a.asserted_at) ORDER BY t.key, t.value, a.asserted_at)
   FROM cdp.assertions a JOIN cdp.identifiers i USING (identifier_id) CROSS JOIN LATERAL jsonb_each(a.traits) t WHERE i.profile_id = p.profile_id),
  (SELECT jsonb_agg(jsonb_build_array(e.event, e.occurred_at, e.properties) ORDER BY e.occurred_at, e.event, e.properties)
   FROM cdp.events e WHERE e.profile_id = p.profile_id),
  (SELECT jsonb_agg(m.segment ORDER BY m.segment) FROM cdp.segment_members m WHERE m.profile_id = p.profile_id)
FROM cdp.profiles p
"""


REMEMBER = """
SELECT now()::text, p.profile_id, p.traits, ARRAY(SELECT e.event_id FROM cdp.events e WHERE e.profile_id = p.profile_id AND e.occurred_at <= now())
FROM cdp.profiles p
"""


REFUSED = "refused"  # a row that cannot be read


class Difference(Exception):
    pass


def decide_and_compare(people, other, decisions):
    """People as stored are those that the other database has once people decided there, too: (pair, statement)."""
    for pair, statement in decisions:
        other.execute("SELECT count(*) FROM cdp.identifiers WHERE (type, value) IN ((%s, %s), (%s, %s))", pair)
        if other.fetchone()[0] == 2:
            other.execute(statement)
    other.execute(PEOPLE)
    expected = sorted(map(repr, other.fetchall()))
    stored = sorted(map(repr, people))
    if stored != expected:
        raise Difference("stored " + "\n  ".join(sorted(set(stored) - set(expected))) +
                         "\nexpected " + "\n  ".join(sorted(set(expected) - set(stored))))


class History:
    def __init__(self, one, other, seed):
        self.one, self.other, self.random, self.trace = one, other, random.Random(seed), []
        self.remembered = []  # (instant, person, traits, events) as they were stored then
        self.said = []      # ("message", text, source) and ("part", table, key, document), in the order of their decisions
        self.content = {}   # what rows said when they were read last; who says the same is left alone
        self.former = {}    # of rows that were refused, in all or in part: the parts that they said before
        self.pending = []   # rows that changed and were not followed yet
        self.decisions, self.number = [], 0

    def execute(self, statement):
        self.trace.append(statement)
        self.one.cursor.execute(statement)
        return self.one.cursor.fetchall() if self.one.cursor.description else []

    def run(self):
        self.begin()
        for _ in range(self.random.choice([4, 8, 15, 25])):
            self.step()
            if self.random.random() < 0.4:
                self.follow()
        self.follow()
        self.recall()
        keep = self.random.random() < 0.5
        for table in ("shop.customers", "shop.orders"):
            self.execute(f"SELECT cdp.detach_table('{table}', keep_data => {str(keep).lower()})")
        if not keep:
            self.said = [one for one in self.said if one[0] == "message"]
        self.execute("CALL cdp.run()")
        self.compare()

    def begin(self):
        rules = []
        for kind in ("email", "crm_id", "loyalty_id"):
            rule = self.random.choice(["", "", ", is_unique => true, clear => '{max_values}'", ", is_unique => false, max_values => 1",
                                       ", is_unique => false, max_values => 2"])
            rules.append((kind, self.random.choice([100, 80, 60]), rule))
        for database in (self.one, self.other):
            database.cursor.execute("DROP SCHEMA IF EXISTS shop CASCADE")
            database.reset()
            database.cursor.execute("DELETE FROM cdp.identifier_types; SELECT cdp_internal.make_identifier_types();"
                                    "SELECT cdp.create_identifier_type('crm_id')")
            for kind, priority, rule in rules:
                database.cursor.execute(f"SELECT cdp.alter_identifier_type('{kind}', priority => {priority}{rule})")
            database.cursor.execute("SELECT cdp.apply_identity_rules()")
            database.cursor.execute("CALL cdp.run()")
            database.cursor.execute(SEGMENTS)
        self.trace.append(f"-- {rules}")
        self.execute("SELECT cdp.create_source('crm')")
        self.treat()
        self.execute(TABLES)
        for _ in range(self.random.randint(0, 3)):
            self.insert()
        self.execute(ATTACH)
        self.loading = True
        self.pending = []

    def treat(self):
        """What becomes of traits at the door from now on; rows that do not change stay what they are."""
        self.dropped, self.hashed = self.random.choice([("", ""), ("", ""), ("city", ""), ("points", ""), ("", "city"), ("", "points"), ("points", "city")])
        path = lambda name: f"{{traits.{name}}}" if name else "{}"
        self.execute(f"SELECT cdp.alter_source('crm', drops => '{path(self.dropped)}', hashes => '{path(self.hashed)}')")
        secret = self.execute("SELECT value::text FROM cdp.secrets WHERE name = 'privacy'")
        self.secret = uuid.UUID(secret[0][0]).bytes if secret else None

    def refuse(self):
        """A row says something, is refused, and is corrected, perhaps when the door treats it otherwise."""
        self.insert()
        self.follow()
        some = self.execute("SELECT no, points::text, city FROM shop.customers WHERE points IS DISTINCT FROM 13 AND at < 'infinity' ORDER BY no")
        if not some:
            return
        number, points, city = self.random.choice(some)
        where, later = f"no = {number}", f"at = at + interval '{self.random.randint(0, 40)} hours'"
        by_time = self.random.random() < 0.5
        for _ in range(self.random.choice([1, 1, 2])):
            self.changed("customers", f"UPDATE shop.{{}} SET city = 'gouda', at = 'infinity' WHERE {where}" if by_time else
                         f"UPDATE shop.{{}} SET points = 13, {later} WHERE {where}")
            self.follow()
            if self.random.random() < 0.5:
                self.treat()
            if self.random.random() < 0.3:
                self.changed("customers", f"UPDATE shop.{{}} SET city = 'oslo' WHERE {where} AND city IS DISTINCT FROM 'oslo'")
        if by_time:
            restored = ", city = " + ("NULL" if city is None else f"'{city}'")
            self.changed("customers", f"UPDATE shop.{{}} SET at = '2026-01-28 00:00+00'{restored * self.random.choice([0, 1, 1])} WHERE {where}")
        else:
            again = self.random.choice([points, points, "7"])
            self.changed("customers", f"UPDATE shop.{{}} SET points = {'NULL' if again is None else again}, {later} WHERE {where}")
        self.follow()

    def step(self):
        roll = self.random.random()
        if roll < 0.06:
            self.unseen()
        elif roll < 0.16:
            self.refuse()
        elif roll < 0.19:
            self.follow()
            self.treat()
        elif roll < 0.35:
            self.insert()
        elif roll < 0.65:
            self.update()
        elif roll < 0.75:
            self.changed(self.random.choice(["customers", "orders"]), "DELETE FROM shop.{} WHERE " + self.where())
        elif roll < 0.78:
            table = self.random.choice(["customers", "orders"])
            self.execute(f"TRUNCATE shop.{table}")
            self.said = [one for one in self.said if one[:2] != ("part", table)]
            self.content = {one: row for one, row in self.content.items() if one[0] != table}
            self.former = {one: parts for one, parts in self.former.items() if one[0] != table}
            self.pending = [(count, [key for key in keys if key[0] != table], emptied) for count, keys, emptied in self.pending]
            self.pending.append((1, [], True))
        elif roll < 0.93:
            self.message()
        else:
            self.decide()

    def value(self, kind):
        return self.random.choice([None] + [f"{kind}{n}@x.example" if kind == "e" else f"{kind}{n}" for n in range(1, 5)])

    def at(self):
        if self.random.random() < 0.06:
            return "infinity"  # no time of a message: what is new at it is refused
        return f"2026-01-{self.random.randint(1, 28):02} {self.random.randint(0, 23):02}:00+00"

    def where(self):
        return f"no IN ({self.random.randint(1, 5)}, {self.random.randint(1, 5)})"

    def changed(self, table, statement):
        key = "no::text" if table == "customers" else "no::text, day::text"
        rows = self.execute(statement.format(table) + f" RETURNING {key}")
        self.note([(table, tuple(row)) for row in rows])

    def note(self, keys):
        """A line of changes, as a statement makes one: how many rows, which of them are still to be said, and whether all went."""
        if keys:
            self.pending.append((len(keys), keys, False))

    def insert(self):
        number = self.random.randint(1, 5)
        if self.random.random() < 0.5:
            values = [number, self.value("e"), self.value("L"), self.random.choice(["delft", "rome", None]),
                      self.random.choice([1, 2.50, 13, None]), self.at()]
            table, conflict = "customers", ("(no) DO UPDATE SET email = excluded.email, at = excluded.at "
                               "WHERE (customers.email, customers.at) IS DISTINCT FROM (excluded.email, excluded.at)")
        else:
            values = [f"2026-01-0{self.random.randint(1, 2)}", number, self.random.choice([None, 1, 2, 3, 4]), self.value("e"),
                      self.random.choice([-1, 5, 9.99, 15]), self.at()]
            table, conflict = "orders", "(no, day) DO UPDATE SET total = excluded.total WHERE orders.total IS DISTINCT FROM excluded.total"
        literals = ", ".join("NULL" if one is None else f"'{one}'" for one in values)
        self.changed(table, f"INSERT INTO shop.{{}} VALUES ({literals}) ON CONFLICT {conflict}")

    def update(self):
        one = self.random.choice(["city", "email", "card", "points", "customer", "email_of_order", "total", "key"])
        text = lambda value: "NULL" if value is None else f"'{value}'"
        if one == "key":
            old, new = self.random.sample(range(1, 8), 2)
            there = self.execute(f"SELECT FROM shop.customers WHERE no = {new}")
            if not there and self.execute(f"SELECT FROM shop.customers WHERE no = {old}"):
                self.execute(f"UPDATE shop.customers SET no = {new} WHERE no = {old}")
                self.note([("customers", (str(old),)), ("customers", (str(new),))])
            return
        table = "orders" if one in ("customer", "email_of_order", "total") else "customers"
        column = {"email_of_order": "email"}.get(one, one)
        value = {"city": self.random.choice(["delft", "oslo", None]), "email": self.value("e"), "card": self.value("L"),
                 "points": self.random.choice([1, 7, 13, None]), "customer": self.random.randint(1, 4),
                 "email_of_order": self.value("e"), "total": self.random.choice([-1, 3, 12])}[one]
        self.changed(table, f"UPDATE shop.{{}} SET {column} = {text(value)} WHERE {self.where()} AND {column} IS DISTINCT FROM {text(value)}")

    def unseen(self):
        """Changes that no trigger notes. First what is noted is followed, so that it is known in which order they come."""
        self.follow()
        table = self.random.choice(["customers", "orders"])
        noticed, self.pending = self.pending, []
        self.execute(f"ALTER TABLE shop.{table} DISABLE TRIGGER USER")
        for _ in range(self.random.randint(1, 4)):
            roll = self.random.random()
            if roll < 0.3:
                self.execute(f"DELETE FROM shop.{table} WHERE {self.where()}")
            elif roll < 0.8:
                column, value = ("city", self.random.choice(["delft", "oslo"])) if table == "customers" else ("total", self.random.choice([4, -1]))
                self.execute(f"UPDATE shop.{table} SET {column} = '{value}', at = '{self.at()}' WHERE {self.where()}")
            elif table == "customers":
                self.execute(f"INSERT INTO shop.customers VALUES ({self.random.randint(6, 9)}, {self.random.choice(['NULL', chr(39) + 'e1@x.example' + chr(39)])}, "
                             f"NULL, 'rome', 1, '{self.at()}') ON CONFLICT DO NOTHING")
        seen = self.random.random() < 0.5
        if seen:  # the worker saw that they were disabled, and compares by itself
            self.execute("CALL cdp.run()")
        self.execute(f"ALTER TABLE shop.{table} ENABLE TRIGGER USER")
        if not seen:
            self.execute(f"SELECT cdp.recompare_table('shop.{table}')")
        most = self.random.choice([1, 2, 1000])
        self.execute(f"SET cdp.batch_size = {most}")
        self.execute("CALL cdp.run()")
        rows, known = self.rows(), {one[2] for one in self.said if one[:2] == ("part", table)}
        columns = "no::text" if table == "customers" else "no::text, day::text"
        order = ", ".join(f"{table}.{column}" for column in (["no"] if table == "customers" else ["no", "day"]))
        there = [tuple(one) for one in self.execute(f"SELECT {columns} FROM shop.{table} ORDER BY {order}")]
        for key in there:
            if (table, key) in rows:
                self.say(table, key, rows[table, key])
        for key in sorted(known):
            if (table, key) not in rows:
                self.say(table, key, None)
        self.pending = noticed
        self.compare()

    def message(self):
        self.number += 1
        ids = [{"type": kind, "id": value, "collection": "users", "encoding": "none"} for kind, value in
               (("email", self.value("e")), ("loyalty_id", self.value("L")), ("crm_id", str(self.random.randint(1, 5))))
               if value and self.random.random() < 0.6] or [{"type": "crm_id", "id": "1", "collection": "users", "encoding": "none"}]
        document = {"type": "track", "event": "Seen", "messageId": f"m{self.number}", "timestamp": f"2026-02-01T00:00:{self.number:02}Z",
                    "context": {"externalIds": ids}}
        if self.random.random() < 0.4:
            document |= {"type": "identify", "traits": {"city": self.random.choice(["DELFT", "ROME"])}}
            del document["event"]
        text = json.dumps(document)
        self.execute(f"SELECT * FROM cdp.ingest('{text}')")
        self.said.append(("message", text, "default"))

    def decide(self):
        pairs = self.execute("SELECT a.type, a.value, b.type, b.value FROM cdp.identifiers a JOIN cdp.identifiers b "
                             "ON a.identifier_id < b.identifier_id ORDER BY 1, 2, 3, 4")
        if not pairs:
            return
        pair = self.random.choice(pairs)
        statement = "SELECT * FROM cdp.{}('{}', '{}', 'because')".format(
            self.random.choice(["remove_link", "forbid_link"]), json.dumps({pair[0]: pair[1]}), json.dumps({pair[2]: pair[3]}))
        self.execute(statement)
        self.decisions.append((pair, statement))

    def follow(self):
        most = self.random.choice([1, 2, 3, 1000])
        self.execute(f"SET cdp.batch_size = {most}")
        self.execute("CALL cdp.run()")
        rows, changed = self.rows(), []
        for keys in self.batches(most):
            for table, key in keys:
                self.say(table, key, rows.get((table, key)))
            changed += keys
        # What changed while it was being loaded is said where it changed.
        for table, key in self.loaded(most):
            if (table, key) not in changed:
                self.say(table, key, rows.get((table, key)))
        self.pending, self.loading = [], False
        self.compare()

    def batches(self, most):
        """The changes that are read together, each row at the place of its last one among them."""
        found, taken = [[]], 0
        for count, keys, emptied in self.pending:
            if emptied or (taken > 0 and taken + count > most):
                found.append([])
                taken = 0
            taken += 0 if emptied else count
            found[-1] += keys
        return [list(dict.fromkeys(reversed(keys)))[::-1] for keys in found]

    def say(self, table, key, row):
        """What a row's messages are from now on. Those that say what they said stay where they are; of the others what is as it
        was is said again, with its time; and then what is new."""
        if row is not None and row != REFUSED and self.content.get((table, key)) == row and (table, key) not in self.former:
            return
        self.content[table, key] = row
        parts = [one for one in self.said if one[:3] == ("part", table, key)]
        former = self.former.pop((table, key), [])
        if row == REFUSED:
            self.said = [one for one in self.said if one not in parts]
            self.former[table, key] = former + parts
            return
        if row is None or table == "orders":
            if [one[3] for one in parts] != ([row] if row else []):
                self.said = [one for one in self.said if one not in parts] + ([("part", table, key, row)] if row else [])
            return
        source, kind, what, ids, at, _ = row
        what = {name: value for name, value in what.items() if name != self.dropped}
        again, new, stay = [], dict(what), []
        for part in sorted(parts + former, key=lambda one: one[3][4]):
            _, _, traits, named, since, hashed = part[3]
            kept = {name: value for name, value in traits.items() if new.get(name) == value and at >= since and (name != hashed or name == self.hashed)}
            new = {name: value for name, value in new.items() if name not in kept}
            is_stored = all((name == hashed) == (name == self.hashed) for name in kept)
            if named == ids and is_stored and kept == traits and (kept or not what) and at >= since and part not in former:
                stay.append(part)
            elif kept or named == ids and kept == traits and not what and at >= since:
                again.append(("part", table, key, (source, kind, kept, ids, since, self.hashed)))
        if (new or not (stay or again)) and at == "infinity":
            self.former[table, key] = former + [one for one in parts if one not in stay]
        elif new or not (stay or again):
            again.append(("part", table, key, (source, kind, new, ids, at, self.hashed)))
        self.said = [one for one in self.said if one not in parts or one in stay] + again

    def loaded(self, most):
        """Rows in the order in which they are loaded: by primary key, and a page of each table in turn."""
        if not self.loading:
            return []
        tables = [("customers", self.execute("SELECT no::text FROM shop.customers ORDER BY customers.no")),
                  ("orders", self.execute("SELECT no::text, day::text FROM shop.orders WHERE total >= 0 ORDER BY orders.no, orders.day"))]
        pages = [(start, place, table, rows[start:start + most]) for place, (table, rows) in enumerate(tables)
                 for start in range(0, len(rows), most)]
        return [(table, tuple(row)) for _, _, table, page in sorted(pages) for row in page]

    def rows(self):
        rows = {}
        for no, email, card, city, points, at in self.execute("SELECT no::text, email, card, upper(city), points::text, at::text FROM shop.customers"):
            traits = {name: value for name, value in (("city", city), ("points", points)) if value is not None}
            rows["customers", (no,)] = REFUSED if points == "13" else ("crm", "identify", traits, [("crm_id", no), ("email", email), ("loyalty_id", card)], at, "")
        for day, no, customer, email, total, at in self.execute(
                "SELECT day::text, no::text, customer::text, email, total::text, at::text FROM shop.orders WHERE total >= 0"):
            rows["orders", (no, day)] = REFUSED if at == "infinity" else ("erp", "track", {"total": total, "no": no}, [("crm_id", customer), ("email", email)], at, "")
        return rows

    def documents(self):
        for number, one in enumerate(self.said):
            if one[0] == "message":
                yield one[2], one[1]
                continue
            source, kind, what, ids, at, hashed = one[3]
            ids = [{"type": kind_, "id": value, "collection": "users", "encoding": "none"} for kind_, value in ids if value]
            if kind == "identify" and hashed in what:
                what = what | {hashed: hmac.new(self.secret, what[hashed].encode(), hashlib.sha256).hexdigest()}
            what = {"traits": what} if kind == "identify" else {"event": "Order Completed", "properties": what}
            text = json.dumps({"type": kind, "messageId": f"r{number}", "timestamp": at.replace(" ", "T") + ":00",
                               "context": {"externalIds": ids}} | what)
            for name in {"points", "total", "no"} - {hashed}:  # numbers, to the cent
                text = unquoted(text, name)
            yield source, text

    def compare(self):
        found = self.execute("SELECT * FROM cdp.verify()")
        if found:
            raise Difference(f"cdp.verify(): {found}")
        other = self.other.cursor
        self.other.reset()
        other.execute(SEGMENTS)
        for source, text in self.documents():
            other.execute("SELECT cdp.ingest(%s, %s)", [text, source])
        decide_and_compare(self.execute(PEOPLE), other, self.decisions)
        self.remembered += self.execute(REMEMBER)

    def recall(self):
        """What was stored at some instant is what is known to have been known then, whatever was taken back since."""
        for at, person, traits, events in self.random.sample(self.remembered, min(40, len(self.remembered))):
            then = self.execute(f"SELECT cdp.profile({person}, at => '{at}', as_known => 'then', events => 1000)")[0][0]
            found = (then["traits"], sorted(event["event_id"] for event in then["events"])) if then else None
            if found != (traits, sorted(events)):
                raise Difference(f"at {at} of {person} is known {found}, and was {(traits, sorted(events))}")


def unquoted(text, name):
    before, found, after = text.partition(f'"{name}": "')
    if not found:
        return text
    value, _, rest = after.partition('"')
    return f'{before}"{name}": {value}{rest}'


if __name__ == "__main__":
    sys.exit(play_in_two("attached", __doc__, History))
