# SPDX-License-Identifier: BSL-1.0
"""Neighbourhood attention by NumPy in double: dense softmax over all tokens under a mask.

The mask of a grid is the Kronecker product of those of its axes. Inputs are float numbers, outputs
double.
"""

import functools
import math

import numpy as np


def axis_mask(size, window, stride, dilation, causal):
    """[size, size], true where the token of a row sees that of a column."""
    group, at = np.arange(size) % dilation, np.arange(size) // dilation
    length = -(-(size - group) // dilation)
    first_of_stride = at // stride * stride
    if causal:
        start = np.minimum(first_of_stride + stride - 1, length - 1) - window + 1
        end = at + 1
    else:
        leader = np.minimum(first_of_stride + stride // 2, length - 1)
        start = np.clip(leader - window // 2, 0, length - window)
        end = start + window
    seen = (start[:, None] <= at) & (at < end[:, None])
    return seen & (group[:, None] == group)


def entries(size, window, dilation):
    """[size, size], where a pair of tokens of an axis looks into its table."""
    steps = (np.arange(size) - np.arange(size)[:, None]) // dilation
    return np.clip(steps + window - 1, 0, 2 * window - 2)


def grid_entries(axes):
    index = np.zeros((1, 1), int)
    for size, window, _, dilation, _ in axes:
        n = len(index) * size
        index = (index[:, None, :, None] * (2 * window - 1)
                 + entries(size, window, dilation)[None, :, None, :]).reshape(n, n)
    return index


def attention(q, k, v, mask, scale, bias, d_out):
    """One head, extra keys first: what is asked for, and the gradients of sum(out * d_out)."""
    s = np.where(mask, scale * q @ k.T + bias, -np.inf)
    top = s.max(axis=1, keepdims=True)
    p = np.exp(s - top)
    total = p.sum(axis=1, keepdims=True)
    p, lse = p / total, top + np.log(total)
    out = p @ v
    ds = p * (d_out @ v.T - (out * d_out).sum(axis=1, keepdims=True))
    return out, lse, scale * ds @ k, scale * ds.T @ q, p.T @ d_out, ds


# Name, B, H, Hkv, D, Dv, extra keys, bias, axes of (size, window, stride, dilation, causal).
GRIDS = (
    ("natten/one", 1, 2, 1, 4, 3, 0, False, [(19, 7, 1, 1, False)]),
    ("natten/one_causal", 2, 1, 1, 4, 4, 2, False, [(13, 4, 3, 2, True)]),
    ("natten/two", 1, 1, 1, 5, 4, 0, False, [(4, 3, 1, 1, False), (11, 5, 1, 1, False)]),
    ("natten/two_even_dilated", 1, 2, 1, 4, 4, 0, True, [(4, 2, 1, 2, False), (9, 4, 1, 2, False)]),
    ("natten/two_strided", 1, 1, 1, 4, 6, 1, True, [(5, 4, 2, 1, False), (8, 5, 3, 1, False)]),
    ("natten/two_blocks", 1, 1, 1, 4, 4, 0, True, [(4, 2, 2, 1, False), (6, 3, 3, 1, False)]),
    ("natten/three", 1, 1, 1, 4, 4, 0, True,
     [(2, 2, 1, 1, True), (3, 3, 2, 1, False), (5, 2, 1, 2, False)]),
)


def cases(seed=47):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    for name, b, h, kv, d, dv, extra, biased, axes in GRIDS:
        tokens = math.prod(a[0] for a in axes)
        mask = functools.reduce(np.kron, [axis_mask(*a) for a in axes])
        mask = np.hstack([np.ones((tokens, extra), bool), mask.astype(bool)])
        q, k, v = normal(b, h, tokens, d), normal(b, kv, tokens, d), normal(b, kv, tokens, dv)
        d_out, scale = normal(b, h, tokens, dv), 1 / math.sqrt(d)
        given = {"axes": np.array(axes, np.float32), "q": q, "k": k, "v": v, "d_out": d_out}
        more_k, more_v = normal(1, kv, extra, d), normal(1, kv, extra, dv)
        if extra:
            given |= {"extra_k": more_k, "extra_v": more_v}
        table = normal(1, h, math.prod(2 * a[1] - 1 for a in axes), 1)
        where = grid_entries(axes)
        if biased:
            given["bias"] = table
        out, lse = np.zeros((b, h, tokens, dv)), np.zeros((b, h, tokens, 1))
        dq, dk, dv_ = (np.zeros(x.shape) for x in (q, k, v))
        d_table = np.zeros(table.shape)
        for n in range(b):
            for m in range(h):
                g = m * kv // h
                bias = np.zeros(mask.shape)
                if biased:
                    bias[:, extra:] = table[0, m, :, 0].astype(float)[where]
                out[n, m], lse[n, m], dq[n, m], by_k, by_v, ds = attention(
                    q[n, m].astype(float), np.vstack([more_k[0, g], k[n, g]]).astype(float),
                    np.vstack([more_v[0, g], v[n, g]]).astype(float), mask, scale, bias,
                    d_out[n, m].astype(float))
                dk[n, g] += by_k[extra:]
                dv_[n, g] += by_v[extra:]
                np.add.at(d_table[0, m, :, 0], where, ds[:, extra:])
        results = {"out": out, "lse": lse, "dq": dq, "dk": dk, "dv": dv_}
        if biased:
            results["d_bias"] = d_table
        yield name, given | results
