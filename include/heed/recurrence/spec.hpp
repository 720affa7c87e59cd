// SPDX-License-Identifier: BSL-1.0
// heed::recurrence: one kind of linear attention, as a plain aggregate of policies. Its token form
// is the definition (`step`):
//
//   q, k = scale · feature(q), feature(k)
//   S ← decay(S);   S ← update(S, k, v);   o = readout(S, q)          S [Dk × Dv] for every head
//
// Designators keep the order of the members: recurrence{.decay = scalar_decay{log}, .update = …}.
#pragma once

#include <heed/recurrence/decay/concept.hpp>
#include <heed/recurrence/readout/direct.hpp>
#include <heed/recurrence/update/additive.hpp>
#include <span>

namespace heed {

template <class Feature = none, decay Decay = none, class Update = additive_update,
          class Readout = direct_readout>
struct recurrence {
  Feature feature{};  // row transform of q and of k; may change how many channels they have
  Decay decay{};
  Update update{};
  Readout readout{};
  double scale = 1;  // of q, after its feature
  // false: every token reads the state after the last one. For recurrences that do not forget and
  // only add.
  bool causal = true;
  // Sequences packed end to end in a batch of 1, as offsets from 0 to L; empty: one a batch item.
  std::span<const int> cu_seqlens{};
  // Tokens worked on at once, 0: chosen. Changes rounding, never the meaning.
  index chunk = 0;
};

}  // namespace heed
