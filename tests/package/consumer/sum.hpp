// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/core/dispatch.hpp>

// The sum of n numbers; sum.cpp is compiled once per instruction set.
struct sum {
  template <class Arch> float operator()(Arch, const float* x, heed::index n) const;
};
