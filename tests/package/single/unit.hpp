// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "heed.hpp"  // made by cmake/amalgamate.cmake: no other header of heed is in reach

#include <cmath>
#include <vector>

// Attention and linear attention of the same tokens, instantiated in each unit.
inline std::vector<float> attend_and_scan() {
  const heed::extents shape{1, 2, 37, 20};
  const std::size_t size = 2 * 37 * 20;
  std::vector<float> x(size), out(2 * size);
  for (std::size_t i = 0; i < size; ++i) x[i] = std::sin(static_cast<float>(i));
  const heed::view<const float> in(x.data(), shape);
  heed::attend(heed::attention{.mask = heed::causal{}}, in, in, in,
               heed::view<float>(out.data(), shape));
  heed::recurrent_state<float> state;
  heed::scan(heed::recurrences::linear(), in, in, in, heed::view<float>(out.data() + size, shape),
             state);
  return out;
}
