// SPDX-License-Identifier: BSL-1.0
// Moves the kept tokens of one sequence together, in place; `at(t)` says where token t lies.
//
// Rows of codes move as they are. With scales a channel the blocks from the first moved token on
// are decoded and coded once more, which may add half of a new scale to their error.
#pragma once

#include <heed/kv/store.hpp>
#include <heed/kv/tokens.hpp>

namespace heed::detail {

template <class At>
void compact_rows(const kv_rows& rows, const token_lists& keep, index first, const At& at) {
  for (index h = 0; h < rows.heads; ++h)
    for (index i = first; i < keep.size(); ++i) {
      const kv_place from = at(keep(h, i)), to = at(i);
      if (keep(h, i) != i) rows.copy(h, from.page, from.slot, to.page, to.slot);
    }
}

// A block is written when all tokens that it will hold are read: every later one lies behind it.
template <class At>
void compact_blocks(const kv_side& side, index b, const token_lists& keep, index first,
                    index length, float* block, const At& at) {
  const index width = side.rows.width;
  for (index h = 0; h < side.rows.heads; ++h) {
    for (index i = first - first % kv_block; i < keep.size(); ++i) {
      const index t = keep(h, i);
      const kv_place from = at(t), to = at(i);
      load_stored(side.at(b, h, from.page, from.slot, t >= length - length % kv_block), 0, width,
                  block + i % kv_block * width);
      if (i % kv_block == kv_block - 1)
        side.rows.write_block(to.page, h, to.slot - to.slot % kv_block, block);
    }
    std::copy_n(block, keep.size() % kv_block * width, side.open_row(b, h, 0));
  }
}

// `first`: the first kept token that moves.
template <class At>
void compact(const kv_store& store, index b, const token_lists& keep, index first, index length,
             const At& at) {
  for (const kv_side* side : {&store.keys(), &store.values()})
    if (side->rows.format.channels)
      compact_blocks(*side, b, keep, first, length, reinterpret_cast<float*>(store.buffer()), at);
    else
      compact_rows(side->rows, keep, first, at);
}

}  // namespace heed::detail
