// SPDX-License-Identifier: BSL-1.0
// A block of tokens of recurrence/prefix_softmax: its weights, and what they do to channels.
#pragma once

#include <algorithm>
#include <heed/simd/exp2.hpp>
#include <limits>

namespace heed::detail {

// f, p and 1/u of up to `block` tokens. The exponentials are always those of vectors, so that a
// token's bits do not depend on where its block ends.
template <class T, class Arch> struct prefix_weights {
  static constexpr index block = 64;
  T f[block], p[block], r[block];
  bool raised = false;  // some token of the last block did
  index top = 0;        // the last one that did

  void absorb(const T* s, index count, T& u, T& m) {
    constexpr index W = simd::width<T, Arch>;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    T x[block];
    bool rises[block];
    raised = false;
    std::fill_n(x, block, T(0));
    for (index t = 0; t < count; ++t) {
      x[t] = s[t] == -infinity ? -infinity : -std::abs(s[t] - m);
      rises[t] = s[t] > m;
      if (rises[t]) m = s[t], top = t, raised = true;
    }
    for (index t = 0; t < count; t += W)
      simd::store(x + t, simd::batch<T, Arch>(simd::exp(simd::load<T, Arch>(x + t))));
    for (index t = 0; t < count; ++t) {
      f[t] = rises[t] ? x[t] : T(1);
      p[t] = rises[t] ? T(1) : x[t];
      u = f[t] * u + p[t];
      r[t] = u == T(0) ? T(0) : T(1) / u;
    }
  }

  // NV vectors of channels through a block: w stays in registers.
  template <class A, int NV>
  HEED_INLINE void channels(index count, const T* v, index v_pitch, T* w, T* out,
                            index out_pitch) const {
    using B = simd::batch<T, A>;
    constexpr index W = simd::width<T, A>;
    B sum[NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] = simd::load<T, A>(w + n * W);
    for (index t = 0; t < count; ++t, v += v_pitch, out += out_pitch) {
      if (p[t] != T(0)) {
        HEED_UNROLL for (int n = 0; n < NV; ++n) sum[n] =
            simd::fma(B(p[t]), simd::load<T, A>(v + n * W), B(B(f[t]) * sum[n]));
      }
      HEED_UNROLL for (int n = 0; n < NV; ++n) simd::store(out + n * W, B(B(r[t]) * sum[n]));
    }
    HEED_UNROLL for (int n = 0; n < NV; ++n) simd::store(w + n * W, sum[n]);
  }
  HEED_NOINLINE void rows(index count, const T* v, index v_pitch, index width, T* w, T* out,
                          index out_pitch) const {
    constexpr index W = simd::width<T, Arch>;
    index c = 0;
    for (; c + 4 * W <= width; c += 4 * W)
      channels<Arch, 4>(count, v + c, v_pitch, w + c, out + c, out_pitch);
    for (; c + W <= width; c += W)
      channels<Arch, 1>(count, v + c, v_pitch, w + c, out + c, out_pitch);
    for (; c < width; ++c)
      channels<simd::scalar, 1>(count, v + c, v_pitch, w + c, out + c, out_pitch);
  }
};

}  // namespace heed::detail
