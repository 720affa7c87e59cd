// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// Kimi delta attention (Kimi Linear): S ← diag(α_t)S, S ← S + β_t k_t(v_t − Sᵀk_t)ᵀ,
/// o_t = scale·Sᵀq_t. log α [L×Dk], β [L]; the paper's scale is 1/√Dk, its q and k have length 1.
inline scanned kda(const matrix& q, const matrix& k, const matrix& v, const matrix& log_decay,
                   const vector& beta, const carried& initial = {}, double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    const vector key = k.row(t);
    forget(s, vector(log_decay.row(t)));
    const vector error = v.row(t).transpose() - s.transpose() * key;
    s += beta(t) * key * error.transpose();
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

}  // namespace heed::reference::recurrence
