// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <heed/reference/matrix.hpp>
#include <utility>

namespace heed::reference::kv {

/// What every cache has to say of one kv head of one sequence: rows and positions, oldest first.
struct head {
  matrix k, v;  // [n×D], [n×Dv]
  indices positions;

  void append(const matrix& rows_k, const matrix& rows_v, index position) {
    const index n = k.rows(), more = rows_k.rows();
    k.conservativeResize(n + more, rows_k.cols()), v.conservativeResize(n + more, rows_v.cols());
    k.bottomRows(more) = rows_k, v.bottomRows(more) = rows_v;
    for (index i = 0; i < more; ++i) positions.push_back(position + i);
  }
  head kept(const indices& tokens) const {
    head h{k(tokens, Eigen::all), v(tokens, Eigen::all), {}};
    for (const index t : tokens) h.positions.push_back(positions[static_cast<std::size_t>(t)]);
    return h;
  }
};

/// A sequence of a cache that forgets nothing by itself (kv/contiguous, kv/paged).
struct sequence {
  std::vector<head> heads;
  index length = 0;
  index end = 0;      // position of the next token
  index settled = 0;  // tokens that the last eviction left

  /// Rows [n×D] and [n×Dv] of each head.
  void append(const std::vector<matrix>& k, const std::vector<matrix>& v) {
    heads.resize(k.size());
    for (std::size_t h = 0; h < heads.size(); ++h) heads[h].append(k[h], v[h], end);
    length += k.front().rows(), end += k.front().rows();
  }
  /// The newest tokens go. What was appended since the last eviction gives its positions back; of
  /// older tokens the end follows the newest that any head still has.
  void truncate(index n) {
    indices first;
    for (index t = 0; t < n; ++t) first.push_back(t);
    const bool cuts_evicted = n < settled;
    for (head& h : heads) h = h.kept(first);
    end -= length - n;
    if (cuts_evicted || n == 0) {
      end = 0, settled = n;
      for (const head& h : heads)
        if (n > 0) end = std::max(end, h.positions.back() + 1);
    }
    length = n;
  }
  /// Head h keeps tokens keep[h]; the positions of what stays, and the end, do not change.
  void evict(const std::vector<indices>& keep) {
    for (std::size_t h = 0; h < heads.size(); ++h) heads[h] = heads[h].kept(keep[h]);
    length = settled = static_cast<index>(keep.front().size());
  }
};

}  // namespace heed::reference::kv
