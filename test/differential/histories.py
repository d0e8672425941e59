#!/usr/bin/env python3
"""The differential test: random histories by every way in, against plain SQL.

    histories.py --host DIR [--seed N] [--histories 200] [--rules 20] [--minutes M] [--jobs 2] [--only I] [--self-test]

DIR holds the socket of a server that preloads cdp. Each history is sent one message a call, in batches, through the
inbox by CALL cdp.run() and by the worker; all must leave the same state, and the first is held against the oracles
(oracles.py) at every breakpoint of every window, a microsecond to each side. A failure is made small and printed.
At the end faults are planted in the stored state, and every oracle must see its own: --self-test does only this.
--seed, --today and --only make a history again. The environment's SEED and CASES are defaults.
"""

import argparse
import multiprocessing
import os
import queue
import random
import sys
import time
import traceback

import faults
import shrink
from history import Examiner, History, midnight
from oracles import Difference

SHARE = 2  # neighbours have the same rules, since compiling them takes longer than a history


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="directory of the server's socket")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(random.SystemRandom().randint(1, 10**6)))
    parser.add_argument("--histories", type=int, default=int(os.environ.get("CASES") or 200))
    parser.add_argument("--rules", type=int, default=20, help="a history")
    parser.add_argument("--minutes", type=float, help="go on that long, however many histories it takes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="this history alone")
    parser.add_argument("--today", default=time.strftime("%Y-%m-%d", time.gmtime()), help="no receipt is later")
    parser.add_argument("--self-test", action="store_true", help="only see that the oracles catch planted faults")
    return parser.parse_args()


def make(args, number):
    rules_seed = f"{args.seed}-{number // SHARE} rules"
    return History(f"{args.seed}-{number}", rules_seed, midnight(args.today), args.rules).make()


def work(args, job, results, stop):
    """Every jobs-th SHARE histories, until there are enough, time is up or somebody failed."""
    examiner = None
    try:
        examiner = Examiner(args.host, job)
        most = args.histories if args.only is None else args.only + 1
        until = args.minutes and time.monotonic() + args.minutes * 60
        number = job * SHARE if args.only is None else args.only
        while not stop.is_set() and (time.monotonic() < until if until else number < most):
            history = make(args, number)
            try:
                examiner.examine(history)
                results.put(("done", history.drawn, history.refused, history.points, history.inside,
                             len(history.messages)))
            except Difference as difference:
                stop.set()
                results.put(("failed", f"history {number}: " + shrink.report(examiner, history, difference)))
            number += 1 if (number + 1) % SHARE else (args.jobs - 1) * SHARE + 1
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
    totals, done, running, failures = [0] * 5, 0, jobs, []
    while running:
        try:
            result = results.get(timeout=5)
        except queue.Empty:
            if not any(process.is_alive() for process in processes):
                failures.append("a job died")
                break
            continue
        if result[0] == "done":
            done += 1
            totals = [a + b for a, b in zip(totals, result[1:])]
        elif result[0] == "failed":
            failures.append(result[1])
        else:
            running -= 1
    for process in processes:
        process.join()
    return done, totals, failures


def main():
    args = options()
    print(f"--seed {args.seed} --today {args.today}", flush=True)
    started = time.monotonic()
    if not args.self_test:
        done, (drawn, refused, points, inside, messages), failures = run_histories(args)
        print(f"{done} histories of {messages} messages, {args.rules} rules each, {points} instants "
              f"of which {inside} in a segment, {time.monotonic() - started:.0f} s")
        print(f"{refused} of {drawn} drawn rules refused ({100 * refused / max(drawn, 1):.0f} %)")
        if failures:
            print("\n".join(failures))
            sys.exit(1)
        if refused * 2 > drawn:
            sys.exit("the compiler refuses more than half of the rules")
    faults.self_test(args.host, lambda number: make(args, number))
    print("the oracles catch planted faults")


if __name__ == "__main__":
    main()
