// SPDX-License-Identifier: BSL-1.0
// How well the scores of one pair of channels choose the tokens that all channels choose.
#pragma once

#include <algorithm>
#include <heed/reference/kv/keep.hpp>
#include <utility>

namespace heed::reference::select {

// The channels of pair c of R rotated ones.
inline std::pair<index, index> channels_of(index c, index rotated, bool interleaved) {
  return interleaved ? std::pair{2 * c, 2 * c + 1} : std::pair{c, c + rotated / 2};
}

inline vector pair_scores(const vector& q, const matrix& k, const indices& pairs, index rotated,
                          bool interleaved) {
  vector s = vector::Zero(k.rows());
  for (const index c : pairs) {
    const auto [x, y] = channels_of(c, rotated, interleaved);
    s += q(x) * k.col(x) + q(y) * k.col(y);
  }
  return s;
}

// |TopK(S^c) ∩ TopK(S)| / K of one query, for every pair c.
inline vector pair_agreement(const vector& q, const matrix& k, index top, index rotated,
                             bool interleaved) {
  top = std::min(top, k.rows());
  const indices full = kv::largest(k * q, top, 0);
  vector agreement(rotated / 2);
  for (index c = 0; c < agreement.size(); ++c) {
    const indices mine = kv::largest(pair_scores(q, k, {c}, rotated, interleaved), top, 0);
    indices both;
    std::set_intersection(mine.begin(), mine.end(), full.begin(), full.end(),
                          std::back_inserter(both));
    agreement(c) = double(both.size()) / double(top);
  }
  return agreement;
}

}  // namespace heed::reference::select
