// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>

#include <heed/reference/normalizer/custom.hpp>

namespace heed::reference::normalizer {

/// p = [s]₊^power / c, power 1 or 2, c = 1 or the number of keys (Wortsman et al., Replacing
/// softmax with ReLU in vision transformers).
inline matrix relu(const matrix& s, const allowed& a, int power, double c) {
  return weigh(s, a, [=](double x) { return std::pow(std::max(x, 0.0), power) / c; });
}

}  // namespace heed::reference::normalizer
