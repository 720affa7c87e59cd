// SPDX-License-Identifier: BSL-1.0
// normalizer/relu: p_ij = max(s_ij, 0)^a / c, a = 1 or 2; c any number, or the allowed keys.
//
// Wortsman et al., Replacing softmax with ReLU in Vision Transformers, 2023. Throws unless a is 1
// or 2 and c > 0.
#pragma once

#include <heed/core/check.hpp>
#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct relu {
  int power = 1;
  double over = 1;  // c; multiplies the divisor
  divisor by = divisor::one;

  void check(const problem_shape&) const {
    if (power != 1 && power != 2)
      check::fail("heed::relu", "power must be 1 or 2, not " + std::to_string(power));
    if (!(over > 0))
      check::fail("heed::relu", "over must be positive, not " + std::to_string(over));
  }

  template <class B> B weight(const B& s) const {
    const B x = simd::max(simd::constant<B>(0), s), scaled = x * simd::constant<B>(1 / over);
    return power == 1 ? scaled : B(scaled * x);
  }
  // d weight / ds
  template <class B> B slope(const B& s) const {
    const B zero = simd::constant<B>(0), c = simd::constant<B>(1 / over);
    return simd::select(s > zero, power == 1 ? c : B((c + c) * s), zero);
  }
};

}  // namespace heed
