// SPDX-License-Identifier: BSL-1.0
// One axis of a neighbourhood: the keys that a query sees along it.
//
// Tokens i with the same i mod dilation form a group and meet nobody else; within it, a query sees
// `window` keys around the leader of its `stride` queries, shifted inwards at the ends, or, causal,
// those of the window that do not lie behind it.
#pragma once

#include <algorithm>
#include <heed/core/position.hpp>

namespace heed {

struct neighborhood_axis {
  index size = 0;  // tokens
  index window = 0;
  index stride = 1, dilation = 1;
  bool causal = false;

  // Tokens of the group of token `i`, or of its first `dilation` tokens.
  constexpr index group_size(index i) const {
    return (size - i % dilation + dilation - 1) / dilation;
  }
  // What the `i`-th of `count` tokens of a group sees, counted within the group.
  constexpr span keys(index i, index count) const {
    const index leader =
        std::min(i / stride * stride + (causal ? stride - 1 : stride / 2), count - 1);
    if (causal) return {std::max<index>(leader - window + 1, 0), i + 1};
    const index first = std::clamp<index>(leader - window / 2, 0, count - window);
    return {first, first + window};
  }
  // Which of them see the `i`-th, where the stride is 1.
  constexpr span queries(index i, index count) const {
    if (causal) return {i, std::min(i + window, count)};
    return {i < window ? 0 : i - window + 1 + window / 2,
            i < count - window ? std::min(i + window / 2 + 1, count) : count};
  }
  // Whether token q sees token k.
  constexpr bool sees(index q, index k) const {
    if (q % dilation != k % dilation) return false;
    const span seen = keys(q / dilation, group_size(q));
    return seen.begin <= k / dilation && k / dilation < seen.end;
  }
};

}  // namespace heed
