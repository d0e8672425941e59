"""What must come of a history, thought out from the messages alone: no code and no query of cdp has a part in it."""

import json
from dataclasses import dataclass, field

from identity_model import Fold, Kinds, Type
from messages import EVENT_TYPES

EPOCH_2000 = 946684800 * 1_000_000  # trait_origins count from 2000

# The rules that every database starts with.
TYPES = {"user_id": Type(100, is_unique=True), "email": Type(90, max_values=5), "phone": Type(80, max_values=3),
         "loyalty_id": Type(70, is_unique=True), "device_id": Type(30, sharing="first"),
         "advertising_id": Type(20, sharing="first"), "anonymous_id": Type(10, sharing="first")}


@dataclass
class Accepted:
    """An accepted message and its place in the order of decisions, from 1."""
    number: int
    message: object
    identifiers: list = field(default_factory=list)  # their numbers, the owner first
    joined: list = field(default_factory=list)  # those of them that no rule left out


@dataclass
class Step:
    """A person from one decision about them to the next."""
    profile: int
    number: int
    start: int
    end: int = None  # None: still so
    traits: dict = field(default_factory=dict)
    events: list = field(default_factory=list)  # numbers of accepted messages
    since: dict = field(default_factory=dict)   # trait -> since when it has been what it is


@dataclass
class Person:
    last_seen: int = None
    golden: dict = field(default_factory=dict)  # trait -> ((asserted_at, number), value)
    said: list = field(default_factory=list)    # (trait, (asserted_at, number), value as text)
    events: list = field(default_factory=list)
    step: Step = None

    def say(self, traits, at, number):
        for name, value in traits.items():
            self.said.append((name, (at, number), json.dumps(value, sort_keys=True)))
            if name not in self.golden or (at, number) >= self.golden[name][0]:
                self.golden[name] = ((at, number), value)

    def absorb(self, other):
        for name, (when, value) in other.golden.items():
            if name not in self.golden or when >= self.golden[name][0]:
                self.golden[name] = (when, value)
        self.events += other.events
        self.said += other.said

    def since(self):
        """Of each trait the first time that its value was said after the last time that something else was."""
        found = {}
        for name in {name for name, _, _ in self.said}:
            story = sorted((when, value) for one, when, value in self.said if one == name)
            first = max((place for place, (_, value) in enumerate(story) if value != story[-1][1]), default=-1) + 1
            found[name] = story[first][0][0]
        return found

    def traits(self):
        return {name: value for name, (_, value) in self.golden.items() if value is not None}


class Model:
    """Identifiers and decisions are numbered from 1, in order; the ids in the database must keep that order."""

    def __init__(self, messages):
        self.accepted, self.fates, self.codes = [], [], []
        self.identifiers = []  # (type, normal form) in the order of their first accepted mention
        self.first_seen = []   # (receipt, spelling) of that mention
        self.refused = 0
        self.steps = []
        self.people = {}       # smallest identifier of a person -> Person
        self._names, self._seen = [None], [None]
        self._fold = Fold(Kinds(TYPES, self._names), self._seen, {}, [])
        self._number_of, self._taken = {}, {}
        self._joined = {}  # those identifiers -> what was joined of them
        for message in messages:
            self._send(message)

    def count(self, fate):
        return self.fates.count(fate)

    def _send(self, message):
        if message.reject:
            self.codes.append(message.reject)
            self.fates.append("quarantined")
            return
        if not message.anew:
            before = self._taken.get(message.key())
            if before is not None:
                same = before == message.content
                self.fates.append("duplicate" if same else "quarantined")
                self.codes += [] if same else ["conflicting_content"]
                return
            self._taken[message.key()] = message.content
        self.fates.append("accepted")
        self.refused += message.refused
        one = Accepted(len(self.accepted) + 1, message)
        one.identifiers = [self._identifier(message, *identifier) for identifier in message.identifiers]
        self.accepted.append(one)
        self._decide(one)

    def _identifier(self, message, kind, normal, spelling):
        if (kind, normal) not in self._number_of:
            self.identifiers.append((kind, normal))
            self.first_seen.append((message.received_at, spelling))
            number = len(self.identifiers)
            self._number_of[kind, normal] = number
            self._names.append((kind, normal))
            self._seen.append(message.received_at)
        return self._number_of[kind, normal]

    def _decide(self, one):
        message = one.message
        together = sorted({self._fold.profile(number) for number in one.identifiers})
        verdict = self._fold.decide(one.identifiers, message.received_at, message.type == "alias")
        one.joined = [number for number in one.identifiers if number not in verdict.refused]
        # The same identifiers again are no new evidence, also when a device that was left out would not be any more.
        if message.type != "alias" and verdict.rule in (None, "sharing"):
            one.joined = self._joined.setdefault(tuple(one.identifiers), one.joined)
        self.refused += len(verdict.reported)
        winner = self._fold.profile(verdict.owner)
        known = [self.people.pop(number) for number in together
                 if self._fold.profile(number) == winner and number in self.people]
        person = self.people[winner] = Person()
        seen = [other.last_seen for other in known]
        person.last_seen = max(seen + [message.received_at])
        for other in known:
            other.step.end = person.last_seen
            person.absorb(other)
        if message.type == "identify" and message.traits:
            person.say(message.traits, message.occurred_at, one.number)
        if message.type in EVENT_TYPES:
            person.events.append(one.number)
        person.step = Step(winner, one.number, person.last_seen, None, person.traits(), list(person.events), person.since())
        self.steps.append(person.step)

    def lasting_steps(self):
        """Steps that hold at any instant: of several at one instant the last counts."""
        return [step for step in self.steps if step.end is None or step.end > step.start]
