// SPDX-License-Identifier: BSL-1.0
// What was compared so far, and by how much it was off.
#pragma once

#include "fuzz/memory.hpp"

namespace heed::fuzz {

// Half the distance between numbers of that type around x.
inline double rounding(element type, double x) {
  switch (type) {
    case element::f32:
      return std::max(std::abs(x) * 0x1p-24, 0x1p-150);
    case element::f16:
      return std::max(std::abs(x) * 0x1.01p-11, 0x1.01p-25);
    case element::bf16:
      return std::max(std::abs(x) * 0x1.01p-8, 0x1.01p-134);
    default:
      return 0;
  }
}
inline double largest(element type) {
  return type == element::f16 ? 65504 : type == element::f64 ? 1e300 : 3e38;
}

// Largest error so far as a share of what is allowed, rounding of what is stored aside.
struct tally {
  double worst = 0;
  long calls = 0, rows = 0, skipped = 0;

  bool good(double got, double expected, double allowed, element type) {
    if (got == expected) return true;
    if (std::abs(expected) + allowed > 0.9 * largest(type)) return !std::isnan(got);
    const double error = std::abs(got - expected) - rounding(type, std::abs(expected) + allowed);
    if (!(error <= allowed)) return false;
    if (error > 0) worst = std::max(worst, error / allowed);
    return true;
  }
};

}  // namespace heed::fuzz
