"""The ways in: one call a message, a call a batch, the inbox by CALL cdp.run(), the inbox by the worker."""

import argparse
import json
import os
import random
import time
import traceback

import psycopg2
import psycopg2.errors

import oracles
from messages import can_be_jsonb, iso

WAYS = ("one by one", "in batches", "inbox by cdp.run", "inbox by the worker")

# What a way leaves behind, as text. Not compared, because they differ by their nature: public_id (a secret of each
# database goes in), random message ids and their keys, the clock's quarantined_at and created_at, the JSON text of
# quarantined lines (the inbox keeps it as it came, jsonb does not), and source_id (a name's number may depend on who
# else is new in the batch; the name is compared).
STATE = {
    "identifiers": "SELECT identifier_id, type, value, raw_value, profile_id, first_seen_at FROM cdp.identifiers",
    "links": """SELECT identifier_id, other_identifier_id, decision_seq, source, linked_at, {id} FROM cdp.links
                JOIN cdp.sources USING (source_id)""",
    "refusals": """SELECT decision_seq, type, value, reason, source, {id}, refused_at FROM cdp.refusals
                   JOIN cdp.sources USING (source_id)""",
    "events": """SELECT event_id, identifier_id, source, type, event, occurred_at, received_at, {id}, properties,
                 context, extra FROM cdp.event_records JOIN cdp.sources USING (source_id)""",
    "assertions": """SELECT decision_seq, identifier_id, source, type, group_id, asserted_at, received_at, {id}, traits,
                     context, extra FROM cdp.assertions JOIN cdp.sources USING (source_id)""",
    "profiles": "SELECT profile_id, traits, trait_origins, last_seen_at FROM cdp.profiles",
    "message keys": """SELECT source, content_hash FROM cdp.message_keys JOIN cdp.sources USING (source_id)""",
    "quarantine": "SELECT source, received_at, code, reason, {id} FROM cdp.quarantine WHERE {valid}",
    # From an instant on: what lasted longer is cut there. The decision of a range that began before does not count.
    "memberships": """SELECT segment_id, profile_id, key, greatest(entered_at, {floor}), left_at,
                      CASE WHEN entered_at > {floor} THEN decision_seq END FROM cdp.memberships WHERE left_at > {floor}
                      AND segment_id <= {segments}""",
}
# What no jsonb can hold comes through the inbox only.
SENDABLE = "code <> 'invalid_unicode' AND (code <> 'invalid_json' OR reason LIKE '%must be a JSON object')"
MESSAGE_ID = "CASE WHEN message_id LIKE 'random-%' THEN 'random' ELSE message_id END"


class Database:
    """A database with cdp in it, emptied between runs."""

    def __init__(self, host, name, worker):
        self.host, self.name, self.worker, self.resets = host, name, worker, 0
        self.server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
                    f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        self.connection = psycopg2.connect(host=host, user="postgres", dbname=name)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET timezone = 'UTC'; SET jit = off; SET client_min_messages = warning;"
                            "CREATE EXTENSION cdp")
        if not worker:
            self.cursor.execute("SELECT cdp.stop_worker()")
        oracles.prepare(self.cursor)
        keep = "('secrets', 'identifier_types', 'worker_status', 'progress')"
        self.tables = self.names("r", f"AND relname NOT IN {keep}") + self.names("p", "")
        self.sequences = self.names("S", "")

    def server(self, *statements):
        connection = psycopg2.connect(host=self.host, user="postgres", dbname="postgres")
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()

    def drop(self):
        self.connection.close()
        self.server(f"DROP DATABASE {self.name} WITH (FORCE)")

    def names(self, kind, more):
        self.cursor.execute("SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace IN ('cdp'::regnamespace, "
                            f"'cdp_internal'::regnamespace) AND relkind = %s {more} ORDER BY 1", [kind])
        return [row[0] for row in self.cursor.fetchall()]

    def reset(self):
        """Empties everything; the views of segments go too. DELETE is quicker than TRUNCATE, now and then."""
        self.resets += 1
        empty = "DELETE FROM {};" if self.resets % 50 else "TRUNCATE {} CASCADE;"
        self.cursor.execute("SELECT 'DROP VIEW ' || string_agg(c.oid::regclass::text, ', ') FROM pg_class c WHERE "
                            "relnamespace = 'cdp_segments'::regnamespace AND relname <> 'all_segments'")
        drop = self.cursor.fetchone()[0]
        statements = ((drop + ";" if drop else "") + "".join(map(empty.format, self.tables)) +
                      "SELECT " + ", ".join(map("setval('{}', 1, false)".format, self.sequences)))
        while True:
            try:
                return self.cursor.execute(statements)
            except psycopg2.errors.DeadlockDetected:  # the worker locks the same tables in the order of its work
                continue

    def create_segment(self, place, rule):
        """False when the compiler says it cannot keep this one exact."""
        try:
            if rule.is_value:
                self.cursor.execute("SELECT cdp.create_computed_trait(%s, %s, %s)", [f"s{place}", rule.text, rule.time_zone])
            else:
                self.cursor.execute("SELECT cdp.create_segment(%s, %s, %s, %s)",
                                    [f"s{place}", rule.text, rule.per, rule.time_zone])
            return True
        except psycopg2.errors.FeatureNotSupported:
            return False
        except psycopg2.Error as error:
            raise oracles.Difference("create_segment", f"{error.pgcode}: {error}", rule) from None

    def saved_segments(self):
        self.cursor.execute("SELECT coalesce(jsonb_agg(s), '[]')::text FROM cdp.segments s UNION ALL "
                            "SELECT coalesce(jsonb_agg(i), '[]')::text FROM cdp_internal.timeline_inputs i")
        return [row[0] for row in self.cursor.fetchall()]

    def restore_segments(self, saved):
        """Segments compiled before, of nobody yet: quicker than compiling them again."""
        for table, rows in zip(["cdp.segments", "cdp_internal.timeline_inputs"], saved):
            self.cursor.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM "
                                f"jsonb_populate_recordset(NULL::{table}, %s)", [rows])

    def state(self, floor, segments):
        result = {}
        for what, query in STATE.items():
            query = query.format(id=MESSAGE_ID, floor=f"'{floor}'::timestamptz", valid=SENDABLE, segments=segments)
            self.cursor.execute(f"SELECT q::text FROM ({query}) q ORDER BY 1")
            result[what] = [row[0] for row in self.cursor.fetchall()]
        return result


def send(database, way, messages, random):
    """Sends messages by one of the ways; returns counts (accepted, duplicate, quarantined), None from the inbox."""
    if way == WAYS[0]:
        return ingest(database, [[message] for message in messages])
    if way == WAYS[1]:
        return ingest(database, chunks(messages, random, alike=True))
    if way == WAYS[2]:
        fill(database, messages, random)
        database.cursor.execute(f"SET cdp.batch_size = {random.choice([1, 2, 3, 5, 8, 20, 1000])}")
        database.cursor.execute("CALL cdp.run()")
        return None
    for chunk in chunks(messages, random, alike=False):
        fill(database, chunk, random)
        if random.random() < 0.3:
            time.sleep(random.random() * 0.02)
    wait_for_worker(database)
    return None


def chunks(messages, random, alike):
    """Cuts at random, and where source or receipt change if they must be alike in a chunk."""
    found = []
    most = random.choice([2, 5, 20, 1000])
    for message in messages:
        last = found[-1] if found else None
        if last and len(last) < most and random.random() < 0.9 and not (alike and (
                last[0].source, last[0].received_at) != (message.source, message.received_at)):
            last.append(message)
        else:
            found.append([message])
    return found


def ingest(database, batches):
    totals = [0, 0, 0]
    for batch in batches:
        text = batch[0].text if len(batch) == 1 else '{"batch": [' + ", ".join(m.text for m in batch) + "]}"
        database.cursor.execute("SELECT * FROM cdp.ingest(%s, %s, %s)",
                                [text, batch[0].source, iso(batch[0].received_at)])
        for place, count in enumerate(database.cursor.fetchone()):
            totals[place] += count
    return totals


def fill(database, messages, random):
    """A line a message, now and then a batch in a line."""
    lines = []
    for chunk in chunks(messages, random, alike=True):
        as_batch = len(chunk) > 1 and random.random() < 0.3 and all(can_be_jsonb(message) for message in chunk)
        texts = [json.dumps({"batch": [m.document for m in chunk]})] if as_batch else [m.text for m in chunk]
        lines += [(chunk[0].source, iso(chunk[0].received_at), text) for text in texts]
    values = ", ".join(["(%s, %s, %s)"] * len(lines))
    database.cursor.execute(f"INSERT INTO cdp.inbox (source, received_at, message) VALUES {values}",
                            [value for line in lines for value in line])


def wait_for_worker(database, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        database.cursor.execute("SELECT NOT EXISTS (SELECT FROM cdp.inbox)")
        if database.cursor.fetchone()[0]:
            return
        time.sleep(0.005)
    database.cursor.execute("SELECT last_error FROM cdp.worker_status")
    raise oracles.Difference("ways", f"the worker did not empty the inbox in {seconds} s; its last error: "
                                     f"{database.cursor.fetchall()}")


def compare(one, other, way, base):
    for what, rows in one.items():
        if rows != other[what]:
            lost, more = sorted(set(rows) - set(other[what])), sorted(set(other[what]) - set(rows))
            lines = [f"{what} differ", f"{base}:", *lost[:5], f"{way}:", *more[:5]]
            raise oracles.Difference("ways", "\n  ".join(lines))


def play_in_two(name, description, make, histories=60):
    """Plays random histories in two databases, make(one, other, seed) each, and prints the first that fails."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or histories))
    parser.add_argument("--only", type=int, help="this history alone")
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    one, other = Database(args.host, f"{name}_one", worker=False), Database(args.host, f"{name}_other", worker=False)
    numbers = range(args.histories) if args.only is None else [args.only]
    statements = 0
    try:
        for number in numbers:
            history = make(one, other, f"{args.seed}-{number}")
            try:
                history.run()
            except Exception:
                print(f"history {number}: {traceback.format_exc()}\n" + ";\n".join(history.trace))
                return 1
            statements += len(history.trace)
        print(f"{len(numbers)} histories, {statements} statements")
        return 0
    finally:
        one.drop()
        other.drop()
