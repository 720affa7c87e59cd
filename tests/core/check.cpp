// SPDX-License-Identifier: BSL-1.0
#include <heed/core/check.hpp>

#include "support/catch.hpp"

using Catch::Matchers::ContainsSubstring;

TEST_CASE("a broken rule names the operation, itself, and every operand with extents and strides") {
  float x = 0;
  const double* y = nullptr;
  const heed::operand q = heed::view<float>(&x, {1, 3, 5, 64}, {960, 320, 64, 1});
  const heed::operand k = heed::view<const double>(y, {1, 2, 7, 64}, {0, -448, 64, 1});
  CHECK_THROWS_AS(heed::check::fail("heed::attend", "rule", {{"q", q}}), std::invalid_argument);
  CHECK_THROWS_WITH(heed::check::fail("heed::attend", "heads must fit", {{"q", q}, {"k", k}}),
                    "heed::attend: heads must fit\n"
                    "  q [B,H,L,D] = [1, 3, 5, 64], strides [960, 320, 64, 1], float\n"
                    "  k [B,H,L,D] = [1, 2, 7, 64], strides [0, -448, 64, 1], double");
}

TEST_CASE("a policy states its rule alone") {
  CHECK_THROWS_AS(heed::check::fail("heed::window", "rule"), std::invalid_argument);
  CHECK_THROWS_WITH(heed::check::fail("heed::window", "size must be positive"),
                    "heed::window: size must be positive");
}

TEST_CASE("every element type has a name") {
  using heed::element;
  CHECK(std::string(heed::check::print(element::f32)) == "float");
  CHECK(std::string(heed::check::print(element::f64)) == "double");
  CHECK(std::string(heed::check::print(element::f16)) == "half");
  CHECK(std::string(heed::check::print(element::bf16)) == "bfloat16");
}
