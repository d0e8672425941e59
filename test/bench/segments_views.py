#!/usr/bin/env python3
"""The rules of the bench as queries over the wide typed table: reads name|rule|per lines, each with \\n for line ends,
and writes one CREATE MATERIALIZED VIEW a rule. Each reads only the events, and only as far back, as its rule needs."""
import re
import sys

COLUMNS = [(r"\(properties->>'value'\)::numeric", "value"), (r"properties->>'(\w+)'", r"\1"), (r"\boccurred_at\b", "ts"),
           (r"traits->'address'->>'country'", "country"), (r"traits->>'tier'", "tier"),
           (r"\(traits->>'emailConsent'\)::boolean", "consent")]


def as_query(rule, per):
    for pattern, column in COLUMNS:
        rule = re.sub(pattern, column, rule)
        per = per and re.sub(pattern, column, per)
    names = sorted(set(re.findall(r"event = ('[^']*')", rule)))
    person = [column for column in ("country", "tier", "consent") if re.search(rf"\b{column}\b", rule)]
    aggregates = re.findall(r"\b(?:count|sum|min|max|avg|sequence|sequence_by|last_sequence|funnel)\(", rule)
    if not aggregates:
        return f"SELECT pid FROM pr WHERE {rule}"
    where = []
    if names and "event" in rule and "type = 'page'" not in rule:
        where.append(f"event IN ({', '.join(names)})")
    filters = re.findall(r"FILTER \((?:[^()]|\([^()]*\))*\)", rule)
    lows = [re.search(r"ts (?:>=|BETWEEN) now\(\) - interval '(\d+) days'", one) for one in filters]
    if len(filters) == len(aggregates) and all(lows):
        where.append(f"ts >= now() - interval '{max(int(low.group(1)) for low in lows)} days'")
    keys = ["pid"] + ([per] if per else []) + person
    tables = "dw JOIN pr USING (pid)" if person else "dw"
    return (f"SELECT {'DISTINCT ' if per else ''}pid FROM {tables}{' WHERE ' if where else ''}{' AND '.join(where)} "
            f"GROUP BY {', '.join(keys)} HAVING {rule}")


for line in sys.stdin:
    name, rule, per = line.rstrip("\n").split("|")
    print(f"CREATE MATERIALIZED VIEW mv_{name} AS {as_query(rule, per)} WITH NO DATA;")
