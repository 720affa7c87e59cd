// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// ⌊i / c⌋, towards −∞.
inline index chunk_of(index i, index c) { return i >= 0 ? i / c : -((-i + c - 1) / c); }

/// Same chunk, ⌊i/c⌋ = ⌊j/c⌋ (Ma et al., Mega: Mega-chunk), query row r at i = r + offset.
inline allowed chunk(index lq, index lk, index c, index offset) {
  return where(lq, lk, offset, [=](index i, index j) { return chunk_of(i, c) == chunk_of(j, c); });
}

/// The own chunk and the one before it: ⌊j/c⌋ ∈ {⌊i/c⌋ − 1, ⌊i/c⌋}.
inline allowed chunk_with_previous(index lq, index lk, index c, index offset) {
  return where(lq, lk, offset, [=](index i, index j) {
    const index behind = chunk_of(i, c) - chunk_of(j, c);
    return behind == 0 || behind == 1;
  });
}

/// Block causal, ⌊j/c⌋ ≤ ⌊i/c⌋ (block diffusion and frame models).
inline allowed block_causal(index lq, index lk, index c, index offset) {
  return where(lq, lk, offset, [=](index i, index j) { return chunk_of(j, c) <= chunk_of(i, c); });
}

inline allowed chunk(index lq, index lk, index c) { return chunk(lq, lk, c, bottom_right(lq, lk)); }
inline allowed chunk_with_previous(index lq, index lk, index c) {
  return chunk_with_previous(lq, lk, c, bottom_right(lq, lk));
}
inline allowed block_causal(index lq, index lk, index c) {
  return block_causal(lq, lk, c, bottom_right(lq, lk));
}

}  // namespace heed::reference::mask
