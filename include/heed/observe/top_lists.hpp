// SPDX-License-Identifier: BSL-1.0
// The n largest scores of every query of a panel, with their keys: the inner loops of row_top.
//
// Lists stay sorted, a vector of queries at a time, in registers up to n = 8. Of W queries next to
// each other a key enters the list of one with a chance of about W n / j at key j; it costs some
// 5 n instructions then. For small n.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <heed/observe/lanes.hpp>

namespace heed::detail {

template <class T> struct top_lists {
  const observed_panel<T>& x;
  T* best;     // [n][lane], `step` apart; largest first
  T* keys;     // their keys, as bits, so that both move alike
  T* weights;  // null: not wanted
  index step, n;

  // Lengths that have loops of their own.
  static index held(index count) {
    return count <= 8 ? index(std::bit_ceil(static_cast<std::size_t>(count))) : count;
  }
  static index key_of(T bits) { return static_cast<index>(std::bit_cast<integer>(bits)); }

  void update() const {
    if (weights) rescale_lanes(x.factor, x.at.rows, n, weights, step);
    constexpr index three = 3 * simd::width<T, simd::best>;
    index done = 0;
    if (n == 1 && !weights)
      for (; done + three <= x.at.rows; done += three) largest<3>(done);
    each_lane<T>(x.at.rows - done, [&]<class A>(A, index from) {
      const index lane = done + from;
      if (!weights && n == 1) return in_registers<A, 1>(lane);
      if (!weights && n == 2) return in_registers<A, 2>(lane);
      if (!weights && n == 4) return in_registers<A, 4>(lane);
      if (!weights && n == 8) return in_registers<A, 8>(lane);
      in_memory<A>(lane);
    });
  }

 private:
  using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  static T bits_of(index key) { return std::bit_cast<T>(static_cast<integer>(key)); }

  // n = 1 for several vectors side by side: each waits for its last comparison.
  template <std::size_t V> void largest(index lane) const {
    using A = simd::best;
    using B = simd::batch<T, A>;
    std::array<B, V> score, key;
    constexpr index W = simd::width<T, A>;
    HEED_UNROLL for (std::size_t v = 0; v < V; ++v) {
      score[v] = simd::load<T, A>(best + lane + index(v) * W);
      key[v] = simd::load<T, A>(keys + lane + index(v) * W);
    }
    for (index j = 0; j < x.at.keys; ++j) {
      const B what(bits_of(x.at.slot + j));
      HEED_UNROLL for (std::size_t v = 0; v < V; ++v) {
        const B s = simd::load<T, A>(x.scores + j * x.at.pitch + lane + index(v) * W);
        const auto larger = s > score[v];
        score[v] = simd::select(larger, s, score[v]);
        key[v] = simd::select(larger, what, key[v]);
      }
    }
    HEED_UNROLL for (std::size_t v = 0; v < V; ++v) {
      simd::store(best + lane + index(v) * W, score[v]);
      simd::store(keys + lane + index(v) * W, key[v]);
    }
  }
  // f(key) for the keys of a vector that may be better than `least`, a vector that f may change.
  template <class A, class B, class F>
  HEED_INLINE void each_better(index lane, const B& least, F f) const {
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
  template <class A, index N> void in_registers(index lane) const {
    using B = simd::batch<T, A>;
    std::array<B, N> score, key;
    HEED_UNROLL for (index i = 0; i < N; ++i) {
      score[std::size_t(i)] = simd::load<T, A>(best + lane + i * step);
      key[std::size_t(i)] = simd::load<T, A>(keys + lane + i * step);
    }
    const auto enter = [&](index j) HEED_INLINE_LAMBDA {
      const B s = simd::load<T, A>(x.scores + lane + j * x.at.pitch), what(bits_of(x.at.slot + j));
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
      each_better<A>(lane, score[N - 1], enter);
    HEED_UNROLL for (index i = 0; i < N; ++i) {
      simd::store(best + lane + i * step, score[std::size_t(i)]);
      simd::store(keys + lane + i * step, key[std::size_t(i)]);
    }
  }
  template <class A> void in_memory(index lane) const {
    using B = simd::batch<T, A>;
    const T* const last = best + (n - 1) * step + lane;
    B least = simd::load<T, A>(last);
    each_better<A>(lane, least, [&](index j) {
      const index at = j * x.at.pitch + lane;
      const B score = simd::load<T, A>(x.scores + at);
      if (weights)
        insert<A>(score, B(simd::load<T, A>(x.weights + at)), best + lane, weights + lane);
      insert<A>(score, B(bits_of(x.at.slot + j)), best + lane, keys + lane);
      insert<A>(score, score, best + lane, best + lane);
      least = simd::load<T, A>(last);
    });
  }
  // What belongs to a new score goes to its place in `list`, which is sorted as `sorted` is; that
  // itself comes last.
  template <class A, class B>
  void insert(const B& score, const B& what, const T* sorted, T* list) const {
    B here = simd::load<T, A>(list + (n - 1) * step);
    auto larger = score > simd::load<T, A>(sorted + (n - 1) * step);
    for (index i = n - 1; i > 0; --i) {
      const auto above = score > simd::load<T, A>(sorted + (i - 1) * step);
      const B next = simd::load<T, A>(list + (i - 1) * step);
      simd::store(list + i * step,
                  B(simd::select(above, next, B(simd::select(larger, what, here)))));
      here = next, larger = above;
    }
    simd::store(list, B(simd::select(larger, what, here)));
  }
};

}  // namespace heed::detail
