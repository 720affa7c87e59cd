// SPDX-License-Identifier: BSL-1.0
// Loops over one contiguous row: what row transforms are made of. The tail goes one by one.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

// x[i] = f(x[i]); f takes vectors and single numbers, or single numbers only.
template <class Arch, class T, class F> void map_row(T* x, index count, const F& f) {
  using B = batch<T, Arch>;
  index i = 0;
  if constexpr (requires(B b) { B(f(b)); })
    for (; i + width<T, Arch> <= count; i += width<T, Arch>)
      simd::store(x + i, B(f(simd::load<T, Arch>(x + i))));
  for (; i < count; ++i) x[i] = T(f(x[i]));
}

// f applied to a vector, lane by lane if it takes single numbers only.
template <class Arch, class T, class F>
HEED_INLINE batch<T, Arch> map_lanes(const F& f, const batch<T, Arch>& x) {
  using B = batch<T, Arch>;
  if constexpr (requires { B(f(x)); }) {
    static_assert(branchless<F, B>);
    return B(f(x));
  } else {
    T each[width<T, Arch>];
    simd::store(each, x);
    for (T& e : each) e = T(f(e));
    return simd::load<T, Arch>(each);
  }
}

// The lanes of a vector added in their order.
template <class Arch, class T> T sum_in_order(const batch<T, Arch>& x) {
  T each[width<T, Arch>], total = 0;
  simd::store(each, x);
  for (T e : each) total += e;
  return total;
}

// sum_i x[i]
template <class Arch, class T> T sum_row(const T* x, index count) {
  constexpr index W = width<T, Arch>;
  batch<T, Arch> sum(T(0));
  index i = 0;
  for (; i + W <= count; i += W) sum = sum + simd::load<T, Arch>(x + i);
  T total = sum_in_order<Arch, T>(sum);
  for (; i < count; ++i) total += x[i];
  return total;
}

// sum_i x[i] y[i]
template <class Arch, class T> T dot_row(const T* x, const T* y, index count) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B sum(T(0));
  index i = 0;
  for (; i + W <= count; i += W)
    sum = simd::fma(simd::load<T, Arch>(x + i), simd::load<T, Arch>(y + i), sum);
  T total = sum_in_order<Arch, T>(sum);
  for (; i < count; ++i) total += x[i] * y[i];
  return total;
}

// sum_i x[i]²
template <class Arch, class T> T sum_of_squares(const T* x, index count) {
  return dot_row<Arch>(x, x, count);
}

// sum_i x[i] y[i] z[i]
template <class Arch, class T> T dot_row(const T* x, const T* y, const T* z, index count) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  B sum(T(0));
  index i = 0;
  for (; i + W <= count; i += W)
    sum = simd::fma(B(simd::load<T, Arch>(x + i) * simd::load<T, Arch>(y + i)),
                    simd::load<T, Arch>(z + i), sum);
  T total = sum_in_order<Arch, T>(sum);
  for (; i < count; ++i) total += x[i] * y[i] * z[i];
  return total;
}

// y[i] = a · y[i] + b · x[i]
template <class Arch, class T> void blend(T a, T b, const T* x, index count, T* y) {
  using B = batch<T, Arch>;
  constexpr index W = width<T, Arch>;
  index i = 0;
  for (; i + W <= count; i += W)
    simd::store(y + i,
                simd::fma(B(b), simd::load<T, Arch>(x + i), B(B(a) * simd::load<T, Arch>(y + i))));
  for (; i < count; ++i) y[i] = a * y[i] + b * x[i];
}

// y[i] += a · x[i]
template <class Arch, class T> void add_scaled(T a, const T* x, index count, T* y) {
  using B = batch<T, Arch>;
  index i = 0;
  for (; i + width<T, Arch> <= count; i += width<T, Arch>)
    simd::store(y + i, simd::fma(B(a), simd::load<T, Arch>(x + i), simd::load<T, Arch>(y + i)));
  for (; i < count; ++i) y[i] += a * x[i];
}

}  // namespace heed::simd
