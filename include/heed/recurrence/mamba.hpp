// SPDX-License-Identifier: BSL-1.0
// recurrence/mamba: the selective scan of S6, as scan and as one step.
//
//   scan(selective_scan{.a = as<"LD">(A), .d = as<"D">(D), .softplus = true}, u, delta, b, c, y,
//        state)
//
// u, delta, out [B,1,L,C]; b, c [B,G,L,N], C a multiple of G, neighbouring channels sharing one.
// Mamba, Gu and Dao 2023.
#pragma once

#include <heed/recurrence/mamba_forward.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void selective_scan_any(const char* operation, const selective_problem& p,
                                      const result& out, recurrent_state<T>& state,
                                      const executor_ref& executor, const workspace_ref& scratch) {
  check_selective(operation, p);
  check_like(operation, "out", out, "u", p.u);
  if (p.tokens() * p.channels() * p.u.extent[0] > 0 && !out.present())
    check::fail(operation, "out must not be null", {{"out", operand(out)}});
  claim_state(operation, state, p.format(), p.sequences().count());
  workspace own;
  selective_forward<T, Arch>(p, out, state).run(executor, scratch.scratch ? *scratch.scratch : own);
}

}  // namespace detail

// y of every token. `state` comes with what was before the first token (empty: nothing) and leaves
// with what is after the last; a sequence may be split anywhere, for the same bits. Computes in
// float, or in double if u, delta, b and c are double. `out` must not overlap what is read. Same
// bits for any executor. Throws std::invalid_argument, before anything is written, if a shape or
// the state does not fit. O(L · C · N), dominated by as many exponentials.
template <class Arch = simd::best, storable U, storable D, storable B, storable C>
void scan(const selective_scan& spec, const view<U>& u, const view<D>& delta, const view<B>& b,
          const view<C>& c, const std::type_identity_t<result>& out,
          std::type_identity_t<recurrent_state<compute_type<U, D, B, C>>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::selective_problem p{spec, view<const U>(u), view<const D>(delta), view<const B>(b),
                                    view<const C>(c)};
  detail::selective_scan_any<compute_type<U, D, B, C>, Arch>("heed::scan", p, out, state, executor,
                                                             scratch);
}
// From nothing, and what is left is not wanted.
template <class Arch = simd::best, storable U, storable D, storable B, storable C>
void scan(const selective_scan& spec, const view<U>& u, const view<D>& delta, const view<B>& b,
          const view<C>& c, const std::type_identity_t<result>& out,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<U, D, B, C>> state;
  scan<Arch>(spec, u, delta, b, c, out, state, executor, scratch);
}

// One token of every sequence: L is 1, and nothing is packed.
template <class Arch = simd::best, storable U, storable D, storable B, storable C>
void step(const selective_scan& spec, const view<U>& u, const view<D>& delta, const view<B>& b,
          const view<C>& c, const std::type_identity_t<result>& out,
          std::type_identity_t<recurrent_state<compute_type<U, D, B, C>>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::selective_problem p{spec, view<const U>(u), view<const D>(delta), view<const B>(b),
                                    view<const C>(c)};
  if (u.extent[2] != 1 || !spec.cu_seqlens.empty())
    check::fail("heed::step", "a step takes one token of every batch item, and nothing packed",
                {{"u", p.u}});
  detail::selective_scan_any<compute_type<U, D, B, C>, Arch>("heed::step", p, out, state, executor,
                                                             scratch);
}

}  // namespace heed
