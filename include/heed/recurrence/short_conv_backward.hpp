// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/short_conv.
//
//   scan_backward(spec, x, before, d_out, d_state, {.dx = dx, .spec = {.weight = dw, .bias = db}})
#pragma once

#include <heed/recurrence/short_conv.hpp>
#include <heed/recurrence/short_conv_reverse.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void short_conv_backward_any(const short_conv_problem& p,
                                           const recurrent_state<T>& before, const operand& d_out,
                                           recurrent_state<T>& d_state,
                                           const short_conv_gradients& to,
                                           const executor_ref& executor,
                                           const workspace_ref& scratch) {
  constexpr const char* operation = "heed::scan_backward";
  check_short_conv(operation, p);
  const auto like = [&](const char* name, const operand& x, const char* of, const operand& table) {
    if (x.extent != table.extent)
      check::fail(operation, std::string(name) + " must have the shape of " + of,
                  {{name, x}, {of, table}});
  };
  like("d_out", d_out, "x", p.x);
  const extents& e = p.x.extent;
  if (e[0] * e[1] * e[2] * e[3] > 0 && !d_out.present())
    check::fail(operation, "d_out must not be null", {{"d_out", d_out}});
  if (to.dx.present()) like("dx", to.dx, "x", p.x);
  if (to.spec.weight.present()) like("dweight", to.spec.weight, "weight", p.spec.weight);
  if (to.spec.bias.present()) like("dbias", to.spec.bias, "bias", p.spec.bias);
  const index sequences = p.sequences().count();
  check_state(operation, before, p.format(), sequences);
  claim_state(operation, d_state, p.format(), sequences);
  workspace own;
  short_conv_backward<T, Arch>(p, before.empty() ? nullptr : &before, d_out, d_state, to)
      .run(executor, scratch.scratch ? *scratch.scratch : own);
}

}  // namespace detail

// With L any function of what `scan` gives, d_out = dL/dout and d_state = dL/d(last state), empty
// for none: writes the gradients asked for, and leaves dL/d(first state) in d_state. `before` is
// the state that the scan started from (empty: zeros). Throws std::invalid_argument, before
// anything is written. Same bits for any executor.
template <class Arch = simd::best, storable X>
void scan_backward(const short_conv& spec, const view<X>& x,
                   const std::type_identity_t<recurrent_state<compute_type<X>>>& before,
                   const operand& d_out,
                   std::type_identity_t<recurrent_state<compute_type<X>>>& d_state,
                   const short_conv_gradients& to, const executor_ref& executor = {},
                   const workspace_ref& scratch = {}) {
  const detail::short_conv_problem p{spec, view<const X>(x)};
  detail::short_conv_backward_any<compute_type<X>, Arch>(p, before, d_out, d_state, to, executor,
                                                         scratch);
}
// From zeros, where L does not see the last state.
template <class Arch = simd::best, storable X>
void scan_backward(const short_conv& spec, const view<X>& x, const operand& d_out,
                   const short_conv_gradients& to, const executor_ref& executor = {},
                   const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<X>> d_state;
  scan_backward<Arch>(spec, x, {}, d_out, d_state, to, executor, scratch);
}

}  // namespace heed
