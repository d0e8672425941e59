#!/usr/bin/python3
"""Every ```sql block of README.md and docs/ stands in a regression test, and every ```text block in an expected output.

A word after sql (```sql meaning) marks a block that is not a statement, or whose output depends on the server.
A heading that says `in ten statements` has so many below it, and one test runs them in a row.
Every shipped template has a line in docs/templates.md that names its parameters, and no other has."""
import glob
import os
import re
import sys

NUMBERS = {word: n for n, word in enumerate("three four five six seven eight nine ten eleven twelve".split(), 3)}
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def squeeze(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip())


def read(pattern):
    return [squeeze(open(path, encoding="utf-8").read()) for path in sorted(glob.glob(os.path.join(ROOT, pattern)))]


def templates_not_told():
    shipped = open(os.path.join(ROOT, "src/segment/templates_shipped.sql"), encoding="utf-8").read()
    page = open(os.path.join(ROOT, "docs/templates.md"), encoding="utf-8").read()
    made = {entry[0]: set(re.findall(r'{"name": "(\w+)"', entry[1]))
            for entry in re.findall(r"^  \('(\w+)'(.*?)\]\$\$", shipped, re.M | re.S)}
    told = {row[0]: set(re.findall(r"`(\w+)`", row[1]))
            for row in re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", page.split("## What there is")[1], re.M)}
    return sorted(name for name in made.keys() | told.keys() if made.get(name) != told.get(name))


def without_comments(text):
    return squeeze("\n".join(line for line in text.splitlines() if not line.startswith("--")))


def not_so_many_statements(path, tests):
    """A heading `… in ten statements`: so many are below it, and one test runs these, in a row."""
    page = open(path, encoding="utf-8").read()
    for heading, number, body in re.findall(r"^#+ (.* in (\w+) statements)\n(.*?)(?=^#|\Z)", page, re.M | re.S):
        blocks = [squeeze(block) for block in re.findall(r"^```sql\n(.*?)^```$", body, re.M | re.S)]
        said = sum(len(re.findall(r";$", block, re.M)) for block in blocks)
        if NUMBERS.get(number) != said:
            yield f"{heading}: there are {said}"
        if not any("\n".join(blocks) in without_comments(test) for test in tests):
            yield f"{heading}: no test runs them one after the other"


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
        for problem in not_so_many_statements(path, tests["sql"]):
            bad += 1
            print(f"{os.path.relpath(path, ROOT)}: {problem}")
    for name in templates_not_told():
        bad += 1
        print(f"docs/templates.md: template {name} is not told as it is shipped")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
