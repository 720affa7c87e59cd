// SPDX-License-Identifier: BSL-1.0
// Random gradients on grids.
#pragma once

#include "fuzz/backward.hpp"
#include "fuzz/neighborhood.hpp"

namespace heed::fuzz {

struct grid_backward {
  static constexpr const char* name = "backward, grid spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    grid_call c(random, axes_of<decltype(Spec::mask)>, 20000);
    check_backward<Spec>(c, scratch, seen);
  }
};

}  // namespace heed::fuzz
