#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes packages.txt beside this file: which Debian packages need which.

    packages.py Packages

`Packages` is the index of a Debian release as apt keeps it, unpacked: after apt-get update,
`lz4cat /var/lib/apt/lists/*_main_binary-amd64_Packages.lz4`. The file in the tree is of Debian 12.15.

Nodes are the packages of ten sections, and every package that at least two of them depend on but not
a fifth of all: what nearly everything needs tells nothing. Edges are Depends and Pre-Depends, of
alternatives the first. The first line names the sections. Then one line a node, in the order of how
often it is needed, then of names:

    <part><section> <name> <line of a package that it needs, from 0>...

Section 0-9; part t to train on, v to choose by, e to test on, 40, 10 and 50 of 100, by a hash of the
source package: packages made from one source are never on both sides. Packages of other sections,
which are not asked for, have --.
"""

import collections
import hashlib
import pathlib
import re
import sys

SECTIONS = "science math games sound video graphics mail database electronics hamradio".split()


def stanzas(path):
    for text in pathlib.Path(path).read_text().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", text, re.M))
        if "Package" in fields:
            yield fields


def needs(package, known):
    listed = ", ".join(package.get(f, "") for f in ("Pre-Depends", "Depends")).split(",")
    names = (re.split(r"[ (:|]", entry.strip())[0] for entry in listed)
    return list(dict.fromkeys(n for n in names if n in known and n != package["Package"]))


def part(package):
    source = package.get("Source", package["Package"]).split(" ")[0]
    place = int(hashlib.md5(source.encode()).hexdigest()[:6], 16) % 100
    return "t" if place < 40 else "v" if place < 50 else "e"


known = {p["Package"]: p for p in stanzas(sys.argv[1])}
asked = [n for n, p in known.items() if p["Section"] in SECTIONS]
needed_by = {n: needs(known[n], known) for n in asked}
count = collections.Counter(d for n in asked for d in needed_by[n])
kept = {d for d, c in count.items() if c >= 2} | set(asked)
kept -= {d for d, c in count.items() if c > len(asked) / 5}
order = sorted(kept, key=lambda n: (-count[n], n))
line = {n: i for i, n in enumerate(order)}
out = [" ".join(SECTIONS)]
for n in order:
    section = known[n]["Section"]
    mark = part(known[n]) + str(SECTIONS.index(section)) if section in SECTIONS else "--"
    edges = [str(line[d]) for d in needed_by.get(n, []) if d in line]
    out.append(" ".join([mark, n, *edges]))
pathlib.Path(__file__).with_name("packages.txt").write_text("\n".join(out) + "\n")
