"""Makes a failing history small, and prints it so that it can be tried by hand."""

import time

import ways
from messages import iso
from oracles import Difference

SECONDS = 90


def report(examiner, history, difference):
    try:
        history, difference = smaller(examiner, history, difference)
    except Exception as error:
        difference.text += f"\n(could not make it smaller: {error!r})"
    way = getattr(difference, "way", "-")
    lines = [f"{difference.oracle}: {difference.text}", f"way: {way}"]
    if difference.rule:
        lines += [f"rule: {difference.rule}"]
    lines += [f"messages, {len(history.messages)}:"]
    for message in history.messages:
        text = message.text.replace("'", "''")
        values = f"'{text}', '{message.source}', '{iso(message.received_at)}'"
        lines.append(f"INSERT INTO cdp.inbox (message, source, received_at) VALUES ({values});" if "inbox" in way else
                     f"SELECT cdp.ingest({values});")
    return "\n".join(lines)


def smaller(examiner, history, difference):
    until = time.monotonic() + SECONDS
    only = [ways.WAYS[0]]
    if getattr(difference, "way", only[0]) != only[0]:
        only.append(difference.way)

    def fails(messages, rules):
        trial = type(history)(history.seed, None, history.today, len(rules), messages, rules)
        try:
            examiner.examine(trial, only)
        except Difference as found:
            if found.oracle == difference.oracle:
                return found
        return None

    rules, messages = history.rules, history.messages
    needed = rules[:rules.index(difference.rule) + 1] if difference.rule in rules else []  # it may ask about them
    for some in ([difference.rule] if difference.rule else [], rules[:1], needed):
        found = some != rules and fails(messages, some)
        if found:
            rules, difference = some, found
            break
    messages, found = fewer(messages, lambda some: fails(some, rules), until)
    difference = found or difference
    return type(history)(history.seed, None, history.today, len(rules), messages, rules), difference


def fewer(items, fails, until):
    """As few of the items as still fail, and what `fails` says of them; None when no fewer do."""
    result, size = None, max(1, len(items) // 2)
    while time.monotonic() < until:
        start, before = 0, len(items)
        while start < len(items) and time.monotonic() < until:
            rest = items[:start] + items[start + size:]
            found = rest and fails(rest)
            if found:
                items, result = rest, found
            else:
                start += size
        if size == 1 and len(items) == before:
            break
        size = max(1, size // 2)
    return items, result
