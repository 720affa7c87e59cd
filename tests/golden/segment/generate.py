#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: attention along edges by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. Graphs without repeated edges are dense here: the
scores of all pairs of nodes, minus infinity where there is no edge, and matrix calculus for the
gradients. Inputs are float numbers, results double.

    dot/      q [1,H,N,D], k, v [1,H,M,D], bias [1,H,E,1]      -> out, lse, dq, dk, dv, dbias
    gat/      x_dst, x_src, target, source [1,H,1,D], slope    -> out, dx_dst, dx_src, dtarget, dsource
    gatv2/    x_dst, x_src, weight [1,H,1,D], slope            -> out, dx_dst, dx_src, dweight
    softmax/  logits [1,H,E,1], weight, cutoff [1,1,E,1], sink [1,H,1,1], epsilon, d_out
                                          -> out, dlogits, dweight, dcutoff, dsink

all with offsets [N+1], sources [E] and d_out.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240229)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def graph(nodes, sources, density):
    """A dense 0/1 matrix with a full row and an empty one, where there are that many."""
    a = random.random((nodes, sources)) < density
    if nodes > 2:
        a[1], a[nodes // 2] = True, False
    offsets = np.concatenate([[0], np.cumsum(a.sum(1))])
    return a, offsets, np.nonzero(a)[1]


def by_pair(a, edges):
    """[H,E] -> [H,N,M], zero where there is no edge."""
    full = np.zeros((edges.shape[0],) + a.shape)
    full[:, a] = edges
    return full


def softmax(a, s):
    s = np.where(a, s, -np.inf)
    top = np.max(s, axis=-1, keepdims=True, initial=-1e30)
    e = np.exp(s - top)
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = np.log(total[..., 0]) + top[..., 0]
    return e / np.where(total == 0, 1, total), lse


def heads(x):
    return x[0].astype(float)


def pack(a, offsets, sources, tensors):
    return {"offsets": offsets, "sources": sources, **tensors}


def back(p, v, g):
    """(ds, dv) of out = p v."""
    dp = g @ v.transpose(0, 2, 1)
    return p * (dp - (dp * p).sum(-1, keepdims=True)), p.transpose(0, 2, 1) @ g


def dot(name, n, m, h, d, density):
    a, offsets, sources = graph(n, m, density)
    q, k, v, g = normal(1, h, n, d), normal(1, h, m, d), normal(1, h, m, d), normal(1, h, n, d)
    bias = normal(1, h, len(sources), 1)
    scale = 1 / np.sqrt(d)
    s = heads(q) @ heads(k).transpose(0, 2, 1) * scale + by_pair(a, heads(bias)[..., 0])
    p, lse = softmax(a, s)
    ds, dv = back(p, heads(v), heads(g))
    return "dot/" + name, pack(a, offsets, sources, {
        "q": q, "k": k, "v": v, "bias": bias, "d_out": g, "out": (p @ heads(v))[None],
        "lse": lse[None, ..., None], "dq": (ds @ heads(k) * scale)[None],
        "dk": (ds.transpose(0, 2, 1) @ heads(q) * scale)[None], "dv": dv[None],
        "dbias": ds[:, a][None, ..., None]})


def gat(name, n, m, h, d, density, slope):
    a, offsets, sources = graph(n, m, density)
    x, y, g = normal(1, h, n, d), normal(1, h, m, d), normal(1, h, n, d)
    target, source = normal(1, h, 1, d), normal(1, h, 1, d)
    z = (heads(x) * heads(target)).sum(-1)[:, :, None] + (heads(y) * heads(source)).sum(-1)[:, None]
    p, _ = softmax(a, np.where(z < 0, slope * z, z))
    ds, dy = back(p, heads(y), heads(g))
    dz = ds * np.where(z < 0, slope, 1)
    by_x, by_y = dz.sum(2)[..., None], dz.sum(1)[..., None]
    return "gat/" + name, pack(a, offsets, sources, {
        "x_dst": x, "x_src": y, "target": target, "source": source, "slope": slope, "d_out": g,
        "out": (p @ heads(y))[None], "dx_dst": (by_x * heads(target))[None],
        "dx_src": (dy + by_y * heads(source))[None],
        "dtarget": (by_x * heads(x)).sum(1)[None, :, None],
        "dsource": (by_y * heads(y)).sum(1)[None, :, None]})


def gatv2(name, n, m, h, d, density, slope):
    a, offsets, sources = graph(n, m, density)
    x, y, g = normal(1, h, n, d), normal(1, h, m, d), normal(1, h, n, d)
    weight = normal(1, h, 1, d)
    z = heads(x)[:, :, None] + heads(y)[:, None]
    act, by_z = np.where(z < 0, slope * z, z), np.where(z < 0, slope, 1)
    p, _ = softmax(a, (act * heads(weight)[:, None]).sum(-1))
    ds, dy = back(p, heads(y), heads(g))
    dz = ds[..., None] * by_z * heads(weight)[:, None]
    return "gatv2/" + name, pack(a, offsets, sources, {
        "x_dst": x, "x_src": y, "weight": weight, "slope": slope, "d_out": g,
        "out": (p @ heads(y))[None], "dx_dst": dz.sum(2)[None], "dx_src": (dy + dz.sum(1))[None],
        "dweight": (ds[..., None] * act).sum((1, 2))[None, :, None]})


def dpa4(name, n, m, h, density, epsilon):
    a, offsets, sources = graph(n, m, density)
    count = len(sources)
    logits, g, sink = normal(1, h, count, 1), normal(1, h, count, 1), normal(1, h, 1, 1)
    weight = random.random((1, 1, count, 1)).astype(np.float32)
    cutoff = random.random((1, 1, count, 1)).astype(np.float32)
    weight[0, 0, ::5], cutoff[0, 0, ::7] = 0, 0
    w, c, z = (t.astype(float)[..., 0] for t in (weight[0], cutoff[0], sink[0]))
    top = by_pair(a, w * c * c * np.exp(heads(logits)[..., 0]))
    total = top.sum(-1) + np.log1p(np.exp(z)) + epsilon
    p = top / total[..., None]
    dp = by_pair(a, heads(g)[..., 0])
    delta = (p * dp).sum(-1)
    # d top = (dp - delta) / total
    dtop = ((dp - delta[..., None]) / total[..., None])[:, a]
    e = np.exp(heads(logits)[..., 0])
    return "softmax/" + name, pack(a, offsets, sources, {
        "logits": logits, "weight": weight, "cutoff": cutoff, "sink": sink, "epsilon": epsilon,
        "d_out": g, "out": p[:, a][None, ..., None],
        "dlogits": (dtop * w * c * c * e)[None, ..., None],
        "dweight": (dtop * c * c * e).sum(0)[None, None, :, None],
        "dcutoff": (dtop * 2 * w * c * e).sum(0)[None, None, :, None],
        "dsink": (-(delta / total).sum(1) / (1 + np.exp(-z[:, 0])))[None, :, None, None]})


def main():
    every = [dot("square", 7, 7, 2, 5, 0.4), dot("bipartite", 5, 19, 1, 8, 0.6),
             dot("sparse", 9, 6, 3, 3, 0.1), gat("plain", 7, 7, 2, 4, 0.4, 0.2),
             gat("steep", 6, 11, 1, 5, 0.5, 0.7), gatv2("plain", 7, 7, 2, 4, 0.4, 0.2),
             gatv2("relu", 6, 9, 1, 5, 0.5, 0.0), dpa4("dpa4", 8, 8, 3, 0.5, 1e-3)]
    case_files.write(__file__, every)


main()
