// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/core/position.hpp>

namespace heed::test {

/// Tokens meet those of the same remainder: patches of any size, none of them a run.
struct remainders {
  index by, tokens;
  static constexpr bool exact = false;
  bool operator()(const position& at) const { return at.q % by == at.k % by; }
  index patches() const { return by; }
  template <class F> void patch(index i, F emit) const {
    for (; i < tokens; i += by) emit(i);
  }
};

}  // namespace heed::test
