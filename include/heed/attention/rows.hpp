// SPDX-License-Identifier: BSL-1.0
// Rows of queries or keys as the similarity wants them: converted, transformed, rewritten.
#pragma once

#include <heed/simd/pack.hpp>

namespace heed::detail {

// `count` rows of consecutive positions, the first at `at`, to rows `width` apart; `at.row` counts
// from the start of the tensor. `read(row, out)` gives the `depth` channels of a row,
// `rewrite(row, at)` makes `width` of them.
template <class Arch, class T, class Read, class F, class Rewrite>
void load_rows(const Read& read, index depth, const F& transform, row_position at, index count,
               index width, T* out, const Rewrite& rewrite) {
  // Few at a time, that they stay in L1 from one pass to the next. A row that becomes narrower
  // reaches into the next until it is rewritten.
  const index most = width < depth ? 1 : 16;
  for (index some; count > 0; count -= some, at.pos += some, at.row += some, out += some * width) {
    some = std::min(most, count);
    for (index i = 0; i < some; ++i) read(at.row + i, out + i * width);
    simd::transform_rows<Arch>(transform, out, width, some, depth, at);
    for (index i = 0; i < some; ++i)
      rewrite(out + i * width, row_position{at.b, at.h, at.pos + i, at.row + i});
  }
}

}  // namespace heed::detail
