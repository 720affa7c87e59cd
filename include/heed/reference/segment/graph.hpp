// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::segment {

/// Edges in CSR by destination: those of node i are [head[i], head[i+1]), each from its source.
struct graph {
  indices head, source;

  index first(index i) const { return head[static_cast<std::size_t>(i)]; }
  index last(index i) const { return head[static_cast<std::size_t>(i) + 1]; }
  index to(index e) const { return source[static_cast<std::size_t>(e)]; }
};

}  // namespace heed::reference::segment
