// SPDX-License-Identifier: BSL-1.0
// Features of linear attention that act on each channel: elu(x) + 1 (Katharopoulos et al. 2020),
// max(x, 0), x σ(x) (TransNormer, Qin et al. 2023).
#pragma once

#include <heed/similarity/feature_product.hpp>

namespace heed {

struct relu_feature {
  template <class V> V operator()(const V& x) const {
    const V zero = simd::constant<V>(0);
    return simd::select(x > zero, x, zero);
  }
};

struct silu_feature {
  template <class V> V operator()(const V& x) const { return x * simd::sigmoid(x); }
};

}  // namespace heed
