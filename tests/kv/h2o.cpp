// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/h2o.hpp>
#include <heed/reference/kv/h2o.hpp>

#include "support/exact.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;

namespace {

// Multiples of 1/4, so that sums are exact and there are many ties.
tensor<float> masses(heed::index b, heed::index h, heed::index n, unsigned stream) {
  tensor<float> m({b, h, n, 1});
  std::mt19937 bits(seed() + stream);
  for (float& x : m.data) x = float(bits() % 5) / 4;
  return m;
}
std::vector<heed::index> list(const heed::kept_tokens& kept, heed::index h) {
  return {kept.head(h), kept.head(h) + kept.count};
}

}  // namespace

TEST_CASE("the largest stay; of equal ones the older") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), minus = -INFINITY;
  const std::vector<std::vector<double>> all{
      {1, 3, 3, 3, 0}, {0, 0, 0, 0, 0}, {nan, 1, nan, minus, 2}, {5, 4, 3, 2, 1}};
  const auto number = [&](heed::index h, heed::index t) {
    return all[std::size_t(h)][std::size_t(t)];
  };
  heed::kept_tokens kept;
  heed::keep_largest(4, 5, 2, 1, number, kept);
  CHECK(kept.count == 3);
  CHECK(list(kept, 0) == std::vector<heed::index>{1, 2, 4});
  CHECK(list(kept, 1) == std::vector<heed::index>{0, 1, 4});
  CHECK(list(kept, 3) == std::vector<heed::index>{0, 1, 4});
  for (const heed::index n : {0, 1, 4, 5})
    for (const heed::index budget : {0, 1, 3, 9})
      for (const heed::index recent : {0, 1, 2, 9}) {
        heed::keep_largest(4, n, budget, recent, number, kept);
        REQUIRE(heed::index(kept.tokens.size()) == 4 * kept.count);
        for (heed::index h = 0; h < 4; ++h) {
          if (h == 2 && n > 3) continue;  // NaN and -inf are one to keep_largest
          const Eigen::VectorXd x =
              Eigen::Map<const Eigen::VectorXd>(all[std::size_t(h)].data(), n);
          CHECK(list(kept, h) == heed::reference::kv::largest(x, budget, recent));
        }
      }
  heed::keep_largest(4, 5, 2, 0, number, kept);
  CHECK(list(kept, 2) == std::vector<heed::index>{1, 4});
}

TEST_CASE("h2o over steps is its reference") {
  for (const heed::h2o_budget budget : {heed::h2o_budget{6, 4}, {0, 3}, {5, 0}, {0, 0}, {40, 40}}) {
    const heed::index B = 2, kv = 2, H = 6;
    heed::h2o policy(budget, B, kv, 60);
    std::vector<heed::reference::kv::h2o> want(std::size_t(B * kv));
    heed::kept_tokens kept;
    for (unsigned step = 0; step < 30; ++step)
      for (heed::index b = 0; b < B; ++b) {
        const heed::index more = step == 0 ? 25 + 3 * b : 1;
        policy.append(b, more);
        const auto mass = masses(B, H, 60, 31 * step + 7);  // more tokens than there are
        policy.add(b, mass.in());
        const bool full = policy.full(b);
        CHECK(full == (policy.length(b) > budget.heavy + budget.recent));
        policy.keep(b, kept);
        for (heed::index h = 0; h < kv; ++h) {
          auto& w = want[std::size_t(b * kv + h)];
          w.append(more);
          w.add(heed::reference::kv::by_group(
                    [&] {
                      Eigen::MatrixXd m(H, heed::index(w.mass.size()));
                      for (heed::index i = 0; i < H; ++i)
                        for (heed::index t = 0; t < m.cols(); ++t) m(i, t) = mass.in()(b, i, t);
                      return m;
                    }(),
                    kv)
                    .row(h)
                    .transpose());
          std::vector<heed::index> tokens, left;
          for (const auto& [token, sum] : w.mass) tokens.push_back(token);
          w.evict(budget.heavy, budget.recent);
          for (const heed::index t : list(kept, h)) left.push_back(tokens[std::size_t(t)]);
          std::vector<heed::index> expected;
          for (const auto& [token, sum] : w.mass) expected.push_back(token);
          REQUIRE(left == expected);
        }
        policy.evict(b, kept);
        for (heed::index h = 0; h < kv; ++h) {
          heed::index t = 0;
          for (const auto& [token, sum] : want[std::size_t(b * kv + h)].mass)
            CHECK(policy.mass(b, h, t++) == sum);
          CHECK(t == policy.length(b));
        }
      }
  }
}

TEST_CASE("a sequence that begins anew has forgotten") {
  heed::h2o policy({1, 1}, 1, 1, 4);
  const auto mass = masses(1, 1, 4, 3);
  policy.append(0, 4);
  policy.add(0, mass.in());
  policy.clear(0);
  CHECK(policy.length(0) == 0);
  policy.append(0, 4);
  for (heed::index t = 0; t < 4; ++t) CHECK(policy.mass(0, 0, t) == 0);
}

TEST_CASE("h2o refuses what does not fit, and changes nothing") {
  CHECK_THROWS_WITH(heed::h2o({-1, 2}, 1, 1, 4), ContainsSubstring("heed::h2o: budgets"));
  CHECK_THROWS_AS(heed::h2o({1, -2}, 1, 1, 4), std::invalid_argument);
  CHECK_THROWS_AS(heed::h2o({1, 2}, 1, 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(heed::h2o({1, 2}, 1, 1, -4), std::invalid_argument);
  CHECK_THROWS_WITH(heed::h2o({1, 2}, 1, heed::index{1} << 32, heed::index{1} << 32),
                    ContainsSubstring("too many"));
  heed::h2o policy({1, 1}, 2, 2, 4);
  const auto mass = masses(2, 4, 4, 3), few = masses(2, 4, 2, 3), odd = masses(2, 3, 4, 3),
             batch = masses(3, 4, 4, 3);
  policy.append(0, 3);
  policy.add(0, mass.in());
  CHECK_THROWS_WITH(policy.append(0, 2), ContainsSubstring("capacity of 4"));
  CHECK_THROWS_WITH(policy.append(2, 1), ContainsSubstring("no sequence 2"));
  CHECK_THROWS_WITH(policy.append(-1, 1), ContainsSubstring("no sequence -1"));
  CHECK_THROWS_WITH(policy.append(0, -1), ContainsSubstring("-1 more"));
  for (const auto* x : {&few, &odd, &batch})
    CHECK_THROWS_WITH(policy.add(0, x->in()), ContainsSubstring("the mass must be [B,H,N]"));
  CHECK_THROWS_AS(policy.add(0, heed::view<const float>(nullptr, {2, 4, 4, 1})),
                  std::invalid_argument);
  CHECK_THROWS_WITH(policy.evict(0, {{0, 1}, 1, 2}), ContainsSubstring("one list a kv head"));
  CHECK_THROWS_WITH(policy.evict(0, {{0, 1, 1, 1}, 2, 2}), ContainsSubstring("ascending"));
  CHECK_THROWS_WITH(policy.evict(0, {{0, 1, 1, 3}, 2, 2}), ContainsSubstring("below 3"));
  CHECK_THROWS_WITH(policy.evict(0, {{-1, 1, 1, 2}, 2, 2}), ContainsSubstring("ascending"));
  CHECK(policy.length(0) == 3);
  for (heed::index t = 0; t < 3; ++t)
    CHECK(policy.mass(0, 1, t) == double(mass.in()(0, 2, t)) + double(mass.in()(0, 3, t)));
}

TEST_CASE("h2o takes budgets of any size, and no more tokens than its capacity") {
  constexpr heed::index huge = std::numeric_limits<heed::index>::max();
  heed::h2o policy({.heavy = 1, .recent = huge}, 1, 1, 8);
  policy.append(0, 3);
  CHECK(!policy.full(0));
  CHECK_THROWS_WITH(policy.append(0, huge), ContainsSubstring("do not fit"));
}
