// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::neighborhood {

/// One place of a window: its token, −1 for padding, and its region.
struct window_slot {
  index token = -1, region = 0;
};
using window_slots = std::vector<window_slot>;

/// Row-major counting through `extent`, the last axis fastest.
template <class F> void each_place(const indices& extent, F f) {
  index count = 1;
  for (const index n : extent) count *= n;
  indices at(extent.size());
  for (index i = 0; i < count; ++i) {
    index rest = i;
    for (std::size_t n = extent.size(); n-- > 0; rest /= extent[n]) at[n] = rest % extent[n];
    f(at);
  }
}
inline index flat(const indices& extent, const indices& at) {
  index i = 0;
  for (std::size_t n = 0; n < extent.size(); ++n) i = i * extent[n] + at[n];
  return i;
}

/// The windows of Swin as it makes them: pad, roll by −shift, label the slices (0, −w), (−w, −s),
/// (−s, end) of every axis of the rolled grid, partition.
inline std::vector<window_slots> windows(const indices& size, const indices& window,
                                         const indices& shift) {
  const std::size_t dimensions = size.size();
  indices padded(dimensions), blocks(dimensions);
  for (std::size_t n = 0; n < dimensions; ++n) {
    blocks[n] = (size[n] + window[n] - 1) / window[n];
    padded[n] = blocks[n] * window[n];
  }
  std::vector<window_slot> rolled;
  each_place(padded, [&](const indices& at) {
    indices from(dimensions);
    bool inside = true;
    index region = 0;
    for (std::size_t n = 0; n < dimensions; ++n) {
      from[n] = (at[n] + shift[n]) % padded[n];
      inside = inside && from[n] < size[n];
      const index slice = at[n] < padded[n] - window[n] ? 0 : at[n] < padded[n] - shift[n] ? 1 : 2;
      region = 3 * region + slice;
    }
    rolled.push_back({inside ? flat(size, from) : -1, region});
  });
  std::vector<window_slots> all;
  each_place(blocks, [&](const indices& block) {
    all.emplace_back();
    each_place(window, [&](const indices& in) {
      indices at(dimensions);
      for (std::size_t n = 0; n < dimensions; ++n) at[n] = block[n] * window[n] + in[n];
      all.back().push_back(rolled[static_cast<std::size_t>(flat(padded, at))]);
    });
  });
  return all;
}

/// Pairs of one window: of the same region, and no padding.
inline allowed region_mask(const window_slots& w) {
  const auto n = static_cast<index>(w.size());
  allowed a(n, n);
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      const window_slot &q = w[static_cast<std::size_t>(i)], &k = w[static_cast<std::size_t>(j)];
      a(i, j) = q.token >= 0 && k.token >= 0 && q.region == k.region;
    }
  return a;
}

/// relative_position_index of Swin: for places i, j of a window, the row of the table
/// [Π(2w − 1)] that counts x_i − x_j + w − 1 along every axis.
inline index relative_position_index(const indices& window, index i, index j) {
  index entry = 0, step = 1;
  for (std::size_t n = window.size(); n-- > 0; i /= window[n], j /= window[n]) {
    entry += (i % window[n] - j % window[n] + window[n] - 1) * step;
    step *= 2 * window[n] - 1;
  }
  return entry;
}

struct windowed {
  matrix out;
  vector lse;
};

/// Windowed attention of one head (Liu et al., Swin Transformer): in every window softmax(scale ·
/// q kᵀ + B), B from the table [Π(2w − 1)] where there is one; what regions keep apart takes no
/// part; reversed, rolled back, padding dropped. q, k [L×D], v [L×Dv], L = Π size.
inline windowed shifted_window(const matrix& q, const matrix& k, const matrix& v,
                               const indices& size, const indices& window, const indices& shift,
                               double scale, const vector& table = {}) {
  windowed to{matrix::Zero(q.rows(), v.cols()), vector::Zero(q.rows())};
  for (const window_slots& w : windows(size, window, shift)) {
    const auto n = static_cast<index>(w.size());
    matrix wq = matrix::Zero(n, q.cols()), wk = wq, wv = matrix::Zero(n, v.cols());
    for (index i = 0; i < n; ++i)
      if (const index token = w[static_cast<std::size_t>(i)].token; token >= 0)
        wq.row(i) = q.row(token), wk.row(i) = k.row(token), wv.row(i) = v.row(token);
    matrix s = scale * wq * wk.transpose();
    for (index i = 0; table.size() > 0 && i < n; ++i)
      for (index j = 0; j < n; ++j) s(i, j) += table(relative_position_index(window, i, j));
    const allowed a = region_mask(w);
    const matrix out = attention(normalizer::softmax(s, a), wv);
    const vector lse = normalizer::lse(s, a);
    for (index i = 0; i < n; ++i)
      if (const index token = w[static_cast<std::size_t>(i)].token; token >= 0)
        to.out.row(token) = out.row(i), to.lse(token) = lse(i);
  }
  return to;
}

/// The same as a mask [L×L].
inline allowed shifted_window(const indices& size, const indices& window, const indices& shift) {
  index tokens = 1;
  for (const index n : size) tokens *= n;
  allowed all = allowed::Constant(tokens, tokens, false);
  for (const window_slots& w : windows(size, window, shift)) {
    const allowed a = region_mask(w);
    for (index i = 0; i < a.rows(); ++i)
      for (index j = 0; j < a.cols(); ++j)
        if (a(i, j))
          all(w[static_cast<std::size_t>(i)].token, w[static_cast<std::size_t>(j)].token) = true;
  }
  return all;
}

}  // namespace heed::reference::neighborhood
