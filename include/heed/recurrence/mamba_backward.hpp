// SPDX-License-Identifier: BSL-1.0
// Gradients of the selective scan of recurrence/mamba.
//
//   scan_backward(spec, u, delta, b, c, before, d_out, d_state,
//                 {.du = du, .ddelta = ddelta, .db = db, .dc = dc, .spec = {.a = da, .d = dd}})
#pragma once

#include <heed/recurrence/mamba.hpp>
#include <heed/recurrence/mamba_reverse.hpp>

namespace heed {

namespace detail {

inline void check_selective_gradients(const selective_problem& p, const operand& d_out,
                                      const selective_scan_gradients& to) {
  constexpr const char* operation = "heed::scan_backward";
  if (d_out.extent != p.u.extent)
    check::fail(operation, "d_out must have the shape of u", {{"d_out", d_out}, {"u", p.u}});
  if (p.u.extent[0] * p.tokens() * p.channels() > 0 && !d_out.present())
    check::fail(operation, "d_out must not be null", {{"d_out", d_out}});
  const auto like = [&](const char* name, const result& x, const char* of, const operand& table) {
    if (x.present()) check_like(operation, name, x, of, table);
  };
  like("du", to.du, "u", p.u), like("ddelta", to.ddelta, "delta", p.delta);
  like("db", to.db, "b", p.b), like("dc", to.dc, "c", p.c);
  like("da", to.spec.a, "a", p.spec.a);
  like("dd", to.spec.d, "d", p.spec.d);
  like("ddelta_bias", to.spec.delta_bias, "delta_bias", p.spec.delta_bias);
  like("dgate", to.spec.gate, "gate", p.spec.gate);
}

template <class T, class Arch>
HEED_NOINLINE void selective_backward_any(const selective_problem& p,
                                          const recurrent_state<T>& before, const operand& d_out,
                                          recurrent_state<T>& d_state,
                                          const selective_scan_gradients& to,
                                          const executor_ref& executor,
                                          const workspace_ref& scratch) {
  constexpr const char* operation = "heed::scan_backward";
  check_selective(operation, p);
  check_selective_gradients(p, d_out, to);
  const index sequences = p.sequences().count();
  check_state(operation, before, p.format(), sequences);
  claim_state(operation, d_state, p.format(), sequences);
  workspace own;
  selective_backward<T, Arch>(p, before.empty() ? nullptr : &before, d_out, d_state, to)
      .run(executor, scratch.scratch ? *scratch.scratch : own);
}

}  // namespace detail

// With L any function of what `scan` gives, d_out = dL/dout and d_state = dL/d(last state), empty
// for none: writes the gradients asked for, and leaves dL/d(first state) in d_state. `before` is
// the state that the scan started from (empty: zeros). Nothing is divided by a decay, so that
// decays of 0 and 1 have finite gradients. Throws std::invalid_argument, before anything is
// written. Same bits for any executor. About three times the time of `scan`.
template <class Arch = simd::best, storable U, storable D, storable B, storable C>
void scan_backward(const selective_scan& spec, const view<U>& u, const view<D>& delta,
                   const view<B>& b, const view<C>& c,
                   const std::type_identity_t<recurrent_state<compute_type<U, D, B, C>>>& before,
                   const operand& d_out,
                   std::type_identity_t<recurrent_state<compute_type<U, D, B, C>>>& d_state,
                   const selective_scan_gradients& to, const executor_ref& executor = {},
                   const workspace_ref& scratch = {}) {
  const detail::selective_problem p{spec, view<const U>(u), view<const D>(delta), view<const B>(b),
                                    view<const C>(c)};
  detail::selective_backward_any<compute_type<U, D, B, C>, Arch>(p, before, d_out, d_state, to,
                                                                 executor, scratch);
}
// From nothing, where L does not see the last state.
template <class Arch = simd::best, storable U, storable D, storable B, storable C>
void scan_backward(const selective_scan& spec, const view<U>& u, const view<D>& delta,
                   const view<B>& b, const view<C>& c, const operand& d_out,
                   const selective_scan_gradients& to, const executor_ref& executor = {},
                   const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<U, D, B, C>> d_state;
  scan_backward<Arch>(spec, u, delta, b, c, {}, d_out, d_state, to, executor, scratch);
}

}  // namespace heed
