// SPDX-License-Identifier: BSL-1.0
// mask/causal: a query sees its own position and those before it, k <= q.
//
// Positions are absolute and the last query sits at the last key, so with 2 queries and 4 keys
//   xxx.
//   xxxx
// Other alignments (top-left, a cache that ends elsewhere) are the call's `offset`.
#pragma once

#include <algorithm>
#include <heed/mask/concept.hpp>

namespace heed {

struct causal {
  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const { return at.k <= at.q; }
  template <class F>
  constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min(at.q + 1, keys)};
    if (!s.empty()) emit(s);
  }
};

}  // namespace heed
