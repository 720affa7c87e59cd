#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: latent rows by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. Gradients are central differences in 80-bit
floats, good to 1e-9. Inputs are float numbers, results double. a [1|B,H,M,D]; q, k, v, d_out.

    latents/  no q: the latents are the queries; out, da, dk, dv
    two_hop/  first_bias, second_bias; out, da, dq, dk, dv
    agents/   size [2], regions [2]: a is the average of q over regions; out, dq, dk, dv
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240302)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def attention(q, k, v, bias=0):
    e = np.exp(np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(np.longdouble(q.shape[-1])) + bias)
    return np.einsum("bhij,bhjd->bhid", e / e.sum(-1, keepdims=True), v)


def with_gradients(f, given, names):
    wide = {n: given[n].astype(np.longdouble) for n in given}
    loss = lambda: (f(**{n: wide[n] for n in wide if n != "d_out"}) * wide["d_out"]).sum()
    results = {"out": f(**{n: wide[n] for n in wide if n != "d_out"})}
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
    return {n: x.astype(float) for n, x in results.items()}


def latents(name, b, h, m, length, d, dv):
    given = {"a": normal(1, h, m, d), "k": normal(b, h, length, d), "v": normal(b, h, length, dv),
             "d_out": normal(b, h, m, dv)}
    f = lambda a, k, v: attention(np.repeat(a, b, 0), k, v)
    return "latents/" + name, given | with_gradients(f, given, ("a", "k", "v"))


def two_hop(name, b, h, m, queries, keys, d, dv):
    given = {"a": normal(1, h, m, d), "q": normal(b, h, queries, d), "k": normal(b, h, keys, d),
             "v": normal(b, h, keys, dv), "d_out": normal(b, h, queries, dv),
             "first_bias": normal(1, h, m, keys), "second_bias": normal(1, h, queries, m)}

    def f(a, q, k, v, first_bias, second_bias):
        a = np.repeat(a, b, 0)
        return attention(q, a, attention(a, k, v, first_bias), second_bias)

    return "two_hop/" + name, given | with_gradients(f, given, ("a", "q", "k", "v"))


def agents(name, b, h, size, regions, d, dv):
    length = size[0] * size[1]
    given = {"q": normal(b, h, length, d), "k": normal(b, h, length, d),
             "v": normal(b, h, length, dv), "d_out": normal(b, h, length, dv)}
    axes = []
    for n, r in zip(size, regions):
        share = np.zeros((r, n))
        for i in range(r):
            share[i, i * n // r:-(-(i + 1) * n // r)] = 1
        axes.append(share / share.sum(1, keepdims=True))
    pool = np.kron(*axes)

    def f(q, k, v):
        a = np.einsum("rl,bhld->bhrd", pool, q)
        return attention(q, a, attention(a, k, v))

    return "agents/" + name, given | with_gradients(f, given, ("q", "k", "v")) | {
        "size": np.array(size), "regions": np.array(regions)}


def main():
    every = [latents("few", 3, 2, 2, 5, 3, 2), two_hop("biased", 2, 2, 2, 4, 5, 3, 2),
             agents("uneven", 2, 1, (3, 5), (2, 3), 3, 2)]
    case_files.write(__file__, every)


main()
