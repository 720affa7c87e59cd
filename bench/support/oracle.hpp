// SPDX-License-Identifier: BSL-1.0
// The last rows of a call by the definition in double: what a case checks itself against where all
// rows would take minutes.
#pragma once

#include "calls.hpp"

#include <heed/reference/attend.hpp>

namespace bench {

inline constexpr index checked_rows = 8;

// Pairs that the mask leaves, of all heads.
inline double pairs(const shape& form) {
  const auto n = static_cast<double>(form.queries), heads = static_cast<double>(form.heads);
  return heads * (form.mask == masking::causal ? n * (n + 1) / 2 : n * n);
}

// [heads][row][channel]
template <class Spec>
buffer<float> last_rows(const Spec& spec, const heed::view<const float>& q,
                        const heed::view<const float>& k, const heed::view<const float>& v) {
  const index rows = std::min(checked_rows, q.extent[2]);
  buffer<float> out(static_cast<std::size_t>(q.extent[1] * rows * v.extent[3]));
  heed::reference::attend(spec, q.slice_rows(q.extent[2] - rows, rows), k, v,
                          heads_outside(out.data(), 1, q.extent[1], rows, v.extent[3]));
  return out;
}

inline void compare(const char* who, double got, double want) {
  if (!(std::abs(got - want) <= 1e-4 * (1 + std::abs(want))))
    fail(std::string(who) + " is wrong: " + std::to_string(got) + " instead of " +
         std::to_string(want));
}
inline void compare_last_rows(const char* who, const heed::view<float>& got,
                              const buffer<float>& want) {
  const index rows = std::min(checked_rows, got.extent[2]), d = got.extent[3];
  for (index i = 0; i < got.extent[1] * rows; ++i)
    for (index c = 0; c < d; ++c)
      compare(who, got(0, i / rows, got.extent[2] - rows + i % rows, c),
              want[static_cast<std::size_t>(i * d + c)]);
}

}  // namespace bench
