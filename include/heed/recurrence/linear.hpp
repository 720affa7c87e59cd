// SPDX-License-Identifier: BSL-1.0
// recurrence/linear: S = Σ φ(k_j) v_jᵀ, o_i = Sᵀφ(q_i) over Σ φ(k_j)·φ(q_i), causal or not.
// Katharopoulos et al. 2020. Unnormalised: recurrence{}; the mean over keys: .readout =
// mean_readout{}.
#pragma once

#include <heed/recurrence/feature/elementwise.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::recurrences {

template <class Feature = elu1_feature> auto linear(Feature feature = {}, double epsilon = 0) {
  return recurrence{.feature = feature, .readout = normalised_readout{epsilon}};
}

}  // namespace heed::recurrences
