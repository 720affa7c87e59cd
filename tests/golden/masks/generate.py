#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: static patterns drawn by NumPy, whole arrays at a
time as the papers describe them. The format is that of ../generate.py. `rows` [queries, ⌈keys/24⌉]
holds 24 pairs a float, the first key in the lowest bit.

    power_of_two    block, window, sinks
    strided         stride
    fixed_strided   stride, columns
    longformer      reach, step, tokens
    shifted_groups  size, shift, tokens
    segment_graph   cu, offsets, sources, prefix
"""

import pathlib

import numpy as np


def positions(queries, keys):
    return np.arange(queries)[:, None] + keys - queries, np.arange(keys)[None, :]


def power_of_two(queries, keys, block, window, sinks):
    i, j = positions(queries, keys)
    apart = i // block - j // block
    near = np.isin(apart, [0] + [2**p for p in range(40)]) | (apart < window)
    return (j <= i) & (near | (j // block < sinks))


def strided(queries, keys, stride):
    i, j = positions(queries, keys)
    return np.tri(queries, keys, keys - queries, bool) & (((i - j) % stride == 0) | (i - j < stride))


def fixed_strided(queries, keys, stride, columns):
    i, j = positions(queries, keys)
    return (j <= i) & ((i // stride == j // stride) | (j % stride >= stride - columns))


def longformer(queries, keys, reach, step, tokens):
    m = np.zeros((keys, keys), bool)
    for tap in range(-reach, reach + 1):
        m |= np.eye(keys, k=tap * step, dtype=bool)
    m[tokens, :] = True
    m[:, tokens] = True
    return m[keys - queries:]


def shifted_groups(queries, keys, size, shift, tokens):
    """Rolled by -shift, causal in groups, rolled back; `tokens` first ones are global."""
    groups = np.kron(np.eye(-(-keys // size), dtype=bool), np.ones((size, size), bool))
    rolled = groups[:keys, :keys] & np.tri(keys, dtype=bool)
    m = np.roll(rolled, (shift, shift), (0, 1))
    causal = np.tri(keys, dtype=bool)
    m[:tokens] |= causal[:tokens]
    m[:, :tokens] |= causal[:, :tokens]
    return m[keys - queries:]


def segment_graph(queries, keys, cu, offsets, sources, prefix):
    m = np.zeros((keys, keys), bool)
    causal = np.tri(keys, dtype=bool)
    for g in range(len(cu) - 1):
        own = slice(cu[g], cu[g + 1])
        m[own, own] = causal[own, own]
        for s in sources[offsets[g]:offsets[g + 1]]:
            m[own, cu[s]:cu[s + 1]] = True
    m[:, :prefix] |= causal[:, :prefix]
    return m[keys - queries:]


def packed(m):
    wide = np.pad(m, [(0, 0), (0, -m.shape[1] % 24)]).reshape(len(m), -1, 24)
    return (wide * 2**np.arange(24)).sum(-1).astype(np.float32)


def cases():
    def job(name, function, queries, keys, **given):
        m = function(queries, keys, *given.values())
        return name, {"shape": (queries, keys), **given, "rows": packed(m)}

    for n, block, window, sinks in [(60, 1, 1, 0), (75, 4, 2, 1), (90, 7, 0, 0)]:
        yield job(f"power_of_two/{block}", power_of_two, n - 9, n, block=block, window=window,
                  sinks=sinks)
    for stride in (1, 5, 16):
        yield job(f"strided/{stride}", strided, 50, 61, stride=stride)
    for stride, columns in [(5, 1), (16, 3), (4, 4), (7, 0)]:
        yield job(f"fixed_strided/{stride}", fixed_strided, 61, 61, stride=stride, columns=columns)
    for step, tokens in [(1, [0, 3, 40]), (3, [57, 58]), (2, [0])]:
        yield job(f"longformer/{step}", longformer, 49, 59, reach=4, step=step, tokens=tokens)
    for size, shift, tokens in [(8, 0, 0), (8, 4, 0), (8, 4, 4), (9, 5, 2)]:
        yield job(f"shifted_groups/{size}/{shift}/{tokens}", shifted_groups, 64, 64, size=size,
                  shift=shift, tokens=tokens)
    cu, offsets, sources = [0, 9, 9, 20, 31, 50], [0, 0, 1, 2, 4, 7], [0, 0, 0, 2, 0, 2, 3]
    for prefix in (0, 4):
        yield job(f"segment_graph/{prefix}", segment_graph, 44, 50, cu=cu, offsets=offsets,
                  sources=sources, prefix=prefix)


def main():
    folder = pathlib.Path(__file__).parent
    lines, blob = [], bytearray()
    for case, tensors in cases():
        for name, x in tensors.items():
            x = np.atleast_1d(np.asarray(x, np.float32))
            lines.append(f"{case}/{name} f4 {'x'.join(map(str, x.shape))} {len(blob)}\n")
            blob += np.ascontiguousarray(x, "<f4").tobytes()
    (folder / "cases.txt").write_text("".join(lines))
    (folder / "cases.bin").write_bytes(blob)
    print(f"{len(lines)} tensors, {len(blob)} bytes")


main()
