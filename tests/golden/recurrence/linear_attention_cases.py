# SPDX-License-Identifier: BSL-1.0
"""Recurrences by com.microsoft.LinearAttention, whose rules are linear, gated, delta, gated_delta.

A decay has one number a head or one a key channel. States are shared by consecutive query heads, or
queries and keys by consecutive states. No scale means 1/√Dk.
"""

import math

import numpy as np

from onnxruntime_cases import Job, heads, rows, run

FORGOTTEN = np.float32(-1e4)  # the logarithm of what float rounds to 0; minus infinity to us


def jobs(normal):
    def job(name, rule, b, l, d, dv, states=2, h=None, key_heads=None, past=True, channels=False,
            forgets=False, shared_beta=False, scale=None):
        h, key_heads = h or states, key_heads or states
        q, k, v = normal(b, h, l, d), normal(b, key_heads, l, d), normal(b, states, l, dv)
        decay = beta = None
        if "delta" in rule:
            k = (k / np.linalg.norm(k, axis=-1, keepdims=True)).astype(np.float32)
            beta = 2 / (1 + np.exp(-normal(b, 1 if shared_beta else states, l, 1)))
            beta = beta.astype(np.float32)
        if "gated" in rule:
            decay = -np.exp(normal(b, states, l, d if channels else 1) - 1).astype(np.float32)
            if forgets:
                decay = np.where(normal(*decay.shape) > 1.5, FORGOTTEN, decay).astype(np.float32)
                decay[:, :, l // 3] = 0
        state = normal(b, states, d, dv) if past else None
        keep = {"q": q, "k": k, "v": v, "scale": np.float32(scale or 1 / math.sqrt(d))}
        if decay is not None:
            keep["log_decay"] = np.where(decay == FORGOTTEN, -np.inf, decay).astype(np.float32)
        if beta is not None:
            keep["beta"] = beta
        if past:
            keep["state"] = state
        inputs = {"query": rows(q), "key": rows(k), "value": rows(v), "past": state,
                  "decay": None if decay is None else rows(decay),
                  "rate": None if beta is None else rows(beta)}
        while list(inputs.values())[-1] is None:
            inputs.popitem()
        attributes = {} if scale is None else {"scale": float(scale)}
        return Job(name, "LinearAttention", inputs, ["out", "present"], domain="com.microsoft",
                   keep=keep, update_rule=rule, q_num_heads=h, kv_num_heads=states, **attributes)

    yield job("linear/onnx", "linear", 2, 7, 8, 6, past=False)
    yield job("linear/onnx_grouped", "linear", 1, 11, 8, 4, h=4)
    yield job("gated/onnx_heads", "gated", 2, 7, 8, 6, scale=1)
    yield job("gated/onnx_forgets", "gated", 1, 66, 6, 5, states=1, forgets=True)
    yield job("gated/onnx_channels", "gated", 1, 13, 8, 6, channels=True, scale=0.5)
    yield job("gated/onnx_channels_forget", "gated", 1, 15, 8, 5, channels=True, forgets=True)
    yield job("gated/onnx_shared_keys", "gated", 1, 9, 8, 6, states=4, h=2, key_heads=2)
    yield job("delta/onnx", "delta", 2, 7, 8, 6)
    yield job("delta/onnx_long", "delta", 1, 66, 6, 5, states=1, past=False)
    yield job("gated_delta/onnx", "gated_delta", 1, 17, 8, 6)
    yield job("gated_delta/onnx_one", "gated_delta", 2, 1, 8, 6)
    yield job("gated_delta/onnx_grouped", "gated_delta", 1, 10, 8, 6, h=4, shared_beta=True)
    yield job("gated_delta/onnx_forgets", "gated_delta", 1, 66, 6, 5, states=1, forgets=True)
    yield job("kda/onnx", "gated_delta", 1, 13, 8, 6, channels=True)


def cases(module, folder, seed=41):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    for name, tensors, results in run([*jobs(normal)], module, folder):
        out_heads = max(tensors["q"].shape[1], tensors["v"].shape[1])
        tensors["out"] = heads(results["out"].astype(np.float32), out_heads)
        tensors["final"] = results["present"].astype(np.float32)
        yield name, tensors
