// SPDX-License-Identifier: BSL-1.0
// mask/global_local: local windows and few tokens that see and are seen by all.
//
//   global_tokens{0, 3}   longformer(1, {2})   bigbird{1, 3, 1, 1, 7}
//   xxxxxx                xxx...               xxxxxxx
//   x..x..                xxx...               xxx...x
//   x..x..                xxxxxx               xxxx..x
//   xxxxxx                ..xxx.               x.xxxx.
//   x..x..                ..xxxx               xx.xxx.
//   x..x..                ..x.xx               xx..xxx
//                                              x.x..xx
//
// global_tokens: q or k on the list; one ascending list of positions for all items, or with `items`
// = [B + 1] offsets one each. longformer (Beltagy et al.): |q - k| <= reach, `step` apart, or
// global; steps may differ by head. Projections of their own for global rows are the caller's.
//
// bigbird (Zaheer et al.): blocks within window / 2 of each other, the first `global` blocks, as
// rows and as columns, and `random` other blocks for every block of queries and head, without
// repeats, drawn from the seed by counters: the same whatever the call, the batch and the threads.
// Spans are exact; where a row has more than a panel keeps, block_map skips what lies between them.
// Longformer, Beltagy et al. 2020; BigBird, Zaheer et al. 2020.
#pragma once

#include <array>
#include <heed/core/counter.hpp>
#include <heed/core/offsets.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/joined.hpp>
#include <heed/mask/strided.hpp>
#include <iterator>

namespace heed {

struct global_tokens {
  std::span<const int> list{};
  std::span<const int> items{};

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const auto of = listed(at.b);
    return holds(of, at.q) || holds(of, at.k);
  }
  // For what it is joined with: a list is searched once a vector, not once a pair.
  template <class B, class T> auto vector(const lanes<B, T>& at) const {
    const auto of = listed(at.b);
    auto seen = lanewise(at, at.q != at.q);
    if (holds(of, static_cast<index>(at.k))) return lanewise(at, at.q == at.q);
    T q[sizeof(B) / sizeof(T)];
    simd::store(q, at.q);
    const auto first = std::lower_bound(of.begin(), of.end(), static_cast<index>(q[0]));
    for (auto g = first; g != of.end() && static_cast<T>(*g) <= *(std::end(q) - 1); ++g)
      seen = lanewise(at, seen | (at.q == static_cast<T>(*g)));
    return seen;
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const auto of = listed(at.b);
    detail::joined out(keys, emit);
    if (holds(of, at.q))
      out.add({0, keys});
    else
      for (const int k : of) out.add({k, k + 1});
    out.flush();
  }
  void check(const problem_shape& shape) const {
    constexpr auto name = "heed::global_tokens";
    if (!items.empty()) {
      if (index(items.size()) != shape.batch + 1)
        check::fail(name, "items must hold one offset more than the batch: " +
                              std::to_string(items.size()) + " for " + std::to_string(shape.batch));
      check::offsets(name, "items", items, index(list.size()));
    }
    for (index b = 0; b < (items.empty() ? 1 : shape.batch); ++b) {
      int before = -1;
      for (const int k : listed(b)) {
        if (k <= before || k >= shape.keys)
          check::fail(name, "the list must ascend without repeats within " +
                                std::to_string(shape.keys) + " keys: " + std::to_string(k) +
                                " after " + std::to_string(before) + ", item " + std::to_string(b));
        before = k;
      }
    }
  }

 private:
  constexpr std::span<const int> listed(index b) const {
    if (items.empty()) return list;
    const auto i = static_cast<std::size_t>(b);
    return list.subspan(static_cast<std::size_t>(items[i]),
                        static_cast<std::size_t>(items[i + 1] - items[i]));
  }
  static constexpr bool holds(std::span<const int> of, index i) {
    const auto found = std::lower_bound(of.begin(), of.end(), i);
    return found != of.end() && *found == i;
  }
};

using longformer_mask = either_mask<dilated_window, global_tokens>;
inline longformer_mask longformer(index reach, const global_tokens& global = {}, index step = 1) {
  return {{reach, reach, step}, global};
}
// `steps`: one a query head.
inline longformer_mask longformer(index reach, const global_tokens& global,
                                  std::span<const int> steps) {
  return {{reach, reach, 1, steps}, global};
}

struct bigbird {
  static constexpr index most = 32;  // random blocks

  index block = 64;
  index window = 3;  // blocks, an odd number of them
  index global = 2;  // blocks
  index random = 3;  // blocks
  index keys = 0;    // of the call
  std::uint64_t seed = 0;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const index q = detail::floor_divided(at.q, block), k = at.k / block;
    if ((0 <= q && q < global) || k < global || (q - k <= window / 2 && k - q <= window / 2))
      return true;
    const drawn_blocks x = draw(at.h, q);
    return std::find(x.list.begin(), x.list.begin() + x.count, k) != x.list.begin() + x.count;
  }
  template <class F> constexpr void intervals(const position& at, index last, F emit) const {
    const index q = detail::floor_divided(at.q, block);
    detail::joined out(last, emit);
    const auto blocks = [&](index from, index to) { out.add({from * block, to * block}); };
    if (0 <= q && q < global) {
      out.add({0, last});
    } else {
      const drawn_blocks x = draw(at.h, q);
      const auto end = x.list.begin() + x.count,
                 after = std::find_if(x.list.begin(), end, [&](index k) { return k > q; });
      blocks(0, global);
      for (auto k = x.list.begin(); k != after; ++k) blocks(*k, *k + 1);
      blocks(q - window / 2, q + window / 2 + 1);
      for (auto k = after; k != end; ++k) blocks(*k, *k + 1);
    }
    out.flush();
  }
  void check(const problem_shape& shape) const {
    constexpr auto name = "heed::bigbird";
    detail::check_chunk_size(name, block);
    const auto want = [&](bool holds, const std::string& rule, index is) {
      if (!holds) check::fail(name, rule + ": " + std::to_string(is));
    };
    want(window >= 1 && window % 2 == 1, "window must be an odd number of blocks", window);
    want(global >= 0, "global must not be negative", global);
    want(0 <= random && random <= most, "random must be at most 32 blocks, and not negative",
         random);
    want(keys == shape.keys, "`keys` must be those of the call, " + std::to_string(shape.keys),
         keys);
  }

 private:
  struct drawn_blocks {
    std::array<index, most> list{};  // ascending
    index count = 0;
  };
  // The n-th draw takes one of the blocks that are left, counted in their order.
  constexpr drawn_blocks draw(index h, index q) const {
    const index blocks = (keys + block - 1) / block;
    const span near{std::clamp(q - window / 2, std::min(global, blocks), blocks),
                    std::clamp(q + window / 2 + 1, std::min(global, blocks), blocks)};
    drawn_blocks x;
    if (q < 0) return x;
    index left = blocks - std::min(global, blocks) - near.size();
    const counter::words row = counter::of_row(seed, 0, h, q);
    for (; x.count < random && left > 0; ++x.count, --left) {
      const std::uint64_t bits = counter::of_pair(row, counter::of_key(seed, x.count));
      index k = global + static_cast<index>(bits * static_cast<std::uint64_t>(left) >> 32);
      // Past what was taken, in ascending order: the window counts as one of those.
      bool passed = near.empty();
      index at = 0;
      for (; at < x.count || !passed;) {
        const bool window_next = !passed && (at == x.count || near.begin <= x.list[pick(at)]);
        if (k < (window_next ? near.begin : x.list[pick(at)])) break;
        k += window_next ? near.size() : 1;
        window_next ? void(passed = true) : void(++at);
      }
      std::copy_backward(x.list.begin() + at, x.list.begin() + x.count,
                         x.list.begin() + x.count + 1);
      x.list[pick(at)] = k;
    }
    return x;
  }
  static constexpr std::size_t pick(index i) { return static_cast<std::size_t>(i); }
};

}  // namespace heed
