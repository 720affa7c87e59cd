// SPDX-License-Identifier: BSL-1.0
// Masks by lists of blocks: which blocks of keys the rows of a block of queries may see.
//
// Such a mask answers as any other, and has in addition
//   index block_rows() const, block_keys() const;   // rows and keys a block; the last is shorter
//   index block_heads() const;                      // query heads in a row that share lists
//   template <class F> void key_blocks(index b, index h, index row_block, F emit) const;
//   const auto& inside() const;                     // what to ask within blocks of cover `some`
// emit(key block, cover) in ascending order; blocks that are not given hide all their keys. Drivers
// walk the lists and never ask about the rest.
#pragma once

#include <heed/mask/concept.hpp>

namespace heed {

template <class M>
concept lists_blocks = mask<M> && requires(const M& m, index i, void (*emit)(index, cover)) {
  { m.block_rows() } -> std::convertible_to<index>;
  { m.block_keys() } -> std::convertible_to<index>;
  { m.block_heads() } -> std::convertible_to<index>;
  requires mask<std::remove_cvref_t<decltype(m.inside())>>;
  m.key_blocks(i, i, i, emit);
};

namespace detail {

// The spans of listed blocks, those that touch joined: `walk(each)` calls each(block) in order.
template <class Walk, class F>
constexpr void spans_of_blocks(index size, index keys, Walk walk, F emit) {
  span run{};
  walk([&](index block) {
    const index begin = block * size, end = begin + size < keys ? begin + size : keys;
    if (!run.empty() && begin == run.end)
      run.end = end;
    else {
      if (!run.empty()) emit(run);
      run = {begin, end};
    }
  });
  if (!run.empty()) emit(run);
}

}  // namespace detail

}  // namespace heed
