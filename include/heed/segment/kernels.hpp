// SPDX-License-Identifier: BSL-1.0
// The two kernels of the segment loop, over a block of up to `segment_block` edges of one node:
//
//   edge_scores   s[h][j]  = Σ_c term(x[h][c], y_j[h][c])            j < count
//   edge_sums     o[h][c] += Σ_j w[h][j] term(x[h][c], y_j[h][c])
//
// x and o lie [H][D], rows y_j anywhere, s and w [H][segment_block]. Lanes are channels; up to
// eight edges share the loads of x. A term is a function of vectors; scores may be written for
// edges that fill up the last group.
#pragma once

#include <heed/segment/rows.hpp>
#include <heed/simd/sum_each.hpp>

namespace heed::detail {

// x y, and y by itself: dot products and sums of rows.
struct row_term {
  template <class B> HEED_INLINE B score(const B& x, const B& y, const B&, const B& acc) const {
    return simd::fma(x, y, acc);
  }
  template <class B> HEED_INLINE B sum(const B&, const B& y) const { return y; }
  static constexpr bool alone = true;  // x takes no part in sums
};

// What a kernel does with the address of a row that is to come, beside each load of the row that it
// reads: so lines of many rows are on their way at once. Row after row, as they lie in memory, took
// half as long again.
struct ask_ahead {
  template <class T> HEED_INLINE void operator()([[maybe_unused]] const T* p) const {
#if defined(__GNUC__)
    __builtin_prefetch(p);
#endif
  }
};
// Rows that are near already.
struct nothing_to_ask {
  template <class T> HEED_INLINE void operator()(const T*) const {}
};

template <class T, class Arch> HEED_INLINE simd::batch<T, Arch> some_lanes(const T* p, index n) {
  return n == simd::width<T, Arch> ? simd::load<T, Arch>(p) : simd::load_first<T, Arch>(p, n);
}

template <class T, class Arch, int J, class Term, class Ask>
HEED_INLINE void edge_scores_at(const Term& term, const T* x, const T* a, const segment_rows<T>& y,
                                index first, index heads, index depth, T* s, const Ask& ask) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  for (index h = 0; h < heads; ++h, x += depth, a += depth) {
    const T *row[J], *next[J];
    B acc[J];
    HEED_UNROLL for (int j = 0; j < J; ++j) {
      row[j] = y.row[first + j] + h * y.pitch;
      next[j] = y.next[first + j] + h * y.pitch;
      acc[j] = B(T(0));
    }
    const auto add = [&](index c, const auto& load) HEED_INLINE_LAMBDA {
      const B mine = load(x + c), by = load(a + c);
      HEED_UNROLL for (int j = 0; j < J; ++j) {
        ask(next[j] + c);
        acc[j] = term.score(mine, load(row[j] + c), by, acc[j]);
      }
    };
    index c = 0;
    for (; c + W <= depth; c += W)
      add(c, [](const T* p) HEED_INLINE_LAMBDA { return simd::load<T, Arch>(p); });
    if (const index rest = depth - c; rest > 0)
      add(c, [rest](const T* p) HEED_INLINE_LAMBDA { return simd::load_first<T, Arch>(p, rest); });
    simd::sum_each<T, Arch>(acc, s + h * segment_block + first);
  }
}

// `a` [H][D] are learned factors, or x again where the term takes none.
template <class T, class Arch, class Term, class Ask>
HEED_NOINLINE void edge_scores(const Term& term, const T* x, const T* a, const segment_rows<T>& y,
                               index count, index heads, index depth, T* s, const Ask& ask) {
  index first = 0;
  // As many as the softmax loads at once: it would wait for two stores to become one.
  if constexpr (simd::width<T, Arch> == segment_block)
    if (count > 8)
      return edge_scores_at<T, Arch, segment_block>(term, x, a, y, 0, heads, depth, s, ask);
  for (; first + 4 < count; first += 8)
    edge_scores_at<T, Arch, 8>(term, x, a, y, first, heads, depth, s, ask);
  if (first < count) edge_scores_at<T, Arch, 4>(term, x, a, y, first, heads, depth, s, ask);
}

template <class T, class Arch, int NV, class Term, class Ask>
HEED_INLINE void edge_sums_at(const Term& term, const T* x, const segment_rows<T>& y, index shift,
                              index count, const T* w, index rest, T* o, const Ask& ask) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const auto load = [&](const T* p) HEED_INLINE_LAMBDA {
    return NV == 1 ? some_lanes<T, Arch>(p, rest) : simd::load<T, Arch>(p);
  };
  B acc[NV], own[NV];
  HEED_UNROLL for (int n = 0; n < NV; ++n) {
    acc[n] = load(o + n * W);
    own[n] = Term::alone ? acc[n] : load(x + n * W);
  }
  for (index j = 0; j < count; ++j) {
    const B weight(w[j]);
    const T *const row = y.row[j] + shift, *const next = y.next[j] + shift;
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      ask(next + n * W);
      acc[n] = simd::fma(weight, term.sum(own[n], load(row + n * W)), acc[n]);
    }
  }
  HEED_UNROLL for (int n = 0; n < NV; ++n) if (NV == 1 && rest < W)
      simd::store_first<T, Arch>(o, acc[n], rest);
  else simd::store(o + n * W, acc[n]);
}

template <class T, class Arch, class Term, class Ask>
HEED_NOINLINE void edge_sums(const Term& term, const T* x, const segment_rows<T>& y, index count,
                             index heads, index depth, const T* w, T* o, const Ask& ask) {
  constexpr index W = simd::width<T, Arch>;
  for (index h = 0; h < heads; ++h) {
    const auto part = [&]<int NV>(std::integral_constant<int, NV>, index c,
                                  index rest) HEED_INLINE_LAMBDA {
      edge_sums_at<T, Arch, NV>(term, x + h * depth + c, y, h * y.pitch + c, count,
                                w + h * segment_block, rest, o + h * depth + c, ask);
    };
    index c = 0;
    for (; c + 4 * W <= depth; c += 4 * W) part(std::integral_constant<int, 4>{}, c, W);
    for (; c + 2 * W <= depth; c += 2 * W) part(std::integral_constant<int, 2>{}, c, W);
    for (; c < depth; c += W) part(std::integral_constant<int, 1>{}, c, std::min(W, depth - c));
  }
}

}  // namespace heed::detail
