"""Plants faults in who is who, as stored, and sees that cdp.verify() and the model both report them."""

import sys

import psycopg2

from identity_examiner import Examiner
from identity_history import FIRST, Message
from identity_model import Outcome, Type
from messages import DAY
from oracles import Difference

ONE = "ctid = (SELECT ctid FROM {} ORDER BY {} LIMIT 1)"


def change(table, where, order, what):
    return f"UPDATE cdp.{table} SET {what} WHERE " + ONE.format(f"cdp.{table} WHERE {where}", order)


# (what cdp.verify() must call it, what is done behind cdp's back): one row is changed by the last
# statement, or there is nothing to spoil here.
FAULTS = [
    # A lost link: nothing is left of the message that joined somebody but the fact itself.
    ("no evidence is kept of a message", """
       CREATE TEMP TABLE lost ON COMMIT DROP AS SELECT e.decision_seq, i.identifier_id FROM cdp.evidence e JOIN cdp.identifiers i
         ON i.identifier_id = e.identifiers[2] WHERE e.refused IS NULL AND i.profile_id <> i.identifier_id
         AND NOT EXISTS (SELECT FROM cdp.evidence o WHERE o.decision_seq <> e.decision_seq AND i.identifier_id = ANY (o.identifiers))
         ORDER BY 1 LIMIT 1;
       UPDATE cdp.identifiers SET profile_id = identifier_id WHERE identifier_id IN (SELECT identifier_id FROM lost);
       DELETE FROM cdp.evidence_members WHERE decision_seq IN (SELECT decision_seq FROM lost);
       DELETE FROM cdp.evidence WHERE decision_seq IN (SELECT decision_seq FROM lost)"""),
    ("an identifier belongs to another person", change(
        "identifiers", "profile_id <> identifier_id", "identifier_id DESC", "profile_id = identifier_id")),
    # A refusal that was not retried when its obstacle went.
    ("evidence leaves out others than the rules say", change(
        "evidence", "refused IS NULL", "decision_seq DESC",
        "refused = identifiers[array_length(identifiers, 1):], rule = 'unique'")),
    ("evidence leaves out others than the rules say", change(
        "evidence", "rule = 'limit'", "decision_seq", "refused = NULL, rule = NULL")),
    ("evidence leaves out others than the rules say", change(
        "evidence", "rule = 'sharing'", "decision_seq", "rule = 'unique'")),
    ("evidence is not what its message carried", change(
        "evidence", "true", "decision_seq", "linked_at = linked_at + interval '1 us'")),
    ("evidence is not found by its identifier", "DELETE FROM cdp.evidence_members WHERE " + ONE.format(
        "cdp.evidence_members", "decision_seq")),
    ("a fact belongs to another identifier", change(
        "event_records", "carried[1] = identifier_id AND cardinality(carried) > 1 AND EXISTS (SELECT FROM cdp.identifiers i JOIN "
        "cdp.identifier_types t USING (type) WHERE i.identifier_id = carried[1] AND t.sharing IS NULL AND i.left_out IS NULL)",
        "event_id", "identifier_id = carried[2]")),
    ("a fact on a shared device belongs to another identifier", change(
        "event_records", "identifier_id <> ALL (carried)", "event_id", "identifier_id = carried[1]")),
    ("another was last on the device", change(
        "identifiers", "user_on_device_id IS NOT NULL", "identifier_id", "user_on_device_id = NULL")),
    # A stale decision: made when the two were other people.
    ("a decision names people of another time", change(
        "identity_decisions", "kind = 'forbid_link' AND revoked_at IS NULL", "decision_id", "profile_id = profile_id + 1")),
    ("an identifier is left out otherwise than decided", change(
        "identifiers", "left_out IS NULL", "identifier_id", "left_out = 'removed'")),
    ("an identifier is left out otherwise than decided", change(
        "identifiers", "left_out = 'removed'", "identifier_id", "left_out = NULL")),
    ("a person has no profile row", "DELETE FROM cdp.profiles WHERE " + ONE.format("cdp.profiles", "profile_id")),
    ("a profile row is nobody's", "INSERT INTO cdp.profiles (profile_id, public_id, last_seen_at) SELECT "
     "max(profile_id) + 1000, gen_random_uuid(), now() FROM cdp.profiles"),
]

# A window off by one: a second email on the very last microsecond of a day after the first one.
EDGE = [("send", [Message("track", [("user_id", "u1"), ("email", f"e{n}@shop.example")], {}, at, at, f"m{n}")])
        for n, at in ((1, FIRST), (2, FIRST + DAY - 1))]
OFF_BY_ONE = ("evidence leaves out others than the rules say",
              "UPDATE cdp.identifier_types SET within = within - interval '1 us' WHERE type = 'email'")


def self_test(host, make):
    """Every fault in the first of some histories that has something to spoil."""
    examiner = Examiner(host, "faults")
    waiting = list(FAULTS)
    try:
        for number in range(300):
            history = make(number)
            if waiting and len(history.operations) >= 12:
                examiner.examine(history, only_first=True)
                waiting = [fault for fault in waiting if not plant(examiner, *fault)]
        edge = make(0)
        edge.types = {kind: Type() for kind in edge.types} | {"email": Type(max_values=1, within=DAY)}
        edge.operations = EDGE
        examiner.examine(edge, only_first=True)
        if not plant(examiner, *OFF_BY_ONE):
            sys.exit("there is no window to spoil")
    finally:
        examiner.close()
    if waiting:
        sys.exit(f"no history to plant these faults in: {waiting}")


def plant(examiner, problem, statement):
    """False when there is nothing to change here."""
    cursor = examiner.cursor
    cursor.execute("BEGIN")
    try:
        try:
            cursor.execute(statement)
        except (psycopg2.errors.CheckViolation, psycopg2.errors.NotNullViolation):
            return False
        if cursor.rowcount != 1:
            return False
        cursor.execute("SELECT problem FROM cdp.verify()")
        found = {row[0] for row in cursor.fetchall()}
        if problem not in found:
            sys.exit(f"cdp.verify() found {found or 'nothing'}, not '{problem}', after: {statement}")
        try:
            examiner.compare(Outcome(examiner.world))
        except Difference:
            return True
        sys.exit(f"the model did not see this fault: {statement}")
    finally:
        cursor.execute("ROLLBACK")
