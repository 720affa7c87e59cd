// SPDX-License-Identifier: BSL-1.0
// heed::scan_backward: gradients of `scan` by everything it is given.
#pragma once

#include <heed/recurrence/backward.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed {

namespace detail {

// `segment`: chunks between kept states, chosen if 0; no result depends on it but by rounding.
template <class T, class Arch, class Spec>
HEED_NOINLINE void scan_backward_any(const Spec& spec, const operand& q, const operand& k,
                                     const operand& v, const recurrent_state<T>* initial,
                                     const operand& d_out, const recurrent_state<T>* d_final,
                                     const scan_gradients<T>& to, const executor_ref& executor,
                                     const workspace_ref& scratch, index segment = 0) {
  constexpr const char* operation = "heed::scan_backward";
  result out;
  out.data = &out, out.type = d_out.type;  // never touched
  out.extent = {q.extent[0], std::max({q.extent[1], k.extent[1], v.extent[1]}), q.extent[2],
                v.extent[3]};
  recurrence_problem p = checked_recurrence(operation, spec, q, k, v, out);
  if (d_out.extent != p.out.extent ||
      (!d_out.present() && out.extent[0] * out.extent[2] * out.extent[3] > 0))
    check::fail(operation, "d_out must have the shape of the output",
                {{"d_out", d_out}, {"output", operand(out)}});
  if constexpr (gated<Spec>) {
    bool cancels = std::is_same_v<readout_of<Spec>, bounded_readout>;
    if constexpr (requires { spec.readout.epsilon; }) cancels = spec.readout.epsilon == 0;
    if (!cancels)
      check::fail(
          operation,
          "gradients of an exponential gate need a readout that its running maximum cancels "
          "from: bounded, or normalised without epsilon");
  }
  const state_format format = format_of<Spec>(p);
  check_state(operation, "the initial state", initial, format, p.list.count());
  check_state(operation, "the gradient by the final state", d_final, format, p.list.count());
  if (to.d_initial_state)
    check_state(operation, "the gradient by the initial state", to.d_initial_state, format,
                p.list.count());
  gradient_targets<T> targets = checked_gradients<T>(operation, spec, p, to);

  const auto given = [](const recurrent_state<T>* s) { return s && !s->empty() ? s : nullptr; };
  initial = given(initial), d_final = given(d_final);
  if (to.d_initial_state) {
    if (to.d_initial_state->empty())
      *to.d_initial_state = recurrent_state<T>(format, p.list.count());
  }
  using loop = chunk_backward<T, Arch, Spec>;
  const index most = loop::tokens_at_once(spec);
  arena_size size, shared;
  loop(spec, p, d_out, targets, most, segment, size);
  targets.for_each([&](gradient_rows<T>& x) { x.take(shared); });
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers(), size.bytes());
  memory.shared().reserve(shared.bytes());
  targets.for_each([&](gradient_rows<T>& x) { x.take(memory.shared()), x.start(); });

  executor.for_each(p.list.count() * p.heads, [&](index task, index worker) {
    arena& from = memory.worker(worker);
    from.reserve(0);
    const token_run s = p.list[task / p.heads];
    const index h = task % p.heads;
    loop(spec, p, d_out, targets, most, segment, from)
        .run(s, h, initial ? initial->head(s.id, h) : nullptr, initial ? initial->tokens(s.id) : 0,
             d_final ? d_final->head(s.id, h) : nullptr,
             to.d_initial_state ? to.d_initial_state->head(s.id, h) : nullptr);
  });
  targets.for_each([&](gradient_rows<T>& x) { x.finish(executor); });
}

}  // namespace detail

// With L any function of `scan(spec, q, k, v, out, state)`, d_out = dL/d_out and d_final_state =
// dL/d(the last state), or null, writes dL by q, k, v, by what the policies were given and by
// `initial_state` (the state that scan was given, or null: the zero state).
//   scan_backward(spec, q, k, v, nullptr, d_out, nullptr, {.dq = dq, .dk = dk, .dv = dv})
// A gradient has the shape of what it belongs to; an axis of extent 1 is summed over. Computes as
// scan does; same bits for any executor. Finite for decays of 0 and 1: by the logarithm of a decay
// of 0 it is 0. States of an exponential gate are taken for S e^m, whatever m: of d_final_state the
// number by m is not read, in d_initial_state it is that of scaling the state.
// Throws std::invalid_argument, before anything is written, if shapes or policies do not fit.
// An exponential gate needs a readout that its running maximum cancels from.
// About three times the work of scan; scratch of at least 64 states a thread where there are as
// many chunks, growing with the root of the length, and a copy of a gradient whose heads are
// shared.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void scan_backward(
    const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
    const std::type_identity_t<recurrent_state<compute_type<Q, K, V>>>* initial_state,
    const operand& d_out,
    const std::type_identity_t<recurrent_state<compute_type<Q, K, V>>>* d_final_state,
    const std::type_identity_t<scan_gradients<compute_type<Q, K, V>>>& to,
    executor_ref executor = {}, workspace_ref scratch = {}) {
  detail::scan_backward_any<compute_type<Q, K, V>, Arch>(spec, view<const Q>(q), view<const K>(k),
                                                         view<const V>(v), initial_state, d_out,
                                                         d_final_state, to, executor, scratch);
}

}  // namespace heed
