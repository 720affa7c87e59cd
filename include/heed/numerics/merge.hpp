// SPDX-License-Identifier: BSL-1.0
// numerics/merge: attention over a union of disjoint key sets from attention over each.
//
//   lse = log Σ_r e^{lse_r}        O = Σ_r e^{lse_r - lse} O_r
//
//   heed::merge({{o1, lse1}, {o2, lse2}}, {.out = o, .lse = lse});
//
// Parts are summed in the order given, so the result has the same bits for any executor. A part
// that saw no key (lse_r = -inf) takes no part, whatever its output holds; nothing but empty parts
// gives zeros and -inf. Cost: one read of every part. FlashInfer, Ye et al. 2025.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/attention/outputs.hpp>
#include <heed/core/check.hpp>
#include <heed/core/executor.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/rows.hpp>
#include <initializer_list>
#include <limits>
#include <span>

namespace heed {

// out [B,H,L,Dv], lse [B,H,L], of any element types.
struct part {
  operand out{};
  operand lse{};
};

namespace detail {

template <class T> T load_one(const operand& x, index b, index h, index l) {
  T value;
  simd::load_row(x.type, x.row(b, h, l), 1, 1, &value);
  return value;
}

template <class T, class Arch>
void merge_row(std::span<const heed::part> parts, const outputs& to, index b, index h, index l) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr index chunk = 512;
  T max = -infinity, sum = 0, lse = -infinity;
  for (const part& r : parts) {
    const T each = load_one<T>(r.lse, b, h, l);
    max = each > max || each != each ? each : max;
  }
  if (max != -infinity) {
    for (const part& r : parts) sum += std::exp(load_one<T>(r.lse, b, h, l) - max);
    lse = max + std::log(sum);
  }
  T total[chunk], one[chunk];
  const index channels = to.out.extent[3];
  for (index first = 0; first < channels; first += chunk) {
    const index count = std::min(chunk, channels - first);
    std::fill_n(total, count, T(0));
    for (const part& r : parts) {
      const T each = load_one<T>(r.lse, b, h, l);
      if (each == -infinity) continue;
      const operand& x = r.out;
      simd::load_row(
          x.type,
          static_cast<const unsigned char*>(x.row(b, h, l)) + first * x.stride[3] * size_of(x.type),
          x.stride[3], count, one);
      simd::add_scaled<Arch>(T(std::exp(each - max) / sum), one, count, total);
    }
    const result& x = to.out;
    simd::store_row(
        x.type, total, count,
        static_cast<unsigned char*>(x.row(b, h, l)) + first * x.stride[3] * size_of(x.type),
        x.stride[3]);
  }
  if (to.lse.present()) simd::store_row(to.lse.type, &lse, 1, to.lse.row(b, h, l), 1);
}

inline void check_merge(std::span<const heed::part> parts, const outputs& to) {
  const extents& o = to.out.extent;
  const extents expected{o[0], o[1], o[2], 1};
  const bool work = o[0] * o[1] * o[2] > 0;
  for (const part& r : parts) {
    const auto broken = [&](const char* rule) {
      check::fail("heed::merge", rule,
                  {{"out", operand(to.out)}, {"part out", r.out}, {"part lse", r.lse}});
    };
    if (r.out.extent != o) broken("every part must have the extents of out");
    if (r.lse.extent != expected) broken("the lse of a part must be [B,H,L]");
    if (work && (!r.lse.present() || (o[3] > 0 && !r.out.present())))
      broken("parts must not be null");
  }
  if (work && o[3] > 0 && !to.out.present())
    check::fail("heed::merge", "out must not be null", {{"out", operand(to.out)}});
  if (to.lse.present() && to.lse.extent != expected)
    check::fail("heed::merge", "lse must be [B,H,L]",
                {{"out", operand(to.out)}, {"lse", operand(to.lse)}});
}

}  // namespace detail

// Computes in float, or in double if `to.out` is double. `to` may coincide with a part of the same
// element types. Throws std::invalid_argument if a shape does not fit.
template <class Arch = simd::best>
void merge(std::span<const part> parts, const outputs& to, executor_ref executor = {}) {
  detail::check_merge(parts, to);
  const extents& e = to.out.extent;
  constexpr index rows = 64;
  const index blocks = (e[2] + rows - 1) / rows;
  executor.for_each(e[0] * e[1] * blocks, [&](index task, index) {
    const index b = task / blocks / e[1], h = task / blocks % e[1], first = task % blocks * rows;
    for (index l = first; l < std::min(first + rows, e[2]); ++l)
      to.out.type == element::f64 ? detail::merge_row<double, Arch>(parts, to, b, h, l)
                                  : detail::merge_row<float, Arch>(parts, to, b, h, l);
  });
}
template <class Arch = simd::best>
void merge(std::initializer_list<part> parts, const outputs& to, executor_ref executor = {}) {
  merge<Arch>(std::span<const part>(parts.begin(), parts.size()), to, executor);
}

}  // namespace heed
