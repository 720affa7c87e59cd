// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// A transition that is diagonal plus rank one: S_t = diag(w_t)S_{t−1} + b_t(S_{t−1}ᵀa_t)ᵀ +
/// k_t v_tᵀ, o_t = scale·S_tᵀq_t. log w, a, b [L×Dk]; a reads S before it decays.
inline scanned low_rank(const matrix& q, const matrix& k, const matrix& v, const matrix& log_w,
                        const matrix& a, const matrix& b, const carried& initial = {},
                        double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& s = x.state.s;
  for (index t = 0; t < q.rows(); ++t) {
    const matrix read = a.row(t) * s;
    forget(s, vector(log_w.row(t)));
    s += b.row(t).transpose() * read + k.row(t).transpose() * v.row(t);
    x.out.row(t) = scale * q.row(t) * s;
  }
  return x;
}

/// RWKV-7 as its paper has it (Peng et al., Goose), S̃ = Sᵀ [Dv×Dk]: S̃_t = S̃_{t−1}(diag(w_t) −
/// k̂_t(a_t ⊙ k̂_t)ᵀ) + v_t k_tᵀ, o_t = S̃_t r_t. k̂ [L×Dk] of length 1, a [L×Dk] in (0, 1): `low_rank`
/// of a = −k̂ and b = a ⊙ k̂.
inline scanned rwkv7(const matrix& r, const matrix& k, const matrix& v, const matrix& log_w,
                     const matrix& k_hat, const matrix& a, const carried& initial = {}) {
  scanned x = before(r.rows(), k.cols(), v.cols(), initial);
  matrix s = x.state.s.transpose();
  for (index t = 0; t < r.rows(); ++t) {
    const vector w = log_w.row(t).transpose().array().exp();
    const vector removed = k_hat.row(t), into = a.row(t).cwiseProduct(k_hat.row(t));
    const matrix transition = matrix(w.asDiagonal()) - removed * into.transpose();
    s = (s * transition + v.row(t).transpose() * k.row(t)).eval();
    x.out.row(t) = s * r.row(t).transpose();
  }
  x.state.s = s.transpose();
  return x;
}

}  // namespace heed::reference::recurrence
