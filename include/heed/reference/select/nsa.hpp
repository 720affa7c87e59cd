// SPDX-License-Identifier: BSL-1.0
// select/nsa, one query head group: compressed rows, the weights that they get, what is chosen from
// them, and the gated sum of the three branches.
#pragma once

#include <cmath>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/select/moba.hpp>

namespace heed::reference::select {

struct nsa_shape {
  index block, stride, selected, count, sinks, local, window;
};

// K̃_c = mean of the rows [c·stride, c·stride + block).
inline matrix compressed(const matrix& x, const nsa_shape& n) {
  const index rows = x.rows() < n.block ? 0 : (x.rows() - n.block) / n.stride + 1;
  matrix mean(rows, x.cols());
  for (index c = 0; c < rows; ++c)
    mean.row(c) = x.middleRows(c * n.stride, n.block).colwise().mean();
  return mean;
}

// Query i sees c if c·stride + block - 1 <= i.
inline allowed compressed_past(index queries, index keys, index rows, const nsa_shape& n) {
  allowed a(queries, rows);
  for (index i = 0; i < queries; ++i)
    for (index c = 0; c < rows; ++c) a(i, c) = c * n.stride + n.block - 1 <= i + keys - queries;
  return a;
}

// P_ij = Σ_c |strides of c in block j| p_ic; `p` [Lq × Nc] is summed over the heads of a group.
inline allowed choose_by_compressed(const matrix& p, index keys, const nsa_shape& n) {
  const index blocks = (keys + n.selected - 1) / n.selected;
  allowed chosen = allowed::Constant(p.rows(), blocks, false);
  for (index i = 0; i < p.rows(); ++i) {
    const index at = i + keys - p.rows();
    vector s = vector::Zero(blocks);
    for (index c = 0; c < p.cols(); ++c)
      for (index u = 0; u < n.block / n.stride; ++u) s((c + u) * n.stride / n.selected) += p(i, c);
    for (index j = 0; j < blocks; ++j) {
      const index own = at / n.selected;
      if (at < 0 || j > own)
        s(j) = -std::numeric_limits<double>::infinity();
      else if (j < n.sinks || j > own - n.local)
        s(j) = std::numeric_limits<double>::infinity();
    }
    for (const index j : ranked(s, n.count)) chosen(i, j) = true;
  }
  return chosen;
}

}  // namespace heed::reference::select
