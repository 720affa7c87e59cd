// SPDX-License-Identifier: BSL-1.0
// Non-local means of one pixel, in double, straight from the definition.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "non_local_means.hpp"

namespace denoise::reference {

inline double patch_distance(const image& a, int xa, int ya, const image& b, int xb, int yb,
                             int patch) {
  double sum = 0;
  for (int v = -(patch / 2); v <= patch / 2; ++v)
    for (int u = -(patch / 2); u <= patch / 2; ++u)
      for (int c = 0; c < 3; ++c) {
        const auto value = [&](const image& from, int x, int y) {
          return static_cast<double>(
              from.at(mirror(x + u, from.width), mirror(y + v, from.height))[c]);
        };
        sum += std::pow(value(a, xa, ya) - value(b, xb, yb), 2);
      }
  return sum;
}

// At the borders the window moves inwards rather than shrinks.
inline int window_begin(int at, int window, int size) {
  return std::clamp(at - window / 2, 0, size - window);
}

// Pixel x, y of frame t.
inline std::array<double, 3> pixel(std::span<const image> noisy, const settings& s, int t, int x,
                                   int y) {
  const image& frame = noisy[static_cast<std::size_t>(t)];
  const int left = window_begin(x, s.window, frame.width),
            top = window_begin(y, s.window, frame.height),
            first = s.causal ? std::max(t - s.frames + 1, 0)
                             : window_begin(t, s.frames, static_cast<int>(noisy.size())),
            last = s.causal ? t : first + s.frames - 1;
  double weights = 0;
  std::array<double, 3> sum{};
  for (int w = first; w <= last; ++w) {
    const image& other = noisy[static_cast<std::size_t>(w)];
    for (int v = top; v < top + s.window; ++v)
      for (int u = left; u < left + s.window; ++u) {
        const bool itself = u == x && v == y && w == t;
        const double score =
            itself ? s.self_score()
                   : -patch_distance(frame, x, y, other, u, v, s.patch) / s.bandwidth();
        const double weight = std::exp(score);
        weights += weight;
        for (std::size_t c = 0; c < 3; ++c)
          sum[c] += weight * static_cast<double>(other.at(u, v)[c]);
      }
  }
  for (double& value : sum) value /= weights;
  return sum;
}

// Largest difference over `samples` pixels of a Halton sequence.
inline double largest_error(std::span<const image> noisy, std::span<const image> quiet,
                            const settings& s, int samples) {
  const auto halton = [](int i, int base, std::size_t size) {
    double value = 0;
    for (double digit = 1.0 / base; i > 0; i /= base, digit /= base) value += digit * (i % base);
    return static_cast<int>(value * static_cast<double>(size));
  };
  double worst = 0;
  for (int i = 0; i < samples; ++i) {
    const int x = halton(i, 2, static_cast<std::size_t>(noisy[0].width)),
              y = halton(i, 3, static_cast<std::size_t>(noisy[0].height)),
              t = halton(i, 5, noisy.size());
    const std::array<double, 3> expected = pixel(noisy, s, t, x, y);
    const float* const got = quiet[static_cast<std::size_t>(t)].at(x, y);
    for (std::size_t c = 0; c < 3; ++c) {
      const double error = std::abs(expected[c] - static_cast<double>(got[c]));
      worst =
          std::max(worst, std::isfinite(error) ? error : std::numeric_limits<double>::infinity());
    }
  }
  return worst;
}

}  // namespace denoise::reference
