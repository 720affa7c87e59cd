// SPDX-License-Identifier: BSL-1.0
// A clip without noise: textures that pan, turn and cross, each frame computed from its time.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "image.hpp"
#include "noise.hpp"

namespace denoise {

using colour = std::array<double, 3>;

inline colour mixed(const colour& a, const colour& b, double share) {
  return {a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])};
}

// The colour of a point at time t, counted in frames. Nothing moves by whole pixels.
inline colour scene(double x, double y, double t) {
  constexpr colour sky{70, 110, 160}, sand{205, 170, 120}, ink{35, 40, 60}, paper{235, 230, 215},
      leaf{60, 125, 70};
  const double u = x + 1.3 * t, v = y - 0.6 * t;
  const double weave = std::sin(0.55 * u + 0.21 * v) * std::sin(0.17 * u - 0.48 * v);
  colour here = mixed(sky, sand, 0.5 + 0.3 * std::sin(0.03 * u) + 0.2 * weave);

  const double bar = x - 0.4 * y - 25 - 1.9 * t, stripe = std::sin(0.9 * (y + 0.7 * t));
  if (bar > 0 && bar < 22) here = mixed(leaf, paper, stripe > 0 ? 0.7 : 0.1);

  const double dx = x - 105 + 2.1 * t, dy = y - 62 - 6 * std::sin(0.3 * t), turn = 0.06 * t;
  if (dx * dx + dy * dy < 34 * 34) {
    const double a = std::cos(turn) * dx + std::sin(turn) * dy,
                 b = std::cos(turn) * dy - std::sin(turn) * dx;
    const bool dark =
        (static_cast<int>(std::floor(a / 6)) + static_cast<int>(std::floor(b / 6))) % 2 != 0;
    here = mixed(dark ? ink : paper, sand, 0.15 + 0.004 * a);
  }
  return here;
}

// The mean of three points by three a pixel, rounded as a camera would store it.
inline image rendered(int t, int width, int height) {
  constexpr int points = 3;
  image frame(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      colour sum{};
      for (int i = 0; i < points * points; ++i) {
        const colour one =
            scene(x + (i % points + 0.5) / points, y + (i / points + 0.5) / points, t);
        for (std::size_t c = 0; c < 3; ++c) sum[c] += one[c] / (points * points);
      }
      std::ranges::transform(sum, frame.at(x, y), to_level);
    }
  return frame;
}

}  // namespace denoise
