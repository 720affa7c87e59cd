// SPDX-License-Identifier: BSL-1.0
// What a recurrence forgets: `none`, or a policy that names its logarithms. Engines multiply what
// exp makes of them, never divide and never take an exponent of a difference, so a decay of exactly
// 0 or 1 is as good as any.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>

namespace heed {

enum class decay_kind { none, scalar, channel };

template <class D>
concept decay = std::is_same_v<D, none> || requires(const D& d) {
  { D::kind } -> std::convertible_to<decay_kind>;
  { d.log } -> std::convertible_to<operand>;  // broadcasts to [B,H,L,1] or [B,H,L,Dk]
};

template <class D> constexpr decay_kind kind_of_decay() {
  if constexpr (std::is_same_v<D, none>)
    return decay_kind::none;
  else
    return D::kind;
}
// Whether a gain comes with it, and a running maximum in the state.
template <class D> inline constexpr bool has_gain = requires(const D& d) { d.gain; };

}  // namespace heed
