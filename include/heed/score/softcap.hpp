// SPDX-License-Identifier: BSL-1.0
// score/softcap: s <- c·tanh(s / c), before the mask.
//
// Gemma 2, Riviere et al. 2024. Cost: a tanh a pair. Throws unless 0 < c < ∞.
#pragma once

#include <cmath>
#include <heed/core/check.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct softcap {
  double cap = 30;

  template <class S, class At> HEED_INLINE S operator()(const S& s, const At&) const {
    return S(simd::constant<S>(cap) * simd::tanh(S(s * simd::constant<S>(1 / cap))));
  }
  static constexpr bool by_position = true;
  // ds'/ds = 1 - (s'/c)²
  template <class S, class At> S grad(const S& s, const At&) const {
    const S t = simd::tanh(S(s * simd::constant<S>(1 / cap)));
    return S(simd::constant<S>(1) - t * t);
  }
  void check(const problem_shape&) const {
    if (!(cap > 0) || std::isinf(cap))
      check::fail("heed::softcap",
                  "the cap must be positive and finite, not " + std::to_string(cap));
  }
};

}  // namespace heed
