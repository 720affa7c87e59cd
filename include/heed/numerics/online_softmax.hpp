// SPDX-License-Identifier: BSL-1.0
// numerics/online_softmax: the recurrence that the tile loop runs a tile at a time, one key at a
// time.
//
//   m' = max(m, s)    l ← l·e^{m-m'} + e^{s-m'}    acc ← acc·e^{m-m'} + e^{s-m'} v
//   o = acc / l       lse = m + log l
//
// For loops of one's own and for reading. A key of score -inf leaves no trace; a row without keys
// gives zeros and lse = -inf. Milakov and Gimelshein 2018; Rabe and Staats 2021.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/position.hpp>
#include <limits>

namespace heed {

template <class T> struct online_softmax {
  static constexpr T infinity = std::numeric_limits<T>::infinity();

  // What one key asks of an accumulator: acc ← keep · acc + weight · v.
  struct step {
    T keep, weight;
  };

  T max = -infinity;
  T sum = 0;

  step absorb(T s) {
    if (s == -infinity) return {T(1), T(0)};
    const T top = std::max(max, s);
    const step next{std::exp(max - top), std::exp(s - top)};
    max = top;
    sum = sum * next.keep + next.weight;
    return next;
  }
  // acc [channels] starts at zero; v is not read where the weight is zero by s = -inf.
  void absorb(T s, const T* v, index channels, T* acc) {
    if (s == -infinity) return;
    const step next = absorb(s);
    for (index d = 0; d < channels; ++d) acc[d] = acc[d] * next.keep + next.weight * v[d];
  }
  // The keys of `other`, which met none of ours; its accumulator is not normalised yet either.
  void absorb(const online_softmax& other, const T* other_acc, index channels, T* acc) {
    if (other.empty()) return;
    const T top = std::max(max, other.max), keep = std::exp(max - top),
            weight = std::exp(other.max - top);
    for (index d = 0; d < channels; ++d) acc[d] = acc[d] * keep + weight * other_acc[d];
    sum = sum * keep + weight * other.sum;
    max = top;
  }

  constexpr bool empty() const { return max == -infinity; }
  // Factor of the accumulator.
  T finish() const { return empty() ? T(0) : T(1) / sum; }
  T lse() const { return empty() ? -infinity : max + std::log(sum); }
};

}  // namespace heed
