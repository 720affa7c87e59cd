// SPDX-License-Identifier: BSL-1.0
// Operands of recurrences, and how what they give is compared with a reference.
#pragma once

#include "calls.hpp"

#include <heed/recurrence/retention.hpp>
#include <heed/reference/matrix.hpp>

#include <array>

namespace bench {

using heed::reference::matrix;
using heed::reference::vector;

// Operands [1, heads, length, dim] of any recurrence; q and k have length 1. Rows repeat after a
// prime number, so that no two heads are alike.
class sequences {
 public:
  enum part { q, k, v, channels, a, b, scalar, beta, gate, parts };

  sequences(index heads, index length, index dim)
      : heads_(heads), length_(length), dim_(dim), data_(stored(heads * length, dim)) {}

  index heads() const { return heads_; }
  index length() const { return length_; }
  index dim() const { return dim_; }
  index width(part p) const { return p < scalar ? dim_ : 1; }
  float* data(part p) const { return data_[p].data(); }
  // [1, heads, length, width]
  heed::view<const float> operator[](part p) const {
    return {data(p), {1, heads_, length_, width(p)}};
  }
  // [1, heads, 1, 1], of RetNet's decays, which repeat after 8 heads
  heed::view<const float> constant() const {
    static const buffer<float> logs = [] {
      buffer<float> all(4096);
      for (std::size_t h = 0; h < all.size(); ++h)
        all[h] = static_cast<float>(heed::recurrences::retnet_log_decay(static_cast<index>(h % 8)));
      return all;
    }();
    return {logs.data(), {1, heads_, 1, 1}};
  }
  // [1, heads, 1, dim]
  heed::view<const float> bonus() const { return {data(v), {1, heads_, 1, dim_}}; }

  // The first tokens of a head in double.
  matrix rows(part p, index head, index count) const {
    const float* const first = data(p) + head * length_ * width(p);
    return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
               first, count, width(p))
        .cast<double>();
  }
  vector column(part p, index head, index count) const { return rows(p, head, count).col(0); }

 private:
  using storage = std::array<buffer<float>, parts>;

  // Kept from case to case, of one dim at a time.
  static storage& stored(index rows, index dim) {
    static storage all;
    static index has_rows = 0, has_dim = 0;
    if (dim == has_dim && rows <= has_rows) return all;
    constexpr index period = 2039;
    for (const part p : {q, k, v, channels, a, b, scalar, beta, gate}) {
      const index width = p < scalar ? dim : 1;
      buffer<float> base = normal_numbers(period * width, 100 + p);
      if (p == b) base = normal_numbers(period * width, 100 + a);
      for (index r = 0; r < period; ++r) shape_row(p, base.data() + r * width, width);
      buffer<float>().swap(all[p]);
      all[p].resize(static_cast<std::size_t>(rows * width));
      for (index r = 0; r < rows; r += period)
        std::copy_n(base.data(), std::min(period, rows - r) * width, all[p].data() + r * width);
    }
    has_rows = rows, has_dim = dim;
    return all;
  }
  static void shape_row(part p, float* x, index width) {
    const auto sigmoid = [](float y) { return 1 / (1 + std::exp(-y)); };
    const auto each = [&](auto f) { std::transform(x, x + width, x, f); };
    if (p == channels || p == scalar) each([](float y) { return -std::exp(y - 3); });
    if (p == beta) each(sigmoid);
    if (p == gate) each([](float y) { return y - 1; });
    if (p == v || p == beta || p >= scalar || p == channels) return;
    float norm = 0;
    for (index c = 0; c < width; ++c) norm += x[c] * x[c];
    // a removes what a unit key holds, b puts a part of it back: RWKV-7's -k and its rate times k.
    const float factor = (p == a ? -1 : p == b ? 0.5f : 1) / std::sqrt(norm);
    each([factor](float y) { return y * factor; });
  }

  index heads_, length_, dim_;
  storage& data_;
};

// `count` tokens from `first` on.
struct some_tokens {
  const sequences& all;
  index first, count;
  heed::view<const float> operator[](sequences::part p) const {
    return all[p].slice_rows(first, count);
  }
};

// Compares out [1, heads, length, dim] with `want`, the tokens of one head from `first` on, and
// ends the program on a difference that float arithmetic cannot explain, which `condition`
// magnifies.
inline void check_tokens(const std::string& who, const heed::view<const float>& out, index head,
                         const matrix& want, double condition = 1) {
  // An output sums as many products as a head has channels, each of them a sum over tokens whose
  // parts are as large as the largest output.
  const double tolerance = 4 * condition * std::numeric_limits<float>::epsilon() *
                           std::sqrt(static_cast<double>(out.extent[3])) *
                           (1 + want.cwiseAbs().maxCoeff());
  for (index t = 0; t < want.rows(); ++t)
    for (index c = 0; c < want.cols(); ++c) {
      const double got = double{out(0, head, t, c)};
      if (!(std::abs(got - want(t, c)) <= tolerance))
        fail(who + " is wrong at head " + std::to_string(head) + ", token " + std::to_string(t) +
             ", channel " + std::to_string(c) + ": " + std::to_string(got) + " instead of " +
             std::to_string(want(t, c)));
    }
}

}  // namespace bench
