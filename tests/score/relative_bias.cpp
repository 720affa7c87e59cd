// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/relative_bias.hpp>
#include <heed/score/relative_bias.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::score;

namespace {

// Head h of a table [1, H, n, 1] stored [n][H].
heed::view<const float> table(const tensor<float>& t, heed::index heads) {
  return {t.data.data(), {1, heads, t.extent[2], 1}, {0, 1, heads, 1}};
}
heed::reference::vector column(const heed::view<const float>& t, heed::index h) {
  heed::reference::vector v(t.extent[2]);
  for (heed::index e = 0; e < t.extent[2]; ++e) v(e) = double(t(0, h, e));
  return v;
}

}  // namespace

TEST_CASE("buckets are T5's") {
  for (const heed::index buckets : {4, 8, 32, 64})
    for (const heed::index distance : {33, 64, 128})
      for (heed::index delta = -300; delta <= 300; ++delta) {
        const auto one = heed::t5_bucket(delta, buckets, heed::bucket_order::causal, distance);
        const auto both =
            heed::t5_bucket(delta, buckets, heed::bucket_order::bidirectional, distance);
        if (one != reference::t5_bucket(delta, buckets, reference::direction::causal, distance) ||
            both !=
                reference::t5_bucket(delta, buckets, reference::direction::bidirectional, distance))
          FAIL(buckets << " buckets, distance " << distance << ", delta " << delta);
      }
}

TEST_CASE("relative_bias with T5's table [buckets][H]") {
  const auto t = random<float>({1, 6, 32, 1}, 4);
  for (const heed::index distance : {20, 128}) {
    const auto make = [&](const lengths& x) {
      return heed::relative_bias::t5(table(t, x.h), heed::bucket_order::bidirectional, distance);
    };
    const auto expected = [&](const Eigen::MatrixXd& s, const one_head& head) {
      return reference::relative_bias(
          s, column(table(t, head.x.h), head.h), head.x.offset(), [&](heed::index delta) {
            return reference::t5_bucket(delta, 32, reference::direction::bidirectional, distance);
          });
    };
    agree_scores<float>(make, expected);
    agree_scores<double>(make, expected);
    agree_scores<float, heed::simd::scalar>(make, expected);
  }
  agree_scores<float>(
      [&](const lengths& x) {
        return heed::relative_bias::t5(table(t, x.h), heed::bucket_order::causal);
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::relative_bias(
            s, column(table(t, head.x.h), head.h), head.x.offset(), [](heed::index delta) {
              return reference::t5_bucket(delta, 32, reference::direction::causal);
            });
      });
}

TEST_CASE("relative_bias with a clipped table") {
  for (const heed::index w : {0, 1, 7, 100}) {
    const auto t = random<float>({1, 6, 2 * w + 1, 1}, 4);
    agree_scores<float>(
        [&](const lengths& x) { return heed::relative_bias::clipped(table(t, x.h)); },
        [&](const Eigen::MatrixXd& s, const one_head& head) {
          return reference::relative_bias(
              s, column(table(t, head.x.h), head.h), head.x.offset(),
              [&](heed::index delta) { return reference::clipped(delta, w); });
        });
  }
}

TEST_CASE("relative_bias with a Toeplitz vector") {
  tensor<float> t({0, 0, 0, 0});
  agree_scores<float>(
      [&](const lengths& x) {
        t = random<float>({1, x.h, x.lq + x.lk - 1, 1}, 4);
        return heed::relative_bias::toeplitz(table(t, x.h), x.lk);
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::toeplitz(s, column(table(t, head.x.h), head.h));
      });
}

TEST_CASE("relative_bias refuses tables that do not fit") {
  const auto t = random<float>({1, 3, 32, 1}, 4);
  check_refused(heed::attention{.score = heed::relative_bias::clipped(t.in())},
                "heed::relative_bias: the table is [1, 3, 32, 1]");
  check_refused(heed::attention{.score = heed::relative_bias{}}, "the table has no entries");
  check_refused(
      heed::attention{
          .score =
              heed::relative_bias{heed::view<const float>(t.data.data(), {1, 4, 2, 1}), 1, {0, 2}}},
      "entry 2 is not in a table of 2");
  CHECK_THROWS_WITH(heed::relative_bias::t5(t.in(), heed::bucket_order::causal, 16),
                    Catch::Matchers::ContainsSubstring("32 buckets do not fit the distance 16"));
}
