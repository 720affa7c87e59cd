// SPDX-License-Identifier: BSL-1.0
// select/quest: u_p = Σ_c max(q_c min_{j∈p} k_jc, q_c max_{j∈p} k_jc) of one query and all pages.
#pragma once

#include <algorithm>
#include <heed/reference/matrix.hpp>

namespace heed::reference::select {

inline vector quest_scores(const vector& q, const matrix& k, index page) {
  vector u = vector::Zero((k.rows() + page - 1) / page);
  for (index p = 0; p < u.size(); ++p) {
    const auto keys = k.middleRows(p * page, std::min(page, k.rows() - p * page));
    for (index c = 0; c < q.size(); ++c)
      u(p) += std::max(q(c) * keys.col(c).minCoeff(), q(c) * keys.col(c).maxCoeff());
  }
  return u;
}

}  // namespace heed::reference::select
