// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>

namespace heed::reference::mask {

/// Bottom-right alignment: query row r sits at position i = r + Lk − Lq, the last row at the last
/// key.
inline index bottom_right(index lq, index lk) { return lk - lq; }

/// (r, j) is allowed where f(i, j) holds; query row r sits at position i = r + offset, key j at j.
template <class F> allowed where(index lq, index lk, index offset, F f) {
  allowed a(lq, lk);
  for (index r = 0; r < lq; ++r)
    for (index j = 0; j < lk; ++j) a(r, j) = f(r + offset, j);
  return a;
}

/// The same with bottom-right alignment.
template <class F> allowed where(index lq, index lk, F f) {
  return where(lq, lk, bottom_right(lq, lk), f);
}

}  // namespace heed::reference::mask
