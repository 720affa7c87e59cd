// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/head_output.hpp>
#include <heed/reference/observe/head_output.hpp>

#include "support/exact.hpp"

namespace heed::test {

namespace {

tensor<double> filled() { return random<double>({2, 3, 5, 4}, 1); }

}  // namespace

TEST_CASE("a head is projected as the reference does, and heads add up to the layer") {
  const auto out = filled(), w = random<double>({1, 1, 12, 7}, 2);
  const Eigen::MatrixXd matrix = w.head(0, 0);
  for (index b = 0; b < 2; ++b) {
    Eigen::MatrixXd joined(5, 12), sum = Eigen::MatrixXd::Zero(5, 7);
    for (index h = 0; h < 3; ++h) {
      auto to = unwritten<double>({2, 1, 5, 7});
      project_head(out.in(), h, w.in(), to.in());
      check_close(to.head(b, 0), reference::observe::head_output(out.head(b, h), matrix, h), 1e-14);
      joined.middleCols(4 * h, 4) = out.head(b, h);
      sum += to.head(b, 0);
    }
    check_close(sum, Eigen::MatrixXd(joined * matrix), 1e-13);
  }
}

TEST_CASE("export, patch and ablate one head and no other") {
  auto before = filled();
  const auto others_kept = [&](const tensor<double>& x) {
    for (index b = 0; b < 2; ++b)
      for (const index h : {0, 2}) CHECK(x.head(b, h) == before.head(b, h));
  };
  auto x = before;
  const auto exported = of_head(x.in(), 1);
  CHECK(exported.extent == extents{2, 1, 5, 4});
  CHECK(exported(1, 0, 3, 2) == before(1, 1, 3, 2));

  const auto given = random<double>({2, 1, 5, 4}, 3);
  patch_head(x.in(), 1, given.in());
  CHECK(x.head(1, 1) == given.head(1, 0));
  others_kept(x);

  x = before;
  ablate_head(x.in(), 1);
  CHECK(x.head(0, 1).isZero(0));
  others_kept(x);

  x = before;
  const auto mean = head_mean(x.in(), 1);
  const Eigen::RowVectorXd expected =
      (before.head(0, 1).colwise().sum() + before.head(1, 1).colwise().sum()) / 10;
  patch_head(x.in(), 1, view<const double>(mean.data(), {1, 1, 1, 4}));
  for (index b = 0; b < 2; ++b)
    check_close(x.head(b, 1), Eigen::MatrixXd(expected.replicate(5, 1)), 1e-15);
  others_kept(x);
}

TEST_CASE("heads in the layout of a projection, heads inside") {
  std::vector<float> memory(2 * 5 * 3 * 4, 1.f);
  const view<float> out{memory.data(), {2, 3, 5, 4}, {60, 4, 12, 1}};
  ablate_head(out, 2);
  for (std::size_t i = 0; i < memory.size(); ++i) CHECK(memory[i] == (i % 12 >= 8 ? 0.f : 1.f));
}

TEST_CASE("what does not fit a head is refused") {
  auto x = filled(), y = filled();
  CHECK_THROWS_AS(of_head(x.in(), 3), std::invalid_argument);
  CHECK_THROWS_AS(ablate_head(x.in(), -1), std::invalid_argument);
  CHECK_THROWS_AS(patch_head(x.in(), 0, y.in()), std::invalid_argument);
  CHECK_THROWS_AS(project_head(x.in(), 0, y.in(), x.in()), std::invalid_argument);
  CHECK(x.data == y.data);
}

}  // namespace heed::test
