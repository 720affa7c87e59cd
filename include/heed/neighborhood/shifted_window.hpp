// SPDX-License-Identifier: BSL-1.0
// neighborhood/shifted_window: a grid of 1, 2 or 3 dimensions is cut into windows, and a token sees
// those of its window.
//
//   shifted_window<2>{{4, 6}, {2, 3}}      shifted_window<2>{{4, 6}, {2, 3}, {1, 1}}
//   aaabbb                                 abbbcc
//   aaabbb                                 deeeff
//   cccddd                                 deeeff
//   cccddd                                 ghhhii
//
// As a mask of `attention`, for tokens as `neighborhood` has them: q, k and v have the grid in
// their length, the last axis fastest. Swin rolls the grid by -shift, cuts it into windows from 0
// on, and keeps apart what meets there only because of the roll (its region mask): seen from the
// grid itself, an axis is cut at shift, shift + window, and so on. Where a window does not divide a
// size Swin pads; here padding is masked out, so windows at the ends are shorter. Cost: tokens
// times window.
//
// Its bias is `relative_position_bias<N>{table, size, window}`, whose entries count k - q: Swin's
// own table counts q - k, so give its last entry and negative strides. Version 2: `cosine` with β =
// cosine::swin(t), and a table of 16 σ(·) of the caller's network. A window as large as an axis
// should not be shifted. Throws if an axis is empty, or unless 1 <= window <= size and 0 <= shift <
// window. Liu et al., Swin Transformer, Swin Transformer V2, Video Swin Transformer.
// Swin, Liu et al. 2021; Video Swin, Liu et al. 2021.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <heed/neighborhood/grid.hpp>

namespace heed {

template <int N>
  requires(N >= 1 && N <= 3)
struct shifted_window {
  using sizes = std::array<index, N>;

  sizes size{};  // of the grid, the slowest axis first
  sizes window{};
  sizes shift{};

  constexpr index tokens() const { return detail::grid_tokens(size); }
  constexpr sizes place(index token) const { return detail::grid_place(size, token); }

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    const box seen = around(at.q);
    const sizes k = place(at.k);
    for (std::size_t n = 0; n < N; ++n)
      if (k[n] < seen[n].begin || seen[n].end <= k[n]) return false;
    return true;
  }
  template <class F> constexpr void intervals(const position& at, index, F emit) const {
    detail::joined_spans<F> spans(emit);
    detail::grid_rows(size, around(at.q), [&](span row) { spans.add(row); });
    spans.finish();
  }

  // Sets of tokens that see each other and nothing else: the windows, the last axis fastest.
  constexpr index patches() const {
    index count = 1;
    for (std::size_t n = 0; n < N; ++n) count *= pieces(n);
    return count;
  }
  // Emits the tokens of patch i, ascending.
  template <class F> constexpr void patch(index i, F emit) const {
    box tokens{};
    for (std::size_t n = N; n-- > 0; i /= pieces(n)) {
      const index at = i % pieces(n) * window[n];
      tokens[n] = piece(n, shift[n] > 0 ? std::max<index>(at - window[n] + shift[n], 0) : at);
    }
    detail::grid_rows(size, tokens, [&](span row) {
      for (index token = row.begin; token < row.end; ++token) emit(token);
    });
  }

  void check(const problem_shape& shape) const {
    for (std::size_t n = 0; n < N; ++n) {
      if (size[n] < 1) broken(n, "is empty");
      if (window[n] < 1) broken(n, "has a window below 1");
      if (window[n] > size[n]) broken(n, "is shorter than its window");
      if (shift[n] < 0 || shift[n] >= window[n]) broken(n, "must have 0 <= shift < window");
    }
    if (shape.queries != tokens() || shape.keys != tokens() || shape.offset != 0)
      check::fail("heed::shifted_window",
                  "a grid of " + std::to_string(tokens()) +
                      " tokens needs as many queries and keys, from 0 on: " +
                      std::to_string(shape.queries) + " and " + std::to_string(shape.keys));
  }

 private:
  using box = std::array<span, N>;

  // The window of coordinate x of an axis.
  constexpr span piece(std::size_t n, index x) const {
    if (x < shift[n]) return {0, shift[n]};
    const index first = shift[n] + (x - shift[n]) / window[n] * window[n];
    return {first, std::min(first + window[n], size[n])};
  }
  constexpr index pieces(std::size_t n) const {
    return (shift[n] > 0 ? 1 : 0) + (size[n] - shift[n] + window[n] - 1) / window[n];
  }
  constexpr box around(index token) const {
    const sizes at = place(token);
    box seen{};
    for (std::size_t n = 0; n < N; ++n) seen[n] = piece(n, at[n]);
    return seen;
  }
  [[noreturn]] void broken(std::size_t n, const char* rule) const {
    check::fail("heed::shifted_window", "axis " + std::to_string(n) + " " + rule + ": size " +
                                            std::to_string(size[n]) + ", window " +
                                            std::to_string(window[n]) + ", shift " +
                                            std::to_string(shift[n]));
  }
};

}  // namespace heed
