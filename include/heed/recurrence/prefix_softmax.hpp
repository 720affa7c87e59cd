// SPDX-License-Identifier: BSL-1.0
// recurrence/prefix_softmax: attention of one fixed query over every prefix, in memory that does
// not grow. Aaren (Feng et al. 2024, Attention as an RNN):
//
//   o_t = Σ_{j<=t} e^{s_j} v_j / Σ_{j<=t} e^{s_j} = w_t / u_t
//   m_t = max(m_{t-1}, s_t),  f_t = e^{m_{t-1} - m_t},  p_t = e^{s_t - m_t}
//   u_t = f_t u_{t-1} + p_t,  w_t = f_t w_{t-1} + p_t v_t
//
// Of f_t and p_t one is 1, so a token costs one exponential. The maximum is that of the prefix, not
// of a block of tokens: a block's would underflow what comes before its largest logit. A token of
// weight 0 (a logit of minus infinity, or far below the maximum) takes no part, whatever its v
// holds; a row that saw nothing is 0.
//
// State: w [1 × Dv], then u and m.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/recurrence/prefix_weights.hpp>
#include <heed/recurrence/rows.hpp>
#include <heed/recurrence/sequences.hpp>
#include <heed/recurrence/state.hpp>

namespace heed {

struct prefix_softmax {
  // Sequences packed end to end in a batch of 1, as offsets from 0 to L; empty: one a batch item.
  std::span<const int> cu_seqlens{};
  // A call is (s, v, out), which <heed/eigen.hpp> must not take for (q, k, v).
  static constexpr bool has_no_queries = true;
};

namespace detail {

inline void check_prefix_softmax(const char* operation, const operand& s, const operand& v,
                                 const operand& out, const char* out_name,
                                 const sequence_list& list) {
  const auto broken = [&](const char* rule) {
    check::fail(operation, rule, {{"s", s}, {"v", v}, {out_name, out}});
  };
  for (std::size_t i = 0; i < 4; ++i)
    if (s.extent[i] < 0 || v.extent[i] < 0) broken("extents must not be negative");
  if (s.extent != extents{v.extent[0], v.extent[1], v.extent[2], 1})
    broken("s must be [B,H,L] where v is [B,H,L,Dv]");
  if (out.extent != v.extent) broken("v and the output must have the same extents");
  if (v.extent[0] * v.extent[1] * v.extent[2] > 0 &&
      (!s.present() || (v.extent[3] > 0 && (!v.present() || !out.present()))))
    broken("operands must not be null");
  list.check(operation);
}

inline state_format prefix_format(const operand& v) {
  return {.kind = "prefix_softmax",
          .heads = v.extent[1],
          .rows = 1,
          .columns = v.extent[3],
          .side = 2,
          .logarithm = true};
}

template <class T, class Arch>
HEED_NOINLINE void prefix_softmax_any(const char* operation, const prefix_softmax& spec,
                                      const operand& s, const operand& v, const result& out,
                                      recurrent_state<T>& state, const executor_ref& executor,
                                      const workspace_ref& scratch) {
  using weights = prefix_weights<T, Arch>;
  constexpr index block = weights::block, part = 256;  // channels of a task
  const sequence_list list{v.extent[0], v.extent[2], spec.cu_seqlens};
  check_prefix_softmax(operation, s, v, out, "out", list);
  claim_state(operation, state, prefix_format(v), list.count());
  const index H = v.extent[1], depth = v.extent[3];
  const index parts = std::max<index>(1, (depth + part - 1) / part);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  // The parts of a head all start from its u and m, and the first one writes them.
  arena& shared = memory.shared();
  shared.reserve(std::size_t(aligned_bytes(2 * list.count() * H, sizeof(T))));
  T* const before = shared.take<T>(2 * list.count() * H);
  for (index i = 0; i < list.count(); ++i)
    for (index h = 0; h < H; ++h) std::copy_n(state.side(i, h), 2, before + 2 * (i * H + h));
  executor.for_each(list.count() * H * parts, [&](index task, index worker) {
    const index c = task % parts * part, h = task / parts % H, i = task / parts / H;
    const index width = std::min(part, depth - c);
    const auto at = list[i];
    arena& a = memory.worker(worker);
    a.reserve(2 * std::size_t(aligned_bytes(block * part, sizeof(T))));
    T *const staged = a.take<T>(block * part), *const finished = a.take<T>(block * part);
    T u = before[2 * (i * H + h)], m = before[2 * (i * H + h) + 1], logit[block];
    T* const w = state.head(i, h) + c;
    const auto element = [&](const auto& x, index l) {
      using byte = typename std::remove_cvref_t<decltype(x)>::byte;
      return static_cast<byte*>(x.row(at.b, h, at.first + l)) + c * x.stride[3] * size_of(x.type);
    };
    const bool v_there = simd::stored_as<T>(v), out_there = simd::stored_as<T>(out);
    weights now;
    for (index l = 0, some; l < at.length; l += some) {
      some = std::min(block, at.length - l);
      simd::load_row(s.type, s.row(at.b, h, at.first + l), s.stride[2], some, logit);
      now.absorb(logit, some, u, m);
      if (!v_there)
        for (index t = 0; t < some; ++t)
          simd::load_row(v.type, element(v, l + t), v.stride[3], width, staged + t * part);
      now.rows(some, v_there ? reinterpret_cast<const T*>(element(v, l)) : staged,
               v_there ? v.stride[2] : part, width, w,
               out_there ? reinterpret_cast<T*>(element(out, l)) : finished,
               out_there ? out.stride[2] : part);
      if (!out_there)
        for (index t = 0; t < some; ++t)
          simd::store_row(out.type, finished + t * part, width, element(out, l + t), out.stride[3]);
    }
    if (c == 0) state.side(i, h)[0] = u, state.side(i, h)[1] = m;
  });
  list.add_tokens(state);
}

}  // namespace detail

// s [B,H,L] logits, v [B,H,L,Dv], out [B,H,L,Dv]. Starts from `state` and leaves in it the state
// after the last token; an empty one becomes that of no token. Split a sequence anywhere and carry
// the state: the same bits. Same bits for any executor. O(L · Dv). Throws std::invalid_argument,
// before anything is written, if a shape or the state does not fit.
template <class Arch = simd::best, storable S, storable V, storable O>
  requires(!std::is_const_v<O>)
void scan(const prefix_softmax& spec, const view<S>& s, const view<V>& v, const view<O>& out,
          recurrent_state<compute_type<S, V>>& state, const executor_ref& executor = {},
          const workspace_ref& scratch = {}) {
  detail::prefix_softmax_any<compute_type<S, V>, Arch>("heed::scan(prefix_softmax)", spec,
                                                       view<const S>(s), view<const V>(v), out,
                                                       state, executor, scratch);
}
template <class Arch = simd::best, storable S, storable V, storable O>
  requires(!std::is_const_v<O>)
void scan(const prefix_softmax& spec, const view<S>& s, const view<V>& v, const view<O>& out,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<S, V>> state;
  scan<Arch>(spec, s, v, out, state, executor, scratch);
}

// The same: a scan is one token after the other.
template <class Arch = simd::best, storable S, storable V, storable O>
  requires(!std::is_const_v<O>)
void step(const prefix_softmax& spec, const view<S>& s, const view<V>& v, const view<O>& out,
          recurrent_state<compute_type<S, V>>& state, const executor_ref& executor = {},
          const workspace_ref& scratch = {}) {
  detail::prefix_softmax_any<compute_type<S, V>, Arch>("heed::step(prefix_softmax)", spec,
                                                       view<const S>(s), view<const V>(v), out,
                                                       state, executor, scratch);
}

}  // namespace heed
