// SPDX-License-Identifier: BSL-1.0
// What a selective scan is given, and what is wrong with it.
#pragma once

#include <heed/core/check.hpp>
#include <heed/recurrence/sequences.hpp>
#include <heed/recurrence/state.hpp>

namespace heed {

// S6, the recurrence of Mamba (Gu and Dao 2023): every channel c has a state h of N numbers,
//
//   Δ_t = δ_t + bias, or its softplus;   h_t = exp(Δ_t A_c) ⊙ h_{t-1} + Δ_t u_t B_t
//   y_t = C_t·h_t + D_c u_t, times SiLU(z_t) where a gate is given
//
// Δ A <= 0 in use, down to minus infinity, where the past is forgotten. Exponents above 88 (float)
// or 709 are taken as that.
struct selective_scan {
  operand a;             // A [1,1,C,N]
  operand d{};           // D [1,1,1,C], or nothing
  operand delta_bias{};  // [1,1,1,C], or nothing
  bool softplus = false;
  operand gate{};        // z [B,1,L,C], or nothing
  bool reverse = false;  // from the last token to the first; bidirectional use is two scans
  // Sequences packed end to end in a batch of 1, as offsets from 0 to L; empty: one a batch item.
  std::span<const int> cu_seqlens{};

  struct gradient {
    result a{}, d{}, delta_bias{}, gate{};  // of the shape of what they belong to
  };
};

namespace detail {

struct selective_problem {
  const selective_scan& spec;
  operand u, delta, b, c;

  index tokens() const { return u.extent[2]; }
  index channels() const { return u.extent[3]; }
  index states() const { return b.extent[3]; }
  index groups() const { return b.extent[1]; }
  sequence_list sequences() const { return {u.extent[0], tokens(), spec.cu_seqlens, spec.reverse}; }
  // h of a channel is a row.
  state_format format() const {
    return {.kind = "mamba", .heads = 1, .rows = channels(), .columns = states()};
  }
};

inline void check_selective(const char* operation, const selective_problem& p) {
  const auto broken = [&](const char* rule) {
    check::fail(operation, rule,
                {{"u", p.u},
                 {"delta", p.delta},
                 {"b", p.b},
                 {"c", p.c},
                 {"a", p.spec.a},
                 {"d", p.spec.d},
                 {"delta_bias", p.spec.delta_bias},
                 {"gate", p.spec.gate}});
  };
  const extents &u = p.u.extent, &b = p.b.extent;
  for (std::size_t i = 0; i < 4; ++i)
    if (u[i] < 0 || b[i] < 0) broken("extents must not be negative");
  if (u[1] != 1) broken("u must be [B,1,L,C]");
  if (p.delta.extent != u) broken("delta must have the shape of u");
  if (p.c.extent != b) broken("b and c must have the same shape");
  if (b[0] != u[0] || b[2] != u[2]) broken("b and c must have the batch and the length of u");
  if (b[1] < 1 || u[3] % b[1] != 0) broken("channels must be a multiple of the heads of b and c");
  if (b[3] < 1) broken("there must be at least one state a channel");
  if (p.spec.a.extent != extents{1, 1, u[3], b[3]}) broken("a must be [1,1,C,N]");
  const extents row{1, 1, 1, u[3]};
  if (p.spec.d.present() && p.spec.d.extent != row) broken("d must be [1,1,1,C]");
  if (p.spec.delta_bias.present() && p.spec.delta_bias.extent != row)
    broken("delta_bias must be [1,1,1,C]");
  if (p.spec.gate.present() && p.spec.gate.extent != u) broken("the gate must have the shape of u");
  if (u[3] > 0 && !p.spec.a.present()) broken("a must not be null");
  if (u[0] * u[2] * u[3] > 0 &&
      !(p.u.present() && p.delta.present() && p.b.present() && p.c.present()))
    broken("u, delta, b and c must not be null");
  p.sequences().check(operation);
}

// A result: of the shape of what it belongs to.
inline void check_like(const char* operation, const char* name, const result& x,
                       const char* like_name, const operand& like) {
  if (x.extent != like.extent)
    check::fail(operation, std::string(name) + " must have the shape of " + like_name,
                {{name, operand(x)}, {like_name, like}});
}

// Some channels of one group, worked on together.
struct channel_block {
  index first = 0, count = 0, group = 0;
};
struct channel_blocks {
  index channels = 0, groups = 1, most = 1;

  index of_group() const { return channels / groups; }
  index per_group() const { return (of_group() + most - 1) / most; }
  index count() const { return groups * per_group(); }
  channel_block operator[](index i) const {
    const index g = i / per_group(), first = i % per_group() * most;
    return {g * of_group() + first, std::min(most, of_group() - first), g};
  }
};

}  // namespace detail

}  // namespace heed
