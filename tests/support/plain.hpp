// SPDX-License-Identifier: BSL-1.0
// Softmax attention as a plain double loop over views of any element type.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/view.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace heed::test {

// Row-major [B,H,L,D].
struct plain_tensor {
  extents extent{};
  std::vector<double> data;
  double operator()(heed::index b, heed::index h, heed::index l, heed::index d) const {
    return data[static_cast<std::size_t>(((b * extent[1] + h) * extent[2] + l) * extent[3] + d)];
  }
};

template <class Q, class K>
std::vector<double> plain_scores(const Q& q, const K& k, heed::index b, heed::index h,
                                 heed::index i, bool causal) {
  const heed::index group = q.extent[1] / k.extent[1], offset = k.extent[2] - q.extent[2];
  std::vector<double> s;
  for (heed::index j = 0; j < k.extent[2] && (!causal || j <= i + offset); ++j) {
    double sum = 0;
    for (heed::index c = 0; c < q.extent[3]; ++c)
      sum += static_cast<double>(q(b, h, i, c)) * static_cast<double>(k(b, h / group, j, c));
    s.push_back(sum / std::sqrt(static_cast<double>(q.extent[3])));
  }
  return s;
}

template <class Q, class K>
double plain_lse(const Q& q, const K& k, heed::index b, heed::index h, heed::index i, bool causal) {
  const std::vector<double> s = plain_scores(q, k, b, h, i, causal);
  if (s.empty()) return -std::numeric_limits<double>::infinity();
  const double top = *std::max_element(s.begin(), s.end());
  double sum = 0;
  for (double x : s) sum += std::exp(x - top);
  return top + std::log(sum);
}

template <class Q, class K, class V>
plain_tensor plain(const Q& q, const K& k, const V& v, bool causal) {
  plain_tensor out{{q.extent[0], q.extent[1], q.extent[2], v.extent[3]}, {}};
  for (heed::index b = 0; b < q.extent[0]; ++b)
    for (heed::index h = 0; h < q.extent[1]; ++h)
      for (heed::index i = 0; i < q.extent[2]; ++i) {
        const std::vector<double> s = plain_scores(q, k, b, h, i, causal);
        const double lse = plain_lse(q, k, b, h, i, causal);
        for (heed::index d = 0; d < v.extent[3]; ++d) {
          double sum = 0;
          for (std::size_t j = 0; j < s.size(); ++j)
            sum += std::exp(s[j] - lse) * static_cast<double>(v(b, h * k.extent[1] / q.extent[1],
                                                                static_cast<heed::index>(j), d));
          out.data.push_back(sum);
        }
      }
  return out;
}

// Of numbers of order 1, sums of a few hundred of them, after weights that are off by a few ulp.
inline constexpr double float_tolerance = 1e-5;

template <class T>
void check_close(const view<T>& x, const plain_tensor& expected,
                 double tolerance = float_tolerance) {
  REQUIRE(x.extent == expected.extent);
  double worst = 0;
  for (heed::index b = 0; b < x.extent[0]; ++b)
    for (heed::index h = 0; h < x.extent[1]; ++h)
      for (heed::index l = 0; l < x.extent[2]; ++l)
        for (heed::index d = 0; d < x.extent[3]; ++d) {
          const double error = std::abs(static_cast<double>(x(b, h, l, d)) - expected(b, h, l, d));
          worst =
              std::max(worst, std::isnan(error) ? std::numeric_limits<double>::infinity() : error);
        }
  CHECK(worst < tolerance);
}

}  // namespace heed::test
