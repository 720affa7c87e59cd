// SPDX-License-Identifier: BSL-1.0
// neighborhood/simulate: how many tiles a kernel that works tile by tile visits on a grid, before
// it is run.
//
//   simulate(neighborhood<2>{{64, 64}, {16, 16}, {8, 8}}, {8, 8}, {8, 8}).speedup()
//
// Tiles of queries and of keys are boxes, cut apart in each group of a dilation; a pair of tiles is
// visited if some query of the one sees some key of the other. What is left of the tiles at the
// ends of an axis costs as much as a whole one. Perfectly block-sparse means that nothing of a
// visit goes to waste. That needs a tile_kv that divides the window, and it is so where tile_q
// divides the stride, tile_kv stride, window and window/2 - stride/2 (windows then begin at tiles),
// and these the axis. O(sum of the sizes). Hassani et al., Generalized Neighborhood Attention.
// Generalized neighbourhood attention, Hassani et al. 2025.
#pragma once

#include <heed/neighborhood/natten.hpp>

namespace heed {

struct neighborhood_tiles {
  index visited = 0, dense = 0;  // pairs of tiles; `dense`: of attention to everything
  index pairs = 0;               // of a query and a key that it sees
  index tile_pairs = 0;          // of queries and keys in a pair of tiles

  // No more than this over attention to everything by the same tiles.
  double speedup() const { return double(dense) / double(visited); }
  // Of what is computed, the share that counts.
  double useful() const { return double(pairs) / (double(visited) * double(tile_pairs)); }
  bool perfect() const { return visited * tile_pairs == pairs; }
};

template <int N>
neighborhood_tiles simulate(const neighborhood<N>& grid,
                            const typename neighborhood<N>::sizes& tile_q,
                            const typename neighborhood<N>::sizes& tile_kv) {
  const index tokens = grid.tokens();
  grid.check({.queries = tokens, .keys = tokens});
  for (std::size_t n = 0; n < N; ++n)
    if (tile_q[n] < 1 || tile_kv[n] < 1)
      check::fail("heed::simulate", "axis " + std::to_string(n) +
                                        " has tiles below 1: " + std::to_string(tile_q[n]) +
                                        " and " + std::to_string(tile_kv[n]));
  neighborhood_tiles all{1, 1, 1, 1};
  for (std::size_t n = 0; n < N; ++n) {
    const neighborhood_axis a = grid.axis(static_cast<int>(n));
    const auto tiles = [](index length, index tile) {
      return length / tile + (length % tile != 0);
    };
    index visited = 0, pairs = 0;
    for (index group = 0; group < a.dilation; ++group) {
      const index count = a.group_size(group);
      for (index first = 0; first < count; first += tile_q[n]) {
        // What consecutive queries see is one run.
        span seen = a.keys(first, count);
        for (index i = first; i < std::min(first + tile_q[n], count); ++i) {
          const span each = a.keys(i, count);
          seen = {std::min(seen.begin, each.begin), std::max(seen.end, each.end)};
          pairs += each.size();
        }
        visited += tiles(seen.end, tile_kv[n]) - seen.begin / tile_kv[n];
      }
    }
    all.visited *= visited, all.pairs *= pairs;
    all.dense *= tiles(a.size, tile_q[n]) * tiles(a.size, tile_kv[n]);
    all.tile_pairs *= tile_q[n] * tile_kv[n];
  }
  return all;
}

}  // namespace heed
