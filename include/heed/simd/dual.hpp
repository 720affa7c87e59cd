// SPDX-License-Identifier: BSL-1.0
// Dual numbers: a value and its derivative, carried through any formula that is generic in its
// number type. V is float, double or a batch. Lambdas get their derivative by them.
#pragma once

#include <heed/simd/exp2.hpp>
#include <heed/simd/log.hpp>

namespace heed::simd {

template <class V> struct dual {
  using value_type = simd::value<V>;

  V value{}, slope{};

  constexpr dual() = default;
  constexpr dual(const V& v, const V& d) : value(v), slope(d) {}
  template <class U>
    requires std::is_convertible_v<U, V> || std::is_arithmetic_v<U>
  constexpr dual(const U& v) : value(constant(v)), slope(simd::constant<V>(0)) {}  // NOLINT
  static dual variable(const V& v) { return {v, simd::constant<V>(1)}; }

  friend dual operator+(const dual& a, const dual& b) {
    return {V(a.value + b.value), V(a.slope + b.slope)};
  }
  friend dual operator-(const dual& a, const dual& b) {
    return {V(a.value - b.value), V(a.slope - b.slope)};
  }
  friend dual operator-(const dual& a) { return dual(0) - a; }
  friend dual operator*(const dual& a, const dual& b) {
    return {V(a.value * b.value), V(a.slope * b.value + a.value * b.slope)};
  }
  friend dual operator/(const dual& a, const dual& b) {
    const V ratio = V(a.value / b.value);
    return {ratio, V((a.slope - ratio * b.slope) / b.value)};
  }
  dual& operator+=(const dual& b) { return *this = *this + b; }
  dual& operator-=(const dual& b) { return *this = *this - b; }
  dual& operator*=(const dual& b) { return *this = *this * b; }
  dual& operator/=(const dual& b) { return *this = *this / b; }

  friend auto operator<(const dual& a, const dual& b) { return a.value < b.value; }
  friend auto operator<=(const dual& a, const dual& b) { return a.value <= b.value; }
  friend auto operator>(const dual& a, const dual& b) { return a.value > b.value; }
  friend auto operator>=(const dual& a, const dual& b) { return a.value >= b.value; }
  friend auto operator==(const dual& a, const dual& b) { return a.value == b.value; }

 private:
  template <class U> static constexpr V constant(const U& v) {
    if constexpr (std::is_arithmetic_v<U>)
      return simd::constant<V>(static_cast<double>(v));
    else
      return V(v);
  }
};

// The functions of simd.hpp and exp2.hpp.
template <class V> dual<V> exp(const dual<V>& a) {
  const V e = simd::exp(a.value);
  return {e, V(e * a.slope)};
}
template <class V> dual<V> log(const dual<V>& a) {
  return {simd::log(a.value), V(a.slope / a.value)};
}
template <class V> dual<V> sqrt(const dual<V>& a) {
  const V root = simd::sqrt(a.value);
  return {root, V(a.slope / (root + root))};
}
template <class V> dual<V> tanh(const dual<V>& a) {
  const V t = simd::tanh(a.value);
  return {t, V((constant<V>(1) - t * t) * a.slope)};
}
template <class V> dual<V> sigmoid(const dual<V>& a) {
  const V s = simd::sigmoid(a.value);
  return {s, V(s * (constant<V>(1) - s) * a.slope)};
}
template <class C, class V> dual<V> select(const C& which, const dual<V>& a, const dual<V>& b) {
  return {simd::select(which, a.value, b.value), simd::select(which, a.slope, b.slope)};
}
template <class V> dual<V> abs(const dual<V>& a) { return simd::select(a < dual<V>(0), -a, a); }
template <class V> dual<V> min(const dual<V>& a, const dual<V>& b) {
  return simd::select(b < a, b, a);
}
template <class V> dual<V> max(const dual<V>& a, const dual<V>& b) {
  return simd::select(a < b, b, a);
}

}  // namespace heed::simd

namespace heed {
using simd::dual;
}  // namespace heed
