// SPDX-License-Identifier: BSL-1.0
// The gradient of an observer that returns sums of weights: number n of a row is the sum of the
// weights of some keys.
#pragma once

#include <heed/observe/lanes.hpp>

namespace heed::detail {

// dL/dp_ij = g of each number that key j counts to, g as what the observer returned; of the call
// that it saw last. It has `name`, the result `to_` [B,H,Lq,n], the numbers `kept_`, and
//   each_number(tile, f)   f(number, key of the tile) wherever a key counts to a number
template <class Observer> class kept_gradient final : public observed_gradient {
 public:
  kept_gradient(const Observer& seen, const operand& g)
      : seen_(seen), g_(Observer::name, g, seen.to_.extent) {}

  void add(const tile& at, const float*, float* dp) const override { each(at, dp); }
  void add(const tile& at, const double*, double* dp) const override { each(at, dp); }
  double delta(const row_position& at) const override { return g_.dot(at, seen_.kept_); }

 private:
  template <class T> void each(const tile& at, T* dp) const {
    seen_.each_number(at, [&](index i, index j) { g_.add(at, i, dp + j * at.pitch); });
  }

  const Observer& seen_;
  row_gradients g_;
};

}  // namespace heed::detail
