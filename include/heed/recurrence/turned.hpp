// SPDX-License-Identifier: BSL-1.0
// A table [channel][number] of the caller's as kernels with lanes of channels read it.
#pragma once

#include <heed/simd/convert.hpp>
#include <heed/simd/transpose.hpp>

namespace heed::detail {

// out[number][lane] = factor · table(head, first + lane, number), zeros up to whole vectors of
// lanes. `rows` has room for the numbers, in case they must be converted.
template <class T, class Arch>
void load_turned(const operand& table, index head, index first, index count, T factor, T* rows,
                 T* out, index pitch) {
  const index numbers = table.extent[3];
  if (table.type == element_of<T>::value && table.stride[3] == 1 && count > 0)
    return simd::to_lanes<T, Arch>(static_cast<const T*>(table.row(0, head, first)),
                                   table.stride[2], count, numbers, factor, out, pitch);
  for (index i = 0; i < count; ++i)
    simd::load_row(table.type, table.row(0, head, first + i), table.stride[3], numbers,
                   rows + i * numbers);
  simd::to_lanes<T, Arch>(rows, numbers, count, numbers, factor, out, pitch);
}

}  // namespace heed::detail
