// SPDX-License-Identifier: BSL-1.0
#include "unit.hpp"

#include <cstdio>

std::vector<float> attend_and_scan_in_two();

// The first token sees itself alone: both operators give its value back.
int main() {
  const std::vector<float> out = attend_and_scan();
  bool right = out == attend_and_scan_in_two();
  for (int channel = 0; channel < 20; ++channel) {
    const float value = std::sin(static_cast<float>(channel));
    for (const std::size_t first : {std::size_t{0}, out.size() / 2})
      right &= std::abs(out[first + static_cast<std::size_t>(channel)] - value) < 1e-5f;
  }
#if defined(EIGEN_WORLD_VERSION)
  Eigen::Tensor<float, 4, Eigen::RowMajor> x(1, 2, 37, 20);
  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = std::sin(static_cast<float>(i));
  const Eigen::Tensor<float, 4, Eigen::RowMajor> y =
      heed::attend(heed::attention{.mask = heed::causal{}}, x, x, x);
  for (Eigen::Index i = 0; i < y.size(); ++i)
    right &= y.data()[i] == out[static_cast<std::size_t>(i)];
#endif
  std::printf("heed %d in one file: %s\n", HEED_VERSION, right ? "right" : "wrong");
  return right ? 0 : 1;
}
