// SPDX-License-Identifier: BSL-1.0
// Which rows of queries meet which rows of keys: lists of both, what selectors of tokens make
// (`row_selection`) and `attend_lists` reads (`row_lists`, borrowed).
//
// List i has the queries queries[query_offsets[i]] … and the keys keys[key_offsets[i]] …, both
// ascending; every query of a list sees the keys of the same list that the mask leaves. Each item
// of the batch and query head has as many lists as any other, in this order. A token may be on
// several lists of a head, or on none.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/policy.hpp>
#include <span>
#include <vector>

namespace heed {

struct row_lists {
  std::span<const index> query_offsets{};
  std::span<const int> queries{};
  std::span<const index> key_offsets{};
  std::span<const int> keys{};
  index batch = 1, heads = 1;  // 1: the same lists for all

  constexpr index count() const { return index(query_offsets.size()) - 1; }
  constexpr index each() const { return batch * heads > 0 ? count() / (batch * heads) : 0; }
  constexpr index first(index b, index h) const {
    return ((batch == 1 ? 0 : b) * heads + (heads == 1 ? 0 : h)) * each();
  }
  constexpr std::span<const int> queries_of(index i) const {
    return piece(queries, query_offsets, i);
  }
  constexpr std::span<const int> keys_of(index i) const { return piece(keys, key_offsets, i); }

  // Names the first list that breaks a rule.
  void check(const char* operation, const problem_shape& shape) const {
    if ((batch != 1 && batch != shape.batch) || (heads != 1 && heads != shape.heads))
      check::fail(operation, "lists must be for 1 or all items and for 1 or all query heads: " +
                                 std::to_string(batch) + " and " + std::to_string(heads));
    if (query_offsets.empty() || key_offsets.size() != query_offsets.size() ||
        count() != batch * heads * each())
      check::fail(operation, "items and heads must have as many lists as each other, of queries " +
                                 std::to_string(query_offsets.size()) + " offsets, of keys " +
                                 std::to_string(key_offsets.size()));
    side(operation, "queries", query_offsets, queries, shape.queries);
    side(operation, "keys", key_offsets, keys, shape.keys);
  }

 private:
  static constexpr std::span<const int> piece(std::span<const int> rows,
                                              std::span<const index> offsets, index i) {
    const auto at = static_cast<std::size_t>(i);
    return rows.subspan(static_cast<std::size_t>(offsets[at]),
                        static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
  }
  void side(const char* operation, const char* name, std::span<const index> offsets,
            std::span<const int> rows, index length) const {
    if (offsets.front() != 0 || offsets.back() != index(rows.size()))
      check::fail(operation, std::string("offsets of ") + name + " must go from 0 to " +
                                 std::to_string(rows.size()));
    for (index i = 0; i < count(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const auto list = [&] { return std::string("list ") + std::to_string(i) + " of " + name; };
      if (offsets[at] > offsets[at + 1] || offsets[at + 1] > index(rows.size()))
        check::fail(operation, list() + ": offsets must not decrease");
      index before = -1;
      for (const int row : piece(rows, offsets, i)) {
        if (row <= before || row >= length)
          check::fail(operation, list() + " must ascend without repeats within " +
                                     std::to_string(length) + " rows: " + std::to_string(row) +
                                     " after " + std::to_string(before));
        before = row;
      }
    }
  }
};

// Lists that own their memory; with `shared` keys are listed as queries are.
struct row_selection {
  std::vector<index> query_offsets{0}, key_offsets{};
  std::vector<int> queries{}, keys{};
  index batch = 1, heads = 1;
  bool shared = true;

  row_lists lists() const {
    if (shared) return {query_offsets, queries, query_offsets, queries, batch, heads};
    return {query_offsets, queries, key_offsets, keys, batch, heads};
  }
};

}  // namespace heed
