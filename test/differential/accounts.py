#!/usr/bin/env python3
"""Accounts against their naive meaning: random group, identify and track messages, people who merge and are split.

    accounts.py --host DIR [--seed N] [--histories 12]

DIR holds the socket of a server with cdp. Each message carries one identifier, and the test remembers what it said; only who
is who is read from the database, by plain SQL. From that it folds account traits, members, account traits made of people and
account segments itself, and after every few steps cdp.accounts, cdp.account_members and cdp.account() must say the same; what is
kept must be what the fold was at its last refresh, with the history of all refreshes before. At the end faults are planted, and
the test must see each. SEED and CASES are defaults.
"""

import argparse
import json
import os
import random
import sys
from datetime import datetime, timedelta, timezone

import psycopg2

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
CUT = START + timedelta(days=5)
ACCOUNTS = ["acme", "globex", "a'b\\c", "Zürich"]
IDENTIFIERS = [("user_id", f"u{n}") for n in range(5)] + [("anonymous_id", f"a{n}") for n in range(4)]
FIELD = {"user_id": "userId", "anonymous_id": "anonymousId"}

TRAITS = {  # name: what is created, and what it means of (account traits, people)
    "spend": ("sum((computed ->> 'total')::integer)", lambda a, p: total([q["total"] for q in p])),
    "headcount": ("count(*)", lambda a, p: len(p)),
    "buyers": ("count(*) FILTER (WHERE cdp.in_segment('buyers'))", lambda a, p: sum(q["buyer"] for q in p)),
    "roles": ("array_agg(DISTINCT traits ->> 'role' ORDER BY traits ->> 'role') FILTER (WHERE traits ? 'role')",
              lambda a, p: sorted({q["traits"]["role"] for q in p if "role" in q["traits"]}) or None),
    "in_order": ("string_agg(profile_id::text, ' ')", lambda a, p: " ".join(str(q["id"]) for q in p) or None),
    "plan": ("upper(account_traits ->> 'plan')", lambda a, p: a["plan"].upper() if "plan" in a else None),
}
SEGMENTS = {  # of (account traits, people, account traits made of people)
    "any": ("bool_or(traits ->> 'role' = 'admin')", lambda a, p, c: any(q["traits"].get("role") == "admin" for q in p)),
    "all": ("bool_and(cdp.in_segment('buyers'))", lambda a, p, c: bool(p) and all(q["buyer"] for q in p)),
    "none": ("count(*) FILTER (WHERE traits ->> 'role' = 'admin') = 0",
             lambda a, p, c: not any(q["traits"].get("role") == "admin" for q in p)),
    "at_least": ("count(*) FILTER (WHERE since >= '2026-01-06Z') >= 2", lambda a, p, c: sum(q["since"] >= CUT for q in p) >= 2),
    "rich": ("account_traits ->> 'plan' = 'pro' AND (account_computed ->> 'spend')::integer >= 5",
             lambda a, p, c: a.get("plan") == "pro" and c.get("spend", 0) >= 5),
    "same": ("bool_or(traits ->> 'role' = account_traits ->> 'wanted')",
             lambda a, p, c: any(q["traits"].get("role", 0) == a.get("wanted", 1) for q in p)),
}


class Difference(Exception):
    pass


def total(numbers):
    numbers = [n for n in numbers if n is not None]
    return sum(numbers) if numbers else None


def newest(said):
    """Of (time, number, traits): the newest value a trait; null removes."""
    traits = {}
    for _, _, values in sorted(said, key=lambda s: s[:2]):
        traits.update(values)
    return {name: value for name, value in traits.items() if value is not None}


class World:
    def __init__(self, host, name, seed):
        self.random = random.Random(seed)
        admin = psycopg2.connect(host=host, user="postgres", dbname="postgres")
        admin.autocommit = True
        admin.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        admin.close()
        self.connection = psycopg2.connect(host=host, user="postgres", dbname=name)
        self.connection.autocommit = True
        self.sql("SET timezone = 'UTC'; SET client_min_messages = warning; CREATE EXTENSION cdp; SELECT cdp.stop_worker()")
        self.facts, self.kept, self.history, self.log = [], {}, {}, []
        self.identify(("user_id", "u0"), {})
        self.sql("SELECT cdp.create_computed_trait('total', %s)", "sum((properties ->> 'n')::integer) FILTER (WHERE event = 'Bought')")
        self.sql("SELECT cdp.create_segment('buyers', %s)", "count(*) FILTER (WHERE event = 'Bought') >= 2")
        for name, (expression, _) in TRAITS.items():
            self.sql("SELECT cdp.create_account_trait(%s, %s)", name, expression)
        for name, (rule, _) in SEGMENTS.items():
            self.sql('SELECT cdp.create_account_segment(%s, %s)', name, rule)

    def sql(self, text, *values):
        cursor = self.connection.cursor()
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else None

    # What happens.

    def send(self, *messages):
        self.log.append(messages)
        self.sql("SELECT * FROM cdp.ingest(%s)", json.dumps({"batch": list(messages)}))

    def time(self):
        return START + timedelta(days=self.random.randrange(10))  # ties are wanted

    def message(self, kind, who, at, **fields):
        return {"type": kind, FIELD[who[0]]: who[1], "timestamp": at.isoformat(), "messageId": f"m{len(self.log)}-{self.random.random()}",
                **fields}

    def identify(self, who, traits):
        at = self.time()
        self.facts.append(("identify", who, at, len(self.facts), traits))
        self.send(self.message("identify", who, at, traits=traits))

    def say(self):
        """One to three messages, in one batch."""
        messages = []
        for _ in range(self.random.choice([1, 1, 2, 3])):
            who, at, number = self.random.choice(IDENTIFIERS), self.time(), len(self.facts)
            kind = self.random.choice(["group", "group", "group", "leave", "identify", "track"])
            if kind == "identify":
                traits = {"role": self.random.choice(["admin", "user", None])}
                self.facts.append(("identify", who, at, number, traits))
                messages.append(self.message("identify", who, at, traits=traits))
            elif kind == "track":
                n = self.random.randrange(5)
                self.facts.append(("track", who, at, number, n))
                messages.append(self.message("track", who, at, event="Bought", properties={"n": n}))
            else:
                group, traits = self.random.choice(ACCOUNTS), {}
                for name, values in (("plan", ["pro", "free", None]), ("wanted", ["admin", "user", None])):
                    if self.random.random() < 0.3:
                        traits[name] = self.random.choice(values)
                self.facts.append(("group", who, at, number, (group, kind == "leave", traits)))
                context = {"context": {"left": True}} if kind == "leave" else {}
                messages.append(self.message("group", who, at, groupId=group, traits=traits, **context))
        self.send(*messages)

    def merge(self):
        user = self.random.choice([i for i in IDENTIFIERS if i[0] == "user_id"])
        device = self.random.choice([i for i in IDENTIFIERS if i[0] == "anonymous_id"])
        self.send({**self.message("identify", user, self.time()), "anonymousId": device[1]})

    def split(self):
        found = self.sql("SELECT i.profile_id, i.value FROM cdp.identifiers AS i WHERE i.type = 'anonymous_id' AND EXISTS "
                         "(SELECT FROM cdp.identifiers AS o WHERE o.profile_id = i.profile_id AND o.type = 'user_id') ORDER BY 2")
        if found:
            profile, value = self.random.choice(found)
            self.log.append(("split", value))
            self.sql("SELECT cdp.split_profile(%s, %s, 'random')", profile, json.dumps({"anonymous_id": value}))

    # What it means.

    def fold(self):
        """{account: (traits, people in order, made traits, segments)}"""
        who = {(kind, value): profile for kind, value, profile in self.sql("SELECT type, value, profile_id FROM cdp.identifiers")}
        said, totals, bought, groups = {}, {}, {}, {}
        for kind, identifier, at, number, content in self.facts:
            person = who[identifier]
            if kind == "identify":
                said.setdefault(person, []).append((at, number, content))
            elif kind == "track":
                totals[person] = totals.get(person, 0) + content
                bought[person] = bought.get(person, 0) + 1
            else:
                groups.setdefault(content[0], []).append((at, number, person, *content[1:]))
        accounts = {}
        for group, messages in groups.items():
            if all(m[3] for m in messages):  # nobody was ever put into it
                continue
            since = {}
            for at, _, person, left, _ in sorted(messages, key=lambda m: m[:2]):
                if left:
                    since.pop(person, None)
                else:
                    since.setdefault(person, at)
            people = [{"id": p, "since": at, "traits": newest(said.get(p, [])), "total": totals.get(p), "buyer": bought.get(p, 0) >= 2}
                      for p, at in sorted(since.items(), key=lambda s: (s[1], s[0]))]
            traits = newest([(m[0], m[1], m[4]) for m in messages])
            made = {name: value for name, (_, mean) in TRAITS.items() if (value := mean(traits, people)) is not None}
            accounts[group] = traits, people, made, {name for name, (_, mean) in SEGMENTS.items() if mean(traits, people, made)}
        return accounts

    def expect(self, what, wanted, found):
        if wanted != found:
            raise Difference(f"{what}\n  expected {wanted}\n  found    {found}")

    def check(self):
        accounts = self.fold()
        self.expect("cdp.accounts", {g: (t, len(p)) for g, (t, p, _, _) in accounts.items()},
                    {g: (t, n) for g, t, n in self.sql("SELECT group_id, traits, members FROM cdp.accounts")})
        self.expect("cdp.account_members", sorted((g, q["id"], q["since"]) for g, (_, p, _, _) in accounts.items() for q in p),
                    sorted(self.sql("SELECT group_id, profile_id, since FROM cdp.account_members")))
        for group, (traits, people, made, segments) in accounts.items():
            one = self.sql("SELECT cdp.account(%s)", group)[0][0]
            self.expect(f"cdp.account({group})", (traits, made, sorted(segments), [q["id"] for q in people]),
                        (one["traits"], one["computed"], sorted(one["segments"]), [m["profile_id"] for m in one["members"]]))
        self.check_kept()
        for profile, values, inside in self.sql("SELECT profile_id, cdp.account_values('plan', profile_id), "
                                                "cdp.in_account_segment('any', profile_id) FROM cdp.profiles"):
            mine = [g for g, (_, p, _, _) in accounts.items() if profile in [q["id"] for q in p]]
            self.expect(f"plans of {profile}", sorted({self.kept[k] for g in mine if (k := ("trait", "plan", g)) in self.kept}), values)
            self.expect(f"any of {profile}", any(("segment", "any", g) in self.kept for g in mine), inside)
        self.expect("cdp.verify()", [], self.sql("SELECT * FROM cdp.verify()"))

    def check_kept(self):
        kept = {("trait", n, g): v for n, g, v in self.sql("SELECT trait, group_id, value FROM cdp.account_trait_values")}
        kept |= {("segment", n, g): True for n, g in self.sql("SELECT segment, group_id FROM cdp.account_segment_members")}
        self.expect("what is kept", self.kept, kept)
        history = {}
        for kind, name, group, value in self.sql("SELECT kind, name, group_id, value FROM cdp.account_history ORDER BY since"):
            history.setdefault((kind, name, group), []).append(value)
        self.expect("cdp.account_history", self.history, history)

    def refresh(self):
        before = dict(self.kept)
        self.kept = {}
        for group, (_, _, made, segments) in self.fold().items():
            self.kept |= {("trait", name, group): value for name, value in made.items()}
            self.kept |= {("segment", name, group): True for name in segments}
        for key, value in self.kept.items():
            if before.get(key) != value:
                self.history.setdefault(key, []).append(value)
        if self.random.random() < 0.5:
            self.sql("SELECT cdp.refresh_all_accounts()")
        else:  # as the worker does it, two accounts a transaction
            self.sql("""DO $$ DECLARE d cdp.account_definitions; BEGIN
              FOR d IN SELECT * FROM cdp.account_definitions ORDER BY kind DESC, definition_id LOOP
                WHILE NOT cdp_internal.refresh_accounts(d, 2) LOOP
                  SELECT * INTO d FROM cdp.account_definitions AS o WHERE o.definition_id = d.definition_id;
                END LOOP;
              END LOOP; END $$""")

    def live(self, steps):
        for _ in range(steps):
            self.random.choices([self.say, self.merge, self.split, self.refresh], [12, 3, 1, 2])[0]()
            if self.random.random() < 0.4:
                self.check()
        self.check()


FAULTS = {
    "a kept value": "UPDATE cdp.account_results SET value = '77' WHERE ctid = (SELECT ctid FROM cdp.account_results WHERE left_at = 'infinity' LIMIT 1)",
    "a kept value that is gone": "DELETE FROM cdp.account_results WHERE ctid = (SELECT ctid FROM cdp.account_results LIMIT 1)",
    "a group message": "DELETE FROM cdp.assertions WHERE type = 'group'",
    "who said it": "UPDATE cdp.assertions SET identifier_id = (SELECT max(identifier_id) FROM cdp.identifiers) WHERE type = 'group'",
    "that they left": "UPDATE cdp.assertions SET context = '{\"left\": true}' WHERE type = 'group'",
    "a trait": "UPDATE cdp.assertions SET traits = '{\"plan\": \"none\"}' WHERE type = 'group'",
}


def self_test(world):
    missed = []
    for name, fault in FAULTS.items():
        world.sql("BEGIN")
        world.sql(fault)
        try:
            world.check()
            missed.append(name)
        except Difference:
            pass
        finally:
            world.sql("ROLLBACK")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or 12))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    facts = changes = 0
    for number in range(args.histories):
        world = World(args.host, "accounts", f"{args.seed}-{number}")
        try:
            world.live(60)
        except Difference as difference:
            print(*world.log, sep="\n")
            print(f"history {number}: {difference}\nagain: --seed {args.seed}")
            return 1
        facts += len(world.facts)
        changes += sum(len(values) for values in world.history.values())
        if number == args.histories - 1:
            missed = self_test(world)
            if missed:
                print("planted and not seen:", ", ".join(missed))
                return 1
        world.connection.close()
    print(f"{args.histories} histories, {facts} facts, {changes} values kept; {len(FAULTS)} planted faults seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
