// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/matrix.hpp>

namespace heed::reference::similarity {

/// s_ij = φ(q_i)·φ(k_j) for an elementwise φ: double -> double (Katharopoulos et al., Transformers
/// are RNNs, with φ = elu + 1).
template <class Feature> matrix feature_product(const matrix& q, const matrix& k, Feature phi) {
  return q.unaryExpr(phi) * k.unaryExpr(phi).transpose();
}

/// elu(x) + 1: x + 1 above zero, e^x below.
inline double elu_plus_one(double x) { return x > 0 ? x + 1 : std::exp(x); }

}  // namespace heed::reference::similarity
