// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/row.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

/// A row in tiles, with and without its neighbours beside it, against all keys at once in double.
template <class N> void agree_on_rows(const N& normalizer) {
  constexpr index keys = 96, tile = 32;
  const auto scores = random<float>({1, 1, 1, keys}, 4);
  std::vector<double> whole;
  for (index j = 0; j < keys; ++j)
    whole.push_back(j % 7 == 3 ? masked<double> : 40 * double(scores.in()(0, 0, 0, j)));
  const auto& steps = steps_of(normalizer);
  row_state<double> exact = steps.template start<double>(row_position{});
  double unused = 1;
  std::vector<double> p = whole;
  steps.template absorb<simd::scalar>(p.data(), 1, keys, exact, unused);

  row_state<float> state = steps.template start<float>(row_position{});
  std::vector<float> weights;
  for (index first = 0; first < keys; first += tile) {
    float s[tile], factor = 1;
    for (index j = 0; j < tile; ++j) {
      const double x = whole[std::size_t(first + j)];
      s[j] = x == masked<double> ? masked<float> : float(x);
    }
    if (detail::absorb_row<simd::best>(steps, s, tile, state, factor, 1.0))
      for (float& w : weights) w *= factor;
    weights.insert(weights.end(), s, s + tile);
  }
  const double finish = steps.finish(exact), now = double(steps.finish(state));
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const double expected = p[j] * finish;
    CHECK(std::abs(double(weights[j]) * now - expected) <=
          tolerance<float>(8, keys, std::max(1.0, std::abs(expected)) * 40));
    if (whole[j] == masked<double>) CHECK(weights[j] == 0);
  }
}

}  // namespace

TEST_CASE("absorb_row is absorb of one row") {
  agree_on_rows(softmax{});
  const std::vector<float> logits{2};
  agree_on_rows(sink_softmax{logits});
  agree_on_rows(sigmoid{});
  agree_on_rows(relu{});
  agree_on_rows(signed_softmax{});
}

TEST_CASE("joined states are that of the union") {
  row_state<double> a{3, 2}, b{7, 1}, none = detail::neutral_state<softmax, double>();
  const auto [mine, its] = detail::join<softmax>(a, b);
  CHECK(a.max == 7);
  CHECK(mine == 0x1p-4);
  CHECK(its == 1);
  CHECK(a.sum == 2 * 0x1p-4 + 1);
  const auto same = detail::join<softmax>(a, none);
  CHECK(same.first == 1);
  CHECK(a.sum == 2 * 0x1p-4 + 1);
  CHECK(softmax{}.finish(none) == 0);
  row_state<double> counts{3, 2};
  const auto plain = detail::join<sigmoid>(counts, {4, 5});
  CHECK(plain.first == 1);
  CHECK(counts.sum == 7);
  CHECK(counts.max == 7);
}

}  // namespace heed::test
