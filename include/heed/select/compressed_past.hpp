// SPDX-License-Identifier: BSL-1.0
// The mask of compressed keys, each made of tokens [c·stride, c·stride + block) (select/nsa).
#pragma once

#include <algorithm>
#include <heed/mask/concept.hpp>

namespace heed {

// Compressed keys that end at or before the query: c·stride + block <= q + 1.
struct compressed_past {
  index block = 32, stride = 16;

  static constexpr bool exact = true;
  constexpr index seen(index q) const { return q + 1 < block ? 0 : (q + 1 - block) / stride + 1; }
  constexpr bool operator()(const position& at) const { return at.k < seen(at.q); }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (const index end = std::min(seen(at.q), keys); end > 0) emit(span{0, end});
  }
};

}  // namespace heed
