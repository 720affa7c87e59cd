// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/reference/normalizer/sink_softmax.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T, class Arch = simd::best> void sweep() {
  for (const std::vector<float>& z : {std::vector<float>{0.5f, -3, 40, 2}, {-1e4f, 1e4f, 0, 1}}) {
    std::vector<shape> shapes = awkward_shapes();
    for (shape& x : shapes) x.h = 4, x.kv = 2;
    agree<T, Arch>(
        attention{.mask = causal{}, .normalizer = sink_softmax{z}}, scaled_dot,
        [&](const auto& s, const auto& a, heed::index h) {
          return expected::sink_softmax(s, a, double(z[static_cast<std::size_t>(h)]));
        },
        64, shapes);
  }
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = sink_softmax{}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::sink_softmax(s, a, 0); });
}

}  // namespace

TEST_CASE("a sink takes its share of every row, float") { sweep<float>(); }
TEST_CASE("a sink takes its share of every row, double") { sweep<double>(); }
TEST_CASE("a sink takes its share of every row, one lane") { sweep<float, simd::scalar>(); }

TEST_CASE("lse includes the sink; without keys it is the sink's logit") {
  const std::vector<double> z{1.5, -infinity};
  const auto q = test::random<double>({1, 2, 9, 4}, 1), k = test::random<double>({1, 2, 5, 4}, 2),
             v = test::random<double>({1, 2, 5, 3}, 3);
  auto out = unwritten<double>({1, 2, 9, 3}), lse = unwritten<double>({1, 2, 9, 1});
  attend(attention{.mask = causal{}, .normalizer = sink_softmax{z}}, q.in(), k.in(), v.in(),
         {.out = out.in(), .lse = lse.in()});
  const auto a = heed::reference::mask::causal(9, 5);
  for (heed::index h = 0; h < 2; ++h) {
    const Eigen::MatrixXd s = scaled_dot(q.head(0, h), k.head(0, h), h);
    check_close(lse.head(0, h),
                Eigen::MatrixXd(expected::sink_lse(s, a, z[static_cast<std::size_t>(h)])), 1e-13);
  }
  CHECK(lse(0, 0, 0) == Approx(1.5).epsilon(1e-15));
  CHECK(lse(0, 1, 0) == -infinity);
  CHECK(out(0, 0, 0) == 0);
}

TEST_CASE("a sink of minus infinity is softmax, bit by bit") {
  const std::vector<float> z(2, -std::numeric_limits<float>::infinity());
  const auto q = test::random<float>({1, 2, 40, 4}, 1), k = test::random<float>({1, 2, 35, 4}, 2),
             v = test::random<float>({1, 2, 35, 3}, 3);
  auto with = unwritten<float>({1, 2, 40, 3}), without = unwritten<float>({1, 2, 40, 3});
  attend(attention{.mask = causal{}, .normalizer = sink_softmax{z}}, q.in(), k.in(), v.in(),
         with.in());
  attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), without.in());
  CHECK(with.data == without.data);
}

TEST_CASE("the sink's derivatives agree with differences") {
  check_derivative(sink_softmax{}, {0.3, -1.2, 4, 0});
  const std::vector<double> s{0.3, -1.2, 1}, g{1, -2, 0.5};
  const auto value = [&](double z, double& lse) {
    const std::vector<double> logits{z};
    const sink_softmax n{logits};
    std::vector<double> p = s;
    row_state<double> state = n.start<double>({});
    double factor = 1, f = 0;
    n.absorb<simd::scalar>(p.data(), 1, 3, state, factor);
    for (std::size_t j = 0; j < 3; ++j) f += p[j] * n.finish(state) * g[j];
    lse = n.lse(state);
    return f;
  };
  const std::vector<double> z{0.7};
  double lse = 0, other = 0;
  const double delta = value(0.7, lse);
  std::vector<double> wanted(1);
  double sum = 0;
  sink_softmax{z}.add_gradient({.logits = wanted}, {}, lse, delta, &sum);
  CHECK(sum == Approx((value(0.70001, other) - value(0.69999, other)) / 2e-5).epsilon(1e-6));
}

TEST_CASE("logits must have one entry a query head") {
  const std::vector<float> z(3);
  CHECK_THROWS_WITH(sink_softmax{z}.check({.heads = 4}),
                    Catch::Matchers::ContainsSubstring("one entry a query head, 4, not 3"));
}
