// SPDX-License-Identifier: BSL-1.0
// local/dynamic_depthwise: a depthwise convolution on a grid, whose kernels depend on the input.
//
//   convolve(dynamic_depthwise{{Y, X}, as<"BHDD">(kernels)}, as<"BLLD">(x), as<"BLLD">(out))
//   convolve(dynamic_depthwise{{Y, X}, as<"BLLHDD">(kernels)}, …)      // involution
//
// x, out [B,Y,X,C]; a kernel for every sample and channel, [B,C,k,k] (ATConv), or for every
// position and group of channels, [B,Y,X,G,k,k] (Li et al., Involution, 2021).
#pragma once

#include <heed/local/dynamic_convolution.hpp>

namespace heed {

// y[p,c] = Σ_j κ_j x[p + j - (k-1)/2, c], j over k × k taps, of kernel c / (C / G); what lies
// beyond the grid is left out. k is odd. With λ, κ - σ(λ_g) mean κ takes the place of κ.
struct dynamic_depthwise {
  std::array<index, 2> size{};  // Y, X
  operand weight;               // κ [B|1,G,1|Y·X,k·k]
  operand lambda{};             // λ [1,G,1,1], as<"H">, or nothing

  struct gradient {
    result weight{}, lambda{};  // of the shape of what they belong to
  };
};

namespace detail {

inline local_problem local_of(const char* operation, const dynamic_depthwise& spec,
                              const operand& x) {
  const index k = odd_side(operation, spec.weight);
  local_problem p{.operation = operation,
                  .x = x,
                  .weight = spec.weight,
                  .size = spec.size,
                  .taps = {k, k},
                  .left = {k / 2, k / 2},
                  .share = spec.lambda};
  if (spec.lambda.present()) p.rule = weighting::less_mean;
  check_local(p);
  return p;
}

}  // namespace detail

// Computes in float, or in double if x is double. `out` must not overlap x. Same bits for any
// executor. Throws std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable X>
void convolve(const dynamic_depthwise& spec, const view<X>& x,
              const std::type_identity_t<result>& out, const executor_ref& executor = {},
              const workspace_ref& scratch = {}) {
  detail::convolve_any<compute_type<X>, Arch>(
      detail::local_of("heed::convolve", spec, view<const X>(x)), out, executor, scratch);
}

}  // namespace heed
