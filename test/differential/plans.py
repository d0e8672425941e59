#!/usr/bin/env python3
"""Random tracking plans and messages: what cdp finds wrong against a naive checker, and against a peer.

    plans.py --host DIR [--seed N] [--plans 20]

DIR holds the socket of a server that preloads cdp. The checker here is written from JSON Schema's words and knows nothing of
cdp's; it gives each violation, by place and keyword. python3-jsonschema, where it is installed, says whether there is any. A
plan in mode observe must count exactly these; in mode quarantine exactly those messages are put aside. SEED and CASES are
defaults.
"""

import argparse
import json
import os
import random
import re
import sys
from decimal import Decimal

import ways

try:
    import jsonschema
except ImportError:
    jsonschema = None

NAMES = ["a", "b", "c.d", "é", "long name"]
SCALARS = [None, True, False, 0, 1, -1, 1.0, 2.5, Decimal("1e2"), Decimal("0.1"), Decimal("9007199254740993"), 100, "", "a",
           "abc", "ab12", "é", "1", "2026-02-28", "2026-02-30", "a@b.nl", "5f0c954c-2eee-4a18-9d0b-3f4b28a0d6fb"]
TYPES = ["null", "boolean", "object", "array", "number", "string", "integer"]
PATTERNS = ["a", "^a", "b$", "^[a-z]+$", "^.{2,3}$", "[0-9]{2}", "^(a|b)*$"]


def write(value):
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {write(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(write(one) for one in value) + "]"
    return json.dumps(value)


def is_number(value):
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def types_of(value):
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, str):
        return {"string"}
    if isinstance(value, list):
        return {"array"}
    if isinstance(value, dict):
        return {"object"}
    exact = Decimal(str(value))
    return {"number", "integer"} if exact == exact.to_integral_value() else {"number"}


def same(one, other):
    if is_number(one) and is_number(other):
        return Decimal(str(one)) == Decimal(str(other))
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def is_date(text):
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    year, month, day = map(int, text.split("-"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= month <= 12 and 1 <= day <= [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]


FORMATS = {"date": is_date, "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None,
           "uuid": lambda text: re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None}


def check(schema, value, place, found):
    if schema is True:
        return
    if schema is False:
        found.add((place, "false"))
        return
    below = lambda name: f"{place}.{name}" if place else name
    if "type" in schema:
        allowed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not types_of(value) & set(allowed):
            found.add((place, "type"))
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        found.add((place, "enum"))
    if is_number(value):
        if "minimum" in schema and Decimal(str(value)) < Decimal(str(schema["minimum"])):
            found.add((place, "minimum"))
        if "maximum" in schema and Decimal(str(value)) > Decimal(str(schema["maximum"])):
            found.add((place, "maximum"))
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"].replace("b$", "b\\Z"), value):
            found.add((place, "pattern"))
        if "format" in schema and not FORMATS[schema["format"]](value):
            found.add((place, "format"))
    if isinstance(value, list) and "items" in schema:
        for one in value:
            check(schema["items"], one, place + "[]", found)
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                found.add((below(name), "required"))
        for name, one in value.items():
            if name in schema.get("properties", {}):
                check(schema["properties"][name], one, below(name), found)
            elif schema.get("additionalProperties") is False:
                found.add((below(name), "additionalProperties"))
            elif "additionalProperties" in schema:
                check(schema["additionalProperties"], one, below(name), found)


class Maker:
    def __init__(self, chance):
        self.chance = chance

    def value(self, depth=0):
        kind = self.chance.random()
        if depth < 3 and kind < 0.2:
            return [self.value(depth + 1) for _ in range(self.chance.randrange(4))]
        if depth < 3 and kind < 0.45:
            return self.object(depth + 1)
        return self.chance.choice(SCALARS)

    def object(self, depth=0):
        return {name: self.value(depth) for name in self.chance.sample(NAMES, self.chance.randrange(len(NAMES) + 1))}

    def schema(self, depth=0):
        chance = self.chance
        if depth and chance.random() < 0.1:
            return chance.random() < 0.7
        schema = {}
        if chance.random() < 0.6:
            types = chance.sample(TYPES, chance.randrange(1, 4))
            schema["type"] = types[0] if len(types) == 1 else types
        if chance.random() < 0.15:
            schema["enum"] = [self.value(1) for _ in range(chance.randrange(1, 6))]
        for keyword in ("minimum", "maximum"):
            if chance.random() < 0.2:
                schema[keyword] = chance.choice([0, 1, -1, 2.5, Decimal("0.1"), Decimal("9007199254740992"), 100])
        if chance.random() < 0.2:
            schema["pattern"] = chance.choice(PATTERNS)
        if chance.random() < 0.15:
            schema["format"] = chance.choice(sorted(FORMATS))
        if depth < 3:
            if chance.random() < 0.5:
                schema["required"] = chance.sample(NAMES, chance.randrange(3))
            if chance.random() < 0.7:
                schema["properties"] = {name: self.schema(depth + 1) for name in chance.sample(NAMES, chance.randrange(4))}
            if chance.random() < 0.3:
                schema["additionalProperties"] = self.schema(depth + 1)
            if chance.random() < 0.3:
                schema["items"] = self.schema(depth + 1)
        return schema


def peer_says(schema, value):
    """Whether the peer finds it valid; formats are not what it is asked about."""
    def plain(one):
        if isinstance(one, dict):
            return {key: plain(below) for key, below in one.items() if not (key == "format" and isinstance(below, str))}
        if isinstance(one, Decimal): # which is none of its types
            return int(one) if one == one.to_integral_value() else float(one)
        return [plain(below) for below in one] if isinstance(one, list) else one
    # Its patterns are Python's, whose $ allows a line end; none of our texts has one.
    return jsonschema.Draft202012Validator(plain(schema)).is_valid(plain(value))


def examine(database, maker, chance, counts):
    cursor = database.cursor
    database.reset()
    events = {f"E{number}": maker.schema() for number in range(5)}
    plan = {"events": events}
    cursor.execute("SELECT cdp.create_source('s')")
    cursor.execute("SELECT cdp.create_tracking_plan('s', %s::jsonb)", [write(plan)])
    expected, messages, wrong = {}, [], set()
    for number in range(60):
        event = chance.choice(sorted(events) + ["Other"])
        properties = maker.object()
        found = set()
        if event == "Other":
            found.add(("", "unplanned"))
        else:
            check(events[event], properties, "", found)
            if jsonschema and "format" not in write(events[event]) and peer_says(events[event], properties) != (not found):
                sys.exit(f"the peer does not agree with the checker: {write(events[event])}\n{write(properties)}\n{found}")
            counts["peer"] += bool(jsonschema)
        for place, keyword in found:
            key = (event, place or None, keyword)
            expected[key] = expected.get(key, 0) + 1
        if found:
            wrong.add(f"m{number}")
        messages.append(write({"type": "track", "messageId": f"m{number}", "userId": "u", "event": event, "properties": properties}))
        counts["messages"] += 1
        counts["wrong"] += bool(found)
    while messages:
        size = chance.choice([1, 5, 60])
        for message in messages[:size]:
            cursor.execute("INSERT INTO cdp.inbox (source, message) VALUES ('s', %s)", [message])
        cursor.execute("CALL cdp.run()")
        messages = messages[size:]
        if chance.random() < 0.3:
            cursor.execute("SELECT cdp_internal.fold_source_counts(0)")
    cursor.execute("SELECT event, property, violation, messages FROM cdp.tracking_violations")
    stored = {row[:3]: row[3] for row in cursor.fetchall()}
    if stored != expected:
        sys.exit(f"plan {write(plan)}\nonly cdp: {sorted(stored.items() - expected.items(), key=str)}\n"
                 f"only the checker: {sorted(expected.items() - stored.items(), key=str)}")
    # The same messages again, of another source whose plan puts them aside.
    cursor.execute("SELECT cdp.create_source('q')")
    cursor.execute("SELECT cdp.create_tracking_plan('q', %s::jsonb, mode => 'quarantine')", [write(plan)])
    cursor.execute("""SELECT cdp.ingest(jsonb_build_object('type', e.type, 'messageId', e.message_id, 'userId', 'u', 'event', e.event,
                      'properties', e.properties), source => 'q') FROM cdp.events AS e WHERE e.source = 's'""")
    cursor.execute("SELECT message_id FROM cdp.quarantine WHERE code = 'plan_violation'")
    aside = {row[0] for row in cursor.fetchall()}
    if aside != wrong:
        sys.exit(f"plan {write(plan)}\nput aside {sorted(aside - wrong)}, not {sorted(wrong - aside)}")
    # And what is discovered fits what it was made from.
    cursor.execute("SELECT cdp.create_source('d')")
    cursor.execute("SELECT cdp.create_tracking_plan('d', cdp.discover_tracking_plan('s'), mode => 'quarantine')")
    cursor.execute("""SELECT sum((cdp.ingest(jsonb_build_object('type', e.type, 'messageId', e.message_id, 'userId', 'u', 'event', e.event,
                      'properties', e.properties), source => 'd')).quarantined) FROM cdp.events AS e WHERE e.source = 's'""")
    if cursor.fetchone()[0] != 0:
        sys.exit("a plan that was discovered does not fit what it was made from")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--plans", type=int, default=int(os.environ.get("CASES") or 20))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    chance = random.Random(f"{args.seed} plans")
    database = ways.Database(args.host, "plans", worker=False)
    counts = {"messages": 0, "wrong": 0, "peer": 0}
    for _ in range(args.plans):
        examine(database, Maker(chance), chance, counts)
    database.drop()
    print(f"{args.plans} plans, {counts['messages']} messages, {counts['wrong']} of them wrong, {counts['peer']} judged by the peer, too")


if __name__ == "__main__":
    main()
