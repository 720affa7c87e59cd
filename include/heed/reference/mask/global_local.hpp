// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/core/counter.hpp>
#include <heed/reference/mask/chunk.hpp>
#include <heed/reference/mask/strided.hpp>

namespace heed::reference::mask {

/// ∣i − j∣ ≤ w · step in steps, or i or j global (Beltagy et al., Longformer).
inline allowed longformer(index lq, index lk, index w, index step, const indices& global) {
  const auto is_global = [&](index i) {
    for (const index g : global)
      if (g == i) return true;
    return false;
  };
  const allowed local = dilated_window(lq, lk, w, w, step);
  return where(lq, lk, [&](index i, index j) {
    return local(i - bottom_right(lq, lk), j) || is_global(i) || is_global(j);
  });
}

/// The random blocks of one block row: n of those that are neither global nor in its window of w,
/// each draw one of what is left.
inline indices random_blocks(index lk, index b, index w, index g, index n, std::uint64_t seed,
                             index head, index row) {
  indices left, drawn;
  for (index k = g; k * b < lk; ++k)
    if (k < row - w / 2 || k > row + w / 2) left.push_back(k);
  for (index i = 0; i < n && !left.empty(); ++i) {
    const double share =
        counter::of_pair(counter::of_row(seed, 0, head, row), counter::of_key(seed, i)) * 0x1p-32;
    const auto at = left.begin() + static_cast<index>(share * static_cast<double>(left.size()));
    drawn.push_back(*at);
    left.erase(at);
  }
  return drawn;
}

/// Blocks of b: a window of w, the first g as rows and as columns, and n random ones a block row
/// (Zaheer et al., BigBird, internal construction).
inline allowed bigbird(index lq, index lk, index b, index w, index g, index n, std::uint64_t seed,
                       index head) {
  std::vector<indices> random;
  for (index row = 0; row * b < lk; ++row)
    random.push_back(random_blocks(lk, b, w, g, n, seed, head, row));
  return where(lq, lk, [&](index i, index j) {
    const index row = chunk_of(i, b), column = j / b;
    if ((0 <= row && row < g) || column < g) return true;
    if (row - column <= w / 2 && column - row <= w / 2) return true;
    if (row < 0) return false;
    for (const index k : random.at(static_cast<std::size_t>(row)))
      if (k == column) return true;
    return false;
  });
}

}  // namespace heed::reference::mask
