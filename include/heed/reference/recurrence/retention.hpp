// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// Retention (Sun et al., RetNet; Qin et al., Lightning attention): S_t = λS_{t−1} + k_t v_tᵀ,
/// o_t = scale·S_tᵀq_t, one constant λ a head, given as its logarithm.
inline scanned retention(const matrix& q, const matrix& k, const matrix& v, double log_decay,
                         const carried& initial = {}, double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    forget(s, log_decay);
    s += k.row(t).transpose() * v.row(t);
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

}  // namespace heed::reference::recurrence
