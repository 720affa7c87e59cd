// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/select/lists.hpp>

namespace heed::reference::select {

/// BiFormer: the region of every token of a Y × X image cut into sy × sx.
inline indices regions(index y, index x, index sy, index sx) {
  indices of;
  for (index i = 0; i < y; ++i)
    for (index j = 0; j < x; ++j) of.push_back(i / (y / sy) * sx + j / (x / sx));
  return of;
}

/// The regions that each region attends to; q, k [L × all channels of all heads].
inline std::vector<indices> routed_regions(const matrix& q, const matrix& k, const indices& of,
                                           index count, index top) {
  matrix mean_q = matrix::Zero(count, q.cols()), mean_k = mean_q;
  for (index l = 0; l < q.rows(); ++l) {
    mean_q.row(of[static_cast<std::size_t>(l)]) += q.row(l) * double(count) / double(q.rows());
    mean_k.row(of[static_cast<std::size_t>(l)]) += k.row(l) * double(count) / double(q.rows());
  }
  std::vector<indices> near;
  for (index r = 0; r < count; ++r)
    near.push_back(largest(mean_k * mean_q.row(r).transpose(), top));
  return near;
}

/// One head: every query attends to all tokens of the regions near its own.
inline matrix biformer(const matrix& q, const matrix& k, const matrix& v, const indices& of,
                       const std::vector<indices>& near) {
  allowed mask(q.rows(), k.rows());
  indices all;
  for (index i = 0; i < q.rows(); ++i) {
    all.push_back(i);
    const indices& seen = near[static_cast<std::size_t>(of[static_cast<std::size_t>(i)])];
    for (index j = 0; j < k.rows(); ++j)
      mask(i, j) = std::count(seen.begin(), seen.end(), of[static_cast<std::size_t>(j)]) > 0;
  }
  return among(q, k, v, all, all, mask);
}

}  // namespace heed::reference::select
