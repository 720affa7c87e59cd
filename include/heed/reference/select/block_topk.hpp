// SPDX-License-Identifier: BSL-1.0
// select/block_topk: S_ab = q̄_a·k̄_b/√D, or the mean over the antidiagonals of a pair of blocks;
// chosen(a, b): the `top` largest, or the fewest whose softmax reaches `mass`.
#pragma once

#include <cmath>
#include <heed/reference/select/moba.hpp>

namespace heed::reference::select {

inline matrix block_maxima(const matrix& x, index size) {
  matrix largest((x.rows() + size - 1) / size, x.cols());
  for (index b = 0; b < largest.rows(); ++b)
    largest.row(b) =
        x.middleRows(b * size, std::min(size, x.rows() - b * size)).colwise().maxCoeff();
  return largest;
}

// Σ q_i·k_j over i + j ≡ stride - 1, i and j counted from the first of their blocks.
inline matrix antidiagonals(const matrix& q, const matrix& k, index rows, index keys,
                            index stride) {
  const matrix s = q * k.transpose();
  matrix sum = matrix::Zero((q.rows() + rows - 1) / rows, (k.rows() + keys - 1) / keys);
  for (index i = 0; i < q.rows(); ++i)
    for (index j = 0; j < k.rows(); ++j)
      if ((i % rows + j % keys) % stride == stride - 1) sum(i / rows, j / keys) += s(i, j);
  return sum * (double(stride) / (double(rows) * double(keys)));
}

// The fewest whose softmax reaches `mass`, all for a mass of 1; those of score +∞ always.
inline indices fewest(const vector& scores, double mass) {
  constexpr double always = std::numeric_limits<double>::infinity();
  double sum = 0, top = -always, reached = 0;
  for (const double s : scores)
    if (s < always) top = std::max(top, s);
  for (const double s : scores)
    if (s < always) sum += std::exp(s - top);
  indices chosen;
  for (const index i : ranked(scores, scores.size())) {
    if (scores(i) < always && mass < 1 && reached >= mass * sum) break;
    if (scores(i) < always) reached += std::exp(scores(i) - top);
    chosen.push_back(i);
  }
  return chosen;
}

struct block_choice {
  index rows, keys, top;
  double mass;
  index sinks;
  bool causal;
};

// `scores` [blocks of queries × blocks of keys], of `queries` queries that end with the keys.
inline allowed choose_blocks(const matrix& scores, const block_choice& x, index queries,
                             index all_keys) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  allowed chosen = allowed::Constant(scores.rows(), scores.cols(), false);
  for (index a = 0; a < scores.rows(); ++a) {
    const index first = a * x.rows + all_keys - queries,
                last = std::min((a + 1) * x.rows, queries) - 1 + all_keys - queries;
    vector s = scores.row(a);
    for (index b = 0; b < s.size(); ++b) {
      const index from = b * x.keys, to = from + x.keys - 1;
      if (b < x.sinks || (from <= last && to >= std::max<index>(first, 0))) s(b) = infinity;
      if (x.causal && from > last) s(b) = -infinity;
    }
    const index kept = (s.array() == infinity).count();
    for (const index b : x.mass > 0 ? fewest(s, x.mass) : ranked(s, std::max(x.top, kept)))
      chosen(a, b) = true;
  }
  return chosen;
}

}  // namespace heed::reference::select
