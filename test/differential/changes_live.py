#!/usr/bin/env python3
"""The change feed and the sets of people while everything happens at once.

    changes_live.py --host DIR [--seconds 20]

Sessions send messages that merge people, commit late or roll back; the worker and others tell and fold; time moves a segment. Meanwhile
readers, some with old snapshots, hold cdp.segment_set against SQL on cdp.memberships; a consumer sees every position once, in order, and
entered and left alternate; verify_feed() finds nothing. SECONDS in the environment is a default; nothing here repeats exactly.
"""

import argparse
import json
import os
import random
import sys
import threading
import time

import psycopg2

SETS = {
    "often & lately": lambda s: s["often"] & s["lately"],
    "viewed - lately": lambda s: s["viewed"] - s["lately"],
    "(often | lately) - viewed": lambda s: (s["often"] | s["lately"]) - s["viewed"],
    "often - lately | viewed & lately": lambda s: (s["often"] - s["lately"]) | (s["viewed"] & s["lately"]),
    "lately": lambda s: s["lately"],
}
STORED = ("SELECT jsonb_object_agg(s.name, ARRAY(SELECT DISTINCT m.profile_id FROM cdp.memberships AS m WHERE m.segment_id = s.segment_id "
          "AND m.entered_at <= now() AND m.left_at > now())) FROM cdp.segments AS s")


class Live:
    def __init__(self, host, seconds):
        self.host, self.until, self.failures, self.done, self.held, self.position = host, 0, [], {}, {}, 0
        admin = self.connect("postgres")
        admin.autocommit = True
        for statement in ("DROP DATABASE IF EXISTS changes_live WITH (FORCE)", "CREATE DATABASE changes_live"):
            admin.cursor().execute(statement)
        admin.close()
        self.run("CREATE EXTENSION cdp")
        self.run("SELECT cdp.create_segment('often', 'count(*) > 2')")
        self.run("SELECT cdp.create_segment('lately', $$max(occurred_at) > now() - interval '2 seconds'$$)")
        self.run("SELECT cdp.create_segment('viewed', 'count(*) > 0', per => $$properties ->> 'product'$$)")
        self.until = time.monotonic() + seconds

    def connect(self, database="changes_live", **how):
        session = psycopg2.connect(host=self.host, user="postgres", dbname=database)
        session.set_session(**how)
        return session

    def run(self, text, *values):
        session = self.connect(autocommit=True)
        cursor = session.cursor()
        cursor.execute(text, values)
        rows = cursor.fetchall() if cursor.description else None
        session.close()
        return rows

    def send(self):
        session = self.connect(autocommit=random.random() < 0.5)
        for _ in range(20):
            batch = [{"type": "track", "event": "Viewed", "userId": f"u{random.randint(1, 300)}", "anonymousId": f"a{random.randint(1, 600)}",
                      "properties": {"product": str(random.randint(1, 3))}} for _ in range(random.choice([1, 1, 5, 30]))]
            session.cursor().execute("SELECT cdp.ingest(%s)", (json.dumps({"batch": batch}),))
            if not session.autocommit:  # one call a transaction
                time.sleep(random.random() * 0.05)
                random.choice([session.commit, session.commit, session.rollback])()
        session.close()

    def tell(self):
        self.run("SELECT cdp_internal.tell_changes(%s)", random.choice([3, 50, 1000]))
        self.run("SELECT cdp_internal.fold_sets(%s)", random.choice([1, 5, 50]))
        time.sleep(random.random() * 0.05)

    def count(self):
        session = self.connect(isolation_level=random.choice(["REPEATABLE READ", "READ COMMITTED"]), readonly=True)
        cursor = session.cursor()
        for _ in range(10):
            text = random.choice(list(SETS))
            cursor.execute(f"SELECT ARRAY(SELECT cdp.segment_set(%s)), ({STORED})", (text,))
            people, stored = cursor.fetchone()
            wanted = sorted(SETS[text]({name: set(members) for name, members in stored.items()}))
            if people != wanted:
                raise AssertionError(f"segment_set('{text}') is {people}, stored is {wanted}")
            if random.random() < 0.3:
                session.rollback()
            time.sleep(random.random() * 0.1)
        session.close()

    def verify(self):
        if wrong := self.run("SELECT * FROM cdp_internal.verify_feed()"):
            raise AssertionError(f"verify_feed(): {wrong[:3]}")
        time.sleep(0.3)

    def consume(self):
        rows = self.run("SELECT position, segment, profile_id, key, change FROM cdp.read_changes('live', %s)", random.randint(1, 300))
        for position, *who, change in rows:
            if position != self.position + 1 or self.held.get(tuple(who), "left") == change:
                raise AssertionError(f"position {position} after {self.position}: {who} {change}")
            self.position, self.held[tuple(who)] = position, change
        if rows:
            self.run("SELECT cdp.ack_changes('live', %s)", self.position)
        time.sleep(0.05)

    def repeat(self, what):
        try:
            while time.monotonic() < self.until and not self.failures:
                what()
                self.done[what.__name__] = self.done.get(what.__name__, 0) + 1
        except Exception as failure:
            self.failures.append(f"{what.__name__}: {failure}")

    def live(self):
        work = [self.send] * 3 + [self.tell] * 2 + [self.count] * 3 + [self.verify, self.consume]
        threads = [threading.Thread(target=self.repeat, args=(what,)) for what in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS") or 20))
    live = Live(parser.parse_args().host, parser.parse_args().seconds)
    live.live()
    print(f"{live.done}, {live.position} changes read")
    if live.failures:
        sys.exit("\n".join(live.failures))


if __name__ == "__main__":
    main()
