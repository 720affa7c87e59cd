// SPDX-License-Identifier: BSL-1.0
// mask/causal: a query sees its own position and those before it, k <= q + shift.
//
// Positions are absolute and the last query sits at the last key, so with 2 queries and 4 keys
//   xxx.
//   xxxx
// Other alignments shift the diagonal: top-left, where query row r sits at position r, is
// causal{.shift = Lq - Lk}
//   x...
//   xx..
//
// Vaswani et al. 2017. One span a query.
#pragma once

#include <algorithm>
#include <heed/mask/concept.hpp>

namespace heed {

struct causal {
  index shift = 0;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const { return at.k <= at.q + shift; }
  template <class At> auto vector(const At& at) const {
    return lanewise(at, at.q >= at.k - static_cast<decltype(at.k)>(shift));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min(at.q + shift + 1, keys)};
    if (!s.empty()) emit(s);
  }
};

}  // namespace heed
