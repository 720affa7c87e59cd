// SPDX-License-Identifier: BSL-1.0
// recurrence/local_linear: for every query the value at the query itself of a linear fit to the
// values, keys near the query counting most (Zuo et al. 2025, Local Linear Attention):
//
//   min_{b,A} Σ_j w_ij ‖v_j - b - A(k_j - q_i)‖² + λ ‖A‖²,  o_i = b
//   z_ij = k_j - q_i,  μ = Σ_j w z,  Σ_i = Σ_j w zzᵀ + λI,  ρ = Σ_i⁻¹ μ
//   o_i = Σ_j a_ij v_j / Σ_j a_ij,  a_ij = w_ij (1 - z_ij · ρ)
//
// w_ij = e^{s q_i·k_j} over the largest of the row (so λ means the same whatever constant is added
// to the scores, as in softmax), or 1: a linear fit that is the same for all queries. λ → ∞ is
// softmax attention. ρ by conjugate gradients.
//
// There is no state of fixed size: every query weighs all keys anew, so what is carried from token
// to token is the keys and values themselves. `step` takes those of all tokens so far.
#pragma once

#include <heed/attention/spec.hpp>
#include <heed/core/executor.hpp>
#include <heed/recurrence/local_linear_rows.hpp>

namespace heed {

struct local_linear {
  operand ridge{};           // λ [1, H|1, 1, 1], positive
  bool causal = true;        // the last query sits at the last key, as in attend
  bool uniform = false;      // w = 1
  double scale = automatic;  // s; 1/√D
  // Of conjugate gradients: they stop at this many (0: 2 D + 8), or where the residual is below
  // `tolerance` (0: 4 ε) times its start.
  index iterations = 0;
  double tolerance = 0;
  // Sequences packed end to end in a batch of 1, of as many keys as queries; empty: one a batch
  // item.
  std::span<const int> cu_seqlens{};
};

namespace detail {

struct local_linear_call {
  const local_linear& spec;
  operand q, k, v;
  sequence_list list;

  local_linear_call(const local_linear& s, const operand& q_, const operand& k_, const operand& v_)
      : spec(s), q(q_), k(k_), v(v_), list{q_.extent[0], q_.extent[2], s.cu_seqlens} {}

  index depth() const { return q.extent[3]; }
  index value_depth() const { return v.extent[3]; }
  index group() const { return q.extent[1] / k.extent[1]; }
  index longest() const {
    index most = spec.cu_seqlens.empty() ? k.extent[2] : 0;
    for (index i = 0; !spec.cu_seqlens.empty() && i < list.count(); ++i)
      most = std::max(most, list[i].length);
    return most;
  }
  // Rows of the keys of sequence i.
  token_run keys(index i) const {
    return spec.cu_seqlens.empty() ? token_run{i, 0, k.extent[2]} : list[i];
  }
  void check(const char* operation, const operand& out, const char* name) const {
    const auto broken = [&](const char* rule) {
      check::fail(operation, rule, {{"q", q}, {"k", k}, {"v", v}, {name, out}});
    };
    const extents &x = q.extent, &y = k.extent, &z = v.extent, &o = out.extent;
    for (std::size_t i = 0; i < 4; ++i)
      if (x[i] < 0 || y[i] < 0 || z[i] < 0) broken("extents must not be negative");
    if (x[0] != y[0] || x[0] != z[0]) broken("q, k and v must have the same batch");
    if (y[1] != z[1] || y[2] != z[2]) broken("k and v must have the same heads and length");
    if (y[1] == 0 || x[1] % y[1] != 0) broken("query heads must be a multiple of key heads");
    if (x[3] != y[3] || x[3] == 0) broken("q and k must have the same channels, at least one");
    if (o != extents{x[0], x[1], x[2], z[3]}) broken("the output must be [B,H,Lq,Dv]");
    if (!spec.cu_seqlens.empty() && x[2] != y[2])
      broken("packed sequences have as many keys as queries");
    if (x[0] * x[1] * x[2] > 0 && (!q.present() || (z[3] > 0 && !out.present()) ||
                                   (y[2] > 0 && (!k.present() || (z[3] > 0 && !v.present())))))
      broken("operands must not be null");
    list.check(operation);
    broadcast::check(operation, "ridge", spec.ridge, {1, x[1], 1, 1});
    for (index h = 0; h < x[1]; ++h)
      if (const double l = broadcast::element<double>(spec.ridge, 0, h, 0, 0);
          !(l > 0 && std::isfinite(l)))
        check::fail(operation, "ridge must be positive and finite: " + std::to_string(l) +
                                   " for head " + std::to_string(h));
    if (spec.iterations < 0 || !(spec.tolerance >= 0))
      check::fail(operation, "iterations and tolerance must not be negative");
    if (std::isinf(spec.scale)) check::fail(operation, "the scale must be finite");
  }
  template <class T> T scale() const {
    return T(std::isnan(spec.scale) ? 1 / std::sqrt(double(depth())) : spec.scale);
  }

  // Queries [first, first + count) of sequence i, their weights and fit.
  template <class T, class Arch>
  void begin(local_linear_fit<T, Arch>& x, index i, index h, index first, index count,
             const local_rows<T>& rows) const {
    constexpr index W = simd::width<T, Arch>;
    const auto at = list[i];
    x.x = rows, x.count = count, x.vectors = (count + W - 1) / W;
    for (index n = 0; n < count; ++n)
      detail::load(q, at.b, h, at.first + first + n, x.rows + n * x.depth);
    simd::to_lanes<T, Arch>(x.rows, x.depth, count, x.depth, T(1), x.q, x.pitch);
    // Lanes without a query see what the last one sees, and are dropped.
    const auto seen = [&](index n) {
      if (!spec.causal) return rows.count;
      return std::clamp(first + n + 1 + rows.count - at.length, index{0}, rows.count);
    };
    x.full = seen(0), x.end = seen(count - 1);
    for (index n = 0; n < x.pitch; ++n) x.limit[n] = T(seen(std::min(n, count - 1)) - x.full);
    x.lambda = broadcast::element<T>(spec.ridge, 0, h, 0, 0);
    x.iterations = spec.iterations > 0 ? spec.iterations : 2 * x.depth + 8;
    x.tolerance = spec.tolerance > 0 ? T(spec.tolerance) : 4 * std::numeric_limits<T>::epsilon();
    x.weigh(scale<T>(), spec.uniform);
    x.fit();
  }
};

template <class T, class Arch>
HEED_NOINLINE void local_linear_any(const char* operation, const local_linear_call& call,
                                    const result& out, const executor_ref& executor,
                                    const workspace_ref& scratch) {
  using panel = local_linear_fit<T, Arch>;
  call.check(operation, out, "out");
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  const local_linear_rows<T> all(call.k, call.v, executor, memory.shared());
  const index panels = (call.q.extent[2] + panel::pitch - 1) / panel::pitch;
  const index heads = call.q.extent[1], depth = call.depth(), dv = call.value_depth();
  const index longest = call.longest();
  executor.for_each(call.list.count() * heads * panels, [&](index task, index worker) {
    const index first = task % panels * panel::pitch, h = task / panels % heads;
    const index i = task / panels / heads;
    const auto at = call.list[i], keys = call.keys(i);
    if (first >= at.length) return;
    arena& a = memory.worker(worker);
    a.reserve(std::size_t(panel::bytes(depth, dv, longest)));
    panel x(a, depth, dv, longest);
    const index count = std::min(panel::pitch, at.length - first);
    call.begin(x, i, h, first, count, all.rows(keys, h / call.group()));
    T factor[panel::pitch];
    x.outputs(factor);
    simd::from_lanes<T, Arch>(x.o, x.pitch, count, dv, factor, x.rows, dv);
    for (index n = 0; n < count; ++n) store(out, at.b, h, at.first + first + n, x.rows + n * dv);
  });
}

}  // namespace detail

// q [B,H,Lq,D], k [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], out [B,H,Lq,Dv], H a multiple of Hkv. Prefill, or
// any call of queries against all keys. A query that sees no key gives zeros; what is masked never
// leaks. Same bits for any executor. Θ(Lq · Lk · D) for every iteration, memory linear in Lk.
// Throws std::invalid_argument, before anything is written, if a shape or the ridge does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void scan(const local_linear& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<O>& out, const executor_ref& executor = {},
          const workspace_ref& scratch = {}) {
  const detail::local_linear_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  detail::local_linear_any<compute_type<Q, K, V>, Arch>("heed::scan(local_linear)", call, out,
                                                        executor, scratch);
}

// The newest token of every sequence: q [B,H,1,D], k and v of all tokens so far, it included.
template <class Arch = simd::best, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void step(const local_linear& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
          const view<O>& out, const executor_ref& executor = {},
          const workspace_ref& scratch = {}) {
  constexpr const char* operation = "heed::step(local_linear)";
  const detail::local_linear_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  if (q.extent[2] != 1 || !spec.cu_seqlens.empty())
    check::fail(operation, "one query of every sequence of the batch",
                {{"q", call.q}, {"k", call.k}, {"v", call.v}});
  detail::local_linear_any<compute_type<Q, K, V>, Arch>(operation, call, out, executor, scratch);
}

}  // namespace heed
