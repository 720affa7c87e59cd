// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/local/grid.hpp>

namespace heed::reference::local {

/// LePE (Dong et al., CSWin Transformer, CVPR 2022): o + DWConv(v) of one head, o, v [Y·X×D],
/// w [D×k·k], bias [D].
inline matrix value_depthwise(const matrix& o, const matrix& v, index height, index width, index k,
                              const matrix& w, const vector& bias) {
  const matrix y =
      depthwise(v, height, width, k, [&](index, index c) -> vector { return w.row(c); });
  return (o + y).rowwise() + bias.transpose();
}

}  // namespace heed::reference::local
