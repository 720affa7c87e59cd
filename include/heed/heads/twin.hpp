// SPDX-License-Identifier: BSL-1.0
// Rows of two maps over the same tokens: those of the first and those of the second.
//
//   twin{q1, q2}            two tensors [B,H,L,D]
//   twin_heads(q)           one [B,2H,L,D], heads 2h and 2h + 1
//   twin_channels(q)        one [B,H,L,2D], the first D channels and the others
#pragma once

#include <heed/core/check.hpp>

namespace heed {

template <class X> struct twin {
  X first{}, second{};

  template <class Y>
    requires std::is_convertible_v<const X&, Y>
  operator twin<Y>() const {  // NOLINT: views are operands
    return {first, second};
  }
};
template <class X> twin(X, X) -> twin<X>;

template <class T> twin<view<T>> twin_heads(const view<T>& x) {
  if (x.extent[1] % 2 != 0)
    check::fail("heed::twin_heads", "heads must come in pairs", {{"x", view<const T>(x)}});
  twin<view<T>> to{x, x};
  for (view<T>* half : {&to.first, &to.second}) half->extent[1] /= 2, half->stride[1] *= 2;
  if (to.second.data && x.extent[1] > 0) to.second.data += x.stride[1];
  return to;
}
template <class T> twin<view<T>> twin_channels(const view<T>& x) {
  if (x.extent[3] % 2 != 0)
    check::fail("heed::twin_channels", "channels must come in two halves",
                {{"x", view<const T>(x)}});
  const index half = x.extent[3] / 2;
  return {x.slice_channels(0, half), x.slice_channels(half, half)};
}

}  // namespace heed
