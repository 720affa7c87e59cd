// SPDX-License-Identifier: BSL-1.0
// score/clamp: s <- min(max(s, lowest), highest). NaN stays NaN. Either bound may be infinite.
//
// GRIT, Ma et al. 2023. Throws unless lowest <= highest.
#pragma once

#include <heed/core/check.hpp>
#include <heed/score/concept.hpp>
#include <limits>

namespace heed {

struct clamp {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();

  template <class S, class At> HEED_INLINE S operator()(const S& s, const At&) const {
    const S raised = simd::max(simd::constant<S>(lowest), s);
    return simd::min(simd::constant<S>(highest), raised);
  }
  static constexpr bool by_position = true;
  // ds'/ds = 1 between the bounds, those included; 0 outside
  template <class S, class At> S grad(const S& s, const At&) const {
    const S one = simd::constant<S>(1), zero = simd::constant<S>(0);
    const S below = simd::select(s < simd::constant<S>(lowest), zero, one);
    return simd::select(s > simd::constant<S>(highest), zero, below);
  }
  void check(const problem_shape&) const {
    if (!(lowest <= highest))
      check::fail("heed::clamp", "the lowest score " + std::to_string(lowest) +
                                     " must not exceed the highest, " + std::to_string(highest));
  }
};

}  // namespace heed
