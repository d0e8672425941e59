"""Random histories: messages about a handful of people, each with what it means, known by construction."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND

WINDOWS = [HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY]

EVENTS = ["Viewed", "Added", "Bought", "Mailed"]
TRAITS = {"country": ["NL", "DE", None], "plan": ["free", "pro", None], "score": [1, 5, 9.5, None],
          "vip": [True, False, None], "tags": [["a", "b"], {"n": None}, [], None]}
PRODUCTS = ["p1", "p2", "p3"]
EVENT_TYPES = ("track", "page", "screen")
PRIORITY = {"user_id": 100, "email": 90, "phone": 80, "loyalty_id": 70, "device_id": 30, "advertising_id": 20,
            "anonymous_id": 10}

# What does not change whatever a message says: (spelling, normal form).
EMAILS = [
    [("anna@example.com", "anna@example.com"), (" Anna@Example.COM ", "anna@example.com"),
     ("ANNA@example.com.", "anna@example.com")],
    [("bob+shop@example.nl", "bob@example.nl"), ("Bob+Shop@EXAMPLE.nl", "bob@example.nl"),
     ("bob+shop\uff20example.nl", "bob@example.nl")],
    [("j\u00f6rg@m\u00fcller.example", "j\u00f6rg@xn--mller-kva.example"),
     ("JO\u0308RG@M\u00dcLLER.example", "j\u00f6rg@xn--mller-kva.example")],
    [("dee@example.org", "dee@example.org"), ("\tDee@example.org", "dee@example.org")],
    [("eve@example.com", "eve@example.com"), ("eve@EXAMPLE.com", "eve@example.com")],
    [("finn@example.com", "finn@example.com")],
]
PHONES = [
    [("+31 6 12345678", "+31612345678"), ("0031612345678", "+31612345678"), ("+31(0)612345678", "+31612345678")],
    [("+31201234567", "+31201234567"), ("+31 20 123 4567", "+31201234567")],
    [("+49 30 901820", "+4930901820"), ("0049-30-901820", "+4930901820")],
]
DUTCH_PHONES = [("06-12345678", "+31612345678"), ("020 123 4567", "+31201234567")]  # only with a Dutch locale
USERS = [[(f"u{n}", f"u{n}"), (f"  u{n} ", f"u{n}")] for n in range(1, 5)] + [
    [("Jose\u0301", "Jos\u00e9"), ("Jos\u00e9", "Jos\u00e9")], [(42, "42"), ("42", "42")]]
BAD_EMAILS = ["not-an-email", "a@b@c.nl", "@example.com", "x y@example.com"]


def iso(micros):
    """Microseconds since 1970 as ISO 8601."""
    seconds, fraction = divmod(micros, SECOND)
    days, seconds = divmod(seconds, 86400)
    year, month, day = civil(days)
    return (f"{year:04}-{month:02}-{day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            f".{fraction:06}Z")


def civil(days):
    """Days since 1970-01-01 as (year, month, day)."""
    days += 719468
    era, of_era = divmod(days, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year + era * 400 + (month <= 2), month, day


@dataclass
class Message:
    """A message as it is sent, and what a right answer makes of it when it comes first."""
    document: object              # the JSON value; None when the text is no JSON
    text: str
    source: str
    received_at: int
    reject: str = ""              # code of quarantine, "" when it can be read
    type: str = ""
    event: str = None
    group_id: str = None
    identifiers: list = field(default_factory=list)  # (type, normal form, as written), highest priority first
    refused: int = 0              # identifiers that are left out
    traits: dict = None
    properties: dict = None
    context: dict = None
    occurred_at: int = 0
    message_id: str = None
    content: str = ""             # equal texts: equal content
    anew: bool = False            # neither messageId nor timestamp: a new message each time

    def key(self):
        return self.source, self.message_id or self.content


class Generator:
    """One history. `span` is the stretch of receipt times, microseconds since 1970, all in the past."""

    def __init__(self, random, span):
        self.random = random
        self.first, self.last = span
        self.clock = self.first
        self.people = [self.make_person(n) for n in range(random.randint(2, 5))]
        self.instants = []  # used before, to be hit again
        self.agreed = [self.last - random.randint(0, 20 * DAY) for _ in range(2)]  # people say things at the same time
        self.ids = 0
        self.step = (self.last - self.first) // 40

    def make_person(self, n):
        random = self.random
        person = {"user_id": [USERS[n]], "email": [EMAILS[n]],
                  "anonymous_id": [[(f"a{n}{i}", f"a{n}{i}")] for i in range(random.randint(1, 3))],
                  "device_id": [[(f"D-{n}", f"D-{n}")]], "loyalty_id": [[(f"L{n}", f"L{n}")]],
                  "advertising_id": [[(f"ad{n}", f"ad{n}")]]}
        if n < len(PHONES):
            person["phone"] = [PHONES[n]]
        return person

    def messages(self, count):
        made = []
        while len(made) < count:
            self.tick()
            roll = self.random.random()
            if made and roll < 0.10:
                made.append(self.again(self.random.choice(made)))
            elif roll < 0.20:
                made.append(self.bad())
            else:
                made.append(self.good())
        return made

    # Receipt: often the same instant again, now and then a little back, never past the end of the span.
    def tick(self):
        roll = self.random.random()
        if roll < 0.45:
            return
        if roll < 0.52:
            self.clock = max(self.first, self.clock - self.random.choice([1, SECOND, HOUR, 3 * DAY]))
            return
        step = self.random.choice([1, MINUTE, HOUR, DAY, self.random.randint(0, self.step), self.step, 2 * self.step])
        if self.instants and self.random.random() < 0.2:  # on the edge of a window, or one off
            edge = self.random.choice(self.instants) + self.random.choice(WINDOWS)
            if edge >= self.clock:
                step = edge + self.random.choice([-1, 0, 1]) - self.clock
        self.clock = max(self.first, min(self.last, self.clock + step))

    def source(self):
        return "shop" if self.random.random() < 0.15 else "default"

    def instant(self):
        """When something happened, seen from its receipt."""
        random, now = self.random, self.clock
        roll = random.random()
        if roll < 0.15 and self.instants:
            at = random.choice(self.instants) + random.choice([0, 0, -1, 1])
        elif roll < 0.35:
            at = now - random.choice([0, *WINDOWS]) + random.choice([-1, 0, 1])
        elif roll < 0.5:
            at = now + random.randint(0, 20 * DAY)
        elif roll < 0.9:
            at = now - random.randint(0, 40 * DAY)
        else:
            at = now - random.randint(0, 120 * DAY)
        if random.random() < 0.5:
            at -= at % random.choice([1000, SECOND, HOUR, DAY])
        self.instants.append(at)
        return at

    def pick(self, person, kinds):
        """(type, spelling, normal form) of some of a person's identifiers."""
        kind = self.random.choice([k for k in kinds if k in person])
        spelling, normal = self.random.choice(self.random.choice(person[kind]))
        return kind, spelling, normal

    def traits(self):
        random, traits = self.random, {}
        for name, values in TRAITS.items():
            if random.random() < 0.4:
                traits[name] = random.choice(values)
        if random.random() < 0.15:
            traits["renewal"] = iso(self.clock + random.randint(-30, 60) * DAY)
        return traits

    def properties(self):
        random, properties = self.random, {}
        if random.random() < 0.75:
            properties["product_id"] = random.choice(PRODUCTS)
        if random.random() < 0.6:
            properties["price"] = random.choice([5, 10, 19.99, 50, 0, -5, None])
        if random.random() < 0.15:
            properties["expires"] = iso(self.clock + random.randint(-10, 40) * DAY)
        if random.random() < 0.1:
            properties["currency"] = "EUR"
        return properties

    def good(self):
        random = self.random
        kind = random.choices(["identify", "track", "page", "screen", "group", "alias"], [34, 48, 6, 4, 4, 4])[0]
        people = [random.choice(self.people)]
        if random.random() < 0.12:  # a merge of two or three
            people = random.sample(self.people, min(len(self.people), random.randint(2, 3)))
        taken = []
        for person in people:
            for _ in range(random.choice([1, 1, 2, 3])):
                kinds = ["user_id", "anonymous_id", "anonymous_id"]
                if random.random() < 0.5:
                    kinds = list(PRIORITY) if kind in ("identify", "track") else kinds + ["email", "device_id"]
                taken.append(self.pick(person, kinds))
        return self.build(kind, taken)

    def build(self, kind, taken):
        """Puts identifiers into the places where the specification wants them; each place holds one."""
        random = self.random
        document, context = {"type": kind}, {}
        traits, given = self.traits() if kind == "identify" else None, {}
        external, device, accepted, full, carried, refused = [], {}, [], set(), [], 0
        if kind == "alias":
            carried = self.alias(document)
            taken, full = [one for one in taken if one[0] != "user_id"], {"user_id"}
        elif kind == "identify" and random.random() < 0.08:
            traits["email"] = random.choice(BAD_EMAILS)
            full, refused = {"email"}, 1
        elif kind == "track" and random.random() < 0.05:
            given["phone"] = "12"
            full, refused = {"phone"}, 1
        dutch = random.random() < 0.1 and not (traits and "country" in traits)
        if dutch:
            context["locale"] = "nl-NL"
        for identifier_type, spelling, normal in taken:
            said = traits if kind == "identify" and random.random() < 0.7 else given
            places = {"user_id": (document, "userId"), "anonymous_id": (document, "anonymousId"),
                      "email": (said, "email"), "phone": (said, "phone"), "device_id": (device, "id"),
                      "advertising_id": (device, "advertisingId")}
            if identifier_type in places and identifier_type not in full:
                if identifier_type == "phone" and dutch and random.random() < 0.7:
                    spelling, normal = random.choice(DUTCH_PHONES)
                place, name = places[identifier_type]
                place[name] = spelling
            else:
                name = identifier_type.upper() if random.random() < 0.2 else identifier_type
                external.append({"id": spelling, "type": name, "collection": "users", "encoding": "none"})
            full.add(identifier_type)
            accepted.append((identifier_type, spelling, normal))
        if random.random() < 0.03:
            external.append({"id": "acme", "type": "company_id", "collection": "accounts", "encoding": "none"})
        if random.random() < 0.15:
            context["campaign"] = {"name": random.choice(["spring", "autumn"])}
        parts = {"externalIds": external, "device": device, "traits": given}
        context |= {name: part for name, part in parts.items() if part}
        carried += self.in_order(kind, document, traits, given, external, device, accepted)
        return self.finish(kind, document, traits, context, carried, refused)

    def alias(self, document):
        random = self.random
        person = random.choice(self.people)
        other = random.choice(self.people) if random.random() < 0.2 else person
        _, spelling, normal = self.pick(person, ["user_id"])
        _, before, normal_before = self.pick(other, ["user_id"])
        if random.random() < 0.5:
            before = normal_before = f"old-{random.randint(1, 3)}"
        document |= {"userId": spelling, "previousId": before}
        return [("user_id", normal, str(spelling).strip()), ("user_id", normal_before, str(before).strip())]

    @staticmethod
    def in_order(kind, document, traits, given, external, device, accepted):
        """As the specification is read: userId, emails, phones, externalIds, device, anonymousId."""
        normal = {(identifier_type, str(spelling)): form for identifier_type, spelling, form in accepted}
        said = [("user_id", document.get("userId") if kind != "alias" else None)]
        said += [(name, place.get(name)) for name in ("email", "phone") for place in (traits or {}, given)]
        said += [(one["type"].lower(), one["id"]) for one in external]
        said += [("device_id", device.get("id")), ("advertising_id", device.get("advertisingId")),
                 ("anonymous_id", document.get("anonymousId"))]
        return [(identifier_type, normal[identifier_type, str(spelling)], str(spelling).strip())
                for identifier_type, spelling in said if (identifier_type, str(spelling)) in normal]

    def finish(self, kind, document, traits, context, carried, refused):
        random = self.random
        message = Message(None, "", self.source(), self.clock, type=kind)
        if kind == "track":
            document["event"] = message.event = random.choices(EVENTS, [4, 4, 2, 1])[0]
        elif kind in ("page", "screen") and random.random() < 0.7:
            document["name"] = message.event = random.choice(["Home", "Viewed"])
        elif kind == "group":
            document["groupId"] = message.group_id = random.choice(["g1", "g2"])
            if random.random() < 0.5:
                traits = {"employees": random.randint(1, 9), "country": "NL"}
        if kind in EVENT_TYPES and random.random() < 0.9:
            document["properties"] = message.properties = self.properties()
        if traits is not None and (traits or random.random() < 0.8):
            document["traits"] = message.traits = traits
        if context:
            document["context"] = message.context = context
        if random.random() < 0.05:
            document["integrations"] = {"All": random.random() < 0.5}
        self.set_times(document, message)
        roll = random.random()
        if roll < 0.75:
            self.ids += 1
            document["messageId"] = message.message_id = f"m{self.ids}"
        elif roll < 0.8 and self.ids:  # somebody else's messageId: a conflict, unless that one never got in
            document["messageId"] = message.message_id = f"m{random.randint(1, self.ids)}"
        timed = "timestamp" in document or "originalTimestamp" in document
        message.anew = not message.message_id and not timed
        message.refused = refused
        unique = {}
        for identifier_type, normal, spelling in carried:
            unique.setdefault((identifier_type, normal), (identifier_type, normal, spelling))
        message.identifiers = sorted(unique.values(), key=lambda one: -PRIORITY[one[0]])
        return self.write(message, document)

    def set_times(self, document, message):
        """Segment's clock-skew rule: with sentAt, what happened x before sending happened x before receipt."""
        random = self.random
        roll = random.random()
        message.occurred_at = self.clock
        if roll < 0.15:
            return
        device = self.instant()
        if message.type == "identify" and message.traits is not None and random.random() < 0.5:
            device = random.choice(self.agreed)
            message.traits["plan"] = random.choice(["free", "pro", "max", None])
            document["traits"] = message.traits
        message.occurred_at = device
        if roll < 0.22:
            document["timestamp"], document["originalTimestamp"] = iso(device), iso(device - HOUR)
            return
        document["originalTimestamp" if roll < 0.27 else "timestamp"] = iso(device)
        if random.random() < 0.2:
            sent = device + random.choice([0, SECOND, HOUR, 2 * DAY])
            document["sentAt"] = iso(sent)
            message.occurred_at = self.clock - (sent - device)

    def write(self, message, document):
        items = list(document.items())
        self.random.shuffle(items)
        message.document = dict(items)
        message.text = json.dumps(message.document, ensure_ascii=self.random.random() < 0.5)
        said = {name: value for name, value in document.items() if name not in ("messageId", "sentAt", "receivedAt")}
        for name in ("userId", "previousId", "anonymousId"):
            if name in said:
                said[name] = str(said[name]).strip()
        message.content = json.dumps(said, sort_keys=True)
        return message

    def again(self, message):
        """The same message once more: as it was, sent again, or changed."""
        random = self.random
        copy = Message(**vars(message))
        copy.received_at = self.clock
        if not isinstance(copy.document, dict) or copy.reject:
            return copy
        document = dict(copy.document)
        timed = "timestamp" in document or "originalTimestamp" in document
        if not timed:
            copy.occurred_at = self.clock
        elif "sentAt" in document:  # skewed from the new receipt: matters where it is taken, as in another source
            copy.occurred_at = copy.occurred_at - message.received_at + self.clock
        roll = random.random()
        if roll < 0.3 and not ("timestamp" in document and "originalTimestamp" in document) and timed:
            device = self.micros(document)
            sent = device + random.randint(1, 100) * MINUTE
            document["sentAt"] = iso(sent)
            copy.occurred_at = self.clock - (sent - device)
        elif roll < 0.55:
            name = "traits" if copy.type in ("identify", "group") else "properties"
            if copy.type != "alias":
                changed = dict(document.get(name) or {}, changed=random.randint(1, 3))
                document[name] = changed
                setattr(copy, name, changed)
        elif roll < 0.65:
            copy.source = "shop" if copy.source == "default" else "default"
        return self.write(copy, document)

    @staticmethod
    def micros(document):
        text = document.get("originalTimestamp") or document["timestamp"]
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        delta = at - datetime(1970, 1, 1, tzinfo=timezone.utc)
        return (delta.days * 86400 + delta.seconds) * SECOND + delta.microseconds

    def bad(self):
        """What must go to quarantine, and hurt nobody."""
        choices = [
            ("invalid_json", None, '{"type": "track", "event": "Added", "userId": "u1"'),
            ("invalid_json", None, "not json at all"),
            ("invalid_unicode", None, '{"type": "track", "event": "A\\u0000", "userId": "u1"}'),
            ("invalid_json", 42, None),
            ("missing_type", {"userId": "u1"}, None),
            ("unknown_type", {"type": "buy", "userId": "u1"}, None),
            ("missing_event", {"type": "track", "userId": "u1", "event": ""}, None),
            ("no_identifier", {"type": "track", "event": "Added", "userId": "  "}, None),
            ("no_identifier", {"type": "identify", "traits": {"email": "not-an-email"}}, None),
            ("invalid_timestamp", {"type": "track", "event": "Added", "userId": "u1", "timestamp": "yesterday"}, None),
            ("missing_group_id", {"type": "group", "userId": "u1"}, None),
            ("missing_previous_id", {"type": "alias", "userId": "u1"}, None),
            ("invalid_field", {"type": "track", "event": "Added", "userId": ["u1"]}, None)]
        code, document, text = self.random.choice(choices)
        if isinstance(document, dict) and self.random.random() < 0.5:
            document = dict(document, messageId=f"m{self.random.randint(1, self.ids + 1)}")
        message = Message(document, text or json.dumps(document), self.source(), self.clock, reject=code)
        if isinstance(document, dict):
            message.message_id = document.get("messageId")
        return message


def can_be_jsonb(message):
    """Broken texts can only come in through the inbox."""
    return message.document is not None
