// SPDX-License-Identifier: BSL-1.0
// normalizer/sigmoid: p_ij = σ(s_ij + b), undivided unless asked; b = -ln n in sigmoid attention.
//
// Divided by the sum, a row whose σ all underflow (every s + b below -87.7 in float, -708 in
// double) gives zeros, as a row without keys does; its limit would be softmax(s). Ramapuram et al.,
// Theory, Analysis, and Best Practices for Sigmoid Self-Attention, 2024.
#pragma once

#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct sigmoid {
  double bias = 0;
  divisor by = divisor::one;

  template <class B> B weight(const B& s) const {
    return simd::sigmoid(B(s + simd::constant<B>(bias)));
  }
  // d weight / ds = σ(x) σ(-x), with no difference of numbers close to 1
  template <class B> B slope(const B& s) const {
    const B x = simd::abs(B(s + simd::constant<B>(bias)));
    const B e = simd::exp(B(simd::constant<B>(0) - x)), sum = simd::constant<B>(1) + e;
    return e / (sum * sum);
  }
};

}  // namespace heed
