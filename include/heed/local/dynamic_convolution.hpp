// SPDX-License-Identifier: BSL-1.0
// local/dynamic_convolution: a convolution of few weights a head along the tokens.
//
//   convolve(dynamic_convolution{.weight = as<"HD">(W)}, as<"BLD">(x), as<"BLD">(out))
//   convolve(dynamic_convolution{.weight = as<"BLHD">(W), .causal = true}, …)
//
// x, out [B,L,C], or with heads apart [B,H,L,D]. Decoding: `step`, with the last k - 1 rows.
#pragma once

#include <heed/local/forward.hpp>
#include <heed/recurrence/state.hpp>

namespace heed {

// Wu et al., Pay Less Attention with Lightweight and Dynamic Convolutions, 2019; the gated linear
// unit before it is the caller's.
//
//   y_tc = Σ_j w_hj x_{t+j-(k-1)/2, c}    or, causal, x_{t+j-(k-1), c}
//
// Channel c of all C belongs to head c / (C / H). Tokens before the first and after the last one
// are left out, after the softmax.
struct dynamic_convolution {
  operand weight;       // [1,H,1,k] for all tokens (lightweight), or [B|1,H,L,k], a kernel for each
  bool softmax = true;  // over the k weights
  bool causal = false;

  struct gradient {
    result weight{};  // of the shape of the weights
  };
};

namespace detail {

inline local_problem local_of(const char* operation, const dynamic_convolution& spec,
                              const operand& x) {
  const index k = spec.weight.extent[3];
  local_problem p{.operation = operation,
                  .x = x,
                  .weight = spec.weight,
                  .size = {1, x.extent[2]},
                  .taps = {1, k},
                  .left = {0, spec.causal ? k - 1 : (k - 1) / 2}};
  if (spec.softmax) p.rule = weighting::softmax;
  check_local(p);
  return p;
}

template <class T, class Arch>
HEED_NOINLINE void convolve_any(const local_problem& p, const result& out,
                                const executor_ref& executor, const workspace_ref& scratch) {
  check_rows(p, "out", out);
  workspace own;
  local_forward<T, Arch>(p, out).run(executor, scratch.scratch ? *scratch.scratch : own);
}

template <class T, class Arch>
HEED_NOINLINE void convolve_on(const local_problem& p, const result& out, recurrent_state<T>& state,
                               const executor_ref& executor, const workspace_ref& scratch) {
  if (p.left[1] != p.taps[1] - 1)
    check::fail(p.operation, "only a causal convolution has a state", {{"x", p.x}});
  check_rows(p, "out", out);
  const index rows = p.taps[1] - 1, n = p.tokens();
  claim_state(
      p.operation, state,
      {.kind = "dynamic_convolution", .heads = p.heads(), .rows = rows, .columns = p.depth()},
      p.batch());
  workspace own;
  const bool some = rows > 0 && p.batch() * p.channels() > 0;
  local_forward<T, Arch>(p, out, some ? operand(state.matrices()) : operand())
      .run(executor, scratch.scratch ? *scratch.scratch : own);
  const index kept = std::max<index>(rows - n, 0);  // of a short call only some are new
  for (index b = 0; b < p.batch(); ++b) {
    for (index h = 0; h < p.heads() && some; ++h) {
      T* const to = state.head(b, h);
      std::copy_n(to + (rows - kept) * p.depth(), kept * p.depth(), to);
      for (index i = kept; i < rows; ++i)
        simd::load_row(p.x.type, p.x.row(b, h, n - rows + i), p.x.stride[3], p.depth(),
                       to + i * p.depth());
    }
    state.tokens(b) += n;
  }
}

}  // namespace detail

// Computes in float, or in double if x is double. `out` must not overlap x. Same bits for any
// executor. Throws std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable X>
void convolve(const dynamic_convolution& spec, const view<X>& x,
              const std::type_identity_t<result>& out, const executor_ref& executor = {},
              const workspace_ref& scratch = {}) {
  detail::convolve_any<compute_type<X>, Arch>(
      detail::local_of("heed::convolve", spec, view<const X>(x)), out, executor, scratch);
}

// Causal, piece by piece: `state` comes with the k - 1 rows before x (empty: zeros) and leaves with
// the last ones. A sequence may be split anywhere, for the same bits; weights of tokens are those
// of the piece.
template <class Arch = simd::best, storable X>
void convolve(const dynamic_convolution& spec, const view<X>& x,
              const std::type_identity_t<result>& out,
              std::type_identity_t<recurrent_state<compute_type<X>>>& state,
              const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::convolve_on<compute_type<X>, Arch>(
      detail::local_of("heed::convolve", spec, view<const X>(x)), out, state, executor, scratch);
}

// One token of every sequence, in O(k) a channel.
template <class Arch = simd::best, storable X>
void step(const dynamic_convolution& spec, const view<X>& x,
          const std::type_identity_t<result>& out,
          std::type_identity_t<recurrent_state<compute_type<X>>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::local_problem p = detail::local_of("heed::step", spec, view<const X>(x));
  if (x.extent[2] != 1)
    check::fail("heed::step", "a step takes one token of every batch item", {{"x", p.x}});
  detail::convolve_on<compute_type<X>, Arch>(p, out, state, executor, scratch);
}

}  // namespace heed
