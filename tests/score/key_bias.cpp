// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/key_bias.hpp>
#include <heed/score/key_bias.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::score;

TEST_CASE("key_bias adds one number a key, per kv head") {
  tensor<float> b({0, 0, 0, 0});
  const auto make = [&](const lengths& x) {
    b = random<float>({x.b, x.kv, x.lk, 1}, 4);
    return heed::key_bias{b.in(), x.group()};
  };
  const auto expected = [&](const Eigen::MatrixXd& s, const one_head& head) {
    return reference::key_bias(s, b.head(head.b, head.h / head.x.group()).col(0));
  };
  agree_scores<float>(make, expected);
  agree_scores<double>(make, expected);
  agree_scores<float, heed::simd::scalar>(make, expected);
}

TEST_CASE("key_bias per query head, shared by the batch") {
  tensor<double> b({0, 0, 0, 0});
  agree_scores<float>(
      [&](const lengths& x) {
        b = random<double>({1, x.h, x.lk, 1}, 4);
        return heed::key_bias{b.in()};
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::key_bias(s, b.head(0, head.h).col(0));
      });
}

TEST_CASE("a key of count n stands for n equal keys, one of count 0 for none") {
  const heed::index lq = 4, lk = 6, d = 3;
  const std::vector<heed::index> counts{1, 3, 0, 2, 1, 5};
  const auto q = random<float>({1, 1, lq, d}, 1), k = random<float>({1, 1, lk, d}, 2),
             v = random<float>({1, 1, lk, d}, 3);
  tensor<float> many_k({1, 1, 12, d}), many_v({1, 1, 12, d});
  heed::index at = 0;
  for (heed::index j = 0; j < lk; ++j)
    for (heed::index n = 0; n < counts[std::size_t(j)]; ++n, ++at)
      for (heed::index c = 0; c < d; ++c)
        many_k(0, 0, at, c) = k.in()(0, 0, j, c), many_v(0, 0, at, c) = v.in()(0, 0, j, c);
  REQUIRE(at == 12);
  const auto bias = heed::log_counts(counts);
  auto out = unwritten<float>({1, 1, lq, d}), expected = unwritten<float>({1, 1, lq, d});
  const auto b = heed::view<const float>(bias.data(), {1, 1, lk, 1});
  heed::attend(heed::attention{.score = heed::key_bias{b}}, q.in(), k.in(), v.in(), out.in());
  heed::attend(heed::attention{}, q.in(), many_k.in(), many_v.in(), expected.in());
  check_close(out.head(0, 0), expected.head(0, 0), tolerance<float>(8, d, 4));
  CHECK_THROWS_WITH(heed::log_counts(std::vector<heed::index>{1, -2}),
                    Catch::Matchers::ContainsSubstring("one is -2"));
}

TEST_CASE("key_bias refuses heads and lengths that do not fit") {
  const auto b = random<float>({1, 2, 5, 1}, 4), c = random<float>({1, 4, 4, 1}, 4);
  check_refused(heed::attention{.score = heed::key_bias{b.in()}},
                "2 heads of the bias, each for 1 query heads, do not make 4");
  check_refused(heed::attention{.score = heed::key_bias{c.in()}}, "the bias is [1, 4, 4, 1]");
}
