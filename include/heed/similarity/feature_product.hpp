// SPDX-License-Identifier: BSL-1.0
// similarity/feature_product: s_ij = φ(q_i)·φ(k_j), unscaled (linear attention as its matrix,
// Katharopoulos et al., Transformers are RNNs, 2020).
//
// φ is any feature map of rows (`simd/feature.hpp`), also one that differs for queries and keys.
//   feature_product{[](auto x) { return x * x; }}
#pragma once

#include <heed/simd/exp2.hpp>
#include <heed/simd/feature.hpp>

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

  void check(const problem_shape& shape) const {
    if constexpr (requires { feature.check(shape.depth); }) feature.check(shape.depth);
  }
  double default_scale(index) const { return 1; }
  index width(index depth) const { return feature_width(feature, depth); }
  template <class Arch, class T> void query(T* row, index depth, const row_position&) const {
    apply_feature<Arch>(feature, row, depth, feature_role::query);
  }
  template <class Arch, class T> void key(T* row, index depth, const row_position&) const {
    apply_feature<Arch>(feature, row, depth, feature_role::key);
  }
  template <class Arch, class T>
  void query_backward(const T* x, T* dx, index depth, const row_position&) const {
    feature_backward<Arch>(feature, x, dx, depth, feature_role::query);
  }
  template <class Arch, class T>
  void key_backward(const T* x, T* dx, index depth, const row_position&) const {
    feature_backward<Arch>(feature, x, dx, depth, feature_role::key);
  }
};

}  // namespace heed
