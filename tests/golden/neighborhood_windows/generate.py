#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file: attention over windows and lines of grids by
NumPy in double, whole arrays at a time as the papers' own code has it. Inputs are float numbers,
outputs double. The format is that of ../generate.py; q, k, v, out [B,H,L,D], lse [B,H,L,1].

    swin         size, window, shift, an entry an axis; table [1,H,Π(2w-1),1], counted by q - k;
                 with logit [H] version 2: cosine, β = exp(min(logit, ln 100))
    axial        size, along: the axis
    criss_cross  size
"""

import itertools
import math
import pathlib

import numpy as np


def softmax(s):
    """Weights and lse [..., 1] of scores."""
    top = s.max(axis=-1, keepdims=True)
    e = np.exp(s - top)
    total = e.sum(axis=-1, keepdims=True)
    return e / total, top + np.log(total)


def window_partition(x, window):
    """[*grid, ...] -> [windows, Π window, ...]"""
    n = len(window)
    blocks = [part for s, w in zip(x.shape, window) for part in (s // w, w)]
    x = x.reshape(*blocks, *x.shape[n:])
    x = x.transpose(*range(0, 2 * n, 2), *range(1, 2 * n, 2), *range(2 * n, x.ndim))
    return x.reshape(-1, math.prod(window), *x.shape[2 * n:])


def window_reverse(x, window, grid):
    n = len(window)
    x = x.reshape(*[s // w for s, w in zip(grid, window)], *window, *x.shape[2:])
    order = [axis for i in range(n) for axis in (i, n + i)]
    return x.transpose(*order, *range(2 * n, x.ndim)).reshape(*grid, *x.shape[2 * n:])


def relative_position_index(window):
    coords = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij")).reshape(len(window), -1)
    relative = (coords[:, :, None] - coords[:, None, :]).transpose(1, 2, 0)
    index = np.zeros(relative.shape[:2], int)
    for n, w in enumerate(window):
        index = index * (2 * w - 1) + relative[..., n] + w - 1
    return index


def region_mask(grid, window, shift):
    """attn_mask of Swin, [windows, n, n]: 0 or -100."""
    image, count = np.zeros(grid), 0
    slices = [(slice(0, -w), slice(-w, -s if s else None), slice(-s, None)) if s else (slice(None),)
              for w, s in zip(window, shift)]
    for region in itertools.product(*slices):
        image[region] = count
        count += 1
    regions = window_partition(image, window)
    return np.where(regions[:, None, :] == regions[:, :, None], 0.0, -100.0)


def swin(q, k, v, size, window, shift, table, logit=None):
    heads, n, axes = q.shape[1], len(size), tuple(range(len(size)))
    grid = tuple(-(-s // w) * w for s, w in zip(size, window))

    def windows(x):
        x = x.transpose(2, 0, 1, 3).reshape(*size, *np.array(x.shape)[[0, 1, 3]])
        x = np.pad(x, [(0, g - s) for g, s in zip(grid, size)] + [(0, 0)] * 3)
        x = window_partition(np.roll(x, [-s for s in shift], axes), window)
        return x.transpose(2, 3, 0, 1, 4)  # [B, H, windows, n, D]

    def tokens(x):
        x = window_reverse(x.transpose(2, 3, 0, 1, 4), window, grid)
        x = np.roll(x, shift, axes)[tuple(slice(s) for s in size)]
        return x.reshape(-1, *x.shape[n:]).transpose(1, 2, 0, 3)

    padding = np.pad(np.zeros(size), [(0, g - s) for g, s in zip(grid, size)],
                     constant_values=-np.inf)
    padding = window_partition(np.roll(padding, [-s for s in shift], axes), window)[:, None, :]
    if logit is None:
        q = q / math.sqrt(q.shape[-1])
    else:
        beta = np.exp(np.minimum(logit, math.log(100)))
        q = q / np.linalg.norm(q, axis=-1, keepdims=True) * beta[:, None, None]
        k = k / np.linalg.norm(k, axis=-1, keepdims=True)
    bias = table[0, :, :, 0][:, relative_position_index(window)].reshape(
        heads, 1, math.prod(window), -1)
    p, lse = softmax(windows(q) @ windows(k).swapaxes(-1, -2) + bias +
                     region_mask(grid, window, shift) + padding)
    return tokens(p @ windows(v)), tokens(lse)


def swin_v2_table(normal, window, heads):
    """16 σ(MLP(log-spaced coordinates)) [1,H,Π(2w-1),1]"""
    coords = np.stack(np.meshgrid(*[np.arange(-w + 1.0, w) / (w - 1) for w in window],
                                  indexing="ij"), axis=-1) * 8
    coords = np.sign(coords) * np.log2(np.abs(coords) + 1) / math.log2(8)
    hidden = np.maximum(coords.reshape(-1, len(window)) @ normal(len(window), 16) + normal(16), 0)
    table = 16 / (1 + np.exp(-hidden @ normal(16, heads) / 4))
    return table.T[None, :, :, None].astype(np.float32)


def axial(q, k, v, size, along):
    def lines(x):
        return np.moveaxis(x.reshape(*x.shape[:2], *size, x.shape[-1]), 2 + along, -2)

    def tokens(x, like):
        return np.moveaxis(x, -2, 2 + along).reshape(*like.shape[:3], -1)

    p, lse = softmax(lines(q) @ lines(k).swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return tokens(p @ lines(v), q), tokens(lse, q)


def criss_cross(q, k, v, size):
    """CCNet: affinities of the column, without the place itself, beside those of the row."""
    grid = lambda x: x.reshape(*x.shape[:2], *size, x.shape[-1])
    q, k, v = grid(q) / math.sqrt(q.shape[-1]), grid(k), grid(v)
    column = np.einsum("bhyxc,bhzxc->bhyxz", q, k)
    column[:, :, np.arange(size[0]), :, np.arange(size[0])] = -np.inf
    row = np.einsum("bhyxc,bhyzc->bhyxz", q, k)
    p, lse = softmax(np.concatenate([column, row], axis=-1))
    out = (np.einsum("bhyxz,bhzxc->bhyxc", p[..., :size[0]], v) +
           np.einsum("bhyxz,bhyzc->bhyxc", p[..., size[0]:], v))
    return [x.reshape(*x.shape[:2], math.prod(size), -1) for x in (out, lse)]


def cases(seed=67):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    def job(name, function, b, h, size, d, dv, **given):
        tokens = math.prod(size)
        x = {"q": normal(b, h, tokens, d), "k": normal(b, h, tokens, d),
             "v": normal(b, h, tokens, dv), **given}
        double = {n: np.asarray(a, float) if n in "qkv" or n in ("table", "logit") else a
                  for n, a in x.items()}
        out, lse = function(size=size, **double)
        return name, {**x, "size": size, "out": out, "lse": lse}

    table = lambda h, window: normal(1, h, math.prod(2 * w - 1 for w in window), 1)
    for name, b, h, size, window, shift in [
            ("swin/1d", 2, 2, (9,), (4,), (1,)),
            ("swin/windows", 1, 2, (4, 6), (2, 3), (0, 0)),
            ("swin/shifted", 1, 2, (6, 8), (3, 4), (1, 2)),
            ("swin/padded", 1, 1, (5, 7), (3, 4), (0, 0)),
            ("swin/padded_shifted", 1, 2, (5, 7), (3, 4), (1, 2)),
            ("swin/one_axis", 1, 1, (6, 4), (3, 4), (1, 0)),
            ("swin/video", 1, 2, (4, 3, 4), (2, 2, 3), (1, 1, 1))]:
        yield job(name, swin, b, h, size, 3, 2, window=window, shift=shift, table=table(h, window))
    yield job("swin/v2", swin, 1, 2, (6, 6), 3, 2, window=(4, 3), shift=(2, 1),
              table=swin_v2_table(normal, (4, 3), 2), logit=np.array([math.log(10), 5], np.float32))
    for name, size, along in [("axial/rows", (4, 5), 1), ("axial/columns", (4, 5), 0),
                              ("axial/time", (3, 2, 4), 0), ("axial/middle", (2, 3, 4), 1)]:
        yield job(name, axial, 2, 2, size, 3, 2, along=along)
    yield job("criss_cross/2d", criss_cross, 1, 2, (5, 6), 3, 2)
    yield job("criss_cross/row", criss_cross, 1, 1, (1, 6), 3, 2)


def main():
    folder = pathlib.Path(__file__).parent
    lines, blob = [], bytearray()
    for case, tensors in cases():
        for name, x in tensors.items():
            x = np.atleast_1d(np.asarray(x))
            kind = "f4" if x.dtype == np.float32 or x.dtype.kind in "biu" else "f8"
            lines.append(f"{case}/{name} {kind} {'x'.join(map(str, x.shape))} {len(blob)}\n")
            blob += np.ascontiguousarray(x, "<" + kind).tobytes()
    (folder / "cases.txt").write_text("".join(lines))
    (folder / "cases.bin").write_bytes(blob)
    print(f"{len(lines)} tensors, {len(blob)} bytes")


main()
