// SPDX-License-Identifier: BSL-1.0
#include <heed/heads/output_norm.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/heads/output_norm.hpp>

#include "support/gradients.hpp"
#include "support/scores.hpp"

using namespace heed::test;
using heed::head_norm;
namespace expected = heed::reference::heads;

namespace {

template <class T, class Arch = heed::simd::best> void sweep() {
  for (const auto form : {head_norm::rms, head_norm::layer, head_norm::l2})
    agree_by_head<T, Arch>(
        [&](const lengths&) {
          return heed::attention{
              .output = heed::output_norm{.form = form, .epsilon = 0.1, .factor = 0.4}};
        },
        [&](const one_head& head) {
          const Eigen::MatrixXd o = head.attended(head.dot());
          if (form == head_norm::rms) return Eigen::MatrixXd(0.4 * expected::rms_norm(o, 0.1));
          if (form == head_norm::layer) return Eigen::MatrixXd(0.4 * expected::layer_norm(o, 0.1));
          return Eigen::MatrixXd(0.4 * expected::l2_norm(o, 0.1));
        },
        32, 8);
}

}  // namespace

TEST_CASE("the result of each head is normalised, float") { sweep<float>(); }
TEST_CASE("the result of each head is normalised, double") { sweep<double>(); }
TEST_CASE("the result of each head is normalised, one lane") { sweep<float, heed::simd::scalar>(); }

TEST_CASE("gradients through normalised heads, and of their gains") {
  for (const auto form : {head_norm::rms, head_norm::layer, head_norm::l2}) {
    learned gain({1, 4, 1, 6}, 0.5, 1);
    check_gradients(
        "output norm",
        heed::attention{
            .mask = heed::causal{},
            .output = heed::output_norm{.form = form, .gain = gain.table(), .factor = 0.4}},
        {.output = {gain.to()}}, {&gain}, {.lk = 60});
  }
}

TEST_CASE("a gain that does not fit is refused") {
  const auto gain = random<float>({1, 3, 1, 6}, 1);
  CHECK_THROWS_AS((heed::output_norm{.gain = gain.in()}.check(
                      heed::row_shape{.batch = 1, .heads = 4, .rows = 5, .channels = 6})),
                  std::invalid_argument);
  CHECK_THROWS_AS(heed::output_norm{.epsilon = -1}.check(heed::problem_shape{}),
                  std::invalid_argument);
}
