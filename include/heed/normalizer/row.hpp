// SPDX-License-Identifier: BSL-1.0
// A normaliser on the scores of one row, side by side, where `absorb` has a row a lane; and the
// union of what a row saw in two places.
#pragma once

#include <heed/normalizer/elementwise.hpp>

namespace heed::detail {

// `keys` is a multiple of the width; masked scores fill it up. As `absorb`, with the state of the
// row. A normaliser without `absorb_row` goes one score at a time.
template <class Arch, class N, class T>
bool absorb_row(const N& normalizer, T* s, index keys, row_state<T>& state, T& factor,
                double scale) {
  if constexpr (requires { normalizer.template absorb_row<Arch>(s, keys, state, factor, scale); })
    return normalizer.template absorb_row<Arch>(s, keys, state, factor, scale);
  else if constexpr (absorbs_scale<N>)
    return normalizer.template absorb<simd::scalar>(s, 1, keys, state, factor, scale);
  else
    return normalizer.template absorb<simd::scalar>(s, 1, keys, state, factor);
}

// What a row starts from where another part of it has `start` already.
template <class N, class T> row_state<T> neutral_state() {
  if constexpr (has_lse<N>)
    return {nothing<T>, T(0)};
  else
    return {T(0), T(0)};
}

// `state` joins `other`; returns {factor of what belongs to state, factor of the other's}.
template <class N, class T> std::pair<T, T> join(row_state<T>& state, const row_state<T>& other) {
  if constexpr (has_lse<N>) {
    const T max = std::max(state.max, other.max);
    const T mine = simd::exp2(T(state.max - max)), its = simd::exp2(T(other.max - max));
    state = {max, state.sum * mine + other.sum * its};
    return {mine, its};
  } else {
    state = {state.max + other.max, state.sum + other.sum};
    return {T(1), T(1)};
  }
}

}  // namespace heed::detail
