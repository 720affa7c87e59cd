// SPDX-License-Identifier: BSL-1.0
// A tile of value/relational: weights of all heads, [h][key][lane], meet relations that they share,
// [l][key][lane]. Blocks of 4 heads × 4 relations keep 16 sums in registers, so that a product
// costs half a load.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::detail {

// acc[h][l] += Σ_j p[h][j] r[l][j] for one vector of lanes; blocks `p_next`, `r_next` and `next`
// (of both axes) apart, keys `pitch`. A weight of 0 hides its relation where `Selected`.
template <class T, class Arch, int H, int L, bool Selected>
HEED_INLINE void add_relations(const T* p, index p_next, const T* r, index r_next, index pitch,
                               index keys, T* acc, index h_next, index l_next) {
  using B = simd::batch<T, Arch>;
  B sum[H][L];
  HEED_UNROLL for (int h = 0; h < H; ++h) HEED_UNROLL for (int l = 0; l < L; ++l) sum[h][l] =
      simd::load<T, Arch>(acc + h * h_next + l * l_next);
  for (index j = 0; j < keys; ++j, p += pitch, r += pitch) {
    B weight[H];
    HEED_UNROLL for (int h = 0; h < H; ++h) weight[h] = simd::load<T, Arch>(p + h * p_next);
    HEED_UNROLL for (int l = 0; l < L; ++l) {
      const B one = simd::load<T, Arch>(r + l * r_next);
      HEED_UNROLL for (int h = 0; h < H; ++h) {
        const B more = simd::fma(weight[h], one, sum[h][l]);
        if constexpr (Selected)
          sum[h][l] = simd::select(weight[h] == B(T(0)), sum[h][l], more);
        else
          sum[h][l] = more;
      }
    }
  }
  HEED_UNROLL for (int h = 0; h < H; ++h) HEED_UNROLL for (int l = 0; l < L; ++l)
      simd::store(acc + h * h_next + l * l_next, sum[h][l]);
}

// f(i, size): blocks of 4, then of 1.
template <class F> void by_fours(index n, const F& f) {
  index i = 0;
  for (; i + 4 <= n; i += 4) f(i, std::integral_constant<int, 4>{});
  for (; i < n; ++i) f(i, std::integral_constant<int, 1>{});
}

// Blocks of one head and of one relation, and what lies between two of them.
template <class T> struct relation_tile {
  T *p, *r, *sums;     // [heads], [relations], [heads][relations][lane]
  index block, lanes;  // from one p or r, and from one row of sums, to the next
  index heads, relations, keys, pitch;

  // sums += Σ_j p ⊙ r, for `vectors` of lanes. Relations that are not all `finite` are taken only
  // where they have a weight.
  template <class Arch> void add(index vectors, bool finite) const {
    finite ? all<Arch, false>(vectors) : all<Arch, true>(vectors);
  }

 private:
  template <class Arch, bool Selected> void all(index vectors) const {
    constexpr index W = simd::width<T, Arch>;
    by_fours(heads, [&]<int H>(index h, std::integral_constant<int, H>) {
      by_fours(relations, [&]<int L>(index l, std::integral_constant<int, L>) {
        for (index v = 0; v < vectors * W; v += W)
          add_relations<T, Arch, H, L, Selected>(
              p + h * block + v, block, r + l * block + v, block, pitch, keys,
              sums + (h * relations + l) * lanes + v, relations * lanes, lanes);
      });
    });
  }
};

}  // namespace heed::detail
