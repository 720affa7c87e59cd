// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>
#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::recurrence {

/// Positive random features of e^{q·k/√D} (Choromanski et al., Performer: FAVOR+):
/// φ(x) = e^{−‖y‖²/2}/√m·[e^{ω_r·y}]_r, y = x/D^{1/4}, ω [m×D]. As it stands, in need of no
/// stabilisation while the exponents fit a double.
inline vector favor_feature(const vector& x, const matrix& omega) {
  const vector y = x / std::pow(double(x.size()), 0.25);
  const vector exponent = (omega * y).array() - y.squaredNorm() / 2;
  return exponent.array().exp() / std::sqrt(double(omega.rows()));
}

/// The ReLU kind: φ(x) = max(ωy, 0)/√m + ε.
inline vector favor_relu_feature(const vector& x, const matrix& omega, double epsilon) {
  const vector y = x / std::pow(double(x.size()), 0.25);
  return (omega * y).cwiseMax(0).array() / std::sqrt(double(omega.rows())) + epsilon;
}

/// Normalised attention with positive random features by its weights [Lq×Lk]: log a_ij =
/// log Σ_r e^{ω_r·(y_i + y_j) − ‖y_i‖²/2 − ‖y_j‖²/2}, o_i = Σ_j a_ij v_j / Σ_j a_ij. Factors common
/// to a query or to all keys cancel, so this is the value whatever an implementation subtracts.
inline matrix favor(const matrix& q, const matrix& k, const matrix& v, const matrix& omega,
                    const allowed& a) {
  const double root = std::pow(double(q.cols()), 0.25);
  const auto exponents = [&](const vector& x) -> vector {
    return (omega * x / root).array() - x.squaredNorm() / (2 * root * root);
  };
  matrix s(q.rows(), k.rows());
  for (index i = 0; i < q.rows(); ++i)
    for (index j = 0; j < k.rows(); ++j) {
      const vector e = exponents(q.row(i)) + exponents(k.row(j));
      s(i, j) = e.maxCoeff() + std::log((e.array() - e.maxCoeff()).exp().sum());
    }
  return normalizer::softmax(s, a) * v;
}

}  // namespace heed::reference::recurrence
