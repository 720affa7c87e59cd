// SPDX-License-Identifier: BSL-1.0
// Score modifiers where the queries of a panel are not consecutive.
//
// A modifier with `static constexpr bool by_position = true` reads no more of a pair than b, h, q
// and k, and is called with vectors; a bias by place has numbers ready (listed_places.hpp). Any
// other is called element by element: its vector form may take rows for consecutive.
#pragma once

#include <heed/score/concept.hpp>

namespace heed {

template <class S> consteval bool reads_positions_only() {
  if constexpr (requires { S::by_position; })
    return S::by_position;
  else
    return false;
}

// S[key][lane] <- f(S); `in.pitch` is whole vectors. `add(bias)` adds what a driver has ready.
template <class Arch, class S, class T, class Add>
void modify_listed(const S& f, const listed_tile& in, T* s, const Add& add) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  if constexpr (is_chain<S>) {
    modify_listed<Arch>(f.first, in, s, add);
    modify_listed<Arch>(f.second, in, s, add);
  } else if constexpr (!std::is_same_v<S, none>) {
    if (add(f)) return;
    if constexpr (reads_positions_only<S>() && vector_score<S, B, T>) {
      for (index lane = 0; lane < in.rows; lane += W) {
        T q[W];
        for (index i = 0; i < W; ++i)
          q[i] = static_cast<T>(in.queries[lane + i < in.rows ? lane + i : in.rows - 1]);
        lanes<B, T> at{.b = in.b, .h = in.h, .q = simd::load<T, Arch>(q)};
        for (index j = 0; j < in.keys; ++j) {
          T* const x = s + j * in.pitch + lane;
          at.k = static_cast<T>(in.tokens[j]);
          simd::store(x, B(f(simd::load<T, Arch>(x), at)));
        }
      }
    } else {
      for (index j = 0; j < in.keys; ++j)
        for (index lane = 0; lane < in.rows; ++lane) {
          T& x = s[j * in.pitch + lane];
          x = modified(f, x, in.pair(lane, j));
        }
    }
  }
}

}  // namespace heed
