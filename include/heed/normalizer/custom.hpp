// SPDX-License-Identifier: BSL-1.0
// normalizer/custom: p_ij = F(s_ij) / Σ_j F(s_ij) for the user's F.
//
//   custom{[](auto s) { return s * s; }}
//
// F takes vectors and single numbers (`auto`) or single numbers only (a table), and `slope`, if
// given, is its derivative. F sees no masked score. A normaliser whose weights depend on more than
// one score is a type of its own with the members that normalizer/concept.hpp lists.
#pragma once

#include <heed/normalizer/elementwise.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

template <class F, class Slope = none> struct custom {
  F weight;
  Slope slope{};
  divisor by = divisor::sum;

  template <class Arch, class T>
  bool absorb(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>&) const {
    using B = simd::batch<T, Arch>;
    const B lowest(masked<T> / 2), zero(T(0));
    return elementwise::absorb<Arch>(s, pitch, keys, state, by, [&](const B& x) {
      // 0 in place of what is masked, so that a table is not read out of its range.
      return simd::map_lanes<Arch, T>(weight, B(simd::select(x <= lowest, zero, x)));
    });
  }
};

}  // namespace heed
