// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// mLSTM (Beck et al., xLSTM): C_t = f_t C_{t−1} + i_t k_t v_tᵀ, n_t = f_t n_{t−1} + i_t k_t,
/// i = e^ĩ, o_t = C_tᵀq_t / max(|n_tᵀq_t|, 1), kept in range by m_t = max(log f_t + m_{t−1}, ĩ_t):
/// C and n are stored times e^{−m}, so that the bound is e^{−m_t}. log f, ĩ [L]; m_0 = −∞, as in
/// the parallel form. q is scaled (1/√Dk in the paper, which puts it on k).
inline scanned mlstm(const matrix& q, const matrix& k, const matrix& v, const vector& log_f,
                     const vector& log_i, const carried& initial = {}, double scale = 1) {
  scanned x = before(q.rows(), k.cols(), v.cols(), initial);
  matrix& c = x.state.s;
  vector& n = x.state.z;
  double& m = x.state.m;
  for (index t = 0; t < q.rows(); ++t) {
    const double kept = log_f(t) + m, next = std::fmax(kept, log_i(t));
    const double f = std::isinf(kept) ? 0 : std::exp(kept - next);
    const double i = std::isinf(log_i(t)) ? 0 : std::exp(log_i(t) - next);
    m = next;
    if (f == 0) {
      c.setZero();
      n.setZero();
    }
    c = f * c + i * k.row(t).transpose() * v.row(t);
    n = f * n + i * k.row(t).transpose();
    const vector query = scale * q.row(t);
    x.out.row(t) = c.transpose() * query / std::fmax(std::abs(n.dot(query)), std::exp(-m));
  }
  return x;
}

}  // namespace heed::reference::recurrence
