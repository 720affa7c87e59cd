// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>

#include <heed/reference/normalizer/softmax.hpp>

namespace heed::reference::normalizer {

/// The scores with one more key of logit z in front, and its mask.
inline matrix with_sink(const matrix& s, double z) {
  matrix t(s.rows(), s.cols() + 1);
  t << vector::Constant(s.rows(), z), s;
  return t;
}
inline allowed with_sink(const allowed& a) {
  allowed b(a.rows(), a.cols() + 1);
  b << allowed::Constant(a.rows(), 1, true), a;
  return b;
}

/// p_ij = e^{s_ij} / (e^z + Σ_j e^{s_ij}), z one learned logit a query head (gpt-oss); z = 0 is
/// softmax off by one (Miller). Rows without keys give zeros.
inline matrix sink_softmax(const matrix& s, const allowed& a, double z) {
  return softmax(with_sink(s, z), with_sink(a)).rightCols(s.cols());
}

/// log(e^z + Σ_j e^{s_ij}); z for a row without keys.
inline vector sink_lse(const matrix& s, const allowed& a, double z) {
  return lse(with_sink(s, z), with_sink(a));
}

}  // namespace heed::reference::normalizer
