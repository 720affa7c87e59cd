// SPDX-License-Identifier: BSL-1.0
// kv/rerotate: keys that a rope has turned already come to sit elsewhere, K <- R(Δpos) K. Rotations
// compose, so nothing has to be computed again for documents that move or a context that shifts.
//
//   heed::rerotate(cache, turn, b, {first, last}, by);      // a segment moves by `by` positions
//
//   cache.evict(b, kept);                // a context that is full loses its middle,
//   heed::rerotate(cache, turn, b);      // and the rest moves together
//
// For contiguous and paged caches whose keys are float, double, half or bfloat16; sixteen-bit keys
// are rounded once more each time. Shared pages are copied first. O(tokens) rows. Throws
// std::invalid_argument on codes, on tokens that are not there, where a rope turns more channels
// than keys have or goes by ids, and where the pool has no page for a copy.
// Graph-KV, Wang et al. 2025.
#pragma once

#include <heed/kv/placed.hpp>
#include <heed/position/rope.hpp>

namespace heed {
namespace detail {

inline void check_turn(const rope& turn, index depth) {
  turn.by.check("heed::rerotate", depth);
  if (turn.ids.data)
    check::fail("heed::rerotate", "a rope with ids does not go by positions in the cache");
}

}  // namespace detail

// Tokens [begin, end) of sequence b turn by `positions`. Where tokens are, as masks see it, stays.
template <class Pages>
void rerotate(placed_kv<Pages>& cache, const rope& turn, index b, span tokens, index positions) {
  detail::check_turn(turn, cache.depth());
  cache.rewrite_keys("heed::rerotate", b, tokens,
                     [&](index, index, auto* row) { turn.advance(row, positions); });
}

// Every token of sequence b moves from its position to its index: as if nothing but the tokens that
// are left had ever been appended.
template <class Pages> void rerotate(placed_kv<Pages>& cache, const rope& turn, index b) {
  detail::check_turn(turn, cache.depth());
  index first = 0;
  const index n = b >= 0 && b < cache.batch() ? cache.length(b) : 0;
  const auto by = [&](index h, index t) {
    const index* const places = cache.places(b, h);
    return places ? t - places[t] : 0;
  };
  const auto stays = [&](index t) {
    for (index h = 0; h < cache.heads(); ++h)
      if (by(h, t) != 0) return false;
    return true;
  };
  while (first < n && stays(first)) ++first;
  cache.rewrite_keys("heed::rerotate", b, {first, n}, [&](index h, index t, auto* row) {
    if (const index moves = by(h, t)) turn.advance(row, moves);
  });
  cache.renumber(b);
}

}  // namespace heed
