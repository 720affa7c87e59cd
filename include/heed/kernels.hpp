// SPDX-License-Identifier: BSL-1.0
// The kernels that depend on no policy, compiled once for a program instead of once for each of its
// sources, which then take half as long. Nobody has to: without this header every source compiles
// what it uses.
//
//   #include <heed/kernels.hpp>       // in each source that includes heed
//
//   #define HEED_COMPILE_KERNELS      // and in one
//   #include <heed/kernels.hpp>
//
// All sources must be compiled for the same instruction set.
#pragma once

#include <heed/attention/hide.hpp>
#include <heed/kv/load.hpp>
#include <heed/simd/integer_tile.hpp>
#include <heed/simd/listed_lanes.hpp>
#include <heed/simd/listed_tile.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/product.hpp>
#include <heed/simd/rotate.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/sincos.hpp>
#include <heed/simd/tile.hpp>
#include <heed/simd/transpose.hpp>

#if defined(HEED_COMPILE_KERNELS)
#define HEED_KERNEL template
#else
#define HEED_KERNEL extern template
#endif

// clang-format off
#define HEED_KERNELS_OF(T)                                                                         \
  namespace simd {                                                                                 \
  HEED_KERNEL void scores<T, best>(index, const T*, index, index, const T*, index, index, T*,      \
                                   index, bool);                                                   \
  HEED_KERNEL void scores<T, best>(index, const T*, index, index, const T*, index, index, T*);     \
  HEED_KERNEL void accumulate<T, best>(index, const T*, index, index, const T*, index, index,      \
                                       index, T*);                                                 \
  HEED_KERNEL void accumulate_selected<T, best>(index, const T*, index, index, const T*, index,    \
                                                index, index, T*);                                 \
  HEED_KERNEL void row_scores<T, best>(const stored_rows&, index, const T*, index, index, index,   \
                                       T*, index, std::intptr_t);                                  \
  HEED_KERNEL void row_accumulate<T, best>(const stored_rows&, index, const T*, index, index,      \
                                           index, T*, index, std::intptr_t);                       \
  HEED_KERNEL void row_accumulate_selected<T, best>(const stored_rows&, index, const T*, index,    \
                                                    index, index, T*, index);                      \
  HEED_KERNEL void listed_scores<T, best>(index, const T*, index, const index*, index, const T*,   \
                                          index, index, T*);                                       \
  HEED_KERNEL void listed_accumulate<T, best>(index, const T*, index, index, const T*, index,      \
                                              const index*, index, T*);                            \
  HEED_KERNEL void listed_accumulate_selected<T, best>(index, const T*, index, index, const T*,    \
                                                       index, const index*, index, T*);            \
  HEED_KERNEL void listed_to_lanes<T, best>(const T*, index, const index*, index, index, T, T*,    \
                                            index);                                                \
  HEED_KERNEL void listed_from_lanes<T, best>(const T*, index, const index*, index, index,         \
                                              const T*, T*, index);                                \
  HEED_KERNEL void product<T, best>(index, index, std::initializer_list<term<T>>, target<T>);      \
  HEED_KERNEL void solve_lower<T, best>(index, index, const T*, index, T*, index);                 \
  HEED_KERNEL void to_lanes<T, best>(const T*, index, index, index, T, T*, index);                 \
  HEED_KERNEL void from_lanes<T, best>(const T*, index, index, index, const T*, T*, index);        \
  HEED_KERNEL void pack_values<best, T>(const T*, index, index, index, index, T*);                 \
  HEED_KERNEL bool all_finite_vectors<T, best>(const T*, index, index, index);                     \
  HEED_KERNEL void load_row<T>(element, const void*, index, index, T*);                            \
  HEED_KERNEL void store_row<T>(element, const T*, index, void*, index);                           \
  HEED_KERNEL void sincos<T, best>(double, const double*, index, double, T*, T*);                  \
  HEED_KERNEL void rotate<T, best>(T*, T*, index, index, const T*, const T*);                      \
  }                                                                                                \
  namespace detail {                                                                               \
  HEED_KERNEL void mask_lanes<simd::best, T>(const lane_intervals&, index, index, span, T*,        \
                                             index);                                               \
  }                                                                                                \
  HEED_KERNEL void load_stored<T>(const stored_rows&, index, index, T*);

namespace heed {

HEED_KERNELS_OF(float)
HEED_KERNELS_OF(double)

namespace simd {
HEED_KERNEL void integer_scores<best>(const stored_rows&, index, const std::int16_t*, index,
                                      const float*, index, index, float*, index, std::intptr_t);
HEED_KERNEL void integer_accumulate<best>(const stored_rows&, index, const float*, index, index,
                                          index, float*, index, std::intptr_t);
HEED_KERNEL float quantize_row<best>(const float*, index, int, std::int16_t*);
}  // namespace simd

}  // namespace heed
// clang-format on

#undef HEED_KERNELS_OF
#undef HEED_KERNEL
