#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: scores of more than one stream, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. Gradients are central differences in 80-bit
floats, good to 1e-9. Inputs are float numbers, results double. All calls are causal, the last query
at the last key; q, k, v and d_out as everywhere.

    differential/  q1, q2, k1, k2; lambda vectors lq1, lk1, lq2, lk2 and gain, one a head; init;
                   out and the gradient of each, d<name>
    relational/    qr [B,R,Lq,Dr], kr [B,R,Lk,Dr], w_r [H,R,Dv], s [B,S,Lk,Ds], w_s [H,Ds,Dv]; S is
                   1 or H; scale [1], that of the relations; out and gradients
    contextual/    e [1,1|H,p+1,D]; out, dq, dk, dv, de
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20241107)


def normal(*shape, deviation=1.0):
    return (deviation * random.standard_normal(shape)).astype(np.float32)


def causal(queries, keys):
    return np.arange(keys)[None, :] <= np.arange(queries)[:, None] + keys - queries


def softmax(s, allowed):
    e = np.where(allowed, np.exp(np.where(allowed, s, 0)), 0)
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def weights(q, k, scale=None):
    s = np.einsum("bhid,bhjd->bhij", q, k) * (scale or 1 / np.sqrt(np.longdouble(q.shape[-1])))
    return softmax(s, causal(q.shape[2], k.shape[2]))


def with_gradients(f, given, names):
    wide = {n: given[n].astype(np.longdouble) for n in given}
    call = lambda: f(**{n: wide[n] for n in wide if n != "d_out"})
    loss = lambda: (call() * wide["d_out"]).sum()
    results = {"out": call()}
    for n in names:
        slope = np.zeros(wide[n].shape, np.longdouble)
        for at in np.ndindex(slope.shape):
            kept, step = wide[n][at], np.longdouble(1e-6)
            wide[n][at] = kept + step
            up = loss()
            wide[n][at] = kept - step
            slope[at] = (up - loss()) / (2 * step)
            wide[n][at] = kept
        results["d" + n] = slope
    return given | {n: x.astype(float) for n, x in results.items()}


def differential(name, b, h, queries, keys, d, dv):
    given = {n: normal(b, h, queries, d) for n in ("q1", "q2")}
    given |= {n: normal(b, h, keys, d) for n in ("k1", "k2")}
    given |= {n: normal(1, h, 1, d, deviation=0.5) for n in ("lq1", "lk1", "lq2", "lk2")}
    given |= {"gain": normal(1, h, 1, dv), "v": normal(b, h, keys, dv), "init": np.float32([0.5]),
              "d_out": normal(b, h, queries, dv)}

    def f(q1, q2, k1, k2, lq1, lk1, lq2, lk2, gain, v, init):
        lam = np.exp((lq1 * lk1).sum(-1)) - np.exp((lq2 * lk2).sum(-1)) + init
        o = (weights(q1, k1) - lam[..., None] * weights(q2, k2)) @ v
        mean = (o * o).mean(-1, keepdims=True)
        return (1 - init) * gain * o / np.sqrt(mean + np.longdouble(1e-5))

    return "differential/" + name, with_gradients(f, given, [n for n in given if n not in
                                                             ("init", "d_out")])


def relational(name, b, h, r, symbols, queries, keys, d, dr, ds, dv):
    given = {"q": normal(b, h, queries, d), "k": normal(b, h, keys, d),
             "qr": normal(b, r, queries, dr), "kr": normal(b, r, keys, dr),
             "w_r": normal(1, h, r, dv), "s": normal(b, symbols, keys, ds),
             "w_s": normal(1, h, ds, dv), "d_out": normal(b, h, queries, dv),
             "scale": np.float32([0.75])}

    def f(q, k, qr, kr, w_r, s, w_s, scale):
        p = weights(q, k)
        rel = np.einsum("bric,brjc->bijr", qr, kr) * scale
        sym = np.repeat(s, h // s.shape[1], 1)
        return (np.einsum("bhij,bijr,hrv->bhiv", p, rel, w_r[0]) +
                np.einsum("bhij,bhjs,hsv->bhiv", p, sym, w_s[0]))

    return "relational/" + name, with_gradients(f, given, [n for n in given if n not in
                                                           ("scale", "d_out")])


def contextual(name, b, h, tables, queries, keys, d, dv, most):
    given = {"q": normal(b, h, queries, d), "k": normal(b, h, keys, d), "v": normal(b, h, keys, dv),
             "e": normal(1, tables, most + 1, d), "d_out": normal(b, h, queries, dv)}

    def f(q, k, v, e):
        allowed = causal(queries, keys)
        s = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(np.longdouble(d))
        gates = np.where(allowed, 1 / (1 + np.exp(-s)), 0)
        place = np.minimum(np.flip(np.cumsum(np.flip(gates, -1), -1), -1), most)
        z = np.einsum("bhid,bhpd->bhip", q, np.broadcast_to(e, (b, h) + e.shape[2:]))
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, most)
        w = place - low
        moved = s + (np.take_along_axis(z, low, -1) * (1 - w) + np.take_along_axis(z, high, -1) * w)
        return softmax(moved, allowed) @ v

    return "contextual/" + name, with_gradients(f, given, ["q", "k", "v", "e"])


def main():
    every = [differential("heads", 2, 2, 3, 4, 3, 4), differential("one", 1, 1, 1, 3, 2, 2),
             relational("shared", 2, 2, 3, 1, 3, 4, 2, 2, 3, 2),
             relational("each", 1, 2, 1, 2, 3, 3, 2, 3, 2, 2),
             contextual("shared", 2, 2, 1, 4, 6, 3, 2, 2), contextual("each", 1, 2, 2, 3, 5, 2, 2, 4)]
    case_files.write(__file__, every)


main()
