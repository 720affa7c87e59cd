// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// Token i [n] and those above it, by walking from parent to parent; −1 is above a root.
inline allowed ancestors(const indices& parents) {
  const auto n = static_cast<index>(parents.size());
  return where(n, n, [&](index i, index j) {
    while (i != -1 && i != j) i = parents[static_cast<std::size_t>(i)];
    return i == j;
  });
}

/// A draft whose first token sits at position `first` (Miao et al., SpecInfer): a token of it sees
/// every position before `first` and its ancestors; before `first` attention is causal. Positions
/// past the draft see nothing and are not seen.
inline allowed tree(index lq, index lk, const indices& parents, index first) {
  const auto n = static_cast<index>(parents.size());
  const allowed above = ancestors(parents);
  return where(lq, lk, [&](index i, index j) {
    if (i < first) return j <= i;
    if (i >= first + n || j >= first + n) return false;
    return j < first || above(i - first, j - first);
  });
}

/// The distance from the root.
inline indices depths(const indices& parents) {
  indices depth;
  for (const index p : parents) depth.push_back(p < 0 ? 0 : depth[static_cast<std::size_t>(p)] + 1);
  return depth;
}

/// j ≤ i ∧ id_i ≤ id_j: the subsegments of Molmo 2. ids [Lk], the Lq rows are the last positions.
inline allowed subsegments(index lq, const indices& ids) {
  return where(lq, static_cast<index>(ids.size()), [&](index i, index j) {
    return i >= 0 && j <= i && ids[static_cast<std::size_t>(i)] <= ids[static_cast<std::size_t>(j)];
  });
}

}  // namespace heed::reference::mask
