// SPDX-License-Identifier: BSL-1.0
// recurrence/titans with a linear memory M [Dk × Dv], M(x) = Mᵀx: gradient descent with momentum on
// what the memory gets wrong (Behrouz et al. 2024, Titans). For token t of a chunk that M_c
// precedes:
//
//   u_t = ∇_M ‖M_cᵀ k_t - v_t‖² = 2 k_t (M_cᵀ k_t - v_t)ᵀ
//   S_t = η_t S_{t-1} - θ_t u_t
//   M_t = (1 - a_t) M_{t-1} + S_t,   y_t = M_tᵀ q_t
//
// The 2 is the paper's: θ is not halved.
//
// The chunk is part of the definition: a longer one is another recurrence, and a cheaper one.
// Chunks are counted from a sequence's first token, and a sequence may be split anywhere, inside a
// chunk too: the state has M above S above M_c, [3 Dk × Dv], of which a chunk of 1 needs the first
// two.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/executor.hpp>
#include <heed/recurrence/rows.hpp>
#include <heed/recurrence/sequences.hpp>
#include <heed/recurrence/state.hpp>
#include <heed/recurrence/titans_block.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct titans {
  operand log_momentum{};  // log η     [B|1, H|1, L|1, 1], <= 0; minus infinity: no momentum
  operand log_keep{};      // log (1-a) [B|1, H|1, L|1, 1], <= 0; minus infinity: forgets all
  operand rate{};          // θ         [B|1, H|1, L|1, 1]
  index chunk = 1;         // tokens whose gradients are those of one memory
  // Sequences packed end to end in a batch of 1, as offsets from 0 to L; empty: one a batch item.
  std::span<const int> cu_seqlens{};
};

namespace detail {

struct titans_call {
  const titans& spec;
  operand q, k, v;
  sequence_list list;

  titans_call(const titans& s, const operand& q_, const operand& k_, const operand& v_)
      : spec(s), q(q_), k(k_), v(v_), list{v_.extent[0], v_.extent[2], s.cu_seqlens} {}

  index depth() const { return k.extent[3]; }
  index heads() const { return k.extent[1]; }
  state_format format() const {
    return {.kind = "titans, chunk " + std::to_string(spec.chunk),
            .heads = heads(),
            .rows = (spec.chunk == 1 ? 2 : 3) * depth(),
            .columns = v.extent[3]};
  }
  void check(const char* operation, const operand& out, const char* name) const {
    const auto broken = [&](const char* rule) {
      check::fail(operation, rule, {{"q", q}, {"k", k}, {"v", v}, {name, out}});
    };
    const extents &x = k.extent, &y = v.extent;
    for (std::size_t i = 0; i < 4; ++i)
      if (x[i] < 0 || y[i] < 0) broken("extents must not be negative");
    if (q.extent != x) broken("q and k must have the same extents");
    if (x[0] != y[0] || x[1] != y[1] || x[2] != y[2])
      broken("k and v must have the same batch, heads and length");
    if (out.extent != y) broken("v and the output must have the same extents");
    if (x[3] == 0) broken("q and k must have at least one channel");
    if (x[0] * x[1] * x[2] > 0 &&
        (!q.present() || !k.present() || (y[3] > 0 && (!v.present() || !out.present()))))
      broken("operands must not be null");
    if (spec.chunk < 1)
      check::fail(operation, "the chunk must be positive: " + std::to_string(spec.chunk));
    const extents tokens{x[0], x[1], x[2], 1};
    broadcast::check(operation, "log_momentum", spec.log_momentum, tokens);
    broadcast::check(operation, "log_keep", spec.log_keep, tokens);
    broadcast::check(operation, "rate", spec.rate, tokens);
    list.check(operation);
  }
  // Tokens from `seen` on that one block takes, of `left`.
  index block(std::int64_t seen, index left, index most) const {
    return std::min({left, most, spec.chunk - index(seen % spec.chunk)});
  }
  bool starts_chunk(std::int64_t seen) const { return seen % spec.chunk == 0; }

  template <class T, class Arch>
  void load_rows(titans_block<T, Arch>& x, index b, index h, index l, index count) const {
    x.count = count;
    for (index t = 0; t < count; ++t) {
      detail::load(q, b, h, l + t, x.q + t * x.width);
      detail::load(k, b, h, l + t, x.k + t * x.width);
      detail::load(v, b, h, l + t, x.v + t * x.columns);
    }
    broadcast::load(spec.log_momentum, b, h, l, 0, 2, count, x.eta);
    broadcast::load(spec.log_keep, b, h, l, 0, 2, count, x.alpha);
    broadcast::load(spec.rate, b, h, l, 0, 2, count, x.theta);
    for (index t = 0; t < count; ++t)
      x.eta[t] = simd::exp(x.eta[t]), x.alpha[t] = simd::exp(x.alpha[t]);
  }
};

// The matrices of a head with rows of whole vectors: in place, or copied to `room`.
template <class T> struct titans_head {
  T* home;
  titans_state<T> there;
  index rows, columns;

  titans_head(T* from, index depth, index matrices, index value_depth, index pitch, T* room)
      : home(from), rows(matrices * depth), columns(value_depth) {
    T* const to = pitch == columns ? from : room;
    there = {to, to + depth * pitch, to + (matrices > 2 ? 2 * depth * pitch : 0), pitch};
    if (to == from) return;
    std::fill_n(to, rows * pitch, T(0));
    for (index r = 0; r < rows; ++r) std::copy_n(from + r * columns, columns, to + r * pitch);
  }
  void write_back() const {
    if (there.m == home) return;
    for (index r = 0; r < rows; ++r)
      std::copy_n(there.m + r * there.pitch, columns, home + r * columns);
  }
};

template <class T, class Arch>
HEED_NOINLINE void titans_any(const char* operation, index most, const titans_call& call,
                              const result& out, recurrent_state<T>& state,
                              const executor_ref& executor, const workspace_ref& scratch) {
  using block = titans_block<T, Arch>;
  call.check(operation, out, "out");
  claim_state(operation, state, call.format(), call.list.count());
  const index H = call.heads(), depth = call.depth(), dv = call.v.extent[3];
  const index matrices = call.spec.chunk == 1 ? 2 : 3;
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  executor.for_each(call.list.count() * H, [&](index task, index worker) {
    const index h = task % H, i = task / H;
    const auto at = call.list[i];
    arena& a = memory.worker(worker);
    const index room = matrices * depth * block::padded(dv);
    a.reserve(std::size_t(block::bytes(depth, dv) + aligned_bytes(room, sizeof(T))));
    block x(a, depth, dv);
    const index pitch = most == 1 || at.length == 1 || call.spec.chunk == 1 ? dv : x.columns;
    const titans_head<T> head(state.head(i, h), depth, matrices, dv, pitch, a.take<T>(room));
    std::int64_t seen = state.tokens(i);
    for (index l = 0, some; l < at.length; l += some, seen += some) {
      some = call.block(seen, at.length - l, most);
      call.load_rows(x, at.b, h, at.first + l, some);
      const titans_state<T>& s = head.there;
      if (matrices > 2 && call.starts_chunk(seen)) std::copy_n(s.m, depth * pitch, s.w);
      x.run(s);
      for (index t = 0; t < some; ++t) store(out, at.b, h, at.first + l + t, x.o + t * x.columns);
    }
    head.write_back();
  });
  call.list.add_tokens(state);
}

}  // namespace detail

// q, k [B,H,L,Dk], v and out [B,H,L,Dv]. Starts from `state` and leaves in it the state after the
// last token; an empty one becomes zero. Same bits for any executor. O(L · Dk · Dv). Throws
// std::invalid_argument, before anything is written, if a shape or the state does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void scan(const titans& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<O>& out, recurrent_state<compute_type<Q, K, V>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::titans_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  detail::titans_any<compute_type<Q, K, V>, Arch>(
      "heed::scan(titans)", detail::titans_block<compute_type<Q, K, V>, Arch>::most, call, out,
      state, executor, scratch);
}
template <class Arch = simd::best, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void scan(const titans& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<O>& out, const executor_ref& executor = {},
          const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<Q, K, V>> state;
  scan<Arch>(spec, q, k, v, out, state, executor, scratch);
}

// scan by the token form, the definition: one token after the other. For decoding.
template <class Arch = simd::best, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void step(const titans& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<O>& out, recurrent_state<compute_type<Q, K, V>>& state,
          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::titans_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  detail::titans_any<compute_type<Q, K, V>, Arch>("heed::step(titans)", 1, call, out, state,
                                                  executor, scratch);
}

}  // namespace heed
