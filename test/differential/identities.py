#!/usr/bin/env python3
"""The differential test of who is who: random rules, messages and decisions against a naive fold of all messages.

    identities.py --host DIR [--seed N] [--histories 500] [--minutes M] [--jobs 2] [--only I] [--self-test]

DIR holds the socket of a server that preloads cdp. After every few steps the people, their facts and traits must be
what identity_model.py makes of the messages and decisions so far, from scratch, and cdp.verify() must be empty; the same
history in other batches must leave the same rows. A failure is made small and printed as SQL. At the end faults are
planted in what is stored, and the model and cdp.verify() must see each: --self-test does only this.
--seed and --only make a history again. The environment's SEED and CASES are defaults.
"""

import argparse
import multiprocessing
import os
import queue
import random
import sys
import time
import traceback
from collections import Counter

import identity_faults
import shrink
from identity_examiner import Examiner
from identity_history import Generator
from oracles import Difference

SECONDS = 60  # to make a failure small


class Steady:
    """Chance that does not depend on what was asked before: always the first, or always the last."""

    def __init__(self, place):
        self.place = place

    def choice(self, values):
        return values[self.place]

    def random(self):
        return 0


class History:
    def __init__(self, seed, types=None, operations=None, steady=None):
        self.seed, self.types, self.operations, self.steady = seed, types, operations, steady
        if operations is None:
            generator = Generator(self.chance("history"))
            self.types = generator.types
            self.operations = generator.operations(self.chance("length").choice([5, 12, 20, 30]))

    def chance(self, what):
        if self.steady is not None and "batches" in what:
            return Steady(self.steady)
        return random.Random(f"{self.seed} {what}")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or 500))
    parser.add_argument("--minutes", type=float, help="go on that long, however many histories it takes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="this history alone")
    parser.add_argument("--self-test", action="store_true", help="only see that planted faults are caught")
    return parser.parse_args()


def report(examiner, history, difference):
    """The smallest history found that fails in the same way, as SQL."""
    until = time.monotonic() + SECONDS

    def fails(operations):
        try:
            examiner.examine(History(history.seed, history.types, operations, steady))
        except Difference as found:
            return found if found.oracle == difference.oracle else None
        except Exception:
            return None
        return None

    for steady in (0, -1, None):  # one by one, whole batches, as it was
        if fails(history.operations):
            break
    operations, found = shrink.fewer(history.operations, fails, until)
    for place, operation in enumerate(operations):
        if operation[0] == "send":
            def fails_with(messages, place=place):
                return fails(operations[:place] + [("send", messages)] + operations[place + 1:])
            messages, again = shrink.fewer(operation[1], fails_with, until)
            operations[place], found = ("send", messages), again or found
    fails(operations)
    return f"{found or difference}\n" + "\n".join(examiner.trace)


def work(args, job, results, stop):
    """Every jobs-th history, until there are enough, time is up or somebody failed."""
    examiner = None
    try:
        examiner = Examiner(args.host, job)
        until = args.minutes and time.monotonic() + args.minutes * 60
        number = job if args.only is None else args.only
        while not stop.is_set() and (time.monotonic() < until if until else
                                     number < args.histories or args.only is not None):
            history = History(f"{args.seed}-{number}")
            try:
                examiner.counts = Counter()
                examiner.examine(history)
                messages = sum(len(one[1]) for one in history.operations if one[0] == "send")
                results.put(("done", examiner.counts + Counter(messages=messages, inexact=examiner.inexact)))
            except Difference as difference:
                stop.set()
                results.put(("failed", f"history {number}: {difference.oracle}: " + report(examiner, history, difference)))
            except Exception:
                stop.set()
                results.put(("failed", f"history {number}: {traceback.format_exc()}\n" + "\n".join(examiner.trace)))
            number += args.jobs
            if args.only is not None:
                break
    except Exception:
        stop.set()
        results.put(("failed", traceback.format_exc()))
    finally:
        if examiner:
            examiner.close()
        results.put(("end",))


def run_histories(args):
    results, stop = multiprocessing.Queue(), multiprocessing.Event()
    jobs = 1 if args.only is not None else args.jobs
    processes = [multiprocessing.Process(target=work, args=(args, job, results, stop)) for job in range(jobs)]
    for process in processes:
        process.start()
    totals, done, running, failures = Counter(), 0, jobs, []
    while running:
        try:
            result = results.get(timeout=5)
        except queue.Empty:
            if not any(process.is_alive() for process in processes):
                failures.append("a job died")
                break
            continue
        if result[0] == "done":
            done, totals = done + 1, totals + result[1]
        elif result[0] == "failed":
            failures.append(result[1])
        else:
            running -= 1
    for process in processes:
        process.join()
    return done, totals, failures


def main():
    args = options()
    print(f"--seed {args.seed}", flush=True)
    started = time.monotonic()
    if not args.self_test:
        done, totals, failures = run_histories(args)
        print(f"{done} histories, {time.monotonic() - started:.0f} s; " +
              ", ".join(f"{number} {what}" for what, number in sorted(totals.items())))
        if failures:
            print("\n".join(failures))
            sys.exit(1)
    identity_faults.self_test(args.host, lambda number: History(f"{args.seed}-{number}"))
    print("cdp.verify() and the model catch planted faults")


if __name__ == "__main__":
    main()
