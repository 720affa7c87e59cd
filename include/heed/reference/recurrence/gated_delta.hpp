// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// The gated delta rule (Yang et al., Gated delta networks): S_t = α_t(I − β_t k_t k_tᵀ)S_{t−1} +
/// β_t k_t v_tᵀ, o_t = scale·S_tᵀq_t. log α, β [L]; in use the scale is 1/√Dk and k has length 1.
inline scanned gated_delta(const matrix& q, const matrix& k, const matrix& v,
                           const vector& log_decay, const vector& beta, const carried& initial = {},
                           double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    const vector key = k.row(t);
    forget(s, log_decay(t));
    s = (s - beta(t) * key * (key.transpose() * s) + beta(t) * key * v.row(t)).eval();
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

}  // namespace heed::reference::recurrence
