// SPDX-License-Identifier: BSL-1.0
// From scores to weights, a tile at a time.
//
// A normaliser keeps two vectors a panel column, `max` (log2 units) and `sum`, and has
//   template <class T> row_state<T> start(const row_position&) const;     // before the first key
//   template <class Arch, class T> bool absorb(T* s, index pitch, index keys, row_state<B>& state,
//                                              B& factor, double scale = 1) const;
//     // scores -> weights in place; true if earlier sums are to be multiplied by `factor`.
//     // `scale`, in (1/√2, √2], is still to be applied to the scores; to be left out where that
//     // would cost more than another constant
//   template <class B> B finish(const row_state<B>&) const;               // factor of the output
//   template <class B> B lse(const row_state<B>&) const;                  // softmax family only
//   template <class B> B dscore(s, p, dp, delta, const row_state<B>&) const;
//     // derivative by the score s: p the finished weight, dp the derivative by it,
//     // delta = Σ_j p_ij dp_ij, the state as the last key left it
// or what normalizer/elementwise.hpp asks of a weight that looks at one score alone. `steps_of`
// gives these members for either kind.
//
// A masked score is `masked<T>`; its weight must be exactly 0.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

template <class B> struct row_state {
  B max, sum;
};

// Finite, so that no inf - inf arises; below every score that is not masked.
template <class T> inline constexpr T masked = std::is_same_v<T, float> ? T(-1e30f) : T(-1e300);
// The running maximum of a row that has seen nothing.
template <class T> inline constexpr T nothing = std::is_same_v<T, float> ? T(-1e20f) : T(-1e200);

template <class N>
inline constexpr bool has_lse = requires(const N& n, const row_state<float>& s) { n.lse(s); };

// Whether `absorb` has the parameter `scale`.
template <class N>
inline constexpr bool absorbs_scale =
    requires(const N& n, float* s, row_state<float>& state, float& factor) {
      n.template absorb<simd::scalar>(s, index{}, index{}, state, factor, double{});
    };

// Whether finished weights are e^{s - lse}: `replay` makes them from a state {lse · log2 e, 1}.
template <class N>
inline constexpr bool replays_from_lse =
    requires(const N& n, float* s, const row_state<float>& state) {
      n.template replay<simd::scalar>(s, index{}, index{}, state);
    };

}  // namespace heed
