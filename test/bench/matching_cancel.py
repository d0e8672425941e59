#!/usr/bin/python3
"""How soon matching stops when it is told to, and what cdp.progress shows meanwhile: matching_cancel.py HOST DATABASE [TIMES]. Runs
all long statements of matching over the table people and cancels each at random moments; prints the longest wait of each, in
milliseconds on the clock and of the processor (other work on the machine does not count there), and the tasks that were seen. On the
server's machine."""
import os
import random
import sys
import threading
import time

import psycopg2

host, database, times = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 10
chance = random.Random(1)


def connect():
    connection = psycopg2.connect(host=host, user="postgres", dbname=database)
    connection.autocommit = True
    return connection, connection.cursor()


def used(pid):
    """Milliseconds of the processor, of all threads, also those that have ended."""
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


_, watcher = connect()
CHANGE = "UPDATE people SET city = upper(city), phone = phone || '1' WHERE id::bigint % 20 = 0"
watcher.execute("SELECT EXISTS (SELECT FROM cdp.matchers WHERE name = 'followed')")
if not watcher.fetchone()[0]:
    watcher.execute("SELECT cdp.create_matcher('followed', cdp.export_matcher('people')), cdp.follow_matches('followed', 'people')")
for name, statement, *before in (("training", "SELECT count(*) FROM cdp.train_matcher('people', 'people')"),
                        ("matching", "SELECT count(*) FROM cdp.score_pairs('people', 'people', 0.001)"),
                        ("finding", "SELECT * FROM cdp.find_matches('people', 'people')"),
                        *((f"clustering, {method}", f"SELECT count(*) FROM cdp.cluster_pairs('pairs', 0.5, '{method}')")
                          for method in ("connected", "best_links", "cohesive")),
                        ("blocking analysis", "SELECT count(*) FROM cdp.blocking_analysis('people', 'people')"),
                        ("unlinkable records", "SELECT count(*) FROM cdp.unlinkable_records('people', 'people', 0.5)"),
                        ("following, a full run", "SELECT * FROM cdp.update_matches('followed', rebuild => true)"),
                        ("following, of one record in twenty", "SELECT * FROM cdp.update_matches('followed')", CHANGE)):
    waits, costs, seen, length = [], [], {}, None
    while len(waits) < times:
        connection, cursor = connect()
        pid = connection.get_backend_pid()
        ended = {}
        for change in before:
            watcher.execute(change)

        def work():
            began = time.monotonic()
            try:
                cursor.execute(statement)
            except psycopg2.errors.QueryCanceled:
                pass
            ended["at"], ended["took"] = time.monotonic(), time.monotonic() - began

        thread = threading.Thread(target=work)
        thread.start()
        until = time.monotonic() + (chance.random() * length if length else 1e9)
        while thread.is_alive() and time.monotonic() < until:
            watcher.execute("SELECT task, done, total FROM cdp.progress WHERE pid = %s", [pid])
            for task, done, total in watcher.fetchall():
                seen.setdefault(task, set()).add(done)
            time.sleep(0.02)
        told, spent = time.monotonic(), used(pid)
        if length:
            watcher.execute("SELECT pg_cancel_backend(%s)", [pid])
        thread.join()
        if length is None:
            length = ended["took"]
        elif ended["at"] < told:  # it was over: it takes less than it seemed
            length = ended["took"]
        else:
            waits.append(max(0, ended["at"] - told) * 1000)
            costs.append(max(0, used(pid) - spent))
        connection.close()
    print(f"  {name}: {length:.1f} s on the clock; stops at most {max(waits):.0f} ms after a cancel (median {sorted(waits)[len(waits) // 2]:.0f}), {max(costs):.0f} ms of the processor; "
          f"shown meanwhile: {', '.join(f'{task} ({len(values)} values)' for task, values in seen.items()) or 'nothing'}")
watcher.execute("SELECT cdp.unfollow_matches('followed')")
