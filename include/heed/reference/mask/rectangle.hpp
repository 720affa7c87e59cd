// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/mask/where.hpp>

namespace heed::reference::mask {

/// Rows [row_begin, row_end) by columns [column_begin, column_end), in positions.
struct block {
  index row_begin, row_end, column_begin, column_end;
};

/// j ≤ i ∨ (i, j) in any of the rectangles (AKI: modality-mutual attention lets image rows see the
/// question columns), query row r at i = r + offset.
inline allowed rectangle(index lq, index lk, const std::vector<block>& blocks, index offset) {
  return where(lq, lk, offset, [&](index i, index j) {
    bool inside = j <= i;
    for (const block& b : blocks)
      inside =
          inside || (b.row_begin <= i && i < b.row_end && b.column_begin <= j && j < b.column_end);
    return inside;
  });
}

/// Bottom-right: i = r + Lk − Lq.
inline allowed rectangle(index lq, index lk, const std::vector<block>& blocks) {
  return rectangle(lq, lk, blocks, bottom_right(lq, lk));
}

}  // namespace heed::reference::mask
