// SPDX-License-Identifier: BSL-1.0
// observe/row_top: the n keys of every query with the largest scores, beside the call in one pass.
//
//   row_top top(keys, weights);             // keys [B,H,Lq,n] of int, weights [B,H,Lq,n]
//   attend(spec, q, k, v, {.out = out, .observe = &top});
//
// Largest first; of equal scores the first key. A key is its index in the tensors; where a query
// sees fewer than n keys the rest is -1, weight 0. The order is that of the scores, so it holds
// where weights underflow, and is that of the weights for every normaliser that grows with the
// score. n = 1 gives the arg-max and the confidence of a head. Retrieval heads, Wu et al. 2024.
// Throws where a call does not fit.
#pragma once

#include <heed/core/view.hpp>
#include <heed/normalizer/concept.hpp>
#include <heed/observe/top_lists.hpp>

namespace heed {

class row_top final : public observer {
 public:
  row_top(const view<int>& keys, const result& weights) : keys_(keys), weights_(weights) {}

  needs wants() const override { return needs::scores; }
  void start(const observed_call& call) override {
    const extents wanted{call.batch, call.shape.heads, call.shape.queries, keys_.extent[3]};
    if (keys_.extent != wanted || keys_.extent[3] < 1 || (!keys_.data && keys_.size() > 0))
      check::fail("heed::row_top",
                  "keys must be [B,H,Lq,n] with n at least 1, not " + check::print(keys_.extent));
    detail::check_observed("heed::row_top", "the weights", weights_, wanted);
    exponential_ = call.exponential;
    held_ = exponential_ ? detail::top_lists<float>::held(count()) : count();
    kept_.start(call, (exponential_ ? 2 : 3) * held_, call.shape.queries);
    kept_.whole([](auto* x, index n) {
      std::fill_n(x, n, masked<std::remove_pointer_t<decltype(x)>> / 2);
    });
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    kept_.whole([&](auto* all, index) { finish<std::remove_pointer_t<decltype(all)>>(at, end); });
  }

 private:
  index count() const { return keys_.extent[3]; }

  template <class T> void add(const observed_panel<T>& x) {
    const tile& at = x.at;
    const index step = kept_.step();
    detail::top_lists<T> lists{x,    kept_.at<T>(at.b, at.h, 0, at.row), nullptr, nullptr, step,
                               held_};
    lists.keys = lists.best + held_ * step;
    if (!exponential_) lists.weights = lists.keys + held_ * step;
    lists.update();
  }
  template <class T> void finish(const row_position& at, const row_end& end) {
    const index step = kept_.step();
    const T* const best = kept_.at<T>(at.b, at.h, 0, at.row);
    const T* const keys = best + held_ * step;
    const T* const weights = exponential_ ? nullptr : keys + held_ * step;
    const index b = kept_.item(at.b);
    for (index first = 0; first < count(); first += most) {
      const index n = std::min(most, count() - first);
      T p[most];
      if (exponential_) {
        using B = simd::batch<T, simd::best>;
        constexpr index W = simd::width<T, simd::best>;
        for (index i = 0; i < (n + W - 1) / W * W; ++i)
          p[i] = best[(first + std::min(i, n - 1)) * step];
        const B unit = simd::constant<B>(simd::log2e * end.scale),
                shift = simd::constant<B>(-end.max);
        for (index i = 0; i < n; i += W)
          simd::store(p + i,
                      B(simd::exp2(B(simd::fma(simd::load<T, simd::best>(p + i), unit, shift)))));
      } else {
        for (index i = 0; i < n; ++i) p[i] = weights[(first + i) * step];
      }
      for (index i = 0; i < n; ++i) {
        const bool found = best[(first + i) * step] > masked<T> / 2;
        p[i] = found ? static_cast<T>(double(p[i]) * end.factor) : T(0);
        keys_(b, at.h, at.row, first + i) =
            found ? static_cast<int>(detail::top_lists<T>::key_of(keys[(first + i) * step])) : -1;
      }
      simd::store_row(weights_.type, p, n,
                      static_cast<unsigned char*>(weights_.row(b, at.h, at.row)) +
                          first * weights_.stride[3] * size_of(weights_.type),
                      weights_.stride[3]);
    }
  }
  static constexpr index most = 64;

  view<int> keys_;
  result weights_;
  detail::lane_memory kept_;  // scores, keys, and weights where they are not e^{s - lse}
  index held_ = 0;            // of each a row, at least n
  bool exponential_ = true;
};

}  // namespace heed
