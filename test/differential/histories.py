#!/usr/bin/env python3
"""The differential test: random histories by every way in, against plain SQL.

    histories.py --host DIR [--seed N] [--histories 200 | --cases N] [--rules 20] [--minutes M] [--from I] [--jobs 2] [--only I] [--self-test]

DIR holds the socket of a server that preloads cdp. Each history is sent one message a call, in batches, through the
inbox by CALL cdp.run() and by the worker; all must leave the same state, and the first is held against the oracles
(oracles.py) at every breakpoint of every window, a microsecond to each side. A failure is made small and printed.
At the end faults are planted in the stored state, and every oracle must see its own: --self-test does only this.

A case is one rule and one history, judged at all breakpoints and a microsecond to each side: --cases 100000 are 5000
histories of 20 rules. --minutes bounds the time instead, or as well. What was not done is said at the end, and --from goes
on there. --seed, --today and --only make a history again. The environment's SEED and CASES (histories) are defaults.
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
    parser.add_argument("--cases", type=int, help="so many cases, a history's rules each one")
    parser.add_argument("--rules", type=int, default=20, help="a history")
    parser.add_argument("--minutes", type=float, help="go on that long, however many histories it takes, or until --cases")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first history")
    parser.add_argument("--as-is", action="store_true", help="do not make a failure smaller")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="this history alone")
    parser.add_argument("--today", default=time.strftime("%Y-%m-%d", time.gmtime()), help="no receipt is later")
    parser.add_argument("--self-test", action="store_true", help="only see that the oracles catch planted faults")
    args = parser.parse_args()
    args.last = None if args.minutes and not args.cases else args.histories
    if args.cases:
        args.last = -(-args.cases // args.rules)
    if args.only is not None:
        args.first, args.last = args.only, args.only + 1
    args.first -= args.first % SHARE if args.only is None else 0
    return args


def make(args, number):
    rules_seed = f"{args.seed}-{number // SHARE} rules"
    return History(f"{args.seed}-{number}", rules_seed, midnight(args.today), args.rules).make()


def work(args, job, turn, results, stop):
    """The next SHARE histories, and the next, until there are enough, time is up or somebody failed."""
    examiner = None
    try:
        examiner = Examiner(args.host, job)
        until = args.minutes and time.monotonic() + args.minutes * 60
        while not stop.is_set() and not (until and time.monotonic() > until):
            with turn.get_lock():
                first, turn.value = turn.value, turn.value + SHARE
            if args.last is not None and first >= args.last:
                break
            for number in range(first, min(first + SHARE, args.last or first + SHARE)):
                if not stop.is_set():
                    examine(args, examiner, number, results, stop)
    except Exception:
        stop.set()
        results.put(("failed", traceback.format_exc()))
    finally:
        if examiner:
            examiner.close()
        results.put(("end",))


def examine(args, examiner, number, results, stop):
    history = make(args, number)
    try:
        examiner.examine(history)
        results.put(("done", number, history.drawn, history.refused, history.points, history.inside,
                     len(history.messages)))
    except Difference as difference:
        stop.set()
        text = f"{difference.oracle}: {difference.text}" if args.as_is else shrink.report(examiner, history, difference)
        results.put(("failed", f"history {number}: {text}\nagain: --seed {args.seed} --today {args.today} --only {number}"))


def run_histories(args):
    """How many were done, their totals, what failed, and the first that was not done."""
    results, stop = multiprocessing.Queue(), multiprocessing.Event()
    turn = multiprocessing.Value("q", args.first)
    jobs = 1 if args.only is not None else args.jobs
    processes = [multiprocessing.Process(target=work, args=(args, job, turn, results, stop)) for job in range(jobs)]
    for process in processes:
        process.start()
    totals, done, running, failures, next_one, after = [0] * 5, 0, jobs, [], args.first, set()
    while running:
        try:
            result = results.get(timeout=5)
        except queue.Empty:
            if not any(process.is_alive() for process in processes):
                failures.append("a job died")
                break
            continue
        except KeyboardInterrupt:
            stop.set()
            continue
        if result[0] == "done":
            done += 1
            after.add(result[1])
            while next_one in after:
                after.remove(next_one)
                next_one += 1
            totals = [a + b for a, b in zip(totals, result[2:])]
        elif result[0] == "failed":
            failures.append(result[1])
        else:
            running -= 1
    for process in processes:
        process.join()
    return done, totals, failures, next_one


def main():
    args = options()
    print(f"--seed {args.seed} --today {args.today}", flush=True)
    started = time.monotonic()
    if not args.self_test:
        done, (drawn, refused, points, inside, messages), failures, next_one = run_histories(args)
        seconds, cases = time.monotonic() - started, done * args.rules
        print(f"{done} histories of {messages} messages, {args.rules} rules each, {points} instants "
              f"of which {inside} in a segment, {seconds:.0f} s")
        print(f"{cases} cases, {cases / max(seconds, 1):.0f} a second")
        if args.last is None or next_one < args.last:
            print(f"to go on: --seed {args.seed} --today {args.today} --from {next_one}")
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
