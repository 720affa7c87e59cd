// SPDX-License-Identifier: BSL-1.0
// Every Eigen object that the door takes, against a plain double loop.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>

#include "eigen/plain.hpp"
#include "support/catch.hpp"

using namespace heed::test;
using heed::as;

namespace {

const heed::attention causal_spec{.mask = heed::causal{}};

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using dynamic = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

constexpr Eigen::Index Lq = 29, Lk = 37, D = 11, Dv = 6;

struct one_head {
  Eigen::MatrixXf q = Eigen::MatrixXf::Random(Lq, D), k = Eigen::MatrixXf::Random(Lk, D),
                  v = Eigen::MatrixXf::Random(Lk, Dv);
  Eigen::MatrixXd expected = plain_head(q.cast<double>(), k.cast<double>(), v.cast<double>(), true);
};

}  // namespace

TEST_CASE("matrices of both storage orders, one head, a fresh result of q's order") {
  const one_head x;
  const auto out = heed::attend(causal_spec, x.q, x.k, x.v);
  static_assert(std::is_same_v<const Eigen::MatrixXf, decltype(out)>);
  check_close(out, x.expected);
  const row_major<float> q = x.q, k = x.k, v = x.v;
  const auto rows = heed::attend(causal_spec, q, k, v);
  static_assert(std::is_same_v<const row_major<float>, decltype(rows)>);
  check_close(rows, x.expected);
  check_close(heed::attend(causal_spec, q, x.k, v), x.expected);
}

TEST_CASE("maps, refs, blocks and transposes in and out") {
  const one_head x;
  Eigen::MatrixXf out = Eigen::MatrixXf::Constant(2 * Lq, 3 * Dv, 7);

  Eigen::MatrixXf wide(Lq + 3, D + 5);
  wide.setConstant(std::nanf(""));
  wide.block(2, 4, Lq, D) = x.q;
  const row_major<float> tall = x.k.transpose();
  std::vector<float> spread(static_cast<std::size_t>(Lk * Dv * 3));
  Eigen::Map<row_major<float>, 0, dynamic> every_third(spread.data(), Lk, Dv, dynamic(3 * Dv, 3));
  every_third = x.v;

  heed::attend(causal_spec, wide.block(2, 4, Lq, D), tall.transpose(), every_third,
               out.block(1, 2, Lq, Dv));
  check_close(out.block(1, 2, Lq, Dv), x.expected);
  CHECK(out.row(0).isConstant(7.f));
  CHECK(out.leftCols(2).isConstant(7.f));
  CHECK(out.bottomRows(Lq - 1).isConstant(7.f));
  CHECK(out.rightCols(2 * Dv - 2).isConstant(7.f));

  out.setConstant(7);
  Eigen::Ref<Eigen::MatrixXf> target(out.topLeftCorner(Lq, Dv));
  const Eigen::Ref<const Eigen::MatrixXf> q(x.q), k(x.k);
  heed::attend(causal_spec, q, k, Eigen::Map<const Eigen::MatrixXf>(x.v.data(), Lk, Dv), target);
  check_close(out.topLeftCorner(Lq, Dv), x.expected);

  row_major<float> transposed(Dv, Lq);
  heed::attend(causal_spec, x.q, x.k, x.v, transposed.transpose());
  check_close(transposed.transpose(), x.expected);
}

TEST_CASE("tensors of both layouts, grouped heads, maps, and views beside them") {
  const Eigen::Index B = 2, H = 4, G = 2;
  Eigen::Tensor<float, 4, Eigen::RowMajor> q(B, H, Lq, D), k(B, H / G, Lk, D), v(B, H / G, Lk, Dv);
  q.setRandom(), k.setRandom(), v.setRandom();
  const auto expected = plain(as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), true);

  const auto out = heed::attend(causal_spec, q, k, v);
  static_assert(std::is_same_v<const Eigen::Tensor<float, 4, Eigen::RowMajor>, decltype(out)>);
  check_close(as<"BHLD">(out), expected);

  const Eigen::Tensor<float, 4> qc = q.swap_layout();
  REQUIRE(qc.dimension(0) == D);
  const Eigen::Tensor<float, 4> kc = k.swap_layout(), vc = v.swap_layout();
  const auto columns = heed::attend(causal_spec, qc, kc, vc);
  static_assert(std::is_same_v<const Eigen::Tensor<float, 4>, decltype(columns)>);
  check_close(as<"DLHB">(columns), expected);

  std::vector<float> memory(static_cast<std::size_t>(q.size()), std::nanf(""));
  Eigen::TensorMap<Eigen::Tensor<float, 4, Eigen::RowMajor>> target(memory.data(), B, H, Lq, Dv);
  heed::attend(causal_spec, as<"BHLD">(q), kc, v, target);
  check_close(as<"BHLD">(target), expected);

  Eigen::Tensor<float, 4, Eigen::RowMajor> swapped = q.shuffle(Eigen::array<int, 4>{0, 2, 1, 3});
  const auto beside = heed::attend(causal_spec, as<"BLHD">(swapped), k, v);
  static_assert(std::is_same_v<const Eigen::Tensor<float, 4, Eigen::RowMajor>, decltype(beside)>);
  check_close(as<"BHLD">(beside), expected);

  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(B, H, Lq);
  heed::workspace scratch;
  heed::attend(causal_spec, q, k, v,
               heed::outputs{.out = as<"BHLD">(target), .lse = as<"BHL">(lse)}, {}, scratch);
  CHECK(scratch.capacity() > 0);
  CHECK(lse(1, 2, 3) ==
        Approx(plain_lse(as<"BHLD">(q), as<"BHLD">(k), 1, 2, 3, true)).epsilon(1e-5));
}
