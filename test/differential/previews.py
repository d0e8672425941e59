#!/usr/bin/env python3
"""A preview of a random rule against the segment that it makes: the same people, in one transaction.

    previews.py --host DIR [--seed N] [--rules 60]

DIR holds the socket of a server that preloads cdp. cdp.preview_segment reads the events by plain SQL in one pass, segments
are judged from timelines or one person at a time: they share the compiler alone. What cdp.explain_segment counts must be the
members, too. SEED and CASES are defaults.
"""

import argparse
import os
import random
import sys
import time

import psycopg2

import ways
from history import midnight
from messages import DAY, Generator, can_be_jsonb
from rules import Maker

RULES_A_HISTORY = 15

BEFORE = "SELECT people, memberships, sample_people FROM cdp.preview_segment(%s, %s, %s, sample => 10000)"
OVERLAP = "SELECT overlap -> 'made' ->> 'in_both', people FROM cdp.preview_segment(%s, %s, %s, overlap_with => '{made}')"
MEMBERS = "SELECT count(DISTINCT profile_id), count(*), coalesce(array_agg(DISTINCT profile_id), '{}') FROM cdp.members('made')"
EXPLAINED = """SELECT (array_agg(people) FILTER (WHERE part = 'rule'))[1], (array_agg(kept) FILTER (WHERE part = 'rule'))[1],
  (array_agg(kept ORDER BY number DESC) FILTER (WHERE part = 'condition'))[1] FROM cdp.explain_segment('made')"""


def ask(cursor, text, values=None):
    cursor.execute(text, values)
    return cursor.fetchone()


def compare(cursor, rule):
    """Returns how many people are in, or None when the compiler refuses the rule."""
    arguments = [rule.text, rule.per, rule.time_zone]
    cursor.execute("BEGIN")
    try:
        try:
            cursor.execute("SAVEPOINT refused")
            before = ask(cursor, BEFORE, arguments)
        except psycopg2.errors.FeatureNotSupported as refused:
            before = str(refused).splitlines()[0]
            cursor.execute("ROLLBACK TO refused")
        try:
            ask(cursor, "SELECT cdp.create_segment('made', %s, %s, %s)", arguments)
        except psycopg2.errors.FeatureNotSupported as refused:
            if before != str(refused).splitlines()[0]:
                sys.exit(f"the segment is refused, its preview says {before}:\n{rule}")
            return None
        people, memberships, ids = ask(cursor, MEMBERS)
        if before != (people, memberships, sorted(ids)):
            sys.exit(f"preview {before}, members {(people, memberships, sorted(ids))}:\n{rule}")
        overlap = ask(cursor, OVERLAP, arguments)
        if overlap != (str(people), people):
            sys.exit(f"a segment of {people} overlaps with its own preview in {overlap}:\n{rule}")
        explained = ask(cursor, EXPLAINED)
        if explained != (people, memberships, memberships):
            sys.exit(f"explained as {explained}, members {(people, memberships)}:\n{rule}")
        return people
    finally:
        cursor.execute("ROLLBACK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--rules", type=int, default=int(os.environ.get("CASES") or 60))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    chance = random.Random(f"{args.seed} previews")
    database = ways.Database(args.host, "previews", worker=False)
    maker, today = Maker(chance), midnight(time.strftime("%Y-%m-%d", time.gmtime()))
    compared = inside = refused = 0
    while compared < args.rules:
        database.reset()
        length = chance.choice([2, 10, 45, 120]) * DAY
        messages = [one for one in Generator(chance, (today - length, today)).messages(60) if can_be_jsonb(one)]
        ways.send(database, ways.WAYS[1], messages, chance)
        for _ in range(RULES_A_HISTORY):
            people = compare(database.cursor, maker.rule())
            refused += people is None
            compared += people is not None
            inside += people or 0
    database.drop()
    print(f"{compared} rules, {refused} refused, {inside} people in them: previews and segments agree")
    if inside == 0:
        sys.exit("nobody was in any segment")


if __name__ == "__main__":
    main()
