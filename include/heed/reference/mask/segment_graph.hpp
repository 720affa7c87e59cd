// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// (g_i = g_j ∧ j ≤ i) ∨ g_j ∈ src(g_i) ∨ (j < prefix ∧ j ≤ i), the segment of every token [Lk] and
/// the segments that each segment sees (Graph-KV).
inline allowed segment_graph(index lq, const indices& segment, const std::vector<indices>& sources,
                             index prefix) {
  return where(lq, static_cast<index>(segment.size()), [&](index i, index j) {
    if (i < 0) return false;
    const index own = segment[static_cast<std::size_t>(i)],
                other = segment[static_cast<std::size_t>(j)];
    bool named = false;
    for (const index s : sources[static_cast<std::size_t>(own)]) named = named || s == other;
    return (own == other && j <= i) || named || (j < prefix && j <= i);
  });
}

}  // namespace heed::reference::mask
