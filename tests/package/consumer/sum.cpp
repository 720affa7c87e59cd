// SPDX-License-Identifier: BSL-1.0
#include "sum.hpp"

template <class Arch> float sum::operator()(Arch, const float* x, heed::index n) const {
  float total = 0;
  for (heed::index i = 0; i < n; ++i) total += x[i];
  return total;
}
template float sum::operator()(heed::isa, const float*, heed::index) const;
