# SPDX-License-Identifier: BSL-1.0
"""Golden cases computed by NumPy in double, whole arrays at a time, for one head: q [Lq, D],
k [Lk, D], v [Lk, Dv]. Inputs are float numbers, outputs double."""

import math

import numpy as np

erf = np.vectorize(math.erf)


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu1(s):
    return np.where(s > 0, s + 1, np.exp(np.minimum(s, 0)))


def normalizer_cases(normal):
    """Weights p and outputs p·v from the same masked scores."""
    q, k, v = normal(6, 8), normal(9, 8), normal(9, 5)
    allowed = np.tril(np.ones((6, 9), bool), 3)
    allowed[2] = np.arange(9) % 2 == 0
    s = q.astype(float) @ k.T.astype(float) / math.sqrt(8)
    n = allowed.sum(axis=1, keepdims=True)
    only = lambda p: np.where(allowed, p, 0)
    total = lambda p: only(p).sum(axis=1, keepdims=True)
    inf = np.where(allowed, s, -np.inf)
    mu, sd = math.sqrt(1 / 2), math.sqrt(1 / (4 * math.pi))
    z = 0.75
    weights = {
        "softmax": softmax(inf),
        "sink_softmax": softmax(np.pad(inf, ((0, 0), (1, 0)), constant_values=z))[:, 1:],
        "sigmoid": only(sigmoid(s - math.log(9))),
        "sigmoid_normalized": only(sigmoid(s)) / total(sigmoid(s)),
        "relu": only(np.maximum(s, 0)),
        "relu_squared": only(np.maximum(s, 0)**2 / 9),
        "elu1": only(elu1(s)),
        "elu1_normalized": only(elu1(s)) / total(elu1(s)),
        "linear": only(s),
        "linear_mean": only(s) / n,
        "linear_sum": only(s) / total(s),
        "linear_bounded": only(s) / np.maximum(np.abs(total(s)), 1),
        "unnormalized": only(np.exp(s)),
        "unnormalized_mean": only(np.exp(s)) / n,
        "unnormalized_over": only(np.exp(s)) / 16,
        "laplace": only((1 + erf((s - mu) / (sd * math.sqrt(2)))) / 2),
        "signed_softmax": np.sign(s) * softmax(np.where(allowed, np.abs(s), -np.inf)),
        "custom_square": only(s * s) / total(s * s),
    }
    case = {"q": q, "k": k, "v": v, "allowed": allowed, "sink": z}
    case["lse"] = np.log(np.exp(inf).sum(axis=1))
    for name, p in weights.items():
        case["p_" + name] = p
        case["out_" + name] = p @ v
    yield "normalizer/all", case


def similarity_cases(normal):
    q, k, v = normal(5, 8), normal(7, 8), normal(7, 6)
    x, y = q.astype(float), k.astype(float)
    square = ((x[:, None, :] - y[None, :, :])**2).sum(axis=-1)
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    u, t, w, b, b0 = normal(5, 12), normal(7, 12), normal(12), normal(12), 0.25
    gain = normal(8)
    rms = lambda a: gain * a / np.sqrt((a * a).mean(axis=1, keepdims=True) + 1e-6)
    scores = {
        "dot": x @ y.T / math.sqrt(8),
        "cosine": 10 * unit(x) @ unit(y).T,
        "distance": -square / (2 * math.sqrt(8)),
        "feature_product": elu1(x) @ elu1(y).T,
        "additive": np.tanh(u.astype(float)[:, None] + t[None] + b) @ w.astype(float) + b0,
        "qk_norm": rms(x) @ rms(y).T / math.sqrt(8),
    }
    case = {"q": q, "k": k, "v": v, "u": u, "t": t, "w": w, "b": b, "b0": b0, "gain": gain}
    for name, s in scores.items():
        case["s_" + name] = s
        case["out_" + name] = softmax(s) @ v
    yield "similarity/all", case


def alibi_slopes(n):
    """The recursive form published with ALiBi."""
    if math.log2(n).is_integer():
        start = 2**(-(2**-(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]
    closest = 2**math.floor(math.log2(n))
    return alibi_slopes(closest) + alibi_slopes(2 * closest)[0::2][:n - closest]


def t5_bucket(relative, bidirectional, buckets=32, max_distance=128):
    """relative = key position − query position, as in the published T5 code (in float)."""
    base = np.zeros_like(relative)
    if bidirectional:
        buckets //= 2
        base = np.where(relative > 0, buckets, 0)
        n = np.abs(relative)
    else:
        n = np.maximum(-relative, 0)
    exact = buckets // 2
    ratio = np.log(np.maximum(n, 1).astype(np.float32) / exact) / math.log(max_distance / exact)
    large = exact + (ratio * (buckets - exact)).astype(np.int64)
    return base + np.where(n < exact, n, np.minimum(large, buckets - 1))


def score_cases(normal):
    for heads in (1, 2, 3, 6, 8, 12, 20, 32):
        yield f"alibi/slopes{heads}", {"slopes": np.array(alibi_slopes(heads))}
    relative = np.arange(-300, 301)
    yield "relative_bias/t5", {"delta": relative, "bidirectional": t5_bucket(relative, True),
                               "causal": t5_bucket(relative, False)}

    q, k, v = normal(5, 8), normal(8, 8), normal(8, 6)
    s = q.astype(float) @ k.T.astype(float) / math.sqrt(8)
    i, j = np.arange(3, 8)[:, None], np.arange(8)[None, :]
    n = np.arange(4, 9)[:, None]  # keys a causal row sees
    table, clipped, toeplitz = normal(32), normal(7), normal(12)
    bias, key_bias, tau = normal(5, 8), normal(8), np.abs(normal(5)) + np.float32(0.5)
    counts = np.arange(1, 9, dtype=np.float32)
    scores = {
        "softcap": 0.5 * np.tanh(s / 0.5),
        "alibi": np.where(j <= i, s + 0.25 * (j - i), -np.inf),
        "alibi_symmetric": s - 0.25 * np.abs(i - j),
        "t5_bidirectional": s + table[t5_bucket(j - i, True)],
        "t5_causal": np.where(j <= i, s + table[t5_bucket(j - i, False)], -np.inf),
        "clipped": s + clipped[np.clip(j - i, -3, 3) + 3],
        "toeplitz": s + toeplitz[j - np.arange(5)[:, None] + 4],
        "bias": s + bias,
        "bias_row": s + bias[:, :1],
        "key_bias": s + key_bias,
        "log_counts": s + np.log(counts.astype(float)),
        "clamp": np.clip(s, -0.5, 0.25),
        "temperature": s / 1.5,
        "temperature_rows": s / tau[:, None].astype(float),
        "ssmax": np.where(j <= i, s * 0.43 * np.log(n), -np.inf),
        "softcap_then_alibi": 0.5 * np.tanh(s / 0.5) + 0.25 * (j - i),
    }
    case = {"q": q, "k": k, "v": v, "table": table, "clipped": clipped, "toeplitz": toeplitz,
            "bias": bias, "key_bias": key_bias, "tau": tau, "counts": counts}
    for name, x in scores.items():
        if np.isfinite(x).all():
            case["s_" + name] = x
        case["out_" + name] = softmax(x) @ v
    yield "score/all", case


def rotate_half(x, angles, magnitude=1.0):
    """neox pairs through complex numbers."""
    r = 2 * angles.shape[1]
    x = x.astype(float)
    z = (x[:, :r // 2] + 1j * x[:, r // 2:r]) * magnitude * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag, x[:, r:]], axis=1)


def rotate_interleaved(x, angles, magnitude=1.0):
    r = 2 * angles.shape[1]
    x = x.astype(float)
    z = (x[:, 0:r:2] + 1j * x[:, 1:r:2]) * magnitude * np.exp(1j * angles)
    y = x.copy()
    y[:, 0:r:2], y[:, 1:r:2] = z.real, z.imag
    return y


def yarn(r, base, factor, original, beta_fast=32, beta_slow=1):
    """As published with YaRN: a ramp over the pairs between two correction dimensions."""
    def correction(rotations):
        return r * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = math.floor(correction(beta_fast)), math.ceil(correction(beta_slow))
    ramp = np.clip((np.arange(r // 2) - low) / (high - low), 0, 1)
    frequency = 1 / base**(np.arange(0, r, 2) / r)
    keep = 1 - ramp
    return frequency / factor * (1 - keep) + frequency * keep, 0.1 * math.log(factor) + 1


def llama3(r, base, factor, low, high, original):
    """As published with Llama 3.1: pair by pair over the wavelength."""
    out = []
    for frequency in 1 / base**(np.arange(0, r, 2) / r):
        wavelength = 2 * math.pi / frequency
        if wavelength < original / high:
            out.append(frequency)
        elif wavelength > original / low:
            out.append(frequency / factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            out.append((1 - smooth) * frequency / factor + smooth * frequency)
    return np.array(out), 1.0


def position_cases(normal):
    r = 32
    plain = 1 / 10000.0**(np.arange(0, r, 2) / r)
    ntk = lambda f: 1 / (10000.0 * f**(r / (r - 2)))**(np.arange(0, r, 2) / r)
    factors = (1 + np.arange(r // 2) / 4).astype(np.float32)
    frequencies = {
        "unscaled": (plain, 1.0),
        "linear": (plain / 8, 1.0),
        "ntk": (ntk(8), 1.0),
        "dynamic_ntk": (ntk(8 * 4096 / 2048 - 7), 1.0),
        "dynamic_ntk_short": (plain, 1.0),
        "yarn": yarn(r, 10000.0, 16, 4096),
        "llama3": llama3(r, 10000.0, 8, 1, 4, 8192),
        "longrope": (plain / factors, math.sqrt(1 + math.log(32) / math.log(4096))),
    }
    x, positions = normal(6, 40), np.array([0, 1, 2, 17, 400, 5000], np.float32)
    case = {"x": x, "positions": positions, "factors": factors}
    for name, (theta, magnitude) in frequencies.items():
        angles = positions[:, None].astype(float) * theta
        case["theta_" + name], case["magnitude_" + name] = theta, magnitude
        case["neox_" + name] = rotate_half(x, angles, magnitude)
        case["interleaved_" + name] = rotate_interleaved(x, angles, magnitude)
    yield "rope/scalings", case

    # Three axes, sections of 4, 6 and 6 pairs; θ runs on through them.
    ids = np.array([[0, 0, 0], [0, 3, 7], [1, 2, 2], [5, 9, 1], [5, 0, 8], [40, 40, 40]], np.float32)
    angles = np.repeat(ids, [4, 6, 6], axis=1) * plain
    yield "rope_axes/sections", {"x": x, "ids": ids, "theta": plain, "angles": angles,
                                 "neox": rotate_half(x, angles),
                                 "interleaved": rotate_interleaved(x, angles)}


def whole_cases(normal):
    """Extra slots, packed sequences, gates, merged parts."""
    q, k, v = normal(5, 8), normal(7, 8), normal(7, 6)
    k1, v1 = normal(2, 8), normal(2, 6)
    dot = lambda a, b: a.astype(float) @ b.T.astype(float) / math.sqrt(a.shape[1])
    below = np.where(np.tril(np.ones((5, 7), bool), 2), 0, -np.inf)
    s, s1 = dot(q, k) + below, dot(q, k1)
    yield "extra/slots", {"q": q, "k": k, "v": v, "k_extra": k1, "v_extra": v1,
                          "out": softmax(np.hstack([s, s1])) @ np.vstack([v, v1])}
    o = softmax(s) @ v
    row, channel = normal(5, 1), normal(5, 6)
    yield "output_gate/all", {
        "q": q, "k": k, "v": v, "row": row, "channel": channel, "o": o,
        "sigmoid_row": o * sigmoid(row.astype(float)),
        "sigmoid_channel": o * sigmoid(channel.astype(float)),
        "silu_channel": o * channel * sigmoid(channel.astype(float)),
        "additive_channel": o + channel * sigmoid(channel.astype(float))}

    lq, lk = [3, 0, 5, 1], [3, 2, 7, 4]
    cu_q, cu_k = np.cumsum([0, *lq]), np.cumsum([0, *lk])
    q, k, v = normal(sum(lq), 8), normal(sum(lk), 8), normal(sum(lk), 6)
    of_q, of_k = np.repeat(range(4), lq), np.repeat(range(4), lk)
    end = cu_k[of_q + 1] - cu_q[of_q + 1]  # bottom-right inside each sequence
    allowed = (of_q[:, None] == of_k[None, :]) & (
        np.arange(sum(lk))[None, :] <= (np.arange(sum(lq)) + end)[:, None])
    s = np.where(allowed, dot(q, k), -np.inf)
    yield "varlen/causal", {"q": q, "k": k, "v": v, "cu_q": cu_q, "cu_k": cu_k,
                            "out": softmax(s) @ v, "lse": np.log(np.exp(s).sum(axis=1))}


def cases(seed=24):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    for family in (normalizer_cases, similarity_cases, score_cases, position_cases, whole_cases):
        yield from family(normal)
