// SPDX-License-Identifier: BSL-1.0
// Lists of rows, made at random, and what the references say of the selectors that make such lists.
#pragma once

#include <Eigen/Core>
#include <heed/mask/causal.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/select/biformer.hpp>
#include <heed/reference/select/expert_choice.hpp>
#include <heed/reference/select/routing.hpp>
#include <heed/select/attend_lists.hpp>
#include <heed/select/biformer.hpp>
#include <heed/select/expert_choice.hpp>
#include <heed/select/routing.hpp>

#include "support/exact.hpp"
#include "support/executors.hpp"

namespace heed::test {

struct list_shape {
  index b, h, kv, lq, lk, d, dv;
  index each;           // lists an item and head
  bool common = false;  // the same for all
};

inline const std::vector<list_shape>& list_shapes() {
  static const std::vector<list_shape> all{
      {1, 1, 1, 1, 1, 1, 1, 1},          {2, 3, 3, 7, 5, 3, 2, 4},       {1, 4, 2, 25, 33, 8, 7, 3},
      {2, 2, 1, 61, 61, 17, 5, 2, true}, {1, 2, 2, 130, 130, 16, 33, 5}, {1, 1, 1, 4, 0, 6, 3, 2},
      {1, 2, 2, 6, 6, 4, 4, 0},          {2, 2, 2, 0, 5, 4, 4, 1}};
  return all;
}

/// Every row with a chance of a half, so lists are uneven and some rows are on none.
inline row_selection random_lists(const list_shape& s, unsigned stream) {
  std::mt19937 bits(seed() + 104729u * stream);
  row_selection to;
  to.shared = false;
  to.key_offsets = {0};
  to.batch = s.common ? 1 : s.b, to.heads = s.common ? 1 : s.h;
  for (index i = 0; i < to.batch * to.heads * s.each; ++i) {
    for (index r = 0; r < s.lq; ++r)
      if (bits() % 2) to.queries.push_back(static_cast<int>(r));
    for (index r = 0; r < s.lk; ++r)
      if (bits() % 2) to.keys.push_back(static_cast<int>(r));
    to.query_offsets.push_back(index(to.queries.size()));
    to.key_offsets.push_back(index(to.keys.size()));
  }
  return to;
}

/// One head of `attend_lists`; gates [Lq].
inline Eigen::MatrixXd by_lists(const row_lists& lists, overlap merge, const Eigen::VectorXd& gate,
                                const Eigen::MatrixXd& q, const Eigen::MatrixXd& k,
                                const Eigen::MatrixXd& v, index b, index h,
                                const reference::allowed& mask) {
  Eigen::MatrixXd o = Eigen::MatrixXd::Zero(q.rows(), v.cols());
  Eigen::VectorXd count = Eigen::VectorXd::Zero(q.rows());
  for (index i = lists.first(b, h); i < lists.first(b, h) + lists.each(); ++i) {
    const auto rows = lists.queries_of(i), keys = lists.keys_of(i);
    o += reference::select::among(q, k, v, {rows.begin(), rows.end()}, {keys.begin(), keys.end()},
                                  mask);
    for (const int r : rows) count(r) += 1;
  }
  for (index r = 0; r < q.rows(); ++r)
    o.row(r) *= gate(r) / (merge == overlap::mean ? std::max(1.0, count(r)) : 1.0);
  return o;
}

}  // namespace heed::test
