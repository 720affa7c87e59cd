// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/select/lists.hpp>

namespace heed::reference::select {

/// MoSA, one expert head: the k tokens of the largest r (with `first` token 0 and k - 1 others),
/// attention among them, times r.
inline matrix expert_choice(const matrix& q, const matrix& k, const matrix& v, const vector& r,
                            index count, bool first, const allowed& mask) {
  vector rating = r;
  if (first && r.size() > 0) rating(0) = INFINITY;
  const indices chosen = largest(rating, count);
  return r.asDiagonal() * among(q, k, v, chosen, chosen, mask);
}

}  // namespace heed::reference::select
