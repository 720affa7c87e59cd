// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <heed/reference/normalizer/softmax.hpp>
#include <vector>

namespace heed::reference::normalizer {

/// Softmax over the k largest scores of each row, ties to the lower key.
inline matrix topk(const matrix& s, const allowed& a, Eigen::Index k) {
  allowed kept = allowed::Constant(a.rows(), a.cols(), false);
  for (Eigen::Index i = 0; i < s.rows(); ++i) {
    std::vector<Eigen::Index> keys;
    for (Eigen::Index j = 0; j < s.cols(); ++j)
      if (a(i, j)) keys.push_back(j);
    std::sort(keys.begin(), keys.end(), [&](Eigen::Index x, Eigen::Index y) {
      return s(i, x) > s(i, y) || (s(i, x) == s(i, y) && x < y);
    });
    for (std::size_t n = 0; n < keys.size() && static_cast<Eigen::Index>(n) < k; ++n)
      kept(i, keys[n]) = true;
  }
  return softmax(s, kept);
}

}  // namespace heed::reference::normalizer
