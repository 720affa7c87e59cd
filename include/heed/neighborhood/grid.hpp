// SPDX-License-Identifier: BSL-1.0
// Tokens of a grid of a few axes, the last one fastest, and the spans of them that a box holds.
#pragma once

#include <array>
#include <heed/core/position.hpp>

namespace heed::detail {

template <std::size_t N> constexpr index grid_tokens(const std::array<index, N>& size) {
  index n = 1;
  for (const index s : size) n *= s;
  return n;
}

// Coordinates of a token.
template <std::size_t N>
constexpr std::array<index, N> grid_place(const std::array<index, N>& size, index token) {
  std::array<index, N> at{};
  for (std::size_t n = N; n-- > 0; token /= size[n]) at[n] = token % size[n];
  return at;
}

// The rows of a box, ascending: f(span of tokens) along the last axis. No side may be empty.
template <std::size_t N, class F>
constexpr void grid_rows(const std::array<index, N>& size, const std::array<span, N>& box, F f) {
  std::array<index, N> at{};
  for (std::size_t n = 0; n < N; ++n) at[n] = box[n].begin;
  while (true) {
    index first = 0;
    for (std::size_t n = 0; n < N; ++n) first = first * size[n] + at[n];
    f(span{first, first + box[N - 1].size()});
    std::size_t n = N - 1;
    while (n-- > 0) {
      if (++at[n] < box[n].end) break;
      at[n] = box[n].begin;
    }
    if (n >= N) return;
  }
}

// Emits ascending spans, those that touch as one.
template <class F> class joined_spans {
 public:
  constexpr explicit joined_spans(const F& emit) : emit_(emit) {}
  constexpr void add(span s) {
    if (s.begin == open_.end && !open_.empty()) {
      open_.end = s.end;
    } else {
      finish();
      open_ = s;
    }
  }
  constexpr void finish() {
    if (!open_.empty()) emit_(open_);
    open_ = {};
  }

 private:
  const F& emit_;
  span open_{};
};

}  // namespace heed::detail
