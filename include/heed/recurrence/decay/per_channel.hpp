// SPDX-License-Identifier: BSL-1.0
// decay of one number a token, head and key channel: S_t = diag(α_t) S_{t-1} + …, given as log α
// [B,H,L,Dk]; constant over tokens where L is 1. GLA (Yang et al. 2023), HGRN2, RWKV-5/6, KDA.
#pragma once

#include <heed/recurrence/decay/concept.hpp>

namespace heed {

struct channel_decay {
  operand log;  // [B|1, H|1, L|1, Dk], <= 0; minus infinity forgets
  static constexpr const char* name = "channel decay";
  static constexpr decay_kind kind = decay_kind::channel;
};

}  // namespace heed
