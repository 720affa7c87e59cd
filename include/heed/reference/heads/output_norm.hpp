// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::heads {

/// Rows over √(mean of squares + ε) (Zhang & Sennrich, Root mean square layer normalization).
inline matrix rms_norm(const matrix& o, double epsilon) {
  const vector size = (o.rowwise().squaredNorm().array() / double(o.cols()) + epsilon).sqrt();
  return size.cwiseInverse().asDiagonal() * o;
}
/// The same of rows without their mean (Ba et al., Layer normalization).
inline matrix layer_norm(const matrix& o, double epsilon) {
  return rms_norm(o.colwise() - o.rowwise().mean(), epsilon);
}
/// Rows over their length, at least ε.
inline matrix l2_norm(const matrix& o, double epsilon) {
  return o.rowwise().norm().cwiseMax(epsilon).cwiseInverse().asDiagonal() * o;
}

}  // namespace heed::reference::heads
