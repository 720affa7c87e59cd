// SPDX-License-Identifier: BSL-1.0
// Heap buffers of exactly the elements that a kernel may touch, so that sanitizers see the next
// one.
#pragma once

#include <cmath>
#include <heed/simd/simd.hpp>
#include <limits>
#include <random>
#include <vector>

namespace heed::test {

template <class T_, class Arch_> struct kind {
  using T = T_;
  using Arch = Arch_;
};
#define HEED_KINDS                                                                           \
  (heed::test::kind<float, heed::simd::best>), (heed::test::kind<double, heed::simd::best>), \
      (heed::test::kind<float, heed::simd::scalar>),                                         \
      (heed::test::kind<double, heed::simd::scalar>)

// rows × columns numbers, rows `stride` apart; the gaps between rows hold NaN.
template <class T> struct matrix {
  index rows, columns, stride;
  std::vector<T> data;

  matrix(index r, index c, index s)
      : rows(r),
        columns(c),
        stride(s),
        data(static_cast<std::size_t>(r > 0 && c > 0 ? (r - 1) * s + c : 0),
             std::numeric_limits<T>::quiet_NaN()) {}
  static matrix random(index r, index c, index s) {
    static std::mt19937 generator(11);
    std::uniform_real_distribution<T> uniform(-1, 1);
    matrix m(r, c, s);
    for (index i = 0; i < r; ++i)
      for (index j = 0; j < c; ++j) m(i, j) = uniform(generator);
    return m;
  }
  T* begin() { return data.data(); }
  const T* begin() const { return data.data(); }
  T& operator()(index i, index j) { return data[static_cast<std::size_t>(i * stride + j)]; }
  T operator()(index i, index j) const { return data[static_cast<std::size_t>(i * stride + j)]; }

  bool gaps_untouched() const {
    if (columns == 0) return true;
    for (index i = 0; i + 1 < rows; ++i)
      for (index j = columns; j < stride; ++j)
        if (!std::isnan((*this)(i, j))) return false;
    return true;
  }
};

// Largest difference; infinite if one is NaN where the other is not.
template <class T> double difference(const matrix<T>& a, const matrix<T>& b) {
  double worst = 0;
  for (index i = 0; i < a.rows; ++i)
    for (index j = 0; j < a.columns; ++j) {
      const double d = std::abs(double(a(i, j)) - double(b(i, j)));
      worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
    }
  return worst;
}

// Of a sum of n products of numbers below 1. Lanes shorten the chains in which errors add up.
template <class T> double tolerance(index n) {
  const double chain = simd::width<T, simd::best> == 1 ? double(n) / 8 : double(n) / 16;
  return 4 * double(std::numeric_limits<T>::epsilon()) * (1 + std::sqrt(double(n)) + chain);
}

}  // namespace heed::test
