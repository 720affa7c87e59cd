// SPDX-License-Identifier: BSL-1.0
// Score modifiers on the scores of one query row, side by side: lanes are keys. A modifier in the
// generic form is called with vectors, any other score by score.
#pragma once

#include <algorithm>
#include <heed/score/concept.hpp>

namespace heed {

namespace detail {

template <class S, class Arch, class T> consteval bool takes_key_lanes() {
  using B = simd::batch<T, Arch>;
  if constexpr (std::is_same_v<S, none>)
    return true;
  else if constexpr (is_chain<S>)
    return takes_key_lanes<decltype(S::first), Arch, T>() &&
           takes_key_lanes<decltype(S::second), Arch, T>();
  else
    return vector_score<S, B, T> && requires(const S& f, B s, const key_lanes<B>& at) {
      { f(s, at) } -> std::convertible_to<B>;
    } && simd::branchless<S, B, key_lanes<typename simd::strict<B>::type>>;
}

}  // namespace detail

// s[j] <- f(s[j]) for the keys of `in` and its query `row`; room for whole vectors.
template <class Arch, class S, class T>
void modify_row(const S& f, const tile& in, index row, T* s) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  if constexpr (detail::takes_key_lanes<S, Arch, T>()) {
    key_lanes<B> at{.b = in.b, .h = in.h, .q = B(T(in.q + row)), .row = in.row + row};
    const B steps = simd::iota<T, Arch>();
    for (index j = 0; j < in.keys; j += W) {
      at.k = B(B(static_cast<T>(in.k + j)) + steps);
      if (in.places) {
        T each[W];
        for (index i = 0; i < W; ++i)
          each[i] = static_cast<T>(in.places[std::min(j + i, in.keys - 1)]);
        at.k = simd::load<T, Arch>(each);
      }
      at.slot = in.slot + j, at.key = j;
      simd::store(s + j, B(applied(f, simd::load<T, Arch>(s + j), at)));
    }
  } else {
    for (index j = 0; j < in.keys; ++j)
      s[j] =
          modified(f, s[j], position{in.b, in.h, in.q + row, in.key(j), in.row + row, in.slot + j});
  }
}

}  // namespace heed
