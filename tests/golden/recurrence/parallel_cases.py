# SPDX-License-Identifier: BSL-1.0
"""Recurrences by NumPy in double, all tokens at once: the parallel or matrix forms of the papers.

Nothing here steps through tokens with a state. Heads are worked out one by one: q, k [L, Dk],
v [L, Dv], S [Dk, Dv]. Inputs are float numbers, outputs double.
"""

import math

import numpy as np


def products(decay):
    """decay [L, C] -> [L, L, C], Π_{j<s≤i} decay_s where j ≤ i, else 0; and [L, C], Π_{s≤i}."""
    length = len(decay)
    between = np.zeros((length,) + decay.shape)
    for i in range(length):
        for j in range(i + 1):
            between[i, j] = np.prod(decay[j + 1:i + 1], axis=0)
    return between, np.cumprod(decay, axis=0)


def last_state(k, v, between, before, state):
    return np.einsum("jc,jc,jv->cv", between[-1], k, v) + before[-1][:, None] * state


def retention(q, k, v, log_decay, state):
    """RetNet, parallel form: (QKᵀ ⊙ D)V, D_nm = γ^{n−m}."""
    n = np.arange(len(q))
    gamma = math.exp(log_decay.item())
    d = np.where(n[:, None] >= n, gamma ** np.maximum(n[:, None] - n, 0), 0)
    out = (q @ k.T * d) @ v + gamma ** (n[:, None] + 1) * (q @ state)
    return out, (gamma ** (n[-1] - n)[:, None] * k).T @ v + gamma ** len(q) * state


def gla(q, k, v, log_decay, state):
    """GLA, parallel form: ((Q ⊙ B)(K / B)ᵀ ⊙ M)V, B = cumulative product of the decays."""
    b = np.exp(np.cumsum(log_decay, axis=0))
    out = np.tril((q * b) @ (k / b).T) @ v + (q * b) @ state
    return out, (b[-1] / b * k).T @ v + b[-1][:, None] * state


def gated(q, k, v, log_decay, state):
    """The same by products of decays between any two tokens, for decays of 0."""
    between, before = products(np.exp(np.broadcast_to(log_decay, q.shape)))
    out = np.einsum("ic,ijc,jc->ij", q, between, k) @ v + (q * before) @ state
    return out, last_state(k, v, between, before, state)


def ssd(q, k, v, delta, rate, skip, state):
    """Mamba-2, semiseparable form: y = (L ⊙ CBᵀ)(Δx) + Dx, L = exp(segsum(ΔA))."""
    c, b, x = q, k, v
    steps = (delta * rate)[:, 0]
    mask = np.tril(np.ones((len(x),) * 2, bool))
    segsum = np.where(np.tril(mask, -1), steps[:, None], 0).cumsum(axis=0)
    weights = np.where(mask, np.exp(segsum), 0)
    before = np.exp(np.cumsum(steps))[:, None]
    out = (weights * (c @ b.T)) @ (delta * x) + before * (c @ state) + skip * x
    return out, (weights[-1][:, None] * b).T @ (delta * x) + before[-1] * state


def rwkv6(q, k, v, log_decay, u, state):
    """o_i = Σ_{j<i} q_i·(Π_{j<s<i} w_s ⊙ k_j) v_j + q_i·(u ⊙ k_i) v_i."""
    w = np.exp(np.broadcast_to(log_decay, q.shape))
    between, before = products(w)
    weights = np.zeros((len(q),) * 2)
    weights[1:] = np.einsum("ic,ijc,jc->ij", q[1:], between[:-1], k)
    weights += np.diag((q * u * k).sum(axis=1))
    start = np.vstack([np.ones(q.shape[1]), before[:-1]])
    return weights @ v + (q * start) @ state, last_state(k, v, between, before, state)


def low_rank(q, k, v, log_decay, a, b, state):
    """S_i = Σ_j G_i…G_{j+1} k_j v_jᵀ, G = diag(w) + b aᵀ."""
    g = np.exp(log_decay)[:, :, None] * np.eye(q.shape[1]) + b[:, :, None] * a[:, None, :]
    states = []
    for i in range(len(q)):
        total, chain = np.zeros_like(state), np.eye(q.shape[1])
        for j in range(i, -1, -1):
            total = total + np.outer(chain @ k[j], v[j])
            chain = chain @ g[j]
        states.append(total + chain @ state)
    return np.einsum("ic,icv->iv", q, np.array(states)), states[-1]


def mlstm(q, k, v, log_f, gain, state, z0, m0):
    """xLSTM, parallel stabilised form; the state before counts as one more key."""
    length = len(q)
    cumulative = np.cumsum(log_f)
    d = np.array([[log_f[j + 1:i + 1].sum() + gain[j] if j <= i else -np.inf
                   for j in range(length)] for i in range(length)])
    start = cumulative + m0
    m = np.maximum(d.max(axis=1), start)
    weights, first = np.exp(d - m[:, None]), np.exp(start - m)
    scores = q @ k.T * weights
    total = scores.sum(axis=1) + first * (q @ z0)
    bound = np.maximum(np.abs(total), np.exp(-m))
    out = (scores @ v + first[:, None] * (q @ state)) / bound[:, None]
    return (out, (weights[-1][:, None] * k).T @ v + first[-1] * state,
            (weights[-1] @ k + first[-1] * z0)[None], m[-1:, None])


def delta(q, k, v, decay, beta, state):
    """U = (I + A)⁻¹ β(V − K S_0), A = βKKᵀ below the diagonal; O = (QKᵀ)U. decay [L, Dk]."""
    between, before = products(decay)
    pairs = lambda x: np.einsum("ic,ijc,jc->ij", x, between, k)
    a = np.tril(beta[:, None] * pairs(k), -1)
    u = np.linalg.inv(np.eye(len(q)) + a) @ (beta[:, None] * (v - (k * before) @ state))
    return pairs(q) @ u + (q * before) @ state, last_state(k, u, between, before, state)


def weighted(weights, v, causal, normalised, count, epsilon=0.0):
    n = np.arange(1, len(weights) + 1)[:, None] if causal else len(v)
    weights = np.tril(weights) if causal else weights
    total = weights.sum(axis=1, keepdims=True) + epsilon if normalised else n if count else 1
    return weights @ v / total


elu1 = lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
relu = lambda x: np.maximum(x, 0)


def orthogonal(generator, m, d):
    """Rows of orthogonal blocks, as long as those of a Gaussian matrix."""
    blocks = [np.linalg.qr(generator.standard_normal((d, d)))[0] for _ in range(-(-m // d))]
    lengths = np.linalg.norm(generator.standard_normal((m, d)), axis=1, keepdims=True)
    return (np.vstack(blocks)[:m] * lengths).astype(np.float32)


def favor(q, k, v, omega, causal):
    """Performer: queries stabilised by the maximum of their row, keys by that of all."""
    def features(x, axis):
        x = x / x.shape[1] ** 0.25
        e = x @ omega.T
        peak = e.max(axis=axis, keepdims=True)
        return np.exp(e - (x * x).sum(axis=1, keepdims=True) / 2 - peak) / math.sqrt(len(omega))
    return weighted(features(q, 1) @ features(k, None).T, v, causal, True, False)


def favor_relu(q, k, v, omega, causal, epsilon):
    features = lambda x: relu(x / x.shape[1] ** 0.25 @ omega.T) / math.sqrt(len(omega)) + epsilon
    return weighted(features(q) @ features(k).T, v, causal, True, False)


def general(u, transition, b, c, d, h):
    """y = Tu + …, T_ij = C_i Λ_i…Λ_{j+1} B_j."""
    full = transition if transition.ndim == 3 else transition[:, :, None] * np.eye(len(h))
    out = []
    for i in range(len(u)):
        y, chain = d[i] @ u[i], np.eye(len(h))
        for j in range(i, -1, -1):
            y = y + c[i] @ chain @ b[j] @ u[j]
            chain = chain @ full[j]
        out.append(y + c[i] @ chain @ h)
    return np.array(out), chain @ h + sum(
        np.linalg.multi_dot([np.eye(len(h)), *full[:j:-1], b[j]]) @ u[j] for j in range(len(u)))


D, DV = 6, 5


def cases(seed=43):
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(np.float32)

    def case(name, form, results, tensors, parameters=None):
        """Applies `form` to every head of the tensors [1, heads, …], those shared by heads or tokens
        included."""
        count = max(x.shape[1] for x in tensors.values())
        each = [form(**{k: x[0, h * x.shape[1] // count].astype(float) for k, x in tensors.items()})
                for h in range(count)]
        every = {k: np.array([y[n] for y in each])[None] for n, k in enumerate(results)}
        return name, {**tensors, **(parameters or {}), **every}

    def qkv(heads, l, d, dv, key_heads=None):
        shared = key_heads or heads
        return normal(1, shared, l, d), normal(1, shared, l, d), normal(1, heads, l, dv)

    def unit(x):
        return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)

    def log_decays(*shape, forgets=False):
        x = -np.exp(normal(*shape) - 1.5)
        if forgets:
            x[normal(*shape) > 1.7] = -np.inf
            x[..., 0][normal(*shape[:-1]) > 1] = 0
        return x.astype(np.float32)

    def rates(*shape, top=1):
        return (top / (1 + np.exp(-normal(*shape)))).astype(np.float32)

    def state(heads, d, dv, zero=False):
        return np.zeros((1, heads, d, dv), np.float32) if zero else normal(1, heads, d, dv)

    both = ["out", "final"]

    for name, feature, read, epsilon in (
            ("identity", lambda x: x, "direct", 0), ("identity", lambda x: x, "count", 0),
            ("elu1", elu1, "normalised", 0), ("relu", relu, "normalised", 1e-3)):
        for full in (False, True):
            form = lambda q, k, v: (weighted(feature(q) @ feature(k).T, v, not full,
                                             read == "normalised", read == "count", epsilon),
                                    feature(k).T @ v)
            q, k, v = qkv(1, 17, D, DV)
            flags = {n: 1 for n, on in ((name, name != "identity"), (read, read != "direct"),
                                        ("full", full)) if on}
            yield case(f"linear/{name}_{read}{'_full' * full}", form, both,
                       {"q": q, "k": k, "v": v}, {**flags, "epsilon": float(epsilon)})

    q, k, v = qkv(2, 11, D, DV)
    yield case("retention/parallel", retention, both,
               {"q": q, "k": k, "v": v, "state": state(2, D, DV), "log_decay":
                np.log([[[[1 - 2**-5]], [[1 - 2**-2]]]]).astype(np.float32)})

    for name, form, heads, l, forgets in (("parallel", gla, 2, 11, False),
                                          ("long", gated, 1, 40, False),
                                          ("forgets", gated, 2, 20, True)):
        q, k, v = qkv(heads, l, D, DV)
        yield case("gla/" + name, form, both,
                   {"q": q, "k": k, "v": v, "state": state(heads, D, DV),
                    "log_decay": log_decays(1, heads, l, D, forgets=forgets)})

    q, k, v = qkv(2, 11, D, DV, key_heads=1)
    yield case("ssd/semiseparable", ssd, both,
               {"q": q, "k": k, "v": v, "state": state(2, D, DV),
                "delta": np.log1p(np.exp(normal(1, 2, 11, 1))).astype(np.float32),
                "rate": -np.exp(normal(1, 2, 1, 1) - 1).astype(np.float32),
                "skip": normal(1, 2, 1, 1)})

    for name, heads, l, tokens, forgets in (("pairs", 2, 11, 11, False), ("forgets", 1, 20, 20, True),
                                            ("constant", 2, 11, 1, False)):
        q, k, v = qkv(heads, l, D, DV)
        yield case("rwkv6/" + name, rwkv6, both,
                   {"q": q, "k": k, "v": v, "state": state(heads, D, DV), "u": normal(1, heads, 1, D),
                    "log_decay": log_decays(1, heads, tokens, D, forgets=forgets)})

    q, k, v = qkv(2, 11, D, DV)
    k_hat = unit(normal(1, 2, 11, D))
    yield case("rwkv7/products", lambda q, k, v, log_decay, k_hat, rate, state:
               low_rank(q, k, v, log_decay, -k_hat, rate * k_hat, state), both,
               {"q": q, "k": k, "v": v, "state": state(2, D, DV), "k_hat": k_hat,
                "rate": rates(1, 2, 11, D), "log_decay": log_decays(1, 2, 11, D)})
    for name, l, forgets in (("long", 35, False), ("forgets", 18, True)):
        q, k, v = qkv(1, l, D, DV)
        yield case("low_rank/" + name, low_rank, both,
                   {"q": q, "k": k, "v": v, "state": state(1, D, DV),
                    "a": unit(normal(1, 1, l, D)), "b": 0.7 * unit(normal(1, 1, l, D)),
                    "log_decay": log_decays(1, 1, l, D, forgets=forgets)})

    for name, heads, l, spread, first in (("parallel", 2, 11, 1, None), ("carried", 2, 11, 1, 0.5),
                                          ("gains", 1, 17, 30, -3.0), ("long", 1, 40, 1, None)):
        q, k, v = qkv(heads, l, D, DV)
        m = np.full((1, heads, 1, 1), -np.inf if first is None else first, np.float32)
        zero = first is None
        log_f = -np.log1p(np.exp(-3 - normal(1, heads, l, 1))).astype(np.float32)
        if name == "gains":
            log_f[:, :, l // 2] = -np.inf
        yield case("mlstm/" + name, lambda q, k, v, log_decay, gain, state, state_z, state_m:
                   mlstm(q / math.sqrt(D), k, v, log_decay[:, 0], gain[:, 0], state, state_z[0],
                         state_m.item()), both + ["final_z", "final_m"],
                   {"q": q, "k": k, "v": v, "state": state(heads, D, DV, zero),
                    "state_z": state(heads, 1, D, zero), "state_m": m,
                    "log_decay": log_f, "gain": spread * normal(1, heads, l, 1)},
                   {"scale": 1 / math.sqrt(D)})

    for rule, name, heads, l, width, forgets in (
            ("delta", "inverse", 2, 11, 0, False), ("gated_delta", "inverse", 2, 11, 1, False),
            ("gated_delta", "forgets", 1, 18, 1, True), ("kda", "inverse", 2, 11, D, False),
            ("kda", "long", 1, 40, D, False), ("kda", "forgets", 1, 18, D, True)):
        q, k, v = qkv(heads, l, D, DV)
        decay = {"log_decay": log_decays(1, heads, l, width, forgets=forgets)} if width else {}
        yield case(f"{rule}/{name}", lambda q, k, v, beta, state, log_decay=np.zeros(1):
                   delta(q / math.sqrt(D), k, v, np.exp(np.broadcast_to(log_decay, q.shape)),
                         beta[:, 0], state), both,
                   {"q": q, "k": unit(k), "v": v, "state": state(heads, D, DV), **decay,
                    "beta": rates(1, heads, l, 1, top=2)}, {"scale": 1 / math.sqrt(D)})

    for order in (1, 2):
        for full in (False, True):
            # Within |z| < 1, so that even the first order stays away from zero.
            q, k, v = qkv(1, 17, 4, 5)
            q, k = unit(q), unit(k)
            z = lambda q, k: q @ k.T / math.sqrt(4)
            yield case(f"taylor/order{order}{'_full' * full}", lambda q, k, v: (weighted(
                sum(z(q, k)**n / math.factorial(n) for n in range(order + 1)), v, not full, True,
                False, 1e-3),), ["out"], {"q": q, "k": k, "v": v},
                {"n": order, "epsilon": 1e-3, **({"full": 1} if full else {})})

    for name, scale, full, epsilon in (("positive", 1, False, None), ("positive_full", 1, True, None),
                                       ("large", 6, False, None), ("relu", 1, False, 1e-3)):
        q, k, v = qkv(1, 17, D, DV)
        omega = orthogonal(generator, 16, D)
        q, k = scale * q, scale * k
        form = (lambda q, k, v: (favor(q, k, v, omega, not full),)) if epsilon is None else (
            lambda q, k, v: (favor_relu(q, k, v, omega, not full, epsilon),))
        yield case("favor/" + name, form, ["out"], {"q": q, "k": k, "v": v},
                   {"omega": omega, **({"full": 1} if full else {}),
                    **({"relu": 1, "epsilon": epsilon} if epsilon else {})})

    for name, shape in (("diagonal", (9, 4)), ("matrix", (9, 4, 4))):
        u, transition, b = normal(9, 3), 0.5 * normal(*shape), normal(9, 4, 3)
        c, d, h = normal(9, 2, 4), normal(9, 2, 3), normal(4)
        out, last = general(*(x.astype(float) for x in (u, transition, b, c, d, h)))
        yield "general/" + name, {"u": u, "transition": transition, "b": b, "c": c, "d": d,
                                  "state": h, "out": out, "final": last}
