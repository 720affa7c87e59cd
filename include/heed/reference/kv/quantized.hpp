// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/reference/matrix.hpp>

namespace heed::reference::kv {

/// x ≈ scale · code + zero for a set of numbers that share both; codes of `bits` bits.
struct quantized {
  vector codes;
  double scale = 0, zero = 0;

  vector numbers() const { return (scale * codes).array() + zero; }
};

/// Symmetric: scale = max |x| / (2^{bits-1} - 1), code = round(x / scale).
inline quantized symmetric(const vector& x, int bits) {
  const double high = std::exp2(bits - 1) - 1, most = x.cwiseAbs().maxCoeff();
  quantized q{vector::Zero(x.size()), most / high, 0};
  for (index i = 0; i < x.size() && most > 0; ++i) q.codes(i) = std::nearbyint(x(i) / q.scale);
  return q;
}
/// With a zero point: scale = (max x - min x) / (2^bits - 1), the least number has the least code.
inline quantized affine(const vector& x, int bits) {
  const double low = -std::exp2(bits - 1), least = x.minCoeff(), most = x.maxCoeff();
  quantized q{vector::Zero(x.size()), (most - least) / (std::exp2(bits) - 1), least};
  if (most > least) q.zero = least - low * q.scale;
  for (index i = 0; i < x.size() && most > least; ++i)
    q.codes(i) = std::nearbyint((x(i) - q.zero) / q.scale);
  return q;
}

}  // namespace heed::reference::kv
