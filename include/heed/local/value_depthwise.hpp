// SPDX-License-Identifier: BSL-1.0
// local/value_depthwise: a depthwise convolution of the values on their grid, added to what
// attention gave (LePE; Dong et al., CSWin Transformer, 2022).
//
//   attend(attention{…}, q, k, v, out);
//   add_convolution(value_depthwise{{Y, X}, as<"HDD">(W), as<"H">(bias)}, v, out);
//
// v, out [B,H,Y·X,D], an image [B,Y,X,H,D] as<"BLLHD">; weights [H·D,k,k], k odd, bias [H·D].
#pragma once

#include <heed/local/dynamic_convolution.hpp>

namespace heed {

struct value_depthwise {
  std::array<index, 2> size{};  // Y, X
  operand weight;               // [1,H·D,1,k·k]
  operand bias{};               // [1,H·D,1,1], or nothing

  struct gradient {
    result weight{}, bias{};  // of the shape of what they belong to
  };
};

namespace detail {

inline local_problem local_of(const char* operation, const value_depthwise& spec,
                              const operand& v) {
  const index k = odd_side(operation, spec.weight);
  local_problem p{.operation = operation,
                  .x = v,
                  .weight = spec.weight,
                  .size = spec.size,
                  .taps = {k, k},
                  .left = {k / 2, k / 2},
                  .bias = spec.bias,
                  .add = true};
  check_local(p);
  const extents& w = spec.weight.extent;
  if (w[0] != 1 || w[1] != p.channels() || w[2] != 1)
    check::fail(operation, "weights must be [1,H*D,1,k*k]", {{"x", v}, {"weight", spec.weight}});
  return p;
}

}  // namespace detail

// out += bias + Σ_j w_j v[p + j - (k-1)/2] for every channel; what lies beyond the grid is left
// out. Computes in float, or in double if v is double. `out` must not overlap v. Same bits for any
// executor. Throws std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable V>
void add_convolution(const value_depthwise& spec, const view<V>& v,
                     const std::type_identity_t<result>& out, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  detail::convolve_any<compute_type<V>, Arch>(
      detail::local_of("heed::add_convolution", spec, view<const V>(v)), out, executor, scratch);
}

}  // namespace heed
