// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/position/rope.hpp>

namespace heed::reference::position {

/// Angles [L × R/2] from several position axes, to be given to `rotate`: the R/2 pairs fall into
/// sections (their sizes in pairs), one an axis, and pair c of section a turns by ids(l, a)·θ_c.
/// M-RoPE (Wang et al., Qwen2-VL): ids are t, y, x and θ runs on through the sections. Axial RoPE:
/// θ begins anew in each section; the caller concatenates.
inline matrix axis_angles(const matrix& ids, const indices& sections, const vector& theta) {
  matrix angles(ids.rows(), theta.size());
  index c = 0;
  for (std::size_t axis = 0; axis < sections.size(); ++axis)
    for (index n = 0; n < sections[axis]; ++n, ++c)
      angles.col(c) = ids.col(static_cast<index>(axis)) * theta(c);
  return angles;
}

}  // namespace heed::reference::position
