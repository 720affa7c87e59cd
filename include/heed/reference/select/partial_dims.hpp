// SPDX-License-Identifier: BSL-1.0
// select/partial_dims: S_j = Σ_{c in I} q_c k_jc of one query and all tokens.
#pragma once

#include <heed/reference/matrix.hpp>
#include <span>

namespace heed::reference::select {

inline vector partial_scores(const vector& q, const matrix& k, std::span<const int> channels) {
  vector s = vector::Zero(k.rows());
  for (const int c : channels) s += q(c) * k.col(c);
  return s;
}

}  // namespace heed::reference::select
