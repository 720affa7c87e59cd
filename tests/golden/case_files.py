# SPDX-License-Identifier: BSL-1.0
"""cases.txt and cases.bin of a folder of golden cases: what generate.py of each ends with."""

import pathlib

import numpy as np


def write(script, every):
    """`every` is a list of (case, {tensor: numbers}); whole numbers and float are written as float."""
    lines, blob = [], bytearray()
    for case, tensors in every:
        for name, x in tensors.items():
            x = np.atleast_1d(np.asarray(x))
            kind = "f4" if x.dtype == np.float32 or x.dtype.kind in "biu" else "f8"
            lines.append(f"{case}/{name} {kind} {'x'.join(map(str, x.shape))} {len(blob)}\n")
            blob += np.ascontiguousarray(x, "<" + kind).tobytes()
    here = pathlib.Path(script).parent
    (here / "cases.txt").write_text("".join(lines))
    (here / "cases.bin").write_bytes(blob)
    print(f"{len(every)} cases, {len(lines)} tensors, {len(blob)} bytes")
