// SPDX-License-Identifier: BSL-1.0
// mask/lengths: padding. k < keys[b], and query row < queries[b] where queries are given.
//
//   keys[b] = 3, queries[b] = 2
//   xxx..
//   xxx..
//   .....
//
// keys and queries [B], borrowed for the call; empty means: no padding on that side. Rows past the
// end give zeros and lse = -inf. Rows count from the start of the tensor, whatever position they
// have. A padding mask over a batch of one length is plan/varlen without the padding.
// Throws if an array has not B entries or a length is negative or longer than its axis.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <span>

namespace heed {

struct lengths {
  std::span<const int> keys{};
  std::span<const int> queries{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return seen(at) && (keys.empty() || at.k < keys[static_cast<std::size_t>(at.b)]);
  }
  template <class F> constexpr void intervals(const position& at, index count, F emit) const {
    if (!seen(at)) return;
    const span s{
        0, keys.empty() ? count : std::min<index>(keys[static_cast<std::size_t>(at.b)], count)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape& shape) const {
    check_one("keys", keys, shape.batch, shape.keys);
    check_one("queries", queries, shape.batch, shape.queries);
  }

 private:
  constexpr bool seen(const position& at) const {
    return queries.empty() || at.row < queries[static_cast<std::size_t>(at.b)];
  }
  static void check_one(const std::string& name, std::span<const int> of, index batch, index most) {
    if (of.empty()) return;
    if (index(of.size()) != batch)
      check::fail("heed::lengths",
                  name + " must hold one length a batch item: " + std::to_string(of.size()) +
                      " lengths, batch " + std::to_string(batch));
    for (std::size_t b = 0; b < of.size(); ++b)
      if (of[b] < 0 || of[b] > most)
        check::fail("heed::lengths", name + "[" + std::to_string(b) +
                                         "] = " + std::to_string(of[b]) + " must lie in 0 .. " +
                                         std::to_string(most));
  }
};

}  // namespace heed
