// SPDX-License-Identifier: BSL-1.0
// Non-local means of one pixel, in double, straight from the definition.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "non_local_means.hpp"

namespace denoise::reference {

inline double patch_distance(const image& noisy, int patch, int xa, int ya, int xb, int yb) {
  double sum = 0;
  for (int v = -(patch / 2); v <= patch / 2; ++v)
    for (int u = -(patch / 2); u <= patch / 2; ++u)
      for (int c = 0; c < 3; ++c) {
        const auto value = [&](int x, int y) {
          return static_cast<double>(
              noisy.at(mirror(x + u, noisy.width), mirror(y + v, noisy.height))[c]);
        };
        sum += std::pow(value(xa, ya) - value(xb, yb), 2);
      }
  return sum;
}

inline std::array<double, 3> pixel(const image& noisy, const settings& s, int x, int y) {
  const int left = window_begin(x, s.window, noisy.width),
            top = window_begin(y, s.window, noisy.height);
  double weights = 0;
  std::array<double, 3> sum{};
  for (int v = top; v < top + s.window; ++v)
    for (int u = left; u < left + s.window; ++u) {
      const bool itself = u == x && v == y;
      const double score =
          itself ? s.self_score() : -patch_distance(noisy, s.patch, x, y, u, v) / s.bandwidth();
      const double weight = std::exp(score);
      weights += weight;
      for (std::size_t c = 0; c < 3; ++c) sum[c] += weight * static_cast<double>(noisy.at(u, v)[c]);
    }
  for (double& value : sum) value /= weights;
  return sum;
}

// Largest difference over `samples` pixels of a Halton sequence.
inline double largest_error(const image& noisy, const image& quiet, const settings& s,
                            int samples) {
  const auto halton = [](int i, int base) {
    double value = 0;
    for (double digit = 1.0 / base; i > 0; i /= base, digit /= base) value += digit * (i % base);
    return value;
  };
  double worst = 0;
  for (int i = 0; i < samples; ++i) {
    const int x = static_cast<int>(halton(i, 2) * noisy.width),
              y = static_cast<int>(halton(i, 3) * noisy.height);
    const std::array<double, 3> expected = pixel(noisy, s, x, y);
    for (std::size_t c = 0; c < 3; ++c) {
      const double error = std::abs(expected[c] - static_cast<double>(quiet.at(x, y)[c]));
      worst =
          std::max(worst, std::isfinite(error) ? error : std::numeric_limits<double>::infinity());
    }
  }
  return worst;
}

}  // namespace denoise::reference
