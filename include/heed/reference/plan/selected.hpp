// SPDX-License-Identifier: BSL-1.0
// plan/selected: row i sees key j if ⌊j / keys⌋ is on the list of ⌊i / rows⌋ and `inside` allows it.
#pragma once

#include <algorithm>
#include <heed/plan/block_lists.hpp>
#include <heed/reference/matrix.hpp>

namespace heed::reference::plan {

inline allowed selected(const block_lists& lists, index b, index h, const allowed& inside) {
  allowed a = inside;
  for (index i = 0; i < a.rows(); ++i) {
    const auto list = lists(b, h, i / lists.rows);
    for (index j = 0; j < a.cols(); ++j)
      a(i, j) = a(i, j) &&
                std::find(list.begin(), list.end(), static_cast<int>(j / lists.keys)) != list.end();
  }
  return a;
}

}  // namespace heed::reference::plan
