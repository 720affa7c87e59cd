// SPDX-License-Identifier: BSL-1.0
// From scores to weights, a tile at a time.
//
// A normaliser keeps two vectors a panel column, `max` (log2 units) and `sum`, and has
//   template <class T> row_state<T> start(const row_position&) const;     // before the first key
//   template <class Arch, class T> bool absorb(T* s, index pitch, index keys, row_state<B>& state,
//                                              B& factor) const;
//     // scores -> weights in place; true if earlier sums are to be multiplied by `factor`
//   template <class B> B finish(const row_state<B>&) const;               // factor of the output
//   template <class B> B lse(const row_state<B>&) const;                  // softmax family only
// A masked score is `masked<T>`; its weight must be exactly 0.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

template <class B>
struct row_state {
  B max, sum;
};

// Finite, so that no inf - inf arises; below every score that is not masked.
template <class T>
inline constexpr T masked = std::is_same_v<T, float> ? T(-1e30f) : T(-1e300);
// The running maximum of a row that has seen nothing.
template <class T>
inline constexpr T nothing = std::is_same_v<T, float> ? T(-1e20f) : T(-1e200);

template <class N>
inline constexpr bool has_lse = requires(const N& n, const row_state<float>& s) { n.lse(s); };

// Normalisers that act on each score alone: `weight(s)` and the sum of the weights.
// `N::weight(batch) -> batch`; masked scores get weight 0 by select.
template <class Arch, class T, class Weight>
void absorb_elementwise(T* s, index pitch, index keys, row_state<simd::batch<T, Arch>>& state,
                        const Weight& weight) {
  using B = simd::batch<T, Arch>;
  const B lowest(masked<T> / 2);
  for (index j = 0; j < keys; ++j) {
    const B x = simd::load<T, Arch>(s + j * pitch);
    const B p = simd::select(x > lowest, B(weight(x)), B(T(0)));
    simd::store(s + j * pitch, p);
    state.sum = state.sum + p;
  }
}

}  // namespace heed
