// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/similarity/qk_norm.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference;

namespace {

const auto softmaxed = [](const auto& s, const auto& a, heed::index) {
  return expected::normalizer::softmax(s, a);
};

// Gains a query head and a key head: the heads of the operand that each transforms.
template <class T, class Arch = simd::best> void sweep() {
  const auto query = test::random<T>({1, 1, 4, 64}, 9), key = test::random<T>({1, 1, 2, 64}, 10);
  std::vector<shape> shapes = awkward_shapes();
  for (shape& x : shapes) {
    x.h = 4, x.kv = 2;
    const std::vector<T> g(query.data.begin(), query.data.begin() + 4 * x.d),
        shared(g.begin(), g.begin() + x.d), f(key.data.begin(), key.data.begin() + 2 * x.d);
    const auto head = [&](const std::vector<T>& gains, heed::index h) {
      Eigen::VectorXd v(x.d);
      for (heed::index c = 0; c < x.d; ++c)
        v(c) = double(gains[static_cast<std::size_t>(h * x.d + c)]);
      return v;
    };
    agree<T, Arch>(attention{.mask = causal{}, .query = qk_norm{g}, .key = qk_norm{f, 1e-3}},
                   [&](const auto& q, const auto& k, heed::index h) {
                     return scaled_dot(expected::similarity::qk_norm(q, head(g, h), 1e-6),
                                       expected::similarity::qk_norm(k, head(f, h / 2), 1e-3), h);
                   },
                   softmaxed, 16, {x});
    agree<T, Arch>(attention{.mask = causal{}, .query = qk_norm{shared}, .key = qk_norm{}},
                   [&](const auto& q, const auto& k, heed::index h) {
                     return scaled_dot(
                         expected::similarity::qk_norm(q, head(g, 0), 1e-6),
                         expected::similarity::qk_norm(k, Eigen::VectorXd::Ones(x.d), 1e-6), h);
                   },
                   softmaxed, 16, {x});
  }
}

}  // namespace

TEST_CASE("qk_norm divides rows by their root mean square, float") { sweep<float>(); }
TEST_CASE("qk_norm divides rows by their root mean square, double") { sweep<double>(); }
TEST_CASE("qk_norm divides rows by their root mean square, one lane") {
  sweep<float, simd::scalar>();
}

TEST_CASE("gains must be [D] or [H,D]") {
  const std::vector<float> g(7);
  CHECK_THROWS_WITH(qk_norm{g}.check(row_shape{1, 4, 10, 8}),
                    Catch::Matchers::ContainsSubstring("8 or 32 numbers, not 7"));
  CHECK_THROWS_AS((qk_norm{.epsilon = -1}.check(row_shape{1, 4, 10, 8})), std::invalid_argument);
}
