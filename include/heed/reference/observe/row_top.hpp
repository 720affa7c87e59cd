// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// The allowed keys of each row by falling score, of equal ones the first key first; at most n.
inline std::vector<indices> row_top(const matrix& s, const allowed& a, index n) {
  std::vector<indices> top(static_cast<std::size_t>(s.rows()));
  for (index i = 0; i < s.rows(); ++i) {
    indices& keys = top[static_cast<std::size_t>(i)];
    for (index j = 0; j < s.cols(); ++j)
      if (a(i, j)) keys.push_back(j);
    std::sort(keys.begin(), keys.end(),
              [&](index x, index y) { return s(i, x) > s(i, y) || (s(i, x) == s(i, y) && x < y); });
    if (static_cast<index>(keys.size()) > n) keys.resize(static_cast<std::size_t>(n));
  }
  return top;
}

}  // namespace heed::reference::observe
