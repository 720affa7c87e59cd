// SPDX-License-Identifier: BSL-1.0
// Tables of scores on their way from memory while the products are computed.
#pragma once

#include <algorithm>
#include <heed/core/policy.hpp>
#include <heed/simd/simd.hpp>

namespace heed {

// A modifier that reads a table too large for the caches may have
//   void fetch(const tile& at) const;
// which asks for the part of a tile: called for a few queries at a time while the scores of the
// tile are computed.
template <class S> consteval bool reads_tables() {
  if constexpr (is_chain<S>)
    return reads_tables<decltype(S::first)>() || reads_tables<decltype(S::second)>();
  else
    return requires(const S& f, const tile& at) { f.fetch(at); };
}
template <class S> void fetch_tables(const S& f, const tile& at) {
  if constexpr (is_chain<S>) {
    fetch_tables(f.first, at);
    fetch_tables(f.second, at);
  } else if constexpr (reads_tables<S>()) {
    f.fetch(at);
  }
}
// `scores(first key, keys)` for all keys of a tile: `between` of them at a time, and a few rows of
// the tables asked for before each. A processor drops requests that come faster than memory
// answers.
template <class S, class F>
HEED_INLINE void while_fetching(const S& f, const tile& at, index between, const F& scores) {
  if constexpr (!reads_tables<S>()) {
    scores(0, at.keys);
  } else {
    const index pieces = (at.keys + between - 1) / between;
    for (index i = 0; i < pieces; ++i) {
      const index row = i * at.rows / pieces, end = (i + 1) * at.rows / pieces;
      fetch_tables(f, at.rows_of(row, end - row));
      scores(i * between, std::min(between, at.keys - i * between));
    }
  }
}

}  // namespace heed
