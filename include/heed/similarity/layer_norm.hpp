// SPDX-License-Identifier: BSL-1.0
// similarity/layer_norm: x ← (x - mean x) / √(var x + ε) over the channels of a head, without scale
// and bias: a row transform for `.query` and `.key`, after which all rows have nearly the norm √D.
//
// Ba et al., Layer Normalization, 2016. O(D) a row. Throws if ε is negative.
#pragma once

#include <cmath>
#include <heed/core/check.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct layer_norm {
  double epsilon = 1e-5;

  void check(const row_shape&) const {
    if (!(epsilon >= 0)) check::fail("heed::layer_norm", "epsilon must not be negative");
  }
  template <class Arch, class T> void row(T* x, index depth, const row_position&) const {
    const T factor = centre<Arch>(x, depth);
    simd::map_row<Arch>(x, depth, [factor](auto v) { return v * decltype(v)(factor); });
  }
  // With y the result and r = 1 / √(var + ε): dx = r (dy - mean dy - y mean(y ⊙ dy)).
  template <class Arch, class T>
  void row_backward(const T* x, T* dx, index depth, const row_position&) const {
    T mean = 0, squares = 0, slope = 0, product = 0;
    for (index c = 0; c < depth; ++c) mean += x[c], slope += dx[c];
    mean /= T(depth), slope /= T(depth);
    for (index c = 0; c < depth; ++c) squares += (x[c] - mean) * (x[c] - mean);
    const T r = T(1) / std::sqrt(squares / T(depth) + T(epsilon));
    for (index c = 0; c < depth; ++c) product += r * (x[c] - mean) * dx[c];
    product /= T(depth);
    for (index c = 0; c < depth; ++c) dx[c] = r * (dx[c] - slope - r * (x[c] - mean) * product);
  }

 private:
  // x - mean x; returns the factor that is left.
  template <class Arch, class T> T centre(T* x, index depth) const {
    const T mean = simd::sum_row<Arch>(x, depth) / T(depth);
    simd::map_row<Arch>(x, depth, [mean](auto v) { return v - decltype(v)(mean); });
    return T(1) / std::sqrt(simd::sum_of_squares<Arch>(x, depth) / T(depth) + T(epsilon));
  }
};

}  // namespace heed
