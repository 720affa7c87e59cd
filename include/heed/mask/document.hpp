// SPDX-License-Identifier: BSL-1.0
// mask/document: several documents in one sequence, each attends itself: doc[q] = doc[k].
//
//   ids 7 7 3 3 3, cu_seqlens 0 2 5     causal{} && document{ids}
//   xx...                               x....
//   xx...                               xx...
//   ..xxx                               ..x..
//   ..xxx                               ..xx.
//   ..xxx                               ..xxx
//
// `document` takes an id per position [Lk] or [B, Lk]; equal ids must lie together.
// `packed_documents` takes the offsets cu_seqlens [documents + 1], the same for every batch item.
// Arrays are borrowed for the call. One span a query, found in O(log L). A query before the first
// key belongs to none. Positions and masks of a document that start at 0 are plan/varlen. Throws if
// the array does not fit the keys, ids come back after another, or offsets decrease. Krell et al.,
// Efficient Sequence Packing without Cross-contamination, 2021.
#pragma once

#include <algorithm>
#include <heed/core/offsets.hpp>
#include <heed/mask/concept.hpp>
#include <heed/mask/tokens.hpp>
#include <vector>

namespace heed {

struct document {
  tokens ids{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return ids.holds(at.q) && ids.holds(at.k) && ids(at.b, at.q) == ids(at.b, at.k);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (!ids.holds(at.q)) return;
    const span s{at.q - reach(at, at.q + 1, -1) + 1,
                 std::min(at.q + reach(at, ids.length() - at.q, 1), keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape& shape) const {
    ids.check("heed::document", "ids", shape);
    std::vector<int> seen;
    for (index b = 0; b < ids.batch(); ++b) {
      seen.clear();
      for (index i = 0; i < ids.length(); ++i)
        if (i == 0 || ids(b, i) != ids(b, i - 1)) seen.push_back(ids(b, i));
      std::sort(seen.begin(), seen.end());
      const auto twice = std::adjacent_find(seen.begin(), seen.end());
      if (twice != seen.end())
        check::fail("heed::document", "equal ids must lie together: id " + std::to_string(*twice) +
                                          " comes back after another, batch item " +
                                          std::to_string(b));
    }
  }

 private:
  // How many tokens from q on, in steps of `way`, are of q's document; at most `most` >= 1.
  constexpr index reach(const position& at, index most, index way) const {
    const auto same = [&](index n) { return ids(at.b, at.q + way * n) == ids(at.b, at.q); };
    index low = 0, high = 1;  // low is of the document; high is not, or not yet known
    while (high < most && same(high)) low = high, high *= 2;
    high = std::min(high, most);
    while (high - low > 1) {
      const index middle = low + (high - low) / 2;
      (same(middle) ? low : high) = middle;
    }
    return high;
  }
};

struct packed_documents {
  std::span<const int> cu_seqlens{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const span s = of(at.q);
    return s.begin <= at.k && at.k < s.end;
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{of(at.q).begin, std::min(of(at.q).end, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape& shape) const {
    check::offsets("heed::packed_documents", "cu_seqlens", cu_seqlens, shape.keys);
  }

 private:
  constexpr span of(index q) const {
    const auto next = std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), q);
    if (next == cu_seqlens.begin() || next == cu_seqlens.end()) return {};
    return {*(next - 1), *next};
  }
};

}  // namespace heed
