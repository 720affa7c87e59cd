// SPDX-License-Identifier: BSL-1.0
// Magnitudes that roundings of a score are relative to.
#pragma once

#include <heed/reference/attend.hpp>

#include "fuzz/policies.hpp"

namespace heed::fuzz {

using heed::reference::detail::row;

template <class S> inline constexpr bool is_additive = false;
template <class A> inline constexpr bool is_additive<additive<A>> = true;

// The magnitude of what is summed to a score, and the score.
struct sized_score {
  double value, size;
};

template <class Spec> sized_score sized(const Spec& spec, const row& q, const row& k) {
  using similarity = std::remove_cvref_t<decltype(spec.similarity)>;
  const double s = heed::reference::detail::similarity(spec, q, k);
  double size = 0, qq = 0, kk = 0;
  for (std::size_t c = 0; c < q.size(); ++c) {
    if constexpr (is_additive<similarity>)
      size += std::abs(spec.similarity.weight[index(c)]) * (1 + std::abs(q[c]) + std::abs(k[c]));
    else if constexpr (std::is_same_v<similarity, direct_distance>)
      size += std::abs(q[c] - k[c]) * (std::abs(q[c]) + std::abs(k[c]));
    else
      size += std::abs(q[c] * k[c]), qq += q[c] * q[c], kk += k[c] * k[c];
  }
  if constexpr (is_additive<similarity>) size += std::abs(spec.similarity.offset);
  if constexpr (std::is_same_v<similarity, direct_distance>)
    size *= heed::detail::distance_scale(spec.similarity.c, index(q.size()));
  // Rows that were rotated are off in channels that are small themselves; norms of q and of k are
  // off in all channels alike.
  if constexpr (!std::is_same_v<decltype(Spec::query), none>)
    size = 3 * std::max(size, std::sqrt(qq * kk / double(q.size())));
  // Partial sums of terms of one sign grow up to |s|.
  return {s, size + 0.5 * std::sqrt(double(q.size())) * std::abs(s)};
}

// What a normaliser adds to a score before it looks at it.
template <class N> double offset(const N& normalizer) {
  if constexpr (std::is_same_v<N, laplace>)
    return std::abs(normalizer.mean);
  else if constexpr (std::is_same_v<N, sigmoid>)
    return std::abs(normalizer.bias);
  else
    return 0;
}

}  // namespace heed::fuzz
