// SPDX-License-Identifier: BSL-1.0
// The contracts of `tile.hpp` in plain loops: what the micro-kernels are tested against.
#pragma once

#include <heed/core/position.hpp>

namespace heed::simd::plain {

template <class T>
void scores(index lanes, const T* key, index stride, index keys, const T* q, index pitch,
            index depth, T* s) {
  for (index j = 0; j < keys; ++j)
    for (index lane = 0; lane < lanes; ++lane) {
      T sum = 0;
      for (index c = 0; c < depth; ++c) sum += key[j * stride + c] * q[c * pitch + lane];
      s[j * pitch + lane] = sum;
    }
}

template <class T>
void accumulate(index lanes, const T* p, index pitch, index keys, const T* v, index stride,
                index block, index channels, T* o) {
  for (index d = 0; d < channels; ++d)
    for (index lane = 0; lane < lanes; ++lane)
      for (index j = 0; j < keys; ++j)
        o[d * pitch + lane] += v[d / 4 * block + j * stride + d % 4] * p[j * pitch + lane];
}

}  // namespace heed::simd::plain
