// SPDX-License-Identifier: BSL-1.0
// A softmax over the edges of a node, for all its heads, that edges come to in blocks; and the
// values that they weigh. Parts of a node have a state each, merged in their order.
#pragma once

#include <heed/segment/rows.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/lanes.hpp>
#include <limits>

namespace heed::detail {

template <class T, class Arch> struct segment_state {
  static constexpr index W = simd::width<T, Arch>;
  static constexpr T nothing = -std::numeric_limits<T>::infinity();
  using B = simd::batch<T, Arch>;

  T *max, *sum, *value;  // [heads in whole vectors] twice, [H][Dv]
  index heads, width;    // width: H · Dv

  static constexpr index pitch(index heads) { return (heads + W - 1) / W * W; }
  static constexpr index size(index heads, index width) {
    return 2 * pitch(heads) + (width + W - 1) / W * W;
  }
  static segment_state at(T* p, index heads, index width) {
    return {p, p + pitch(heads), p + 2 * pitch(heads), heads, width};
  }

  void clear() const {
    std::fill_n(max, pitch(heads), nothing);
    std::fill_n(sum, pitch(heads), T(0));
    std::fill_n(value, width, T(0));
  }
  // An edge without a value that every node has; z = -inf is none.
  void start(index h, T z) const {
    if (z > nothing) max[h] = z, sum[h] = T(1);
  }

  // Logits s [H][segment_block] of `count` edges become weights relative to the new maximum.
  // `scratch` has 2 pitch(heads) elements.
  HEED_NOINLINE void absorb(T* s, index count, T* scratch) const {
    const index vectors = (count + W - 1) / W, all = pitch(heads);
    T *const top = scratch, *const factor = scratch + all;
    for (index h = 0; h < heads; ++h) {
      T* const row = s + h * segment_block;
      std::fill(row + count, row + vectors * W, nothing);
      B most = simd::load<T, Arch>(row);
      for (index v = 1; v < vectors; ++v) most = simd::max(most, simd::load<T, Arch>(row + v * W));
      top[h] = simd::max_lanes<T, Arch>(most);
    }
    std::fill(top + heads, top + all, nothing);
    bool moved = false;
    for (index h = 0; h < all; h += W) {
      const B before = simd::load<T, Arch>(max + h), none(nothing), zero(T(0));
      const B now = simd::max(before, simd::load<T, Arch>(top + h));
      const B base = simd::select(now == none, zero, now), f = simd::exp(B(before - base));
      const B total = simd::load<T, Arch>(sum + h);
      simd::store(max + h, now), simd::store(top + h, base), simd::store(factor + h, f);
      simd::store(sum + h, B(total * f));
      moved = moved || simd::any(simd::both(before < now, zero < total));
    }
    if (moved) rescale(factor);
    for (index h = 0; h < heads; ++h) {
      T* const row = s + h * segment_block;
      const B base(top[h]);
      B total(T(0));
      for (index v = 0; v < vectors; ++v) {
        const B p = simd::exp(B(simd::load<T, Arch>(row + v * W) - base));
        simd::store(row + v * W, p);
        total = total + p;
      }
      sum[h] += simd::sum_lanes<T, Arch>(total);
    }
  }
  void rescale(const T* factor) const {
    const index depth = heads > 0 ? width / heads : 0;
    for (index h = 0; h < heads; ++h)
      if (factor[h] != T(1))
        for (index c = 0; c < depth; ++c) value[h * depth + c] *= factor[h];
  }

  void merge(const segment_state& other) const {
    const index depth = heads > 0 ? width / heads : 0;
    for (index h = 0; h < heads; ++h) {
      const T now = std::max(max[h], other.max[h]);
      if (now == nothing) continue;
      const T mine = simd::exp(T(max[h] - now)), theirs = simd::exp(T(other.max[h] - now));
      sum[h] = sum[h] * mine + other.sum[h] * theirs, max[h] = now;
      for (index c = h * depth; c < (h + 1) * depth; ++c)
        value[c] = value[c] * mine + other.value[c] * theirs;
    }
  }

  T share(index h) const { return sum[h] == T(0) ? T(0) : T(1) / sum[h]; }
  T lse(index h) const { return sum[h] == T(0) ? nothing : max[h] + std::log(sum[h]); }
};

}  // namespace heed::detail
