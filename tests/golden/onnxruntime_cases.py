# SPDX-License-Identifier: BSL-1.0
"""Golden cases computed by ONNX Runtime: one model of one operator each.

Tensors are kept as [B, H, L, D] whatever layout the operator wants; parameters are kept beside them.
"""

import json
import pathlib
import subprocess

import numpy as np
import onnx
from onnx import TensorProto, helper

TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "int64": TensorProto.INT64,
         "bool": TensorProto.BOOL, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}

# What the cases call the attributes.
NAMES = {"is_causal": "causal", "unidirectional": "causal", "local_window_size": "window",
         "smooth_softmax": "off_by_one", "rotary_interleaved": "interleaved"}


class Job:
    """One model: `inputs` in the operator's order (None leaves one out), `outputs` its names, of float
    unless `types` has another."""

    def __init__(self, name, op, inputs, outputs, domain="", opset=23, keep=None, types=None,
                 **attributes):
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.keep = keep or {}  # further tensors and parameters of the case
        self.model = name.replace("/", "_") + ".onnx"
        fed = {k: x for k, x in inputs.items() if x is not None}
        node = helper.make_node(op, [k if x is not None else "" for k, x in inputs.items()], outputs,
                                domain=domain, **attributes)
        graph = helper.make_graph(
            [node], "golden",
            [helper.make_tensor_value_info(k, TYPES[str(x.dtype)], x.shape) for k, x in fed.items()],
            [helper.make_tensor_value_info(k, TYPES[(types or {}).get(k, "float32")], None)
             for k in outputs if k])
        opsets = [helper.make_opsetid("", opset)]
        if domain:
            opsets.append(helper.make_opsetid(domain, 1))
        self.proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        self.fed = fed


def rows(x):
    """[B, H, L, D] -> [B, L, H * D], the layout of the com.microsoft operators."""
    b, h, l, d = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(b, l, h * d)


def heads(x, h):
    """[B, L, H * D] -> [B, H, L, D]."""
    b, l, c = x.shape
    return np.ascontiguousarray(x.reshape(b, l, h, c // h).transpose(0, 2, 1, 3))


def rope_cache(length, r, base=10000.0):
    angles = np.arange(length)[:, None] * base ** (-np.arange(0, r, 2) / r)[None, :]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def attention_jobs(normal):
    """Attention of opset 23 and 24, on 4-D inputs."""

    def job(name, b, h, hkv, lq, lk, d, dv, past=0, mask=None, opset=23, nonpad=None, **attributes):
        q, k, v = normal(b, h, lq, d), normal(b, hkv, lk, d), normal(b, hkv, lk, dv)
        inputs = {"q": q, "k": k, "v": v, "mask": mask, "past_k": None, "past_v": None}
        outputs = ["out"]
        keep = {NAMES.get(k, k): x for k, x in attributes.items()}
        if mask is not None:
            keep["allowed" if mask.dtype == bool else "bias"] = mask
        if nonpad is not None:
            keep["lengths"] = np.array(nonpad, np.float32)
        if past:
            inputs["past_k"], inputs["past_v"] = normal(b, hkv, past, d), normal(b, hkv, past, dv)
            outputs += ["present_k", "present_v"]
            keep["k"] = np.concatenate([inputs["past_k"], k], axis=2)
            keep["v"] = np.concatenate([inputs["past_v"], v], axis=2)
        if nonpad is not None:
            inputs["nonpad"] = np.array(nonpad, np.int64)
        return Job("attention/" + name, "Attention", inputs, outputs, opset=opset, keep=keep,
                   **attributes)

    yield job("full", 2, 2, 2, 5, 7, 8, 6)
    yield job("scaled", 1, 2, 2, 5, 7, 8, 8, scale=0.7)
    yield job("causal", 2, 2, 2, 9, 9, 16, 16, is_causal=1)
    yield job("causal_past", 1, 2, 2, 3, 3, 8, 8, past=6, is_causal=1)
    yield job("grouped", 2, 6, 2, 5, 7, 8, 8)
    yield job("grouped_causal", 1, 4, 1, 6, 6, 8, 12, is_causal=1)
    yield job("softcap", 1, 2, 2, 5, 7, 8, 8, softcap=0.8, scale=1.0)
    yield job("bias", 2, 3, 3, 5, 7, 8, 8, mask=normal(2, 3, 5, 7))
    yield job("bias_broadcast", 2, 3, 3, 5, 7, 8, 8, mask=normal(1, 1, 5, 7))
    allowed = normal(5, 7) > 0
    allowed[:, 3] = True
    yield job("mask", 2, 2, 2, 5, 7, 8, 8, mask=allowed)
    yield job("lengths", 3, 2, 2, 4, 9, 8, 8, nonpad=[9, 4, 1], opset=24)
    yield job("long", 1, 1, 1, 40, 96, 32, 24)


def grouped_query_jobs(normal):
    """com.microsoft.GroupQueryAttention: causal, with a cache, rotation, windows and sinks."""

    def job(name, b, h, hkv, lq, d, past=0, sink=None, rotary=None, bias=None, **attributes):
        q, k, v = normal(b, h, lq, d), normal(b, hkv, lq, d), normal(b, hkv, lq, d)
        pk, pv = normal(b, hkv, past, d), normal(b, hkv, past, d)
        total = past + lq
        cos, sin = rope_cache(total, rotary) if rotary else (None, None)
        inputs = {"query": rows(q), "key": rows(k), "value": rows(v),
                  "past_k": pk if past else None, "past_v": pv if past else None,
                  "seqlens_k": np.full(b, total - 1, np.int32), "total": np.array([total], np.int32),
                  "cos": cos, "sin": sin, "position_ids": None, "bias": bias, "sink": sink}
        while inputs and list(inputs.values())[-1] is None:
            inputs.popitem()
        keep = {"q": q, "k": np.concatenate([pk, k], axis=2), "v": np.concatenate([pv, v], axis=2),
                "query_heads": h, "causal": 1,
                **{NAMES.get(k, k): x for k, x in attributes.items()}}
        if rotary:
            keep["rotary"] = rotary
            attributes["do_rotary"] = 1
        return Job("gqa/" + name, "GroupQueryAttention", inputs, ["out", "present_k", "present_v"],
                   domain="com.microsoft", keep=keep, num_heads=h, kv_num_heads=hkv, **attributes)

    yield job("causal", 2, 4, 2, 9, 8)
    yield job("decode", 2, 4, 2, 1, 8, past=10)
    yield job("window", 1, 4, 2, 17, 8, local_window_size=5)
    yield job("window_decode", 1, 2, 1, 1, 8, past=12, local_window_size=4)
    yield job("softcap", 1, 2, 1, 7, 8, softcap=0.8, scale=1.0)
    yield job("off_by_one", 1, 2, 1, 7, 8, smooth_softmax=1)
    yield job("sink", 2, 4, 2, 9, 8, sink=normal(4))
    yield job("sink_window", 1, 4, 2, 17, 8, sink=normal(4), local_window_size=5)
    yield job("rotary", 1, 4, 2, 9, 16, rotary=16)
    yield job("rotary_interleaved", 1, 4, 2, 9, 16, rotary=16, rotary_interleaved=1)
    yield job("bias", 1, 2, 1, 6, 8, bias=normal(1, 2, 6, 6))


def multi_head_jobs(normal):
    """com.microsoft.MultiHeadAttention: padding mask, bias, one direction."""

    def job(name, b, h, lq, lk, d, lengths=None, bias=None, **attributes):
        q, k, v = normal(b, h, lq, d), normal(b, h, lk, d), normal(b, h, lk, d)
        padding = None
        if lengths is not None:
            padding = (np.arange(lk)[None, :] < np.array(lengths)[:, None]).astype(np.int32)
        inputs = {"query": rows(q), "key": rows(k), "value": rows(v), "projection": None,
                  "padding": padding, "bias": bias}
        while list(inputs.values())[-1] is None:
            inputs.popitem()
        keep = {"q": q, "k": k, "v": v, "query_heads": h,
                **{NAMES.get(k, k): x for k, x in attributes.items()}}
        if lengths is not None:
            keep["lengths"] = np.array(lengths, np.float32)
        return Job("mha/" + name, "MultiHeadAttention", inputs, ["out"], domain="com.microsoft",
                   keep=keep, num_heads=h, **attributes)

    yield job("full", 2, 2, 5, 7, 8)
    yield job("lengths", 3, 2, 5, 7, 8, lengths=[7, 4, 1])
    yield job("bias", 2, 2, 5, 7, 8, bias=normal(2, 2, 5, 7))
    yield job("causal", 1, 2, 8, 8, 8, unidirectional=1)


def prologue_jobs(normal):
    """RotaryEmbedding and RMSNormalization of opset 23."""
    for name, r, interleaved in (("neox", 16, 0), ("interleaved", 16, 1), ("partial", 8, 0),
                                 ("partial_interleaved", 8, 1)):
        cos, sin = rope_cache(32, r)
        ids = np.array([[0, 1, 2, 3, 4], [7, 31, 12, 0, 9]], np.int64)
        yield Job("rope/" + name, "RotaryEmbedding",
                  {"x": normal(2, 3, 5, 16), "cos": cos, "sin": sin, "ids": ids}, ["out"],
                  keep={"rotary": r, "interleaved": interleaved},
                  interleaved=interleaved, rotary_embedding_dim=r if r < 16 else 0)
    yield Job("qk_norm/rms", "RMSNormalization",
              {"x": normal(1, 2, 5, 16), "gain": normal(16)}, ["out"], keep={"epsilon": 1e-3},
              axis=-1, epsilon=1e-3)


def run(jobs, module, folder):
    """Runs the jobs in `folder` with Node and yields (case, {kept tensors}, {outputs})."""
    folder = pathlib.Path(folder)
    for job in jobs:
        onnx.save(job.proto, str(folder / job.model))
    (folder / "jobs.json").write_text(json.dumps([
        {"name": job.name, "model": job.model,
         "inputs": {k: {"type": str(x.dtype), "dims": x.shape, "data": x.ravel().tolist()}
                    for k, x in job.fed.items()}} for job in jobs]))
    script = pathlib.Path(__file__).with_name("run.js")
    subprocess.run(["node", str(script), str(module), str(folder)], check=True)
    results = json.loads((folder / "results.json").read_text())
    for job in jobs:
        yield job.name, dict(job.keep), {k: np.array(y["data"]).reshape(y["dims"])
                                         for k, y in results[job.name].items()}


def cases(module, folder, seed=23):
    """(case, {tensor name: array})."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    jobs = [*attention_jobs(normal), *grouped_query_jobs(normal), *multi_head_jobs(normal),
            *prologue_jobs(normal)]
    unwanted = {"query", "key", "value", "mask", "nonpad", "past_k", "past_v", "seqlens_k", "total",
                "cos", "sin", "padding", "position_ids"}
    for job, (name, keep, results) in zip(jobs, run(jobs, module, folder)):
        tensors = {k: x for k, x in job.fed.items() if k not in unwanted}
        tensors.update(keep)
        y = results["out"].astype(np.float32)
        query_heads = tensors.pop("query_heads", 0)
        tensors["out"] = heads(y, query_heads) if query_heads else y
        yield name, tensors
