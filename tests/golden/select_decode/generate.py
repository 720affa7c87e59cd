#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: decoding over chosen tokens by NumPy, in double.

    generate.py

Needs NumPy. The format is that of ../generate.py. Inputs are float numbers, results double; no
choice is closer than 1e-4. Attention is dense, under a 0/1 row over tokens.

    quest/         q, k, v; page, top, maximum; pages [Hkv,top], out
    partial_dims/  q, k, v; channels [Hkv,n], top; tokens [Hkv,top], out
    agreement/     q, k; count, top, interleaved, rotated; channels [Hkv,2 count]
    recycled/      q [T,H,1,D], k, v of all tokens; first: tokens at step 0, one more a step;
                   size, period, similarity; full [T], tokens [T,Hkv,size], out [T,H,1,Dv]
    heads/         q, k, v [layers,...]; full [layers,Hkv], size; out [layers,H,1,Dv]
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import case_files  # noqa: E402

random = np.random.default_rng(20240311)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def top(score, count, apart=True):
    """Ascending numbers of the largest, of equal ones the first."""
    order = np.argsort(-score, kind="stable")
    if apart and 0 < count < len(score):
        assert score[order[count - 1]] - score[order[count]] > 1e-4, "too close"
    return np.sort(order[:count])


def weights(q, k, seen):
    """p [G,N] of the queries [G,D] of a group over the tokens `seen`."""
    s = q.astype(float) @ k.astype(float).T * q.shape[1] ** -0.5
    e = np.zeros(s.shape)
    e[:, seen] = np.exp(s[:, seen] - s[:, seen].max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def groups(q, k):
    """Queries [Hkv,G,D] of one token, q [1,H,1,D]."""
    return q[0, :, 0].reshape(k.shape[1], -1, q.shape[3])


def attend(q, k, v, lists):
    """[1,H,1,Dv] over one list of tokens a kv head."""
    rows = [weights(g, k[0, h], lists[h]) @ v[0, h].astype(float)
            for h, g in enumerate(groups(q, k))]
    return np.concatenate(rows)[None, :, None, :]


def tensors(h, kv, n, d, dv):
    return {"q": normal(1, h, 1, d), "k": normal(1, kv, n, d), "v": normal(1, kv, n, dv)}


def quest(name, h, kv, n, d, dv, page, count, maximum):
    x = tensors(h, kv, n, d, dv)
    pages = -(-n // page)
    chosen, lists = [], []
    for i, g in enumerate(groups(x["q"], x["k"])):
        u = np.zeros((len(g), pages))
        for p in range(pages):
            keys = x["k"][0, i, p * page:(p + 1) * page].astype(float)
            u[:, p] = np.maximum(g * keys.min(0), g * keys.max(0)).sum(1)
        u = u.max(0) if maximum else u.sum(0)
        best = np.append(top(u[:-1], count - 1), pages - 1)
        chosen.append(best)
        lists.append([t for t in range(n) if t // page in best])
    return "quest/" + name, x | {"page": page, "top": count, "maximum": maximum,
                                 "pages": np.array(chosen),
                                 "out": attend(x["q"], x["k"], x["v"], lists)}


def partial_dims(name, h, kv, n, d, dv, few, count):
    x = tensors(h, kv, n, d, dv)
    lists = []
    for i, g in enumerate(groups(x["q"], x["k"])):
        s = (g[:, few[i]].astype(float) @ x["k"][0, i][:, few[i]].astype(float).T).sum(0)
        lists.append(np.append(top(s[:-1], count - 1), n - 1))
    return "partial_dims/" + name, x | {"channels": np.array(few), "top": count,
                                        "tokens": np.array(lists),
                                        "out": attend(x["q"], x["k"], x["v"], lists)}


def channels(c, rotated, interleaved):
    return [2 * c, 2 * c + 1] if interleaved else [c, c + rotated // 2]


def agreement(name, h, kv, queries, n, d, count, best, rotated, interleaved):
    x = {"q": normal(1, h, queries, d), "k": normal(1, kv, n, d)}
    # Some pairs weigh more than others, so that there is something to find.
    x["k"] *= (1 + 3 * random.random((1, kv, 1, d))).astype(np.float32)
    chosen = []
    for i in range(kv):
        ca = np.zeros(rotated // 2, int)
        for r in range(h // kv * queries):
            l = r % queries
            q = x["q"][0, i * (h // kv) + r // queries, l].astype(float)
            k = x["k"][0, i, :n - queries + l + 1].astype(float)
            if len(k) <= best:
                continue
            want = set(top(k @ q, best))
            for c in range(rotated // 2):
                dims = channels(c, rotated, interleaved)
                ca[c] += len(want & set(top(k[:, dims] @ q[dims], best)))
        best_pairs = top(ca, count, apart=False)
        chosen.append(sorted(c for pair in best_pairs for c in channels(pair, rotated, interleaved)))
    return "agreement/" + name, x | {"count": count, "top": best, "rotated": rotated,
                                     "interleaved": interleaved, "channels": np.array(chosen)}


def recycled(name, h, kv, first, steps, d, dv, size, period, similarity):
    x = {"q": normal(steps, h, 1, d), "k": normal(1, kv, first + steps, d),
         "v": normal(1, kv, first + steps, dv)}
    for t in range(1, steps):  # queries drift, so that some steps are alike
        x["q"][t] = 0.9 * x["q"][t - 1] + 0.45 * x["q"][t]
    sets = [{} for _ in range(kv)]  # token: weight
    full, lists, outs, last, since = [], [], [], None, None
    for t in range(steps):
        n = first + t
        q, k, v = x["q"][t:t + 1], x["k"][:, :, :n], x["v"][:, :, :n]
        if t > 0:
            a, b = q[0, :, 0].astype(float), last[0, :, 0].astype(float)
            cos = ((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))).min()
            assert abs(cos - similarity) > 1e-4
        if t == 0 or since + 1 >= period or cos < similarity:
            last, since = q, 0
            for i, g in enumerate(groups(q, k)):
                p = weights(g, k[0, i], np.arange(n)).sum(0)
                sets[i] = {j: p[j] for j in top(p, size)}
            outs.append(attend(q, k, v, [np.arange(n)] * kv))
            full.append(1)
        else:
            since += 1
            for one in sets:
                if len(one) == size:
                    del one[min(one, key=lambda j: (one[j], j))]
                one[n - 1] = np.inf
            outs.append(attend(q, k, v, [sorted(one) for one in sets]))
            full.append(0)
        lists.append([sorted(one) for one in sets])
    return "recycled/" + name, x | {"first": first, "size": size, "period": period,
                                    "similarity": similarity, "full": np.array(full),
                                    "tokens": np.array(lists), "out": np.concatenate(outs)}


def heads(name, h, kv, n, d, dv, size, full):
    layers = len(full)
    x = {"q": normal(layers, h, 1, d), "k": normal(layers, kv, n, d), "v": normal(layers, kv, n, dv)}
    lists, outs = [None] * kv, []
    for l in range(layers):
        q, k, v = (x[name_][l:l + 1] for name_ in ("q", "k", "v"))
        seen = [np.arange(n) if full[l][i] else lists[i] for i in range(kv)]
        outs.append(attend(q, k, v, seen))
        for i, g in enumerate(groups(q, k)):
            if full[l][i]:
                lists[i] = top(weights(g, k[0, i], seen[i]).sum(0), size)
    return "heads/" + name, x | {"full": np.array(full), "size": size, "out": np.concatenate(outs)}


def main():
    every = [quest("sum", 4, 2, 37, 6, 3, 4, 4, False),
             quest("maximum", 6, 2, 40, 5, 4, 8, 3, True),
             partial_dims("two", 4, 2, 33, 8, 3, [[0, 3, 4, 7], [1, 2, 5, 6]], 7),
             partial_dims("one", 3, 1, 29, 10, 4, [[0, 1, 4]], 9),
             agreement("halves", 4, 2, 5, 31, 8, 2, 6, 8, False),
             agreement("neighbours", 2, 1, 4, 23, 10, 2, 5, 8, True),
             recycled("period", 4, 2, 12, 8, 6, 3, 7, 4, -2),
             recycled("drift", 2, 1, 15, 9, 5, 4, 6, 6, 0.85),
             heads("mixed", 6, 3, 19, 5, 4, 6, [[1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]])]
    case_files.write(__file__, every)


main()
