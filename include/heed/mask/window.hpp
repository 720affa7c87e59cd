// SPDX-License-Identifier: BSL-1.0
// mask/window: q - left <= k <= q + right; right = 0, the default, is the causal window.
//
//   window{.left = 1}          window{.left = 1, .right = 1}
//   x....                      xx...
//   xx...                      xxx..
//   .xx..                      .xxx.
//   ..xx.                      ..xxx
//   ...xx                      ...xx
//
// One span a query: the cost of a call grows with Lq · (left + right + 1). Beside a window, global
// keys are `window{…} || first_keys{n}`. Longformer (Beltagy et al.), Mistral; StreamingLLM.
// Throws if a side is negative.
// Longformer, Beltagy et al. 2020; Mistral, Jiang et al. 2023.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <limits>

namespace heed {

struct window {
  static constexpr index unbounded = std::numeric_limits<index>::max() / 4;

  index left = unbounded;
  index right = 0;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    return at.q - left <= at.k && at.k <= at.q + right;
  }
  template <class At> auto vector(const At& at) const {
    using T = decltype(at.k);
    const auto behind = at.q - at.k;
    return lanewise(at, (behind <= static_cast<T>(left)) & (behind >= static_cast<T>(-right)));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{std::max<index>(0, at.q - left), std::min(at.q + right + 1, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape&) const {
    if (left < 0 || right < 0)
      check::fail("heed::window", "left and right must not be negative: left = " +
                                      std::to_string(left) + ", right = " + std::to_string(right));
    if (left > unbounded || right > unbounded)
      check::fail("heed::window", "left and right must be at most window::unbounded");
  }
};

}  // namespace heed
