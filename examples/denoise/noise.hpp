// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "image.hpp"

namespace denoise {

// Standard normal numbers, the same on every platform: splitmix64 and Box-Muller.
class normal_numbers {
 public:
  explicit normal_numbers(std::uint64_t seed) : state_(seed) {}

  double operator()() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  double uniform() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

  std::uint64_t state_;
};

inline float to_level(double value) {
  return static_cast<float>(std::round(std::clamp(value, 0.0, 255.0)));
}

// Rounded and clipped, as a camera would store it.
inline image with_noise(const image& clean, double sigma, std::uint64_t seed) {
  image noisy = clean;
  normal_numbers normal(seed);
  for (float& value : noisy.rgb) value = to_level(value + sigma * normal());
  return noisy;
}

// Immerkaer, "Fast noise variance estimation", 1996: the mean response to a filter blind to linear
// structure.
inline double estimate_noise(const image& picture) {
  double sum = 0;
  for (int y = 1; y + 1 < picture.height; ++y)
    for (int x = 1; x + 1 < picture.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const auto value = [&](int dx, int dy) {
          return static_cast<double>(picture.at(x + dx, y + dy)[c]);
        };
        const auto column = [&](int dx) { return value(dx, -1) - 2 * value(dx, 0) + value(dx, 1); };
        sum += std::abs(column(-1) - 2 * column(0) + column(1));
      }
  const double samples = 3.0 * std::max(1, picture.width - 2) * std::max(1, picture.height - 2);
  return std::sqrt(std::numbers::pi / 2) / 6 * sum / samples;
}

// Peak signal-to-noise ratio in decibel, of the 8-bit pictures.
inline double psnr(const image& picture, const image& clean) {
  double error = 0;
  for (std::size_t i = 0; i < clean.rgb.size(); ++i) {
    const double difference = static_cast<double>(to_level(picture.rgb[i]) - clean.rgb[i]);
    error += difference * difference;
  }
  return 10 * std::log10(255 * 255 * static_cast<double>(clean.rgb.size()) / error);
}

}  // namespace denoise
