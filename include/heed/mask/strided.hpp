// SPDX-License-Identifier: BSL-1.0
// mask/strided: the patterns of the Sparse Transformer (Child et al.) and windows with gaps.
//
//   strided{3}             fixed_strided{3, 1}                dilated_window{.left = 2, .step = 2}
//   x........              x........                          x........
//   xx.......              xx.......                          .x.......
//   xxx......              xxx......                          x.x......
//   xxxx.....              ..xx.....                          .x.x.....
//   .xxxx....              ..xxx....                          x.x.x....
//   ..xxxx...              ..xxxx...                          .x.x.x...
//   x..xxxx..              ..x..xx..                          ..x.x.x..
//   .x..xxxx.              ..x..xxx.                          ...x.x.x.
//   ..x..xxxx              ..x..xxxx                          ....x.x.x
//
// strided: k <= q and (q - k is a multiple of stride or q - k < stride). fixed: k <= q and
// (⌊q/stride⌋ = ⌊k/stride⌋ or k mod stride >= stride - columns). dilated_window: the key itself, up
// to `left` before it and up to `right` after it, `step` apart. Rows of these have as many spans as
// strides, so pairs are asked, in vectors; blocks without a pair are skipped, and block_map skips
// them ahead. Throws if a stride or step is below 1, or a number of keys negative.
// Sparse Transformer, Child et al. 2019.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/concept.hpp>
#include <heed/simd/simd.hpp>
#include <limits>
#include <span>

namespace heed {

namespace detail {

// Whether lanes are multiples of `of`. Quotients of multiples are exact where the numbers are.
template <class B, class T> auto multiple(const B& x, T of) {
  return x == B(simd::nearbyint(B(x / B(of)))) * B(of);
}
// Whether [low, high] holds a multiple of `of`, low >= 0.
constexpr bool holds_multiple(index low, index high, index of) {
  return low <= high && high / of * of >= low;
}
// Numbers of keys: products of two do not overflow.
inline constexpr index most_keys_apart = std::numeric_limits<int>::max();
inline void check_step(const char* policy, const char* name, index step) {
  if (step < 1)
    check::fail(policy, std::string(name) + " must be at least 1: " + std::to_string(step));
  if (step > most_keys_apart)
    check::fail(policy, std::string(name) + " must be at most " + std::to_string(most_keys_apart) +
                            ": " + std::to_string(step));
}

}  // namespace detail

struct strided {
  index stride = 128;

  static constexpr bool exact = false;
  constexpr bool operator()(const position& at) const {
    const index behind = at.q - at.k;
    return behind >= 0 && (behind < stride || behind % stride == 0);
  }
  template <class At> auto vector(const At& at) const {
    using T = decltype(at.k);
    const decltype(at.q) behind = at.q - at.k;
    return lanewise(at, (behind >= T(0)) & ((behind < static_cast<T>(stride)) |
                                            detail::multiple(behind, static_cast<T>(stride))));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min(at.q + 1, keys)};
    if (!s.empty()) emit(s);
  }
  constexpr cover covers(const block& x) const {
    const index near = x.q.begin - x.k.end + 1, far = x.q.end - 1 - x.k.begin;
    if (far < 0 || (near >= stride && !detail::holds_multiple(near, far, stride)))
      return cover::none;
    return near >= 0 && far <= stride ? cover::all : cover::some;
  }
  void check(const problem_shape&) const { detail::check_step("heed::strided", "stride", stride); }
};

struct fixed_strided {
  index stride = 128;
  index columns = 1;

  static constexpr bool exact = false;
  constexpr bool operator()(const position& at) const { return at.k <= at.q && at.q < past(at.k); }
  template <class At> auto vector(const At& at) const {
    using T = decltype(at.k);
    const index last = past(static_cast<index>(at.k));
    return lanewise(at, (at.q >= at.k) & (at.q < (last == everywhere ? std::numeric_limits<T>::max()
                                                                     : static_cast<T>(last))));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const span s{0, std::min(at.q + 1, keys)};
    if (!s.empty()) emit(s);
  }
  constexpr cover covers(const block& x) const {
    const index end = std::min(x.k.end, x.q.end);  // of the keys that the last query may see
    if (end <= x.k.begin) return cover::none;
    const index plain = !summary(x.k.begin) ? x.k.begin
                        : columns < stride  ? (x.k.begin / stride + 1) * stride
                                            : everywhere;
    if (x.k.end <= x.q.begin + 1 && (plain >= x.k.end || x.q.end <= past(plain))) return cover::all;
    const index first = x.k.begin / stride * stride + std::max<index>(0, stride - columns);
    const bool summaries = columns > 0 && std::max(first, x.k.begin) < end;
    return summaries || past(end - 1) > x.q.begin ? cover::some : cover::none;
  }
  void check(const problem_shape&) const {
    detail::check_step("heed::fixed_strided", "stride", stride);
    if (columns < 0)
      check::fail("heed::fixed_strided",
                  "columns must not be negative: " + std::to_string(columns));
  }

 private:
  static constexpr index everywhere = std::numeric_limits<index>::max();

  constexpr bool summary(index k) const { return k % stride >= stride - columns; }
  // The first position that key k is hidden from, after those from k on that see it.
  constexpr index past(index k) const {
    return summary(k) ? everywhere : (k / stride + 1) * stride;
  }
};

struct dilated_window {
  index left = 0, right = 0;  // keys
  index step = 1;
  std::span<const int> steps{};  // of each query head, in place of `step`

  static constexpr bool exact = false;
  constexpr bool is_exact() const {
    return steps.empty() ? step == 1 : std::ranges::all_of(steps, [](int n) { return n == 1; });
  }
  constexpr bool operator()(const position& at) const {
    const index behind = at.q - at.k, by = of(at.h);
    return behind <= left * by && behind >= -right * by && behind % by == 0;
  }
  template <class At> auto vector(const At& at) const {
    using T = decltype(at.k);
    const decltype(at.q) behind = at.q - at.k;
    const index by = of(at.h);
    return lanewise(at, (behind <= static_cast<T>(left * by)) &
                            (behind >= static_cast<T>(-right * by)) &
                            detail::multiple(behind, static_cast<T>(by)));
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    const index by = of(at.h);
    const span s{std::max<index>(0, at.q - left * by), std::min(at.q + right * by + 1, keys)};
    if (!s.empty()) emit(s);
  }
  void check(const problem_shape& shape) const {
    detail::check_step("heed::dilated_window", "step", step);
    if (!steps.empty() && index(steps.size()) != shape.heads)
      check::fail("heed::dilated_window",
                  "steps must hold one number a query head: " + std::to_string(steps.size()) +
                      " numbers, " + std::to_string(shape.heads) + " heads");
    for (const int n : steps) detail::check_step("heed::dilated_window", "every step", n);
    constexpr index most = detail::most_keys_apart;
    if (left < 0 || right < 0 || left > most || right > most)
      check::fail("heed::dilated_window",
                  "left and right must be numbers of keys: left = " + std::to_string(left) +
                      ", right = " + std::to_string(right));
  }

 private:
  constexpr index of(index h) const {
    return steps.empty() ? step : steps[static_cast<std::size_t>(h)];
  }
};

}  // namespace heed
