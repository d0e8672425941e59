"""Who is who, thought out from all messages: the rules of docs/identity.md, folded naively, one message after the other.

Identifiers are numbered from 1, in the order of their first accepted mention; a person is called by the smallest.
"""

import re
from dataclasses import dataclass, field

LASTING = ("sharing", "removed_identifier", "blocked")


@dataclass
class Type:
    priority: int = 50
    is_unique: bool = False
    max_values: int = None
    within: int = None  # microseconds
    sharing: str = None
    blocked_values: tuple = ()
    blocked_patterns: tuple = ()

    def limit(self):
        return 1 if self.is_unique else self.max_values

    def blocks(self, value):
        return value in self.blocked_values or any(re.search(one, value) for one in self.blocked_patterns)


@dataclass
class Said:
    """An accepted message."""
    place: int  # in the order of decisions
    carried: list  # numbers, by priority
    at: int  # receipt
    is_alias: bool = False
    message: object = None


@dataclass
class Decision:
    kind: str
    one: int
    other: int
    place: int
    call: int
    revoked: bool = False


@dataclass
class Verdict:
    owner: int
    refused: list
    rule: str = None
    reported: list = field(default_factory=list)  # (number, rule) of those that are not this person otherwise
    joined: bool = False


class Contradiction(Exception):
    """Decisions keep apart what others make one person."""


class Fold:
    """Decides messages one by one. `kinds`: the Type of each identifier; `left_out`: number -> rule."""

    def __init__(self, kinds, first_seen, left_out, decisions):
        self.kinds, self.first_seen, self.left_out = kinds, first_seen, left_out
        self.people = {}  # number -> the set of all numbers of the person
        in_force = [one for one in decisions if not one.revoked]
        self.apart = [(one.one, one.other) for one in in_force if one.kind == "forbid_link"]
        self.cut = {(one.one, one.other) for one in in_force if one.kind == "remove_link"}
        self.user = {}  # device -> who was last on it

    def person(self, number):
        return self.people.setdefault(number, {number})

    def profile(self, number):
        return min(self.person(number))

    def join(self, one, other):
        together = self.person(one) | self.person(other)
        for number in together:
            self.people[number] = together

    def allow(self, one, other):
        if one not in self.left_out and other not in self.left_out:
            self.join(one, other)

    def is_personal(self, number):
        return self.kinds(number).sharing is None

    def eligible(self, carried):
        return [number for number in carried if number not in self.left_out] or carried[:1]

    def decide(self, carried, at, is_alias):
        eligible = self.eligible(carried)
        refused = [(number, self.left_out[number]) for number in carried if number not in eligible]
        before = {self.profile(number) for number in eligible}
        accepted, stopped = eligible[:1], None
        for number in eligible[1:]:
            stopped = stopped or self.obstacle(accepted, number, at, is_alias)
            if stopped:
                refused.append((number, stopped))
                stopped = None if stopped == "sharing" else stopped
                continue
            self.join(accepted[0], number)
            accepted.append(number)
        rule = stopped or (refused[0][1] if refused else None)
        owner = self.owner(carried)
        if self.is_personal(eligible[0]):
            for device in eligible:
                if self.kinds(device).sharing == "latest" and not (
                        rule in ("removed_link", "forbidden_link") and device in dict(refused)):
                    self.user[device] = eligible[0]
        person = self.person(eligible[0])
        return Verdict(owner, [number for number, _ in refused], rule,
                       [one for one in refused if one[0] not in person],
                       len({self.profile(number) for number in eligible}) < len(before))

    def owner(self, carried):
        eligible = self.eligible(carried)
        if not any(map(self.is_personal, eligible)):
            for device in eligible:
                if self.kinds(device).sharing == "latest" and device in self.user:
                    return self.user[device]
        return eligible[0]

    def obstacle(self, accepted, number, at, is_alias):
        if any((min(one, number), max(one, number)) in self.cut for one in accepted):
            return "removed_link"
        a, b = self.person(accepted[0]), self.person(number)
        if a == b:
            return None
        if any(one in a and other in b or one in b and other in a for one, other in self.apart):
            return "forbidden_link"
        policy = self.kinds(number).sharing
        if policy is None and not any(map(self.is_personal, accepted)):
            policy = self.kinds(accepted[0]).sharing
        known = [any(self.is_personal(one) and one not in self.left_out for one in side) for side in (a, b)]
        if policy in ("first", "latest") and all(known) or policy == "none" and any(known):
            return "sharing"
        return None if is_alias else self.limit_broken(a, b, at)

    def limit_broken(self, a, b, at):
        for kind in sorted({self.kinds.name(number) for number in b}, key=str.encode):
            rule = self.kinds.types[kind]
            if rule.limit() is None:
                continue
            counts = []
            for side in (a, b):
                counts.append(sum(1 for one in side if self.kinds.name(one) == kind and (
                    rule.is_unique or rule.within is None or self.first_seen[one] > at - rule.within)))
            if all(counts) and sum(counts) > rule.limit():
                return "unique" if rule.is_unique else "limit"
        return None


class Kinds:
    """number -> Type."""

    def __init__(self, types, names):
        self.types, self.names = types, names

    def __call__(self, number):
        return self.types[self.names[number][0]]

    def name(self, number):
        return self.names[number][0]


class Outcome:
    """The fold of a whole history. `kept`: places of the messages that count; None: all."""

    def __init__(self, world, kept=None):
        self.fold = fold = Fold(Kinds(world.types, world.names), world.first_seen, world.left_out(), world.decisions)
        steps = [(one.place, one) for one in world.said]
        steps += [(one.place, one) for one in world.decisions if one.kind == "allow_link" and not one.revoked]
        self.verdicts = {}
        self.missed = []  # (message, "joins" or "user"): do not count, would join people or change who is on a device
        for place, one in sorted(steps, key=lambda step: step[0]):
            if isinstance(one, Decision):
                fold.allow(one.one, one.other)
            elif kept is None or len(one.carried) < 2 or place in kept:
                self.verdicts[place] = fold.decide(one.carried, one.at, one.is_alias)
            else:
                owner = fold.owner(one.carried)
                people, users = {n: set(s) for n, s in fold.people.items()}, dict(fold.user)
                would = fold.decide(one.carried, one.at, one.is_alias)
                if would.joined or fold.user != users:
                    self.missed.append((one, "joins" if would.joined else "user"))
                fold.people, fold.user = {}, users
                for group in {frozenset(group) for group in people.values()}:
                    group = set(group)
                    fold.people.update(dict.fromkeys(group, group))
                self.verdicts[place] = Verdict(owner, None)

    def contradicted(self):
        return [pair for pair in self.fold.apart if self.fold.profile(pair[0]) == self.fold.profile(pair[1])]


class World:
    """What was said and decided so far."""

    def __init__(self, types):
        self.types = types
        self.numbers, self.names, self.first_seen = {}, [None], [None]
        self.said, self.decisions = [], []
        self.place = self.calls = 0
        self.rules_changed = False

    def left_out(self):
        found = {number: "blocked" for number in range(1, len(self.names))
                 if self.types[self.names[number][0]].blocks(self.names[number][1])}
        found.update({one.one: "removed_identifier" for one in self.in_force("remove_identifier")})
        return found

    def in_force(self, *kinds):
        return [one for one in self.decisions if not one.revoked and (not kinds or one.kind in kinds)]

    def usable(self, identifiers):
        """Without repetitions and what is blocked, by priority."""
        found = []
        for kind, value in identifiers:
            if (kind, value) not in found and not self.types[kind].blocks(value):
                found.append((kind, value))
        return sorted(found, key=lambda one: -self.types[one[0]].priority)

    def say(self, message):
        """None when nothing of it can be used."""
        usable = self.usable(message.identifiers)
        if not usable:
            return None
        for name in usable:
            if name not in self.numbers:
                self.numbers[name] = len(self.names)
                self.names.append(name)
                self.first_seen.append(message.received_at)
            if self.first_seen[self.numbers[name]] is None:
                self.first_seen[self.numbers[name]] = message.received_at
        self.place += 1
        one = Said(self.place, [self.numbers[name] for name in usable], message.received_at, message.kind == "alias",
                   message)
        self.said.append(one)
        return one

    def withdraw(self, gone):
        """As if these had never come; what nobody names any more is known, and not seen."""
        self.said = [one for one in self.said if one not in gone]
        for number in range(1, len(self.names)):
            if any(number in one.carried for one in gone):
                self.first_seen[number] = next((one.at for one in self.said if number in one.carried), None)

    def decide(self, kind, one, other=None):
        """As cdp.allow_link and its like: takes back what says otherwise. Call undo with what it returns."""
        before = [(decision, decision.revoked) for decision in self.decisions]
        if other is not None:
            one, other = min(one, other), max(one, other)
        contrary = ("forbid_link", "remove_link") if kind == "allow_link" else ("allow_link",)
        for decision in self.in_force(*contrary):
            if other is not None and (decision.one, decision.other) == (one, other):
                decision.revoked = True
        self.place += 1
        self.calls += 1
        if not any((decision.one, decision.other) == (one, other) for decision in self.in_force(kind)):
            self.decisions.append(Decision(kind, one, other, self.place, self.calls))
        return before

    def revoke(self, call):
        before = [(decision, decision.revoked) for decision in self.decisions]
        for decision in self.decisions:
            if decision.call == call:
                decision.revoked = True
        self.place += 1
        return before

    def undo(self, before):
        self.decisions = [decision for decision, _ in before]
        for decision, revoked in before:
            decision.revoked = revoked
