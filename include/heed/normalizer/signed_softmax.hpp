// SPDX-License-Identifier: BSL-1.0
// normalizer/signed_softmax: p_ij = sign(s_ij) · e^{|s_ij|} / Σ_j e^{|s_ij|}, sign(0) = 0.
//
// Softmax over magnitudes: the running maximum is that of |s|, and a masked score, whose magnitude
// is the largest of all, is recognised before its sign is dropped. lse is that of |s|. Cog
// attention, Lv et al. 2024. Cost of softmax.
#pragma once

#include <heed/normalizer/softmax.hpp>

namespace heed {

struct signed_softmax {
  template <class T> row_state<T> start(const row_position& at) const {
    return softmax{}.start<T>(at);
  }

  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>& factor, double scale = 1) const {
    using B = simd::batch<T, Arch>;
    const B unit = simd::constant<B>(simd::log2e * scale), zero = simd::constant<B>(0);
    B top(masked<T>);
    for (index j = 0; j < keys; ++j)
      top = simd::max(top, magnitude(B(simd::load<T, Arch>(s + j * pitch))));
    const bool moved = softmax::raise(B(top * unit), state, factor);
    const B shift = zero - state.max;
    for (index j = 0; j < keys; ++j) {
      T* x = s + j * pitch;
      const B score = simd::load<T, Arch>(x);
      const B p = simd::exp2(B(simd::fma(magnitude(score), unit, shift)));
      state.sum = state.sum + p;
      simd::store(x, simd::select(score == zero, zero, simd::select(score < zero, B(zero - p), p)));
    }
    return moved;
  }

  template <class B> B finish(const row_state<B>& state) const { return softmax{}.finish(state); }
  template <class B> B lse(const row_state<B>& state) const { return softmax{}.lse(state); }
  // d|s| = |p| (sign(s) dp - δ), ds = sign(s) d|s|
  template <class B>
  B dscore(const B&, const B& p, const B& dp, const B& delta, const row_state<B>&) const {
    return simd::abs(p) * dp - p * delta;
  }

 private:
  // |s|, and `masked` for what is masked.
  template <class B> static B magnitude(const B& s) {
    const B lowest = simd::constant<B>(masked<simd::value<B>> / 2);
    return simd::select(s <= lowest, simd::constant<B>(masked<simd::value<B>>), simd::abs(s));
  }
};

}  // namespace heed
