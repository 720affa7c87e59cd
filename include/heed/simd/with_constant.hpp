// SPDX-License-Identifier: BSL-1.0
// A small number that is known at run time as one that the compiler knows.
#pragma once

#include <heed/simd/compiler.hpp>
#include <type_traits>

namespace heed::simd::detail {

// f(std::integral_constant<int, n>{}) for n in [1, Most].
template <int Most, class F> HEED_INLINE void with_constant(index n, const F& f) {
  if constexpr (Most > 1)
    if (n < Most) return with_constant<Most - 1>(n, f);
  f(std::integral_constant<int, Most>{});
}

}  // namespace heed::simd::detail
