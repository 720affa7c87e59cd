// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/score/bias.hpp>
#include <heed/score/bias.hpp>
#include <memory>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::score;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The table of a head, [Lq|1 × Lk|1], of a bias with broadcast axes.
template <class T> Eigen::MatrixXd table(const tensor<T>& b, const one_head& head) {
  return b.head(b.extent[0] == 1 ? 0 : head.b, b.extent[1] == 1 ? 0 : head.h);
}
// One tensor [.., Lq|1, Lk|1] per shape; `whole` picks the axes that are not broadcast. Memory
// order is that of the extents, and the view puts Lk where heads of a tensor have channels.
template <class T, class U, class Arch = heed::simd::best>
void agree_bias(const std::array<bool, 4>& whole) {
  tensor<U> b({0, 0, 0, 0});
  agree_scores<T, Arch>(
      [&](const lengths& x) {
        b = random<U>(
            {whole[0] ? x.b : 1, whole[1] ? x.h : 1, whole[2] ? x.lq : 1, whole[3] ? x.lk : 1}, 4);
        return heed::bias{b.in()};
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::bias(s, table(b, head));
      });
}

}  // namespace

TEST_CASE("bias broadcasts along every axis") {
  for (int bits = 0; bits < 16; ++bits) {
    INFO("axes " << bits);
    agree_bias<float, float>({bool(bits & 1), bool(bits & 2), bool(bits & 4), bool(bits & 8)});
  }
}

TEST_CASE("bias of another type than the compute type, and the scalar arch") {
  agree_bias<float, double>({true, true, true, true});
  agree_bias<double, float>({true, true, true, true});
  agree_bias<double, double>({false, true, true, true});
  agree_bias<float, float, heed::simd::scalar>({true, true, true, true});
  agree_bias<float, float, heed::simd::scalar>({true, true, false, true});
}

TEST_CASE("bias with strides of its own") {
  tensor<float> b({0, 0, 0, 0});  // stored [B, H, Lk, Lq]
  agree_scores<float>(
      [&](const lengths& x) {
        b = random<float>({x.b, x.h, x.lk, x.lq}, 4);
        return heed::bias{heed::view<float>(b.data.data(), {x.b, x.h, x.lq, x.lk},
                                            {x.h * x.lk * x.lq, x.lk * x.lq, 1, x.lq})};
      },
      [&](const Eigen::MatrixXd& s, const one_head& head) {
        return reference::bias(s, Eigen::MatrixXd(b.head(head.b, head.h).transpose()));
      });
}

TEST_CASE("-inf takes keys away, and a row of nothing else gives zeros") {
  tensor<float> b({0, 0, 0, 0});
  const auto expected = [&](const Eigen::MatrixXd& s, const one_head& head) {
    return reference::bias(s, table(b, head));
  };
  agree_scores<float>(
      [&](const lengths& x) {
        b = random<float>({1, x.h, x.lq, x.lk}, 4);
        for (std::size_t i = 0; i < b.data.size(); i += 3) b.data[i] = -infinity;
        for (heed::index j = 0; j < x.lk; ++j) b(0, x.h - 1, x.lq / 2, j) = -infinity;
        return heed::bias{b.in()};
      },
      expected);
}

TEST_CASE("the boolean form is 0 and -inf") {
  const auto allowed = [](heed::index i, heed::index j) { return (i + 2 * j) % 3 != 0; };
  std::unique_ptr<bool[]> mask;
  const auto make = [&](const lengths& x) {
    mask = std::make_unique<bool[]>(std::size_t(x.lq * x.lk));
    for (heed::index i = 0; i < x.lq; ++i)
      for (heed::index j = 0; j < x.lk; ++j) mask[std::size_t(i * x.lk + j)] = allowed(i, j);
    return heed::boolean_bias{heed::view<const bool>(mask.get(), {1, 1, x.lq, x.lk})};
  };
  agree_scores<float>(make, [&](Eigen::MatrixXd s, const one_head&) {
    for (heed::index i = 0; i < s.rows(); ++i)
      for (heed::index j = 0; j < s.cols(); ++j)
        if (!allowed(i, j)) s(i, j) = -double(infinity);
    return s;
  });
}

TEST_CASE("bias refuses what does not broadcast") {
  const auto b = random<float>({1, 1, 3, 4}, 4);
  check_refused(heed::attention{.score = heed::bias{b.in()}},
                "the bias is [1, 1, 3, 4], but must broadcast to [2, 4, 3, 5]");
  const bool one = true;
  check_refused(
      heed::attention{.score = heed::boolean_bias{heed::view<const bool>(&one, {1, 2, 1, 1})}},
      "heed::boolean_bias: the mask is [1, 2, 1, 1]");
}
