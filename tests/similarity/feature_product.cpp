// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/linear.hpp>
#include <heed/reference/normalizer/linear.hpp>
#include <heed/reference/similarity/feature_product.hpp>
#include <heed/similarity/feature_product.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference;

namespace {

const auto summed = [](const auto& s, const auto& a, heed::index) {
  return expected::normalizer::linear_sum(s, a);
};
const auto bounded = [](const auto& s, const auto& a, heed::index) {
  return expected::normalizer::linear_bounded(s, a);
};

// x -> [x, x²]: a map of rows that doubles their width.
struct with_squares {
  heed::index width(heed::index depth) const { return 2 * depth; }
  template <class T> void operator()(T* row, heed::index depth) const {
    for (heed::index c = 0; c < depth; ++c) row[depth + c] = row[c] * row[c];
  }
};

// Queries twice, keys three times; up to four channels.
struct lopsided {
  template <class Arch, class T> void query(T* row, heed::index depth) const {
    for (heed::index c = 0; c < depth; ++c) row[c] *= 2;
  }
  template <class Arch, class T> void key(T* row, heed::index depth) const {
    for (heed::index c = 0; c < depth; ++c) row[c] *= 3;
  }
  void check(heed::index depth) const {
    if (depth > 4) heed::check::fail("lopsided", "too many channels");
  }
};

}  // namespace

TEST_CASE("elu + 1 over its row sum is linear attention") {
  const attention spec{.mask = causal{},
                       .similarity = feature_product{elu1_feature{}},
                       .normalizer = linear{.by = divisor::sum}};
  const auto scores = [](const auto& q, const auto& k, heed::index) {
    return expected::similarity::feature_product(q, k, expected::similarity::elu_plus_one);
  };
  agree<float>(spec, scores, summed);
  agree<double>(spec, scores, summed);
  agree<float, simd::scalar>(spec, scores, summed);
}

TEST_CASE("the identity feature is the unscaled dot product") {
  agree<double>(
      attention{.mask = causal{},
                .similarity = feature_product{},
                .normalizer = linear{.by = divisor::bounded_sum}},
      [](const auto& q, const auto& k, heed::index) { return (q * k.transpose()).eval(); },
      bounded);
}

TEST_CASE("a feature may take single numbers only") {
  const auto softsign = [](double x) { return x / (1 + std::abs(x)); };
  agree<float>(
      attention{.mask = causal{},
                .similarity = feature_product{softsign},
                .normalizer = linear{.by = divisor::bounded_sum}},
      [&](const auto& q, const auto& k, heed::index) {
        return expected::similarity::feature_product(q, k, softsign);
      },
      bounded, 32);
}

TEST_CASE("a feature may change the width") {
  agree<float>(
      attention{.mask = causal{},
                .similarity = feature_product{with_squares{}},
                .normalizer = linear{.by = divisor::bounded_sum}},
      [](const auto& q, const auto& k, heed::index) {
        const Eigen::MatrixXd q2 = q.array().square(), k2 = k.array().square();
        return (q * k.transpose() + q2 * k2.transpose()).eval();
      },
      bounded, 32);
}

TEST_CASE("a feature may treat queries and keys differently, and refuse channels") {
  const attention spec{.similarity = feature_product{lopsided{}}, .normalizer = linear{}};
  const double q[] = {1, 2, 0, -1}, k[] = {3, 1, 5, 2}, v = 1;
  double out = std::nan("");
  heed::attend(spec, view<const double>(q, {1, 1, 1, 4}), view<const double>(k, {1, 1, 1, 4}),
               view<const double>(&v, {1, 1, 1, 1}), view<double>(&out, {1, 1, 1, 1}));
  CHECK(out == 6 * 3);
  const double wide[5] = {};
  const view<const double> x(wide, {1, 1, 1, 5});
  CHECK_THROWS_WITH(heed::attend(spec, x, x, view<const double>(&v, {1, 1, 1, 1}),
                                 view<double>(&out, {1, 1, 1, 1})),
                    Catch::Matchers::ContainsSubstring("too many channels"));
}
