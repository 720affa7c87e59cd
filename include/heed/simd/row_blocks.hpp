// SPDX-License-Identifier: BSL-1.0
// What the kernels over stored rows share: how many queries at once, and asking for the next tile.
#pragma once

#include <cstdint>
#include <heed/kv/stored.hpp>
#include <heed/simd/shape.hpp>
#include <type_traits>

namespace heed::simd::detail {

// From a row of this tile to that of the next one, bytes; 0 where there is none.
inline std::intptr_t distance(const void* from, const void* to) {
  return to ? static_cast<std::intptr_t>(reinterpret_cast<std::uintptr_t>(to) -
                                         reinterpret_cast<std::uintptr_t>(from))
            : 0;
}
HEED_INLINE void ask([[maybe_unused]] const void* p, [[maybe_unused]] std::intptr_t ahead) {
#if defined(__GNUC__)
  asm volatile("");  // else g++ drops the call: see `prefetch`
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) +
                                                   static_cast<std::uintptr_t>(ahead)));
#endif
}

// f(blocks of 4, 2, 1 rows, first row)
template <class F> HEED_INLINE void for_row_blocks(index rows, const F& f) {
  index r = 0;
  for (; r + 4 <= rows; r += 4) f(std::integral_constant<int, 4>{}, r);
  if (r + 2 <= rows) f(std::integral_constant<int, 2>{}, r), r += 2;
  if (r < rows) f(std::integral_constant<int, 1>{}, r);
}

}  // namespace heed::simd::detail
