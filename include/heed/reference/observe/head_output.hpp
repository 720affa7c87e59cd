// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::observe {

/// What head h adds to the output of the layer: o_h W_O,h; o_h [Lq×Dv], w [H·Dv×C].
inline matrix head_output(const matrix& o, const matrix& w, index h) {
  return o * w.middleRows(h * o.cols(), o.cols());
}

}  // namespace heed::reference::observe
