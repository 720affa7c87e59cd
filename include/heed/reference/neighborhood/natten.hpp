// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/matrix.hpp>
#include <limits>

namespace heed::reference::neighborhood {

/// One axis of a grid and of its windows.
struct axis {
  index size, window, stride = 1, dilation = 1;
  bool causal = false;
};
using axes = std::vector<axis>;  // the slowest first

/// The tokens that token i sees along an axis, in order (Hassani et al. 2022, 2024, 2025).
///
/// Tokens a dilation apart form a group and see each other only. Of every `stride` tokens of a
/// group, starting with its first, one is the leader, and all of them see what it sees: the window
/// with window/2 tokens before it, moved by as little as it takes to lie within the group. The
/// leader is the middle one (of an even number, the one after the middle), causally the last one,
/// whose window ends with itself and of which a token sees what does not lie behind it. Where the
/// last tokens are too few, the last of all may have to lead.
inline indices seen(const axis& a, index i) {
  indices group;
  for (index t = i % a.dilation; t < a.size; t += a.dilation) group.push_back(t);
  const auto count = static_cast<index>(group.size());
  index self = 0;
  while (group[static_cast<std::size_t>(self)] != i) ++self;

  index leader = self;
  while (leader % a.stride != 0) --leader;
  leader += a.causal ? a.stride - 1 : a.stride / 2;
  while (leader >= count) --leader;

  index first = a.causal ? leader - (a.window - 1) : leader - a.window / 2;
  if (!a.causal)
    while (first + a.window > count) --first;
  if (!a.causal)
    while (first < 0) ++first;
  indices keys;
  for (index j = first; j < first + a.window; ++j)
    if (j >= 0 && (!a.causal || j <= self)) keys.push_back(group[static_cast<std::size_t>(j)]);
  return keys;
}

/// The tokens that token i of a grid sees, in order: those that it sees along every axis.
inline indices seen(const axes& grid, index i) {
  indices tokens{0};
  index inner = 1;
  for (const axis& a : grid) inner *= a.size;
  for (const axis& a : grid) {
    inner /= a.size;
    indices next;
    for (const index t : tokens)
      for (const index j : seen(a, i / inner % a.size)) next.push_back(t + j * inner);
    tokens = next;
  }
  return tokens;
}

/// Where a pair finds its number in a table of Π(2·window − 1): the axes in row-major order, along
/// each of them window − 1 and how many steps of the dilation the key lies behind the query.
inline index relative_entry(const axes& grid, index q, index k) {
  index entry = 0, step = 1;
  for (std::size_t n = grid.size(); n-- > 0;) {
    const axis& a = grid[n];
    entry += step * ((k % a.size - q % a.size) / a.dilation + a.window - 1);
    step *= 2 * a.window - 1;
    q /= a.size, k /= a.size;
  }
  return entry;
}

/// What one head may have besides q, k and v.
struct more {
  vector bias{};                // a table of relative positions, if any
  matrix extra_k{}, extra_v{};  // keys and values that every token sees, if any
};
struct attended {
  matrix out;
  vector lse;
};

/// o_i = Σ_j exp(s_ij − lse_i) v_j over the extra keys and those that i sees, s_ij = scale·q_i·k_j
/// (+ bias, not for extra keys).
inline attended natten(const axes& grid, const matrix& q, const matrix& k, const matrix& v,
                       double scale, const more& also = {}) {
  attended a{matrix::Zero(q.rows(), v.cols()), vector(q.rows())};
  for (index i = 0; i < q.rows(); ++i) {
    const indices keys = seen(grid, i);
    const index extra = also.extra_k.rows(), all = extra + static_cast<index>(keys.size());
    vector s(all);
    matrix values(all, v.cols());
    for (index n = 0; n < all; ++n)
      if (n < extra) {
        s(n) = scale * q.row(i).dot(also.extra_k.row(n));
        values.row(n) = also.extra_v.row(n);
      } else {
        const index j = keys[static_cast<std::size_t>(n - extra)];
        s(n) = scale * q.row(i).dot(k.row(j));
        if (also.bias.size() > 0) s(n) += also.bias(relative_entry(grid, i, j));
        values.row(n) = v.row(j);
      }
    const double most = s.maxCoeff();
    const vector p = (s.array() - most).exp().matrix();
    a.out.row(i) = p.transpose() * values / p.sum();
    a.lse(i) = most + std::log(p.sum());
  }
  return a;
}

/// Head h of `heads` meets the key head h / (heads / kv_heads).
inline index key_head(index h, index heads, index kv_heads) { return h / (heads / kv_heads); }

}  // namespace heed::reference::neighborhood
