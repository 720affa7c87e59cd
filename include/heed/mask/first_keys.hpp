// SPDX-License-Identifier: BSL-1.0
// mask/first_keys: k < count, the keys that every query keeps.
//
//   first_keys{2}     causal{} && (window{.left = 1} || first_keys{1})
//   xx...             x....
//   xx...             xx...
//   xx...             xxx..
//   xx...             x.xx.
//   xx...             x..xx
//
// Alone it is not causal. The right-hand mask is StreamingLLM (Xiao et al., Efficient streaming
// language models with attention sinks). Throws if count is negative.
// StreamingLLM, Xiao et al. 2023.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>

namespace heed {

struct first_keys {
  index count = 1;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const { return at.k < count; }
  template <class At> auto vector(const At& at) const {
    return lanewise(at, at.k < static_cast<decltype(at.k)>(count));
  }
  template <class F> constexpr void intervals(const position&, index keys, F emit) const {
    const span s{0, std::min(count, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape&) const {
    if (count < 0)
      check::fail("heed::first_keys", "count must not be negative: " + std::to_string(count));
  }
};

}  // namespace heed
