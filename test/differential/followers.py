#!/usr/bin/env python3
"""Random models over tables whose records are inserted, updated and deleted at random: what the worker, CALL cdp.run() or
cdp.update_matches makes of it, batch by batch, against every pair of the records taken by itself (matching_model.py) with the
frequencies of values that the last full run saw, and against the clusters of plain average linkage. Sometimes the server
process that does the work is killed.

    followers.py --host DIR [--seed N] [--models 40]

DIR holds the socket of a server that preloads cdp. SEED and CASES are defaults.
"""

import json
import math
import os
import signal
import sys
import threading
import time

import psycopg2

import matching_model as oracle
from matchers import COLUMNS, Maker, arguments, close, fail, run_models

FLOOR = 0.001


def odds(probability):
    return math.log2(probability / (1 - probability))


class Follower:
    def __init__(self, host, database, chance, kill):
        self.chance, self.kill, self.host, self.database = chance, kill, host, database
        self.connection = psycopg2.connect(host=host, user="postgres", dbname=database)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.maker = Maker(chance)
        self.link = chance.choice(["dedupe_only", "link_only", "link_and_dedupe"])
        self.sourced = self.link != "dedupe_only"
        self.model = self.maker.model()
        self.review, self.merge = chance.choice([(0.5, 0.99), (0.2, 0.9), (0.0005, 0.6)])
        self.cluster = chance.choice([0.5, 0.8])
        self.records = {}
        self.number = 0

    def ask(self, sql, values=None):
        self.cursor.execute(sql, values)
        return self.cursor.fetchall() if self.cursor.description else None

    def settings(self):
        return {"link_type": self.link, "probability_two_random_records_match": self.model.prior, "unique_id_column_name": "unique_id",
                "blocking_rules_to_generate_predictions": [sql for sql, _ in self.model.rules],
                "comparisons": [{"output_column_name": name, "comparison_levels": [level.settings() for level in levels]}
                                for name, levels in self.model.comparisons], "training_rules": ["l.surname = r.surname"]}

    def fresh(self, how_many):
        out = self.maker.records(how_many, self.sourced)
        for record in out:
            self.number += 1
            record["unique_id"] = self.number * 7 % 1009 + self.number
        return out

    def put(self, record):
        self.ask("INSERT INTO records VALUES (%(unique_id)s, %(source_dataset)s, %(first_name)s, %(surname)s, %(dob)s, "
                 "%(postcode)s, %(amount)s, %(tags)s)", record)
        self.records[record["unique_id"]] = record

    def setup(self):
        self.ask("""CREATE TABLE records (unique_id integer PRIMARY KEY, source_dataset text, first_name text, surname text, dob text,
                    postcode text, amount float8, tags text[])""")
        for record in self.fresh(self.chance.choice([0, 5, 40])):
            self.put(record)
        self.ask("SELECT cdp.create_matcher('made', %s)", [json.dumps(self.settings())])
        self.ask("SELECT cdp.follow_matches('made', 'records', %s, %s, %s)", [self.merge, self.review, self.cluster])
        self.rebuild()

    def in_order(self):
        if self.sourced:
            return sorted(self.records.values(), key=lambda r: f"{r['source_dataset']}-__-{r['unique_id']}".encode())
        return [self.records[k] for k in sorted(self.records)]

    def rebuild(self):
        self.ask("SELECT * FROM cdp.update_matches('made', rebuild => true)")
        self.counts = {}
        for column in {level.tf for _, levels in self.model.comparisons for level in levels if level.tf}:
            values = [r[column] for r in self.records.values() if r[column] is not None]
            self.counts[column] = (max(len(values), 1), {v: values.count(v) for v in set(values)})

    def frequencies(self):
        """Of the last full run; what was not there counts as one."""
        out = {}
        for column, (known, counts) in self.counts.items():
            out[column] = {r[column]: counts.get(r[column], 1) / known for r in self.records.values() if r[column] is not None}
        return out

    def change(self):
        """One statement, or several in a transaction; then the table's rows are those of self.records."""
        kind = self.chance.random()
        keys = list(self.records)
        if kind < 0.4 or not keys:
            for record in self.fresh(self.chance.choice([1, 1, 3, 8])):
                self.put(record)
        elif kind < 0.75:
            donors = self.maker.records(4, self.sourced)
            for key in self.chance.sample(keys, min(len(keys), self.chance.choice([1, 2, 6]))):
                for column in self.chance.sample(COLUMNS, self.chance.choice([1, 2])):
                    value = self.chance.choice(donors)[column]
                    self.records[key][column] = value
                    self.ask(f"UPDATE records SET {column} = %s WHERE unique_id = %s", [value, key])
                if self.sourced and self.chance.random() < 0.1:
                    self.records[key]["source_dataset"] = self.chance.choice(["crm", "shop"])
                    self.ask("UPDATE records SET source_dataset = %s WHERE unique_id = %s", [self.records[key]["source_dataset"], key])
        elif kind < 0.95:
            for key in self.chance.sample(keys, min(len(keys), self.chance.choice([1, 1, 5]))):
                del self.records[key]
                self.ask("DELETE FROM records WHERE unique_id = %s", [key])
        elif kind < 0.98:  # another id, and then back again
            key = self.chance.choice(keys)
            self.ask("UPDATE records SET unique_id = -1 WHERE unique_id = %s", [key])
            if self.chance.random() < 0.5:
                self.ask("UPDATE records SET unique_id = %s WHERE unique_id = -1", [key])
            else:
                record = self.records.pop(key)
                record["unique_id"] = -1
                self.records[-1] = record
                if self.chance.random() < 0.9:
                    del self.records[-1]
                    self.ask("DELETE FROM records WHERE unique_id = -1")
        else:
            self.ask("ANALYZE records")

    def killed(self, statement):
        """Does it in another session, whose process is killed while it works; the server starts again."""
        other = psycopg2.connect(host=self.host, user="postgres", dbname=self.database)
        other.autocommit = True
        cursor = other.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        timer = threading.Timer(self.chance.uniform(0, 0.03), lambda: os.kill(pid, signal.SIGKILL))
        timer.start()
        try:
            cursor.execute(statement)
        except psycopg2.Error:
            pass
        timer.join()
        try:
            while True:  # the server ends every session when it notices
                self.ask("SELECT pg_sleep(0.05)")
        except psycopg2.Error:
            pass
        for _ in range(600):
            try:
                self.connection = psycopg2.connect(host=self.host, user="postgres", dbname=self.database)
                self.connection.autocommit = True
                self.cursor = self.connection.cursor()
                return
            except psycopg2.OperationalError:
                time.sleep(0.05)
        fail("the server does not come back")

    def catch_up(self):
        way = self.chance.choice(["call", "run", "worker", "ids"])
        if self.kill and self.chance.random() < 0.2:
            self.killed(self.chance.choice(["SELECT * FROM cdp.update_matches('made')", "CALL cdp.run()", "SELECT * FROM cdp.update_matches('made', rebuild => true)"]))
            if self.ask("SELECT full_at FROM cdp.followed_matchers")[0][0] != self.full_at:
                return self.rebuild()
            way = "call"
        if way == "call":
            self.ask("SELECT * FROM cdp.update_matches('made')")
        elif way == "run":
            self.ask("CALL cdp.run()")
        elif way == "ids":  # more than changed does no harm
            some = [r for r in self.records.values() if self.chance.random() < 0.3]
            self.ask("SELECT * FROM cdp.update_matches('made', %s::text[], %s::text[])", [[str(r["unique_id"]) for r in some], [r["source_dataset"] or "" for r in some]])
        for _ in range(2000):
            state = self.ask("SELECT state, error FROM cdp.followed_matchers")[0]
            if state[0] == "current":
                return
            if state[1]:
                fail("it did not go well", state)
            time.sleep(0.005)
        fail("it is not followed", way, state)

    def wanted(self):
        records, frequencies = self.in_order(), self.frequencies()
        name = lambda r: (str(r["unique_id"]), r["source_dataset"] or "")
        edges = []
        for (i, j) in self.model.pairs(records, self.link):
            weight = self.model.weight(records[i], records[j], self.model.gammas(records[i], records[j]), frequencies)
            if weight >= odds(min(self.review, FLOOR)):
                edges.append((i, j, weight))
        clusters = oracle.cohesive(list(range(len(records))), edges, odds(self.cluster))
        matches = {}
        for i, j, weight in edges:
            probability = 1 / (1 + 2 ** -weight) if weight > -1000 else 0
            if probability >= self.review:
                linked = probability >= self.merge and clusters[i] == clusters[j]
                matches[name(records[i]), name(records[j])] = (weight, "linked" if linked else "waiting")
        return matches, {name(records[i]): name(records[clusters[i]]) for i in range(len(records))}

    def check(self):
        matches, clusters = self.wanted()
        found = {((a, b), (c, d)): (weight, what) for a, b, c, d, weight, what in self.ask(
            "SELECT id_l, source_l, id_r, source_r, match_weight, found FROM cdp.matches WHERE found <> 'gone'")}
        if found.keys() != matches.keys():
            fail("other matches", f"missing {sorted(matches.keys() - found.keys())[:5]}", f"not wanted {sorted(found.keys() - matches.keys())[:5]}")
        for pair, (weight, what) in matches.items():
            if not close(found[pair][0], weight):
                fail("another weight", pair, found[pair], (weight, what))
        got = {(a, b): (c, d) for a, b, c, d in self.ask("SELECT id, source, cluster_id, cluster_source FROM cdp.match_clusters")}
        if got != clusters:
            fail("other clusters", [(x, got.get(x), clusters[x]) for x in clusters if got.get(x) != clusters[x]][:6])
        for pair, (weight, what) in matches.items():
            if found[pair][1] != what:
                fail("linked or not", pair, found[pair], (weight, what))

    def same_as_from_scratch(self):
        """All of it made anew by the code that reads everything, without frequencies: not a bit is another."""
        if self.counts:
            return
        state = lambda: (sorted(self.ask("SELECT id_l, source_l, id_r, source_r, match_weight, match_probability, found FROM cdp.matches WHERE found <> 'gone'")),
                         sorted(self.ask("SELECT * FROM cdp.match_clusters")))
        before = state()
        self.rebuild()
        if state() != before:
            fail("from scratch it is something else", *[list(set(a) ^ set(b))[:6] for a, b in zip(before, state())])

    def run(self):
        self.setup()
        self.check()
        rounds = 0
        for _ in range(self.chance.choice([4, 8])):
            self.full_at = self.ask("SELECT full_at FROM cdp.followed_matchers")[0][0]
            for _ in range(self.chance.choice([1, 3, 6])):
                self.change()
            self.catch_up()
            rounds += 1
            self.check()
            if self.chance.random() < 0.15:
                self.rebuild()
        self.same_as_from_scratch()
        self.ask("SELECT cdp.unfollow_matches('made')")
        found = self.ask("SELECT count(*) FROM cdp.matches")[0][0]
        self.ask("DROP TABLE records; DELETE FROM cdp.matches; SELECT cdp.drop_matcher('made')")
        self.connection.close()
        return rounds, found


def main():
    args = arguments(__doc__, 40)
    rounds, pairs = run_models(args, lambda number, chance: Follower(args.host, args.database, chance, number % 10 == 9).run())
    print(f"{args.models} models, {rounds} rounds of changes, {pairs} pairs in the end: as from scratch")
    if pairs == 0:
        sys.exit("that says too little")


if __name__ == "__main__":
    main()
