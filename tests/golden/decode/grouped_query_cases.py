# SPDX-License-Identifier: BSL-1.0
"""Decoding by com.microsoft.GroupQueryAttention: past, present and new tokens."""

import numpy as np

from onnxruntime_cases import Job, NAMES, heads, rope_cache, rows, run

GARBAGE = np.float32(100)  # in rows of the past that no token fills


def quantized(x, scale, bits):
    top = 2 ** (bits - 1)
    return np.clip(np.rint(x / scale), -top, top - 1).astype(np.int8)


def packed(codes, bits):
    """As the operator stores them: int8, or two int4 a byte, low nibble first, with 8 added."""
    if bits == 8:
        return codes
    raised = (codes + 8).astype(np.uint8)
    return raised[..., 0::2] | raised[..., 1::2] << 4


def unpacked(stored, bits):
    if bits == 8:
        return stored
    return np.stack([stored & 15, stored >> 4], axis=-1).reshape(*stored.shape[:-1], -1).astype(int) - 8


def jobs(normal):
    """`lengths`: tokens of each sequence, the new ones included."""

    def job(name, h, hkv, lq, d, lengths, sink=None, rotary=None, bits=0, **attributes):
        b, total = len(lengths), max(lengths)
        past = total - lq
        q, k, v = normal(b, h, lq, d), normal(b, hkv, lq, d), normal(b, hkv, lq, d)
        pk, pv = normal(b, hkv, past, d), normal(b, hkv, past, d)
        keep = {"query_heads": h, "lengths": np.array(lengths, np.float32),
                **{NAMES.get(k, k): x for k, x in attributes.items()}}
        scales = {}
        if bits:
            scales = {n: (np.abs(normal(1, hkv, 1, d)) + 2).astype(np.float32) / 2 ** (bits - 1)
                      for n in ("k_scale", "v_scale")}
            pk, pv = (quantized(x, s, bits) for x, s in zip((pk, pv), scales.values()))
            keep.update({"bits": bits, **{n: s.reshape(hkv, d) for n, s in scales.items()}})
            attributes.update(k_quant_type="PER_CHANNEL", v_quant_type="PER_CHANNEL",
                              kv_cache_bit_width=bits)
        else:
            for n, length in enumerate(lengths):
                pk[n, :, length - lq:] = pv[n, :, length - lq:] = GARBAGE
        keep.update({"q": q, "k_new": k, "v_new": v, "past_k": pk, "past_v": pv})
        if bits:
            pk, pv = packed(pk, bits), packed(pv, bits)
        cos, sin = rope_cache(total, rotary) if rotary else (None, None)
        inputs = {"query": rows(q), "key": rows(k), "value": rows(v), "past": pk, "past_values": pv,
                  "seqlens": np.array(lengths, np.int32) - 1, "total": np.array([total], np.int32),
                  "cos": cos, "sin": sin, "position_ids": None, "bias": None, "sink": sink,
                  "ks": scales.get("k_scale"), "vs": scales.get("v_scale")}
        while list(inputs.values())[-1] is None:
            inputs.popitem()
        if rotary:
            keep["rotary"] = rotary
            attributes["do_rotary"] = 1
        if sink is not None:
            keep["sink"] = sink
        return Job("gqa/" + name, "GroupQueryAttention", inputs, ["out", "present_k", "present_v"],
                   domain="com.microsoft", keep=keep,
                   types={"present_k": str(pk.dtype), "present_v": str(pv.dtype)}, num_heads=h, kv_num_heads=hkv, **attributes)

    yield job("one", 4, 2, 1, 8, [11])
    yield job("one_lengths", 4, 2, 1, 8, [11, 3, 7, 1])
    yield job("one_heads", 3, 3, 1, 24, [9, 14])
    yield job("one_group8", 8, 1, 1, 16, [33])
    yield job("one_long", 4, 1, 1, 32, [300])
    yield job("several", 4, 2, 5, 8, [12])
    yield job("window", 4, 2, 1, 8, [17, 4, 9], local_window_size=6)
    yield job("window_several", 4, 2, 4, 8, [19], local_window_size=6)
    yield job("softcap", 4, 2, 1, 8, [13, 6], softcap=0.8, scale=1.0)
    yield job("off_by_one", 4, 2, 1, 8, [13, 6], smooth_softmax=1)
    yield job("sink", 4, 2, 1, 8, [13, 6], sink=normal(4))
    yield job("sink_window", 4, 2, 2, 8, [15], sink=normal(4), local_window_size=5)
    yield job("rotary", 4, 2, 1, 16, [10, 21, 4], rotary=16)
    yield job("rotary_interleaved", 4, 2, 1, 16, [10, 21, 4], rotary=16, rotary_interleaved=1)
    yield job("rotary_several", 4, 2, 4, 16, [14], rotary=16)
    yield job("rotary_interleaved_several", 4, 2, 4, 16, [14], rotary=16, rotary_interleaved=1)
    yield job("rotary_sink_window", 4, 2, 1, 16, [18, 9], rotary=16, sink=normal(4),
              local_window_size=7)
    yield job("int8", 4, 2, 1, 16, [10, 21], bits=8)
    yield job("int8_several", 4, 2, 3, 16, [14], bits=8)
    yield job("int4", 4, 2, 1, 16, [10, 21], bits=4)


def cases(module, folder, seed=31):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    for name, tensors, results in run([*jobs(normal)], module, folder):
        bits, h = tensors.get("bits", 0), tensors.pop("query_heads")
        tensors["out"] = heads(results["out"].astype(np.float32), h)
        for x in ("present_k", "present_v"):
            kind = np.uint8 if bits == 4 else np.int8 if bits else np.float32
            y = results[x].astype(kind)
            y = unpacked(y, bits) if bits else y
            # What lies beyond a sequence's tokens is the operator's business.
            for n, length in enumerate(tensors["lengths"].astype(int)):
                y[n, :, length:] = 0
            tensors[x] = y
        yield name, tensors
