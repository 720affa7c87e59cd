// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <limits>

#include <heed/reference/numerics/online_softmax.hpp>

namespace heed::reference::numerics {

/// Attention over the union of disjoint key sets: lse = log Σ_r e^{lse_r}, O = Σ_r e^{lse_r − lse}
/// O_r. An empty part (lse = −∞) takes no part; nothing but empty parts gives zeros and −∞.
inline part merge(const std::vector<part>& parts) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  part out{matrix::Zero(parts.front().o.rows(), parts.front().o.cols()),
           vector::Constant(parts.front().lse.size(), -infinity)};
  for (index i = 0; i < out.lse.size(); ++i) {
    double m = -infinity, l = 0;
    for (const part& r : parts) m = std::fmax(m, r.lse(i));
    if (m == -infinity) continue;
    for (const part& r : parts) l += std::exp(r.lse(i) - m);
    out.lse(i) = m + std::log(l);
    for (const part& r : parts)
      if (r.lse(i) != -infinity) out.o.row(i) += std::exp(r.lse(i) - out.lse(i)) * r.o.row(i);
  }
  return out;
}

}  // namespace heed::reference::numerics
