// SPDX-License-Identifier: BSL-1.0
// The micro-kernels of `row_tile.hpp` for int8 codes with one scale a row, x_c = scale · code_c:
// products of integers, summed in 32 bits. Queries and weights become 16-bit codes, x = unit · code
// with |code| <= L, rounded to the nearest. `row_tile_scalar.hpp` states the contracts in
// plain loops.
//
//   integer_scores      S[r][j]  = sum_c q[r][c] · k(j, c)      r < rows, j < keys, c < depth
//   integer_accumulate  O[r][d] += sum_j p[r][j] · v(j, d)      d < channels
//
// Rows are i8 with group >= their length and no zeros; otherwise as in `row_tile.hpp`.
// No sum overflows: L = min(32767, (2^31 - 1) / (128 · terms)), 32767 for up to 512 terms.
//
// Errors, beside roundings of the result like those of float products (ε = 2^-24):
//   |dS| <= scale_j · max_c |q[r][c]| / (2L) · Σ_c |code(j, c)| · (1 + 4Lε)
//   |dO| <= max_j |w_j| / (2L) · Σ_j |code(j, d)| · (1 + 4Lε)         w_j = p_j · scale_j
// the latter for each 64 keys: against each code at most 2^-16 · (1 + 2^-7) of the largest query or
// weight. A weight of exactly 0 hides its scale. A row of queries or weights with a number that is
// not finite gives NaN.
#pragma once

#include <heed/simd/convert.hpp>
#include <heed/simd/quantize.hpp>
#include <heed/simd/row_blocks.hpp>

namespace heed::simd {

namespace detail {

template <class Arch, int R, int J>
HEED_INLINE void integer_dots(const unsigned char* k, index stride, const std::int16_t* q,
                              index q_stride, index depth, std::intptr_t ahead, float* sums) {
  using V = integers<Arch>;
  constexpr index W = 2 * V::lanes;
  const std::int8_t* key[J];
  HEED_UNROLL for (int j = 0; j < J; ++j) key[j] =
      reinterpret_cast<const std::int8_t*>(k + j * stride);
  typename V::sums acc[R * J];
  HEED_UNROLL for (int i = 0; i < R * J; ++i) acc[i] = V::zero();
  const auto add = [&](index c, const auto& codes, const auto& query) HEED_INLINE_LAMBDA {
    typename V::words one[J];
    HEED_UNROLL for (int j = 0; j < J; ++j) {
      one[j] = codes(key[j] + c);
      if constexpr (R > 1) keep_words(one[j]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      typename V::words x = query(q + r * q_stride + c);
      if constexpr (J > 1) keep_words(x);
      HEED_UNROLL for (int j = 0; j < J; ++j) acc[r * J + j] = V::dot(acc[r * J + j], x, one[j]);
    }
  };
  index c = 0;
  for (; c + W <= depth; c += W) {
    if (ahead != 0 && c % 64 == 0) HEED_UNROLL
    for (int j = 0; j < J; ++j) ask(key[j] + c, ahead);
    add(c, V::widen, V::load);
  }
  if (const index rest = depth - c; rest > 0)
    add(
        c,
        [&](const std::int8_t* p) HEED_INLINE_LAMBDA { return some_words<V>(p, rest, V::widen); },
        [&](const std::int16_t* p) HEED_INLINE_LAMBDA { return some_words<V>(p, rest, V::load); });
  sum_integers(acc, sums);
}

template <class Arch, int R>
HEED_NOINLINE void integer_scores(const stored_rows& k, index keys, const std::int16_t* q,
                                  index q_stride, const float* unit, index depth, float* s,
                                  index s_pitch, std::intptr_t ahead) {
  constexpr int J = std::min(shape<float, Arch>::row_block / R, 8);
  for (index first = 0; first < keys; first += integer_keys) {
    const stored_rows at = k.from(first);
    const index some = std::min(integer_keys, keys - first);
    float scale[integer_keys];
    load_row(at.scale_type, at.scales, at.scale_stride, some, scale);
    index j = 0;
    const auto block = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
      for (; j + N <= some; j += N) {
        float sums[R * N];
        integer_dots<Arch, R, N>(at.data + j * at.stride, at.stride, q, q_stride, depth, ahead,
                                 sums);
        HEED_UNROLL for (int r = 0; r < R; ++r)
            std::memcpy(s + r * s_pitch + first + j, sums + r * N, N * sizeof(float));
      }
    };
    block(std::integral_constant<int, J>{});
    block(std::integral_constant<int, 1>{});
    for (int r = 0; r < R; ++r)
      scale_row<typename integers<Arch>::arch, false>(s + r * s_pitch + first, scale, unit[r], some,
                                                      s + r * s_pitch + first);
  }
}

// O of R queries and 2 · NV vectors of channels from `d` on, `rest` of them where not Whole.
template <class Arch, int R, int NV, bool Whole>
HEED_INLINE void integer_sums(const stored_rows& v, index keys, const std::int16_t* w,
                              const float* unit, index d, index rest, std::intptr_t ahead, float* o,
                              index o_stride) {
  using V = integers<Arch>;
  using A = typename V::arch;
  constexpr index W = 2 * V::lanes;
  typename V::sums acc[R][2 * NV];
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < 2 * NV; ++n) acc[r][n] =
      V::zero();
  const auto codes = [&](const unsigned char* p) HEED_INLINE_LAMBDA {
    const auto* c = reinterpret_cast<const std::int8_t*>(p);
    if constexpr (Whole)
      return V::widen(c);
    else
      return some_words<V>(c, rest, V::widen);
  };
  for (index j = 0; j < keys; j += 2) {
    const unsigned char* a = v.data + j * v.stride + d;
    const unsigned char* b = j + 1 < keys ? a + v.stride : a;  // its weight is 0
    if (ahead != 0) HEED_UNROLL
    for (index i = 0; i < NV * W; i += 64) ask(a + i, ahead), ask(b + i, ahead);
    typename V::words one[2 * NV];
    HEED_UNROLL for (int n = 0; n < NV; ++n) {
      V::pairs(codes(a + n * W), codes(b + n * W), one[2 * n], one[2 * n + 1]);
      if constexpr (R > 1) keep_words(one[2 * n]), keep_words(one[2 * n + 1]);
    }
    HEED_UNROLL for (int r = 0; r < R; ++r) {
      typename V::words x = V::both(w + r * integer_keys + j);
      keep_words(x);
      HEED_UNROLL for (int n = 0; n < 2 * NV; ++n) acc[r][n] = V::dot(acc[r][n], x, one[n]);
    }
  }
  HEED_UNROLL for (int r = 0; r < R; ++r) HEED_UNROLL for (int n = 0; n < 2 * NV; n += 2) {
    V::unpair(acc[r][n], acc[r][n + 1]);
    HEED_UNROLL for (int i = 0; i < 2; ++i) {
      float* const x = o + r * o_stride + d + (n + i) * V::lanes;
      const index count = Whole ? V::lanes : std::clamp<index>(rest - i * V::lanes, 0, V::lanes);
      const batch<float, A> u(unit[r]), sum = V::to_float(acc[r][n + i]);
      if constexpr (Whole)
        simd::store(x, simd::fma(u, sum, simd::load<float, A>(x)));
      else if (count > 0)
        store_first<float, A>(x, simd::fma(u, sum, load_first<float, A>(x, count)), count);
    }
  }
}

template <class Arch, int R>
HEED_NOINLINE void integer_accumulate(const stored_rows& v, index keys, const float* p,
                                      index p_pitch, index channels, float* o, index o_stride,
                                      std::intptr_t ahead) {
  constexpr index W = 2 * integers<Arch>::lanes;
  constexpr int NV = std::min(shape<float, Arch>::row_block / R, 8) / 2;
  for (index first = 0; first < keys; first += integer_keys) {
    const stored_rows at = v.from(first);
    const index some = std::min(integer_keys, keys - first);
    float scale[integer_keys], weight[integer_keys], unit[R];
    std::int16_t w[R * integer_keys];
    load_row(at.scale_type, at.scales, at.scale_stride, some, scale);
    for (int r = 0; r < R; ++r) {
      scale_row<typename integers<Arch>::arch, true>(p + r * p_pitch + first, scale, 1, some,
                                                     weight);
      unit[r] =
          quantize_row<Arch>(weight, some, integer_levels(integer_keys), w + r * integer_keys);
      if (some % 2) w[r * integer_keys + some] = 0;
    }
    index d = 0;
    const auto block = [&]<int N>(std::integral_constant<int, N>) HEED_INLINE_LAMBDA {
      for (; d + N * W <= channels; d += N * W)
        integer_sums<Arch, R, N, true>(at, some, w, unit, d, W, ahead_at<std::int8_t>(d, ahead), o,
                                       o_stride);
    };
    block(std::integral_constant<int, NV>{});
    if constexpr (NV > 1) block(std::integral_constant<int, 1>{});
    if (d < channels)
      integer_sums<Arch, R, 1, false>(at, some, w, unit, d, channels - d,
                                      ahead_at<std::int8_t>(d, ahead), o, o_stride);
  }
}

}  // namespace detail

// q are the codes of `quantize_row` with integer_levels(depth) or fewer, unit[r] what it returned.
template <class Arch>
void integer_scores(const stored_rows& k, index keys, const std::int16_t* q, index q_stride,
                    const float* unit, index rows, index depth, float* s, index s_pitch,
                    std::intptr_t ahead = 0) {
  detail::for_row_blocks(rows, [&]<int R>(std::integral_constant<int, R>, index r) {
    detail::integer_scores<Arch, R>(k, keys, q + r * q_stride, q_stride, unit + r, depth,
                                    s + r * s_pitch, s_pitch, r == 0 ? ahead : 0);
  });
}

template <class Arch>
void integer_accumulate(const stored_rows& v, index keys, const float* p, index p_pitch, index rows,
                        index channels, float* o, index o_stride, std::intptr_t ahead = 0) {
  detail::for_row_blocks(rows, [&]<int R>(std::integral_constant<int, R>, index r) {
    detail::integer_accumulate<Arch, R>(v, keys, p + r * p_pitch, p_pitch, channels,
                                        o + r * o_stride, o_stride, r == 0 ? ahead : 0);
  });
}

}  // namespace heed::simd
