// SPDX-License-Identifier: BSL-1.0
// The contracts of `row_tile.hpp` and `integer_tile.hpp` in plain loops, summed in double: what the
// micro-kernels are tested against.
#pragma once

#include <heed/kv/stored.hpp>
#include <heed/simd/convert.hpp>

namespace heed::simd::plain {

// Codes are i8 with one scale a row.
inline double stored_element(const stored_rows& rows, index j, index c) {
  double x, scale;
  const auto at = [&](element e) { return rows.data + j * rows.stride + c * size_of(e); };
  if (rows.type == kv_type::i8) {
    const stored_rows row = rows.from(j);
    load_row(rows.scale_type, row.scales, 1, 1, &scale);
    return scale * static_cast<std::int8_t>(row.data[c]);
  }
  load_row(static_cast<element>(rows.type), at(static_cast<element>(rows.type)), 1, 1, &x);
  return x;
}

template <class T>
void row_scores(const stored_rows& k, index keys, const T* q, index q_stride, index rows,
                index depth, T* s, index s_pitch) {
  for (index r = 0; r < rows; ++r)
    for (index j = 0; j < keys; ++j) {
      double sum = 0;
      for (index c = 0; c < depth; ++c)
        sum += double(q[r * q_stride + c]) * stored_element(k, j, c);
      s[r * s_pitch + j] = static_cast<T>(sum);
    }
}

template <class T>
void row_accumulate(const stored_rows& v, index keys, const T* p, index p_pitch, index rows,
                    index channels, T* o, index o_stride) {
  for (index r = 0; r < rows; ++r)
    for (index d = 0; d < channels; ++d) {
      double sum = double(o[r * o_stride + d]);
      for (index j = 0; j < keys; ++j) sum += double(p[r * p_pitch + j]) * stored_element(v, j, d);
      o[r * o_stride + d] = static_cast<T>(sum);
    }
}

}  // namespace heed::simd::plain
