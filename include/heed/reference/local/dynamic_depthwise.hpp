// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/local/grid.hpp>
#include <vector>

namespace heed::reference::local {

/// ATConv: a kernel for every channel of a sample, kappa [C×k·k]; lambda [C], or empty: κ as it is.
inline matrix atconv(const matrix& x, index height, index width, index k, const matrix& kappa,
                     const vector& lambda) {
  return depthwise(x, height, width, k, [&](index, index c) -> vector {
    const vector row = kappa.row(c);
    return lambda.size() > 0 ? less_mean(row, lambda(c)) : row;
  });
}

/// Involution (Li et al., CVPR 2021): a kernel for every position and group, kappa[g] [Y·X×k·k];
/// channel c is of group c/(C/G).
inline matrix involution(const matrix& x, index height, index width, index k,
                         const std::vector<matrix>& kappa, const vector& lambda) {
  const index group = x.cols() / static_cast<index>(kappa.size());
  return depthwise(x, height, width, k, [&](index p, index c) -> vector {
    const vector row = kappa[static_cast<std::size_t>(c / group)].row(p);
    return lambda.size() > 0 ? less_mean(row, lambda(c / group)) : row;
  });
}

}  // namespace heed::reference::local
