// SPDX-License-Identifier: BSL-1.0
// What compilers are told where they would not find it themselves: which loops to unroll, what to
// inline, what to leave in a register, and which memory to ask for. Hints only: without them
// everything computes the same.
#pragma once

#include <cstdint>
#include <heed/core/position.hpp>
#include <type_traits>

// Loops of constant trip count are unrolled whole, the others by four: users compile with -O2.
#if defined(__clang__)
#define HEED_UNROLL _Pragma("clang loop unroll(full)")
#define HEED_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#elif defined(__GNUC__)
#define HEED_UNROLL _Pragma("GCC unroll 16")
#define HEED_UNROLL_4 _Pragma("GCC unroll 4")
#else
#define HEED_UNROLL
#define HEED_UNROLL_4
#endif
#if defined(__GNUC__)
#define HEED_NOINLINE __attribute__((noinline))
#define HEED_INLINE inline __attribute__((always_inline))
#define HEED_INLINE_LAMBDA __attribute__((always_inline))
#else
#define HEED_NOINLINE
#define HEED_INLINE inline
#define HEED_INLINE_LAMBDA
#endif

namespace heed::simd {

// Keeps a loaded vector in its register: g++ otherwise folds the load into every multiply that
// uses it.
template <class B> HEED_INLINE void keep([[maybe_unused]] B& b) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
  if constexpr (std::is_class_v<B>) asm("" : "+v"(b.data));
#endif
}
// Keeps an address in one register: g++ otherwise computes it anew for every element at a constant
// distance from it, in more registers than there are.
template <class T> HEED_INLINE void keep_address([[maybe_unused]] T*& p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
}
// Keeps accumulations in the order written: clang otherwise overlaps two broadcasts, which is one
// register more than 4 × 3 vectors leave, and spills an accumulator in the inner loop.
template <class B> HEED_INLINE void in_order([[maybe_unused]] B& b) {
#if defined(__clang__) && defined(__x86_64__)
  if constexpr (std::is_class_v<B>) asm volatile("" : "+v"(b.data));
#endif
}

// Asks for all lines of `bytes` bytes, to L1 or, of locality 2, to L2.
template <int Locality = 3>
void prefetch([[maybe_unused]] const void* p, [[maybe_unused]] index bytes) {
#if defined(__GNUC__)
  // g++ takes a function that only prefetches for one without effect, and drops calls of it.
  asm volatile("");
  const char* const first = static_cast<const char*>(p);
  for (index i = 0; i < bytes; i += 64) __builtin_prefetch(first + i, 0, Locality);
  // An unaligned start makes one line more.
  if (bytes > 0 && reinterpret_cast<std::uintptr_t>(first) % 64 != 0)
    __builtin_prefetch(first + bytes - 1, 0, Locality);
#endif
}

}  // namespace heed::simd
