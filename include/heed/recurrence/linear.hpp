// SPDX-License-Identifier: BSL-1.0
// recurrence/linear: S = Σ φ(k_j) v_jᵀ, z = Σ φ(k_j), o_i = Sᵀφ(q_i) / (z·φ(q_i) + ε); sums over
// j <= i, or over all j with `.causal = false`.
//
//   auto spec = recurrences::linear();       // φ = elu + 1; recurrences::linear(relu_feature{},
//   1e-6) scan(spec, q, k, v, out);
//
// Unnormalised: recurrence{}; the mean over keys: .readout = mean_readout{}. 4 Dk·Dv flops a token
// and C (Dk + Dv) for chunks of C, Dk counted after φ; shapes and what throws as `scan`.
// Katharopoulos et al. 2020.
#pragma once

#include <heed/recurrence/feature/elementwise.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

template <class Feature = elu1_feature> auto linear(Feature feature = {}, double epsilon = 0) {
  return recurrence{.feature = feature, .readout = normalised_readout{epsilon}};
}

}  // namespace heed::recurrences
