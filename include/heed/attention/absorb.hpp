// SPDX-License-Identifier: BSL-1.0
// A panel of scores to weights, by the normaliser that runs along with the tile loop.
//
// Where nothing but the normaliser reads the scores, q keeps its digits: it is multiplied by the
// power of two in the scale, and the normaliser takes the rest.
#pragma once

#include <heed/attention/panel.hpp>
#include <heed/normalizer/elementwise.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec>
inline constexpr bool splits_scale =
    absorbs_scale<decltype(Spec::normalizer)> && !has_score<Spec> &&
    !own_products<decltype(Spec::similarity), T, Arch>;

// What q is multiplied by, and what is left for the normaliser: 1 where that takes nothing.
template <class T, class Arch, class Spec> split_scale query_scale(const Spec&, double scale) {
  return splits_scale<T, Arch, Spec> ? parted(scale) : split_scale{scale, 1};
}

// S[key][lane] -> P in place, and the states max[lane] and sum[lane]; true if what was summed
// before is to be multiplied by factors[lane], which are written in any case.
template <class Arch, class Spec, class T>
bool absorb_panel(const Spec& spec, double rest, index vectors, index pitch, index keys, T* s,
                  T* max, T* sum, T* factors) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const auto& normalizer = steps_of(spec.normalizer);
  bool moved = false;
  for (index lane = 0; lane < vectors * W; lane += W) {
    row_state<B> state{simd::load<T, Arch>(max + lane), simd::load<T, Arch>(sum + lane)};
    B factor(T(1));
    if constexpr (splits_scale<T, Arch, Spec>)
      moved |= normalizer.template absorb<Arch>(s + lane, pitch, keys, state, factor, rest);
    else
      moved |= normalizer.template absorb<Arch>(s + lane, pitch, keys, state, factor);
    simd::store(max + lane, state.max);
    simd::store(sum + lane, state.sum);
    simd::store(factors + lane, factor);
  }
  return moved;
}

}  // namespace heed::detail
