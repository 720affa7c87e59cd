// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// p = σ(s + b), no row sum; b = −ln n in Ramapuram et al., Sigmoid self-attention.
inline matrix sigmoid(const matrix& s, const allowed& a, double b) {
  return weigh(s, a, [=](double x) { return logistic(x + b); });
}

/// p = σ(s + b) / Σ_j σ(s + b).
inline matrix sigmoid_normalized(const matrix& s, const allowed& a, double b) {
  return custom(s, a, [=](double x) { return logistic(x + b); });
}

}  // namespace heed::reference::normalizer
