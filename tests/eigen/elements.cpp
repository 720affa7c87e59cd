// SPDX-License-Identifier: BSL-1.0
// Each operand in each element type by itself: the others are float.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>
#include <utility>

#include "eigen/plain.hpp"
#include "support/catch.hpp"

using namespace heed::test;
using heed::as;

namespace {

const heed::attention causal_spec{.mask = heed::causal{}};

template <class T> using tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

constexpr Eigen::Index B = 2, H = 2, Lq = 19, Lk = 53, D = 13, Dv = 7;

struct operands {
  tensor<float> q{B, H, Lq, D}, k{B, H, Lk, D}, v{B, H, Lk, Dv};
  operands() { q.setRandom(), k.setRandom(), v.setRandom(); }
};

template <class Q, class K, class V, class Out>
void check(const Q& q, const K& k, const V& v, Out out, double tolerance) {
  heed::attend(causal_spec, q, k, v, out);
  const auto wide = [](const auto& x) -> tensor<float> { return x.template cast<float>(); };
  const tensor<float> wq = wide(q), wk = wide(k), wv = wide(v), wo = wide(out);
  check_close(as<"BHLD">(wo), plain(as<"BHLD">(wq), as<"BHLD">(wk), as<"BHLD">(wv), true),
              tolerance);
}

}  // namespace

TEMPLATE_TEST_CASE("each operand has its own element type", "", float, double, Eigen::half,
                   Eigen::bfloat16) {
  const operands x;
  const tensor<TestType> q = x.q.cast<TestType>(), k = x.k.cast<TestType>(),
                         v = x.v.cast<TestType>();
  const tensor<float> out(B, H, Lq, Dv);
  check(q, x.k, x.v, out, float_tolerance);
  check(x.q, k, x.v, out, float_tolerance);
  check(x.q, x.k, v, out, float_tolerance);
  // One rounding of numbers below 1.
  const double rounding = std::is_same_v<TestType, Eigen::half>       ? 0x1p-12
                          : std::is_same_v<TestType, Eigen::bfloat16> ? 0x1p-9
                                                                      : 0;
  check(x.q, x.k, x.v, tensor<TestType>(B, H, Lq, Dv), float_tolerance + rounding);
  check(q, k, v, tensor<TestType>(B, H, Lq, Dv), float_tolerance + rounding);

  const auto fresh = heed::attend(causal_spec, q, x.k, v);
  static_assert(std::is_same_v<const tensor<TestType>, decltype(fresh)>);
}

TEST_CASE("sixteen-bit matrices with strides in every operand") {
  Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> q =
      Eigen::MatrixXf::Random(Lq, 2 * D).cast<Eigen::half>();
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> kv =
      Eigen::MatrixXf::Random(Lk, D + Dv).cast<Eigen::bfloat16>();
  Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> out(Lq + 1, Dv);
  out.setConstant(Eigen::half(7.f));
  heed::attend(causal_spec, q.rightCols(D), kv.leftCols(D), kv.rightCols(Dv), out.bottomRows(Lq));
  const Eigen::MatrixXf wq = q.rightCols(D).cast<float>(), wk = kv.leftCols(D).cast<float>(),
                        wv = kv.rightCols(Dv).cast<float>();
  check_close(out.bottomRows(Lq).cast<float>(),
              plain_head(wq.cast<double>(), wk.cast<double>(), wv.cast<double>(), true),
              float_tolerance + 0x1p-12);
  CHECK(out.row(0).cast<float>().isConstant(7.f));
}

TEST_CASE("double operands are computed in double, and stay so beside a float result") {
  const Eigen::MatrixXd q = Eigen::MatrixXd::Random(Lq, D), k = Eigen::MatrixXd::Random(Lk, D),
                        v = Eigen::MatrixXd::Random(Lk, Dv);
  const Eigen::MatrixXd expected = plain_head(q, k, v, true);
  check_close(heed::attend(causal_spec, q, k, v), expected, 1e-14);
  Eigen::MatrixXf out(Lq, Dv);
  heed::attend(causal_spec, q, k, v, out);
  CHECK((out - expected.cast<float>()).cwiseAbs().maxCoeff() <= 0x1p-24f);
}
