#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes cases.bin and cases.txt beside this file, for decoding in decode/, and in recurrence/ and
neighborhood/.

    generate.py <path of the onnxruntime-node module>

Needs NumPy, the onnx Python package (Debian: python3-onnx) and Node with onnxruntime-node 1.30.
Each line of cases.txt is `case/tensor type shape offset`: type f4 or f8 (little-endian), shape as
2x3x5, offset in bytes into cases.bin. Parameters are tensors of shape 1. The part of a case's name
before the slash is its operator; those of decode/ are

    gqa          GroupQueryAttention: q [B,H,Lq,D], k_new, v_new [B,Hkv,Lq,D]; past_k, past_v
                 [B,Hkv,P,D], of which lengths[b] - Lq rows hold tokens; causal. Parameters: window
                 (keys a query sees, itself included), softcap, scale, off_by_one, sink [H], rotary
                 (channels; keys of the past are rotated already, k_new are not), interleaved. With
                 `bits`, keys and values of the past are codes, x = code·k_scale[head, channel].
                 present_k, present_v: rotated, as codes where the past is, 0 beyond a length. out.
    quantized    q, k, v [L,D]; k_codes, v_codes [L,D], k_scales, k_zeros, … [L,D/group]; k_bytes,
                 v_bytes [L,D/2] for 4 bits; out, lse of the codes, out_exact of k and v; causal
    sink_window  q, k, v [N,D], one step a row: see decode/cache_cases.py
    tree         q, k_new, v_new [N,D], past_k, past_v [P,D] unrotated, parents, positions; out, lse
    ragged       q [B,H,Lq,D], k, v [B,Hkv,L,D], lengths; out, out_rotary, out_window

and those of recurrence/ are recurrences, the names of whose tensors say the same in all of them:

    q, k, v      [B,H,L,D]; heads may be fewer in some, which consecutive heads of others then share
    log_decay    [B|1,H|1,L|1,1 or Dk], minus infinity included; mlstm: log f, with gain [B,H,L,1]
    beta         [B,H|1,L,1]. scale: of q. u [1,H,1,Dk]: rwkv6. a, b [B,H,L,Dk]: low_rank, for which
                 rwkv7 has a = -k_hat, b = rate k_hat. delta, rate, skip: Δ, A, D of ssd
    state, final the state before and after, [B,H,Dk,Dv]; mlstm: and state_z, final_z [B,H,1,Dk],
                 state_m, final_m [B,H,1,1]. None before: zeros. out [B,H,L,Dv]
    elu1, relu, normalised, count, full, n, omega, epsilon: what features and readout there are; full:
                 every token reads all. general: its own names, one head

and those of neighborhood/: axes [N,5] of size, window, stride, dilation, causal; q, k, v [B,H,L,D],
extra_k, extra_v [1,H,n,D], bias [1,H,Π(2·window−1),1]; out, lse; d_out, dq, dk, dv, d_bias.
"""

import pathlib
import sys
import tempfile

import numpy as np

sys.path += [str(pathlib.Path(__file__).parent / folder)
             for folder in ("decode", "recurrence", "neighborhood")]

import cache_cases
import grouped_query_cases
import linear_attention_cases
import neighborhood_cases
import numpy_cases
import onnxruntime_cases
import parallel_cases


def write(folder, every):
    lines, blob = [], bytearray()
    for case, tensors in every:
        for name, x in tensors.items():
            x = np.atleast_1d(np.asarray(x))
            kind = "f4" if x.dtype == np.float32 or x.dtype.kind in "biu" else "f8"
            shape = "x".join(map(str, x.shape))
            lines.append(f"{case}/{name} {kind} {shape} {len(blob)}\n")
            blob += np.ascontiguousarray(x, "<" + kind).tobytes()
    (folder / "cases.txt").write_text("".join(lines))
    (folder / "cases.bin").write_bytes(blob)
    print(f"{folder.name}: {len(every)} cases, {len(lines)} tensors, {len(blob)} bytes")


def main():
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        write(here, [*onnxruntime_cases.cases(sys.argv[1], folder), *numpy_cases.cases()])
        write(here / "decode", [*grouped_query_cases.cases(sys.argv[1], folder),
                                *cache_cases.cases()])
        write(here / "recurrence", [*linear_attention_cases.cases(sys.argv[1], folder),
                                    *parallel_cases.cases()])
        write(here / "neighborhood", [*neighborhood_cases.cases()])


main()
