// SPDX-License-Identifier: BSL-1.0
// Problems of neighborhood attention, and a few of their rows from the definition in double.
#pragma once

#include "calls.hpp"

#include <heed/neighborhood/natten.hpp>

#include <array>
#include <utility>

namespace bench {

// A grid of any number of axes as [z][y][x], operands contiguous [heads, tokens, dim].
struct windows {
  std::array<index, 3> size{1, 1, 1}, window{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1};
  index heads = 4, dim = 32;
  int threads = 1;

  index tokens() const { return size[0] * size[1] * size[2]; }
  index window_keys() const { return window[0] * window[1] * window[2]; }
  index numbers() const { return heads * tokens() * dim; }
  double pairs() const { return static_cast<double>(heads * tokens() * window_keys()); }
  std::array<index, 3> place(index token) const {
    return {token / (size[1] * size[2]), token / size[2] % size[1], token % size[2]};
  }

  template <int N> heed::neighborhood<N> mask() const {
    heed::neighborhood<N> m;
    for (std::size_t n = 0; n < N; ++n) {
      const std::size_t from = n + 3 - N;
      m.size[n] = size[from], m.window[n] = window[from];
      m.stride[n] = stride[from], m.dilation[n] = dilation[from];
    }
    return m;
  }
  shape form() const { return square(masking::full, heads, heads, dim, tokens(), threads); }
};

inline windows square_windows(index window, index map, index heads, index dim, int threads) {
  return {.size = {1, map, map},
          .window = {1, window, window},
          .heads = heads,
          .dim = dim,
          .threads = threads};
}

// The same kind of problem, small enough that it is checked in milliseconds.
inline windows shrink(windows w) {
  for (std::size_t n = 0; n < 3; ++n) {
    const index least = w.window[n] * w.dilation[n];
    w.size[n] = std::min(w.size[n], std::max<index>(least + 5, n == 2 ? 19 : 0));
  }
  w.heads = std::min<index>(w.heads, 2);
  return w;
}

// The first of the `window` keys of a token, in its dilation group.
inline index window_start(index size, index window, index stride, index dilation, index token) {
  const index in_group = (size - token % dilation + dilation - 1) / dilation;
  const index leader = std::min(token / dilation / stride * stride + stride / 2, in_group - 1);
  return std::min(std::max<index>(leader - window / 2, 0), in_group - window);
}

inline std::vector<index> seen_keys(const windows& w, index token) {
  std::array<std::vector<index>, 3> on;
  const auto at = w.place(token);
  for (std::size_t n = 0; n < 3; ++n) {
    const index d = w.dilation[n];
    const index first = window_start(w.size[n], w.window[n], w.stride[n], d, at[n]);
    for (index i = 0; i < w.window[n]; ++i) on[n].push_back((first + i) * d + at[n] % d);
  }
  std::vector<index> keys;
  for (const index z : on[0])
    for (const index y : on[1])
      for (const index x : on[2]) keys.push_back((z * w.size[1] + y) * w.size[2] + x);
  return keys;
}

// Rows of one head from the definition.
class exact_windows {
 public:
  exact_windows(const windows& w, index head, const float* q, const float* k, const float* v)
      : w_(w), q_(q + first(head)), k_(k + first(head)), v_(v + first(head)) {}

  // Softmax weights of the keys that the token sees; `keys` tells which.
  std::vector<double> weights(index token) {
    keys = seen_keys(w_, token);
    std::vector<double> p;
    double top = -1e300, sum = 0;
    for (const index j : keys) {
      p.push_back(dot(q_ + token * w_.dim, k_ + j * w_.dim) /
                  std::sqrt(static_cast<double>(w_.dim)));
      top = std::max(top, p.back());
    }
    for (double& x : p) sum += x = std::exp(x - top);
    for (double& x : p) x /= sum;
    return p;
  }
  std::vector<double> out(index token) {
    std::vector<double> row(static_cast<std::size_t>(w_.dim), 0.0);
    const std::vector<double> p = weights(token);
    for (std::size_t j = 0; j < p.size(); ++j) add(p[j], v_ + keys[j] * w_.dim, row);
    return row;
  }
  // ds of the keys that the token sees, times the scale.
  std::vector<double> slopes(index token, const float* d_out) {
    std::vector<double> p = weights(token), dp;
    double delta = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
      dp.push_back(dot(d_out + token * w_.dim, v_ + keys[j] * w_.dim));
      delta += p[j] * dp[j];
    }
    for (std::size_t j = 0; j < p.size(); ++j)
      p[j] *= (dp[j] - delta) / std::sqrt(static_cast<double>(w_.dim));
    return p;
  }
  std::vector<double> dq(index token, const float* d_out) {
    std::vector<double> row(static_cast<std::size_t>(w_.dim), 0.0);
    const std::vector<double> ds = slopes(token, d_out);
    for (std::size_t j = 0; j < ds.size(); ++j) add(ds[j], k_ + keys[j] * w_.dim, row);
    return row;
  }
  // Rows `key` of dk and dv, from every query that sees it.
  std::pair<std::vector<double>, std::vector<double>> key(index key, const float* d_out) {
    std::vector<double> dk(static_cast<std::size_t>(w_.dim), 0.0), dv = dk;
    for (index i = 0; i < w_.tokens(); ++i) {
      const std::vector<index> seen = seen_keys(w_, i);
      const auto found = std::find(seen.begin(), seen.end(), key);
      if (found == seen.end()) continue;
      const auto j = static_cast<std::size_t>(found - seen.begin());
      add(slopes(i, d_out)[j], q_ + i * w_.dim, dk);
      add(weights(i)[j], d_out + i * w_.dim, dv);
    }
    return {dk, dv};
  }

  std::vector<index> keys;

 private:
  index first(index head) const { return head * w_.tokens() * w_.dim; }
  double dot(const float* x, const float* y) const {
    double sum = 0;
    for (index c = 0; c < w_.dim; ++c) sum += static_cast<double>(x[c]) * static_cast<double>(y[c]);
    return sum;
  }
  void add(double a, const float* x, std::vector<double>& row) const {
    for (index c = 0; c < w_.dim; ++c)
      row[static_cast<std::size_t>(c)] += a * static_cast<double>(x[c]);
  }

  const windows& w_;
  const float *q_, *k_, *v_;
};

// Ends the program on a difference that float arithmetic cannot explain, of `epsilons` and as many
// again for the root of the channels.
inline void compare_row(const std::string& who, const float* got, const std::vector<double>& want,
                        index token, double epsilons) {
  const auto dim = static_cast<double>(want.size());
  double largest = 1;
  for (const double x : want) largest = std::max(largest, std::abs(x));
  const double tolerance = epsilons * std::numeric_limits<float>::epsilon() * (1 + std::sqrt(dim));
  for (std::size_t c = 0; c < want.size(); ++c)
    if (!(std::abs(static_cast<double>(got[c]) - want[c]) <= tolerance * largest))
      fail(who + " is wrong at token " + std::to_string(token) + ", channel " + std::to_string(c) +
           ": " + std::to_string(got[c]) + " instead of " + std::to_string(want[c]));
}

// Tokens spread over a grid, its corners among them; all of a small one.
inline std::vector<index> sampled(const windows& w) {
  const index n = w.tokens(), step = std::max<index>(1, n / 60) | 1;
  std::vector<index> some{n - 1, w.size[2] - 1, n - w.size[2]};
  for (index i = 0; i < n; i += step) some.push_back(i);
  return some;
}

}  // namespace bench
