// SPDX-License-Identifier: BSL-1.0
// What all versions do to rows of tokens: norms, the shift by one token, sigmoid.
#pragma once

#include <heed/core/view.hpp>

#include "../decoder/shape.hpp"

namespace rwkv {

using heed::index;
using rows = decoder::matrix<float>;  // a token a row
using row = Eigen::RowVectorXf;

struct affine {
  row gain, bias;
};

// gain · (x - mean) / sqrt(variance + epsilon) + bias, for each of `groups` equal parts of a row.
inline rows normed(const rows& x, const affine& a, float epsilon = 1e-5f, index groups = 1) {
  rows y(x.rows(), x.cols());
  const index n = x.cols() / groups;
  for (index i = 0; i < x.rows(); ++i)
    for (index g = 0; g < groups; ++g) {
      const auto part = x.row(i).segment(g * n, n).array();
      auto to = y.row(i).segment(g * n, n).array();
      to = part - part.mean();
      to /= std::sqrt(to.square().mean() + epsilon);
    }
  y.array().rowwise() *= a.gain.array();
  y.rowwise() += a.bias;
  return y;
}

// The row before each row; `last` is the one before the first and becomes the last.
inline rows shifted(const rows& x, row& last) {
  rows before(x.rows(), x.cols());
  before.row(0) = last;
  before.bottomRows(x.rows() - 1) = x.topRows(x.rows() - 1);
  last = x.bottomRows(1);
  return before;
}

// x where `share` is 0, the row before it where `share` is 1.
template <class Share> rows mixed(const rows& x, const rows& before, const Share& share) {
  return x.array() + (before - x).array().rowwise() * share.array();
}

template <class X> rows sigmoid(const X& x) { return (1 + (-x.array()).exp()).inverse(); }

inline rows squared_relu(const rows& x) { return x.array().max(0).square(); }

// [1, H, L, D] of rows whose heads lie side by side.
template <class Rows> auto by_heads(Rows& x, index heads) {
  using element = std::remove_pointer_t<decltype(x.data())>;
  const index depth = x.cols() / heads;
  return heed::view<element>(x.data(), {1, heads, x.rows(), depth}, {x.size(), depth, x.cols(), 1});
}

}  // namespace rwkv
