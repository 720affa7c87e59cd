// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/normalizer/softmax.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const auto softmaxed = [](const auto& s, const auto& a, heed::index) {
  return expected::softmax(s, a);
};

// Root mean square and largest deviation from `exact`.
struct deviation {
  double rms = 0, most = 0;
  deviation(const Eigen::MatrixXd& x, const Eigen::MatrixXd& exact)
      : rms(std::sqrt((x - exact).squaredNorm() / double(x.size()))),
        most((x - exact).cwiseAbs().maxCoeff()) {}
};

// Attention as one writes it without this library: gemm, library exp, gemm, all in float.
Eigen::MatrixXf unfused(const Eigen::MatrixXf& q, const Eigen::MatrixXf& k,
                        const Eigen::MatrixXf& v) {
  Eigen::MatrixXf s = q * k.transpose() / std::sqrt(float(q.cols()));
  for (Eigen::Index i = 0; i < s.rows(); ++i) {
    const float top = s.row(i).maxCoeff();
    float sum = 0;
    for (Eigen::Index j = 0; j < s.cols(); ++j) sum += s(i, j) = std::exp(s(i, j) - top);
    s.row(i) /= sum;
  }
  return s * v;
}

}  // namespace

TEST_CASE("softmax over awkward shapes, float") {
  agree<float>(attention{.mask = causal{}}, scaled_dot, softmaxed);
}
TEST_CASE("softmax over awkward shapes, double") {
  agree<double>(attention{.mask = causal{}}, scaled_dot, softmaxed);
}
TEST_CASE("softmax over awkward shapes, one lane") {
  agree<float, simd::scalar>(attention{.mask = causal{}}, scaled_dot, softmaxed);
}

TEST_CASE("softmax is at least as accurate as unfused float attention") {
  for (const heed::index n : {256, 1024})
    for (const double spread : {1.0, 3.0}) {
      const auto q = test::random<float>({1, 1, 200, 64}, 1, spread),
                 k = test::random<float>({1, 1, n, 64}, 2),
                 v = test::random<float>({1, 1, n, 32}, 3);
      auto out = unwritten<float>({1, 1, 200, 32});
      attend(attention{}, q.in(), k.in(), v.in(), out.in());
      const Eigen::MatrixXd s = scaled_dot(q.head(0, 0), k.head(0, 0), 0);
      const Eigen::MatrixXd exact =
          expected::softmax(s, heed::reference::allowed::Constant(200, n, true)) * v.head(0, 0);
      const deviation ours(out.head(0, 0), exact);
      const deviation plain(unfused(q.head(0, 0).cast<float>(), k.head(0, 0).cast<float>(),
                                    v.head(0, 0).cast<float>())
                                .cast<double>(),
                            exact);
      INFO("keys " << n << ", spread " << spread << ", seed " << seed());
      CHECK(ours.rms <= plain.rms);
      CHECK(ours.most <= 2 * plain.most);
    }
}

// One query, scores given as q·k with a single channel.
TEMPLATE_TEST_CASE("softmax of extreme scores", "", float, double) {
  using T = TestType;
  const auto run = [](std::vector<T> scores, T& lse) {
    const auto n = static_cast<heed::index>(scores.size());
    tensor<T> q({1, 1, 1, 1}, T(1)), k({1, 1, n, 1}), v({1, 1, n, n}, T(0)), out({1, 1, 1, n}),
        to({1, 1, 1, 1});
    k.data = scores;
    for (heed::index j = 0; j < n; ++j) v(0, 0, j, j) = 1;
    attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), {.out = out.in(), .lse = to.in()});
    lse = to.data[0];
    return out.data;
  };
  const T inf = std::numeric_limits<T>::infinity(), tiny = std::numeric_limits<T>::denorm_min();
  T lse = 0;
  CHECK(run({T(1e4), T(-1e4)}, lse) == std::vector<T>{1, 0});
  CHECK(double(lse) == Approx(1e4).epsilon(1e-6));
  CHECK(run({T(-1e4), T(-1e4)}, lse) == std::vector<T>{T(0.5), T(0.5)});
  CHECK(double(lse) == Approx(-1e4 + std::log(2)).epsilon(1e-6));
  CHECK(run({tiny, -tiny, 0, 0}, lse) == std::vector<T>(4, T(0.25)));
  CHECK(run({-inf, 0, -inf}, lse) == std::vector<T>{0, 1, 0});
  CHECK(std::abs(double(lse)) < 1e-6);
  CHECK(run({-inf, -inf}, lse) == std::vector<T>{0, 0});
  CHECK(double(lse) == -infinity);
  // A row whose scores climb by more than the lazy maximum tolerates, tile after tile.
  std::vector<T> climb(1000);
  for (std::size_t j = 0; j < climb.size(); ++j) climb[j] = T(j);
  const auto p = run(climb, lse);
  // Without fused products s · log2 e is rounded before the maximum is taken away.
  const double rounding = heed::simd::fused ? 0 : 999 * std::numeric_limits<T>::epsilon();
  CHECK(double(p.back()) == Approx(1 - std::exp(-1)).epsilon(1e-5 + rounding));
  CHECK(double(lse) == Approx(999 - std::log(1 - std::exp(-1))).epsilon(1e-6));
}

TEST_CASE("weights of masked keys are exactly zero") {
  const auto q = test::random<float>({1, 1, 70, 4}, 1), k = test::random<float>({1, 1, 70, 4}, 2);
  tensor<float> v({1, 1, 70, 70}, 0), out({1, 1, 70, 70});
  for (heed::index j = 0; j < 70; ++j) v(0, 0, j, j) = 1;
  attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), out.in());
  const Eigen::MatrixXd p = out.head(0, 0);
  for (heed::index i = 0; i < 70; ++i) {
    CHECK(p.row(i).sum() == Approx(1).epsilon(1e-5));
    CHECK((p.row(i).tail(69 - i).array() == 0).all());
  }
}

TEST_CASE("softmax's derivative agrees with differences") {
  check_derivative(softmax{}, {0.3, -1.2, 4, 0});
}
