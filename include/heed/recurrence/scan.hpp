// SPDX-License-Identifier: BSL-1.0
// heed::scan and heed::step: the front of every recurrence that the chunk loop runs.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/recurrence/chunk.hpp>

namespace heed {

namespace detail {

template <class T, class Arch, class Spec>
HEED_NOINLINE void scan_any(const char* operation, bool by_token, const Spec& spec,
                            const operand& q, const operand& k, const operand& v, const result& out,
                            recurrent_state<T>* carried, const executor_ref& executor,
                            const workspace_ref& scratch) {
  const recurrence_problem p = checked_recurrence(operation, spec, q, k, v, out);
  recurrent_state<T> zero;
  recurrent_state<T>& state = carried ? *carried : zero;
  claim_state(operation, state, format_of<Spec>(p), p.list.count());
  using loop = chunk_loop<T, Arch, Spec>;
  const index most = by_token ? 1 : loop::tokens_at_once(spec, p.width);
  arena_size size;
  loop(spec, p, most, size);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers(), size.bytes());
  executor.for_each(p.list.count() * p.heads, [&](index task, index worker) {
    arena& from = memory.worker(worker);
    from.reserve(0);
    const token_run s = p.list[task / p.heads];
    loop(spec, p, most, from)
        .run(s, task % p.heads, state.head(s.id, task % p.heads), state.tokens(s.id));
  });
  p.list.add_tokens(state);
}

}  // namespace detail

// All tokens of each sequence, from `state` on, which moves to where they end.
//   q [B,Hq,L,D], k [B,Hk,L,D], v [B,Hv,L,Dv], out [B,H,L,Dv]; the state has max(Hk, Hv) heads, the
//   output max(Hq, Hk, Hv), and of two unequal numbers of heads the larger is a multiple of the
//   other. With cu_seqlens B is 1, and the state has one entry a sequence.
// Computes in float, or in double if q, k and v are double. An empty state becomes the zero state;
// one call of scan equals any number of calls on consecutive pieces, up to rounding. Same bits for
// any executor. What a token holds, NaN included, never reaches an earlier one.
// Throws std::invalid_argument, before anything is written, if shapes or policies do not fit or the
// state is of another recurrence. O(L · Dk · Dv); scratch of one chunk and one state a thread.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V, storable Out>
void scan(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<Out>& out, recurrent_state<compute_type<Q, K, V>>& state,
          executor_ref executor = {}, workspace_ref scratch = {}) {
  detail::scan_any<compute_type<Q, K, V>, Arch>("heed::scan", false, spec, q, k, v, out, &state,
                                                executor, scratch);
}
// The same from the zero state on; the last state is dropped.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V, storable Out>
void scan(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<Out>& out, executor_ref executor = {}, workspace_ref scratch = {}) {
  detail::scan_any<compute_type<Q, K, V>, Arch>("heed::scan", false, spec, q, k, v, out, nullptr,
                                                executor, scratch);
}

// scan by the token form, the definition: one token after the other. For decoding; contract of
// scan.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V, storable Out>
void step(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<Out>& out, recurrent_state<compute_type<Q, K, V>>& state,
          executor_ref executor = {}, workspace_ref scratch = {}) {
  detail::scan_any<compute_type<Q, K, V>, Arch>("heed::step", true, spec, q, k, v, out, &state,
                                                executor, scratch);
}

}  // namespace heed
