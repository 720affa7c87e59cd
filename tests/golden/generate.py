#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file.

    generate.py <path of the onnxruntime-node module>

Needs NumPy, the onnx Python package (Debian: python3-onnx) and Node with onnxruntime-node 1.30.
Each line of cases.txt is `case/tensor type shape offset`: type f4 or f8 (little-endian), shape as
2x3x5, offset in bytes into cases.bin. Parameters are tensors of shape 1.
"""

import pathlib
import sys
import tempfile

import numpy as np

import numpy_cases
import onnxruntime_cases


def main():
    here = pathlib.Path(__file__).parent
    lines, blob = [], bytearray()
    with tempfile.TemporaryDirectory() as folder:
        every = [*onnxruntime_cases.cases(sys.argv[1], folder), *numpy_cases.cases()]
    for case, tensors in every:
        for name, x in tensors.items():
            x = np.atleast_1d(np.asarray(x))
            kind = "f4" if x.dtype == np.float32 or x.dtype.kind in "biu" else "f8"
            shape = "x".join(map(str, x.shape))
            lines.append(f"{case}/{name} {kind} {shape} {len(blob)}\n")
            blob += np.ascontiguousarray(x, "<" + kind).tobytes()
    (here / "cases.txt").write_text("".join(lines))
    (here / "cases.bin").write_bytes(blob)
    print(f"{len(every)} cases, {len(lines)} tensors, {len(blob)} bytes")


main()
