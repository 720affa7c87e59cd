// SPDX-License-Identifier: BSL-1.0
// mask/prefix: prefix language model, k <= q or k < count[b].
//
//   count[b] = 3
//   xxx..
//   xxx..
//   xxx..
//   xxxx.
//   xxxxx
//
// count [B], or one for all, borrowed for the call; in plan/varlen it is [sequences]. One span a
// query. Raffel et al., Exploring the limits of transfer learning (T5).
// Throws if count has another size or a negative entry.
// T5, Raffel et al. 2019.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <span>

namespace heed {

struct prefix {
  std::span<const int> count{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const { return at.k <= at.q || at.k < of(at.b); }
  template <class At> auto vector(const At& at) const {
    return lanewise(at,
                    (at.q >= at.k) | lanewise(at, at.k < static_cast<decltype(at.k)>(of(at.b))));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min(std::max(at.q + 1, of(at.b)), keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape& shape) const {
    if (count.size() != 1 && index(count.size()) != shape.batch)
      check::fail("heed::prefix", "count must hold one entry, or one a batch item: " +
                                      std::to_string(count.size()) + " entries, batch " +
                                      std::to_string(shape.batch));
    for (std::size_t b = 0; b < count.size(); ++b)
      if (count[b] < 0)
        check::fail("heed::prefix", "count must not be negative: count[" + std::to_string(b) +
                                        "] = " + std::to_string(count[b]));
  }

 private:
  constexpr index of(index b) const {
    return count[count.size() == 1 ? 0 : static_cast<std::size_t>(b)];
  }
};

}  // namespace heed
