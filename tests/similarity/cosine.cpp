// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/similarity/cosine.hpp>
#include <heed/similarity/cosine.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::similarity;

namespace {

const auto softmaxed = [](const auto& s, const auto& a, heed::index) {
  return heed::reference::normalizer::softmax(s, a);
};

template <class T, class Arch = simd::best> void sweep() {
  const std::vector<double> beta{cosine::swin(9), 0.5, 10, cosine::swin(-1)};
  std::vector<shape> shapes = awkward_shapes();
  for (shape& x : shapes) x.h = 4, x.kv = 2;
  const auto scores = [&](const auto& q, const auto& k, heed::index h) {
    return expected::cosine(q, k, beta[static_cast<std::size_t>(h)], 1e-12);
  };
  agree<T, Arch>(attention{.mask = causal{}, .similarity = cosine{beta}}, scores, softmaxed, 8,
                 shapes);
  agree<T, Arch>(
      attention{.mask = causal{}, .similarity = cosine{.epsilon = 4}},
      [](const auto& q, const auto& k, heed::index) { return expected::cosine(q, k, 1, 4); },
      softmaxed);
}

}  // namespace

TEST_CASE("cosine compares directions, float") { sweep<float>(); }
TEST_CASE("cosine compares directions, double") { sweep<double>(); }
TEST_CASE("cosine compares directions, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("Swin's beta is capped at 100") {
  CHECK(cosine::swin(9) == Approx(100));
  CHECK(cosine::swin(-1) == Approx(expected::swin_beta(-1)));
}

TEST_CASE("a zero row has the cosine 0 with everything") {
  float row[3] = {0, 0, 0};
  cosine{.epsilon = 0}.key<simd::scalar>(row, 3, {});
  CHECK(row[0] == 0);
}

TEST_CASE("beta must have one entry a query head") {
  const std::vector<float> beta(3);
  CHECK_THROWS_AS(cosine{beta}.check({.heads = 4}), std::invalid_argument);
}
