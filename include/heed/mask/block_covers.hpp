// SPDX-License-Identifier: BSL-1.0
// The blocks of any mask: which of them hold a pair that is seen, and which hold nothing else.
//
// Spans are counted once a row, whole blocks of a span at once; what they leave open the mask
// settles by itself or is asked pair by pair, up to the first pair that decides.
#pragma once

#include <heed/mask/block_table.hpp>

namespace heed::detail {

template <mask M>
cover asked(const M& m, const block& x, const problem_shape& shape, bool may_be_all) {
  bool any = false, every = may_be_all;
  for (index q = x.q.begin; q < x.q.end; ++q)
    for (index k = x.k.begin; k < x.k.end; ++k) {
      const bool seen = m(position{x.b, x.h, q, k, q - shape.offset, k});
      any |= seen, every &= seen;
      if (any && !every) return cover::some;
    }
  return !any ? cover::none : every ? cover::all : cover::some;
}

// The list of one block of rows.
template <mask M, class Cuts>
std::vector<int> covered(const M& m, const block_table<Cuts>& table, index b, index h, span rows) {
  const index count = table.keys.count(), keys = table.shape.keys, offset = table.shape.offset;
  struct tally {
    index pairs = 0;  // of rows that see a part of the block
    index rows = 0;   // that see the whole block, as a difference to the block before
  };
  std::vector<tally> seen(static_cast<std::size_t>(count) + 1);
  const auto at = [&](index i) -> tally& { return seen[static_cast<std::size_t>(i)]; };
  for (index row = rows.begin; row < rows.end; ++row)
    intervals(m, {.b = b, .h = h, .q = row + offset, .row = row}, keys, [&](span s) {
      const index first = table.keys.find(s.begin), last = table.keys.find(s.end - 1);
      if (first == last) {
        at(first).pairs += s.size();
        return;
      }
      at(first).pairs += table.keys.at(first).end - s.begin;
      at(last).pairs += s.end - table.keys.at(last).begin;
      ++at(first + 1).rows, --at(last).rows;
    });
  std::vector<int> list;
  const bool exact = is_exact(m);
  index whole = 0;
  for (index i = 0; i < count; ++i) {
    whole += at(i).rows;
    const span k = table.keys.at(i);
    const index pairs = at(i).pairs + whole * k.size();
    if (pairs == 0) continue;
    const bool full = pairs == rows.size() * k.size();
    const block x{b, h, {rows.begin + offset, rows.end + offset}, k};
    cover of = known(m, x);
    if (of == cover::some)
      of = !exact ? asked(m, x, table.shape, full) : full ? cover::all : cover::some;
    if (of != cover::none) list.push_back(static_cast<int>(2 * i + (of == cover::all)));
  }
  return list;
}

template <mask M, class Cuts>
void fill(block_table<Cuts>& table, const M& m, const executor_ref& executor) {
  const index lists = table.count(), blocks = table.rows.count();
  std::vector<std::vector<int>> found(static_cast<std::size_t>(lists));
  executor.for_each(lists, [&](index i, index) {
    const index head = i / blocks % table.heads;
    found[static_cast<std::size_t>(i)] =
        covered(m, table, i / blocks / table.heads, table.heads == 1 ? 0 : head * table.group,
                table.rows.at(i % blocks));
  });
  for (const std::vector<int>& list : found) table.append(list);
}

}  // namespace heed::detail
