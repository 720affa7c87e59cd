// SPDX-License-Identifier: BSL-1.0
// similarity/qk_norm: x ← g ⊙ x / √(mean_c x_c² + ε), a row transform for `.query` and `.key`,
// before positions: .query = qk_norm{g_q} | rope{…}.
//
// Gains [D], or [H,D] with the heads of the operand it transforms; without gains g = 1. The mean
// runs over the channels of one head: a norm over all heads jointly is the caller's, before the
// call. Henry et al., Query-Key Normalization for Transformers, 2020. O(D) a row. Throws if the
// gains do not fit the operand or ε is negative.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/parameters.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct qk_norm {
  parameters gain{};
  double epsilon = 1e-6;

  void check(const row_shape& rows) const {
    const index n = gain.size(), depth = rows.channels;
    if (n != 0 && n != depth && n != rows.heads * depth)
      check::fail("heed::qk_norm", "gain must be [D] or [H,D], " + std::to_string(depth) + " or " +
                                       std::to_string(rows.heads * depth) + " numbers, not " +
                                       std::to_string(n));
    if (!(epsilon >= 0)) check::fail("heed::qk_norm", "epsilon must not be negative");
  }

  template <class Arch, class T> void row(T* x, index depth, const row_position& at) const {
    const T mean = simd::sum_of_squares<Arch>(x, depth) / T(depth);
    const T factor = T(1) / std::sqrt(mean + T(epsilon));
    if (gain.empty())
      return simd::map_row<Arch>(x, depth, [factor](auto v) { return v * decltype(v)(factor); });
    const index first = gain.size() > depth ? at.h * depth : 0;
    for (index c = 0; c < depth; ++c) x[c] *= factor * T(gain[first + c]);
  }

  struct gradient {
    parameters_gradient gain;  // as the gain
  };
  index sums(const gradient& g) const { return g.gain.size(); }
  void check(const gradient& g) const { g.gain.check("heed::qk_norm", "the gain", gain.size()); }
  // With r = 1 / √(mean x² + ε): dx = r (g ⊙ dy) - x r³ (x · (g ⊙ dy)) / D, dg = r x ⊙ dy.
  template <class Arch, class T>
  void row_backward(const T* x, T* dx, index depth, const row_position& at, const gradient& g,
                    double* sum) const {
    const T mean = simd::sum_of_squares<Arch>(x, depth) / T(depth);
    const T r = T(1) / std::sqrt(mean + T(epsilon));
    const index first = gain.size() > depth ? at.h * depth : 0;
    T product = 0;
    for (index c = 0; c < depth; ++c) {
      if (g.gain.size() > 0) sum[first + c] += double(r * x[c] * dx[c]);
      if (!gain.empty()) dx[c] *= T(gain[first + c]);
      product += x[c] * dx[c];
    }
    const T back = r * r * r * product / T(depth);
    for (index c = 0; c < depth; ++c) dx[c] = r * dx[c] - back * x[c];
  }
  void deliver(const gradient& g, const double* sum) const { g.gain.store(sum); }
};

}  // namespace heed
