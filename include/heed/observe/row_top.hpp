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
//
// Lists stay sorted, a vector of queries at a time, in registers up to n = 8. Of W queries next to
// each other a key enters the list of one with a chance of about W n / j at key j; it costs some
// 5 n instructions then. For small n.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
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
    exponential_ = call.exponential;
    held_ = exponential_ && count() <= 8 ? index(std::bit_ceil(std::size_t(count()))) : count();
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
  // Keys are kept as bits beside the scores, so that both move alike.
  template <class T> using bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

  template <class T> static T bits_of(index key) {
    return std::bit_cast<T>(static_cast<bits<T>>(key));
  }

  index count() const { return keys_.extent[3]; }

  template <class T> void add(const observed_panel<T>& x) {
    const tile& at = x.at;
    T* const best = kept_.at<T>(at.b, at.h, 0, at.row);
    T* const keys = best + held_ * kept_.step();
    T* const weights = keys + held_ * kept_.step();
    if (!exponential_) detail::rescale_lanes(x.factor, at.rows, held_, weights, kept_.step());
    detail::each_lane<T>(at.rows, [&]<class A>(A, index lane) {
      if (!exponential_ || held_ > 8) return in_memory<A>(x, lane, best, keys, weights);
      const auto scan = held_ == 1   ? &row_top::in_registers<A, 1, T>
                        : held_ == 2 ? &row_top::in_registers<A, 2, T>
                        : held_ == 4 ? &row_top::in_registers<A, 4, T>
                                     : &row_top::in_registers<A, 8, T>;
      (this->*scan)(x, lane, best + lane, keys + lane);
    });
  }
  // f(key) for the keys of a vector that may be better than `least`, a vector that f may change.
  template <class A, class T, class B, class F>
  HEED_INLINE static void each_better(const observed_panel<T>& x, index lane, const B& least, F f) {
    const index pitch = x.at.pitch;
    const T* const s = x.scores + lane;
    const auto load = [&](index j) HEED_INLINE_LAMBDA { return simd::load<T, A>(s + j * pitch); };
    index j = 0;
    for (; j + 4 <= x.at.keys; j += 4)
      if (simd::any(simd::max(B(simd::max(load(j), load(j + 1))),
                              B(simd::max(load(j + 2), load(j + 3)))) > least))
        for (index i = j; i < j + 4; ++i)
          if (simd::any(load(i) > least)) f(i);
    for (; j < x.at.keys; ++j)
      if (simd::any(load(j) > least)) f(j);
  }
  template <class A, index N, class T>
  void in_registers(const observed_panel<T>& x, index lane, T* best, T* keys) const {
    using B = simd::batch<T, A>;
    const index pitch = x.at.pitch, step = kept_.step();
    std::array<B, N> score, key;
    HEED_UNROLL for (index i = 0; i < N; ++i) {
      score[std::size_t(i)] = simd::load<T, A>(best + i * step);
      key[std::size_t(i)] = simd::load<T, A>(keys + i * step);
    }
    const auto enter = [&](index j) HEED_INLINE_LAMBDA {
      const B s = simd::load<T, A>(x.scores + lane + j * pitch), what(bits_of<T>(x.at.slot + j));
      auto larger = s > score[N - 1];
      HEED_UNROLL for (std::size_t i = N - 1; i > 0; --i) {
        const auto above = s > score[i - 1];
        score[i] = simd::select(above, score[i - 1], B(simd::select(larger, s, score[i])));
        key[i] = simd::select(above, key[i - 1], B(simd::select(larger, what, key[i])));
        larger = above;
      }
      score[0] = simd::select(larger, s, score[0]);
      key[0] = simd::select(larger, what, key[0]);
    };
    if constexpr (N == 1)
      for (index j = 0; j < x.at.keys; ++j) enter(j);
    else
      each_better<A>(x, lane, score[N - 1], enter);
    HEED_UNROLL for (index i = 0; i < N; ++i) {
      simd::store(best + i * step, score[std::size_t(i)]);
      simd::store(keys + i * step, key[std::size_t(i)]);
    }
  }
  template <class A, class T>
  void in_memory(const observed_panel<T>& x, index lane, T* best, T* keys, T* weights) const {
    using B = simd::batch<T, A>;
    const T* const last = best + (held_ - 1) * kept_.step() + lane;
    B least = simd::load<T, A>(last);
    each_better<A>(x, lane, least, [&](index j) {
      const index at = j * x.at.pitch + lane;
      const B score = simd::load<T, A>(x.scores + at);
      if (!exponential_)
        insert<A>(score, B(simd::load<T, A>(x.weights + at)), best + lane, weights + lane);
      insert<A>(score, B(bits_of<T>(x.at.slot + j)), best + lane, keys + lane);
      insert<A>(score, score, best + lane, best + lane);
      least = simd::load<T, A>(last);
    });
  }
  // What belongs to a new score goes to its place in `list`, which is sorted as `best` is; `best`
  // itself comes last.
  template <class A, class T, class B>
  void insert(const B& score, const B& what, const T* best, T* list) const {
    const index step = kept_.step();
    B here = simd::load<T, A>(list + (held_ - 1) * step);
    auto larger = score > simd::load<T, A>(best + (held_ - 1) * step);
    for (index i = held_ - 1; i > 0; --i) {
      const auto above = score > simd::load<T, A>(best + (i - 1) * step);
      const B next = simd::load<T, A>(list + (i - 1) * step);
      simd::store(list + i * step,
                  B(simd::select(above, next, B(simd::select(larger, what, here)))));
      here = next, larger = above;
    }
    simd::store(list, B(simd::select(larger, what, here)));
  }

  template <class T> void finish(const row_position& at, const row_end& end) {
    const index step = kept_.step();
    const T* const best = kept_.at<T>(at.b, at.h, 0, at.row);
    const T* const keys = best + held_ * step;
    const T* const weights = keys + held_ * step;
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
            found ? static_cast<int>(std::bit_cast<bits<T>>(keys[(first + i) * step])) : -1;
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
