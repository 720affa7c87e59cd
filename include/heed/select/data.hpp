// SPDX-License-Identifier: BSL-1.0
// That operands are there, asked before any row of theirs is read.
#pragma once

#include <heed/core/check.hpp>

namespace heed::detail {

// Throws where one of the operands has elements, but no data.
inline void check_data(const char* operation, std::initializer_list<check::named> all) {
  for (const auto& [name, x] : all) {
    bool empty = false;
    for (const index n : x.extent) empty = empty || n == 0;
    if (!empty && !x.present())
      check::fail(operation, std::string(name) + " must not be null", all);
  }
}

}  // namespace heed::detail
