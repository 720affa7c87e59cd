// SPDX-License-Identifier: BSL-1.0
// normalizer/sigmoid: p_ij = σ(s_ij + b), undivided unless asked; b = -ln n in sigmoid attention.
#pragma once

#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct sigmoid {
  double bias = 0;
  divisor by = divisor::one;

  template <class B> B weight(const B& s) const {
    return simd::sigmoid(B(s + simd::constant<B>(bias)));
  }
  // d weight / ds
  template <class B> B slope(const B& s) const {
    const B w = weight(s);
    return w * (simd::constant<B>(1) - w);
  }

  template <class T> row_state<T> start(const row_position&) const {
    return elementwise::start<T>();
  }
  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>&) const {
    return elementwise::absorb<Arch>(s, pitch, keys, state, by,
                                     [this](auto x) { return weight(x); });
  }
  template <class B> B finish(const row_state<B>& state) const {
    return elementwise::finish(state, by);
  }
  template <class B>
  B dscore(const B& s, const B&, const B& dp, const B& delta, const row_state<B>& state) const {
    return elementwise::dscore(B(slope(s)), dp, delta, state, by);
  }
};

}  // namespace heed
