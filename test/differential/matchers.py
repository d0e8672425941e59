#!/usr/bin/env python3
"""Random models in Splink's settings over random records: cdp's pairs, levels, weights, training and clusters against those of
matching_model.py, which takes every pair by itself.

    matchers.py --host DIR [--seed N] [--models 60]

DIR holds the socket of a server that preloads cdp. SEED and CASES are defaults.
"""

import argparse
import json
import math
import os
import random
import re
import sys

import psycopg2

import matching_model as oracle
from matching_model import Level, known

COLUMNS = ("first_name", "surname", "dob", "postcode", "amount", "tags")
NAMES = ["anna", "anne", "hanna", "jan", "johan", "johannes", "maria", "marie", "mary", "müller", "muller", "de vries", "o'neill", "li", "x"]


class Maker:
    def __init__(self, chance):
        self.chance = chance

    def typo(self, text):
        if not text or self.chance.random() < 0.6:
            return text
        place = self.chance.randrange(len(text))
        return self.chance.choice([text[:place] + text[place + 1:], text[:place] + self.chance.choice("ae1x") + text[place:],
                                   text[:place] + text[place:place + 2][::-1] + text[place + 2:]])

    def maybe(self, value):
        return None if value == "" or self.chance.random() < 0.12 else value

    def records(self, number, linked):
        people = [{"first_name": self.chance.choice(NAMES), "surname": self.chance.choice(NAMES),
                   "dob": f"19{self.chance.randrange(60, 63)}-0{self.chance.randrange(1, 10)}-{self.chance.randrange(10, 32)}",
                   "postcode": f"{self.chance.choice('AB')}{self.chance.choice('AB')}{self.chance.randrange(1, 4)} {self.chance.randrange(1, 4)}XY",
                   "amount": self.chance.choice([0.5, 10.0, 11.0, 250.0]), "tags": self.chance.sample(["p", "q", "r", "s"], self.chance.randrange(4))}
                  for _ in range(max(number // 3, 2))]
        out = []
        for n in range(number):
            person = self.chance.choice(people)
            record = {c: self.maybe(self.typo(person[c]) if isinstance(person[c], str) else person[c]) for c in COLUMNS}
            record.update(unique_id=n * 7 + 3, source_dataset=self.chance.choice(["crm", "shop"]) if linked else None)
            out.append(record)
        if linked:
            out.sort(key=lambda r: f"{r['source_dataset']}-__-{r['unique_id']}")
        return out

    # Comparisons: (name, levels). Columns as l["x"], r["x"]; the SQL says the same.
    def text_levels(self, column):
        value = lambda test: lambda l, r: known(test)(l[column], r[column])
        a, b = f'"{column}_l"', f'"{column}_r"'
        if self.chance.random() < 0.3:
            a, b = f"{column}_l", f"{column}_r"
        other = "surname" if column == "first_name" else "first_name"
        pool = [
            (f"jaro_winkler_similarity({a}, {b}) >= 0.88", value(lambda x, y: oracle.jaro_winkler(x, y) >= 0.88)),
            (f"jaro_similarity({a}, {b}) > 0.7", value(lambda x, y: oracle.jaro(x, y) > 0.7)),
            (f"levenshtein({a}, {b}) <= 2", value(lambda x, y: oracle.edits(x, y, False) <= 2)),
            (f"damerau_levenshtein({a}, {b}) < 2", value(lambda x, y: oracle.edits(x, y, True) < 2)),
            (f"2 >= damerau_levenshtein({a}, {b})", value(lambda x, y: oracle.edits(x, y, True) <= 2)),
            (f"jaccard({a}, {b}) >= 0.6", value(lambda x, y: oracle.jaccard(x, y) >= 0.6)),
            (f"SUBSTR({a}, 1, 2) = substr({b}, 1, 2)", value(lambda x, y: x[:2] == y[:2])),
            (f'{a} = "{other}_r" AND "{other}_l" = {b}', lambda l, r: known(str.__eq__)(l[column], r[other]) and known(str.__eq__)(l[other], r[column])),
            (f'{a} = "{other}_r"', lambda l, r: known(str.__eq__)(l[column], r[other])),
            (f"NOT ({a} <> {b}) OR length({a}) < 2", lambda l, r: (l[column] is not None and r[column] is not None and l[column] == r[column])
             or (l[column] is not None and len(l[column]) < 2)),
        ]
        exact = Level(f"{a} = {b}", value(str.__eq__), exact=column)
        null = Level(f"{a} IS NULL OR {b} IS NULL", lambda l, r: l[column] is None or r[column] is None, null=True)
        return self.finish([null, exact], [Level(*one) for one in self.chance.sample(pool, self.chance.randrange(1, 4))], column)

    def date_levels(self):
        a, b = (f"try_strptime(\"dob_{s}\", '%Y-%m-%d')" for s in "lr")
        at = lambda r: oracle.seconds(r["dob"])
        near = lambda most: lambda l, r: known(lambda x, y: abs(x - y) <= most)(at(l), at(r))
        null = Level(f"{a} IS NULL OR {b} IS NULL", lambda l, r: at(l) is None or at(r) is None, null=True)
        exact = Level('"dob_l" = "dob_r"', lambda l, r: known(str.__eq__)(l["dob"], r["dob"]), exact="dob")
        month = Level(f"ABS(EPOCH({a}) - EPOCH({b})) <= 2629800.0", near(2629800))
        year = Level(f"ABS(DATE_DIFF('day', {a}, {b})) <= 365", near(365 * 86400))
        return self.finish([null, exact], self.chance.choice([[month, year], [month], [year]]), "dob")

    def code_levels(self):
        part = lambda r, pattern: None if r["postcode"] is None else (re.search(pattern, r["postcode"]) or [None])[0]
        levels = [Level('"postcode_l" = "postcode_r"', lambda l, r: known(str.__eq__)(l["postcode"], r["postcode"]), exact="postcode")]
        for pattern in ("^[A-Za-z]{1,2}[0-9][A-Za-z0-9]? [0-9]", "^[A-Za-z]{1,2}"):
            levels.append(Level(" = ".join(f"NULLIF(regexp_extract(\"postcode_{s}\", '{pattern}', 0), '')" for s in "lr"),
                                lambda l, r, pattern=pattern: known(str.__eq__)(part(l, pattern), part(r, pattern))))
        null = Level('"postcode_l" IS NULL OR "postcode_r" IS NULL', lambda l, r: l["postcode"] is None or r["postcode"] is None, null=True)
        return self.finish([null], levels, "postcode")

    def other_levels(self):
        if self.chance.random() < 0.5:
            both = lambda test: lambda l, r: known(lambda x, y: test(len(set(x) & set(y))))(l["tags"], r["tags"])
            return self.finish([], [Level('array_length(list_intersect("tags_l", "tags_r")) >= 2', both(lambda n: n >= 2)),
                                    Level('list_has_any("tags_l", "tags_r")', both(lambda n: n >= 1))], None)
        numbers = lambda test: lambda l, r: known(test)(l["amount"], r["amount"])
        return self.finish([Level('"amount_l" IS NULL OR "amount_r" IS NULL', lambda l, r: l["amount"] is None or r["amount"] is None, null=True)], [
            Level('ABS("amount_l" - "amount_r") <= 1', numbers(lambda x, y: abs(x - y) <= 1)),
            Level('(ABS("amount_l" - "amount_r") / (CASE WHEN "amount_r" > "amount_l" THEN "amount_r" ELSE "amount_l" END)) < 0.96',
                  numbers(lambda x, y: abs(x - y) / max(x, y) < 0.96)),
            Level("amount_l > amount_r", numbers(lambda x, y: x > y))], None)

    def finish(self, first, more, column):
        levels = first + more + [Level("ELSE", lambda l, r: True)]
        rest = [level for level in levels if not level.null]
        for kind in "mu":
            parts = [self.chance.random() + 0.001 for _ in rest]
            for level, part in zip(rest, parts):
                setattr(level, kind, part / sum(parts))
        if self.chance.random() < 0.1:
            rest[0].u = 0.0
        for level in rest[:-1]:
            if column and self.chance.random() < 0.4:
                level.tf, level.weight = column, self.chance.choice([1.0, 0.5])
                level.least, level.own = self.chance.choice([0.0, 0.2]), self.chance.random() < 0.3
        return levels

    def rules(self):
        same = lambda *columns: lambda l, r: all(known(lambda x, y: x == y)(l[c], r[c]) for c in columns)
        pool = [
            ("l.surname = r.surname", same("surname")),
            ('l."first_name" = r."first_name" AND l."dob" = r."dob"', same("first_name", "dob")),
            ("(l.first_name = r.surname) and (l.surname = r.first_name)",
             lambda l, r: known(str.__eq__)(l["first_name"], r["surname"]) and known(str.__eq__)(l["surname"], r["first_name"])),
            ("SUBSTR(l.postcode, 1, 2) = SUBSTR(r.postcode, 1, 2) AND levenshtein(l.surname, r.surname) <= 1",
             lambda l, r: known(lambda x, y: x[:2] == y[:2])(l["postcode"], r["postcode"])
             and known(lambda x, y: oracle.edits(x, y, False) <= 1)(l["surname"], r["surname"])),
            ("l.dob = r.dob AND l.amount IS NOT NULL", lambda l, r: same("dob")(l, r) and l["amount"] is not None),
            ("lower(l.first_name) = r.first_name", same("first_name")),
        ]
        return self.chance.sample(pool, self.chance.randrange(1, 5))

    def model(self):
        comparisons = [("first_name", self.text_levels("first_name")), ("dob", self.date_levels()), ("surname", self.text_levels("surname")),
                       ("postcode", self.code_levels()), ("other", self.other_levels())]
        return oracle.Model(self.chance.choice([0.3, 0.01, 1e-5]), self.chance.sample(comparisons, self.chance.randrange(2, 6)), self.rules())


def fail(what, *said):
    print(what, *said, sep="\n  ")
    sys.exit(1)


def close(a, b, most=1e-9):
    return abs(a - b) <= most * max(1, abs(a), abs(b))


class Case:
    def __init__(self, cursor, chance):
        self.cursor, maker = cursor, Maker(chance)
        self.chance = chance
        self.link = chance.choice(["dedupe_only", "link_only", "link_and_dedupe"])
        self.records = maker.records(chance.choice([2, 12, 30, 60]), self.link != "dedupe_only")
        self.model = maker.model()

    def ask(self, sql, values=None):
        self.cursor.execute(sql, values)
        return self.cursor.fetchall()

    def settings(self):
        return {"link_type": self.link, "probability_two_random_records_match": self.model.prior, "unique_id_column_name": "unique_id",
                "blocking_rules_to_generate_predictions": [{"blocking_rule": sql, "sql_dialect": "duckdb"} for sql, _ in self.model.rules],
                "comparisons": [{"output_column_name": name, "comparison_levels": [level.settings() for level in levels]}
                                for name, levels in self.model.comparisons],
                "training_rules": ["l.surname = r.surname", "l.dob = r.dob"], "em_convergence": 1e-4, "max_iterations": 12}

    def store(self):
        self.cursor.execute("""CREATE TEMP TABLE records (unique_id integer, source_dataset text, first_name text, surname text, dob text,
                               postcode text, amount float8, tags text[]) ON COMMIT DROP""")
        for record in self.chance.sample(self.records, len(self.records)):
            self.cursor.execute("INSERT INTO records VALUES (%(unique_id)s, %(source_dataset)s, %(first_name)s, %(surname)s, %(dob)s, "
                                "%(postcode)s, %(amount)s, %(tags)s)", record)
        self.cursor.execute("SELECT cdp.create_matcher('made', %s)", [json.dumps(self.settings())])

    def name(self, place):
        record = self.records[place]
        return str(record["unique_id"]), record["source_dataset"]

    def pairs(self):
        frequencies = self.model.frequencies(self.records)
        wanted = {}
        for (i, j), key in self.model.pairs(self.records, self.link).items():
            gammas = self.model.gammas(self.records[i], self.records[j])
            wanted[self.name(i), self.name(j)] = (key, gammas, self.model.weight(self.records[i], self.records[j], gammas, frequencies))
        found = {}
        for id_l, id_r, source_l, source_r, weight, probability, key, gammas in self.ask(
                "SELECT * FROM cdp.score_pairs('made', 'records', 0, levels => true)"):
            if ((id_l, source_l), (id_r, source_r)) in found:
                fail("a pair comes twice", id_l, id_r)
            found[(id_l, source_l), (id_r, source_r)] = (key, gammas, weight)
            if not close(probability, 1 / (1 + 2 ** -weight) if weight > -1000 else 0):
                fail("probability", weight, probability)
        if found.keys() != wanted.keys():
            fail("other pairs", f"missing {sorted(wanted.keys() - found.keys())[:5]}", f"not wanted {sorted(found.keys() - wanted.keys())[:5]}",
                 [sql for sql, _ in self.model.rules])
        for pair, (key, gammas, weight) in wanted.items():
            if found[pair][:2] != (key, gammas) or not close(found[pair][2], weight):
                fail("another weight", pair, f"found {found[pair]}", f"wanted {(key, gammas, weight)}", [r for r in self.records if self.is_in(r, pair)],
                     [(name, [(level.sql, level.m, level.u, level.tf) for level in levels]) for name, levels in self.model.comparisons])
        return found

    @staticmethod
    def is_in(record, pair):
        return (str(record["unique_id"]), record["source_dataset"]) in pair

    def sizes(self):
        for purpose, number, pairs in self.ask("SELECT purpose, number, pairs FROM cdp.blocking_analysis('made', 'records') WHERE purpose = 'training'"):
            column = ("surname", "dob")[number - 1]
            alone = oracle.Model(0.5, [], [("", lambda l, r: l[column] is not None and l[column] == r[column])])
            if pairs != len(alone.pairs(self.records, self.link)):
                fail("blocking_analysis", column, pairs)

    def clusters(self):
        """Of pairs with weights drawn at random, no two the same: then there is one answer."""
        names = [(str(n), self.chance.choice(["crm", "shop", "web"])) for n in range(self.chance.choice([4, 9, 20]))]
        names.sort(key=lambda m: (m[1], int(m[0])))
        share = self.chance.choice([0.15, 0.4, 0.9])
        edges = [(a, b, self.chance.uniform(-9, 11)) for a in range(len(names)) for b in range(a + 1, len(names)) if self.chance.random() < share]
        self.cursor.execute("CREATE TEMP TABLE pairs (id_l text, id_r text, source_l text, source_r text, match_weight float8) ON COMMIT DROP")
        for a, b, weight in edges:
            if self.chance.random() < 0.5:
                a, b = b, a
            self.cursor.execute("INSERT INTO pairs VALUES (%s, %s, %s, %s, %s)", [names[a][0], names[b][0], names[a][1], names[b][1], weight])
        threshold = self.chance.choice([0.5, 0.9])
        least = math.log2(threshold / (1 - threshold))
        single = self.chance.choice([[], ["crm"], ["crm", "shop", "web"]])
        place, source = {name: n for n, name in enumerate(names)}, {n: name[1] for n, name in enumerate(names)}
        members = sorted({x for edge in edges for x in edge[:2]})
        for method, wanted in (("connected", oracle.connected(members, edges, least)),
                               ("best_links", oracle.best_links(members, edges, least, source, single)),
                               ("cohesive", oracle.cohesive(members, edges, least))):
            got = {place[a, b]: place[c, d] for a, b, c, d in self.ask("SELECT * FROM cdp.cluster_pairs('pairs', %s, %s, %s)", [threshold, method, single])}
            if got != wanted:
                fail("other clusters", method, [(x, got.get(x), wanted[x]) for x in wanted if got.get(x) != wanted[x]][:5], edges)
        return len(set(wanted.values()))

    def training(self):
        """u from all pairs, m from two sessions; then the model that is stored."""
        everything = [(i, j) for i in range(len(self.records)) for j in range(i + 1, len(self.records))
                      if self.link != "link_only" or self.records[i]["source_dataset"] != self.records[j]["source_dataset"]]
        if not everything:
            return
        self.cursor.execute("SELECT cdp.train_matcher('made', 'records', 1000000, 1, false)")
        for c, of in enumerate(oracle.shares(self.model, self.records, everything)):
            for g in range(sum(not level.null for level in self.model.comparisons[c][1])):
                if of:
                    self.model.level(c, g).u = of.get(g, 1e-6)
        sessions = []
        for column in ("surname", "dob"):
            untouched = {c for c, (_, levels) in enumerate(self.model.comparisons) if any(f"{column}_" in level.sql for level in levels)}
            pairs = [(i, j) for i, j in everything if self.records[i][column] is not None and self.records[i][column] == self.records[j][column]]
            if pairs:
                sessions.append((untouched, oracle.maximise(self.model, self.records, pairs, [column], untouched, 1e-4, 12), pairs))
        stored = {(c, g): (m, u) for c, g, m, u in self.ask("""SELECT c.comparison - 1, p.gamma, p.m, p.u FROM cdp.matcher_parameters AS p
            JOIN cdp.matcher_comparisons AS c ON c.matcher = p.matcher AND c.name = p.comparison WHERE p.matcher = 'made' AND p.gamma >= 0""")}
        for c, (_, levels) in enumerate(self.model.comparisons):
            known_m, trained = {}, False
            for untouched, (m, _, _), pairs in sessions:
                gammas = [self.model.gammas(self.records[i], self.records[j])[c] for i, j in pairs]
                trained = trained or c not in untouched and any(g >= 0 for g in gammas)
            number = sum(not level.null for level in levels)
            for g in range(number):
                told = [(m[c][g], {self.model.gammas(self.records[i], self.records[j])[c] for i, j in pairs})
                        for untouched, (m, _, _), pairs in sessions if c not in untouched]
                told = [(value, gammas) for value, gammas in told if gammas - {-1}]
                seen = [value for value, gammas in told if g in gammas]
                if seen:
                    known_m[g] = oracle.median(seen)
                m, u = stored[c, g]
                below = [k for k in known_m if k < g]
                if seen or not trained:
                    wanted = known_m.get(g, self.model.level(c, g).m)
                elif below:  # no match came to this level: it weighs as the next lower one that was reached
                    wanted = min(1, known_m[max(below)] / stored[c, max(below)][1] * u)
                else:  # nothing below it either: it says nothing, or something against a match
                    wanted = m if m <= u * (1 + 1e-9) else u
                if not close(u, self.model.level(c, g).u) or not (close(m, wanted, 1e-6) or max(m, wanted) < 1e-5):
                    fail("other parameters", (c, g), f"found m {m}, u {u}", f"wanted m {wanted}, u {self.model.level(c, g).u}", levels[-1 - g].sql)

    def round_trip(self):
        again = self.ask("SELECT cdp.export_matcher('made')")[0][0]
        self.cursor.execute("SELECT cdp.create_matcher('again', %s)", [json.dumps(again)])
        if self.ask("SELECT cdp.export_matcher('again')")[0][0] != again:
            fail("export and import change a matcher", again)
        if self.ask("(SELECT * FROM cdp.score_pairs('made', 'records', 0) EXCEPT SELECT * FROM cdp.score_pairs('again', 'records', 0))"):
            fail("a matcher that was exported and imported gives other weights")

    def run(self):
        self.store()
        found = self.pairs()
        self.sizes()
        self.round_trip()
        clusters = self.clusters()
        self.training()
        return len(found), clusters


def arguments(doc, cases):
    """What the command line says, with a database of its own, made anew: its connection's settings in `database`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--models", type=int, default=int(os.environ.get("CASES") or cases))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    args.database = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    for name, statements in (("postgres", (f"DROP DATABASE IF EXISTS {args.database} WITH (FORCE)", f"CREATE DATABASE {args.database}")),
                             (args.database, ("CREATE EXTENSION cdp",))):
        connection = psycopg2.connect(host=args.host, user="postgres", dbname=name)
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()
    return args


def run_models(args, run):
    """run(number, chance) gives two counts each; their sums."""
    sums = [0, 0]
    for number in range(args.models):
        try:
            counts = run(number, random.Random(f"{args.seed} {number}"))
        except BaseException:
            print(f"model {number}", flush=True)
            raise
        sums = [a + b for a, b in zip(sums, counts)]
    return sums


def main():
    args = arguments(__doc__, 60)
    connection = psycopg2.connect(host=args.host, user="postgres", dbname=args.database)
    cursor = connection.cursor()

    def run(_, chance):
        counts = Case(cursor, chance).run()
        connection.rollback()
        return counts

    pairs, clusters = run_models(args, run)
    print(f"{args.models} models, {pairs} pairs, {clusters} clusters: as by the book")
    if pairs == 0:
        sys.exit("there was no pair")


if __name__ == "__main__":
    main()
