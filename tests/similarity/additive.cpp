// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/similarity/additive.hpp>
#include <heed/similarity/additive.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference;

namespace {

const auto softmaxed = [](const auto& s, const auto& a, heed::index) {
  return expected::normalizer::softmax(s, a);
};

Eigen::VectorXd vector_of(const std::vector<double>& x) {
  return Eigen::Map<const Eigen::VectorXd>(x.data(), static_cast<Eigen::Index>(x.size()));
}

template <class T, class Arch = simd::best> void sweep() {
  std::vector<shape> shapes = awkward_shapes();
  shapes.push_back({1, 2, 1, 19, 30, 150, 4});
  for (const shape& x : shapes) {
    const std::vector<double> w = test::random<double>({1, 1, 1, x.d}, 11).data,
                              b = test::random<double>({1, 1, 1, x.d}, 12).data;
    agree<T, Arch>(
        attention{.mask = causal{}, .similarity = additive{.weight = w, .bias = b, .offset = 0.75}},
        [&](const auto& u, const auto& t, heed::index) {
          return expected::similarity::additive(u, t, vector_of(w), vector_of(b), 0.75);
        },
        softmaxed, 16, {x});
  }
}

}  // namespace

TEST_CASE("additive attention, float") { sweep<float>(); }
TEST_CASE("additive attention, double") { sweep<double>(); }
TEST_CASE("additive attention, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("additive attention with another activation and normaliser") {
  const std::vector<float> w{1, -2, 0.5f};
  const auto relu = [](auto x) { return simd::max(simd::constant<decltype(x)>(0), x); };
  agree<float>(
      attention{.mask = causal{},
                .similarity = additive{.weight = w, .act = relu},
                .normalizer = sigmoid{}},
      [&](const auto& u, const auto& t, heed::index) {
        return expected::similarity::additive(u, t, Eigen::Vector3d(1, -2, 0.5),
                                              Eigen::Vector3d::Zero(), 0,
                                              [](double x) { return std::max(x, 0.0); });
      },
      [](const auto& s, const auto& a, heed::index) {
        return expected::normalizer::sigmoid(s, a, 0);
      },
      8, {{1, 2, 1, 25, 33, 3, 4}});
}

TEST_CASE("additive refuses weights and biases of another length") {
  const std::vector<float> three(3), four(4);
  CHECK_THROWS_AS((additive{.weight = three}.check({.depth = 4})), std::invalid_argument);
  CHECK_THROWS_AS((additive{.weight = four, .bias = three}.check({.depth = 4})),
                  std::invalid_argument);
}
