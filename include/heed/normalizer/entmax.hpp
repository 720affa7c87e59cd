// SPDX-License-Identifier: BSL-1.0
// normalizer/entmax: sparse weights that sum to one,
//
//   p_ij = [(α - 1) s_ij - τ_i]₊^{1/(α - 1)},   τ_i from Σ_j p_ij = 1
//
// α = 2 is sparsemax (Martins & Astudillo 2016), α = 1.5 lies half-way to softmax, which is α -> 1
// (Peters, Niculae & Martins 2019). Backward: ds = u (dp - Σ u dp / Σ u), u = p^{2 - α}.
//
// τ by Newton's method from below, where the sum is convex (α <= 2), else within a bracket; the
// weights are divided by their sum, so its error is that of one rounding and that of τ some
// roundings of the largest (α - 1) s. About ten passes over the scores; α other than 1.5 and 2
// takes a logarithm and an exponential a pair and pass.
#pragma once

#include <heed/attention/row_scores.hpp>
#include <heed/core/check.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/log.hpp>

namespace heed {

struct entmax {
  double alpha = 1.5;
  using whole_rows = void;

  void check(const problem_shape&) const {
    if (!(alpha > 1 && alpha <= 64))
      check::fail("heed::entmax",
                  "alpha must be above 1 and at most 64, not " + std::to_string(alpha));
  }
  index scratch(index, index) const { return 0; }

  template <class Arch, class T> void solve(const row_scores<T>& x, T*) const {
    if (alpha == 2) return solve_by<Arch>(x, linear{});
    if (alpha == 1.5) return solve_by<Arch>(x, squared{});
    solve_by<Arch>(x, power{1 / (alpha - 1)});
  }
  template <class Arch, class T> void solve_backward(const row_scores<T>& p, T* d, T*) const {
    using B = simd::batch<T, Arch>;
    const B zero(T(0)), one(T(1));
    const auto share = [&](const B& weight) -> B {
      if (alpha == 2) return one;
      if (alpha == 1.5) return simd::sqrt(weight);
      return raised(weight, 2 - alpha);
    };
    for (index v = 0; v < p.pitch; v += simd::width<T, Arch>) {
      B sum = zero, all = zero;
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i), u = share(weight);
        const auto none = weight == zero;
        all = all + simd::select(none, zero, u);
        sum = sum + simd::select(none, zero, B(u * simd::load<T, Arch>(d + i)));
      }
      const B mean = simd::select(all == zero, zero, B(sum / all));
      for (index i = v; i < p.keys * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.s + i);
        const B slope = share(weight) * (simd::load<T, Arch>(d + i) - mean);
        simd::store(d + i, B(simd::select(weight == zero, zero, slope)));
      }
    }
  }

 private:
  // y^e and y^{e - 1}, y >= 0, e = 1 / (α - 1); 0 where y is.
  struct linear {
    static constexpr double e = 1;
    template <class B> void operator()(const B& y, B& p, B& slope) const {
      const B zero = simd::constant<B>(0);
      p = y, slope = simd::select(y > zero, simd::constant<B>(1), zero);
    }
  };
  struct squared {
    static constexpr double e = 2;
    template <class B> void operator()(const B& y, B& p, B& slope) const { p = y * y, slope = y; }
  };
  struct power {
    double e;
    template <class B> void operator()(const B& y, B& p, B& slope) const {
      p = raised(y, e);
      slope = simd::select(y == simd::constant<B>(0), y, B(p / y));
    }
  };
  template <class B> static B raised(const B& y, double e) {
    using simd::constant;
    const B x = simd::exp(B(simd::log(y) * constant<B>(e)));
    return simd::select(y == constant<B>(0), y, x);
  }

  template <class Arch, class T, class F> void solve_by(const row_scores<T>& x, const F& f) const {
    using B = simd::batch<T, Arch>;
    const B zero(T(0)), one(T(1)), half(T(0.5)), lowest(masked<T> / 2);
    const B factor(static_cast<T>(alpha - 1));
    for (index v = 0; v < x.pitch; v += simd::width<T, Arch>) {
      T* const s = x.s + v;
      B top(masked<T>);
      for (index j = 0; j < x.keys; ++j) top = simd::max(top, simd::load<T, Arch>(s + j * x.pitch));
      const auto empty = top <= lowest;
      // From here on (α - 1)(s - max), whose τ lies in [-1, 0); what is masked stays far below.
      for (index j = 0; j < x.keys; ++j) {
        T* const at = s + j * x.pitch;
        simd::store(at, B((simd::load<T, Arch>(at) - top) * factor));
      }
      B low(T(-1)), high = zero, tau = low;
      for (int i = 0; i < most_steps<T>; ++i) {
        B total = zero, slope = zero;
        for (index j = 0; j < x.keys; ++j) {
          B p, by;
          f(positive<B>(simd::load<T, Arch>(s + j * x.pitch), tau), p, by);
          total = total + p, slope = slope + by;
        }
        const auto above = total > one;
        low = simd::select(above, tau, low), high = simd::select(above, high, tau);
        B next = tau + (total - one) / (slope * simd::constant<B>(f.e));
        if (f.e < 1) {
          const auto inside = simd::both(low < next, next < high);
          next = simd::select(inside, next, B((low + high) * half));
        } else {
          next = simd::select(above, next, tau);  // convex: it never passes the root
        }
        const auto moved = simd::both(tau < next, above);
        const auto goes_on = f.e < 1 ? simd::either(next < tau, tau < next) : moved;
        tau = next;
        if (!simd::any(goes_on)) break;
      }
      B total = zero;
      for (index j = 0; j < x.keys; ++j) {
        T* const at = s + j * x.pitch;
        B p, by;
        f(positive<B>(simd::load<T, Arch>(at), tau), p, by);
        simd::store(at, p);
        total = total + p;
      }
      const B share = simd::select(empty, zero, B(one / total));
      for (index j = 0; j < x.keys; ++j) {
        T* const at = s + j * x.pitch;
        simd::store(at, B(simd::select(empty, zero, B(simd::load<T, Arch>(at) * share))));
      }
    }
  }
  // [y - τ]₊, NaN where y is.
  template <class B> static B positive(const B& y, const B& tau) {
    return simd::max(simd::constant<B>(0), B(y - tau));
  }
  // Newton from below takes four to eight where α <= 2; a bracket at most as many as it has digits.
  template <class T> static constexpr int most_steps = std::is_same_v<T, float> ? 40 : 80;
};

// [s - τ]₊: the Euclidean projection of a row onto the simplex.
inline entmax sparsemax() { return {.alpha = 2}; }

}  // namespace heed
