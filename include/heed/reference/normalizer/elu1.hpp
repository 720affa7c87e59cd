// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

/// p = elu(s) + 1: s + 1 above zero, e^s below (Gu et al., When attention sink emerges).
inline matrix elu1(const matrix& s, const allowed& a) {
  return weigh(s, a, [](double x) { return x > 0 ? x + 1 : std::exp(x); });
}

/// The same divided by its row sum.
inline matrix elu1_normalized(const matrix& s, const allowed& a) {
  const matrix p = elu1(s, a);
  return divide_rows(p, p.rowwise().sum());
}

}  // namespace heed::reference::normalizer
