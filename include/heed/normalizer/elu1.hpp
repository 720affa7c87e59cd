// SPDX-License-Identifier: BSL-1.0
// normalizer/elu1: p_ij = elu(s_ij) + 1, that is s + 1 above zero and e^s below; undivided or by
// the row sum.
//
// Gu et al., When Attention Sink Emerges in Language Models, 2024.
#pragma once

#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct elu1 {
  divisor by = divisor::one;

  template <class B> B weight(const B& s) const {
    const B zero = simd::constant<B>(0);
    const B below = simd::exp(B(simd::min(zero, s)));
    return simd::select(s > zero, B(s + simd::constant<B>(1)), below);
  }
  // d weight / ds
  template <class B> B slope(const B& s) const {
    return simd::exp(B(simd::min(simd::constant<B>(0), s)));
  }
};

}  // namespace heed
