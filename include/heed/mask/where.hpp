// SPDX-License-Identifier: BSL-1.0
// mask/where: any predicate of the position.
//
//   where([](const heed::position& at) { return (at.q - at.k) % 2 == 0; })
//   x.x.
//   .x.x
//   x.x.
//   .x.x
//
// A lambda that takes a `position` is asked per element. A lambda that takes `auto at` is asked for
// a batch of queries against one key: at.q is then a SIMD batch, at.k a number of the same value
// type, and the answer a flag a lane or one bool for all; its body must compile for both, so
// compare with the batch on the left: at.q >= at.k. Nothing is skipped: bound the predicate with
// masks that have spans, causal{} && where(…). Must be pure and thread-safe. FlexAttention, Dong et
// al. 2024.
#pragma once

#include <heed/mask/concept.hpp>
#include <utility>

namespace heed {

template <class F>
  requires std::is_invocable_r_v<bool, const F&, const position&>
class where {
 public:
  constexpr explicit where(F allowed) : allowed_(std::move(allowed)) {}

  static constexpr bool exact = false;
  constexpr bool operator()(const position& at) const { return allowed_(at); }
  template <class At>
    requires std::is_invocable_v<const F&, const At&>
  auto vector(const At& at) const {
    return lanewise(at, allowed_(at));
  }

 private:
  F allowed_;
};

}  // namespace heed
