// SPDX-License-Identifier: BSL-1.0
// Coordinates: all that a policy ever sees of a problem.
#pragma once

#include <cstddef>

namespace heed {

using index = std::ptrdiff_t;

// One (query, key) pair. `q` and `k` are positions, counted from the start of the sequence: the
// last query sits at the last key unless the call gives another offset. `row` and `slot` are the
// indices of the same query and key in the tensors of the call.
struct position {
  index b = 0, h = 0, q = 0, k = 0, row = 0, slot = 0;
};

// Half-open range of positions.
struct span {
  index begin = 0, end = 0;
  constexpr bool empty() const { return begin >= end; }
  constexpr index size() const { return empty() ? 0 : end - begin; }
  friend constexpr bool operator==(span, span) = default;
};

// Blocks of `size` >= 1 that `length` >= 0 positions take, the last perhaps shorter; for any size.
constexpr index block_count(index length, index size) {
  return length / size + (length % size != 0 ? 1 : 0);
}

struct block {
  index b = 0, h = 0;
  span q, k;
};

enum class cover { none, some, all };

// A run of consecutive queries against one key: what vectorised policies see. `q` is a SIMD batch
// of positions, `k` a scalar of the same value type, so `at.k - at.q` needs no cast. `lane` and
// `key` count from the corner of the current tile; prepared policies index their tables with them.
template <class Batch, class T> struct lanes {
  index b = 0, h = 0;
  Batch q{};
  T k{};
  index row = 0, slot = 0;
  index lane = 0, key = 0;
};

// One query against a run of keys, as in decoding: `k` is a batch of positions, `slot` the first of
// their slots. `q` is a batch too, the same in all lanes: what compares it with `k` needs no cast.
template <class Batch> struct key_lanes {
  index b = 0, h = 0;
  Batch q{}, k{};
  index row = 0, slot = 0;
  index lane = 0, key = 0;
};

// The corner and extent of one panel of queries against one key tile.
struct tile {
  index b = 0, h = 0;
  index q = 0, row = 0, rows = 0;  // first position, first row, number of valid rows
  index k = 0, slot = 0, keys = 0;
  index pitch = 0;                // lanes in a panel row
  const index* places = nullptr;  // positions of the keys, where they are not k, k + 1, …

  constexpr index key(index j) const { return places ? places[j] : k + j; }

  // `count` of the queries, from the given one on.
  constexpr tile rows_of(index first, index count) const {
    tile part = *this;
    part.q += first, part.row += first, part.rows = count;
    return part;
  }
};

// Queries against keys, neither of them consecutive; positions are tokens and slots at once, and
// rows but for an offset.
struct listed_tile {
  index b = 0, h = 0;
  const index* queries = nullptr;  // of the valid lanes
  index rows = 0;
  const index* tokens = nullptr;  // of the keys
  index keys = 0;
  index pitch = 0;   // lanes in a panel row
  index offset = 0;  // position of row 0

  constexpr position pair(index lane, index key) const {
    return {b, h, queries[lane], tokens[key], queries[lane] - offset, tokens[key]};
  }
};

// What a row transform (prologue or epilogue) is told about its row.
struct row_position {
  index b = 0, h = 0, pos = 0, row = 0;
};

// Everything about a call that follows from its operands.
struct problem_shape {
  index batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, depth = 0, value_depth = 0;
  index offset = 0;     // position of query row 0
  bool packed = false;  // sequences of a plan, of lengths of their own

  constexpr index group() const { return kv_heads > 0 ? heads / kv_heads : 0; }
};

// The rows that a row transform is given: those of q, k, v or of the output.
struct row_shape {
  index batch = 0, heads = 0, rows = 0, channels = 0;
};

}  // namespace heed
