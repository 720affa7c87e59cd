#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: choices of blocks by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. A choice is a 0/1 matrix over rows and blocks,
found by sorting; attention is dense, under that matrix spread over the tokens. Inputs are float
numbers, results double. Every case has q, k, v and out.

    moba/        block, top; d_out, dq, dk, dv; chosen [B,H,L,blocks]
    block_topk/  rows, keys, top, sinks, antidiagonal (the stride or 0); chosen
    nsa/         sizes [block, stride, selected, count, sinks, local, window], gates; chosen [B,Hkv,…]
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20261123)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def best(score, count):
    """0/1 over the last axis: the largest above -inf, of equal ones the first."""
    order = np.argsort(-score, axis=-1, kind="stable")[..., :count]
    chosen = np.zeros(score.shape, bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen & (score > -np.inf)


def softmax(s, mask):
    top = np.where(mask, s, -np.inf).max(1, keepdims=True, initial=-1e30)
    e = np.where(mask, np.exp(np.minimum(s - top, 0)), 0)
    total = e.sum(1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def spread(chosen, rows, keys, queries, length):
    return np.repeat(np.repeat(chosen, rows, 0)[:queries], keys, 1)[:, :length]


def means(x, size):
    return np.stack([x[i:i + size].mean(0) for i in range(0, len(x), size)])


def stacked(heads):
    return np.array([[one for one in row] for row in heads])


def moba(name, b, h, kv, length, d, dv, block, top):
    q, k, v, d_out = normal(b, h, length, d), normal(b, kv, length, d), normal(b, kv, length, dv), normal(b, h, length, dv)
    past = np.tril(np.ones((length, length), bool))
    out, dq, chosen = np.zeros(d_out.shape), np.zeros(q.shape), []
    dk, dv_ = np.zeros(k.shape), np.zeros(v.shape)
    for i in range(b):
        chosen.append([])
        for j in range(h):
            n = j // (h // kv)
            x, y, z, g = (t.astype(float) for t in (q[i, j], k[i, n], v[i, n], d_out[i, j]))
            gate = x @ means(y, block).T
            own = np.arange(length) // block
            at = np.arange(gate.shape[1])
            gate[at[None] > own[:, None]] = -np.inf
            gate[np.arange(length), own] = np.inf
            pick = best(gate, top)
            chosen[i].append(pick)
            p = softmax(x @ y.T * d ** -0.5, spread(pick, 1, block, length, length) & past)
            out[i, j] = p @ z
            ds = p * (g @ z.T - (g * out[i, j]).sum(1, keepdims=True)) * d ** -0.5
            dq[i, j] = ds @ y
            dk[i, n] += ds.T @ x
            dv_[i, n] += p.T @ g
    return "moba/" + name, {"q": q, "k": k, "v": v, "d_out": d_out, "block": block, "top": top, "out": out,
                            "dq": dq, "dk": dk, "dv": dv_, "chosen": stacked(chosen)}


def block_topk(name, b, h, length, d, dv, rows, keys, top, sinks, stride):
    q, k, v = normal(b, h, length, d), normal(b, h, length, d), normal(b, h, length, dv)
    past = np.tril(np.ones((length, length), bool))
    out, chosen = np.zeros((b, h, length, dv)), []
    for i in range(b):
        chosen.append([])
        for j in range(h):
            x, y, z = (t[i, j].astype(float) for t in (q, k, v))
            if stride:
                s = x @ y.T
                s[(np.arange(length)[:, None] % rows + np.arange(length) % keys) % stride != stride - 1] = 0
                score = np.add.reduceat(np.add.reduceat(s, range(0, length, rows), 0), range(0, length, keys), 1)
            else:
                score = means(x, rows) @ means(y, keys).T
            a, c = np.arange(score.shape[0])[:, None], np.arange(score.shape[1])
            last = np.minimum((a + 1) * rows, length) - 1
            score[(c * keys <= last) & ((c + 1) * keys > a * rows) | (c < sinks)] = np.inf
            score[c * keys > last] = -np.inf
            pick = best(score, top)
            chosen[i].append(pick)
            out[i, j] = softmax(x @ y.T * d ** -0.5, spread(pick, rows, keys, length, length) & past) @ z
    return "block_topk/" + name, {"q": q, "k": k, "v": v, "rows": rows, "keys": keys, "top": top, "sinks": sinks,
                                  "antidiagonal": stride, "out": out, "chosen": stacked(chosen)}


def nsa(name, b, h, kv, length, d, dv, sizes):
    block, stride, selected, count, sinks, local, window = sizes
    q, k, v, gates = normal(b, h, length, d), normal(b, kv, length, d), normal(b, kv, length, dv), normal(b, h, length, 3)
    at = np.arange(length)
    past = at[None] <= at[:, None]
    near = past & (at[:, None] - at[None] < window)
    starts = np.arange(0, length - block + 1, stride)
    before = starts[None] + block - 1 <= at[:, None]
    blocks = -(-length // selected)
    # How many strides of each compressed key lie in each block.
    part = np.zeros((len(starts), blocks))
    for c, start in enumerate(starts):
        for u in range(start, start + block, stride):
            part[c, u // selected] += 1
    out, chosen, scale = np.zeros((b, h, length, dv)), [], d ** -0.5
    for i in range(b):
        chosen.append([])
        for n in range(kv):
            y, z = k[i, n].astype(float), v[i, n].astype(float)
            yc, zc = (np.stack([t[s:s + block].mean(0) for s in starts]) for t in (y, z))
            group = range(n * (h // kv), (n + 1) * (h // kv))
            heads = {j: q[i, j].astype(float) for j in group}
            score = sum(softmax(x @ yc.T * scale, before) for x in heads.values()) @ part
            own = at[:, None] // selected
            c = np.arange(blocks)
            score[(c < sinks) | (c > own - local)] = np.inf
            score[np.broadcast_to(c > own, score.shape)] = -np.inf
            pick = best(score, count)
            chosen[i].append(pick)
            seen = spread(pick, 1, selected, length, length) & past
            for j, x in heads.items():
                s = x @ y.T * scale
                open_ = 1 / (1 + np.exp(-gates[i, j].astype(float)))
                parts = (softmax(x @ yc.T * scale, before) @ zc, softmax(s, seen) @ z, softmax(s, near) @ z)
                out[i, j] = sum(open_[:, m:m + 1] * o for m, o in enumerate(parts))
    return "nsa/" + name, {"q": q, "k": k, "v": v, "gates": gates, "sizes": np.array(sizes), "out": out,
                           "chosen": stacked(chosen)}


def main():
    every = [moba("groups", 1, 4, 2, 13, 3, 2, 4, 2),
             moba("single", 2, 1, 1, 9, 5, 3, 2, 3),
             block_topk("means", 1, 2, 17, 4, 2, 4, 4, 3, 1, 0),
             block_topk("antidiagonals", 1, 2, 16, 4, 2, 4, 8, 1, 0, 4),
             nsa("groups", 1, 4, 2, 24, 3, 2, (8, 4, 8, 2, 0, 1, 5)),
             nsa("single", 1, 1, 1, 19, 4, 3, (4, 2, 4, 3, 1, 1, 4))]
    case_files.write(__file__, every)


main()
