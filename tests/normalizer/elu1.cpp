// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/elu1.hpp>
#include <heed/reference/normalizer/elu1.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  agree<T, Arch>(attention{.mask = causal{}, .normalizer = elu1{}}, scaled_dot,
                 [](const auto& s, const auto& a, heed::index) { return expected::elu1(s, a); });
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = elu1{.by = divisor::sum}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::elu1_normalized(s, a); });
}

}  // namespace

TEST_CASE("elu1 weighs by elu + 1, undivided or by the row sum, float") { sweep<float>(); }
TEST_CASE("elu1 weighs by elu + 1, undivided or by the row sum, double") { sweep<double>(); }
TEST_CASE("elu1 weighs by elu + 1, undivided or by the row sum, one lane") {
  sweep<float, simd::scalar>();
}

TEST_CASE("elu1's derivative agrees with differences") {
  check_derivative(elu1{}, {0.3, -1.2, 4, -30});
  check_derivative(elu1{.by = divisor::sum}, {0.3, -1.2, 4, -30});
}
