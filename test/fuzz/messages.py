#!/usr/bin/python3
"""Mutated messages through cdp.ingest(bytea) and the inbox: no crash, none lost, each bad one in quarantine with a reason.

Beside the mutants goes a sound message a batch, which has to be there in the end. What is counted: of what was sent, accepted,
duplicates, quarantined and suppressed are together all, by the counts of the calls and by the rows of the tables. The oracle
is Python and plain SQL. --rounds says how many messages; --seed repeats a run."""
import argparse
import copy
import json
import random
import sys
import time

import psycopg2

SOUND = 50  # each so many messages a sound one is sent, that must be there


def base(rng):
    person = rng.randrange(300)
    message = {"type": rng.choice(["identify", "track", "page", "screen", "group", "alias"]), "messageId": "f%d" % rng.randrange(10 ** 9),
               "anonymousId": "a%d" % person, "timestamp": "2026-01-0%dT10:00:00.%03dZ" % (1 + rng.randrange(9), rng.randrange(1000)),
               "context": {"ip": "1.2.3.4", "device": {"id": "d%d" % person}, "externalIds": [{"type": "email", "id": "f%d@x.example" % person,
                                                                                             "collection": "users", "encoding": "none"}]}}
    if rng.random() < 0.6:
        message["userId"] = "u%d" % person
    if message["type"] == "track":
        message["event"] = rng.choice(["Order Completed", "Clicked", "é…\U0001f600", " "])
        message["properties"] = {"total": rng.choice([1, 2.5, -0.0, 1e300, 12345678901234567890]), "list": [1, {"a": [None, True]}]}
    elif message["type"] in ("page", "screen"):
        message["name"] = "Home"
    elif message["type"] == "group":
        message["groupId"] = "g%d" % (person % 10)
    elif message["type"] == "alias":
        message["previousId"] = "u%d" % (person + 1)
    else:
        message["traits"] = {"email": "f%d@x.example" % person, "phone": "+3161234%04d" % person, "age": rng.randrange(90)}
    return message


VALUES = [None, True, 0, -1, 1e308, "", " ", "\u0000", "x" * 300, "\ud800", [], {}, [[]], {"": {}}, "0001-01-01", "99999-12-31T00:00:00Z", "2026-02-30", "24:00",
          "1899-12-31T23:59:59Z", "+275760-09-13", -62135596800000, "NaN", 2 ** 63, "'; DROP TABLE x; --", "\\", '"', "\x7f", "\u202e", {"a": {"b": {"c": {}}}}]
FIELDS = ["type", "messageId", "anonymousId", "userId", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "context", "traits", "properties", "event", "name",
          "groupId", "previousId", "integrations", "batch", "category", "", "\u0000", "__proto__"]


def bend(rng, message):
    """Changes of structure and types."""
    where = message
    for _ in range(rng.randrange(3)):
        inner = [v for v in where.values() if isinstance(v, dict) and v]
        if not inner:
            break
        where = rng.choice(inner)
    what = rng.randrange(5)
    if what == 0 and where:
        del where[rng.choice(list(where))]
    elif what == 1 and where:
        where[rng.choice(list(where))] = copy.deepcopy(rng.choice(VALUES))
    elif what == 2:
        where[rng.choice(FIELDS)] = copy.deepcopy(rng.choice(VALUES))
    elif what == 3:
        message[rng.choice(["timestamp", "sentAt", "originalTimestamp"])] = copy.deepcopy(rng.choice(VALUES))
    else:
        where[rng.choice(FIELDS)] = json.loads("[" * 20 + "1" + "]" * 20)


def encode(rng, message):
    """JSON as others write it: other escapes, spaces, keys twice."""
    text = json.dumps(message, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1 and text.endswith("}") and len(text) > 2:
        text = text[:-1] + ', "%s": %s}' % (rng.choice(list(message) or ["type"]).replace("\0", ""), json.dumps(rng.choice(VALUES)))
    if rng.random() < 0.03:
        text = text.replace('"', "'", rng.randrange(4))
    return text.encode("utf-8", "surrogatepass")


def tear(rng, data):
    """Changes of bytes."""
    data = bytearray(data)
    for _ in range(1 + rng.randrange(3)):
        if not data:
            break
        at = rng.randrange(len(data))
        what = rng.randrange(7)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.randrange(20)]
        elif what == 2:
            data[at:at] = data[at - 5 if at > 5 else 0:at]
        elif what == 3:
            data[at:at] = rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b"\\", b"\xf4\x90\x80\x80", b"1e999999"])
        elif what == 4:
            data = data[:at]
        elif what == 5:
            data[at:at] = rng.choice([b"[", b"{", b"]", b"}", b",", b":", b'"']) * rng.choice([1, 3, 1500])
        else:
            data[at:at] = rng.choice([b"-", b"0", b"00", b"e", b".", b"\n", b"\r\n", b"\t", b"/**/", b"NaN", b"null"])
    return bytes(data)


def mutant(rng):
    message = base(rng)
    if rng.random() < 0.15:
        return encode(rng, message)
    for _ in range(rng.randrange(3)):
        bend(rng, message)
    data = encode(rng, message)
    return tear(rng, data) if rng.random() < 0.5 else data


def giants(rng):
    """At and over the limits: 32 MiB, a thousand levels."""
    sound = '{"type": "track", "event": "Big", "messageId": "big%d", "userId": "big", "timestamp": "2026-01-01T00:00:00Z", "properties": %s}'
    for size in (1 << 20, (32 << 20) - 300, (32 << 20) + 1):
        yield (sound % (rng.randrange(10 ** 9), json.dumps({"a": "x" * size}))).encode()
    for depth in (900, 1100, 100000, 5000000):
        yield (sound % (rng.randrange(10 ** 9), '{"a": ' + "[" * depth + "]" * depth + "}")).encode()
    yield (sound % (rng.randrange(10 ** 9), "{" + ", ".join('"k%d": %d' % (i, i) for i in range(200000)) + "}")).encode()
    yield ('{"batch": [' + ", ".join([sound % (i, "{}") for i in range(20000)]) + "]}").encode()
    yield b'"' * (8 << 20)
    yield b"\xff" * (4 << 20)


def may_be_nothing(data):
    """What is blank, or a batch of none: nobody says anything of it."""
    return not data.decode("utf-8", "replace").strip("\ufeff \t\r\n") or b"batch" in data or data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def is_text(data):
    try:
        return b"\0" not in data and b"\n" not in data and b"\r" not in data and data.decode("utf-8").strip("\ufeff \t") != ""
    except UnicodeDecodeError:
        return False


class Run:
    def __init__(self, connection, seed):
        self.connection, self.rng = connection, random.Random(seed)
        self.cursor = connection.cursor()
        self.number = 0
        self.sent = self.accepted = self.duplicate = self.quarantined = 0
        self.sound = []

    def value(self, query, *arguments):
        self.cursor.execute(query, arguments)
        return self.cursor.fetchone()[0]

    def facts(self):
        return self.value("SELECT (SELECT count(*) FROM cdp.event_records) + (SELECT count(*) FROM cdp.assertions)")

    def sound_one(self):
        self.number += 1
        name = "sound-%d" % self.number
        self.sound.append(name)
        return json.dumps({"type": "track", "event": "Sound", "messageId": name, "userId": "s%d" % (self.number % 50), "timestamp": "2026-01-01T00:00:00Z"}).encode()

    def directly(self, data):
        """One call, committed; what it says it did is what the tables say."""
        self.cursor.execute("SELECT * FROM cdp.ingest(%s::bytea, 'fuzz')", (psycopg2.Binary(data),))
        a, d, q = self.cursor.fetchone()
        self.accepted, self.duplicate, self.quarantined = self.accepted + a, self.duplicate + d, self.quarantined + q
        self.sent += a + d + q
        return a + d + q

    def through_inbox(self, lines):
        self.cursor.execute("INSERT INTO cdp.inbox (source, message) SELECT 'inbox', unnest(%s)", ([line.decode("utf-8") for line in lines],))
        self.connection.commit()
        while self.value("SELECT cdp_internal.drain_inbox(1000)"):
            self.connection.commit()
        self.connection.commit()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--database", default="fuzz")
    parser.add_argument("--rounds", type=int, default=1000000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    admin = psycopg2.connect(host=arguments.host, user="postgres", dbname="postgres")
    admin.autocommit = True
    admin.cursor().execute('DROP DATABASE IF EXISTS "%s"' % arguments.database)
    admin.cursor().execute('CREATE DATABASE "%s"' % arguments.database)
    connection = psycopg2.connect(host=arguments.host, user="postgres", dbname=arguments.database)
    connection.cursor().execute("CREATE EXTENSION cdp; SET statement_timeout = '10min'")
    connection.commit()
    run = Run(connection, arguments.seed)
    rng, began, waiting, done, bad = run.rng, time.time(), [], 0, []
    recent = []
    inbox_lines = 0
    print("seed %d" % arguments.seed, flush=True)

    def check(holds, what):
        if not holds:
            bad.append(what)
            print("BROKEN: " + what, flush=True)

    def flush():
        nonlocal inbox_lines
        if not waiting:
            return
        before = run.value("SELECT accepted + duplicates + quarantined + suppressed FROM public.counts('inbox')")
        run.through_inbox(waiting)
        after = run.value("SELECT accepted + duplicates + quarantined + suppressed FROM public.counts('inbox')")
        least = sum(not may_be_nothing(line) for line in waiting)
        check(after - before >= least, "of %d lines of the inbox %d are accounted for" % (least, after - before))
        inbox_lines += len(waiting)
        waiting.clear()

    connection.cursor().execute("""CREATE FUNCTION public.counts(name text, OUT accepted bigint, OUT duplicates bigint, OUT quarantined bigint, OUT suppressed bigint)
        LANGUAGE sql AS $$ SELECT coalesce(sum(c.messages) FILTER (WHERE c.what = 'accepted'), 0)::bigint, coalesce(sum(c.messages) FILTER (WHERE c.what = 'duplicate'), 0)::bigint,
          coalesce(sum(c.messages) FILTER (WHERE c.what = 'quarantined'), 0)::bigint, coalesce(sum(c.messages) FILTER (WHERE c.what = 'suppressed'), 0)::bigint
        FROM (SELECT source, what, messages FROM cdp_internal.source_counts UNION ALL SELECT source, what, messages FROM cdp_internal.source_totals) AS c WHERE c.source = name $$""")
    connection.commit()

    def send(data):
        nonlocal done
        done += 1
        if rng.random() < 0.5 and is_text(data):
            waiting.append(data)
            if len(waiting) >= 500:
                flush()
            return
        try:
            number = run.directly(data)
            check(number > 0 or may_be_nothing(data), "nothing was said of %r" % data[:200])
            if done % 20 == 0:
                connection.commit()
        except psycopg2.Error as error:
            check(False, "an error: %s for %r" % (error, data[:300]))
            if connection.closed:
                raise
            connection.rollback()

    for data in giants(rng):
        send(data)
        connection.commit()
    while done < arguments.rounds:
        if recent and rng.random() < 0.05: # what came before comes again
            send(rng.choice(recent))
            continue
        recent.append(run.sound_one() if done % SOUND == 0 else mutant(rng))
        del recent[:-50]
        send(recent[-1])
        if done % 20000 == 0:
            connection.commit()
            print("%d sent, %d accepted, %d duplicates, %d quarantined directly; %d/s" % (done, run.accepted, run.duplicate, run.quarantined, done / (time.time() - began)), flush=True)
    flush()
    connection.commit()

    lost = run.value("SELECT count(*) FROM unnest(%s) AS s (id) WHERE NOT EXISTS (SELECT FROM cdp.event_records AS e WHERE e.message_id = s.id)", run.sound)
    check(lost == 0, "%d sound messages are lost" % lost)
    for source in ("fuzz", "inbox"):
        run.cursor.execute("SELECT accepted, duplicates, quarantined, suppressed FROM public.counts(%s)", (source,))
        counted = run.cursor.fetchone()
        facts = run.value("SELECT count(*) FROM (SELECT source_id FROM cdp.event_records UNION ALL SELECT source_id FROM cdp.assertions) AS f JOIN cdp.sources USING (source_id) WHERE source = %s", source)
        kept = run.value("SELECT count(*) FROM cdp.quarantine WHERE source = %s", source)
        print("%s: %d accepted, %d duplicates, %d quarantined, %d suppressed" % ((source,) + counted))
        check(facts == counted[0], "%s: %d facts, %d accepted" % (source, facts, counted[0]))
        check(kept == counted[2], "%s: %d rows of quarantine, %d quarantined" % (source, kept, counted[2]))
        if source == "fuzz":
            check(counted[:3] == (run.accepted, run.duplicate, run.quarantined), "calls said %s, counts say %s" % ((run.accepted, run.duplicate, run.quarantined), counted))
    check(run.value("SELECT count(*) FROM cdp.quarantine WHERE code = '' OR reason = ''") == 0, "a quarantined message without a reason")
    check(run.value("SELECT count(*) FROM cdp.inbox") == 0, "lines are left in the inbox")
    connection.commit()
    check(run.value("SELECT count(*) FROM cdp.verify()") == 0, "cdp.verify() finds something")
    run.cursor.execute("SELECT code, count(*) FROM cdp.quarantine GROUP BY 1 ORDER BY 2 DESC")
    print("quarantine: " + ", ".join("%s %d" % row for row in run.cursor))
    print("%d messages in %d s: %s" % (done, time.time() - began, "%d broken promises" % len(bad) if bad else "nothing is lost"))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
