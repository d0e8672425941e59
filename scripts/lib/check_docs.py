#!/usr/bin/python3
"""Every ```sql block of README.md and docs/ stands in a regression test, and every ```text block in an expected output.

A word after sql (```sql meaning) marks a block that is not a statement, or whose output depends on the server."""
import glob
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def squeeze(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip())


def read(pattern):
    return [squeeze(open(path, encoding="utf-8").read()) for path in sorted(glob.glob(os.path.join(ROOT, pattern)))]


def main():
    tests = {"sql": read("sql/*.sql"), "text": read("expected/*.out")}
    bad = 0
    for path in [os.path.join(ROOT, "README.md")] + sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        if path.endswith("design.md"):  # states what will be, too
            continue
        for kind, block in re.findall(r"^```(sql|text)\n(.*?)^```$", open(path, encoding="utf-8").read(), re.M | re.S):
            if not any(squeeze(block) in test for test in tests[kind]):
                bad += 1
                print(f"{os.path.relpath(path, ROOT)}: no test has this {kind} block:\n{block}")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
