// SPDX-License-Identifier: BSL-1.0
// similarity/feature_product: s_ij = φ(q_i)·φ(k_j), unscaled.
//
// φ is elementwise, called with vectors and single numbers (`auto`) or single numbers only:
//   feature_product{[](auto x) { return x * x; }}
// or a map of rows that may change the width, in place in `width(depth)` channels:
//   struct { index width(index depth) const;  void operator()(auto* row, index depth) const; }
#pragma once

#include <heed/simd/dual.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct identity_feature {
  template <class V> V operator()(const V& x) const { return x; }
};
// elu(x) + 1: x + 1 above zero, e^x below.
struct elu1_feature {
  template <class V> V operator()(const V& x) const {
    const V zero = simd::constant<V>(0);
    return simd::select(x > zero, V(x + simd::constant<V>(1)), simd::exp(V(simd::min(zero, x))));
  }
};

template <class Feature = identity_feature> struct feature_product {
  Feature feature{};

  double default_scale(index) const { return 1; }
  index width(index depth) const {
    if constexpr (requires { feature.width(depth); })
      return feature.width(depth);
    else
      return depth;
  }
  template <class Arch, class T> void query(T* row, index depth, const row_position&) const {
    if constexpr (requires { feature(row, depth); })
      feature(row, depth);
    else
      simd::map_row<Arch>(row, depth, feature);
  }
  template <class Arch, class T> void key(T* row, index depth, const row_position& at) const {
    query<Arch>(row, depth, at);
  }
  // dx = φ'(x) dy, φ' by dual numbers; a map of rows has `backward(x, dx, depth)`.
  template <class Arch, class T>
  void query_backward(const T* x, T* dx, index depth, const row_position&) const {
    if constexpr (requires { feature.backward(x, dx, depth); }) {
      feature.backward(x, dx, depth);
    } else {
      static_assert(
          requires { feature(dual<T>{}).slope; },
          "this feature takes no dual numbers and has no backward(x, dx, depth)");
      for (index c = 0; c < depth; ++c) dx[c] *= feature(dual<T>::variable(x[c])).slope;
    }
  }
  template <class Arch, class T>
  void key_backward(const T* x, T* dx, index depth, const row_position& at) const {
    query_backward<Arch>(x, dx, depth, at);
  }
};

}  // namespace heed
