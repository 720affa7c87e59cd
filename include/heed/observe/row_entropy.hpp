// SPDX-License-Identifier: BSL-1.0
// observe/row_entropy: H_i = -Σ_j p_ij log p_ij, beside the call in one pass.
//
//   row_entropy entropy(as<"BHL">(h));                                   // [B,H,Lq]
//   attend(spec, q, k, v, {.out = out, .observe = &entropy});
//   row_entropy::gradient by_h(entropy, as<"BHL">(dh));                  // dL/dH
//   attend_backward(spec, q, k, v, {}, d_out, {.dq = dq, .observed = &by_h});
//
// Beside the running sum l = Σ p̃ goes a = Σ p̃ x, p̃ = 2^x, both rescaled where the maximum moves;
// H = (l log Σ - a ln 2) / Σ, Σ the denominator with sinks and extra slots. Nothing cancels that
// was not small: x counts from the running maximum. A row without keys has entropy 0. KL(p ‖
// uniform) over n keys is log n - H. Softmax and sink_softmax only. σReparam, Zhai et al. 2023.
// Throws where a call does not fit.
#pragma once

#include <cmath>
#include <heed/normalizer/concept.hpp>
#include <heed/observe/lanes.hpp>
#include <heed/simd/log.hpp>

namespace heed {

class row_entropy final : public observer {
 public:
  explicit row_entropy(const result& to) : to_(to) {}

  needs wants() const override { return needs::scores; }
  void start(const observed_call& call) override {
    if (!call.exponential)
      check::fail("heed::row_entropy", "the weights must be those of a softmax");
    detail::check_observed("heed::row_entropy", "the entropy", to_,
                           {call.batch, call.shape.heads, call.shape.queries, 1});
    kept_.start(call, 3, call.shape.queries);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    const double sum = kept_.get(at.b, at.h, mass, at.row),
                 powers = kept_.get(at.b, at.h, entropy, at.row);
    double h = sum > 0 ? end.factor * (sum * std::log(end.sum) - powers * simd::ln2) : 0 * sum;
    if (h < 0) h = 0;  // by rounding
    kept_.set(at.b, at.h, mass, at.row, end.factor * sum);
    kept_.set(at.b, at.h, entropy, at.row, h);
    simd::store_row(to_.type, &h, 1, to_.row(kept_.item(at.b), at.h, at.row), 1);
  }

  // dL/dp_ij = -g_i (log p_ij + 1), g = dL/dH [B,H,Lq]; of the call that the observer saw last.
  class gradient final : public observed_gradient {
   public:
    gradient(const row_entropy& seen, const operand& g)
        : seen_(seen), g_("heed::row_entropy", g, seen.to_.extent) {}
    void add(const tile& at, const float* p, float* dp) const override { each(at, p, dp); }
    void add(const tile& at, const double* p, double* dp) const override { each(at, p, dp); }
    double delta(const row_position& at) const override {
      return *g_.lanes(at.b, at.h, 0, at.row) * (seen_.kept_.get(at.b, at.h, entropy, at.row) -
                                                 seen_.kept_.get(at.b, at.h, mass, at.row));
    }

   private:
    template <class T> void each(const tile& at, const T* p, T* dp) const {
      const double* const g = g_.lanes(at.b, at.h, 0, at.row);
      T by[64];
      for (index first = 0; first < at.rows; first += 64) {
        const index rows = std::min<index>(64, at.rows - first);
        for (index i = 0; i < rows; ++i) by[i] = static_cast<T>(g[first + i]);
        detail::each_lane<T>(rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
          using B = simd::batch<T, A>;
          const B scale = simd::load<T, A>(by + lane), one(T(1));
          for (index i = first + lane; i < at.keys * at.pitch; i += at.pitch) {
            const B log = simd::log(B(simd::load<T, A>(p + i)));
            simd::store(dp + i, B(simd::load<T, A>(dp + i) - scale * (log + one)));
          }
        });
      }
    }

    const row_entropy& seen_;
    detail::row_gradients g_;
  };

 private:
  // Until the row ends: Σ p̃, Σ p̃ x, and the maximum that x counts from.
  enum number : index { mass, entropy, top };

  template <class T> void add(const observed_panel<T>& x) {
    const index pitch = x.at.pitch, end = x.at.keys * pitch;
    T* const sums = kept_.at<T>(x.at.b, x.at.h, mass, x.at.row);
    T* const powers = kept_.at<T>(x.at.b, x.at.h, entropy, x.at.row);
    T* const tops = kept_.at<T>(x.at.b, x.at.h, top, x.at.row);
    detail::each_lane<T>(x.at.rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
      using B = simd::batch<T, A>;
      const B max = simd::load<T, A>(x.max + lane), unit = simd::constant<B>(simd::log2e * x.scale),
              lowest(masked<T>), shift = B(T(0)) - max;
      B l[4] = {simd::load<T, A>(sums + lane), B(T(0)), B(T(0)), B(T(0))};
      B a[4] = {simd::load<T, A>(powers + lane), B(T(0)), B(T(0)), B(T(0))};
      a[0] = a[0] + l[0] * (simd::load<T, A>(tops + lane) - max);
      if (x.factor) {
        const B f = simd::load<T, A>(x.factor + lane);
        l[0] = l[0] * f, a[0] = a[0] * f;
      }
      // A score of -inf has weight 0, and 0 · inf must not arise.
      const auto key = [&](index i, int c) HEED_INLINE_LAMBDA {
        const B p = simd::load<T, A>(x.weights + i),
                s = simd::max(simd::load<T, A>(x.scores + i), lowest);
        l[c] = l[c] + p;
        a[c] = simd::fma(p, B(simd::fma(s, unit, shift)), a[c]);
      };
      index i = lane;
      for (; i + 3 * pitch < end; i += 4 * pitch)
        HEED_UNROLL for (int c = 0; c < 4; ++c) key(i + c * pitch, c);
      for (; i < end; i += pitch) key(i, 0);
      simd::store(sums + lane, B((l[0] + l[1]) + (l[2] + l[3])));
      simd::store(powers + lane, B((a[0] + a[1]) + (a[2] + a[3])));
      simd::store(tops + lane, max);
    });
  }

  result to_;
  detail::lane_memory kept_;
};

}  // namespace heed
