// SPDX-License-Identifier: BSL-1.0
// The k largest of a row of scores: what every selector ends with.
//
// Ties go to the lower number, so that a choice depends on the scores alone. NaN and minus infinity
// are never chosen, so fewer than k may be. O(n).
#pragma once

#include <algorithm>
#include <functional>
#include <heed/core/position.hpp>
#include <limits>

namespace heed {

namespace detail {

// Up to this many are kept sorted while scores go by: past the first few, most are told to be too
// small sixteen at a time.
inline constexpr index few_chosen = 32;

template <class T> index top_few(const T* scores, index n, index k, int* chosen) {
  T best[few_chosen];
  int number[few_chosen];
  index count = 0;
  T least = -std::numeric_limits<T>::infinity();
  const auto offer = [&](index i) {
    const T s = scores[i];
    if (!(s > least)) return;
    index at = count < k ? count++ : k - 1;
    for (; at > 0 && best[at - 1] < s; --at) best[at] = best[at - 1], number[at] = number[at - 1];
    best[at] = s, number[at] = static_cast<int>(i);
    if (count == k) least = best[k - 1];
  };
  index i = 0;
  for (constexpr index step = 16; i + step <= n; i += step) {
    int larger = 0;
    for (index j = 0; j < step; ++j) larger |= scores[i + j] > least;
    for (index j = 0; larger && j < step; ++j) offer(i + j);
  }
  for (; i < n; ++i) offer(i);
  std::copy_n(number, count, chosen);
  std::sort(chosen, chosen + count);
  return count;
}

}  // namespace detail

// Writes the numbers of the chosen, ascending, to `chosen` [k] and returns how many there are.
// `scratch` holds n scores.
template <class T> index top_k(const T* scores, index n, index k, int* chosen, T* scratch) {
  k = std::min(k, n);
  if (k > 0 && k <= detail::few_chosen) return detail::top_few(scores, n, k, chosen);
  constexpr T never = -std::numeric_limits<T>::infinity();
  const auto gather = [&](index step, auto keep) {
    index kept = 0;
    for (index i = 0; i < n; i += step) {
      scratch[kept] = scores[i];
      kept += keep(scores[i]) ? 1 : 0;
    }
    return kept;
  };
  const auto possible = [](T s) { return s > never; };
  // Where k is a small part, a sample tells a bound that about 1.5 k are likely to reach. If k do,
  // only these need be ordered.
  constexpr index sample = 128;
  index able = 0;
  bool every = false;  // that can be chosen is in scratch
  if (k > 0 && n >= 8 * sample && n >= 8 * k) {
    const index step = n / sample, some = gather(step, possible);
    const index at = (3 * k / 2) / step + 6;
    if (at < some) {
      std::nth_element(scratch, scratch + at, scratch + some, std::greater<T>());
      const T bound = scratch[at];
      able = gather(1, [=](T s) { return s >= bound; });
    }
  }
  if (able < k || able == 0) able = gather(1, possible), every = true;
  k = std::min(std::max<index>(k, 0), able);
  if (k == 0) return 0;
  T least = never;
  index ties = 0;  // of those equal to the least chosen
  if (k < able || !every) {
    std::nth_element(scratch, scratch + (k - 1), scratch + able, std::greater<T>());
    least = scratch[k - 1];
    ties = k - (std::partition(scratch, scratch + k, [=](T s) { return s > least; }) - scratch);
  }
  index count = 0;
  for (index i = 0; i < n && count < k; ++i) {
    if (scores[i] > least || (scores[i] == least && ties-- > 0))
      chosen[count++] = static_cast<int>(i);
  }
  return count;
}

}  // namespace heed
