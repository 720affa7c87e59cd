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

  // Logits s [H][segment_block] of `count` edges become weights relative to the new maximum. Heads
  // do not meet: what one waits for, the next ones hide.
  HEED_NOINLINE void absorb(T* s, index count) const {
    const index vectors = (count + W - 1) / W, depth = heads > 0 ? width / heads : 0;
    const B none(nothing), lane = simd::iota<T, Arch>();
    for (index h = 0; h < heads; ++h, s += segment_block) {
      B most = none;
      // Lanes are hidden in registers: storing -inf to them would keep the next load waiting.
      const auto load = [&](index v) HEED_INLINE_LAMBDA {
        return simd::select(lane < B(T(count - v * W)), simd::load<T, Arch>(s + v * W), none);
      };
      for (index v = 0; v < vectors; ++v) most = simd::max(most, load(v));
      const T before = max[h], now = simd::max(before, simd::max_lanes<T, Arch>(most));
      if (now > before) {
        max[h] = now;
        if (sum[h] > T(0)) {
          const T factor = simd::exp(T(before - now));
          sum[h] *= factor;
          for (index c = h * depth; c < (h + 1) * depth; ++c) value[c] *= factor;
        }
      }
      const B base(now == nothing ? T(0) : now);
      B total(T(0));
      for (index v = 0; v < vectors; ++v) {
        const B p = simd::exp(B(load(v) - base));
        simd::store(s + v * W, p);
        total = total + p;
      }
      sum[h] += simd::sum_lanes<T, Arch>(total);
    }
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
