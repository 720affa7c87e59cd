// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// Gated linear attention (Yang et al.): S_t = diag(α_t)S_{t−1} + k_t v_tᵀ, o_t = scale·S_tᵀq_t, a
/// decay for every key channel, log α [L×Dk]. The paper's scale is 1/√Dk; HGRN2 (Qin et al.) has
/// k = 1 − α.
inline scanned gla(const matrix& q, const matrix& k, const matrix& v, const matrix& log_decay,
                   const carried& initial = {}, double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    forget(s, vector(log_decay.row(t)));
    s += k.row(t).transpose() * v.row(t);
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

}  // namespace heed::reference::recurrence
