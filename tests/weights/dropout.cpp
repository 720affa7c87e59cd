// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/window.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/backward.hpp>
#include <heed/reference/weights/dropout.hpp>
#include <heed/weights/dropout.hpp>

#include "support/attend.hpp"
#include "support/differences.hpp"
#include "support/scores.hpp"
#include "support/weights.hpp"

namespace heed::test {
namespace {

reference::allowed kept(const dropout& d, index lq, index lk, index b = 0, index h = 0) {
  reference::allowed a(lq, lk);
  for (index i = 0; i < lq; ++i)
    for (index j = 0; j < lk; ++j)
      a(i, j) = !d.drops({.b = b, .h = h, .q = 0, .k = 0, .row = i, .slot = j});
  return a;
}

// How far a count of n draws of probability p may be off: 5 deviations, once in two million.
double spread(double n, double p) { return 5 * std::sqrt(n * p * (1 - p)); }

}  // namespace

TEST_CASE("dropout drops what its counter says, as the formula has it") {
  const dropout policy{.rate = 0.3, .seed = 7};
  agree_edited<float>([&](const shape&) { return attention{.mask = causal{}, .weights = policy}; },
                      [&](const Eigen::MatrixXd& p, index b, index h) {
                        return reference::weights::dropout(
                            p, kept(policy, p.rows(), p.cols(), b, h), policy.rate);
                      });
}

TEST_CASE("the share of dropped weights, and of dropped neighbours, is as the rate says") {
  constexpr index rows = 512, keys = 512;
  for (const double rate : {0.1, 0.5, 0.9})
    for (const std::uint64_t number : {0u, 1u, 12345u}) {
      const reference::allowed a = kept({rate, number}, rows, keys);
      const auto drop = [&](index i, index j) { return a(i % rows, j % keys) ? 0 : 1; };
      // Single ones, neighbours along each axis, along the diagonals and far apart, and three of
      // four corners of rectangles: all as independent draws.
      double one = 0, corners = 0;
      for (index i = 0; i < rows; ++i)
        for (index j = 0; j < keys; ++j) {
          one += drop(i, j);
          corners += drop(i, j) * drop(i, j + 1) * drop(i + 1, j);
        }
      constexpr double n = double(rows) * double(keys);
      CAPTURE(rate, number, seed());
      CHECK(std::abs(one - n * rate) <= spread(n, rate));
      const double three = rate * rate * rate;
      // Neighbouring triples share elements, which widens their spread by at most √3.
      CHECK(std::abs(corners - n * three) <= std::sqrt(3.0) * spread(n, three));
      for (const auto& [down, right] : {std::pair<index, index>{0, 1},
                                        {1, 0},
                                        {1, 1},
                                        {1, 511},
                                        {0, 16},
                                        {64, 0},
                                        {256, 256}}) {
        double both = 0, parity = 0;
        for (index i = 0; i < rows; ++i)
          for (index j = 0; j < keys; ++j) {
            both += drop(i, j) * drop(i + down, j + right);
            parity +=
                (drop(i, j) ^ drop(i + down, j) ^ drop(i, j + right) ^ drop(i + down, j + right));
          }
        CAPTURE(down, right);
        CHECK(std::abs(both - n * rate * rate) <= std::sqrt(3.0) * spread(n, rate * rate));
        if (down == 0 || right == 0) continue;
        const double odd = (1 - std::pow(1 - 2 * rate, 4)) / 2;
        CHECK(std::abs(parity - n * odd) <= 2 * spread(n, odd));
      }
    }
}

TEST_CASE("seeds, heads, batch items and sequences beyond 2^32 draw apart") {
  const auto draws = [](std::uint64_t number, index b, index h, index row, index slot) {
    reference::allowed a(64, 64);
    for (index i = 0; i < 64; ++i)
      for (index j = 0; j < 64; ++j)
        a(i, j) = dropout{0.5, number}.drops(
            {.b = b, .h = h, .q = 0, .k = 0, .row = row + i, .slot = slot + j});
    return a;
  };
  constexpr index far = index{1} << 32;
  const reference::allowed all[] = {
      draws(0, 0, 0, 0, 0),  draws(1, 0, 0, 0, 0),  draws(0, 1, 0, 0, 0),   draws(0, 0, 1, 0, 0),
      draws(0, 0, 0, 64, 0), draws(0, 0, 0, 0, 64), draws(0, 0, 0, far, 0), draws(0, 0, 0, 0, far)};
  for (const auto& x : all)
    for (const auto& y : all)
      if (&x != &y) CHECK(std::abs(double((x == y).count()) - 2048) <= spread(4096, 0.5));
}

TEST_CASE("the same weights fall for any tiling, instruction set, type and number of threads") {
  const attention spec{.mask = window{.left = 300, .right = 20}, .weights = dropout{0.4, 3}};
  check_threads(spec, {2, 4, 2, 130, 700, 16, 8});
  // Values of 1 give the kept share of the mass: a wrong draw shows in every row.
  const lengths x{1, 2, 1, 53, 700, 4, 1};
  const auto q = random<double>({1, 2, x.lq, x.d}, 1), k = random<double>({1, 1, x.lk, x.d}, 2);
  const tensor<double> one({1, 1, x.lk, 1}, 1.0);
  auto exact = unwritten<double>({1, 2, x.lq, 1}), wide = exact, narrow = exact;
  reference::attend(spec, q.in(), k.in(), one.in(), exact.in());
  attend(spec, q.in(), k.in(), one.in(), wide.in());
  attend<simd::scalar>(spec, q.in(), k.in(), one.in(), narrow.in());
  for (index h = 0; h < 2; ++h) {
    check_close(wide.head(0, h), exact.head(0, h), tolerance<double>(8, x.lk));
    check_close(narrow.head(0, h), exact.head(0, h), tolerance<double>(8, x.lk));
  }
}

TEST_CASE("dropout leaves the log-sum-exp as it is, and rate 0 every bit") {
  // More queries than driver `split` takes, which leaves edits of weights to the tile loop.
  const auto q = random<float>({1, 2, 13, 8}, 1), k = random<float>({1, 2, 60, 8}, 2);
  auto plain = unwritten<float>({1, 2, 13, 8}), edited = plain;
  auto lse = unwritten<float>({1, 2, 13, 1}), same = lse;
  attend(attention{}, q.in(), k.in(), k.in(), {.out = plain.in(), .lse = lse.in()});
  attend(attention{.weights = dropout{0.5, 1}}, q.in(), k.in(), k.in(),
         {.out = edited.in(), .lse = same.in()});
  CHECK(lse.data == same.data);
  CHECK(plain.data != edited.data);
  attend(attention{.weights = dropout{0, 1}}, q.in(), k.in(), k.in(), edited.in());
  CHECK(plain.data == edited.data);
}

TEST_CASE("dropout has the gradients of the same draw") {
  gradient_case{}.check(attention{.weights = dropout{0.4, 5}});
  gradient_case{.b = 2, .h = 4, .kv = 2, .lq = 6, .lk = 5}.check(
      attention{.mask = causal{}, .weights = dropout{0.5, 6}}, true);
  gradient_case{}.check(attention{.normalizer = sigmoid{}, .weights = dropout{0.5, 6}});
}

TEST_CASE("gradients over many tiles are those of the oracle") {
  const attention spec{.mask = window{.left = 150, .right = 9}, .weights = dropout{0.4, 5}};
  const auto q = random<double>({2, 4, 130, 8}, 1), k = random<double>({2, 2, 500, 8}, 2),
             v = random<double>({2, 2, 500, 6}, 3), d = random<double>({2, 4, 130, 6}, 4);
  auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
       dv = unwritten<double>(v.extent), eq = dq, ek = dk, ev = dv;
  attend_backward(spec, q.in(), k.in(), v.in(), {}, d.in(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()}, threads{4});
  reference::attend_backward(spec, q.in(), k.in(), v.in(), d.in(), eq.in(), ek.in(), ev.in());
  for (index b = 0; b < 2; ++b) {
    for (index h = 0; h < 4; ++h)
      check_close(dq.head(b, h), eq.head(b, h), tolerance<double>(64, 500), "dq");
    for (index h = 0; h < 2; ++h) {
      check_close(dk.head(b, h), ek.head(b, h), tolerance<double>(64, 500), "dk");
      check_close(dv.head(b, h), ev.head(b, h), tolerance<double>(64, 500), "dv");
    }
  }
}

TEST_CASE("a rate outside [0, 1) is refused") {
  for (const double rate : {-0.1, 1.0, std::nan("")})
    check_refused(attention{.weights = dropout{rate, 1}}, "rate must be in [0, 1)");
}

}  // namespace heed::test
