#!/usr/bin/python3
"""Seconds a phase of matching takes, on one core and on all, by the clock and of the processor: matching_phases.py HOST DATABASE
MATCHER…, each of which has a table of its name; and the most memory that the server's process held. On the server's machine."""
import os
import sys
import time

import psycopg2

host, database = sys.argv[1:3]
PHASES = (("training", "SELECT * FROM cdp.train_matcher('{0}', '{0}')"),
          ("finding, scoring and storing", "CREATE TABLE phase_pairs AS SELECT * FROM cdp.score_pairs('{0}', '{0}', 0.001)"),
          ("clustering", "SELECT count(*) FROM cdp.cluster_pairs('phase_pairs', 0.5)"))


def used(pid):
    """Seconds of the processor, of all threads, also those that have ended."""
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid):
    """Held at most, without the buffers that all processes share."""
    said = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status", encoding="ascii"))
    return (int(said["VmHWM"].split()[0]) - int(said["RssShmem"].split()[0])) / 1024


for matcher in sys.argv[3:]:
    for cores in ("one core", "all cores"):
        connection = psycopg2.connect(host=host, user="postgres", dbname=database)
        connection.autocommit = True
        cursor, pid = connection.cursor(), connection.get_backend_pid()
        cursor.execute("DROP TABLE IF EXISTS phase_pairs")
        if cores == "one core":
            cursor.execute("SET max_parallel_workers_per_gather = 0")
        said, clock, processor = [], 0, 0
        for phase, statement in PHASES:
            began, before = time.monotonic(), used(pid)
            cursor.execute(statement.format(matcher))
            took, spent = time.monotonic() - began, used(pid) - before
            clock, processor = clock + took, processor + spent
            said.append(f"{phase} {took:.2f} s ({spent:.2f})")
        print(f"  {matcher}, {cores}: {'; '.join(said)}; all {clock:.2f} s ({processor:.2f} of the processor); at most {megabytes(pid):.0f} MB", flush=True)
        cursor.execute("DROP TABLE phase_pairs")
        connection.close()
