// SPDX-License-Identifier: BSL-1.0
// The rotation of channel pairs by angles whose sines and cosines are known. Pairs half a row apart
// load as they lie; neighbours are parted into even and odd channels by shuffles, where the
// compiler has them.
#pragma once

#include <heed/simd/transpose.hpp>
#include <utility>

namespace heed::simd {

namespace detail {

#if defined(HEED_HAS_SHUFFLE)
// The even lanes of two vectors, or the odd ones; and back.
template <int Odd, class V, std::size_t... I>
HEED_INLINE V every_other(const V& x, const V& y, std::index_sequence<I...>) {
  return __builtin_shufflevector(x, y, (2 * int(I) + Odd)...);
}
template <int Half, class V, std::size_t... I>
HEED_INLINE V interleaved(const V& x, const V& y, std::index_sequence<I...>) {
  constexpr int W = sizeof...(I), first = Half * W / 2;
  return __builtin_shufflevector(x, y, (first + int(I) / 2 + (I % 2 ? W : 0))...);
}
// As `rotate` for whole vectors of pairs that lie one after another; returns how many pairs.
template <class T, class Arch>
HEED_INLINE index rotate_neighbours(T* row, index count, const T* sine, const T* cosine) {
  constexpr index W = width<T, Arch>;
  typedef T vec __attribute__((vector_size(sizeof(T) * W), aligned(alignof(T)), may_alias));
  typedef T reg __attribute__((vector_size(sizeof(T) * W)));
  constexpr std::make_index_sequence<static_cast<std::size_t>(W)> lanes;
  index c = 0;
  for (; c + W <= count; c += W) {
    vec* const at = reinterpret_cast<vec*>(row + 2 * c);
    const reg x = at[0], y = at[1];
    const reg a = every_other<0>(x, y, lanes), b = every_other<1>(x, y, lanes);
    const reg s = *reinterpret_cast<const vec*>(sine + c);
    const reg o = *reinterpret_cast<const vec*>(cosine + c);
    const reg first = a * o - b * s, second = a * s + b * o;
    at[0] = interleaved<0>(first, second, lanes);
    at[1] = interleaved<1>(first, second, lanes);
  }
  return c;
}
#endif

}  // namespace detail

// (a, b) <- (a cos - b sin, a sin + b cos) for a = first[c · step], b = second[c · step].
template <class T, class Arch>
HEED_NOINLINE void rotate(T* first, T* second, index step, index count, const T* sine,
                          const T* cosine) {
  constexpr index W = width<T, Arch>;
  index c = 0;
  if (step == 1)
    for (; c + W <= count; c += W) {
      const auto a = load<T, Arch>(first + c), b = load<T, Arch>(second + c);
      const auto s = load<T, Arch>(sine + c), o = load<T, Arch>(cosine + c);
      simd::store(first + c, batch<T, Arch>(a * o - b * s));
      simd::store(second + c, batch<T, Arch>(a * s + b * o));
    }
#if defined(HEED_HAS_SHUFFLE)
  if constexpr (W > 1)
    if (step == 2 && second == first + 1)
      c = detail::rotate_neighbours<T, Arch>(first, count, sine, cosine);
#endif
  for (; c < count; ++c) {
    const T a = first[c * step], b = second[c * step];
    first[c * step] = a * cosine[c] - b * sine[c];
    second[c * step] = a * sine[c] + b * cosine[c];
  }
}

}  // namespace heed::simd
