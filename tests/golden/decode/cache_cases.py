# SPDX-License-Identifier: BSL-1.0
"""Decoding from quantised, trimmed and branching caches by NumPy in double, for one head."""

import math

import numpy as np

from numpy_cases import rotate_half, rotate_interleaved, softmax

BASE = 10000.0


def attend(q, k, v, allowed, scale=None):
    """(out, lse) of one head; allowed [Lq, Lk]."""
    s = q.astype(float) @ k.astype(float).T * (scale or 1 / math.sqrt(q.shape[1]))
    s = np.where(allowed, s, -np.inf)
    return softmax(s) @ v, np.log(np.exp(s).sum(axis=1))


def rotated(x, positions, r, interleaved=False):
    angles = np.asarray(positions, float)[:, None] * BASE ** (-np.arange(0, r, 2) / r)
    return (rotate_interleaved if interleaved else rotate_half)(x, angles)


def half(x):
    return x.astype(np.float16).astype(np.float32)


def quantize(x, bits, group, zeros, rounded):
    """x ≈ scale·code + zero; codes in two's complement, scales and zeros [rows, groups], numbers of
    float16 where `rounded`."""
    rows, d = x.shape
    parts = x.reshape(rows, d // group, group)
    top = 2 ** (bits - 1)
    low, high = parts.min(axis=2), parts.max(axis=2)
    number = half if rounded else np.float32
    if zeros:
        scale = number((high - low) / (2 * top - 1))
        zero = number(low + top * scale)
    else:
        scale, zero = number(np.abs(parts).max(axis=2) / (top - 1)), np.zeros_like(low)
    codes = np.rint((parts - zero[..., None]) / scale[..., None]).clip(-top, top - 1)
    back = codes.astype(float) * scale[..., None] + zero[..., None]
    return codes.reshape(rows, d), scale, zero, back.reshape(rows, d)


def packed(codes):
    """Two codes a byte, low nibble first."""
    return (codes[:, 0::2].astype(int) & 15) | (codes[:, 1::2].astype(int) & 15) << 4


def quantized_cases(normal):
    """Causal attention over what a cache of codes stands for; out of exact keys in `out_exact`."""
    forms = {"int8_token": (8, 64, False, False), "int8_group": (8, 32, True, True),
             "int8_group_even": (8, 32, False, True), "int4_token": (4, 64, True, False),
             "int4_group": (4, 32, True, True), "int4_group_even": (4, 32, False, True)}
    for name, (bits, group, zeros, rounded) in forms.items():
        q, k, v = normal(2, 64), normal(19, 64), normal(19, 64) + np.float32(0.5)
        allowed = np.tril(np.ones((2, 19), bool), 17)
        case = {"q": q, "k": k, "v": v, "bits": bits, "group": group}
        back = {}
        for n, x in (("k", k), ("v", v)):
            codes, scale, zero, back[n] = quantize(x, bits, group, zeros, rounded)
            case[n + "_codes"], case[n + "_scales"] = codes.astype(np.float32), scale
            if zeros:
                case[n + "_zeros"] = zero
            if bits == 4:
                case[n + "_bytes"] = packed(codes).astype(np.float32)
        case["out"], case["lse"] = attend(q, back["k"], back["v"], allowed)
        case["out_exact"] = attend(q, k, v, allowed)[0]
        yield "quantized/" + name, case


def kept(t, sinks, window):
    """The tokens that a cache of the first and the last ones holds once token t is in it."""
    return [j for j in range(t + 1) if j < sinks or j > t - window]


def sink_window_cases(normal):
    """StreamingLLM: one token at a time, the first `sinks` and the last `window` tokens stay. Keys
    are rotated by their place among what stays (`out`), by their position in the text
    (`out_text`), or not at all (`out_plain`)."""
    for name, n, d, sinks, window, r, interleaved in (
            ("neox", 40, 16, 4, 9, 16, False), ("interleaved", 40, 16, 4, 9, 16, True),
            ("partial", 30, 16, 4, 5, 8, False), ("no_sinks", 30, 8, 0, 7, 8, False)):
        q, k, v = normal(n, d), normal(n, d), normal(n, d)
        outs = {x: np.empty((n, d)) for x in ("out", "out_text", "out_plain")}
        for t in range(n):
            here = kept(t, sinks, window)
            places = {"out": range(len(here)), "out_text": here}
            for x in outs:
                a, b = q[t:t + 1], k[here]
                if x in places:
                    a = rotated(a, places[x][-1:], r, interleaved)
                    b = rotated(b, places[x], r, interleaved)
                outs[x][t] = attend(a, b, v[here], True)[0]
        yield "sink_window/" + name, {"q": q, "k": k, "v": v, "sinks": sinks, "window": window,
                                      "rotary": r, "interleaved": interleaved, **outs}


def tree_cases(normal):
    """Drafted tokens in a tree: each sees the cache, its ancestors and itself, and sits one position
    behind its parent."""
    for name, past, parents, r in (("chain", 9, [-1, 0, 1, 2], 8),
                                   ("fan", 7, [-1, -1, -1, -1, -1], 8),
                                   ("tree", 12, [-1, 0, 0, 1, 1, 2, 5, -1, 7], 8),
                                   ("plain", 12, [-1, 0, 0, 1, 1, 2, 5, -1, 7], 0),
                                   ("empty_cache", 0, [-1, 0, 0, 2], 8)):
        n, d = len(parents), 8
        q, pk, pv = normal(n, d), normal(past, d), normal(past, d)
        k, v = normal(n, d), normal(n, d)
        sees, depth = np.eye(n, dtype=bool), np.zeros(n, int)
        for i, parent in enumerate(parents):
            if parent >= 0:
                sees[i] |= sees[parent]
                depth[i] = depth[parent] + 1
        a, b = q, np.concatenate([pk, k])
        if r:
            a, b = rotated(q, past + depth, r), rotated(b, [*range(past), *past + depth], r)
        allowed = np.hstack([np.ones((n, past), bool), sees])
        out, lse = attend(a, b, np.concatenate([pv, v]), allowed)
        case = {"q": q, "k_new": k, "v_new": v, "parents": np.array(parents, np.float32),
                "positions": (past + depth).astype(np.float32), "out": out, "lse": lse}
        if past:
            case.update({"past_k": pk, "past_v": pv})
        if r:
            case["rotary"] = r
        yield "tree/" + name, case


def ragged_cases(normal):
    """Several new tokens on sequences of different lengths (new ones included), [B, H, L, D], causal;
    rows of keys beyond a length are NaN."""
    lengths, h, hkv, lq, d = [12, 3, 30, 7], 4, 2, 3, 16
    b, n = len(lengths), max(lengths)
    q, k, v = normal(b, h, lq, d), normal(b, hkv, n, d), normal(b, hkv, n, d)
    outs = {x: np.empty((b, h, lq, d)) for x in ("out", "out_rotary", "out_window")}
    for i, length in enumerate(lengths):
        k[i, :, length:] = v[i, :, length:] = np.nan
        row, key = np.arange(length - lq, length)[:, None], np.arange(length)[None, :]
        for j in range(h):
            one, all_k, all_v = q[i, j], k[i, j // 2, :length], v[i, j // 2, :length]
            outs["out"][i, j] = attend(one, all_k, all_v, key <= row)[0]
            outs["out_window"][i, j] = attend(one, all_k, all_v, (key <= row) & (key > row - 5))[0]
            outs["out_rotary"][i, j] = attend(rotated(one, row[:, 0], d), rotated(all_k, key[0], d),
                                              all_v, key <= row)[0]
    yield "ragged/several", {"q": q, "k": k, "v": v, "lengths": np.array(lengths, np.float32),
                             "window": 5, "rotary": d, **outs}


def cases(seed=32):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    for family in (quantized_cases, sink_window_cases, tree_cases, ragged_cases):
        yield from family(normal)
