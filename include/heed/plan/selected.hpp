// SPDX-License-Identifier: BSL-1.0
// plan/selected: each block of query rows attends to the blocks of keys on its list, and inside
// them to what another mask leaves: what every selector feeds.
//
//   lists of 2 rows, 2 keys: {0}, {0, 1}, {0, 2}; causal inside
//   x.....
//   xx....
//   xxx...
//   xxxx..
//   xx..x.
//   xx..xx
//
// It is a mask, so every other policy goes with it, forward and backward; drivers read the lists.
// Lists are borrowed for the call and count tensor rows and key positions. Throws
// std::invalid_argument if a list is out of order or of range, naming it. Cost: the pairs that are
// listed, and one reading of the lists.
#pragma once

#include <heed/mask/blocks.hpp>
#include <heed/plan/block_lists.hpp>

namespace heed {

template <mask Inside = full> struct selected {
  block_lists lists{};
  Inside mask{};

  static constexpr bool exact = exact_mask<Inside>();
  constexpr bool is_exact() const { return heed::is_exact(mask); }

  constexpr bool operator()(const position& at) const {
    const auto list = lists(at.b, at.h, at.row / lists.rows);
    return std::binary_search(list.begin(), list.end(), static_cast<int>(at.k / lists.keys)) &&
           mask(at);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const auto list = lists(at.b, at.h, at.row / lists.rows);
    const auto walk = [&](auto each) {
      for (const int block : list)
        if (block * lists.keys < keys) each(index{block});
    };
    if constexpr (std::is_same_v<Inside, full>)
      detail::spans_of_blocks(lists.keys, keys, walk, emit);
    else
      detail::spans_of_blocks(lists.keys, keys, walk, [&](span run) {
        heed::intervals(mask, at, keys, [&](span seen) {
          const span s{std::max(run.begin, seen.begin), std::min(run.end, seen.end)};
          if (!s.empty()) emit(s);
        });
      });
  }

  constexpr index block_rows() const { return lists.rows; }
  constexpr index block_keys() const { return lists.keys; }
  constexpr index block_heads() const { return lists.shared_heads(); }
  constexpr const Inside& inside() const { return mask; }
  template <class F> constexpr void key_blocks(index b, index h, index row_block, F emit) const {
    for (const int block : lists(b, h, row_block))
      emit(index{block}, std::is_same_v<Inside, full> ? cover::all : cover::some);
  }
  void check(const problem_shape& shape) const {
    lists.check("heed::selected", shape);
    check_policy(mask, shape);
  }
};

template <mask Inside> selected(block_lists, Inside) -> selected<Inside>;
selected(block_lists) -> selected<full>;

}  // namespace heed
