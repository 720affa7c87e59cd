// SPDX-License-Identifier: BSL-1.0
// Scores of a panel that a mask hides: by compares of lanes with key intervals, or by asking the
// mask for every element.
#pragma once

#include <algorithm>
#include <heed/attention/intervals.hpp>
#include <heed/mask/concept.hpp>
#include <heed/normalizer/concept.hpp>
#include <limits>

namespace heed::detail {

// S[j][lane] = masked where no interval of the lane holds key `first + j`, for j in `keys`. There is
// at least one interval.
template <class Arch, class T>
HEED_NOINLINE void mask_lanes(const lane_intervals& in, index vectors, index first, span keys, T* s,
                              index pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  T lo[lane_intervals::most][W], hi[lane_intervals::most][W];
  for (index v = 0; v < vectors; ++v) {
    for (index r = 0; r < in.count; ++r)
      for (index i = 0; i < W; ++i) {
        // Relative to the tile, so that positions beyond 2^24 stay exact.
        lo[r][i] = T(std::clamp(in.lo[r * in.pitch + v * W + i] - first, keys.begin, keys.end));
        hi[r][i] = T(std::clamp(in.hi[r * in.pitch + v * W + i] - first, keys.begin, keys.end));
      }
    for (index j = keys.begin; j < keys.end; ++j) {
      const B at(static_cast<T>(j));
      auto seen = simd::both(simd::load<T, Arch>(lo[0]) <= at, at < simd::load<T, Arch>(hi[0]));
      for (index r = 1; r < in.count; ++r)
        seen = simd::either(
            seen, simd::both(simd::load<T, Arch>(lo[r]) <= at, at < simd::load<T, Arch>(hi[r])));
      T* x = s + j * pitch + v * W;
      simd::store(x, B(simd::select(seen, simd::load<T, Arch>(x), B(masked<T>))));
    }
  }
}

// The same by asking the mask for every element. `at` is the corner.
template <class Arch = simd::best, class Mask, class T>
HEED_NOINLINE void mask_elements(const Mask& mask, const tile& at, T* s) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  using at_lanes = lanes<B, T>;
  if constexpr (requires(at_lanes a) { mask.vector(a); }) {
    constexpr index integers = index{1} << std::numeric_limits<T>::digits;  // exact in T up to here
    if (at.pitch % W == 0 && at.q + at.rows < integers && at.key(at.keys - 1) < integers) {
      const B steps = simd::iota<T, Arch>();
      for (index v = 0; v * W < at.rows; ++v)
        for (index j = 0; j < at.keys; ++j) {
          const at_lanes a{.b = at.b,
                           .h = at.h,
                           .q = B(B(static_cast<T>(at.q + v * W)) + steps),
                           .k = static_cast<T>(at.key(j)),
                           .row = at.row + v * W,
                           .slot = at.slot + j,
                           .lane = v * W,
                           .key = j};
          T* x = s + j * at.pitch + v * W;
          simd::store(x, B(simd::select(mask.vector(a), simd::load<T, Arch>(x), B(masked<T>))));
        }
      return;
    }
  }
  if constexpr (requires { mask.hide(at, s); }) {
    mask.hide(at, s);
  } else {
    for (index j = 0; j < at.keys; ++j)
      for (index lane = 0; lane < at.rows; ++lane)
        if (!mask(position{at.b, at.h, at.q + lane, at.key(j), at.row + lane, at.slot + j}))
          s[j * at.pitch + lane] = masked<T>;
  }
}

// The same for a panel that overflows: an exact mask gives its intervals once more.
template <class Arch, class Mask, class T>
HEED_NOINLINE void mask_overflow(const Mask& mask, const tile& at, T* s) {
  if constexpr (!exact_mask<Mask>())
    if (!is_exact(mask)) return mask_elements<Arch>(mask, at, s);
  if (at.places) return mask_elements<Arch>(mask, at, s);
  const index last = at.k + at.keys;
  for (index lane = 0; lane < at.rows; ++lane) {
    index from = at.k;
    const auto hide = [&](index to) {
      for (; from < std::min(to, last); ++from) s[(from - at.k) * at.pitch + lane] = masked<T>;
    };
    intervals(mask, position{.b = at.b, .h = at.h, .q = at.q + lane, .row = at.row + lane}, last,
              [&](span x) {
                hide(x.begin);
                from = std::max(from, x.end);
              });
    hide(last);
  }
}

}  // namespace heed::detail
