// SPDX-License-Identifier: BSL-1.0
// normalizer/linear: p_ij = s_ij, divided by 1, the allowed keys, Σ_j s_ij or max(|Σ_j s_ij|, 1).
//
// Gu et al., When Attention Sink Emerges in Language Models, 2024.
#pragma once

#include <heed/normalizer/elementwise.hpp>

namespace heed {

struct linear {
  divisor by = divisor::one;

  template <class B> B weight(const B& s) const { return s; }
  // d weight / ds
  template <class B> B slope(const B& s) const {
    return simd::constant<B>(1) + s * simd::constant<B>(0);
  }
};

}  // namespace heed
