// SPDX-License-Identifier: BSL-1.0
// Score modifiers on pairs that lie along a diagonal: every lane has a query and a key of its own.
//
// A modifier in the generic form is called with batches of positions, `at.q` and `at.k`; `row` and
// `slot` are those of the first lane. One that reads tables by row or slot is called pair by pair.
#pragma once

#include <heed/score/row.hpp>

namespace heed {

// S[t][lane] <- f(S) for the query `q[lane]` and the keys key[lane], key[lane] + step, … of W
// lanes, the first `lanes` of which count.
template <class Arch, class S, class T>
void modify_pairs(const S& f, index b, index h, const index* q, const index* key, index step,
                  index lanes, index taps, T* s) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  if constexpr (detail::takes_key_lanes<S, Arch, T>()) {
    T each[W];
    key_lanes<B> at{.b = b, .h = h, .row = q[0]};
    for (index l = 0; l < W; ++l) each[l] = static_cast<T>(q[l]);
    at.q = simd::load<T, Arch>(each);
    for (index l = 0; l < W; ++l) each[l] = static_cast<T>(key[l]);
    at.k = simd::load<T, Arch>(each), at.slot = key[0];
    const B on(static_cast<T>(step));
    for (index t = 0; t < taps; ++t, s += W, at.k = at.k + on, at.slot += step)
      simd::store(s, B(applied(f, simd::load<T, Arch>(s), at)));
  } else {
    for (index t = 0; t < taps; ++t, s += W)
      for (index l = 0; l < lanes; ++l) {
        const index k = key[l] + t * step;
        s[l] = modified(f, s[l], position{b, h, q[l], k, q[l], k});
      }
  }
}

}  // namespace heed
