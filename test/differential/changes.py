#!/usr/bin/env python3
"""The change feed and the sets of people against their naive meaning: random memberships, transactions that end in any order.

    changes.py --host DIR [--seed N] [--histories 15]

DIR holds the socket of a server with cdp. Several sessions delete, close and insert random ranges of memberships, past and
future ones, and commit late or roll back; in between the sequencer tells at instants that move on, segments are dropped, the
log is pruned. A consumer that applies what it reads must hold what cdp.memberships says at the instant told, and so must
one that starts afresh. cdp.segment_set must give what SQL finds in cdp.memberships: in sessions with writes of their own that are
not committed, in old snapshots, before and after what the sequencer told. At the end faults are planted, and verify_feed() must see each. SEED and CASES are defaults.
"""

import argparse
import datetime
import os
import random
import sys

import psycopg2

PEOPLE, KEYS, SEGMENTS, SESSIONS, STEPS = 12, [None, None, "a", "b"], 3, 4, 150
NOW_IN = "SELECT segment_id, profile_id, key FROM cdp.memberships WHERE entered_at <= %s AND left_at > %s"


class Difference(Exception):
    pass


class World:
    def __init__(self, host, seed):
        self.host, self.random = host, random.Random(seed)
        self.run_admin("DROP DATABASE IF EXISTS feed WITH (FORCE)", "CREATE DATABASE feed")
        self.main = self.connect()
        self.main.autocommit = True
        self.sql("CREATE EXTENSION cdp")
        self.sql("SELECT cdp.stop_worker()")
        self.sql("SELECT cdp_internal.make_ready()")
        for number in range(SEGMENTS):
            self.make_segment(f"s{number}")
        self.start = self.sql("SELECT date_trunc('minute', now())")[0][0]
        self.clock = -30  # minutes before the server's: time goes on past it
        self.sessions = [self.connect() for _ in range(SESSIONS)]
        self.held = {}  # consumer: {(segment, profile, key): change}

    def connect(self, database="feed"):
        return psycopg2.connect(host=self.host, user="postgres", dbname=database)

    def run_admin(self, *statements):
        admin = self.connect("postgres")
        admin.autocommit = True
        for statement in statements:
            admin.cursor().execute(statement)
        admin.close()

    def sql(self, text, *values, session=None):
        cursor = (session or self.main).cursor()
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else None

    def make_segment(self, name):
        self.sql("INSERT INTO cdp.segments (name, rule, owner, search_path, datestyle, intervalstyle, compiled) "
                 "VALUES (%s, 'true', 'postgres', '', '', '', '{}')", name)

    def at(self, minute):
        return self.start + datetime.timedelta(minutes=minute)

    def segment_ids(self):
        return [row[0] for row in self.sql("SELECT segment_id FROM cdp.segments ORDER BY 1")]

    def write(self):
        """What a segment does with one person: what is known from an instant on is replaced."""
        number = self.random.randrange(SESSIONS)
        session = self.sessions[number]
        profile = 65530 + number + SESSIONS * self.random.randrange(PEOPLE // SESSIONS)  # in two chunks
        segment, key = self.random.choice(self.segment_ids()), self.random.choice(KEYS)
        since = self.clock + self.random.randint(-8, 3)
        one = "segment_id = %s AND profile_id = %s AND key IS NOT DISTINCT FROM %s"
        who = (segment, profile, key)
        self.sql(f"DELETE FROM cdp.memberships WHERE {one} AND entered_at >= %s", *who, self.at(since), session=session)
        self.sql(f"UPDATE cdp.memberships SET left_at = %s WHERE {one} AND left_at > %s", self.at(since), *who, self.at(since),
                 session=session)
        instants = sorted(self.random.sample(range(since, since + 12), self.random.choice([0, 1, 2, 2, 3, 4])))
        while instants:
            entered = instants.pop(0)
            left = self.at(instants[0]) if instants else "infinity"
            if instants and self.random.random() < 0.7:  # or the next range touches this one
                instants.pop(0)
            self.sql("INSERT INTO cdp.memberships VALUES (%s, %s, %s, %s, %s, %s)", *who, self.at(entered), left,
                     self.random.choice([None, 7]), session=session)
        if self.random.random() < 0.05:  # by hand
            self.sql("UPDATE cdp.memberships SET key = 'moved' || random(), entered_at = entered_at - interval '2 minutes' WHERE segment_id = %s "
                     "AND profile_id = %s AND key = 'a'", segment, profile, session=session)
        if self.random.random() < 0.4:
            self.random.choice([session.commit, session.commit, session.rollback])()

    def drop_segment(self):
        chosen = self.random.choice(self.segment_ids())
        for session in self.sessions:  # writers hold cdp.segments
            session.commit()
        self.sql("SELECT cdp_internal.forget_segment(%s)", chosen)
        self.make_segment(f"s{chosen % SEGMENTS}_{chosen}")

    def tell(self):
        self.clock += self.random.choice([0, 0, 1, 1, 2, 5])
        most, whole = self.random.randint(1, 20), self.random.random() < 0.7
        while self.sql("SELECT cdp_internal.tell_changes(%s, %s)", most, self.at(self.clock))[0][0] and whole:
            pass
        self.verify()
        if whole:
            for consumer in self.held:
                self.read(consumer)
            self.compare("c0")

    def read(self, consumer, segments=None):
        held = self.held.setdefault(consumer, {})
        while True:
            most = self.random.randint(1, 50)
            text = "SELECT position, segment, profile_id, key, change, changed_at, told_at FROM cdp.read_changes(%s, %s, %s)"
            rows = self.sql(text, consumer, most, segments)
            if rows != self.sql(text, consumer, most, segments):
                raise Difference("reading twice gives other rows")
            if not rows:
                return
            for position, segment, profile, key, change, changed_at, told_at in rows:
                if held.get((segment, profile, key), "left") == change and (segment, profile, key) in held:
                    raise Difference(f"position {position}: {change} twice")
                held[segment, profile, key] = change
            self.sql("SELECT cdp.ack_changes(%s, %s)", consumer, rows[-1][0])

    def compare(self, consumer, only=None):
        until = self.sql("SELECT told_until FROM cdp_internal.feed")
        if not until:
            return
        names = dict(self.sql("SELECT segment_id, name FROM cdp.segments"))
        stored = {(names[s], p, k) for s, p, k in self.sql(NOW_IN, until[0][0], until[0][0])}
        if only:
            stored = {row for row in stored if row[0] in only}
        told = {who for who, change in self.held.get(consumer, {}).items() if change == "entered"}
        if told != stored:
            raise Difference(f"{consumer} holds {sorted(told - stored, key=str)} that is not stored, lacks {sorted(stored - told, key=str)}")

    def expression(self, names, depth=0):
        if depth > 3 or self.random.random() < 0.3:
            return (name := self.random.choice(names)), lambda sets: sets[name]
        (a, left), (b, right) = (self.expression(names, depth + 1) for _ in range(2))
        operator, apply = self.random.choice([("&", set.__and__), ("|", set.__or__), ("-", set.__sub__)])
        return f"({a} {operator} {b})", lambda sets: apply(left(sets), right(sets))

    def check_sets(self, session=None):
        """All in one statement, so in one snapshot, each in its own session."""
        session = session or self.main
        names = [row[0] for row in self.sql("SELECT name FROM cdp.segments", session=session)]
        text, naive = self.expression(names)
        people, size, stored = self.sql(
            "SELECT ARRAY(SELECT cdp.segment_set(%s)), cdp.segment_size(%s), (SELECT jsonb_object_agg(s.name, ARRAY("
            "SELECT DISTINCT m.profile_id FROM cdp.memberships AS m WHERE m.segment_id = s.segment_id AND m.entered_at <= now() "
            "AND m.left_at > now())) FROM cdp.segments AS s)", text, text, session=session)[0]
        wanted = sorted(naive({name: set(members) for name, members in stored.items()}))
        if people != wanted or size != len(wanted):
            raise Difference(f"segment_set('{text}') is {people}, size {size}; stored is {wanted}")

    def look(self):
        """Sessions that write see their own; an old snapshot sees what it saw."""
        self.check_sets(self.random.choice([None, *self.sessions]))
        if not self.old and self.random.random() < 0.5:
            self.old = self.connect()
            self.old.set_session(isolation_level="REPEATABLE READ", readonly=True)
        if self.old:
            self.check_sets(self.old)
            if self.random.random() < 0.2:
                self.old.close()
                self.old = None

    def verify(self):
        wrong = self.sql("SELECT * FROM cdp_internal.verify_feed()")
        if wrong:
            raise Difference(f"verify_feed(): {wrong}")
        gaps = self.sql("SELECT position FROM (SELECT position, lag(position) OVER (ORDER BY position) AS before FROM cdp.membership_changes) AS c "
                        "WHERE position <> before + 1")
        if gaps and not self.pruned:
            raise Difference(f"gaps before {gaps}")

    def fresh_consumers(self, number):
        self.read(f"fresh{number}")
        self.compare(f"fresh{number}")
        some = [row[0] for row in self.sql("SELECT name FROM cdp.segments ORDER BY random() LIMIT 2")]
        self.read(f"some{number}", some)
        self.compare(f"some{number}", some)
        for consumer in (f"fresh{number}", f"some{number}"):
            self.sql("SELECT cdp.drop_consumer(%s)", consumer)
            del self.held[consumer]

    def live(self):
        self.pruned, self.old = False, None
        self.held["c0"] = {}
        for step in range(STEPS):
            action = self.random.random()
            if action < 0.6:
                self.write()
            elif action < 0.72:
                self.look()
            elif action < 0.8:
                self.sql("SELECT cdp_internal.fold_sets(%s)", self.random.randint(1, 5))
            elif action < 0.97:
                self.tell()
            elif action < 0.985:
                self.drop_segment()
            else:
                self.pruned = True
                self.sql("SELECT cdp.prune_changes('-100 years', %s)", self.random.randint(1, 100))
        for session in self.sessions:
            session.commit()
        while self.sql("SELECT cdp_internal.tell_changes(1000, %s)", self.at(self.clock))[0][0]:
            pass
        self.verify()
        while self.sql("SELECT cdp_internal.fold_sets(1)")[0][0]:
            pass
        for _ in range(5):
            self.check_sets()
        if wrong := self.sql("SELECT * FROM cdp_internal.verify_sets()"):
            raise Difference(f"verify_sets(): {wrong}")
        self.read("c0")
        self.compare("c0")
        self.fresh_consumers(0)
        return self.sql("SELECT max(position) FROM cdp.membership_changes")[0][0] or 0

    def close(self):
        if self.old:
            self.old.close()
        for session in self.sessions:
            session.close()
        self.main.close()


FAULTS = [
    "DELETE FROM cdp.memberships WHERE ctid = (SELECT min(m.ctid) FROM cdp.memberships AS m, cdp_internal.feed WHERE entered_at <= told_until AND left_at > told_until)",
    "INSERT INTO cdp.memberships SELECT min(segment_id), 999, NULL, '2000-01-01', 'infinity' FROM cdp.segments",
    "DELETE FROM cdp.membership_changes WHERE position = (SELECT max(position) FROM cdp.membership_changes)",
    "UPDATE cdp.membership_changes SET change = 'left' WHERE position = (SELECT min(position) FROM cdp.membership_changes WHERE change = 'entered')",
    "UPDATE cdp_internal.segment_bitmaps SET members = members || '\\\\x00'::bytea",
    "DELETE FROM cdp_internal.segment_bitmaps",
    "UPDATE cdp.membership_changes SET changed_at = told_at + interval '1 day' WHERE position = (SELECT max(position) FROM cdp.membership_changes)",
]


def self_test(world):
    """Each fault, with the trigger that would notice it switched off, is seen."""
    world.sql("ALTER TABLE cdp.memberships DISABLE TRIGGER USER")
    for fault in FAULTS:
        session = world.connect()
        world.sql(fault, session=session)
        if not world.sql("SELECT * FROM cdp_internal.verify_feed() UNION ALL SELECT * FROM cdp_internal.verify_sets()", session=session):
            raise Difference(f"neither verify_feed() nor verify_sets() sees: {fault}")
        session.rollback()
        session.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or 15))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    told = 0
    for number in range(args.histories):
        world = World(args.host, f"{args.seed}-{number}")
        try:
            told += world.live()
            if number == args.histories - 1:
                self_test(world)
        except (Difference, psycopg2.Error) as failure:
            sys.exit(f"history {number}: {failure}")
        finally:
            world.close()
    print(f"{args.histories} histories, {told} changes told")


if __name__ == "__main__":
    main()
