// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s_ij + b_j, b [Lk].
inline matrix key_bias(const matrix& s, const vector& b) { return s.rowwise() + b.transpose(); }

/// b_j = log n_j: key j stands for n_j equal keys (Bolya et al., Token merging: proportional
/// attention), Σ_j n_j e^{s_ij} v_j / Σ_j n_j e^{s_ij}.
inline vector log_counts(const vector& n) { return n.array().log().matrix(); }

}  // namespace heed::reference::score
