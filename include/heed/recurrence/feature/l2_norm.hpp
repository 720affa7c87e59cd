// SPDX-License-Identifier: BSL-1.0
// feature/l2_norm: x / √(‖x‖² + ε), for keys (and queries) of delta rules.
#pragma once

#include <cmath>
#include <heed/simd/rows.hpp>

namespace heed {

struct l2_norm_feature {
  double epsilon = 1e-6;

  template <class Arch, class T> void row(T* x, index depth) const {
    const T f = T(1) / std::sqrt(simd::sum_of_squares<Arch>(x, depth) + T(epsilon));
    simd::map_row<Arch>(x, depth, [f](auto y) { return y * decltype(y)(f); });
  }
  // r = 1 / √(‖x‖² + ε): dx = r dy - r³ (x·dy) x
  template <class T> void backward(const T* x, T* dx, index depth) const {
    T squares = T(epsilon), product = 0;
    for (index c = 0; c < depth; ++c) squares += x[c] * x[c], product += x[c] * dx[c];
    const T r = T(1) / std::sqrt(squares);
    for (index c = 0; c < depth; ++c) dx[c] = r * dx[c] - r * r * r * product * x[c];
  }
};

}  // namespace heed
