// SPDX-License-Identifier: BSL-1.0
// observe/row_top: the n keys of every query with the largest scores, beside the call in one pass.
//
//   row_top top(keys, weights);             // keys [B,H,Lq,n] of int, weights [B,H,Lq,n]
//   attend(spec, q, k, v, {.out = out, .observe = &top});
//
// Largest first; of equal scores the first key. A key is its index in the tensors; where a query
// sees fewer than n keys the rest is -1, weight 0. The order is that of the scores, so it holds
// where weights underflow, and is that of the weights for every normaliser that grows with the
// score. n = 1 gives the arg-max and the confidence of a head.
#pragma once

#include <heed/core/view.hpp>
#include <heed/normalizer/concept.hpp>
#include <heed/observe/lanes.hpp>

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
    kept_.start(call, 2 * count(), call.shape.queries);
    kept_.whole([](auto* x, index n) {  // weights too: they are read where a key was found
      std::fill_n(x, n, masked<std::remove_pointer_t<decltype(x)>> / 2);
    });
    found_.assign(static_cast<std::size_t>(keys_.size()), -1);
  }
  void panel(const observed_panel<float>& x) override { add(x); }
  void panel(const observed_panel<double>& x) override { add(x); }
  void row(const row_position& at, const row_end& end) override {
    const int* const found = found_at(at.b, at.h, at.row);
    for (index i = 0; i < count(); ++i) {
      const int key = found[i * kept_.rows()];
      keys_(kept_.item(at.b), at.h, at.row, i) = key;
      if (key < 0) kept_.set(at.b, at.h, count() + i, at.row, 0);
    }
    kept_.finish(at, count(), count(), end.factor, weights_);
  }

 private:
  index count() const { return keys_.extent[3]; }
  int* found_at(index b, index h, index row) {
    return found_.data() + ((kept_.item(b) * keys_.extent[1] + h) * count()) * kept_.rows() + row;
  }

  template <class T> void add(const observed_panel<T>& x) {
    const tile& at = x.at;
    const index pitch = at.pitch, step = kept_.rows(), n = count();
    T* const best = kept_.at<T>(at.b, at.h, 0, at.row);
    T* const weights = best + n * step;
    detail::rescale_lanes(x.factor, at.rows, n, weights, step);
    detail::each_lane<T>(at.rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
      using B = simd::batch<T, A>;
      constexpr index W = simd::width<T, A>;
      const T* const s = x.scores + lane;
      B least = simd::load<T, A>(best + (n - 1) * step + lane);
      const auto enter = [&](index j) {
        for (index l = 0; l < W; ++l)
          if (s[j * pitch + l] > best[(n - 1) * step + lane + l])
            insert(at, lane + l, j, s[j * pitch + l], x.weights[j * pitch + lane + l],
                   best + lane + l, weights + lane + l);
        least = simd::load<T, A>(best + (n - 1) * step + lane);
      };
      index j = 0;
      for (; j + 4 <= at.keys; j += 4) {
        const T* const p = s + j * pitch;
        const B low = simd::max(B(simd::load<T, A>(p)), B(simd::load<T, A>(p + pitch))),
                high = simd::max(B(simd::load<T, A>(p + 2 * pitch)),
                                 B(simd::load<T, A>(p + 3 * pitch)));
        if (simd::any(simd::max(low, high) > least))
          for (index i = j; i < j + 4; ++i) enter(i);
      }
      for (; j < at.keys; ++j) enter(j);
    });
  }
  template <class T>
  void insert(const tile& at, index lane, index j, T score, T weight, T* best, T* weights) {
    const index step = kept_.rows();
    int* const keys = found_at(at.b, at.h, at.row + lane);
    index i = count() - 1;
    for (; i > 0 && best[(i - 1) * step] < score; --i) {
      best[i * step] = best[(i - 1) * step];
      weights[i * step] = weights[(i - 1) * step];
      keys[i * step] = keys[(i - 1) * step];
    }
    best[i * step] = score;
    weights[i * step] = weight;
    keys[i * step] = static_cast<int>(at.slot + j);
  }

  view<int> keys_;
  result weights_;
  detail::lane_memory kept_;  // scores, then weights
  std::vector<int> found_;
};

}  // namespace heed
