// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <Eigen/Cholesky>
#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

struct local_fit {
  matrix out;
  double condition = 1;  // the largest of Σ_i's trace over λ, times what weights of both signs cost
};

/// Local Linear Attention (Zuo et al., Local Linear Attention: an optimal interpolation of linear
/// and softmax attention for test-time regression): o_i is the b of min Σ_j w_ij ‖v_j − b − A(k_j −
/// q_i)‖² + λ‖A‖² over the keys that i may see. z_ij = k_j − q_i, ω = Σ w, μ = Σ w z, Σ_i = Σ w zzᵀ
/// + λI, ρ = Σ_i⁻¹μ, o_i = Σ_j w_ij (1 − z_ij·ρ) v_j / (ω − μ·ρ). w_ij = e^{s q_i·k_j} over the
/// largest of the row, or 1. No keys: zeros.
inline local_fit local_linear(const matrix& q, const matrix& k, const matrix& v, const allowed& a,
                              double lambda, double scale, bool uniform = false) {
  local_fit fit{matrix::Zero(q.rows(), v.cols())};
  for (index i = 0; i < q.rows(); ++i) {
    double top = -1e300;
    for (index j = 0; j < k.rows(); ++j)
      if (a(i, j)) top = std::fmax(top, uniform ? 0 : scale * q.row(i).dot(k.row(j)));
    if (top == -1e300) continue;
    const auto weight = [&](index j) {
      return uniform ? 1.0 : std::exp(scale * q.row(i).dot(k.row(j)) - top);
    };
    double omega = 0;
    vector mu = vector::Zero(k.cols());
    matrix sigma = lambda * matrix::Identity(k.cols(), k.cols());
    for (index j = 0; j < k.rows(); ++j)
      if (a(i, j)) {
        const vector z = (k.row(j) - q.row(i)).transpose();
        omega += weight(j);
        mu += weight(j) * z;
        sigma += weight(j) * z * z.transpose();
      }
    const vector rho = sigma.llt().solve(mu);
    const double all = omega - mu.dot(rho);
    double size = 0;
    for (index j = 0; j < k.rows(); ++j)
      if (a(i, j)) {
        const double x = weight(j) * (1 - (k.row(j) - q.row(i)).dot(rho)) / all;
        fit.out.row(i) += x * v.row(j);
        size += std::abs(x);
      }
    fit.condition = std::fmax(fit.condition, sigma.trace() / lambda * std::fmax(size, 1 / all));
  }
  return fit;
}

}  // namespace heed::reference::recurrence
