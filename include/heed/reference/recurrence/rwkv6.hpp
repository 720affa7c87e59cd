// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// RWKV-6 (Peng et al., Eagle and Finch): o_t = (S_{t−1} + diag(u)k_t v_tᵀ)ᵀr_t, then
/// S_t = diag(w_t)S_{t−1} + k_t v_tᵀ: a token reads itself through the bonus u [Dk], not through S.
/// log w [L×Dk] (the model's −e^{·}).
inline scanned rwkv6(const matrix& r, const matrix& k, const matrix& v, const matrix& log_w,
                     const vector& u, const carried& initial = {}) {
  scanned x = before(r.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < r.rows(); ++t) {
    const matrix token = k.row(t).transpose() * v.row(t);
    x.out.row(t) = r.row(t) * (s + u.asDiagonal() * token);
    forget(s, vector(log_w.row(t)));
    s += token;
  }
  return x;
}

/// RWKV-5: w [Dk] does not depend on the token.
inline scanned rwkv5(const matrix& r, const matrix& k, const matrix& v, const vector& log_w,
                     const vector& u, const carried& initial = {}) {
  return rwkv6(r, k, v, log_w.transpose().replicate(r.rows(), 1), u, initial);
}

}  // namespace heed::reference::recurrence
