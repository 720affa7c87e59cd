// SPDX-License-Identifier: BSL-1.0
// Lists of blocks turned around: for each block of keys, which lists of some rows name it.
//
// A range of blocks of rows of one kv head has a list for each block of rows and each set of query
// heads that share lists; its lanes are (query head, row) pairs, those of a list next to each
// other.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/core/workspace.hpp>
#include <heed/mask/blocks.hpp>

namespace heed::detail {

struct list_entry {
  int list;     // of the range
  bool partly;  // some pairs of the block are hidden
};

// What lanes mean: list · (rows · heads) + row of the block · heads + head of the list.
struct lane_layout {
  index group = 1;   // query heads of the kv head
  index shared = 1;  // of them share lists
  index rows = 1;    // of a block

  constexpr index lists_per_block() const { return group / shared; }
  constexpr index lanes_per_list() const { return rows * shared; }
  constexpr index lanes_per_block() const { return rows * group; }
  constexpr index head(index lane) const {
    return lane / lanes_per_list() % lists_per_block() * shared + lane % shared;
  }
  constexpr index row(index lane) const {
    return lane / lanes_per_block() * rows + lane % lanes_per_list() / shared;
  }
};

template <class Lists> lane_layout lanes_of(const Lists& lists, index group) {
  const index heads = std::max<index>(1, std::min<index>(lists.block_heads(), group));
  return {group, group % heads == 0 ? heads : 1, lists.block_rows()};
}

// The lists of blocks of rows [blocks.begin, blocks.end), by block of keys.
template <class Lists> class turned_lists {
 public:
  turned_lists(const Lists& lists, const lane_layout& layout, index keys)
      : lists_(lists),
        layout_(layout),
        key_blocks_((keys + lists.block_keys() - 1) / lists.block_keys()) {}

  index key_blocks() const { return key_blocks_; }
  // Entries of a range: what `turn` needs room for.
  index count(index b, index kv, span blocks) const {
    index sum = 0;
    for_each(b, kv, blocks, [&](index, index, cover) { ++sum; });
    return sum;
  }
  // `first` has key_blocks() + 1 numbers: block i is named by entries [first[i], first[i + 1]), in
  // the order of the lists.
  void turn(index b, index kv, span blocks, index* first, list_entry* entries) const {
    std::fill_n(first, key_blocks_ + 1, index{0});
    for_each(b, kv, blocks, [&](index, index key, cover) { ++first[key + 1]; });
    for (index i = 0; i < key_blocks_; ++i) first[i + 1] += first[i];
    for_each(b, kv, blocks, [&](index list, index key, cover inside) {
      entries[first[key]++] = {static_cast<int>(list), inside != cover::all};
    });
    std::copy_backward(first, first + key_blocks_, first + key_blocks_ + 1);
    first[0] = 0;
  }

 private:
  template <class F> void for_each(index b, index kv, span blocks, F f) const {
    const index per = layout_.lists_per_block();
    for (index block = blocks.begin; block < blocks.end; ++block)
      for (index i = 0; i < per; ++i)
        lists_.key_blocks(b, kv * layout_.group + i * layout_.shared, block,
                          [&](index key, cover inside) {
                            if (key < key_blocks_) f((block - blocks.begin) * per + i, key, inside);
                          });
  }

  const Lists& lists_;
  lane_layout layout_;
  index key_blocks_;
};

}  // namespace heed::detail
