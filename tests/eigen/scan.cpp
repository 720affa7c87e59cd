// SPDX-License-Identifier: BSL-1.0
// scan and step on Eigen objects: tensors of both orders, matrices, half.
#include <heed/heed.hpp>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {

namespace {

template <int Order, class T = float> Eigen::Tensor<T, 4, Order> copied(const tensor<float>& x) {
  const auto& e = x.extent;
  constexpr bool row_major = Order == int(Eigen::RowMajor);
  Eigen::Tensor<T, 4, Order> t = row_major ? Eigen::Tensor<T, 4, Order>(e[0], e[1], e[2], e[3])
                                           : Eigen::Tensor<T, 4, Order>(e[3], e[2], e[1], e[0]);
  for (index b = 0; b < e[0]; ++b)
    for (index h = 0; h < e[1]; ++h)
      for (index l = 0; l < e[2]; ++l)
        for (index d = 0; d < e[3]; ++d)
          (row_major ? t(b, h, l, d) : t(d, l, h, b)) = T(x.in()(b, h, l, d));
  return t;
}

struct given {
  tensor<float> q = random<float>({2, 4, 21, 8}, 1), k = random<float>({2, 2, 21, 8}, 2),
                v = random<float>({2, 2, 21, 5}, 3), want{{2, 4, 21, 5}};
  recurrent_state<float> last;
  given() { scan(recurrence{}, q.in(), k.in(), v.in(), want.in(), last); }
};

template <int Order> void agree() {
  given x;
  const auto q = copied<Order>(x.q), k = copied<Order>(x.k), v = copied<Order>(x.v),
             want = copied<Order>(x.want);
  recurrent_state<float> state;
  const Eigen::Tensor<float, 4, Order> out = scan(recurrence{}, q, k, v, state),
                                       same = scan(recurrence{}, q, k, v);
  REQUIRE(out.size() == want.size());
  for (Eigen::Index i = 0; i < want.size(); ++i) {
    REQUIRE(out.data()[i] == want.data()[i]);
    REQUIRE(same.data()[i] == want.data()[i]);
  }
  CHECK(state == x.last);
}

}  // namespace

TEST_CASE("Tensors of both orders enter a scan in place") {
  agree<Eigen::RowMajor>();
  agree<Eigen::ColMajor>();
}

TEST_CASE("A matrix is one head") {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Random(13, 6), k = Eigen::MatrixXf::Random(13, 6),
                        v = Eigen::MatrixXf::Random(13, 4);
  recurrent_state<float> state;
  const Eigen::MatrixXf first = scan(recurrence{}, q, k, v, state),
                        next = step(recurrence{}, q, k, v, state);
  REQUIRE(first.rows() == 13);
  REQUIRE(first.cols() == 4);
  const Eigen::MatrixXf all = k.transpose() * v;
  CHECK((first.row(12) - q.row(12) * all).norm() <= 1e-5f);
  CHECK((next.row(12) - 2 * q.row(12) * all).norm() <= 1e-5f);
  CHECK(state.tokens(0) == 26);
}

TEST_CASE("Half tensors give half, with a state of float") {
  const given x;
  const auto q = copied<Eigen::RowMajor, Eigen::half>(x.q),
             k = copied<Eigen::RowMajor, Eigen::half>(x.k),
             v = copied<Eigen::RowMajor, Eigen::half>(x.v);
  recurrent_state<float> state;
  const Eigen::Tensor<Eigen::half, 4, Eigen::RowMajor> out = scan(recurrence{}, q, k, v, state);
  // Sums of up to 21 products of 8 channels, of operands that lost up to 2^-11 each.
  for (Eigen::Index i = 0; i < out.size(); ++i) {
    const float want = x.want.data[static_cast<std::size_t>(i)];
    REQUIRE(std::abs(float(out.data()[i]) - want) <= 0x1p-11f * (4 * 21 + std::abs(want)));
  }
}

}  // namespace heed::test
