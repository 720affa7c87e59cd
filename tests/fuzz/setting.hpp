// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdlib>

namespace heed::fuzz {

// A number from the environment.
inline double setting(const char* name, double otherwise) {
  const char* given = std::getenv(name);
  return given ? std::atof(given) : otherwise;
}

}  // namespace heed::fuzz
