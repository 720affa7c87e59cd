// SPDX-License-Identifier: BSL-1.0
// What the kernels over stored rows share: how many queries at once, and asking for memory.
#pragma once

#include <cstdint>
#include <heed/kv/stored.hpp>
#include <heed/simd/shape.hpp>
#include <heed/simd/widen.hpp>
#include <type_traits>

namespace heed::simd::detail {

// A hint: the line `ahead` bytes from p, which may be anywhere, will be read.
HEED_INLINE void ask([[maybe_unused]] const void* p, [[maybe_unused]] std::intptr_t ahead) {
#if defined(__GNUC__)
  asm volatile("");  // else g++ drops the call: see `prefetch`
  const auto at = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead);
  __builtin_prefetch(reinterpret_cast<const void*>(at));  // NOLINT: of another object, maybe
#endif
}

// Slices of a row that share a line ask for it once.
template <class S> std::intptr_t ahead_at(index channel, std::intptr_t ahead) {
  return channel * index(sizeof(S)) % 64 == 0 ? ahead : 0;
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
