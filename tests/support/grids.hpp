// SPDX-License-Identifier: BSL-1.0
// Grids of tests.
#pragma once

#include <heed/neighborhood/natten.hpp>
#include <heed/reference/neighborhood/natten.hpp>
#include <random>

#include "support/tensor.hpp"

namespace heed::test {

template <int N> reference::neighborhood::axes axes_of(const neighborhood<N>& grid) {
  reference::neighborhood::axes all;
  for (int n = 0; n < N; ++n) {
    const neighborhood_axis a = grid.axis(n);
    all.push_back({a.size, a.window, a.stride, a.dilation, a.causal});
  }
  return all;
}

/// Small numbers from one seed, the same with any standard library.
class draws {
 public:
  explicit draws(unsigned stream) : bits_(seed() + stream) {}
  index from(index low, index high) {
    return low + static_cast<index>(bits_() % static_cast<unsigned>(high - low + 1));
  }
  bool chance(index n) { return from(1, n) == 1; }

 private:
  std::mt19937 bits_;
};

/// Windows, strides, dilations and causal axes that a grid may have.
template <int N> neighborhood<N> draw_windows(const std::array<index, N>& size, draws& from) {
  neighborhood<N> grid{.size = size};
  for (std::size_t n = 0; n < N; ++n) {
    grid.dilation[n] = from.chance(3) ? from.from(1, std::min<index>(3, size[n])) : 1;
    grid.window[n] = from.from(1, std::min<index>(size[n] / grid.dilation[n], N == 3 ? 5 : 13));
    grid.stride[n] = from.chance(2) ? from.from(1, grid.window[n]) : 1;
    grid.causal[n] = from.chance(4);
  }
  return grid;
}

}  // namespace heed::test
