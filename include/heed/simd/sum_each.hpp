// SPDX-License-Identifier: BSL-1.0
// Sums over the lanes of several vectors at once: N sums for about 3 N operations.
//
// Each stage adds two vectors crosswise into one, so that N vectors of N lanes take N - 1 additions
// and 2 (N - 1) shuffles. First units of 1, 2, … elements within 16 bytes, then units of 16 bytes:
// shuffles that x86 has as one instruction without an index vector.
#pragma once

#include <bit>
#include <cstddef>
#include <heed/simd/lanes.hpp>
#include <heed/simd/transpose.hpp>
#include <utility>

namespace heed::simd {

namespace detail {

#if defined(HEED_HAS_SHUFFLE)
// Where lane `i` of the low or high operand of a stage lies in a ‖ b, vectors of W lanes, L of them
// in 16 bytes.
constexpr int crossed(int i, int W, int L, int unit, bool high) {
  if (unit < L) {
    const int group = i / L * L, u = i % L / unit;
    return group + u / 2 * unit + i % unit + (u % 2 ? W : 0) + (high ? L / 2 : 0);
  }
  return (2 * (i / L) + (high ? 1 : 0)) * L + i % L;
}
template <int Unit, class V, std::size_t... I>
HEED_INLINE V cross(V a, V b, std::index_sequence<I...>) {
  constexpr int W = sizeof...(I), L = int(16 * W / sizeof(V));
  return __builtin_shufflevector(a, b, crossed(int(I), W, L, Unit, false)...) +
         __builtin_shufflevector(a, b, crossed(int(I), W, L, Unit, true)...);
}
// The stages from units of `Unit` elements on; the last ones add a vector to itself where N < W.
template <class T, int W, int Unit, class V, std::size_t N> HEED_INLINE V sum_stages(V (&x)[N]) {
  constexpr std::size_t half = N > 1 ? N / 2 : 1;
  V y[half];
  HEED_UNROLL for (std::size_t i = 0; i < half; ++i) y[i] =
      cross<Unit>(x[N > 1 ? 2 * i : 0], x[N > 1 ? 2 * i + 1 : 0], std::make_index_sequence<W>{});
  if constexpr (2 * Unit < W)
    return sum_stages<T, W, 2 * Unit>(y);
  else
    return y[0];
}
#endif

}  // namespace detail

// out[i] = sum of the lanes of x[i]; N is a power of two. `out` has N elements.
template <class T, class Arch, std::size_t N>
HEED_INLINE void sum_each(const batch<T, Arch> (&x)[N], T* out) {
  constexpr std::size_t W = static_cast<std::size_t>(width<T, Arch>);
#if defined(HEED_HAS_SHUFFLE)
  if constexpr (W > 1) {
    typedef T reg __attribute__((vector_size(sizeof(T) * W)));
    constexpr std::size_t some = N < W ? N : W;
    HEED_UNROLL for (std::size_t first = 0; first < N; first += some) {
      reg r[some];
      HEED_UNROLL for (std::size_t i = 0; i < some; ++i) r[i] =
          std::bit_cast<reg>(x[first + i].data);
      const reg sums = detail::sum_stages<T, int(W), 1>(r);
      __builtin_memcpy(out + first, &sums, some * sizeof(T));
    }
    return;
  }
#endif
  for (std::size_t i = 0; i < N; ++i) out[i] = sum_lanes<T, Arch>(x[i]);
}

}  // namespace heed::simd
