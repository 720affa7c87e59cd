#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Says what changed between two reports, beyond noise.

    bench/compare.py OLD.json NEW.json [--floor 3%] [--fail-on slower:5%] [--html FILE]

A case changed where both hold: the medians over rounds differ by more than the floor, and the
two-sided Mann-Whitney test over the rounds' times gives p <= 0.05 (exact up to eight rounds each).
That wants four rounds a side: with fewer a case is `unsure`. Rounds of one run drift together, so
`unchanged` is safer than `changed`: repeat a run before trusting one case of many.
"""

import argparse
import html
import itertools
import json
import math
import pathlib
import sys
from statistics import median


def load(file):
    report = json.loads(pathlib.Path(file).read_text())
    if report.get("schema") != 1:
        sys.exit(f"compare: {file} is of another schema")
    cases = {f"{family}: {name}": [r["us"] for r in rounds]
             for family, entry in report["families"].items() for name, rounds in entry["cases"].items()}
    return report, cases


def chance(a, b):
    """Two-sided p of Mann-Whitney with middle ranks for ties."""
    both, n = sorted(a + b), len(a)
    rank = {x: both.index(x) + (both.count(x) + 1) / 2 for x in set(both)}
    ranks = [rank[x] for x in a + b]
    expected = n * (len(both) + 1) / 2
    off = abs(sum(ranks[:n]) - expected)
    if math.comb(len(both), n) <= 13000:
        sums = [abs(sum(c) - expected) >= off - 1e-9 for c in itertools.combinations(ranks, n)]
        return sum(sums) / len(sums)
    mean = (len(both) + 1) / 2
    variance = n * len(b) / (len(both) * (len(both) - 1)) * sum((r - mean) ** 2 for r in ranks)
    return math.erfc(max(0.0, off - 0.5) / math.sqrt(2 * variance)) if variance else 1.0


def verdict(a, b, floor):
    """(word, new time over old, p)"""
    ratio = median(b) / median(a) if median(a) > 0 else 1.0
    p = chance(a, b)
    if 2 / math.comb(len(a) + len(b), len(a)) > 0.05:
        return "unsure", ratio, p
    if p > 0.05 or abs(math.log(max(ratio, 1e-300))) <= math.log1p(floor):
        return "unchanged", ratio, p
    return ("slower" if ratio > 1 else "faster"), ratio, p


def percent(word):
    return float(word.rstrip("%")) / 100


def differences(old, new):
    """What makes the two hard to compare."""
    found = [f"{k} differ" for k in ("cpu", "flags", "cores") if old["machine"].get(k) != new["machine"].get(k)]
    found += [f"settings differ: {k}" for k in ("seconds", "quick") if old["settings"].get(k) != new["settings"].get(k)]
    for family in old["families"].keys() & new["families"].keys():
        a, b = old["families"][family], new["families"][family]
        found += [f"{family}: {k} differs" for k in ("compiler", "instructions") if a.get(k) != b.get(k)]
        x, y = float(a.get("fma_gflops_t1") or 0), float(b.get("fma_gflops_t1") or 0)
        if x and y and abs(y / x - 1) > 0.05:
            found.append(f"{family}: measured peak is {y / x:.2f} of the old")
    return sorted(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--floor", type=percent, default=0.03)
    parser.add_argument("--fail-on", default="")
    parser.add_argument("--html", type=pathlib.Path)
    given = parser.parse_args()
    if given.fail_on and not given.fail_on.startswith("slower:"):
        parser.error("--fail-on wants slower:PERCENT")
    limit = percent(given.fail_on.removeprefix("slower:")) if given.fail_on else math.inf
    (old, before), (new, after) = load(given.old), load(given.new)
    rows, failed = [], False
    for name in before.keys() | after.keys():
        if name not in after or name not in before:
            rows.append(("missing" if name not in after else "new", name, "", ""))
            continue
        word, ratio, p = verdict(before[name], after[name], given.floor)
        rows.append((word, name, f"{ratio:.3f}", f"{p:.3f}"))
        failed = failed or (word == "slower" and ratio - 1 > limit)
    order = ["slower", "faster", "missing", "new", "unsure", "unchanged"]
    rows.sort(key=lambda row: (order.index(row[0]), row[1]))
    warnings = differences(old, new)
    for line in warnings:
        print("warning:", line)
    for word, name, ratio, p in rows:
        if word != "unchanged":
            print(f"{word:9} {ratio:>6} p {p:>5}  {name}" if ratio else f"{word:9} {'':14}  {name}")
    print(", ".join(f"{sum(r[0] == w for r in rows)} {w}" for w in order))
    if given.html:
        cells = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        given.html.write_text("<!doctype html><meta charset='utf-8'><title>heed benches compared</title>"
                              + "".join(f"<p>Warning: {html.escape(w)}</p>" for w in warnings)
                              + "<table><tr><th>verdict<th>case<th>new / old<th>p</tr>" + cells + "</table>\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
