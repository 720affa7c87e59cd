#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: convolutions of local/ by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. Every channel is one dense matrix over the
positions, M[p, q] = the weight with which q reaches p, so y = M x and dx = Mᵀ dy; gradients of
weights read the entries of dy xᵀ that a weight stands at, then go through whole Jacobians. Inputs
are float numbers, results double.

    tokens/   x, d_out [B,1,N,C], weight [B|1,H,1|N,k]; causal, softmax
    grid/     x, d_out [B,1,Y·X,C], weight [B|1,G,1|Y·X,k·k], size [2], lambda [1,G,1,1] or none
    value/    x, out_before, d_out [B,H,Y·X,D], weight [1,H·D,1,k·k], bias [1,H·D,1,1], size

with out, dx, dweight, dlambda, dbias.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240229)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def softmax(w):
    e = np.exp(w - w.max())
    a = e / e.sum()
    return a, np.diag(a) - np.outer(a, a), np.zeros_like(a)


def less_mean(w, lam):
    share = 1 / (1 + np.exp(-lam))
    jacobian = np.eye(len(w)) - share / len(w)
    return w - share * w.mean(), jacobian, np.full(len(w), -share * (1 - share) * w.mean())


def as_given(w):
    return w, np.eye(len(w)), np.zeros(len(w))


def places(size, taps, before):
    """[positions, taps]: which position a tap of a position meets, or -1."""
    rows, columns = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    down, right = np.meshgrid(*(np.arange(n) for n in taps), indexing="ij")
    row = rows.reshape(-1, 1) + down.reshape(1, -1) - before[0]
    column = columns.reshape(-1, 1) + right.reshape(1, -1) - before[1]
    inside = (0 <= row) & (row < size[0]) & (0 <= column) & (column < size[1])
    return np.where(inside, row * size[1] + column, -1)


def convolve(x, d_out, weight, where, prepare):
    """x, d_out [B,L,C]; prepare(raw weights, kernel) -> used, Jacobian, by lambda."""
    x, d_out, weight = (t.astype(float) for t in (x, d_out, weight))
    batch, length, channels = x.shape
    kernels = weight.shape[1]
    out, dx, dw, dl = np.zeros_like(x), np.zeros_like(x), np.zeros_like(weight), np.zeros(kernels)
    for b in range(batch):
        for c in range(channels):
            g, item = c // (channels // kernels), b % weight.shape[0]
            matrix, used = np.zeros((length, length)), []
            for p in range(length):
                used.append(prepare(weight[item, g, p % weight.shape[2]], g))
                for j, q in enumerate(where[p]):
                    if q >= 0:
                        matrix[p, q] += used[p][0][j]
            out[b, :, c] = matrix @ x[b, :, c]
            dx[b, :, c] = matrix.T @ d_out[b, :, c]
            pairs = np.outer(d_out[b, :, c], np.append(x[b, :, c], 0))  # the last: beyond the grid
            for p in range(length):
                reached = pairs[p, where[p]]
                dw[item, g, p % weight.shape[2]] += used[p][1].T @ reached
                dl[g] += used[p][2] @ reached
    return out, dx, dw, dl


def tokens(name, b, n, c, h, k, causal, soft, each):
    x, d_out = normal(b, 1, n, c), normal(b, 1, n, c)
    weight = normal(b if each else 1, h, n if each else 1, k)
    where = places((1, n), (1, k), (0, k - 1 if causal else (k - 1) // 2))
    out, dx, dw, _ = convolve(x[:, 0], d_out[:, 0], weight, where,
                              lambda w, g: softmax(w) if soft else as_given(w))
    return "tokens/" + name, {"x": x, "d_out": d_out, "weight": weight, "causal": causal,
                              "softmax": soft, "out": out[:, None], "dx": dx[:, None],
                              "dweight": dw}


def grid(name, b, size, c, g, k, each, own, with_lambda):
    length = size[0] * size[1]
    x, d_out = normal(b, 1, length, c), normal(b, 1, length, c)
    weight = normal(b if own else 1, g, length if each else 1, k * k)
    lam = normal(1, g, 1, 1)
    where = places(size, (k, k), (k // 2, k // 2))
    prepare = (lambda w, i: less_mean(w, float(lam[0, i, 0, 0]))) if with_lambda else (
        lambda w, i: as_given(w))
    out, dx, dw, dl = convolve(x[:, 0], d_out[:, 0], weight, where, prepare)
    more = {"lambda": lam, "dlambda": dl.reshape(lam.shape)} if with_lambda else {}
    return "grid/" + name, {"x": x, "d_out": d_out, "weight": weight, "size": np.array(size),
                            **more, "out": out[:, None], "dx": dx[:, None], "dweight": dw}


def value(name, b, h, size, d, k):
    length = size[0] * size[1]
    x, before, d_out = (normal(b, h, length, d) for _ in range(3))
    weight, bias = normal(1, h * d, 1, k * k), normal(1, h * d, 1, 1)
    flat = lambda t: t.transpose(0, 2, 1, 3).reshape(b, length, h * d)
    heads = lambda t: t.reshape(b, length, h, d).transpose(0, 2, 1, 3)
    out, dx, dw, _ = convolve(flat(x), flat(d_out), weight,
                              places(size, (k, k), (k // 2, k // 2)), lambda w, g: as_given(w))
    out += flat(before).astype(float) + bias.astype(float).reshape(1, 1, -1)
    return "value/" + name, {"x": x, "out_before": before, "d_out": d_out, "weight": weight,
                             "bias": bias, "size": np.array(size), "out": heads(out),
                             "dx": heads(dx), "dweight": dw,
                             "dbias": flat(d_out).astype(float).sum((0, 1)).reshape(bias.shape)}


def main():
    every = [tokens("lightweight", 2, 11, 6, 3, 3, False, True, False),
             tokens("lightweight_causal", 1, 9, 6, 2, 4, True, True, False),
             tokens("dynamic", 2, 10, 6, 2, 5, False, True, True),
             tokens("dynamic_causal", 1, 12, 4, 2, 3, True, False, True),
             tokens("wide", 1, 4, 2, 1, 7, False, True, True),
             grid("atconv", 2, (4, 5), 3, 3, 3, False, True, True),
             grid("depthwise", 1, (3, 7), 4, 4, 5, False, False, False),
             grid("involution", 1, (4, 5), 6, 2, 3, True, True, False),
             grid("involution_less_mean", 2, (3, 3), 4, 2, 3, True, True, True),
             value("lepe3", 1, 2, (4, 5), 3, 3), value("lepe5", 1, 1, (3, 4), 2, 5)]
    case_files.write(__file__, every)


main()
