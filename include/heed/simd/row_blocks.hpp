// SPDX-License-Identifier: BSL-1.0
// What the kernels over stored rows share: how many queries at once, and asking for the next tile.
#pragma once

#include <cstdint>
#include <heed/kv/stored.hpp>
#include <heed/simd/shape.hpp>
#include <heed/simd/widen.hpp>
#include <type_traits>

namespace heed::simd::detail {

// The lines of the next tile, one at (row, byte); null where there is none. Rows that lie together
// are asked for in the order of memory, whatever order the kernel reads its own in: a memory
// controller is faster at that.
struct ahead_of {
  const unsigned char* at = nullptr;
  index row = 0, byte = 1;  // bytes from row to row, and for a byte

  HEED_INLINE void ask([[maybe_unused]] index r, [[maybe_unused]] index b) const {
#if defined(__GNUC__)
    asm volatile("");  // else g++ drops the call: see `prefetch`
    __builtin_prefetch(at + r * row + b * byte);
#endif
  }
};
// For blocks of `rows` rows, all bytes of a block before the next block.
inline ahead_of by_blocks(const unsigned char* next, index stride, index bytes, index rows) {
  return stride == bytes ? ahead_of{next, 64, rows} : ahead_of{next, stride, 1};
}
// For slices of `width` bytes from `byte` on, all rows of a slice before the next slice.
inline ahead_of by_slices(const unsigned char* next, index stride, index bytes, index rows,
                          index byte, index width) {
  if (!next) return {};
  return stride == bytes ? ahead_of{next + byte * rows, width, 1}
                         : ahead_of{next + byte, stride, 1};
}

// f(blocks of 4 and of 1 rows, first row). Two rows one by one take no longer than together: either
// way two loads a cycle are the bound.
template <class F> HEED_INLINE void for_row_blocks(index rows, const F& f) {
  index r = 0;
  for (; r + 4 <= rows; r += 4) f(std::integral_constant<int, 4>{}, r);
  for (; r < rows; ++r) f(std::integral_constant<int, 1>{}, r);
}

// f(an element of the type of the rows)
template <class T, class F> HEED_INLINE void for_stored_type(kv_type type, const F& f) {
  if constexpr (std::is_same_v<T, float>) {
    if (type == kv_type::f16) return f(half{});
    if (type == kv_type::bf16) return f(bfloat{});
  }
  f(T{});
}

}  // namespace heed::simd::detail
