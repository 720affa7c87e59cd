// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s / τ, one temperature a head.
inline matrix temperature(const matrix& s, double tau) { return s / tau; }

/// s_ij / τ_i, one temperature a row, tau [Lq] (Entropy-guided attention).
inline matrix temperature(const matrix& s, const vector& tau) {
  return tau.cwiseInverse().asDiagonal() * s;
}

/// Scalable softmax, s_ij·a·ln n_i with n_i the keys that row i may see (Nakanishi,
/// Scalable-softmax is superior for attention).
inline matrix ssmax(const matrix& s, double a, const vector& n) {
  return (a * n.array().log()).matrix().asDiagonal() * s;
}

/// √(log_{trained}(inferred) / D): the scale for inferring at another length (FreeSwim).
inline double length_scale(double trained, double inferred, index d) {
  return std::sqrt(std::log(inferred) / std::log(trained) / static_cast<double>(d));
}

}  // namespace heed::reference::score
