// SPDX-License-Identifier: BSL-1.0
// The token form, the definition of every recurrence: one token against the state of one head.
//
//   u = Sᵀa                        a transition of low rank reads S before it decays
//   o = Sᵀq + (q ⊙ bonus)·k v      a readout before the update
//   S ← diag(α) S
//   e = β (v - Sᵀk)                delta; else e = v, times its gain
//   S ← S + k eᵀ + b uᵀ
//   o = Sᵀq                        a readout after the update
//
// Some columns of S at a time, all their rows: what is read twice is in L1 by then, so memory sees
// S once each way.
#pragma once

#include <heed/recurrence/tokens.hpp>

namespace heed::detail {

// Token i of `rows`, columns [0, NV · W) of v, S and o. `own` is (q ⊙ bonus)·k of each query head.
template <class Spec, class Arch, int NV, class T>
HEED_NOINLINE void token_columns(const token_rows<T, Arch, Spec>& rows, index i, index depth,
                                 const T* v, T* s, index pitch, const T* own, T* o, index o_pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  constexpr bool channels = decays<Spec> == decay_kind::channel;
  const index at = i * rows.key_pitch, q_pitch = rows.most() * rows.key_pitch;
  const T* const k = rows.k + at;
  const T* const alpha = channels ? rows.alpha + at : rows.alpha + i;
  const auto decay = [&](index c) HEED_INLINE_LAMBDA {
    return decays<Spec> == decay_kind::none ? B(T(1)) : B(alpha[channels ? c : 0]);
  };
  // Σ_c x_c S[c], even and odd rows apart: more sums in flight.
  const auto read = [&](const T* x, B(&sum)[NV]) HEED_INLINE_LAMBDA {
    B odd[NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] = odd[n] = B(T(0));
    index c = 0;
    for (; c + 2 <= depth; c += 2) HEED_UNROLL
    for (int n = 0; n < NV; ++n) {
      sum[n] = simd::fma(B(x[c]), simd::load<T, Arch>(s + c * pitch + n * W), sum[n]);
      odd[n] = simd::fma(B(x[c + 1]), simd::load<T, Arch>(s + (c + 1) * pitch + n * W), odd[n]);
    }
    if (c < depth) HEED_UNROLL
    for (int n = 0; n < NV; ++n)
      sum[n] = simd::fma(B(x[c]), simd::load<T, Arch>(s + c * pitch + n * W), sum[n]);
    HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] = sum[n] + odd[n];
  };
  B e[NV], u[NV], sum[NV];
  HEED_UNROLL for (int n = 0; n < NV; ++n) e[n] = simd::load<T, Arch>(v + n * W);
  if constexpr (reads_before<Spec>)
    for (index g = 0; g < rows.group(); ++g) {
      read(rows.q + g * q_pitch + at, sum);
      HEED_UNROLL for (int n = 0; n < NV; ++n)
          simd::store(o + g * o_pitch + n * W, simd::fma(B(own[g]), e[n], sum[n]));
    }
  if constexpr (mixes<Spec>) read(rows.a + at, u);
  if constexpr (corrects<Spec>) {
    HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] = B(T(0));
    for (index c = 0; c < depth; ++c) {
      const B x = B(k[c]) * decay(c);
      HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] =
          simd::fma(x, simd::load<T, Arch>(s + c * pitch + n * W), sum[n]);
    }
    HEED_UNROLL for (int n = 0; n < NV; ++n) e[n] = B(rows.gain[i]) * (e[n] - sum[n]);
  } else if constexpr (gated<Spec>) {
    HEED_UNROLL for (int n = 0; n < NV; ++n) e[n] = e[n] * B(rows.gain[i]);
  }
  HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] = B(T(0));
  for (index c = 0; c < depth; ++c) {
    const B kc(k[c]), qc(rows.q[at + c]);
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      T* const p = s + c * pitch + n * W;
      B x = simd::load<T, Arch>(p);
      if constexpr (decays<Spec> != decay_kind::none) x = x * decay(c);
      if constexpr (mixes<Spec>) x = simd::fma(B(rows.b[at + c]), u[n], x);
      x = simd::fma(kc, e[n], x);
      simd::store(p, x);
      if constexpr (!reads_before<Spec>) sum[n] = simd::fma(qc, x, sum[n]);
    }
  }
  if constexpr (!reads_before<Spec>) {
    HEED_UNROLL for (int n = 0; n < NV; ++n) simd::store(o + n * W, sum[n]);
    for (index g = 1; g < rows.group(); ++g) {
      read(rows.q + g * q_pitch + at, sum);
      HEED_UNROLL for (int n = 0; n < NV; ++n) simd::store(o + g * o_pitch + n * W, sum[n]);
    }
  }
}

// Token i: S [depth × columns] moves on, o[g] is what query head g reads. `own` is scratch, a
// number a query head. columns is a multiple of the lanes.
template <class Spec, class Arch, class T>
void token_step(const token_rows<T, Arch, Spec>& rows, index i, index depth, index columns, T* s,
                index pitch, T* own, T* o, index o_pitch) {
  constexpr index W = simd::width<T, Arch>;
  if constexpr (reads_before<Spec>)
    for (index g = 0; g < rows.group(); ++g) {
      const T* const q = rows.q + (g * rows.most() + i) * rows.key_pitch;
      own[g] = simd::dot_row<Arch>(q, rows.u, rows.k + i * rows.key_pitch, depth);
    }
  index d = 0;
  const auto some = [&]<int N>(std::integral_constant<int, N>) {
    for (; d + N * W <= columns; d += N * W)
      token_columns<Spec, Arch, N>(rows, i, depth, rows.v + i * rows.value_pitch + d, s + d, pitch,
                                   own, o + d, o_pitch);
  };
  some(std::integral_constant<int, 4>{});
  some(std::integral_constant<int, 1>{});
}

}  // namespace heed::detail
