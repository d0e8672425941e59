"""Matching by the book, one pair at a time, without anything of cdp's: similarities from their definitions, levels as Python
functions beside the SQL that says the same, Fellegi and Sunter's weights as Splink adds them up, expectation and maximisation
over single pairs, clusters by the slowest ways there are."""

import datetime
import math
import re
import statistics
from collections import Counter


def jaro(a, b):
    if not a or not b:
        return float(a == b)
    window = max(max(len(a), len(b)) // 2 - 1, 0)
    free, matched = list(a), []
    for j, c in enumerate(b):
        for i in range(max(0, j - window), min(len(a), j + window + 1)):
            if free[i] == c:
                free[i] = None
                matched.append(c)
                break
    if not matched:
        return 0.0
    kept = [c for i, c in enumerate(a) if free[i] is None]
    turned = sum(x != y for x, y in zip(kept, matched)) // 2
    m = len(matched)
    return (m / len(a) + m / len(b) + (m - turned) / m) / 3


def jaro_winkler(a, b):
    similarity, prefix = jaro(a, b), 0
    if similarity <= 0.7:
        return similarity
    while prefix < min(4, len(a), len(b)) and a[prefix] == b[prefix]:
        prefix += 1
    return similarity + prefix * 0.1 * (1 - similarity)


def edits(a, b, transpositions):
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1]))
            if transpositions:  # Lowrance and Wagner: any earlier pair that may have changed places
                for k in range(i - 1, 0, -1):
                    if a[k - 1] == b[j - 1]:
                        for m in range(j - 1, 0, -1):
                            if b[m - 1] == a[i - 1]:
                                best = min(best, rows[k - 1][m - 1] + (i - k - 1) + 1 + (j - m - 1))
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0


def seconds(text):
    parts = re.fullmatch(r"([0-9]{1,4})-([0-9]{1,2})-([0-9]{1,2})", text or "")  # a year may be short, as DuckDB has it
    try:
        return (datetime.datetime(*map(int, parts.groups())) - datetime.datetime(1970, 1, 1)).total_seconds() if parts else None
    except ValueError:
        return None


def known(test):
    """NULL on either side makes a condition unknown, which is as good as false to CASE."""
    return lambda l, r: l is not None and r is not None and test(l, r)


class Level:
    def __init__(self, sql, holds, null=False, m=None, u=None, tf=None, weight=1.0, least=0.0, own=False, exact=None):
        self.sql, self.holds, self.null, self.m, self.u = sql, holds, null, m, u
        self.tf, self.weight, self.least, self.own, self.exact = tf, weight, least, own, exact

    def settings(self):
        out = {"sql_condition": self.sql, "label_for_charts": self.sql}
        if self.null:
            out["is_null_level"] = True
            return out
        out.update({name: value for name, value in (("m_probability", self.m), ("u_probability", self.u)) if value is not None})
        if self.tf:
            out.update(tf_adjustment_column=self.tf, tf_adjustment_weight=self.weight, tf_minimum_u_value=self.least,
                       disable_tf_exact_match_detection=self.own)
        return out


class Model:
    def __init__(self, prior, comparisons, rules):
        self.prior, self.comparisons, self.rules = prior, comparisons, rules

    def gammas(self, l, r):
        out = []
        for _, levels in self.comparisons:
            gamma = sum(not level.null for level in levels)
            for level in levels:
                gamma -= not level.null
                if level.holds(l, r):
                    out.append(-1 if level.null else gamma)
                    break
        return out

    def level(self, comparison, gamma):
        return [level for level in self.comparisons[comparison][1] if not level.null][-1 - gamma]

    def frequencies(self, records):
        columns = {level.tf for _, levels in self.comparisons for level in levels if level.tf}
        out = {}
        for column in columns:
            counts = Counter(r[column] for r in records if r[column] is not None)
            out[column] = {value: n / sum(counts.values()) for value, n in counts.items()}
        return out

    def weight(self, l, r, gammas, frequencies):
        weight = math.log2(self.prior / (1 - self.prior))
        for c, gamma in enumerate(gammas):
            if gamma < 0:
                continue
            level = self.level(c, gamma)
            weight += max(-100, min(100, math.log2(max(level.m, 1e-10) / max(level.u, 1e-10))))
            if not level.tf:
                continue
            tfs = [frequencies[level.tf][x[level.tf]] for x in (l, r) if x[level.tf] is not None]
            if tfs:
                u = level.u if level.own else next(o.u for o in self.comparisons[c][1] if o.exact == level.tf)
                weight += level.weight * math.log2(max(u, 1e-10) / max(max(tfs), level.least))
        return weight

    def pairs(self, records, link):
        """{(left, right): number of the first rule}, of places in records."""
        out = {}
        for i, l in enumerate(records):
            for j in range(i + 1, len(records)):
                if link == "link_only" and l["source_dataset"] == records[j]["source_dataset"]:
                    continue
                for k, (_, holds) in enumerate(self.rules):
                    if holds(l, records[j]):
                        out[i, j] = k
                        break
        return out


def shares(model, records, pairs):
    """What part of the pairs is at each level: u, when there are all pairs. None for a level that never occurs."""
    counts = [Counter() for _ in model.comparisons]
    for i, j in pairs:
        for c, gamma in enumerate(model.gammas(records[i], records[j])):
            if gamma >= 0:
                counts[c][gamma] += 1
    return [{g: n / sum(of.values()) for g, n in of.items()} for of in counts]


def maximise(model, records, pairs, exact_columns, untouched, convergence, iterations):
    """One session; m and lambda. `untouched`: comparisons that the rule's columns take part in."""
    others = [sum(not level.null for level in levels) for _, levels in model.comparisons]
    m = [[model.level(c, g).m for g in range(n)] for c, n in enumerate(others)]
    u = [[model.level(c, g).u for g in range(n)] for c, n in enumerate(others)]
    odds = model.prior / (1 - model.prior)
    for c, (_, levels) in enumerate(model.comparisons):
        for level in levels:
            if level.exact in exact_columns and not level.null:
                odds *= level.m / level.u
                break
    share = odds / (1 + odds)
    vectors = [model.gammas(records[i], records[j]) for i, j in pairs]
    done = 0
    for done in range(1, iterations + 1):
        totals, sums, matches = [[0.0] * n for n in others], [0.0] * len(others), 0.0
        for vector in vectors:
            odds = share / (1 - share)
            for c, g in enumerate(vector):
                if g >= 0 and c not in untouched:
                    odds *= m[c][g] / u[c][g]
            p = odds / (1 + odds)
            matches += p
            for c, g in enumerate(vector):
                if g >= 0:
                    totals[c][g] += p
                    sums[c] += p
        change = abs(matches / len(vectors) - share)
        share = matches / len(vectors)
        for c, n in enumerate(others):
            if c in untouched or not sums[c]:
                continue
            for g in range(n):
                change = max(change, abs(totals[c][g] / sums[c] - m[c][g]))
                m[c][g] = max(totals[c][g] / sums[c], 0.0)
        m = [[max(x, 1e-10) for x in row] for row in m]
        if change < convergence:
            break
    return m, share, done


def connected(members, edges, least):
    label = {x: x for x in members}
    moved = True
    while moved:
        moved = False
        for a, b, weight in edges:
            if weight >= least and label[a] != label[b]:
                label[a] = label[b] = min(label[a], label[b])
                moved = True
    return label


def named(groups):
    return {member: min(group) for group in groups for member in group}


def best_links(members, edges, least, source, single):
    groups = [{x} for x in members]
    while True:
        best = None
        for a, b, weight in edges:
            ga, gb = (next(g for g in groups if x in g) for x in (a, b))
            clash = Counter(source[x] for x in ga | gb if source[x] in single)
            if ga is gb or weight < least or any(n > 1 for n in clash.values()):
                continue
            key = (-weight, min(a, b), max(a, b))
            if best is None or key < best[0]:
                best = (key, ga, gb)
        if best is None:
            return named(groups)
        best[1].update(best[2])
        groups.remove(best[2])


def cohesive(members, edges, least):
    strength = {}
    for a, b, weight in edges:
        strength[a, b] = strength[b, a] = max(-10, min(10, weight - least))
    groups = [{x} for x in members]
    while True:
        best = None
        for i, x in enumerate(groups):
            for y in groups[i + 1:]:
                across = [(a, b) for a in x for b in y]
                if not any(pair in strength for pair in across):
                    continue
                mean = round(sum(strength.get(pair, -1) for pair in across) / len(across) * 1e9)
                firsts = sorted((min(x), min(y)))
                if mean >= 0 and (best is None or (-mean, firsts) < best[0]):
                    best = ((-mean, firsts), x, y)
        if best is None:
            return named(groups)
        best[1].update(best[2])
        groups.remove(best[2])


def median(values):
    return statistics.median(values)
