"""One history: made, sent by every way, held against the oracles, and made smaller when it fails."""

import random
import time
from dataclasses import dataclass
from datetime import date

import oracles
import ways
from messages import DAY, Generator, HOUR, SECOND, can_be_jsonb, iso
from model import Model
from oracles import Difference
from rules import Maker

LATE_SEGMENTS = 5  # how many are created again where segments come after messages
CLOCK_CHANGES = ["2025-03-30", "2025-10-26", "2026-03-29", "2026-10-25", "2027-03-28", "2027-10-31", "2028-03-26",
                 "2028-10-29"]  # Amsterdam's; New York's are near
MONTH_ENDS = ["2025-02-28", "2025-12-31", "2026-02-28", "2026-05-31", "2027-02-28", "2028-02-29"]


@dataclass
class History:
    seed: str
    rules_seed: str  # histories may share their rules
    today: int       # midnight: no receipt is later, so that a seed means the same all day
    rules_wanted: int
    messages: list = None
    rules: list = None  # None: not drawn yet
    drawn: int = 0
    refused: int = 0
    points: int = 0
    inside: int = 0

    def make(self):
        chance = random.Random(self.seed)
        self.messages = Generator(chance, span(chance, self.today)).messages(chance.choice([3, 8, 12, 18, 24, 30]))
        return self

    def chance(self, what):
        return random.Random(f"{self.seed} {what}")


def span(chance, today):
    """A stretch of the past: up to today, around a change of clocks or the end of a month, or anywhere."""
    roll = chance.random()
    length = chance.choice([HOUR, DAY, 10 * DAY, 45 * DAY, 120 * DAY])
    last = today
    if roll < 0.45:
        days = CLOCK_CHANGES if roll < 0.3 else MONTH_ENDS
        past = [at for at in map(midnight, days) if at < today]
        last = min(today, chance.choice(past[-3:]) + chance.randint(0, 40) * DAY + chance.randint(0, 23) * HOUR)
    elif roll < 0.7:
        last = today - chance.randint(0, 700) * DAY - chance.randint(0, DAY)
    return last - length, last


def midnight(day):
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY


class Examiner:
    """Two databases of its own: one whose worker is stopped, one with a worker."""

    def __init__(self, host, number):
        self.called = ways.Database(host, f"differential_{number}", worker=False)
        self.worked = ways.Database(host, f"differential_{number}_worker", worker=True)
        self.rules_seed = self.rules = self.saved = None

    def close(self):
        self.called.drop()
        self.worked.drop()

    def examine(self, history, only=ways.WAYS):
        """Raises Difference; leaves the state of the first way in self.called when only that is asked for."""
        base = late = None
        floor = iso((int(time.time()) + 3600) * SECOND)
        saved = self.draw_rules(history)
        for way in only:
            database = self.worked if way == ways.WAYS[3] else self.called
            chance = history.chance(way)
            comes_late = way != ways.WAYS[0] and chance.random() < 0.1
            try:
                self.run(database, history, way, saved, chance, comes_late)
                if base is None:
                    base, late = self.state(database, history, None), self.state(database, history, floor)
                    self.check(history)
                else:
                    state = self.state(database, history, floor if comes_late else None)
                    ways.compare(late if comes_late else base, state, way + ", segments late" * comes_late, only[0])
                    oracles.check_verify(database.cursor)
            except Difference as difference:
                difference.way = way
                if isinstance(difference.rule, int):
                    difference.rule = history.rules[difference.rule - 1]
                raise

    def draw_rules(self, history):
        """Creates the segments among nobody; rules that are refused are drawn again."""
        if history.rules_seed == self.rules_seed and history.rules is None:
            history.rules = self.rules
            return self.saved
        self.called.reset()
        if history.rules is None:
            maker = Maker(random.Random(history.rules_seed), values=0.25)
            history.rules = []
            while len(history.rules) < history.rules_wanted:
                rule = maker.rule(history.rules)
                history.drawn += 1
                if self.called.create_segment(len(history.rules) + 1, rule):
                    history.rules.append(rule)
                else:
                    history.refused += 1
        else:
            for place, rule in enumerate(history.rules, 1):
                self.called.create_segment(place, rule)
        self.rules_seed, self.rules = history.rules_seed, history.rules
        self.saved = self.called.saved_segments()
        return self.saved

    def run(self, database, history, way, saved, chance, comes_late):
        messages = sendable(history, way)
        database.reset()
        parts = [messages]
        if comes_late:
            cut = chance.choice([len(messages), chance.randint(0, len(messages))])
            parts = [messages[:cut], messages[cut:]]
        else:
            database.restore_segments(saved)
        totals = [0, 0, 0]
        for place, part in enumerate(parts):
            if place == 1:
                self.create_late(database, history)
            counts = ways.send(database, way, part, chance) if part else [0, 0, 0]
            totals = totals and counts and [a + b for a, b in zip(totals, counts)]
        model = Model(messages)
        expected = [model.count(fate) for fate in ("accepted", "duplicate", "quarantined")]
        if totals and totals != expected:
            raise Difference("messages", f"accepted, duplicate, quarantined: {totals}, expected {expected}")

    @staticmethod
    def create_late(database, history):
        for place, rule in enumerate(history.rules[:LATE_SEGMENTS], 1):
            database.create_segment(place, rule)

    @staticmethod
    def state(database, history, floor):
        return database.state(floor or "-infinity", LATE_SEGMENTS if floor else len(history.rules))

    def check(self, history, way=ways.WAYS[0]):
        """The oracles, over the state of a way that had its segments before its messages."""
        cursor = self.called.cursor
        model = Model(sendable(history, way))
        ids, seqs = oracles.load(cursor, model)
        oracles.check_messages(cursor, model, ids, seqs)
        oracles.check_identities(cursor)
        oracles.check_profiles(cursor)
        chance = history.chance("instants")
        known = max([step.start for step in model.steps], default=history.today)
        for place, rule in enumerate(history.rules, 1):
            instants = [iso(known + chance.randint(-60 * DAY, 60 * DAY)) for _ in range(2)] + [iso(known + 3000 * DAY)]
            looked, inside = oracles.check_memberships(cursor, place, rule, instants)
            history.points += looked
            history.inside += inside
            instants = [iso(known + chance.randint(0, days * DAY)) for days in (0, 8, 40)]
            oracles.check_design(cursor, place, rule, instants)
        oracles.check_ranges(cursor)
        oracles.check_verify(cursor)


def sendable(history, way):
    return [message for message in history.messages if "inbox" in way or can_be_jsonb(message)]
