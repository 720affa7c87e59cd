// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// s_ij = c·q_i·k_j; q [Lq×D], k [Lk×D] -> [Lq×Lk].
inline matrix dot(const matrix& q, const matrix& k, double scale) {
  return scale * (q * k.transpose());
}

/// c = 1/√D (Vaswani et al., Attention is all you need).
inline matrix dot(const matrix& q, const matrix& k) {
  return dot(q, k, 1 / std::sqrt(static_cast<double>(q.cols())));
}

}  // namespace heed::reference::similarity
