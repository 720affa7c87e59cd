// SPDX-License-Identifier: BSL-1.0
// normalizer/query_axis: queries compete for keys, as slots do in slot attention (Locatello et al.
// 2020):
//
//   a_ij = e^{s_ij} / Σ_i e^{s_ij},   p_ij = (a_ij + ε) / Σ_j (a_ij + ε)
//
// over the pairs that the mask leaves; keys that no query sees have no weight. All queries of a
// sequence and head are one block: queries · keys elements of scratch a worker. The iteration, and
// the network that updates slots, are the caller's.
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/check.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/lanes.hpp>

namespace heed {

struct query_axis {
  double epsilon = 1e-8;
  using whole_rows = void;
  using all_queries = void;

  void check(const problem_shape&) const {
    if (!(epsilon >= 0))
      check::fail("heed::query_axis",
                  "epsilon must not be negative, not " + std::to_string(epsilon));
  }
  // The sum of a row.
  index scratch(index, index pitch) const { return pitch; }

  template <class Arch, class T> void solve(const row_scores<T>& x, T* sum) const {
    compete<Arch>(x, x.s, sum);
    const auto each = [&](index i, const auto& share) {
      using B = std::decay_t<decltype(share)>;
      simd::store(x.s + i, B(simd::load<T, Arch>(x.s + i) * share));
    };
    using B = simd::batch<T, Arch>;
    for (index v = 0; v < x.pitch; v += simd::width<T, Arch>) {
      const B all = simd::load<T, Arch>(sum + v);
      const B share = simd::select(all == B(T(0)), B(T(0)), B(B(T(1)) / all));
      for (index i = v; i < x.keys * x.pitch; i += x.pitch) each(i, share);
    }
  }

  // `s`, the scores, is overwritten.
  template <class Arch, class T>
  void solve_backward(const row_scores<T>& p, T* s, T* d, T* sum) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B zero(T(0));
    compete<Arch>(p, s, sum);
    // da = (dp - Σ_j p dp) / Σ_j (a + ε)
    for (index v = 0; v < p.pitch; v += W) {
      B mean = zero;
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i);
        mean = simd::select(weight == zero, mean,
                            B(simd::fma(weight, simd::load<T, Arch>(d + i), mean)));
      }
      const B all = simd::load<T, Arch>(sum + v);
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i);
        const B by = (simd::load<T, Arch>(d + i) - mean) / all;
        simd::store(d + i, B(simd::select(weight == zero, zero, by)));
      }
    }
    // ds = a (da - Σ_i a da)
    const B less(static_cast<T>(epsilon));
    for (index j = 0; j < p.keys; ++j) {
      const T* const weights = p.s + j * p.pitch;
      T *const a = s + j * p.pitch, *const to = d + j * p.pitch;
      B all = zero;
      for (index v = 0; v < p.pitch; v += W) {
        const B share = simd::select(simd::load<T, Arch>(weights + v) == zero, zero,
                                     B(simd::load<T, Arch>(a + v) - less));
        simd::store(a + v, share);
        all = simd::fma(share, simd::load<T, Arch>(to + v), all);
      }
      const B mean(simd::sum_lanes<T, Arch>(all));
      for (index v = 0; v < p.pitch; v += W)
        simd::store(to + v, B(simd::load<T, Arch>(a + v) * (simd::load<T, Arch>(to + v) - mean)));
    }
  }

 private:
  // s becomes a + ε, 0 where masked; its sums over the keys of each row.
  template <class Arch, class T> void compete(const row_scores<T>& x, T* s, T* sum) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const B zero(T(0)), lowest(masked<T> / 2), more(static_cast<T>(epsilon));
    std::fill_n(sum, x.pitch, T(0));
    for (index j = 0; j < x.keys; ++j) {
      T* const row = s + j * x.pitch;
      T top = masked<T>;
      for (index lane = 0; lane < x.rows; ++lane) top = row[lane] > top ? row[lane] : top;
      B all = zero;
      for (index v = 0; v < x.pitch; v += W) {
        const B y = simd::load<T, Arch>(row + v);
        const B e = simd::select(y <= lowest, zero, B(simd::exp(B(y - B(top)))));
        all = all + e;
      }
      const T total = simd::sum_lanes<T, Arch>(all);
      const B share(total == T(0) ? T(0) : T(1) / total);
      for (index v = 0; v < x.pitch; v += W) {
        const B y = simd::load<T, Arch>(row + v);
        const B e = simd::exp(B(y - B(top))) * share + more;
        const B a = simd::select(y <= lowest, zero, e);
        simd::store(row + v, a);
        simd::store(sum + v, B(simd::load<T, Arch>(sum + v) + a));
      }
    }
  }
};

}  // namespace heed
