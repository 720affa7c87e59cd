// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

/// Outputs [L×C] and the last state [C×N].
struct selective_scanned {
  matrix out, h;
};

/// ln(1 + e^x).
inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// S6 (Gu and Dao, Mamba, Algorithm 2, with the simplified discretisation of B that its code has):
/// Ā_t = exp(Δ_t A), h_t = Ā_t ⊙ h_{t−1} + Δ_t u_t B_tᵀ, y_t = h_t C_t + D ⊙ u_t, for every channel
/// a state of its own. u, Δ [L×C], A [C×N], B, C [L×N], D [C], h_0 [C×N]. With Δ = softplus(δ +
/// bias).
inline selective_scanned mamba(const matrix& u, const matrix& delta, const matrix& a,
                               const matrix& b, const matrix& c, const vector& d,
                               const matrix& initial) {
  selective_scanned x{matrix(u.rows(), u.cols()), initial};
  for (index t = 0; t < u.rows(); ++t)
    for (index channel = 0; channel < u.cols(); ++channel) {
      double y = d(channel) * u(t, channel);
      for (index n = 0; n < a.cols(); ++n) {
        const double decay = std::exp(delta(t, channel) * a(channel, n));
        double& h = x.h(channel, n);
        h = decay * h + delta(t, channel) * u(t, channel) * b(t, n);
        y += c(t, n) * h;
      }
      x.out(t, channel) = y;
    }
  return x;
}

}  // namespace heed::reference::recurrence
