// SPDX-License-Identifier: BSL-1.0
// Which blocks of keys each block of query rows attends to: compressed rows of block numbers. What
// selectors make (`block_selection`) and what `plan/selected` reads (`block_lists`, borrowed).
//
// There is one list for each item of the batch, head of lists and block of query rows, in this
// order: list r holds blocks[offsets[r]] … blocks[offsets[r + 1] - 1], ascending. Query heads
// h · group … (h + 1) · group - 1 share the lists of head h. With `keys` = 1 blocks are tokens.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/policy.hpp>
#include <limits>
#include <span>
#include <vector>

namespace heed {

struct block_lists {
  std::span<const index> offsets{};
  std::span<const int> blocks{};
  index batch = 1, heads = 1;  // 1: the same lists for all
  index group = 1;             // query heads that share a head of lists
  index rows = 1, keys = 1;    // query rows and keys a block

  constexpr index count() const { return std::max<index>(0, index(offsets.size()) - 1); }
  constexpr index shared_heads() const {
    return heads == 1 ? std::numeric_limits<index>::max() : group;
  }
  constexpr index row_blocks() const { return batch * heads > 0 ? count() / (batch * heads) : 0; }
  constexpr index list_of(index b, index h, index row_block) const {
    const index item = batch == 1 ? 0 : b, head = heads == 1 ? 0 : h / group;
    return (item * heads + head) * row_blocks() + row_block;
  }
  constexpr std::span<const int> list(index i) const {
    const auto at = static_cast<std::size_t>(i);
    return blocks.subspan(static_cast<std::size_t>(offsets[at]),
                          static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
  }
  constexpr std::span<const int> operator()(index b, index h, index row_block) const {
    return list(list_of(b, h, row_block));
  }

  // Names the first list that breaks a rule.
  void check(const char* policy, const problem_shape& shape) const {
    const auto want = [&](bool holds, const char* rule, index is) {
      if (!holds) check::fail(policy, std::string(rule) + ": " + std::to_string(is));
    };
    want(rows >= 1, "rows of a block must be at least 1", rows);
    want(keys >= 1, "keys of a block must be at least 1", keys);
    want(batch == 1 || batch == shape.batch, "lists must be for 1 item or for each of the batch",
         batch);
    want(heads == 1 || heads * group == shape.heads,
         "heads of lists times group must be 1 or the query heads", heads * group);
    const index row_blocks = block_count(shape.queries, rows),
                key_blocks = block_count(shape.keys, keys);
    want(count() == batch * heads * row_blocks,
         "there must be a list for each item, head and block of query rows", count());
    if (offsets.empty()) return;
    want(offsets.front() == 0, "offsets must start at 0", offsets.front());
    want(offsets.back() == index(blocks.size()), "offsets must end at the number of blocks",
         offsets.back());
    for (index i = 0; i < count(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      want(offsets[at] <= offsets[at + 1] && offsets[at + 1] <= index(blocks.size()),
           "offsets must not decrease, first broken at list", i);
      index before = -1;
      for (const int block : list(i)) {
        if (block <= before || block >= key_blocks)
          check::fail(policy, "list " + std::to_string(i) + " must ascend without repeats within " +
                                  std::to_string(key_blocks) + " blocks: " + std::to_string(block) +
                                  " after " + std::to_string(before));
        before = block;
      }
    }
  }
};

// Lists that own their memory.
struct block_selection {
  std::vector<index> offsets{0};
  std::vector<int> blocks{};
  index batch = 1, heads = 1, group = 1, rows = 1, keys = 1;

  block_lists lists() const { return {offsets, blocks, batch, heads, group, rows, keys}; }
};

}  // namespace heed
