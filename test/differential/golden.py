#!/usr/bin/env python3
"""Golden traits against a plain fold over cdp.assertions that calls no function of cdp.

    golden.py --host DIR [--seed N] [--histories 12]

DIR holds the socket of a server with cdp. Random messages with ties, nulls, arrays, late arrival and values that do not fit, random
policies of every strategy and of computed traits, definitions and trust that change on the way, merges and splits. Two databases get the same, one message
by message, the other in random batches. After each step: both have the same profiles; what is stored is the fold; other policies are
the fold when read; cdp.why_trait's winner is what is stored; cdp.profile_diff is what the drafted rules would change; what does not
fit is in quarantine; cdp.verify() finds nothing. At the end faults are planted, and verify() must see each. SEED and CASES are defaults.
"""

import argparse
import datetime
import json
import os
import random
import re
import sys
from collections import Counter
from decimal import Decimal

import psycopg2

SOURCES = ["crm", "shop", "web"]
TRAITS = ["a", "b", "c_one", "c_two", "d"]
PATTERNS = TRAITS + ["*", "c_*", "*o*"]
POLICIES = ["default", "default", "support", "marketing"]
STRATEGIES = ["latest", "earliest", "most_frequent", "source_priority", "min", "max", "sum", "average", "longest", "shortest", "any_true",
              "all_true", "union_list", "intersection_list", "counted_list", "first_non_empty", "verified_first", "maximum_age", "never",
              "aggregate:max(text)", "aggregate:array_agg", "aggregate:bool_and", "aggregate:public.grumpy"]
VALUES = [None, None, 1, 1.0, 2, 2.50, -3, 10, 12345678901234567890, "x", "yy", "ÄÖ", "", "  ", "7", "49.95", "yes", "2024-1-5", "2024-02-30",
          "2024-01-05T10:30:00+02:00", "2024-01-05T00:30:00+02:00", True, False, [], [1, "x"], [1.0, 2], ["x", "x", None], {}, {"k": [1.0]}, {"k": [1]},
          {"amount": 5, "currency": "EUR"}, {"amount": 5, "currency": "USD"}, "a\tb\"c\\", "EUR"]
# Computed traits that rules fall back on, by what they are in plain Python; the last asks for a golden trait itself.
COMPUTED = {"top": "max(properties ->> 'v')", "recent": "max(properties ->> 'v') FILTER (WHERE occurred_at > now() - interval '290 days')",
            "from_b": "CASE WHEN traits ->> 'b' IS NOT NULL THEN 'b is ' || (traits ->> 'b') END"}
TYPES = ["text", "integer", "numeric", "money", "boolean", "date", "timestamp", "list", "object"]
DAY = datetime.timedelta(days=1)


class Difference(Exception):
    pass


def parse(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def form(value):
    """Equal for equal values as jsonb has them."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, Decimal):
        return "n" + str(value.normalize() + 0) if value else "n0"
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, list):
        return "[" + ",".join(form(v) for v in value) + "]"
    return "{" + ",".join(f"{k!r}:{form(v)}" for k, v in sorted(value.items())) + "}"


def same(one, other):
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return abs(one - other) <= abs(one) * Decimal("1e-14")
    return form(one) == form(other)


# What a definition makes of a value; None, False when it does not fit.
def number(value):
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and re.fullmatch(r" *[+-]?[0-9]+(\.[0-9]+)? *", value):
        return Decimal(value.strip())
    return None


def instant(value):
    if not isinstance(value, str):
        return None
    try:
        if re.fullmatch(r" *\d{4}-\d{1,2}-\d{1,2} *", value):
            return datetime.datetime(*map(int, value.split("-")), tzinfo=datetime.timezone.utc)
        return datetime.datetime.fromisoformat(value.strip()).astimezone(datetime.timezone.utc) if "T" in value else None
    except ValueError:
        return None


def fit(definition, value):
    if definition is None or value is None:
        return value, True
    kind, unit, allowed = definition
    made = None
    if kind == "text":
        made = value if isinstance(value, str) else json.dumps(value, default=str).strip('"') if isinstance(value, (bool, Decimal)) else None
    elif kind in ("integer", "numeric"):
        made = number(value)
        if kind == "integer" and made is not None and made != made.to_integral_value():
            made = None
    elif kind == "money":
        made = number(value)
        if isinstance(value, dict) and (unit is None or value.get("currency") == unit):
            made = number(value.get("amount"))
    elif kind == "boolean":
        words = {"true": True, "t": True, "yes": True, "y": True, "on": True, "1": True, "false": False, "f": False, "no": False, "n": False, "off": False, "0": False}
        word = value.strip().lower() if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, Decimal) else None
        made = words.get(word)
    elif kind in ("date", "timestamp"):
        at = instant(value)
        made = at and ((value.strip()[:10] if "T" in value else at.strftime("%Y-%m-%d")) if kind == "date" else at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    elif kind == "list":
        made = value if isinstance(value, list) else None
    else:
        made = value if isinstance(value, dict) else None
    return made, made is not None and (allowed is None or form(made) in allowed)


class Claim:
    def __init__(self, value, at, seq, source, verified):
        self.value, self.at, self.seq, self.source, self.verified = value, at, seq, source, verified

    key = property(lambda self: (self.at, self.seq))


def best(claims, rank):
    """The one with the smallest rank; of equal ones the newest."""
    return min(claims, key=lambda c: (rank(c), -c.at.timestamp(), -c.seq), default=None)


def extreme(claims, sign):
    numbers = [c for c in claims if isinstance(c.value, Decimal)]
    texts = [c for c in claims if isinstance(c.value, str)]
    flags = [c for c in claims if isinstance(c.value, bool)]
    if not numbers and texts:
        most = (max if sign > 0 else min)(c.value.encode() for c in texts)
        return best([c for c in texts if c.value.encode() == most], lambda c: 0)
    return best(numbers or flags, lambda c: -sign * c.value)


def items(claims):
    said = {}
    for c in claims:
        here = set()
        for item in c.value if isinstance(c.value, list) else [c.value]:
            entry = said.setdefault(form(item), [item, 0])
            entry[1] += form(item) not in here
            here.add(form(item))
    return list(said.values())


def written(value):
    """A value as ->> gives it."""
    return value if isinstance(value, str) else jsonb(value)


def jsonb(value):
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(map(jsonb, value)) + "]"
    return "{" + ", ".join(f"{json.dumps(k)}: {jsonb(v)}" for k, v in sorted(value.items(), key=lambda kv: (len(kv[0]), kv[0]))) + "}"


def choose(link, trust, live):
    """(value, claim); value None: no value. "conflict" instead of a claim: the chain ends."""
    strategy, listed = link["strategy"], link.get("sources") or []
    numbers = [c for c in live if isinstance(c.value, Decimal)]

    def by_source(c):
        return (listed.index(c.source) if c.source in listed else len(listed), -trust.get(c.source, 0))
    chosen = {
        "latest": lambda: live[-1], "maximum_age": lambda: live[-1], "earliest": lambda: live[0],
        "verified_first": lambda: best(live, lambda c: not c.verified),
        "source_priority": lambda: best(live, by_source),
        "first_non_empty": lambda: best([c for c in live if c.value not in ([], {}) and not (isinstance(c.value, str) and not c.value.strip(" \t\r\n"))], by_source),
        "min": lambda: extreme(live, -1), "max": lambda: extreme(live, 1),
        "longest": lambda: best([c for c in live if isinstance(c.value, str)], lambda c: -len(c.value)),
        "shortest": lambda: best([c for c in live if isinstance(c.value, str)], lambda c: len(c.value)),
        "any_true": lambda: best([c for c in live if isinstance(c.value, bool)], lambda c: not c.value),
        "all_true": lambda: best([c for c in live if isinstance(c.value, bool)], lambda c: c.value),
    }.get(strategy)
    if chosen:
        claim = chosen()
        return (claim.value, claim) if claim else (None, None)
    if strategy == "most_frequent":
        counts = Counter(form(c.value) for c in live)
        claim = max(live, key=lambda c: (counts[form(c.value)], c.key))
        return claim.value, claim
    if strategy == "never":
        return (live[-1].value, live[-1]) if len({form(c.value) for c in live}) == 1 else (None, "conflict")
    if strategy == "union_list":
        return [item for item, _ in items(live)], live[-1]
    if strategy == "intersection_list":
        return [item for item, count in items(live) if count == len(live)], live[-1]
    if strategy == "counted_list":
        return [{"value": item, "count": Decimal(count)} for item, count in sorted(items(live), key=lambda e: -e[1])], live[-1]
    if strategy in ("sum", "average"):
        total = sum(c.value for c in numbers)
        return (total if strategy == "sum" else total / len(numbers), numbers[-1]) if numbers else (None, None)
    if strategy == "aggregate:max(text)":
        return max((written(c.value) for c in live), key=str.encode), live[-1]
    if strategy == "aggregate:array_agg":
        return [c.value for c in live], live[-1]
    if strategy == "aggregate:bool_and":
        flags = [c for c in live if isinstance(c.value, bool)]
        return (all(c.value for c in flags), flags[-1]) if flags else (None, None)
    if strategy == "aggregate:public.grumpy":  # counts, and fails when it meets a 10
        return (Decimal(len(numbers)), numbers[-1]) if numbers and all(c.value != 10 for c in numbers) else (None, None)
    raise KeyError(strategy)


def matches(pattern, trait):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), trait, re.S) is not None


class Rules:
    """All that a draft says."""

    def __init__(self):
        self.policies, self.definitions, self.trust = {}, {}, {}

    def copy(self):
        made = Rules()
        made.policies = {p: {t: list(chain) for t, chain in rules.items()} for p, rules in self.policies.items()}
        made.definitions, made.trust = dict(self.definitions), dict(self.trust)
        return made

    def chain(self, policy, trait):
        for name in dict.fromkeys([policy, "default"]):
            rules = self.policies.get(name, {})
            found = [p for p in rules if p == trait or "*" in p and matches(p, trait)]
            if found:
                return rules[min(found, key=lambda p: (p != trait, -len(p.replace("*", "")), p))]
        return [{"strategy": "latest"}]

    def golden(self, policy, trait, claims, now, computed):
        """(value, claim) of one trait; claims that fit, in order; "computed" instead of a claim."""
        chain = self.chain(policy, trait)
        if len(chain) == 1 and chain[0]["strategy"] == "latest" and not chain[0].get("days"):
            return (claims[-1].value, claims[-1]) if claims else (None, None)
        live = [c for c in claims if c.value is not None and not any(n.value is None and n.source == c.source and n.key > c.key for n in claims)]
        for link in chain:
            if link["strategy"].startswith("computed:"):
                made, fits = fit(self.definitions.get(trait), computed.get(link["strategy"][9:]))
                if fits and made is not None:
                    return made, "computed"
                continue
            some = [c for c in live if not link.get("days") or c.at + link["days"] * DAY > now]
            if link["strategy"] in ("latest", "maximum_age") and claims and claims[-1].value is None:
                some = []
            value, claim = choose(link, self.trust, some) if some else (None, None)
            if value is not None or claim == "conflict":
                return value, claim
        return None, None

    def fold(self, policy, said, now, computed):
        """{trait: (value, claim)}, without those that are absent; and what does not fit."""
        claims, misfits = {}, set()
        for traits, at, seq, source in sorted(said, key=lambda s: (s[1], s[2])):
            for trait, value in traits.items():
                made, fits = fit(self.definitions.get(trait), value)
                if fits:
                    claims.setdefault(trait, []).append(Claim(made, at, seq, source, traits.get(trait + "_verified") is True))
                else:
                    misfits.add((seq, trait))
        for name in (policy, "default"):
            for trait, chain in self.policies.get(name, {}).items():
                if any(link["strategy"].startswith("computed:") for link in chain):
                    claims.setdefault(trait, [])
        found = {trait: self.golden(policy, trait, some, now, computed) for trait, some in claims.items()}
        return {trait: value for trait, value in found.items() if value[0] is not None}, misfits


class World:
    def __init__(self, host, seed):
        self.host, self.random = host, random.Random(seed)
        self.draft, self.force = Rules(), Rules()
        self.databases = [self.make("golden_one"), self.make("golden_batch")]
        self.clock = self.sql(0, "SELECT now()")[0][0] - 300 * DAY
        self.number = 0

    def make(self, name):
        admin = psycopg2.connect(host=self.host, user="postgres", dbname="postgres")
        admin.autocommit = True
        admin.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.cursor().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        admin.close()
        made = psycopg2.connect(host=self.host, user="postgres", dbname=name)
        made.autocommit = True
        made.cursor().execute("""SET timezone = 'UTC'; SET jit = off; SET client_min_messages = error; CREATE EXTENSION cdp""")
        made.cursor().execute("SELECT cdp.stop_worker()")  # which can only be stopped once the extension is committed
        made.cursor().execute("""CREATE FUNCTION public.step(bigint, numeric) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
              $$ BEGIN IF $2 = 10 THEN RAISE EXCEPTION 'ten'; END IF; RETURN $1 + 1; END $$;
            CREATE AGGREGATE public.grumpy(numeric) (SFUNC = public.step, STYPE = bigint, INITCOND = '0')""")
        for trait, expression in COMPUTED.items():
            made.cursor().execute("SELECT cdp.create_computed_trait(%s, %s)", (trait, expression))
        made.cursor().execute("SELECT cdp.create_segment('has_a', $$traits ? 'a'$$), cdp.create_segment('b_is_7', $$traits ->> 'b' = '7'$$)")
        return made

    def sql(self, which, text, *values):
        cursor = self.databases[which].cursor()
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else None

    def both(self, text, *values):
        for which in (0, 1):
            self.sql(which, text, *values)

    def message(self):
        r = self.random
        self.number += 1
        traits = {trait: r.choice(VALUES) for trait in r.sample(TRAITS, r.randint(0, 3))}
        traits.update({trait + "_verified": True for trait in list(traits) if r.random() < 0.2})
        made = {"type": "identify", "messageId": f"m{self.number}", "traits": traits,
                "timestamp": (self.clock - r.choice([0, 0, 0, 1, 1, 2, 30, 60]) * DAY).strftime("%Y-%m-%dT00:00:00Z")}
        who = r.random()
        if who < 0.75:
            made["userId"] = f"u{r.randint(1, 3)}"
        if who > 0.6:
            made["anonymousId"] = f"a{r.randint(1, 4)}"
        if r.random() < 0.25:
            made.update(type="track", event="Seen", properties={"v": r.choice(["7", "x", "yes", "2024-1-5", "zz"])})
            made.pop("traits")
        return made

    def send(self):
        self.clock += self.random.choice([0, 1, 1, 5]) * DAY
        source, messages = self.random.choice(SOURCES), [self.message() for _ in range(self.random.randint(1, 12))]
        for message in messages:
            self.sql(0, "SELECT cdp.ingest(%s, %s, %s)", json.dumps(message), source, self.clock)
        while messages:
            some = self.random.randint(1, 12)
            self.sql(1, "SELECT cdp.ingest(%s, %s, %s)", json.dumps({"batch": messages[:some]}), source, self.clock)
            messages = messages[some:]

    def change_rules(self):
        for _ in range(self.random.randint(1, 4)):
            self.random.choice([self.set_rule, self.set_rule, self.set_rule, self.set_rule, self.define, self.drop])()

    def set_rule(self):
        r = self.random
        policy, trait = r.choice(POLICIES), r.choice(PATTERNS)
        chain = []
        for place in range(r.choice([1, 1, 1, 2, 3])):
            if chain and chain[-1]["strategy"] == "never":
                break
            link = {"strategy": r.choice(STRATEGIES)}
            if "*" not in trait and r.random() < 0.25:
                link["strategy"] = "computed:" + r.choice([c for c in COMPUTED if c != "from_b" or trait != "b" or policy != "default"])
            if link["strategy"] in ("source_priority", "first_non_empty"):
                link["sources"] = r.sample(SOURCES, r.randint(0, 2))
            if link["strategy"] == "maximum_age" or r.random() < 0.15 and not link["strategy"].startswith("computed:"):
                link["days"] = r.choice([20.5, 100.5, 295.5])
            self.both("SELECT cdp.set_survivorship(%s, %s, %s, %s, %s, %s)", trait, link["strategy"], policy, link.get("sources", []),
                      link.get("days") and datetime.timedelta(days=link["days"]), place > 0)
            chain.append(link)
        self.draft.policies.setdefault(policy, {})[trait] = chain

    def drop(self):
        r = self.random
        policy = r.choice(list(self.draft.policies) or ["default"])
        rules = self.draft.policies.get(policy, {})
        if rules and r.random() < 0.6:
            trait = r.choice(sorted(rules))
            del rules[trait]
            if not rules:
                del self.draft.policies[policy]
            self.both("SELECT cdp.drop_survivorship(%s, %s)", trait, policy)
        elif self.draft.definitions:
            trait = r.choice(sorted(self.draft.definitions))
            del self.draft.definitions[trait]
            self.both("SELECT cdp.drop_trait_definition(%s)", trait)

    def define(self):
        r = self.random
        if r.random() < 0.3:
            source, trust = r.choice(SOURCES), r.randint(-1, 2)
            self.draft.trust[source] = trust
            return self.both("SELECT cdp.set_source_trust(%s, %s)", source, trust)
        trait, kind = r.choice(TRAITS), r.choice(TYPES)
        unit = r.choice([None, "EUR"]) if kind == "money" else None
        allowed = r.choice([None, None, {"text": ["x", "yes"], "integer": ["1", "7"], "numeric": ["1", "2.5"], "boolean": ["true"]}.get(kind)])
        made = {form(fit((kind, unit, None), parse(json.dumps(v)))[0]) for v in allowed} if allowed else None
        self.draft.definitions[trait] = (kind, unit, made)
        self.both("SELECT cdp.define_trait(%s, %s, %s, allowed_values => %s)", trait, kind, unit, allowed)

    def apply(self):
        self.check_diff()
        self.both("SELECT cdp.apply_survivorship()")
        self.force = self.draft.copy()
        if self.random.random() < 0.3:  # messages come before everybody is folded anew
            self.send()
        self.both("CALL cdp.run()")

    def split(self):
        pairs = self.sql(0, "SELECT identifier_id, other_identifier_id FROM cdp.links ORDER BY random()")
        if pairs:
            self.both("SELECT cdp.remove_link(to_jsonb(%s::bigint), to_jsonb(%s::bigint), reason => 'test')", *pairs[0])

    def said(self, which=0):
        people = {}
        for person, traits, at, seq, source in self.sql(which, """
                SELECT p.profile_id, a.traits::text, a.asserted_at, a.decision_seq, s.source FROM cdp.profiles p
                LEFT JOIN (cdp.identifiers i JOIN cdp.assertions a ON a.identifier_id = i.identifier_id AND a.type = 'identify' AND a.traits IS NOT NULL
                JOIN cdp.sources s USING (source_id)) ON i.profile_id = p.profile_id"""):
            some = people.setdefault(person, [])
            if traits:
                some.append((parse(traits), at, seq, source))
        return people

    def computed(self, said, now, which=0):
        """What everybody's computed traits are, by the rules in force."""
        people = {person: {} for person in said}
        for person, value, at in self.sql(which, """SELECT i.profile_id, r.properties ->> 'v', r.occurred_at FROM cdp.event_records r JOIN cdp.identifiers i USING (identifier_id)
                                                    WHERE r.event = 'Seen' AND r.occurred_at <= now()"""):
            for trait, counts in (("top", True), ("recent", at > now - 290 * DAY)):
                if counts:
                    people[person][trait] = max(people[person].get(trait, value), value)
        for person, known in people.items():
            b = self.force.fold("default", said[person], now, known)[0].get("b")
            if b:
                known["from_b"] = "b is " + written(b[0])
        return people

    def expect(self, what, found, wanted):
        if found.keys() != wanted.keys() or not all(same(found[key], wanted[key]) for key in wanted):
            raise Difference(f"{what}:\n  is       {found}\n  expected {wanted}\n  rules {self.force.policies} {self.force.definitions} {self.force.trust}")

    def check(self):
        self.both("CALL cdp.run()")
        state = "SELECT profile_id, traits::text, trait_origins::text, last_seen_at, rules_version FROM cdp.profiles ORDER BY 1"
        if self.sql(0, state) != self.sql(1, state):
            raise Difference(f"batches make a difference:\n{self.sql(0, state)}\n{self.sql(1, state)}")
        where = "SELECT segment_id, profile_id, key FROM cdp.memberships WHERE entered_at <= now() AND left_at > now() ORDER BY 1, 2, 3"
        if self.sql(0, where) != self.sql(1, where):
            raise Difference(f"batches make a difference to memberships:\n{self.sql(0, where)}\n{self.sql(1, where)}")
        now, people, misfits = self.sql(0, "SELECT now()")[0][0], self.said(), set()
        computed = self.computed(people, now)
        for person, traits in self.sql(0, "SELECT profile_id, traits::text FROM cdp.profiles"):
            golden, wrong = self.force.fold("default", people[person], now, computed[person])
            misfits |= wrong
            self.expect(f"profile {person}: {people[person]}", parse(traits), {t: v[0] for t, v in golden.items()})
            self.check_reading(person, people[person], golden, now, computed[person])
        if misfits != set(self.sql(0, "SELECT decision_seq, trait FROM cdp.quarantined_traits")):
            raise Difference(f"what does not fit is {misfits}")
        for which in (0, 1):
            if wrong := self.sql(which, "SELECT * FROM cdp.verify()"):
                raise Difference(f"verify(): {wrong}")

    def check_reading(self, person, said, golden, now, computed):
        for policy in self.force.policies:
            found = {trait: parse(value) for trait, value in self.sql(1, "SELECT trait, value::text FROM cdp.golden_traits(%s, %s) WHERE value IS NOT NULL", person, policy)}
            self.expect(f"policy {policy} of {person}: {said}", found, {t: v[0] for t, v in self.force.fold(policy, said, now, computed)[0].items()})
        for trait in TRAITS:
            rows = self.sql(1, "SELECT outcome, value::text, decision_seq FROM cdp.why_trait(%s, %s) ORDER BY asserted_at, decision_seq", person, trait)
            is_computed = golden.get(trait, (None, None))[1] == "computed"
            if len(rows) != sum(trait in one[0] for one in said) + is_computed:
                raise Difference(f"why_trait({person}, {trait}) has {len(rows)} rows")
            winners, parts = [r for r in rows if r[0] == "winner"], [r for r in rows if r[0] == "part"]
            if trait not in golden:
                if any(row[1] != "null" for row in winners + parts):
                    raise Difference(f"why_trait({person}, {trait}): {rows} of an absent trait")
                continue
            value, claim = golden[trait]
            if is_computed:
                if parts or len(winners) != 1 or winners[0][2] is not None or form(parse(winners[0][1])) != form(value):
                    raise Difference(f"why_trait({person}, {trait}): {rows}, golden is {value}, computed")
            elif (winners or parts)[-1][2] != claim.seq or len(winners) > 1 or len(winners) == 1 and not parts and \
                    form(claim.value) != form(parse(winners[0][1])):
                raise Difference(f"why_trait({person}, {trait}): {rows}, golden is {value} of {claim.seq}")
            last = self.sql(1, "SELECT value::text FROM cdp.trait_history(%s, %s) ORDER BY since DESC LIMIT 1", person, trait)
            if not last or not same(parse(last[0][0]), value):
                raise Difference(f"trait_history({person}, {trait}) ends with {last}, golden is {value}")

    def check_diff(self):
        now = self.sql(0, "SELECT now()")[0][0]
        wanted, people = {}, self.said()
        computed = self.computed(people, now)
        for person, said in people.items():
            old, new = (rules.fold("default", said, now, computed[person])[0] for rules in (self.force, self.draft))
            for trait in old.keys() | new.keys():
                pair = [side[trait][0] if trait in side else None for side in (old, new)]
                if form(pair[0]) != form(pair[1]):
                    wanted[person, trait] = pair
        found = {(p, t): [o and parse(o), n and parse(n)] for p, t, o, n in self.sql(0, "SELECT profile_id, trait, old::text, new::text FROM cdp.profile_diff()")}
        if found.keys() != wanted.keys() or not all(same(a, b) for key in wanted for a, b in zip(found[key], wanted[key])):
            raise Difference(f"profile_diff():\n  is       {found}\n  expected {wanted}")

    def live(self):
        for _ in range(10):
            action = self.random.random()
            if action < 0.6:
                self.send()
            elif action < 0.9:
                self.change_rules()
                self.apply()
            else:
                self.split()
            self.check()
        return self.number

    def close(self):
        for database in self.databases:
            database.close()


FAULTS = [
    "UPDATE cdp.profiles SET traits = traits || '{\"a\": \"planted\"}'",
    "UPDATE cdp.profiles SET rules_version = rules_version + 1",
    "INSERT INTO cdp.quarantined_traits SELECT min(decision_seq), 'planted', '1', 'x', 'x' FROM cdp.assertions",
    "UPDATE cdp.assertions SET asserted_at = asserted_at - interval '10 years', traits = '{\"a\": \"planted\", \"b\": \"planted\"}' WHERE type = 'identify'",
]


def self_test(world):
    for fault in FAULTS:
        world.sql(0, "BEGIN")
        world.sql(0, fault)
        if not world.sql(0, "SELECT * FROM cdp.verify()"):
            raise Difference(f"verify() does not see: {fault}")
        world.sql(0, "ROLLBACK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or 12))
    parser.add_argument("--only", type=int)
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    messages = 0
    for number in [args.only] if args.only is not None else range(args.histories):
        world = World(args.host, f"{args.seed}-{number}")
        try:
            messages += world.live()
            if number == args.histories - 1:
                self_test(world)
        except Difference as failure:
            sys.exit(f"history {number}: {failure}")
        except psycopg2.Error as failure:
            sys.exit(f"history {number}: error: {failure}")
        finally:
            world.close()
    print(f"{args.histories} histories, {messages} messages")


if __name__ == "__main__":
    main()
