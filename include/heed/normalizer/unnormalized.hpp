// SPDX-License-Identifier: BSL-1.0
// normalizer/unnormalized: p_ij = e^{s_ij} / Z without a row sum; Z any number, or the allowed
// keys.
//
// s is capped where e^s would overflow: at 88.02 in float, at 709 in double. A lower cap is a
// `score/clamp`; gates and norms of the result are output transforms.
#pragma once

#include <heed/core/check.hpp>
#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct unnormalized {
  double over = 1;  // Z; multiplies the divisor
  divisor by = divisor::one;

  void check(const problem_shape&) const {
    if (!(over > 0))
      check::fail("heed::unnormalized", "over must be positive, not " + std::to_string(over));
  }

  template <class B> B weight(const B& s) const {
    return simd::exp(s) * simd::constant<B>(1 / over);
  }
  // d weight / ds
  template <class B> B slope(const B& s) const { return weight(s); }

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
