// SPDX-License-Identifier: BSL-1.0
// similarity/distance: s_ij = -‖q_i - k_j‖² / c, c = 2√D unless given; `attention::scale` is 1/c.
//
// Two more channels make it a dot product, q' = [2q, -‖q‖², -1] and k' = [k, 1, ‖k‖²]: the cost of
// `dot` at D + 2. The price is cancellation: s is off by up to about √D · ε · (‖q‖ + ‖k‖)² / c,
// whatever the distance. Rows that lie close together but far from the origin are better centred
// first (subtract the same vector from q and k), or compared by `direct_distance`. Kim et al., The
// Lipschitz Constant of Self-Attention, 2020. Throws if c is negative.
#pragma once

#include <heed/core/check.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

namespace detail {
inline double distance_scale(double c, index depth) {
  return c > 0 ? 1 / c : 0.5 / std::sqrt(double(depth));
}
inline void check_distance(const char* name, double c) {
  if (!(c >= 0)) check::fail(name, "c must be positive, or 0 for 2√D; not " + std::to_string(c));
}
}  // namespace detail

struct distance {
  double c = 0;  // 0: 2√D

  void check(const problem_shape&) const { detail::check_distance("heed::distance", c); }
  double default_scale(index depth) const { return detail::distance_scale(c, depth); }
  index width(index depth) const { return depth + 2; }

  template <class Arch, class T> void query(T* row, index depth, const row_position&) const {
    row[depth] = -simd::sum_of_squares<Arch>(row, depth);
    row[depth + 1] = T(-1);
    simd::map_row<Arch>(row, depth, [](auto x) { return x + x; });
  }
  template <class Arch, class T> void key(T* row, index depth, const row_position&) const {
    row[depth] = T(1);
    row[depth + 1] = simd::sum_of_squares<Arch>(row, depth);
  }
  template <class Arch, class T>
  void query_backward(const T* x, T* dx, index depth, const row_position&) const {
    for (index i = 0; i < depth; ++i) dx[i] = 2 * (dx[i] - x[i] * dx[depth]);
  }
  template <class Arch, class T>
  void key_backward(const T* x, T* dx, index depth, const row_position&) const {
    for (index i = 0; i < depth; ++i) dx[i] += 2 * x[i] * dx[depth + 1];
  }
};

// The same from the differences themselves, to full relative accuracy: two operations a channel
// where `distance` has one. Leave `attention::scale` alone: it would multiply q.
struct direct_distance {
  double c = 0;

  void check(const problem_shape&) const { detail::check_distance("heed::direct_distance", c); }
  double default_scale(index) const { return 1; }

  template <class Arch, class T>
  void scores(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
              index depth, T* s) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B factor(T(-detail::distance_scale(c, depth)));
    for (index j = 0; j < keys; ++j)
      for (index v = 0; v < vectors; ++v) {
        B even(T(0)), odd(T(0));
        const auto add = [&](B& sum, index channel) {
          const B d =
              simd::load<T, Arch>(q + channel * pitch + v * W) - B(key[j * stride + channel]);
          sum = simd::fma(d, d, sum);
        };
        index i = 0;
        for (; i + 2 <= depth; i += 2) add(even, i), add(odd, i + 1);
        if (i < depth) add(even, i);
        simd::store(s + j * pitch + v * W, B((even + odd) * factor));
      }
  }
  // dq_i -= 2/c Σ_j ds_ij (q_i - k_j), dk_j += 2/c Σ_i ds_ij (q_i - k_j); dq [channel][lane].
  template <class Arch, class T>
  void backward(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
                index depth, const T* ds, T* dq, T* dk) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B factor(T(2 * detail::distance_scale(c, depth))), zero(T(0));
    for (index j = 0; j < keys; ++j)
      for (index channel = 0; channel < depth; ++channel) {
        B sum(T(0));
        for (index v = 0; v < vectors; ++v) {
          const index i = channel * pitch + v * W;
          const B d = simd::load<T, Arch>(ds + j * pitch + v * W);
          const B apart = simd::load<T, Arch>(q + i) - B(key[j * stride + channel]);
          const B pull = simd::select(d == zero, zero, B(d * factor * apart));  // hidden: any rows
          simd::store(dq + i, B(simd::load<T, Arch>(dq + i) - pull));
          sum = sum + pull;
        }
        dk[j * stride + channel] += simd::sum_lanes<T, Arch>(sum);
      }
  }
};

}  // namespace heed
