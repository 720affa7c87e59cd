// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

/// p = s, no row sum (Gu et al., When attention sink emerges).
inline matrix linear(const matrix& s, const allowed& a) {
  return weigh(s, a, [](double x) { return x; });
}

/// p = s / n, n the allowed keys of the row.
inline matrix linear_mean(const matrix& s, const allowed& a) {
  return divide_rows(linear(s, a), counts(a));
}

/// p = s / Σ_j s.
inline matrix linear_sum(const matrix& s, const allowed& a) {
  const matrix p = linear(s, a);
  return divide_rows(p, p.rowwise().sum());
}

/// p = s / max(|Σ_j s|, 1).
inline matrix linear_bounded(const matrix& s, const allowed& a) {
  const matrix p = linear(s, a);
  return divide_rows(p, p.rowwise().sum().cwiseAbs().cwiseMax(1));
}

}  // namespace heed::reference::normalizer
