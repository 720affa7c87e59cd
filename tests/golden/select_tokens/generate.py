#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: attention to chosen tokens by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. A choice is a 0/1 matrix over clusters and
tokens, found by sorting; attention is dense, under the outer product of its rows. Inputs are float
numbers, results double. Every case has q, k, v, d_out and out, dq, dk, dv.

    routing/         centroids, width, causal; moved centroids at decay 0.75
    expert_choice/   r, count, first; dr
    biformer/        size [2], regions [2], count
    group_attention/ count: the groups are those of the centres alone
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240301)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def top(score, count):
    """0/1 over the last axis: the largest, of equal ones the first."""
    order = np.argsort(-score, axis=-1, kind="stable")[..., :count]
    chosen = np.zeros(score.shape, bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def attention(q, k, v, mask, d_out, bias=0.0):
    """One head; rows without a key give zeros."""
    scale = q.shape[1] ** -0.5
    e = np.where(mask, np.exp(scale * q @ k.T + bias), 0)
    total = e.sum(1, keepdims=True)
    p = e / np.where(total > 0, total, 1)
    ds = p * (d_out @ v.T - (d_out * (p @ v)).sum(1, keepdims=True))
    return p @ v, scale * ds @ k, scale * ds.T @ q, p.T @ d_out


def layer_norm(x):
    """y and the Jacobian of every row [L,D,D]."""
    centred = x - x.mean(1, keepdims=True)
    r = ((centred ** 2).mean(1) + 1e-5) ** -0.5
    y = centred * r[:, None]
    d = x.shape[1]
    jacobian = (np.eye(d) - 1 / d - y[:, :, None] * y[:, None, :] / d) * r[:, None, None]
    return y, jacobian


def each_head(given, head, names):
    """Results of head(b, h, tensors of that head), stacked."""
    b, h = given["q"].shape[:2]
    results = [[head(i, j, *(given[n][i, j].astype(float) for n in ("q", "k", "v", "d_out")))
                for j in range(h)] for i in range(b)]
    return {n: np.array([[one[at] for one in row] for row in results])
            for at, n in enumerate(names)}


def tensors(b, h, length, d, dv):
    return {"q": normal(b, h, length, d), "k": normal(b, h, length, d),
            "v": normal(b, h, length, dv), "d_out": normal(b, h, length, dv)}


GRADIENTS = ("out", "dq", "dk", "dv")


def routing(name, b, h, length, d, dv, clusters, width, causal):
    given = tensors(b, h, length, d, dv) | {"centroids": normal(1, h, clusters, d)}
    seen = np.tri(length, dtype=bool) if causal else np.ones((length, length), bool)

    def head(_, j, q, k, v, d_out):
        (q, by_q), (k, by_k) = layer_norm(q), layer_norm(k)
        mu = given["centroids"][0, j].astype(float)
        queries, keys = top(mu @ q.T, width), top(mu @ k.T, width)
        clusters_of = np.maximum(queries.sum(0), 1)[:, None]
        parts = [attention(q, k, v, seen & np.outer(queries[c], keys[c]), d_out / clusters_of)
                 for c in range(clusters)]
        out, dq, dk, dv_ = (sum(p[i] for p in parts) for i in range(4))
        return (out / clusters_of, np.einsum("lij,lj->li", by_q, dq),
                np.einsum("lij,lj->li", by_k, dk), dv_)

    moved = 0.75 * given["centroids"].astype(float)
    for i in range(b):
        for j in range(h):
            for x in (given["q"][i, j], given["k"][i, j]):
                y = layer_norm(x.astype(float))[0]
                near = np.argmax(y @ given["centroids"][0, j].astype(float).T, axis=1)
                np.add.at(moved[0, j], near, 0.125 * y)
    return "routing/" + name, given | {"width": width, "causal": causal, "moved": moved,
                                       **each_head(given, head, GRADIENTS)}


def expert_choice(name, b, h, length, d, dv, count, first):
    given = tensors(b, h, length, d, dv)
    given["r"] = random.random((b, h, length, 1)).astype(np.float32)

    def head(i, j, q, k, v, d_out):
        r = given["r"][i, j, :, 0].astype(float)
        rated = r.copy()
        if first:
            rated[0] = np.inf
        chosen = top(rated, count)
        o, dq, dk, dv_ = attention(q, k, v, np.tri(length, dtype=bool) & np.outer(chosen, chosen),
                                   d_out * r[:, None])
        return o * r[:, None], dq, dk, dv_, (o * d_out).sum(1, keepdims=True)

    return "expert_choice/" + name, given | {"count": count, "first": first,
                                             **each_head(given, head, GRADIENTS + ("dr",))}


def biformer(name, b, h, size, regions, d, dv, count):
    length = size[0] * size[1]
    given = tensors(b, h, length, d, dv)
    y, x = np.divmod(np.arange(length), size[1])
    of = y // (size[0] // regions[0]) * regions[1] + x // (size[1] // regions[1])
    member = np.eye(regions[0] * regions[1])[of]
    near = [top(np.einsum("lr,hld,hmd,ms->rs", member, given["q"][i].astype(float),
                          given["k"][i].astype(float), member), count) for i in range(b)]
    head = lambda i, _, q, k, v, d_out: attention(q, k, v, near[i][of][:, of], d_out)
    return "biformer/" + name, given | {"size": np.array(size), "regions": np.array(regions),
                                        "count": count, **each_head(given, head, GRADIENTS)}


def group_attention(name, b, h, length, d, dv, count):
    given = tensors(b, h, length, d, dv)

    def head(_, __, q, k, v, d_out):
        far = np.linalg.norm(k[:, None] - k[None], axis=2)
        centres = [0]
        while len(centres) < count:
            centres.append(int(np.argmax(far[:, centres].min(1))))
        member = np.eye(count)[np.argmin(far[:, centres], axis=1)]
        mean = member.T / member.sum(0)[:, None]
        out, dq, dr, du = attention(q, mean @ k, mean @ v, np.ones((length, count), bool), d_out,
                                    np.log(member.sum(0)))
        return out, dq, mean.T @ dr, mean.T @ du

    return "group_attention/" + name, given | {"count": count,
                                               **each_head(given, head, GRADIENTS)}


def main():
    every = [routing("causal", 1, 2, 11, 4, 3, 3, 5, True),
             routing("full", 2, 1, 8, 5, 4, 2, 3, False),
             expert_choice("some", 2, 2, 7, 3, 2, 3, False),
             expert_choice("first", 1, 2, 7, 5, 4, 3, True),
             biformer("square", 1, 2, (4, 4), (2, 2), 3, 2, 2),
             biformer("long", 2, 1, (2, 6), (1, 3), 3, 4, 1),
             group_attention("few", 1, 2, 11, 3, 2, 4),
             group_attention("most", 1, 1, 9, 5, 4, 7)]
    case_files.write(__file__, every)


main()
