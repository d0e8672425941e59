"""One history of who is who: sent, held against the model, sent again in other batches."""

import copy
import json
from collections import Counter

import psycopg2
import psycopg2.errors

from identity_history import CUSTOM, STOCK, alter_type, create_type, exchange, ingest, named, text, to_inbox
from identity_model import Decision, Outcome, Type, World
from oracles import Difference
from ways import Database

MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"
SEEN = "nullif(first_seen_at, 'infinity')"
STORED = {
    "identifiers": f"SELECT identifier_id, type, value, profile_id, left_out, user_on_device_id, "
                   f"{MICROS.format(SEEN)} FROM cdp.identifiers ORDER BY 1",
    "facts": "SELECT event_id, identifier_id, message_id FROM cdp.event_records UNION ALL "
             "SELECT decision_seq, identifier_id, message_id FROM cdp.assertions ORDER BY 1",
    "evidence": f"SELECT decision_seq, identifiers, refused, rule, {MICROS.format('linked_at')}, is_explicit, "
                "ARRAY(SELECT identifier_id FROM cdp.evidence_members AS m WHERE m.decision_seq = e.decision_seq ORDER BY 1) "
                "FROM cdp.evidence AS e ORDER BY 1",
    "profiles": f"SELECT profile_id, traits, {MICROS.format('last_seen_at')} FROM cdp.profiles",
    "decisions": "SELECT kind, identifier_id, other_identifier_id, revoked_at IS NOT NULL, profile_id, other_profile_id "
                 "FROM cdp.identity_decisions ORDER BY decision_id",
    "rules": f"SELECT type, priority, is_unique, max_values, ({MICROS.format('within')}), sharing, blocked_values, "
             "blocked_patterns FROM cdp.identifier_types",
    "refusals": "SELECT message_id, type, value, rule FROM cdp.refusals",
}
# What must not depend on how messages are put into batches. Decisions take effect now; only messages' instants compare.
STATE = {
    "identifiers": "SELECT identifier_id, type, value, profile_id, first_seen_at, left_out, user_on_device_id "
                   "FROM cdp.identifiers",
    "evidence": "SELECT * FROM cdp.evidence",
    "members": "SELECT * FROM cdp.evidence_members",
    # Of somebody with many identifiers, only so many conflicts are read as the rules need.
    "refusals": "SELECT decision_seq, type, value, rule, reason, identifier_id, message_id, refused_at, "
                "CASE WHEN (SELECT count(*) FROM cdp.identifiers) <= 64 THEN conflicts END FROM cdp.refusals",
    "changes": "SELECT decision_seq, change, profile_id, from_profile_id, identifiers, reason, "
               "CASE WHEN effective_at < '2026-01-01' THEN effective_at END FROM cdp.identity_changes",
    "decisions": "SELECT kind, identifier_id, other_identifier_id, profile_id, other_profile_id, decision_seq, "
                 "revoked_at IS NULL FROM cdp.identity_decisions",
    "events": "SELECT event_id, identifier_id, carried FROM cdp.event_records",
    "assertions": "SELECT decision_seq, identifier_id, carried FROM cdp.assertions",
    "profiles": "SELECT profile_id, traits, trait_origins, last_seen_at FROM cdp.profiles",
}
LEFT_OUT = {None: None, "removed": "removed_identifier", "blocked": "blocked"}


class Examiner:
    def __init__(self, host, number):
        self.database = Database(host, f"identities_{number}", worker=False)
        self.cursor = self.database.cursor
        self.trace = []
        self.counts = Counter()

    def close(self):
        self.database.drop()

    def examine(self, history, only_first=False):
        """Raises Difference; leaves the state of the first way in the database."""
        try:
            self.both_ways(history, only_first)
        except psycopg2.Error as error:
            raise Difference("error", f"{error.pgcode}: {error}\n{self.trace[-1]}") from None

    def both_ways(self, history, only_first):
        self.run(history, history.chance("batches"), check=True)
        if only_first:
            return
        first = self.state()
        self.run(history, history.chance("other batches"), check=False)
        for what, rows in self.state().items():
            if rows != first[what]:
                raise Difference("batches", f"{what} differ in other batches\n  first {sorted(set(first[what]) - set(rows))}"
                                            f"\n  then  {sorted(set(rows) - set(first[what]))}")

    def state(self):
        found = {}
        for what, query in STATE.items():
            self.cursor.execute(f"SELECT q::text FROM ({query}) q ORDER BY 1")
            found[what] = [row[0] for row in self.cursor.fetchall()]
        return found

    def execute(self, statement):
        self.trace.append(statement)
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else []

    def run(self, history, chance, check):
        self.database.reset()
        self.cursor.execute("DELETE FROM cdp.identifier_types; SELECT cdp_internal.make_identifier_types()")
        self.trace = []
        self.world = World(copy.deepcopy(history.types))
        self.refusals, self.repeated, self.inexact = Counter(), set(), False
        for kind in STOCK:
            self.execute(alter_type(kind, history.types[kind]))
        for kind in CUSTOM:
            self.execute(create_type(kind, history.types[kind]))
        waiting = []
        for operation in history.operations + [("end",)]:
            if operation[0] == "send":
                if check:
                    self.send(operation[1], chance, check)
                else:
                    waiting += operation[1]
                continue
            if waiting:
                self.send_by_inbox(waiting, chance)
                waiting = []
            if operation[0] == "rules":
                self.change_rules(*operation[1:])
            elif operation[0] == "withdraw":
                self.withdraw(*operation[1:])
            elif operation[0] != "end":
                self.decide(*operation)
            if check:
                self.check()

    def send(self, messages, chance, check):
        while messages:
            number = chance.choice([1, 1, len(messages)])
            chunk, messages = messages[:number], messages[number:]
            accepted, _, quarantined = self.execute(ingest(chunk))[0]
            said = self.say(chunk)
            if (accepted, quarantined) != (len(said), len(chunk) - len(said)):
                raise Difference("messages", f"{accepted} accepted, expected {len(said)}")
        if check and chance.random() < 0.3:
            self.check()

    def send_by_inbox(self, messages, chance):
        self.execute(to_inbox(messages))
        self.execute(f"SET cdp.batch_size = {chance.choice([1, 2, 3, 7, 1000])};")
        self.execute("CALL cdp.run();")
        self.say(messages)

    def say(self, messages, at_the_end=False):
        said, before = [], {tuple(one.carried) for one in self.world.said}
        for message in messages:
            one = self.world.say(message)
            if one:
                if tuple(one.carried) in before:
                    self.repeated.add(message.message_id)
                before.add(tuple(one.carried))
                said.append(one)
                dropped = {name for name in message.identifiers if self.world.types[name[0]].blocks(name[1])}
                # As often as it was written, but for the very same spelling.
                self.refusals.update((message.message_id, *name, "blocked") for name in dropped)
        outcome = Outcome(self.world)
        for one in said:
            reported = outcome.verdicts[one.place].reported
            if at_the_end:
                verdict, fold = outcome.verdicts[one.place], outcome.fold
                rule_of = {number: world_rule for number, world_rule in reported}
                reported = [(number, rule_of.get(number, verdict.rule)) for number in verdict.refused
                            if fold.profile(number) != fold.profile(fold.eligible(one.carried)[0])]
            for number, rule in reported:
                self.refusals[(one.message.message_id, *self.world.names[number], rule)] += 1
        return said

    def withdraw(self, places, messages):
        """What is taken back is as if it had never come; what comes in its place is decided after all the rest."""
        world = self.world
        if not world.said:
            return
        gone = sorted({place % len(world.said) for place in places})
        statement = exchange(gone, messages)
        taken = [world.said[place] for place in gone]
        world.withdraw(taken)
        said = self.say(messages, at_the_end=True)
        found = self.execute(statement)
        if messages and [row[0] for row in found] != ["accepted" if any(one.message is message for one in said) else "quarantined"
                                                      for message in messages]:
            raise Difference("messages", f"{statement}\n{found}, expected {len(said)} accepted")
        if not messages and int(found[0][0]) != len(gone):
            raise Difference("messages", f"{statement}\n{found}, expected {len(gone)}")
        self.counts["withdrawn"] += len(gone)

    # People's decisions.

    def decide(self, kind, *names):
        if kind == "revoke":
            return self.revoke(names[0])
        known = [name for name in (names[0] if kind == "split" else names) if name in self.world.numbers]
        if kind == "split":
            return known and self.split(known)
        if len(known) < len(names) or len(known) == 2 and known[0] == known[1]:
            return None
        before = self.world.decide(kind, *[self.world.numbers[name] for name in known])
        given = ", ".join(map(named, known))
        return self.attempt(f"SELECT * FROM cdp.{kind}({given}, 'because');", before)

    def revoke(self, number):
        in_force = self.world.in_force()
        if not in_force:
            return
        place = number % len(in_force)
        before = self.world.revoke(in_force[place].call)
        self.attempt("SELECT * FROM cdp.revoke_decision((SELECT decision_id FROM cdp.identity_decisions WHERE revoked_at "
                     f"IS NULL ORDER BY 1 OFFSET {place} LIMIT 1), 'because');", before)

    def attempt(self, statement, before):
        contradicted = Outcome(self.world).contradicted()
        try:
            self.execute(statement)
            raised = False
        except psycopg2.errors.ObjectNotInPrerequisiteState:
            raised = True
        if raised != bool(contradicted):
            if bool(Outcome(self.world, self.kept()).contradicted()) == raised and self.excused():
                self.inexact = True
            else:
                raise Difference("decisions", f"{statement}\n{'raised' if raised else 'did not raise'} 55000, "
                                              f"contradictions: {contradicted}")
        if raised:
            self.world.undo(before)
            self.counts["contradictions"] += 1
        self.counts["decisions"] += not raised

    def split(self, known):
        world = self.world
        ids = {(kind, value): (number, profile) for number, kind, value, profile, *_ in self.read("identifiers")}
        profile = ids[known[0]][1]
        leaving = {}
        for kind, value in known:
            if ids[kind, value][1] == profile and value not in leaving.get(kind, []):
                leaving.setdefault(kind, []).append(value)
        whose = f"(SELECT profile_id FROM cdp.identifiers WHERE type = {text(known[0][0])} AND value = {text(known[0][1])})"
        try:
            self.execute(f"SELECT * FROM cdp.split_profile({whose}, {text(json.dumps(leaving))}, 'because');")
        except psycopg2.errors.ObjectNotInPrerequisiteState:
            self.counts["contradictions"] += 1
            return
        except psycopg2.errors.InvalidParameterValue:
            return  # nothing would stay
        world.place += 1
        world.calls += 1
        back = {row[0]: world.numbers[row[1], row[2]] for row in self.read("identifiers")}
        rows = self.read("decisions")
        for decision, row in zip(world.decisions, rows):
            decision.revoked = row[3]
        for kind, one, other, revoked, *_ in rows[len(world.decisions):]:
            world.decisions.append(Decision(kind, back[one], back[other], world.place, world.calls, revoked))
        self.counts["splits"] += 1
        goes = {world.numbers[kind, value] for kind, values in leaving.items() for value in values}
        last = [one for one in world.in_force("forbid_link")
                if (one.one in goes) != (one.other in goes)][-1]
        stays = last.other if last.one in goes else last.one
        now = {world.numbers[kind, value]: person for _, kind, value, person, *_ in self.read("identifiers")}
        together = [number for number in goes if now[number] == now[stays]]
        if together:
            raise Difference("split", f"{[world.names[n] for n in together]} did not leave {world.names[stays]}")

    def change_rules(self, types, how):
        old = self.world.types
        self.world.types = {**old, **copy.deepcopy(types)}
        if Outcome(self.world).contradicted():  # decisions that were one person's are not under the new rules
            self.world.types = old
            return
        for kind, one in types.items():
            self.execute(alter_type(kind, one))
        applied = self.execute("SELECT cdp.apply_identity_rules();")[0][0]
        self.world.rules_changed = True
        rows = self.execute("SELECT * FROM cdp.verify() WHERE room = 'identity';")
        if [row[1] for row in rows] != (["rules are being applied"] if int(applied) else []):
            raise Difference("verify", f"while rules are being applied: {rows}")
        self.execute(f"CALL cdp.{how}();")
        self.counts["rule changes"] += 1

    # The model against what is stored.

    def read(self, what):
        self.cursor.execute(STORED[what])
        return self.cursor.fetchall()

    def kept(self):
        places = {seq: one.place for (seq, *_), one in zip(self.read("facts"), self.world.said)}
        return {places[row[0]] for row in self.read("evidence") if row[0] in places}

    def check(self):
        self.cursor.execute("SELECT * FROM cdp.verify()")
        for row in self.cursor.fetchall():
            raise Difference("verify", f"cdp.verify(): {row}")
        try:
            self.compare(Outcome(self.world))
        except Difference:
            outcome = Outcome(self.world, self.kept())
            if not self.excused(outcome):
                raise
            self.inexact = True
            self.compare(outcome)

    def excused(self, outcome=None):
        """Evidence is not kept again when the same was accepted before. That is all there is to know, but
        - under the rules of then;
        - when a later decision has the first one refused, and somebody had allowed more before it came again;
        - when a later decision has another message say who was last on a device, and this one said so again."""
        world = self.world
        outcome = outcome or Outcome(world, self.kept())
        if not outcome.missed:
            return False
        freed = [one.place for one in world.said if one.is_alias]
        freed += [one.place for one in world.decisions if one.kind == "allow_link"]
        for one, why in outcome.missed:
            first = [other for other in world.said if other.carried == one.carried and other.place < one.place
                     and outcome.verdicts[other.place].refused is not None]
            if world.rules_changed:
                self.counts["inexact: other rules"] += 1
            elif why == "user" and any(other.place > one.place for other in world.decisions):
                self.counts["inexact: last on a device"] += 1
            elif any(outcome.verdicts[other.place].rule in ("unique", "limit")
                     and any(other.place < place < one.place for place in freed) for other in first):
                self.counts["inexact: allowed before"] += 1
            else:
                return False
        return True

    def compare(self, outcome):
        world, fold = self.world, outcome.fold
        rows = self.read("identifiers")
        number_of = {row[0]: world.numbers.get((row[1], row[2])) for row in rows}
        number_of[None] = None
        stored = [(number_of[row[0]], number_of.get(row[3]), LEFT_OUT[row[4]], number_of[row[5]], row[6]) for row in rows]
        expected = [(number, fold.profile(number), fold.left_out.get(number),
                     None if number in fold.left_out or world.types[world.names[number][0]].sharing != "latest"
                     else fold.user.get(number), world.first_seen[number]) for number in range(1, len(world.names))]
        self.same("identifiers (person, left out, user on device, first seen)", stored, expected)

        facts = self.read("facts")
        stored = [(row[2], number_of[row[1]]) for row in facts]
        owners = {one.place: outcome.verdicts[one.place].owner for one in world.said}
        self.same("owners of facts", stored, [(one.message.message_id, owners[one.place]) for one in world.said])

        places = {row[0]: one.place for row, one in zip(facts, world.said)}
        carried = {one.place: one for one in world.said}
        rows = self.read("evidence")
        stored = [(places.get(row[0]), [number_of[n] for n in row[1]], [number_of[n] for n in row[2] or []], *row[3:6],
                   [number_of[n] for n in row[6]]) for row in rows]
        expected = []
        for place, *_ in stored:
            verdict, one = outcome.verdicts[place], carried[place]
            expected.append((place, one.carried, verdict.refused, verdict.rule, one.at, one.is_alias, sorted(one.carried)))
        self.same("evidence (identifiers, refused, rule, at, explicit, members)", stored, expected)
        seen, kept = set(), {row[0] for row in stored}
        for one in world.said:
            if len(one.carried) > 1 and one.place not in kept and (one.is_alias or tuple(one.carried) not in seen):
                raise Difference("identities", f"no evidence of {one.message}")
            seen.add(tuple(one.carried))

        stored = {number_of.get(row[0], 0): (row[1], row[2]) for row in self.read("profiles")}
        self.same("profiles (traits, last seen)", sorted(stored.items()), sorted(self.golden(outcome).items()))
        stored = [(row[0], number_of[row[1]], number_of[row[2]], row[3], number_of.get(row[4], 0), number_of.get(row[5], 0))
                  for row in self.read("decisions")]
        people = [(fold.profile(one.one), fold.profile(one.other)) if one.kind == "forbid_link" and not one.revoked
                  else (None, None) for one in world.decisions]
        self.same("decisions", stored, [(one.kind, one.one, one.other, one.revoked, *whose)
                                        for one, whose in zip(world.decisions, people)])
        stored = {kind: Type(*rule[:5], *map(tuple, rule[5:])) for kind, *rule in self.read("rules") if kind in world.types}
        self.same("rules", sorted(stored.items(), key=str), sorted(world.types.items(), key=str))
        if not self.inexact:
            self.same("refusals", sorted(self.comparable(self.read("refusals"))),
                      sorted(self.comparable(self.refusals.elements())))
        self.check_rules(fold)

    def comparable(self, refusals):
        """What came before is refused for the reason of the first time, though there may be another by now."""
        return [(one, *name, "again" if one in self.repeated and rule != "blocked" else rule)
                for one, *name, rule in refusals]

    def same(self, what, stored, expected):
        if stored != expected:
            lines = [f"  {self.names(one)}\n    expected {self.names(other)}"
                     for one, other in zip(stored, expected) if one != other][:5]
            if len(stored) != len(expected):
                lines.append(f"  {stored}\n    expected {expected}")
            raise Difference("identities", f"{what} differ:\n" + "\n".join(lines))

    def names(self, row):
        return f"{row} (identifier {row[0]} is {self.world.names[row[0]]})" if isinstance(row[0], int) and len(
            row) == 5 else str(row)

    def golden(self, outcome):
        people = {}
        for one in self.world.said:
            profile = outcome.fold.profile(outcome.verdicts[one.place].owner)
            person = people.setdefault(profile, {"seen": one.at, "traits": {}})
            person["seen"] = max(person["seen"], one.at)
            if one.message.kind == "identify":
                for name, value in one.message.traits.items():
                    when = (one.message.occurred_at, one.place)
                    if name not in person["traits"] or when >= person["traits"][name][0]:
                        person["traits"][name] = (when, value)
        return {profile: ({name: value for name, (_, value) in person["traits"].items() if value is not None},
                          person["seen"]) for profile, person in people.items()}

    def check_rules(self, fold):
        """No rule is broken by what is stored, whatever the model thinks of it."""
        world = self.world
        freed = {number for one in world.decisions if one.kind == "allow_link" for number in (one.one, one.other)}
        freed |= {number for one in world.said if one.is_alias for number in one.carried}
        for one in world.in_force("forbid_link"):
            if fold.profile(one.one) == fold.profile(one.other):
                raise Difference("identities", f"{one} does not hold")
        for person in {frozenset(fold.person(number)) for number in range(1, len(world.names))}:
            for kind, rule in world.types.items():
                number = sum(world.names[one][0] == kind for one in person)
                if rule.limit() and (rule.is_unique or rule.within is None) and number > rule.limit() and not person & freed:
                    raise Difference("identities", f"{person} has {number} of {kind}")
