#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: whole rows and mixed heads by NumPy.

    generate.py

Needs NumPy. The format is that of ../generate.py. Gradients are central differences in 80-bit
floats, good to 1e-9. Inputs are float numbers, results double. All causal but slots; q, k, v
[B,H,L,D], d_out; out, dq, dk, dv, and what is learned.

    sparsemax/ entmax15/   by sorting, not by search     topk/  k
    sticks/ sticks_self/   stick breaking without and with the query's own key
    slots/                 softmax over queries, epsilon 1e-3
    talking/               before, after [1,1,H,H]
    multi_token/           kernel, after_kernel [1,H,c_q,c_k], mix [1,groups,g,g]
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20261123)
wide = np.longdouble


def normal(*shape, scale=1.0):
    return (scale * random.standard_normal(shape)).astype(np.float32)


def scores(q, k):
    return np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(wide(q.shape[-1]))


def visible(s):
    return np.tril(np.ones(s.shape[-2:], bool), s.shape[-1] - s.shape[-2])


def softmax(s, seen):
    e = np.where(seen, np.exp(s), 0)
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def by_rows(s, f):
    """f of the visible scores of each row, zeros elsewhere."""
    p, seen = np.zeros_like(s), visible(s)
    for at in np.ndindex(s.shape[:-1]):
        keys = np.flatnonzero(seen[at[-1]])
        if len(keys):
            p[at][keys] = f(s[at][keys])
    return p


def sparsemax(s):
    z = np.sort(s)[::-1]
    n = np.arange(1, len(z) + 1)
    support = n[1 + n * z > np.cumsum(z)][-1]
    return np.maximum(s - (z[:support].sum() - 1) / support, 0)


def entmax15(s):
    x = s / 2
    z = np.sort(x)[::-1]
    n = np.arange(1, len(z) + 1)
    mean, square = np.cumsum(z) / n, np.cumsum(z * z) / n
    rest = (1 - n * (square - mean * mean)) / n
    tau = mean - np.sqrt(np.maximum(rest, 0))
    return np.maximum(x - tau[(tau <= z).sum() - 1], 0) ** 2


def topk(s, k):
    p = np.zeros_like(s)
    best = np.argsort(-s, kind="stable")[:k]
    e = np.exp(s[best])
    p[best] = e / e.sum()
    return p


def sticks(s, own):
    p, left = np.zeros_like(s), wide(1)
    for j in range(len(s) - 1 - (not own), -1, -1):
        share = 1 / (1 + np.exp(-s[j]))
        p[j], left = share * left, left * (1 - share)
    return p


def slots(s):
    e = np.exp(s)
    a = e / e.sum(-2, keepdims=True) + wide(1e-3)
    return a / a.sum(-1, keepdims=True)


def mixed(m, x):
    return np.einsum("hg,bgij->bhij", m, x)


def talking(s, before, after):
    return mixed(after[0, 0], softmax(mixed(before[0, 0], s), visible(s)))


def convolved(x, theta):
    x, y = np.where(visible(x), x, 0), np.zeros_like(x)
    rows, keys = theta.shape[2:]
    for a in range(rows):
        for b in range(keys):
            shift = keys // 2 - b
            moved = np.zeros_like(x)
            to = slice(max(0, -shift), min(x.shape[-1], x.shape[-1] - shift))
            of = slice(to.start + shift, to.stop + shift)
            if to.start < to.stop:
                moved[:, :, a:, to] = x[:, :, :x.shape[2] - a, of]
            y += theta[0, :, a, b][None, :, None, None] * moved
    return y


def multi_token(s, kernel, after_kernel, mix):
    p = np.where(visible(s), convolved(softmax(convolved(s, kernel), visible(s)), after_kernel), 0)
    y, g = np.zeros_like(p), mix.shape[2]
    for n in range(mix.shape[1]):
        y[:, n * g:(n + 1) * g] = mixed(mix[0, n], p[:, n * g:(n + 1) * g])
    return y


def case(name, weights, h, queries, keys, d, dv, **learned):
    given = {"q": normal(1, h, queries, d, scale=1.5), "k": normal(1, h, keys, d),
             "v": normal(1, h, keys, dv), "d_out": normal(1, h, queries, dv)} | learned
    at = {n: x.astype(wide) for n, x in given.items()}

    def out():
        p = weights(scores(at["q"], at["k"]), **{n: at[n] for n in learned})
        return np.einsum("bhij,bhjd->bhid", p, at["v"])

    results = {"out": out().astype(float)}
    for n in ("q", "k", "v", *learned):
        slope = np.zeros(at[n].shape)
        for i in np.ndindex(slope.shape):
            kept, step, ends = at[n][i], wide(1e-7), []
            for sign in (1, -1):
                at[n][i] = kept + sign * step
                ends.append((out() * at["d_out"]).sum())
            at[n][i] = kept
            slope[i] = (ends[0] - ends[1]) / (2 * step)
        results["d" + n] = slope
    return name, given | results


def table(*shape):
    return normal(*shape, scale=0.6)


every = []
for size, (queries, keys) in {"square": (6, 6), "tall": (9, 7), "wide": (3, 11)}.items():
    shape = (2, queries, keys, 4, 3)
    rows = lambda f: lambda s: by_rows(s, f)
    every += [
        case("sparsemax/" + size, rows(sparsemax), *shape),
        case("entmax15/" + size, rows(entmax15), *shape),
        case("topk/" + size, rows(lambda s: topk(s, 3)), *shape),
        case("slots/" + size, slots, *shape),
        case("talking/" + size, talking, *shape, before=table(1, 1, 2, 2), after=table(1, 1, 2, 2)),
        case("multi_token/" + size, multi_token, *shape, kernel=table(1, 2, 3, 4),
             after_kernel=table(1, 2, 2, 3), mix=table(1, 1, 2, 2)),
    ]
    if queries <= keys:  # the query's own key is the last one it sees
        every += [case("sticks/" + size, rows(lambda s: sticks(s, False)), *shape),
                  case("sticks_self/" + size, rows(lambda s: sticks(s, True)), *shape)]
case_files.write(__file__, every)
