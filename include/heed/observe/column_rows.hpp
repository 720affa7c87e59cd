// SPDX-License-Identifier: BSL-1.0
// Which queries count in a sum over columns, and how many they are for each key.
#pragma once

#include <algorithm>
#include <heed/attention/problem.hpp>
#include <heed/core/parameters.hpp>
#include <limits>
#include <vector>

namespace heed {

// Which queries count, and how.
struct column_rows {
  static constexpr index all = std::numeric_limits<index>::max();

  span rows{0, all};     // query rows of each sequence
  index last = all;      // only the last so many of each sequence
  parameters weights{};  // [Lq], of each query row of the tensors, as 0 and 1 for a modality
  bool later = false;    // for key j only queries at position j or after: Σ_{i ≥ j}
  bool mean = false;     // divided by the weight of the queries that count
};

namespace detail {

// The weight of every query row, and for each key the total that counts.
struct counted_rows {
  std::vector<double> weight;
  bool later = false, mean = false;

  template <class Plan> counted_rows(const column_rows& r, const problem& p, const Plan& plan) {
    later = r.later, mean = r.mean;
    const auto rows = static_cast<index>(p.q.extent[2]);
    if (r.last < 0) check::fail("heed::column_mass", "`last` must not be negative");
    if (!r.weights.empty() && r.weights.size() != rows)
      check::fail("heed::column_mass", "there must be one weight a query row");
    weight.assign(static_cast<std::size_t>(rows), 0.0);
    const sequences<Plan> items{p, plan};
    for (index i = 0; i < items.count(); ++i) {
      const sequence s = items[i];
      const index first = std::max(r.rows.begin, s.rows - std::min(r.last, s.rows));
      for (index row = std::max<index>(first, 0); row < std::min(r.rows.end, s.rows); ++row)
        weight[std::size_t(s.row + row)] = r.weights.get(s.row + row, 1);
    }
  }
  // N_j of each key of a sequence.
  std::vector<double> totals(const sequence& s) const {
    std::vector<double> from(static_cast<std::size_t>(s.rows + 1), 0.0), of;
    for (index i = s.rows - 1; i >= 0; --i)
      from[std::size_t(i)] = from[std::size_t(i + 1)] + weight[std::size_t(s.row + i)];
    for (index j = 0; j < s.keys; ++j)
      of.push_back(from[std::size_t(later ? std::clamp<index>(j - s.offset, 0, s.rows) : 0)]);
    return of;
  }
  // f(key, lane from which queries count)
  template <class F> void each_key(const tile& at, F f) const {
    for (index j = 0; j < at.keys; ++j) {
      const index first = later ? std::max<index>(at.k + j - at.q, 0) : 0;
      if (first < at.rows) f(j, first);
    }
  }
};

// A number for each key of the tensors, [B,H,Lk].
struct key_numbers {
  extents extent{};
  std::vector<double> of;

  explicit key_numbers(const extents& e)
      : extent(e), of(static_cast<std::size_t>(std::max<index>(e[0] * e[1] * e[2], 0)), 0.0) {}
  double* at(index b, index h, index slot) {
    return of.data() + ((extent[0] == 1 ? 0 : b) * extent[1] + h) * extent[2] + slot;
  }
  const double* at(index b, index h, index slot) const {
    return const_cast<key_numbers*>(this)->at(b, h, slot);
  }
};

}  // namespace detail

}  // namespace heed
