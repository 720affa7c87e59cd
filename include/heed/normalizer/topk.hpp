// SPDX-License-Identifier: BSL-1.0
// normalizer/topk: softmax over the k largest scores of a row, ties to the lower key; k = 1 is hard
// attention. All keys where a row sees no more than k. Chosen keys count as constants backward.
//
// The k-th largest by bisection between the values of the row: some passes more than the logarithm
// of the keys, each of one comparison a pair, no sorting.
// Gupta et al. 2021.
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/check.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct topk {
  index k = 1;
  using whole_rows = void;

  void check(const problem_shape&) const {
    if (k < 1) check::fail("heed::topk", "k must be at least 1, not " + std::to_string(k));
  }
  index scratch(index, index) const { return 0; }

  template <class Arch, class T> void solve(const row_scores<T>& x, T*) const {
    using B = simd::batch<T, Arch>;
    const B zero(T(0)), one(T(1)), lowest(masked<T> / 2), wanted(static_cast<T>(k));
    for (index v = 0; v < x.pitch; v += simd::width<T, Arch>) {
      T* const s = x.s + v;
      const auto at = [&](index j) { return simd::load<T, Arch>(s + j * x.pitch); };
      B low(std::numeric_limits<T>::infinity()), high(masked<T>), seen = zero;
      for (index j = 0; j < x.keys; ++j) {
        const B y = at(j);
        const auto hidden = y <= lowest;
        low = simd::select(hidden, low, simd::min(low, y));
        high = simd::max(high, y);
        seen = seen + simd::select(hidden, zero, one);
      }
      const B top = high;
      // Both are scores of the row: low <= the k-th largest <= high.
      high = simd::select(wanted < seen, high, low);
      while (simd::any(low < high)) {
        B middle = low + (high - low) * B(T(0.5));
        middle = simd::select(simd::both(low < middle, middle <= high), middle, high);
        B count = zero, next(std::numeric_limits<T>::infinity()), below(masked<T>);
        for (index j = 0; j < x.keys; ++j) {
          const B y = at(j);
          const auto up = middle <= y;
          count = count + simd::select(up, one, zero);
          next = simd::select(up, simd::min(next, y), next);
          below = simd::select(up, below, simd::max(below, y));
        }
        const auto enough = wanted <= count, open = low < high;
        const B raised = simd::select(enough, next, low),
                lowered = simd::select(enough, high, below);
        low = simd::select(open, raised, low), high = simd::select(open, lowered, high);
      }
      B above = zero;
      for (index j = 0; j < x.keys; ++j) above = above + simd::select(low < at(j), one, zero);
      B equal = wanted - above, sum = zero;
      for (index j = 0; j < x.keys; ++j) {
        const B y = at(j);
        const auto level = simd::both(y == low, zero < equal);
        equal = equal - simd::select(level, one, zero);
        const B p = simd::exp2(B((y - top) * simd::constant<B>(simd::log2e)));
        const auto hidden = y <= lowest;
        // A score that is NaN is chosen: it is seen in the output.
        const auto chosen = simd::either(simd::either(low < y, level), y != y);
        const B weight = simd::select(hidden, zero, B(simd::select(chosen, p, zero)));
        simd::store(s + j * x.pitch, weight);
        sum = sum + weight;
      }
      const B share = simd::select(sum == zero, zero, B(one / sum));
      for (index j = 0; j < x.keys; ++j) simd::store(s + j * x.pitch, B(at(j) * share));
    }
  }

  template <class Arch, class T> void solve_backward(const row_scores<T>& p, T* d, T*) const {
    using B = simd::batch<T, Arch>;
    const B zero(T(0));
    for (index v = 0; v < p.pitch; v += simd::width<T, Arch>) {
      B mean = zero;
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i);
        mean = simd::select(weight == zero, mean,
                            B(simd::fma(weight, simd::load<T, Arch>(d + i), mean)));
      }
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i);
        simd::store(d + i, B(simd::select(weight == zero, zero,
                                          B(weight * (simd::load<T, Arch>(d + i) - mean)))));
      }
    }
  }
};

}  // namespace heed
