// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/core/dispatch.hpp>
#include <heed/core/view.hpp>

namespace heed::test {

struct inputs {
  view<const float> q, k, v;
  view<float> out;
};

// Entry points; probe.cpp defines them once per instruction set.
struct attend_probe {
  template <class Arch> void operator()(Arch, const inputs& x) const;
};
struct scan_probe {
  template <class Arch> void operator()(Arch, const inputs& x) const;
};
// How many bytes a vector has, of the instruction set that runs.
struct width_probe {
  template <class Arch> index operator()(Arch) const;
};

}  // namespace heed::test
