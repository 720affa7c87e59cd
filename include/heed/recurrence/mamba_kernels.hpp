// SPDX-License-Identifier: BSL-1.0
// The inner loops of the selective scan: one vector of channels, R states of each, some tokens. The
// states stay in registers; a decay is 2^(Δ A'), A' = A · log2 e.
//
// Numbers of tokens and channels lie [token][channel] with `pitch`, those of channels and states
// [state][channel] with the same pitch, B and C [token][state].
#pragma once

#include <heed/simd/softplus.hpp>
#include <heed/simd/sum_each.hpp>

namespace heed::detail {

template <class T> struct selective_tile {
  index tokens = 0, pitch = 0, states = 0;
  const T *delta = nullptr, *input = nullptr;  // Δ and Δ u
  const T *b = nullptr, *c = nullptr;
};

template <class T, class Arch>
HEED_INLINE simd::batch<T, Arch> selective_decay(const simd::batch<T, Arch>& delta,
                                                 const simd::batch<T, Arch>& a) {
  using B = simd::batch<T, Arch>;
  constexpr T most = std::is_same_v<T, float> ? T(127) : T(1023);
  return simd::exp2(simd::min(B(most), B(delta * a)));
}

// h <- decay ⊙ h + Δ u B, y += C·h. With `Keep` decays and states of all tokens are kept instead of
// y, [token][R][lane]; without `Out` neither.
template <class T, class Arch, int R, bool Out, bool Keep = false>
HEED_NOINLINE void selective_advance(const selective_tile<T>& x, const T* a, T* h, T* y,
                                     T* decays = nullptr, T* kept = nullptr) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B A[R], H[R];
  HEED_UNROLL for (int r = 0; r < R; ++r) {
    A[r] = simd::load<T, Arch>(a + r * x.pitch);
    H[r] = simd::load<T, Arch>(h + r * x.pitch);
  }
  for (index t = 0; t < x.tokens; ++t) {
    const B delta = simd::load<T, Arch>(x.delta + t * x.pitch);
    const B input = simd::load<T, Arch>(x.input + t * x.pitch);
    const T *const b = x.b + t * x.states, *const c = x.c + t * x.states;
    B sum(T(0));
    if constexpr (Out) sum = simd::load<T, Arch>(y + t * x.pitch);
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      const B decay = selective_decay<T, Arch>(delta, A[r]);
      H[r] = simd::fma(decay, H[r], B(input * B(b[r])));
      if constexpr (Out) sum = simd::fma(H[r], B(c[r]), sum);
      if constexpr (Keep) {
        simd::store(decays + (t * R + r) * W, decay);
        simd::store(kept + (t * R + r) * W, H[r]);
      }
    }
    if constexpr (Out) simd::store(y + t * x.pitch, sum);
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) simd::store(h + r * x.pitch, H[r]);
}

// What the reverse loop adds to. All [token][channel], but da [state][channel] and db, dc
// [token][R][lane].
template <class T> struct selective_sums {
  T* input = nullptr;     // Σ_n g B: what reaches Δ u
  T* exponent = nullptr;  // Σ_n g h' A', h' = decay ⊙ h_{t-1}
  T* y = nullptr;         // Σ_n C h, where a gate asks for it
  T *da = nullptr, *db = nullptr, *dc = nullptr;
};

// g_t = dL/dh_t = C_t dy_t + decay_{t+1} g_{t+1}; `g` comes and goes as decay g, before dy is
// added. `first`: the states before the first token.
template <class T, class Arch, int R, bool Gated>
HEED_NOINLINE void selective_reverse(const selective_tile<T>& x, const T* a, const T* first,
                                     const T* decays, const T* kept, const T* dy, T* g,
                                     const selective_sums<T>& to) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const auto load = [](const T* p) HEED_INLINE_LAMBDA { return simd::load<T, Arch>(p); };
  B G[R], dA[R];
  HEED_UNROLL for (int r = 0; r < R; ++r) {
    G[r] = load(g + r * x.pitch);
    dA[r] = load(to.da + r * x.pitch);
  }
  for (index t = x.tokens - 1; t >= 0; --t) {
    const index at = t * x.pitch;
    const B delta = load(x.delta + at), input = load(x.input + at), d = load(dy + at);
    const T *const b = x.b + t * x.states, *const c = x.c + t * x.states;
    B into = load(to.input + at), exponent = load(to.exponent + at), y(T(0));
    if constexpr (Gated) y = load(to.y + at);
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      const index lane = (t * R + r) * W;
      const B h = load(kept + lane), decay = load(decays + lane);
      const B before = t > 0 ? load(kept + lane - R * W) : load(first + r * x.pitch);
      simd::store(to.dc + lane, B(simd::fma(d, h, load(to.dc + lane))));
      if constexpr (Gated) y = simd::fma(h, B(c[r]), y);
      G[r] = simd::fma(d, B(c[r]), G[r]);
      into = simd::fma(G[r], B(b[r]), into);
      simd::store(to.db + lane, B(simd::fma(G[r], input, load(to.db + lane))));
      G[r] = G[r] * decay;
      const B slope = G[r] * before;
      dA[r] = simd::fma(slope, delta, dA[r]);
      exponent = simd::fma(slope, load(a + r * x.pitch), exponent);
    }
    simd::store(to.input + at, into);
    simd::store(to.exponent + at, exponent);
    if constexpr (Gated) simd::store(to.y + at, y);
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) {
    simd::store(g + r * x.pitch, G[r]);
    simd::store(to.da + r * x.pitch, dA[r]);
  }
}

}  // namespace heed::detail
