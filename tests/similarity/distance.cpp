// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/unnormalized.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/normalizer/unnormalized.hpp>
#include <heed/reference/similarity/distance.hpp>
#include <heed/similarity/distance.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference;

namespace {

const auto softmaxed = [](const auto& s, const auto& a, heed::index) {
  return expected::normalizer::softmax(s, a);
};
const auto by_depth = [](const auto& q, const auto& k, heed::index) {
  return expected::similarity::distance(q, k, 2 * std::sqrt(double(q.cols())));
};

}  // namespace

TEST_CASE("distance is the negative squared distance over 2√D") {
  const attention spec{.mask = causal{}, .similarity = distance{}};
  agree<float>(spec, by_depth, softmaxed);
  agree<double>(spec, by_depth, softmaxed);
  agree<float, simd::scalar>(spec, by_depth, softmaxed);
}

TEST_CASE("distance with a Gaussian kernel, undivided") {
  agree<float>(
      attention{.mask = causal{}, .similarity = distance{2}, .normalizer = unnormalized{}},
      [](const auto& q, const auto& k, heed::index) {
        return expected::similarity::distance(q, k, 2);
      },
      [](const auto& s, const auto& a, heed::index) {
        return expected::normalizer::unnormalized(s, a);
      });
}

TEST_CASE("direct_distance is distance, near and far from the origin") {
  agree<float>(attention{.mask = causal{}, .similarity = direct_distance{}}, by_depth, softmaxed);
  agree<double>(
      attention{.mask = causal{}, .similarity = direct_distance{3}},
      [](const auto& q, const auto& k, heed::index) {
        return expected::similarity::distance(q, k, 3);
      },
      softmaxed);
}

namespace {

// -‖q - k‖²/c as packing and the micro-kernel make it, beside the exact one.
template <class Similarity>
double worst_error(const Similarity& similarity, float offset, double& bound) {
  constexpr heed::index D = 24;
  const auto q = test::random<float>({1, 1, 50, D}, 1, 0.01),
             k = test::random<float>({1, 1, 50, D}, 2, 0.01);
  double worst = 0;
  bound = 0;
  for (heed::index i = 0; i < 50; ++i) {
    float a[D + 2], b[D + 2];
    double exact = 0, norms = 0;
    for (heed::index c = 0; c < D; ++c) {
      a[c] = q.in()(0, 0, i, c) + offset, b[c] = k.in()(0, 0, i, c) + offset;
      exact -= (double(a[c]) - double(b[c])) * (double(a[c]) - double(b[c]));
      norms += 2 * double(a[c]) * double(a[c]) + 2 * double(b[c]) * double(b[c]);
    }
    float s = 0;
    if constexpr (requires {
                    similarity.template scores<simd::scalar>(heed::index{1}, b, D, heed::index{1},
                                                             a, heed::index{1}, D, &s);
                  })
      similarity.template scores<simd::scalar>(heed::index{1}, b, D, heed::index{1}, a,
                                               heed::index{1}, D, &s);
    else {
      similarity.template query<simd::best>(a, D, row_position{});
      similarity.template key<simd::best>(b, D, row_position{});
      for (heed::index c = 0; c < D + 2; ++c) s += a[c] * b[c];
      s *= float(similarity.default_scale(D));
    }
    const double c = 2 * std::sqrt(double(D));
    worst = std::max(worst, std::abs(double(s) - exact / c));
    bound = std::max(
        bound, std::sqrt(double(D)) * double(std::numeric_limits<float>::epsilon()) * norms / c);
  }
  return worst;
}

}  // namespace

TEST_CASE("distance cancels as its header says; direct_distance does not") {
  double bound = 0, error = 0;
  for (const float offset : {0.0f, 1.0f, 100.0f}) {
    error = worst_error(distance{}, offset, bound);
    CHECK(error <= bound);
  }
  CHECK(error > bound * 1e-4);
  error = worst_error(direct_distance{}, 100, bound);
  CHECK(error <= bound * 1e-6);
}

TEST_CASE("distance refuses a negative c") {
  CHECK_THROWS_AS(distance{-1}.check({}), std::invalid_argument);
  CHECK_THROWS_AS(direct_distance{-1}.check({}), std::invalid_argument);
}
