// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/core/dispatch.hpp>
#include <heed/core/view.hpp>

// [entry_point]
struct inputs {
  heed::view<const float> q, k, v;
  heed::view<float> out;
};

// Causal attention; defined in prefill.cpp, which is compiled once per instruction set.
struct prefill {
  template <class Arch> void operator()(Arch, const inputs& x) const;
};
// [/entry_point]

// The instruction set that runs, for people to read.
struct chosen {
  template <class Arch> const char* operator()(Arch) const;
};
