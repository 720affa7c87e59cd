// SPDX-License-Identifier: BSL-1.0
// feature/taylor: φ(q)·φ(k) = 1 + z + z²/2, z = q·k / √D, the exponential up to its `order` (1 or
// 2):
//   φ(x) = [1, x / D^¼, {x_a x_b √(a = b ? ½ : 1) / √D : a <= b}]
// 1 + D + D(D+1)/2 channels, half of those of vec(xxᵀ), with the same products. Based (Arora et al.
// 2024).
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/check.hpp>

namespace heed {

struct taylor_feature {
  int order = 2;

  void check(index) const {
    if (order != 1 && order != 2)
      heed::check::fail("heed::taylor_feature",
                        "the order must be 1 or 2, not " + std::to_string(order));
  }
  constexpr index width(index depth) const {
    return 1 + depth + (order > 1 ? depth * (depth + 1) / 2 : 0);
  }
  template <class T> void operator()(T* row, index depth) const {
    const T first = T(1) / std::sqrt(std::sqrt(T(depth))), half = std::sqrt(T(0.5));
    std::copy_backward(row, row + depth, row + depth + 1);
    T *const x = row + 1, *out = x + depth;
    row[0] = 1;
    for (index a = 0; a < depth; ++a) x[a] *= first;
    if (order > 1)
      for (index a = 0; a < depth; ++a)
        for (index b = a; b < depth; ++b) *out++ = x[a] * x[b] * (a == b ? half : T(1));
  }
  // dx in place of dφ, x of `depth` channels.
  template <class T> void backward(const T* x, T* dx, index depth) const {
    const T first = T(1) / std::sqrt(std::sqrt(T(depth))), half = std::sqrt(T(0.5));
    for (index a = 0; a < depth; ++a) {
      T sum = dx[1 + a] * first;
      for (index b = 0; b < depth && order > 1; ++b) {
        const index low = std::min(a, b), high = std::max(a, b);
        const index at = 1 + depth + low * depth - low * (low - 1) / 2 + (high - low);
        sum += dx[at] * x[b] * first * first * (a == b ? 2 * half : T(1));
      }
      dx[a] = sum;  // below every number that is read later
    }
  }
};

}  // namespace heed
