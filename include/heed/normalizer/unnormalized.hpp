// SPDX-License-Identifier: BSL-1.0
// normalizer/unnormalized: p_ij = e^{s_ij} / Z without a row sum; Z any number, or the allowed
// keys.
//
// s is capped where e^s would overflow: at 88.02 in float, at 709 in double. A lower cap is a
// `score/clamp`; gates and norms of the result are output transforms. Mongaras and Larson, On the
// Expressiveness of Softmax Attention, 2025. Throws unless Z > 0.
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
};

}  // namespace heed
