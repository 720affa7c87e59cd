// SPDX-License-Identifier: BSL-1.0
// What a short convolution is given, and what is wrong with it.
#pragma once

#include <heed/core/check.hpp>
#include <heed/recurrence/sequences.hpp>
#include <heed/recurrence/state.hpp>

namespace heed {

// Causal convolution along the tokens, each channel with a few weights of its own, as before q, k
// and v of linear attention (Fu et al. 2022; Gu and Dao 2023; Arora et al. 2024):
//
//   y_t = bias + Σ_j w_j x_{t-K+1+j}, j < K, or its SiLU
//
// The last weight meets the token itself. The state is the last K - 1 inputs, oldest first: for
// every head a matrix [K-1 × D].
struct short_conv {
  operand weight;  // w [1,H|1,D,K]; heads may share it
  operand bias{};  // [1,H|1,1,D], or nothing
  bool silu = false;
  // Sequences packed end to end in a batch of 1, as offsets from 0 to L; empty: one a batch item.
  std::span<const int> cu_seqlens{};

  struct gradient {
    result weight{}, bias{};  // of the shape of what they belong to
  };
};

namespace detail {

struct short_conv_problem {
  const short_conv& spec;
  operand x;

  index heads() const { return x.extent[1]; }
  index tokens() const { return x.extent[2]; }
  index channels() const { return x.extent[3]; }
  index width() const { return spec.weight.extent[3]; }
  sequence_list sequences() const { return {x.extent[0], tokens(), spec.cu_seqlens}; }
  state_format format() const {
    return {.kind = "short_conv", .heads = heads(), .rows = width() - 1, .columns = channels()};
  }
};

inline void check_short_conv(const char* operation, const short_conv_problem& p) {
  const auto broken = [&](const char* rule) {
    check::fail(operation, rule, {{"x", p.x}, {"weight", p.spec.weight}, {"bias", p.spec.bias}});
  };
  const extents &x = p.x.extent, &w = p.spec.weight.extent, &b = p.spec.bias.extent;
  for (std::size_t i = 0; i < 4; ++i)
    if (x[i] < 0) broken("extents must not be negative");
  if (w[0] != 1 || (w[1] != 1 && w[1] != x[1]) || w[2] != x[3] || w[3] < 1)
    broken("weight must be [1,H|1,D,K], K at least 1");
  if (p.spec.bias.present() &&
      (b[0] != 1 || (b[1] != 1 && b[1] != x[1]) || b[2] != 1 || b[3] != x[3]))
    broken("bias must be [1,H|1,1,D]");
  if (x[1] * x[3] > 0 && !p.spec.weight.present()) broken("weight must not be null");
  if (x[0] * x[1] * x[2] * x[3] > 0 && !p.x.present()) broken("x must not be null");
  p.sequences().check(operation);
}

}  // namespace detail

}  // namespace heed
