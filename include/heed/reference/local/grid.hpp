// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <functional>
#include <heed/reference/matrix.hpp>

namespace heed::reference::local {

/// A kernel [k·k] for a position (its row) and a channel.
using kernels = std::function<vector(index position, index channel)>;

/// y_{p,c} = Σ_{u,v} κ_{uv} x_{p+(u,v)−(k−1)/2, c} on a grid of height × width positions, the rows
/// of x [height·width × C]; k odd, zeros beyond the grid.
inline matrix depthwise(const matrix& x, index height, index width, index k, const kernels& kappa) {
  matrix y = matrix::Zero(x.rows(), x.cols());
  for (index r = 0; r < height; ++r)
    for (index s = 0; s < width; ++s)
      for (index c = 0; c < x.cols(); ++c) {
        const vector w = kappa(r * width + s, c);
        for (index u = 0; u < k; ++u)
          for (index v = 0; v < k; ++v) {
            const index at = r + u - (k - 1) / 2, to = s + v - (k - 1) / 2;
            if (at < 0 || at >= height || to < 0 || to >= width) continue;
            y(r * width + s, c) += w(u * k + v) * x(at * width + to, c);
          }
      }
  return y;
}

/// ATConv: κ' = κ − σ(λ) mean(κ).
inline vector less_mean(const vector& kappa, double lambda) {
  return kappa.array() - kappa.mean() / (1 + std::exp(-lambda));
}

}  // namespace heed::reference::local
