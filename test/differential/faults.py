"""Plants faults in what is stored and sees that the oracles report them."""

import sys

import psycopg2

import ways
from history import Examiner
from oracles import Difference

# (oracle that must see it, what is done behind cdp's back); each must change exactly one row.
FAULTS = [
    ("identities", "UPDATE cdp.identifiers SET profile_id = identifier_id WHERE identifier_id = "
                   "(SELECT max(identifier_id) FROM cdp.identifiers WHERE profile_id <> identifier_id)"),
    ("identities", "UPDATE cdp.identifiers SET profile_id = (SELECT max(profile_id) FROM cdp.profiles) "
                   "WHERE identifier_id = (SELECT min(identifier_id) FROM cdp.identifiers WHERE profile_id <> "
                   "identifier_id AND profile_id <> (SELECT max(profile_id) FROM cdp.profiles))"),
    ("identities", "DELETE FROM cdp.evidence WHERE decision_seq = (SELECT decision_seq FROM cdp.links GROUP BY 1 "
                   "HAVING count(*) = 1 ORDER BY 1 LIMIT 1)"),
    ("profiles", "UPDATE cdp.profiles SET traits = traits || '{\"country\": \"XX\"}' WHERE profile_id = "
                 "(SELECT max(profile_id) FROM cdp.profiles)"),
    ("profiles", "UPDATE cdp.profiles SET traits = traits - (SELECT min(k) FROM jsonb_object_keys(traits) k) "
                 "WHERE profile_id = (SELECT min(profile_id) FROM cdp.profiles WHERE traits <> '{}')"),
    ("profiles", "UPDATE cdp.profiles SET last_seen_at = last_seen_at + interval '1 us' WHERE profile_id = "
                 "(SELECT min(profile_id) FROM cdp.profiles)"),
    ("messages", "DELETE FROM cdp.event_records WHERE event_id = (SELECT max(event_id) FROM cdp.event_records)"),
    ("messages", "UPDATE cdp.event_records SET occurred_at = occurred_at + interval '1 us' WHERE event_id = "
                 "(SELECT min(event_id) FROM cdp.event_records)"),
    ("messages", "UPDATE cdp.identifiers SET first_seen_at = first_seen_at - interval '1 us' WHERE identifier_id = 1"),
] + [("memberships", f"{change} WHERE ctid = (SELECT ctid FROM cdp.memberships WHERE {where} "
                     "ORDER BY segment_id, profile_id, key, entered_at LIMIT 1)") for change, where in [
    ("UPDATE cdp.memberships SET left_at = left_at + interval '1 us'", "isfinite(left_at)"),
    ("UPDATE cdp.memberships SET left_at = left_at - interval '1 us'", "isfinite(left_at)"),
    ("UPDATE cdp.memberships SET entered_at = entered_at + interval '1 us'", "decision_seq IS NULL"),
    ("UPDATE cdp.memberships SET entered_at = entered_at - interval '1 us'", "decision_seq IS NOT NULL"),
    ("UPDATE cdp.memberships SET decision_seq = decision_seq + 1", "decision_seq IS NOT NULL"),
    ("UPDATE cdp.memberships SET left_at = 'infinity'", "isfinite(left_at)"),
    ("UPDATE cdp.memberships SET profile_id = profile_id + 1", "true"),
    ("DELETE FROM cdp.memberships", "isfinite(left_at)"),
    ("UPDATE cdp.memberships SET key = 'p9'", "key IS NOT NULL")]]


def self_test(host, make):
    """Every fault in the first of some histories that has something to spoil."""
    examiner = Examiner(host, "faults")
    waiting = list(FAULTS)
    try:
        for number in range(50):
            history = make(number)
            if waiting and len(history.messages) >= 12:
                examiner.examine(history, ways.WAYS[:1])
                waiting = [fault for fault in waiting if not plant(examiner, history, *fault)]
    finally:
        examiner.close()
    if waiting:
        sys.exit(f"no history to plant these faults in: {waiting}")


def plant(examiner, history, oracle, change):
    """False when there is nothing to change here."""
    cursor = examiner.called.cursor
    before = examiner.state(examiner.called, history, None)
    cursor.execute("BEGIN")
    try:
        try:
            cursor.execute(change)
        except (psycopg2.errors.CheckViolation, psycopg2.errors.UniqueViolation):
            return False  # the table itself refuses this one here, such as a range of no length, or one that is there
        if cursor.rowcount == 0:
            return False
        if cursor.rowcount != 1:
            sys.exit(f"{cursor.rowcount} rows changed by {change}")
        must_see(oracle, change, lambda: examiner.check(history))
        after = examiner.state(examiner.called, history, None)
        must_see("ways", change, lambda: ways.compare(before, after, "after", "before"))
        return True
    finally:
        cursor.execute("ROLLBACK")


def must_see(oracle, change, look):
    try:
        look()
    except Difference as difference:
        if difference.oracle != oracle:
            sys.exit(f"{difference.oracle}, not {oracle}, saw this fault: {change}\n{difference.text}")
        return
    sys.exit(f"{oracle} did not see this fault: {change}")
