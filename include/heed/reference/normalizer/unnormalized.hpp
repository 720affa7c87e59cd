// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

/// p = e^s, no row sum (Softmax attention as a recurrent network; Gaussian kernel regression).
inline matrix unnormalized(const matrix& s, const allowed& a) {
  return weigh(s, a, [](double x) { return std::exp(x); });
}

/// p = e^s / n, n the allowed keys of the row.
inline matrix unnormalized_mean(const matrix& s, const allowed& a) {
  return divide_rows(unnormalized(s, a), counts(a));
}

/// p = e^s / Z for a constant Z.
inline matrix unnormalized_over(const matrix& s, const allowed& a, double z) {
  return unnormalized(s, a) / z;
}

}  // namespace heed::reference::normalizer
