#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: operators along edges by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. A graph is a pair of incidence matrices, edges to
destinations [N,E] and to sources [E,M], and every operator a few products with them; gradients are
complex steps, which lose no digits: dL/dx = Im L(x + ih) / h. Inputs are float numbers, results
double. Every case has offsets [N+1], sources [E], inputs and results [1,H,rows,channels]; a gradient
is named d_ and its input, L the sum of results times their d_.

    edge_kv/   q, k, v, keys, values -> out
    grit/      q, k, v, factor, shift, weight, value -> out, edge
    gin_pna/   x, weights, self -> out, of sum, mean, max, min, deviation, variance
    gated_gcn/ a, b, edge, target, source -> out, gate
    rrwp/      pairs_offsets, pairs_sources -> edges, nodes
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240229)
H = 2


def normal(*shape, scale=1.0, shift=0.0):
    return (random.standard_normal(shape) * scale + shift).astype(np.float32)


class Graph:
    def __init__(self, degrees, sources):
        self.n, self.m, self.e = len(degrees), sources, sum(degrees)
        self.offsets = np.concatenate([[0], np.cumsum(degrees)])
        self.sources = random.integers(0, sources, self.e)
        self.to = np.zeros((self.n, self.e))
        self.of = np.zeros((self.e, self.m))
        for i in range(self.n):
            self.to[i, self.offsets[i]:self.offsets[i + 1]] = 1
        self.of[np.arange(self.e), self.sources] = 1

    def softmax(self, s):
        """[H,E] over the edges of a destination; the real maximum is a constant."""
        out = np.zeros_like(s)
        for i in range(self.n):
            at = slice(self.offsets[i], self.offsets[i + 1])
            if self.offsets[i] < self.offsets[i + 1]:
                p = np.exp(s[:, at] - s.real[:, at].max(1, keepdims=True))
                out[:, at] = p / p.sum(1, keepdims=True)
        return out


def edge_kv(g, q, k, v, keys, values):
    s = ((g.to.T @ q) * (g.of @ k + keys)).sum(-1) / np.sqrt(q.shape[-1])
    return {"out": g.to @ (g.softmax(s)[..., None] * (g.of @ v + values))}


def grit(g, q, k, v, factor, shift, weight, value):
    x = (g.to.T @ q + g.of @ k) * factor
    sign = np.where(x.real < 0, -1.0, 1.0)
    e = sign * np.sqrt(sign * x) + shift
    e = np.where(e.real > 0, e, 0)
    s = (e * weight).sum(-1)
    s = np.where(np.abs(s.real) <= 5, s, np.clip(s.real, -5, 5))
    return {"out": g.to @ (g.softmax(s)[..., None] * (g.of @ v + e @ value)), "edge": e}


def gin_pna(g, x, weights, self):
    a = g.to * weights[..., 0][:, None, :] @ g.of  # [H,N,M], repeated edges added
    deg = a.sum(-1, keepdims=True)
    some = np.where(deg == 0, 1, deg)
    total = a @ x
    mean = total / some
    spread = (g.to @ (weights * (g.of @ x - g.to.T @ mean) ** 2)) / some
    ends = {}
    for name, pick in (("max", np.argmax), ("min", np.argmin)):
        ends[name] = np.zeros_like(total)
        for h in range(H):
            for i in range(g.n):
                edges = [e for e in range(g.offsets[i], g.offsets[i + 1]) if weights[h, e, 0] != 0]
                if edges:
                    rows = x[h, g.sources[edges]]
                    best = pick(rows.real, axis=0)
                    ends[name][h, i] = rows[best, np.arange(rows.shape[1])]
    root = np.where(deg == 0, 0, np.sqrt(spread + 1e-5))
    return {"out": np.concatenate([total + self * x, mean, ends["max"], ends["min"], root, spread],
                                  -1)}


def gated_gcn(g, a, b, edge, target, source):
    gate = 1 / (1 + np.exp(-(g.to.T @ target + g.of @ source + edge)))
    return {"out": a + g.to @ (gate * (g.of @ b)) / (g.to @ gate + 1e-6), "gate": gate}


def case(name, g, f, **inputs):
    held = {n: x.astype(complex) for n, x in inputs.items()}
    results = {n: r.real for n, r in f(g, **held).items()}
    d = {n: normal(*r.shape) for n, r in results.items()}

    def loss():
        return sum((r * d[n]).sum() for n, r in f(g, **held).items())

    slopes = {}
    for n, x in held.items():
        slopes["d_" + n] = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            x[at] += 1e-30j
            slopes["d_" + n][at] = loss().imag * 1e30
            x[at] = x[at].real
    tensors = {**inputs, **results, **{"d_" + n: x for n, x in d.items()}, **slopes}
    return name, {"offsets": g.offsets, "sources": g.sources, "source_nodes": g.m,
                  **{n: x[None] for n, x in tensors.items()}}


def walks(steps):
    g, pairs = Graph([2, 0, 3, 1, 4], 5), Graph([5, 1, 2, 0, 3], 5)
    m = (g.to @ g.of) / np.maximum(1, np.diff(g.offsets))[:, None]
    powers = np.stack([np.linalg.matrix_power(m, s) for s in range(steps)], -1)
    where = np.repeat(np.arange(5), np.diff(pairs.offsets))
    return "rrwp/five", {"offsets": g.offsets, "sources": g.sources, "source_nodes": 5,
                         "pairs_offsets": pairs.offsets, "pairs_sources": pairs.sources,
                         "edges": powers[where, pairs.sources][None, None],
                         "nodes": powers[np.arange(5), np.arange(5)][None, None]}


def main():
    g, d, dv = Graph([3, 0, 1, 5, 2], 4), 3, 4
    square = Graph([2, 0, 4, 1, 3], 5)
    weights = np.abs(normal(H, square.e, 1)) * (random.random((H, square.e, 1)) > 0.2)
    every = [
        case("edge_kv/five", g, edge_kv, q=normal(H, g.n, d), k=normal(H, g.m, d),
             v=normal(H, g.m, dv), keys=normal(H, g.e, d), values=normal(H, g.e, dv)),
        case("grit/five", g, grit, q=normal(H, g.n, d), k=normal(H, g.m, d), v=normal(H, g.m, dv),
             factor=normal(H, g.e, d), shift=normal(H, g.e, d), weight=normal(H, 1, d, scale=2),
             value=normal(H, d, dv)),
        case("gin_pna/five", square, gin_pna, x=normal(H, square.m, d),
             weights=weights.astype(np.float32), self=normal(H, 1, 1)),
        case("gated_gcn/five", g, gated_gcn, a=normal(H, g.n, dv), b=normal(H, g.m, dv),
             edge=normal(H, g.e, dv), target=normal(H, g.n, dv), source=normal(H, g.m, dv)),
        walks(6)]
    case_files.write(__file__, every)


main()
