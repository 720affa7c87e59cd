// SPDX-License-Identifier: BSL-1.0
// Score modifiers: s' = f(s, at).
//
// A lambda that takes `heed::position` is called element by element. One that takes `auto at` is
// called with vectors of consecutive queries as well: `at.q` is then a batch, `at.k` a scalar of
// the same value type, `at.h` and `at.b` indices: s + slope[at.h] * (at.k - at.q).
// Modifiers see masked pairs too; what they make of those is discarded.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/simd.hpp>

namespace heed {

// `at` of a single pair, for the scalar form of a generic modifier.
template <class T>
using point = lanes<T, T>;

template <class S, class V, class T>
concept vector_score = requires(const S& f, V s, const lanes<V, T>& at) {
  { f(s, at) } -> std::convertible_to<V>;
};

template <class S>
concept score_modifier = std::is_same_v<S, none> || is_chain<S> || vector_score<S, double, double> ||
                         requires(const S& f, float s, const position& at) {
                           { f(s, at) } -> std::convertible_to<float>;
                         };

// One score, by whichever form the modifier has; T is float or double.
template <class S, class T>
T modified(const S& f, T s, const position& at) {
  if constexpr (std::is_same_v<S, none>)
    return s;
  else if constexpr (is_chain<S>)
    return modified(f.second, modified(f.first, s, at), at);
  else if constexpr (vector_score<S, T, T>)
    return T(f(s, point<T>{.b = at.b, .h = at.h, .q = T(at.q), .k = T(at.k), .row = at.row, .slot = at.slot}));
  else
    return T(f(s, at));
}

// A vector of scores of consecutive queries; `rows` of its lanes are real queries.
template <class Arch, class S, class T>
HEED_INLINE simd::batch<T, Arch> modified(const S& f, simd::batch<T, Arch> s,
                                          const lanes<simd::batch<T, Arch>, T>& at, index q) {
  using B = simd::batch<T, Arch>;
  if constexpr (std::is_same_v<S, none>) {
    return s;
  } else if constexpr (is_chain<S>) {
    return modified<Arch>(f.second, modified<Arch>(f.first, s, at, q), at, q);
  } else if constexpr (vector_score<S, B, T>) {
    return f(s, at);
  } else {
    T each[simd::width<T, Arch>];
    simd::store(each, s);
    for (index i = 0; i < simd::width<T, Arch>; ++i)
      each[i] = T(f(each[i], position{at.b, at.h, q + i, index(at.k), at.row + i, at.slot}));
    return simd::load<T, Arch>(each);
  }
}

}  // namespace heed
