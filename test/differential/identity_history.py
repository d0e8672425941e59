"""Random histories of who is who: rules, messages about a handful of identifiers, and people's decisions in between."""

import json
from dataclasses import dataclass

from identity_model import Type
from messages import DAY, HOUR, MINUTE, SECOND, iso

FIRST = 1735689600 * SECOND  # 2025-01-01
STOCK = ("user_id", "email", "loyalty_id", "device_id", "anonymous_id")
CUSTOM = ("card", "till")
VALUES = {"user_id": "u{}", "email": "e{}@shop.example", "loyalty_id": "L{}", "device_id": "d{}", "anonymous_id": "a{}",
          "card": "c{}", "till": "t{}"}
DEVICES = ("device_id", "anonymous_id", "till")
WINDOWS = (HOUR, DAY, 7 * DAY)


@dataclass
class Message:
    kind: str
    chosen: list  # (type, value); of an alias message the two user ids first
    traits: dict
    received_at: int
    occurred_at: int
    message_id: str

    def __post_init__(self):
        self.identifiers = in_order(self.kind, self.chosen)

    def document(self):
        document = {"type": self.kind, "messageId": self.message_id}
        if self.occurred_at != self.received_at:
            document["timestamp"] = iso(self.occurred_at)
        context, external, rest = {}, [], list(self.chosen)
        places = {"user_id": (document, "userId"), "email": (context.setdefault("traits", {}), "email"),
                  "device_id": (context.setdefault("device", {}), "id"), "anonymous_id": (document, "anonymousId")}
        if self.kind == "alias":
            document["userId"], document["previousId"] = rest[0][1], rest[1][1]
            rest, places = rest[2:], {kind: place for kind, place in places.items() if kind != "user_id"}
        for kind, value in rest:
            place, name = places.get(kind, ({}, ""))
            if name and name not in place:
                place[name] = value
            else:
                external.append({"id": value, "type": kind, "collection": "users", "encoding": "none"})
        context = {name: part for name, part in (context | {"externalIds": external}).items() if part}
        if context:
            document["context"] = context
        if self.kind == "track":
            document["event"] = "Seen"
        if self.kind == "identify":
            document["traits"] = self.traits
        return document


def in_order(kind, chosen):
    """As the specification is read: userId, previousId, email, externalIds, device, anonymousId."""
    places = {"user_id": 0, "email": 2, "device_id": 4, "anonymous_id": 5}
    ranked, taken, external = [], set(), 0
    for place, (name, value) in enumerate(chosen):
        is_alias = kind == "alias" and place < 2
        if is_alias or name in places and name not in taken and not (kind == "alias" and name == "user_id"):
            ranked.append((place if is_alias else places[name], 0, (name, value)))
            taken.add(name if not is_alias else "")
        else:
            ranked.append((3, external, (name, value)))
            external += 1
    return [identifier for _, _, identifier in sorted(ranked, key=lambda one: one[:2])]


class Generator:
    def __init__(self, random):
        self.random = random
        self.clock, self.instants, self.ids = FIRST + 30 * DAY, [], 0
        self.kinds = list(STOCK[:2]) + random.sample(STOCK[2:] + CUSTOM, random.randint(2, 5))
        self.values = {kind: [VALUES[kind].format(n) for n in range(1, random.randint(2, 4) + 1)] for kind in self.kinds}
        self.decides = random.choice([0, 0.15, 0.35])
        self.changes_rules = random.random() < 0.2
        self.withdraws = random.choice([0, 0, 0.15, 0.3])
        self.aliases = random.choice([0, 0, 0.1])
        self.together = random.choice([2, 3, 5])
        self.types = {kind: self.type(kind) for kind in STOCK + CUSTOM}

    def type(self, kind):
        random = self.random
        one = Type(priority=random.choice([100, 90, 50, 50, 30]))
        if kind in DEVICES:
            one.priority = random.choice([30, 20, 10, 10, 60])
            one.sharing = random.choice(["joins", "first", "first", "latest", "latest", "none", None])
        roll = random.random()
        if roll < 0.3:
            one.is_unique = True
        elif roll < (0.4 if kind in DEVICES else 0.75):
            one.max_values = random.choice([1, 2, 2, 3])
            one.within = random.choice([None, *WINDOWS])
        if random.random() < 0.08 and kind in self.kinds:
            one.blocked_values = (random.choice(self.values[kind]),)
        if random.random() < 0.04 and kind in self.kinds:
            one.blocked_patterns = (random.choice(["2", "^.1", "3$"]),)
        return one

    def operations(self, count):
        made = [self.crowd()] if self.random.random() < 0.06 else []
        while len(made) < count:
            roll = self.random.random()
            if made and roll < self.decides:
                made.append(self.decision())
            elif self.changes_rules and roll > 0.94:
                made.append(self.rules())
            elif made and self.withdraws and random_below(self.random, self.withdraws):
                made.append(self.withdrawal())
            else:
                made.append(("send", [self.message() for _ in range(self.random.choice([1, 1, 1, 2, 4]))]))
                self.tick()
        return made

    def withdrawal(self):
        """Some messages are taken back, and perhaps others put in their place."""
        random = self.random
        places = [random.randint(0, 40) for _ in range(random.choice([1, 1, 2, 5]))]
        messages = [self.message() for _ in range(random.choice([0, 0, 1, 2]))]
        if messages:
            self.tick()
        return "withdraw", places, messages

    # Receipt: often on the edge of a window from something before, or one off; now and then a little back.
    def tick(self):
        random = self.random
        roll = random.random()
        self.instants.append(self.clock)
        if roll < 0.35:
            return
        if roll < 0.45:
            self.clock -= random.choice([1, MINUTE, HOUR])
        elif roll < 0.75:
            edge = random.choice(self.instants) + random.choice(WINDOWS) + random.choice([-1, 0, 1])
            self.clock = edge if edge >= self.clock else self.clock + 1
        else:
            self.clock += random.choice([1, MINUTE, HOUR, DAY, 8 * DAY])

    def crowd(self):
        """Somebody with more identifiers than are read one by one."""
        kind = self.random.choice([*CUSTOM, "anonymous_id"])
        self.types[kind].is_unique, self.types[kind].max_values, self.types[kind].within = False, None, None
        user = self.name(["user_id"])
        messages = []
        for first in (1, 41):
            self.ids += 1
            values = [(kind, f"k{n}") for n in range(first, first + 40)]
            messages.append(Message("track", [user, *values], {}, self.clock, self.clock, f"m{self.ids}"))
        return "send", messages

    def name(self, kinds=None):
        kind = self.random.choice(kinds or self.kinds)
        return kind, self.random.choice(self.values[kind])

    def names(self):
        devices = [kind for kind in self.kinds if kind in DEVICES]
        only = devices if devices and self.random.random() < 0.2 else None
        return [self.name(only) for _ in range(self.random.randint(1, self.together))]

    def message(self):
        random = self.random
        kind = "alias" if random.random() < self.aliases else random.choice(["track", "track", "identify", "page"])
        chosen = self.names()
        if kind == "alias":
            chosen = [self.name(["user_id"]), self.name(["user_id"])] + [one for one in chosen if one[0] != "user_id"]
        traits = {name: random.choice([1, 2, 3, None]) for name in ("plan", "score") if random.random() < 0.6}
        self.ids += 1
        at = self.clock if random.random() < 0.7 else self.clock - random.choice([1, HOUR, 3 * DAY])
        return Message(kind, chosen, traits, self.clock, at, f"m{self.ids}")

    def decision(self):
        random = self.random
        roll = random.random()
        if roll < 0.2:
            return "revoke", random.randint(0, 20)
        if roll < 0.4:
            return "split", [self.name() for _ in range(random.randint(2, 4))]
        if roll < 0.5:
            return "remove_identifier", self.name()
        return random.choice(["allow_link", "forbid_link", "remove_link", "remove_link"]), self.name(), self.name()

    def rules(self):
        kinds = self.random.sample(self.kinds, self.random.choice([1, 1, 2]))
        return "rules", {kind: self.type(kind) for kind in kinds}, self.random.choice(["run", "rebuild"])


def random_below(random, share):
    return random.random() < share


def text(value):
    return "'" + str(value).replace("'", "''") + "'"


def named(name):
    return text(json.dumps({name[0]: name[1]}))


def interval(micros):
    return f"interval '{micros} microseconds'"


def array(values):
    return f"ARRAY[{', '.join(map(text, values))}]::text[]"


def settings(one):
    """The parameters of cdp.create_identifier_type that say so."""
    found = {"priority": one.priority, "is_unique": str(one.is_unique).lower()}
    if one.max_values:
        found["max_values"] = one.max_values
    if one.within:
        found["within"] = interval(one.within)
    if one.sharing:
        found["sharing"] = text(one.sharing)
    found |= {name: array(getattr(one, name)) for name in ("blocked_values", "blocked_patterns") if getattr(one, name)}
    return found


def create_type(kind, one):
    given = ", ".join(f"{name} => {value}" for name, value in settings(one).items())
    return f"SELECT cdp.create_identifier_type({text(kind)}, {given});"


def alter_type(kind, one):
    given = settings(one)
    clear = [name for name in ("max_values", "within", "sharing", "blocked_values", "blocked_patterns")
             if name not in given]
    given["clear"] = array(clear)
    return (f"SELECT cdp.alter_identifier_type({text(kind)}, " +
            ", ".join(f"{name} => {value}" for name, value in given.items()) + ");")


def ingest(messages):
    body = messages[0].document() if len(messages) == 1 else {"batch": [one.document() for one in messages]}
    return f"SELECT * FROM cdp.ingest({text(json.dumps(body))}, received_at => '{iso(messages[0].received_at)}');"


def exchange(gone, messages):
    """Withdraws the facts of these places, in the order of decisions."""
    places = ", ".join(map(str, gone))
    seqs = ("(SELECT array_agg(f.seq) FROM (SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS place FROM (SELECT event_id AS seq "
            f"FROM cdp.event_records UNION ALL SELECT decision_seq FROM cdp.assertions) AS a) AS f WHERE f.place IN ({places}))")
    if not messages:
        return f"SELECT cdp_internal.withdraw({seqs}, 'because');"
    lines = ", ".join(text(json.dumps(one.document())) for one in messages)
    return (f"SELECT fate FROM cdp_internal.exchange({seqs}, array_fill('default'::text, ARRAY[{len(messages)}]), array_fill(NULL::text, ARRAY[{len(messages)}]), ARRAY[{lines}], "
            f"array_fill('{iso(messages[0].received_at)}'::timestamptz, ARRAY[{len(messages)}]), 'because');")


def to_inbox(messages):
    values = ", ".join(f"({text(json.dumps(one.document()))}, '{iso(one.received_at)}')" for one in messages)
    return f"INSERT INTO cdp.inbox (message, received_at) VALUES {values};"
