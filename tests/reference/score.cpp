// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/alibi.hpp>
#include <heed/reference/score/bias.hpp>
#include <heed/reference/score/clamp.hpp>
#include <heed/reference/score/key_bias.hpp>
#include <heed/reference/score/relative_bias.hpp>
#include <heed/reference/score/softcap.hpp>
#include <heed/reference/score/temperature.hpp>

#include <cmath>
#include <vector>

#include "support/catch.hpp"

using heed::reference::matrix;
using heed::reference::vector;
using namespace heed::reference::score;

namespace {

const matrix zeros = matrix::Zero(2, 3);

matrix numbers(std::initializer_list<std::initializer_list<double>> rows) { return matrix(rows); }
vector column(std::initializer_list<double> x) {
  return Eigen::Map<const vector>(x.begin(), static_cast<Eigen::Index>(x.size()));
}

}  // namespace

TEST_CASE("softcap is the identity near zero and bounded far away") {
  CHECK(softcap(numbers({{0, 1e-6, 1e6}}), 30).isApprox(numbers({{0, 1e-6, 30}})));
  CHECK(softcap(numbers({{30 * std::atanh(0.5)}}), 30)(0) == Approx(15));
}

TEST_CASE("clamp") { CHECK(clamp(numbers({{-7, -1, 9}}), -5, 5) == numbers({{-5, -1, 5}})); }

TEST_CASE("bias broadcasts along axes of extent one") {
  CHECK(bias(zeros, numbers({{1, 2, 3}})) == numbers({{1, 2, 3}, {1, 2, 3}}));
  CHECK(bias(zeros, numbers({{1}, {2}})) == numbers({{1, 1, 1}, {2, 2, 2}}));
  CHECK(bias(zeros, numbers({{4}})) == numbers({{4, 4, 4}, {4, 4, 4}}));
  CHECK(bias(zeros, numbers({{1, 2, 3}, {4, 5, 6}})) == numbers({{1, 2, 3}, {4, 5, 6}}));
}

TEST_CASE("key_bias, and counts as multiplicities") {
  CHECK(key_bias(zeros, column({1, 2, 3})) == numbers({{1, 2, 3}, {1, 2, 3}}));
  const vector weights = log_counts(column({1, 3, 4})).array().exp();
  CHECK(weights.isApprox(column({1, 3, 4})));
}

TEST_CASE("temperature per head, per row and scalable softmax") {
  const matrix s = numbers({{2, 4}, {6, 8}});
  CHECK(temperature(s, 2) == numbers({{1, 2}, {3, 4}}));
  CHECK(temperature(s, column({2, 4})) == numbers({{1, 2}, {1.5, 2}}));
  CHECK(ssmax(s, 0.5, column({std::exp(1.0), std::exp(2.0)})).isApprox(numbers({{1, 2}, {6, 8}})));
  CHECK(length_scale(16, 256, 8) == Approx(0.5));
}

TEST_CASE("alibi slopes for powers of two and between them") {
  CHECK(alibi_slopes(1).isApprox(column({1.0 / 256})));
  CHECK(alibi_slopes(8).isApprox(
      column({0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625})));
  const vector twelve = alibi_slopes(12);
  CHECK(twelve.head(8).isApprox(alibi_slopes(8)));
  for (Eigen::Index n = 0; n < 4; ++n) CHECK(twelve(8 + n) == Approx(alibi_slopes(16)(2 * n)));
  CHECK(alibi_slopes(3).isApprox(column({1.0 / 16, 1.0 / 256, 1.0 / 4})));
}

TEST_CASE("alibi grows with the distance to the key") {
  CHECK(alibi(zeros, 0.5, 1) == numbers({{-0.5, 0, 0.5}, {-1, -0.5, 0}}));
  CHECK(alibi_symmetric(zeros, 0.5, 1) == numbers({{-0.5, 0, -0.5}, {-1, -0.5, 0}}));
}

TEST_CASE("T5 buckets are those of the published tables") {
  // 32 buckets, 128 tokens, both directions: 8 exact, then edges at 12, 16, 23, 32, 46, 64, 91.
  const auto both = [](Eigen::Index n) { return t5_bucket(n, 32, direction::bidirectional); };
  const std::vector<Eigen::Index> edges{1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
  for (std::size_t b = 0; b < edges.size(); ++b) {
    const auto bucket = static_cast<Eigen::Index>(b) + 1;
    CHECK(both(-edges[b]) == bucket);
    CHECK(both(-edges[b] + 1) == bucket - 1);
    CHECK(both(edges[b]) == bucket + 16);
  }
  CHECK(both(0) == 0);
  CHECK(both(-1000) == 15);
  CHECK(both(1000) == 31);

  const auto past = [](Eigen::Index n) { return t5_bucket(-n, 32, direction::causal); };
  for (Eigen::Index n = 0; n < 16; ++n) CHECK(past(n) == n);
  CHECK(past(-5) == 0);
  CHECK(past(18) == 16);
  CHECK(past(19) == 17);
  CHECK(past(113) == 31);
  CHECK(past(112) == 30);
  CHECK(past(5000) == 31);
}

TEST_CASE("relative_bias from a clipped table, a Toeplitz vector and T5 buckets") {
  const vector table = column({1, 2, 3});
  const auto clip = [](Eigen::Index delta) { return clipped(delta, 1); };
  CHECK(relative_bias(zeros, table, 0, clip) == numbers({{2, 3, 3}, {1, 2, 3}}));
  CHECK(relative_bias(zeros, table, 1, clip) == numbers({{1, 2, 3}, {1, 1, 2}}));
  CHECK(toeplitz(zeros, column({1, 2, 3, 4})) == numbers({{2, 3, 4}, {1, 2, 3}}));
  const vector buckets = vector::LinSpaced(32, 0, 31);
  const auto t5 = [](Eigen::Index delta) { return t5_bucket(delta, 32, direction::bidirectional); };
  CHECK(relative_bias(zeros, buckets, 0, t5) == numbers({{0, 17, 18}, {1, 0, 17}}));
}
