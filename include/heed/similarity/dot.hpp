// SPDX-License-Identifier: BSL-1.0
// similarity/dot: s_ij = c · q_i·k_j, c = 1/√D unless `attention::scale` is given (Transformer,
// Vaswani et al. 2017). 2 D flops a pair.
//
// A similarity may rewrite rows while they are packed, so that the dot product of the rewritten
// rows is the score:
//   index width(index depth) const;                              // channels of a rewritten row
//   double default_scale(index depth) const;
//   template <class Arch, class T> void query(T* row, index depth, const row_position&) const;
//   template <class Arch, class T> void key(T* row, index depth, const row_position&) const;
// or bring a kernel of its own, `scores<Arch>(…)`, with the contract of simd::scores.
#pragma once

#include <cmath>
#include <heed/core/policy.hpp>

namespace heed {

struct dot {
  double default_scale(index depth) const { return 1.0 / std::sqrt(double(depth)); }
};

template <class S> index packed_width(const S& similarity, index depth) {
  if constexpr (requires { similarity.width(depth); })
    return similarity.width(depth);
  else
    return depth;
}

}  // namespace heed
