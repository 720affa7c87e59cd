// SPDX-License-Identifier: BSL-1.0
#include <cmath>
#include <heed/select/top_k.hpp>
#include <numeric>
#include <random>
#include <vector>

#include "support/catch.hpp"

namespace {

std::vector<int> chosen(const std::vector<float>& scores, heed::index k) {
  std::vector<int> out(scores.size() + 1, -7);
  std::vector<float> scratch(scores.size());
  const heed::index n =
      heed::top_k(scores.data(), heed::index(scores.size()), k, out.data(), scratch.data());
  REQUIRE(out[static_cast<std::size_t>(n)] == -7);
  out.resize(static_cast<std::size_t>(n));
  return out;
}

// By sorting numbers: larger scores first, then lower numbers.
std::vector<int> sorted_choice(const std::vector<float>& scores, heed::index k) {
  std::vector<int> order;
  for (int i = 0; i < static_cast<int>(scores.size()); ++i)
    if (scores[static_cast<std::size_t>(i)] > -INFINITY) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  order.resize(std::min(order.size(), static_cast<std::size_t>(std::max<heed::index>(k, 0))));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

TEST_CASE("the k largest, ties to the lower number") {
  CHECK(chosen({1, 3, 3, 2, 3}, 2) == std::vector<int>{1, 2});
  CHECK(chosen({0, 0, 0}, 2) == std::vector<int>{0, 1});
  CHECK(chosen({}, 3).empty());
  CHECK(chosen({1, 2}, 0).empty());
  CHECK(chosen({1, 2}, -1).empty());
}

TEST_CASE("what can never be chosen is left out") {
  CHECK(chosen({NAN, 1, -INFINITY, -2}, 4) == std::vector<int>{1, 3});
  CHECK(chosen({NAN, 1, NAN, 5}, 1) == std::vector<int>{3});
  CHECK(chosen({-INFINITY, NAN}, 1).empty());
}

TEST_CASE("the same as by sorting") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<float> scores(random() % 140);
    for (float& s : scores) {
      const int level = static_cast<int>(random() % 9);  // few levels, so that ties are common
      s = level == 8 ? NAN : level == 7 ? -INFINITY : static_cast<float>(level);
    }
    const heed::index k = static_cast<heed::index>(random() % 150);
    CHECK(chosen(scores, k) == sorted_choice(scores, k));
  }
}

// Long enough for a sample, which may tell nothing: sorted scores, a period of the sample's step,
// ties around the bound, and little that can be chosen.
TEST_CASE("few of many") {
  std::mt19937 random(6);
  for (const std::size_t n : {1023u, 1024u, 1025u, 3001u, 8192u})
    for (const heed::index k : {1, 7, 100, 128, 129, 400})
      for (int kind = 0; kind < 6; ++kind) {
        std::vector<float> scores(n);
        for (std::size_t i = 0; i < n; ++i) {
          const float noise = static_cast<float>(random() % 100000);
          scores[i] = kind == 0   ? noise
                      : kind == 1 ? static_cast<float>(i)
                      : kind == 2 ? -static_cast<float>(i)
                      : kind == 3 ? static_cast<float>(random() % 3)
                      : kind == 4 ? (i % (n / 128) == 0 ? 1e6f : 0) + noise
                                  : (random() % 50 ? (random() % 2 ? NAN : -INFINITY) : noise);
        }
        INFO(n << " scores of kind " << kind << ", k " << k);
        CHECK(chosen(scores, k) == sorted_choice(scores, k));
      }
}
