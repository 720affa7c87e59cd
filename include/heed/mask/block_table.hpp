// SPDX-License-Identifier: BSL-1.0
// What block_map is made of: cuts of rows and keys into blocks, and compressed rows of blocks with
// their covers.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/executor.hpp>
#include <heed/mask/concept.hpp>
#include <limits>
#include <span>
#include <vector>

namespace heed {

// Blocks of one size, the last ones shorter. `heads` and `batch` say how many lists are kept: 1
// where the mask is the same for all of them, those of the call where it is not, and a divisor of
// the query heads where neighbours share a list, which is then that of the first of them.
struct block_size {
  index rows = 128, keys = 128;
  index heads = 1, batch = 1;
};
// Blocks between ascending offsets, from 0 to the queries and the keys of the call.
struct block_bounds {
  std::vector<index> rows, keys;
  index heads = 1, batch = 1;
};
// Lists of the caller's: list r, in the order of batch item, head of lists and block of rows, holds
// blocks[offsets[r]] … blocks[offsets[r + 1] - 1], ascending. A block of cover `all` is seen whole,
// whatever the mask says; without covers the mask is asked inside every block.
struct block_csr {
  std::span<const index> offsets{};
  std::span<const int> blocks{};
  std::span<const cover> covers{};
};

namespace detail {

struct even_cuts {
  index size = 1, length = 0;

  constexpr index count() const { return (length + size - 1) / size; }
  constexpr span at(index i) const { return {i * size, std::min((i + 1) * size, length)}; }
  constexpr index find(index i) const { return i / size; }
};
struct uneven_cuts {
  std::vector<index> offsets{0};

  index count() const { return index(offsets.size()) - 1; }
  span at(index i) const {
    return {offsets[static_cast<std::size_t>(i)], offsets[static_cast<std::size_t>(i) + 1]};
  }
  index find(index i) const {
    return std::upper_bound(offsets.begin(), offsets.end(), i) - offsets.begin() - 1;
  }
};
inline even_cuts cuts(const char* name, index size, index length) {
  if (size < 1)
    check::fail("heed::block_map",
                std::string(name) + " of a block must be at least 1: " + std::to_string(size));
  return {size, length};
}
inline uneven_cuts cuts(const char* name, std::vector<index> offsets, index length) {
  const auto broken = [&](const std::string& rule) {
    check::fail("heed::block_map", "bounds of " + std::string(name) + ' ' + rule);
  };
  if (offsets.empty() || offsets.front() != 0) broken("must start at 0");
  for (std::size_t i = 1; i < offsets.size(); ++i)
    if (offsets[i] <= offsets[i - 1])
      broken("must ascend: " + std::to_string(offsets[i]) + " after " +
             std::to_string(offsets[i - 1]));
  if (offsets.back() != length)
    broken("must end at " + std::to_string(length) + ": " + std::to_string(offsets.back()));
  return {std::move(offsets)};
}

// Entries are 2 · block, and 1 more where every pair of the block is seen.
template <class Cuts> struct block_table {
  Cuts rows, keys;
  index batch = 1, heads = 1, group = std::numeric_limits<index>::max();
  problem_shape shape{};
  std::vector<index> offsets{0};
  std::vector<int> entries{};
  bool partly = false;  // whether a block is not seen whole

  template <class Size>
  block_table(const Size& size, const problem_shape& of)
      : rows(cuts("rows", size.rows, of.queries)),
        keys(cuts("keys", size.keys, of.keys)),
        batch(size.batch),
        heads(size.heads),
        shape(of) {
    const auto want = [&](bool holds, const char* rule, index is) {
      if (!holds) check::fail("heed::block_map", std::string(rule) + ": " + std::to_string(is));
    };
    want(batch == 1 || (batch > 1 && batch == of.batch),
         "lists must be for 1 item or for each of the batch", batch);
    want(heads == 1 || (heads > 1 && of.heads % heads == 0),
         "heads of lists must be 1 or divide the query heads", heads);
    want(keys.count() < std::numeric_limits<int>::max() / 2, "there are too many blocks",
         keys.count());
    if (heads > 1) group = std::max<index>(1, of.heads / heads);
  }

  index count() const { return batch * heads * rows.count(); }
  index list_of(index b, index h, index row_block) const {
    return ((batch == 1 ? 0 : b) * heads + (heads == 1 ? 0 : h / group)) * rows.count() + row_block;
  }
  std::span<const int> list(index i) const {
    const auto at = static_cast<std::size_t>(i);
    return std::span(entries).subspan(static_cast<std::size_t>(offsets[at]),
                                      static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
  }
  void append(std::span<const int> more) {
    entries.insert(entries.end(), more.begin(), more.end());
    offsets.push_back(index(entries.size()));
    for (const int entry : more) partly |= (entry & 1) == 0;
  }

  // Pairs of a list's blocks.
  index pairs(index i) const {
    index sum = 0;
    for (const int entry : list(i)) sum += keys.at(entry / 2).size();
    return sum * rows.at(i % rows.count()).size();
  }

  void copy(const block_csr& from, bool asks) {
    const auto broken = [](const std::string& rule) { check::fail("heed::block_map", rule); };
    if (index(from.offsets.size()) != count() + 1 || from.offsets.front() != 0 ||
        from.offsets.back() != index(from.blocks.size()))
      broken("offsets must go from 0 to the number of blocks, " +
             std::to_string(from.blocks.size()) + ", over " + std::to_string(count()) +
             " lists: there are " + std::to_string(from.offsets.size()) + " offsets");
    if (!from.covers.empty() && from.covers.size() != from.blocks.size())
      broken("there must be a cover for each of the " + std::to_string(from.blocks.size()) +
             " blocks: " + std::to_string(from.covers.size()));
    std::vector<int> one;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count()); ++i) {
      const index begin = from.offsets[i], end = from.offsets[i + 1];
      if (begin > end || end > index(from.blocks.size()))
        broken("offsets must not decrease, first broken at list " + std::to_string(i));
      index before = -1;
      one.clear();
      for (auto j = static_cast<std::size_t>(begin); j < static_cast<std::size_t>(end); ++j) {
        const int block = from.blocks[j];
        if (block <= before || block >= keys.count())
          broken("list " + std::to_string(i) + " must ascend without repeats within " +
                 std::to_string(keys.count()) + " blocks: " + std::to_string(block) + " after " +
                 std::to_string(before));
        before = block;
        const cover of = from.covers.empty() ? (asks ? cover::some : cover::all) : from.covers[j];
        if (of != cover::none) one.push_back(2 * block + (of == cover::all));
      }
      append(one);
    }
  }
};

}  // namespace detail

}  // namespace heed
