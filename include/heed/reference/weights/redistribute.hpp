// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::weights {

/// ACT: p_S ← keep · p_S on source columns (label 1); what is freed goes to target columns (label
/// 2) in proportion to p. Rows without mass on targets stay as they are.
inline matrix redistribute(matrix p, const indices& label, double keep) {
  for (index i = 0; i < p.rows(); ++i) {
    double freed = 0, targets = 0;
    for (index j = 0; j < p.cols(); ++j) {
      if (label[std::size_t(j)] == 1) freed += (1 - keep) * p(i, j);
      if (label[std::size_t(j)] == 2) targets += p(i, j);
    }
    if (targets == 0) continue;
    for (index j = 0; j < p.cols(); ++j) {
      if (label[std::size_t(j)] == 1) p(i, j) *= keep;
      if (label[std::size_t(j)] == 2) p(i, j) += freed * p(i, j) / targets;
    }
  }
  return p;
}

/// VAR: rows with Σ_image p ≥ least, of that at most the share `most` on the sinks of the image
/// (label 2; the rest of the image is 3), keep `keep` of what they give to the sinks of text (1)
/// and image; the budget Ω = (1 − keep) Σ_sinks p goes to the rest of the image in proportion to p.
inline matrix redistribute_image(matrix p, const indices& label, double keep, double least,
                                 double most) {
  for (index i = 0; i < p.rows(); ++i) {
    double sum[4] = {0, 0, 0, 0};
    for (index j = 0; j < p.cols(); ++j) sum[label[std::size_t(j)]] += p(i, j);
    const double image = sum[2] + sum[3];
    if (sum[3] == 0 || image < least || sum[2] / image > most) continue;
    const double budget = (1 - keep) * (sum[1] + sum[2]);
    for (index j = 0; j < p.cols(); ++j) {
      const index of = label[std::size_t(j)];
      if (of == 1 || of == 2) p(i, j) *= keep;
      if (of == 3) p(i, j) += budget * p(i, j) / sum[3];
    }
  }
  return p;
}

}  // namespace heed::reference::weights
