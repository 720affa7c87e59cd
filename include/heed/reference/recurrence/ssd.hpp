// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/recurrence/scanned.hpp>

namespace heed::reference::recurrence {

/// State space duality (Dao and Gu, Mamba-2), one head of P channels and N states:
/// S_t = e^{Δ_t A}S_{t−1} + Δ_t B_t x_tᵀ, y_t = S_tᵀC_t + D x_t. C, B [L×N], x [L×P], Δ [L] ≥ 0,
/// A ≤ 0 (it is −e^{A_log}), S [N×P]. In terms of attention: q = C, k = B, v = Δx, log α = ΔA.
inline scanned ssd(const matrix& c, const matrix& b, const matrix& x, const vector& delta, double a,
                   double d = 0, const carried& initial = {}) {
  scanned y = before(x.rows(), b.cols(), x.cols(), initial);
  matrix& s = y.state.s;
  for (index t = 0; t < x.rows(); ++t) {
    forget(s, delta(t) * a);
    s += delta(t) * b.row(t).transpose() * x.row(t);
    y.out.row(t) = c.row(t) * s + d * x.row(t);
  }
  return y;
}

}  // namespace heed::reference::recurrence
