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

// Writes the numbers of the chosen, ascending, to `chosen` [k] and returns how many there are.
// `scratch` holds n scores.
template <class T> index top_k(const T* scores, index n, index k, int* chosen, T* scratch) {
  constexpr T never = -std::numeric_limits<T>::infinity();
  index able = 0;
  for (index i = 0; i < n; ++i) {
    scratch[able] = scores[i];
    able += scores[i] > never ? 1 : 0;
  }
  k = std::min(std::max<index>(k, 0), able);
  if (k == 0) return 0;
  T least = never;
  index ties = 0;  // of those equal to the least chosen
  if (k < able) {
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
