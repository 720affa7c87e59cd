// SPDX-License-Identifier: BSL-1.0
// recurrence/short_conv: a causal convolution of few weights a channel, as scan and as one step.
//
//   scan(short_conv{.weight = as<"LD">(W), .silu = true}, x, y, state)
//
// x, out [B,H,L,D], for channels without heads [B,1,L,C]; weights [D,K], or [H,D,K].
// H3, Fu et al. 2022.
#pragma once

#include <heed/recurrence/short_conv_forward.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void short_conv_any(const char* operation, const short_conv_problem& p,
                                  const result& out, recurrent_state<T>& state,
                                  const executor_ref& executor, const workspace_ref& scratch) {
  check_short_conv(operation, p);
  const extents& e = p.x.extent;
  if (out.extent != e)
    check::fail(operation, "out must have the shape of x", {{"x", p.x}, {"out", operand(out)}});
  if (e[0] * e[1] * e[2] * e[3] > 0 && !out.present())
    check::fail(operation, "out must not be null", {{"out", operand(out)}});
  claim_state(operation, state, p.format(), p.sequences().count());
  workspace own;
  short_conv_forward<T, Arch>(p, out, state)
      .run(executor, scratch.scratch ? *scratch.scratch : own);
}

}  // namespace detail

// y of every token. `state` comes with the inputs before the first token (empty: zeros) and leaves
// with the last ones; a sequence may be split anywhere, for the same bits. Computes in float, or in
// double if x is double. `out` must not overlap x. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or the state does not fit. 2 K
// flops a number of x.
template <class Arch = simd::best, storable X>
void scan(const short_conv& spec, const view<X>& x, const std::type_identity_t<result>& out,
          std::type_identity_t<recurrent_state<compute_type<X>>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::short_conv_problem p{spec, view<const X>(x)};
  detail::short_conv_any<compute_type<X>, Arch>("heed::scan", p, out, state, executor, scratch);
}
template <class Arch = simd::best, storable X>
void scan(const short_conv& spec, const view<X>& x, const std::type_identity_t<result>& out,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<X>> state;
  scan<Arch>(spec, x, out, state, executor, scratch);
}

// One token of every sequence: L is 1, and nothing is packed.
template <class Arch = simd::best, storable X>
void step(const short_conv& spec, const view<X>& x, const std::type_identity_t<result>& out,
          std::type_identity_t<recurrent_state<compute_type<X>>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::short_conv_problem p{spec, view<const X>(x)};
  if (x.extent[2] != 1 || !spec.cu_seqlens.empty())
    check::fail("heed::step", "a step takes one token of every batch item, and nothing packed",
                {{"x", p.x}});
  detail::short_conv_any<compute_type<X>, Arch>("heed::step", p, out, state, executor, scratch);
}

}  // namespace heed
