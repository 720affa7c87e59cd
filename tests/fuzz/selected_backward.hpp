// SPDX-License-Identifier: BSL-1.0
// Random gradients along lists of blocks.
#pragma once

#include "fuzz/backward.hpp"
#include "fuzz/selected.hpp"

namespace heed::fuzz {

struct selected_backward {
  static constexpr const char* name = "backward, selected spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    call c(random, 6000);
    if constexpr (!std::is_same_v<decltype(Spec::plan), none>) c.cut();
    check_backward<Spec>(c, scratch, seen);
  }
};

}  // namespace heed::fuzz
