// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/snapkv.hpp>
#include <heed/mask/causal.hpp>
#include <heed/observe/column_mass.hpp>
#include <heed/reference/kv/snapkv.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <numeric>

#include "support/exact.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
namespace reference = heed::reference;

namespace {

std::vector<heed::index> list(const heed::kept_tokens& kept, heed::index h) {
  return {kept.head(h), kept.head(h) + kept.count};
}
// Weights of one row each, multiples of 1/8: sums are exact, and many are equal.
tensor<double> masses(heed::index b, heed::index h, heed::index n) {
  tensor<double> m({b, h, n, 1});
  std::mt19937 bits(seed());
  for (double& x : m.data) x = double(bits() % 9) / 8;
  return m;
}
reference::matrix row(const tensor<double>& m, heed::index b, heed::index h, heed::index n) {
  return m.head(b, h).topRows(n).transpose();
}

}  // namespace

TEST_CASE("snapkv is its reference, for any window, budget and pool") {
  const auto mass = masses(2, 6, 40);
  heed::kept_tokens kept;
  for (const heed::index n : {0, 1, 7, 39, 40})
    for (const heed::index window : {1, 8, 50})
      for (const heed::index budget : {0, 1, 5, 60})
        for (const heed::index pool : {1, 5, 7})
          for (const auto by : {heed::pooling::average, heed::pooling::largest})
            for (const heed::index kv : {1, 2, 6}) {
              std::vector<reference::matrix> p;
              for (heed::index h = 0; h < 6; ++h) p.push_back(row(mass, 1, h, n));
              const heed::snapkv policy{window, budget, pool, by};
              policy.keep(mass.in(), 1, kv, n, kept);
              // One row stands for the sum over the window's.
              for (reference::matrix& x : p) {
                reference::matrix all = reference::matrix::Zero(window, n);
                all.row(window - 1) = x;
                x = all;
              }
              const auto want =
                  reference::kv::snapkv(p, kv, window, budget, pool, by == heed::pooling::average);
              REQUIRE(kept.heads == kv);
              for (heed::index h = 0; h < kv; ++h) REQUIRE(list(kept, h) == want[std::size_t(h)]);
            }
}

TEST_CASE("snapkv of a prompt, by observe/column_mass") {
  const heed::index B = 2, H = 4, kv = 2, L = 70, W = 8;
  const auto q = random<double>({B, H, L, 6}, 1, 2), k = random<double>({B, kv, L, 6}, 2);
  auto mass = unwritten<double>({B, H, L, 1});
  const heed::attention spec{.mask = heed::causal{}};
  heed::column_mass(spec, q.in(), k.in(), {}, {.mass = mass.in()}, {.last = W});
  heed::kept_tokens kept;
  for (heed::index b = 0; b < B; ++b) {
    std::vector<reference::matrix> p;
    for (heed::index h = 0; h < H; ++h)
      p.push_back(reference::normalizer::softmax(
          q.head(b, h) * k.head(b, h / 2).transpose() / std::sqrt(6.0),
          reference::mask::causal(L, L)));
    heed::snapkv{.window = W, .budget = 12, .pool = 7}.keep(mass.in(), b, kv, L, kept);
    const auto want = reference::kv::snapkv(p, kv, W, 12, 7, true);
    for (heed::index h = 0; h < kv; ++h) CHECK(list(kept, h) == want[std::size_t(h)]);
  }
}

TEST_CASE("pyramid budgets fall in equal steps and keep their sum") {
  for (const heed::index layers : {1, 2, 7, 32, 61})
    for (const heed::index average : {0, 1, 10, 100, 2048})
      for (const double steepness : {1.0, 2.5, 20.0}) {
        const auto got = heed::pyramid_budgets(layers, average, steepness);
        REQUIRE(heed::index(got.size()) == layers);
        CHECK(std::accumulate(got.begin(), got.end(), heed::index{0}) == layers * average);
        CHECK(std::is_sorted(got.rbegin(), got.rend()));
        const auto want = reference::kv::pyramid(layers, double(average), steepness);
        for (heed::index l = 0; layers > 1 && l < layers; ++l)
          CHECK(std::abs(double(got[std::size_t(l)]) - want(l)) <= 1);
      }
  CHECK(heed::pyramid_budgets(3, 10, 2) == std::vector<heed::index>{15, 10, 5});
  CHECK(heed::pyramid_budgets(1, 10) == std::vector<heed::index>{10});
}

TEST_CASE("tova drops the smallest weights of the newest row") {
  const auto w = masses(2, 6, 30);
  heed::kept_tokens kept;
  for (const heed::index n : {0, 1, 17, 30})
    for (const heed::index budget : {0, 1, 16, 29, 30, 99})
      for (const heed::index kv : {1, 2, 6}) {
        reference::matrix all(6, n);
        for (heed::index h = 0; h < 6; ++h) all.row(h) = row(w, 1, h, n);
        heed::tova{budget, false}.keep(w.in(), 1, kv, n, kept);
        const reference::matrix group = reference::kv::by_group(all, kv),
                                one = reference::kv::by_group(all, 1);
        for (heed::index h = 0; h < kv; ++h)
          CHECK(list(kept, h) == reference::kv::largest(group.row(h).transpose(), budget, 0));
        heed::tova{budget}.keep(w.in(), 1, kv, n, kept);
        REQUIRE(kept.heads == kv);
        for (heed::index h = 0; h < kv; ++h)
          CHECK(list(kept, h) == reference::kv::largest(one.row(0).transpose(), budget, 0));
      }
}

TEST_CASE("policies of a prompt refuse what does not fit") {
  const auto mass = masses(2, 6, 8);
  heed::kept_tokens kept;
  const auto snap = [&](heed::snapkv p, heed::index b = 0, heed::index kv = 2, heed::index n = 8) {
    p.keep(mass.in(), b, kv, n, kept);
  };
  CHECK_THROWS_WITH(snap({.pool = 4}),
                    ContainsSubstring("heed::snapkv") && ContainsSubstring("odd"));
  CHECK_THROWS_AS(snap({.pool = -1}), std::invalid_argument);
  CHECK_THROWS_AS(snap({.window = -1}), std::invalid_argument);
  CHECK_THROWS_AS(snap({.budget = -1}), std::invalid_argument);
  CHECK_THROWS_WITH(snap({}, 2), ContainsSubstring("no sequence 2"));
  CHECK_THROWS_WITH(snap({}, 0, 4), ContainsSubstring("a multiple of 4 heads"));
  CHECK_THROWS_WITH(snap({}, 0, 0), ContainsSubstring("a multiple of 0 heads"));
  CHECK_THROWS_WITH(snap({}, 0, 2, 9), ContainsSubstring("at least 9 tokens"));
  CHECK_THROWS_WITH(snap({}, 0, 2, -1), ContainsSubstring("-1 tokens"));
  CHECK_THROWS_WITH(heed::tova{-1}.keep(mass.in(), 0, 2, 8, kept),
                    ContainsSubstring("heed::tova: budget"));
  CHECK_THROWS_WITH(heed::tova{}.keep(mass.in(), 0, 4, 8, kept), ContainsSubstring("heed::tova"));
  CHECK_THROWS_AS(heed::pyramid_budgets(0, 1), std::invalid_argument);
  CHECK_THROWS_AS(heed::pyramid_budgets(2, -1), std::invalid_argument);
  CHECK_THROWS_AS(heed::pyramid_budgets(2, 1, 0.5), std::invalid_argument);
  CHECK_THROWS_AS(heed::pyramid_budgets(2, heed::index{1} << 62), std::invalid_argument);
}
