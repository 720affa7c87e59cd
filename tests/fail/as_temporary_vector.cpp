// expect: heed::as: a temporary that owns its elements would leave the view dangling
// SPDX-License-Identifier: BSL-1.0
#include <heed/core/axes.hpp>
#include <span>
#include <vector>

int main() {
  std::vector<float> x(3);
#ifdef MUST_FAIL
  return static_cast<int>(heed::as<"H">(std::vector<float>(3)).extent[1]);
#else
  return static_cast<int>(heed::as<"H">(std::span(x)).extent[1]);
#endif
}
