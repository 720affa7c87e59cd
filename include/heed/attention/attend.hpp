// SPDX-License-Identifier: BSL-1.0
// heed::attend: the front. Checks shapes, erases types, hands the call to the tile loop.
#pragma once

#include <cmath>
#include <heed/attention/few.hpp>
#include <heed/attention/patches.hpp>
#include <heed/attention/picked.hpp>
#include <heed/attention/sliding.hpp>
#include <heed/attention/spec.hpp>
#include <heed/attention/split.hpp>
#include <heed/attention/stream.hpp>
#include <heed/attention/turned.hpp>
#include <heed/attention/whole_rows.hpp>
#include <heed/core/check.hpp>

namespace heed {

namespace detail {

inline void check_shapes(const problem& p) {
  const auto broken = [&](const char* rule) {
    const result& out = p.to.out;
    operand o = out, lse = p.to.lse;
    if (lse.present())
      check::fail("heed::attend", rule,
                  {{"q", p.q}, {"k", p.k}, {"v", p.v}, {"out", o}, {"lse", lse}});
    check::fail("heed::attend", rule, {{"q", p.q}, {"k", p.k}, {"v", p.v}, {"out", o}});
  };
  const extents &q = p.q.extent, &k = p.k.extent, &v = p.v.extent, &o = p.to.out.extent;
  for (std::size_t i = 0; i < 4; ++i)
    if (q[i] < 0 || k[i] < 0 || v[i] < 0 || o[i] < 0) broken("extents must not be negative");
  if (q[0] != k[0] || q[0] != v[0] || q[0] != o[0])
    broken("q, k, v and out must have the same batch");
  if (k[1] != v[1]) broken("k and v must have the same heads");
  if (q[1] != o[1]) broken("q and out must have the same heads");
  if (q[1] > 0 && (k[1] == 0 || q[1] % k[1] != 0))
    broken("query heads must be a multiple of key heads");
  if (k[2] != v[2]) broken("k and v must have the same length");
  if (q[2] != o[2]) broken("q and out must have the same length");
  if (q[3] != k[3]) broken("q and k must have the same channels");
  if (q[3] == 0) broken("q and k must have at least one channel");
  if (v[3] != o[3]) broken("v and out must have the same channels");
  if (p.to.lse.present()) {
    const extents& l = p.to.lse.extent;
    if (l[0] != q[0] || l[1] != q[1] || l[2] != q[2] || l[3] != 1) broken("lse must be [B,H,Lq]");
  }
  const bool work = q[0] * q[1] * q[2] > 0;
  if (work && v[3] > 0 && !p.to.out.present()) broken("out must not be null");
  if (work && (!p.q.present() ||
               (!p.source && k[2] > 0 && (!p.k.present() || (v[3] > 0 && !p.v.present())))))
    broken("q, k and v must not be null");
}

// The problem refers to the operands it is given.
template <class Spec>
problem checked(const Spec& spec, const operand& q, const operand& k, const operand& v,
                const outputs& to, const kv_ref* source = nullptr) {
  problem p{.shape = shape_of(q.extent, k.extent, v.extent),
            .q = q,
            .k = k,
            .v = v,
            .to = to,
            .source = source};
  check_shapes(p);
  if constexpr (!std::is_same_v<decltype(Spec::plan), none>) {
    if (spec.offset != aligned_ends)
      check::fail("heed::attend", "a plan sets the positions; offset must be left alone");
    check_policy(spec.plan, p.shape);
    p.shape.offset = 0;
    if constexpr (requires { spec.plan.sequences(); }) p.shape.batch = spec.plan.sequences();
  }
  if (spec.offset != aligned_ends) p.shape.offset = spec.offset, p.placed = true;
  check_policies(spec, p.shape);
  if constexpr (!has_lse<decltype(Spec::normalizer)>)
    if (to.lse.present())
      check::fail("heed::attend", "this normaliser has no log-sum-exp", {{"lse", operand(to.lse)}});
  p.scale = resolved_scale(spec, p.shape.depth);
  if (to.observe) {
    const bool doubles =
        q.type == element::f64 && (source || (k.type == element::f64 && v.type == element::f64));
    to.observe->start({.shape = p.shape,
                       .batch = q.extent[0],
                       .compute = doubles ? element::f64 : element::f32,
                       .exponential = replays_from_lse<decltype(Spec::normalizer)>});
  }
  return p;
}

// Lists of blocks: those of many rows in the tile loop, those of single keys row by row, others
// turned around.
template <class T, class Arch, class Spec>
void run_listed(const Spec& spec, const problem& p, const executor_ref& executor,
                workspace& memory) {
  using lists = decltype(Spec::mask);
  const auto inside = exchanged(spec, spec.mask.inside(), spec.weights, spec.value, spec.output);
  using inner = std::remove_const_t<decltype(inside)>;
  // Lists count rows of the tensors, which packed sequences may start in the middle of a block.
  if constexpr (std::is_same_v<decltype(Spec::plan), none>)
    if (spec.mask.block_rows() >= simd::width<T, Arch>)
      return stream<T, Arch, inner, lists>(inside, p, &spec.mask).run(executor, memory);
  if constexpr (picked<T, Arch, inner, lists>::possible)
    if (picked<T, Arch, inner, lists>::suits(p, spec.mask))
      return picked<T, Arch, inner, lists>(inside, p, spec.mask).run(executor, memory);
  if constexpr (turned<T, Arch, inner, lists>::possible)
    if (turned<T, Arch, inner, lists>::suits(p))
      return turned<T, Arch, inner, lists>(inside, p, spec.mask).run(executor, memory);
  stream<T, Arch, Spec>(spec, p).run(executor, memory);
}

// A checked call.
template <class T, class Arch, class Spec>
void run(const Spec& spec, const problem& p, const executor_ref& executor,
         const workspace_ref& scratch) {
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  if constexpr (needs_rows<Spec>) {
    whole_rows<T, Arch, Spec>(spec, p).run(executor, memory);
  } else {
    if constexpr (split<T, Arch, Spec>::possible)
      if (split<T, Arch, Spec>::suits(spec, p))
        return split<T, Arch, Spec>(spec, p).run(executor, memory);
    if constexpr (sliding<T, Arch, Spec>::possible)
      if (sliding<T, Arch, Spec>::suits(spec, p))
        return sliding<T, Arch, Spec>(spec, p).run(executor, memory);
    if constexpr (patches<T, Arch, Spec>::possible)
      if (patches<T, Arch, Spec>::suits(spec, p))
        return patches<T, Arch, Spec>(spec, p).run(executor, memory);
    if constexpr (lists_blocks<decltype(Spec::mask)>)
      run_listed<T, Arch>(spec, p, executor, memory);
    else
      stream<T, Arch, Spec>(spec, p).run(executor, memory);
  }
}

// Any call, its types erased.
template <class T, class Arch, class Spec>
HEED_NOINLINE void attend_any(const Spec& spec, const operand& q, const operand& k,
                              const operand& v, const outputs& to, const executor_ref& executor,
                              const workspace_ref& scratch) {
  const problem p = checked(spec, q, k, v, to);
  if constexpr (has_driver<decltype(Spec::weights)>) {
    spec.weights.template attend<T, Arch>(spec, q, k, v, to, executor, scratch);
  } else {
    run<T, Arch>(spec, p, executor, scratch);
  }
}

// Leaves a small call to driver `few`; false, and nothing done, where that does not take it.
template <class Arch, class Spec, class Q, class K, class V, class Out>
HEED_INLINE bool attend_few(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                            const Out& out, const result* lse) {
  using T = compute_type<Q, K, V>;
  constexpr bool same =
      (std::is_same_v<std::remove_const_t<Q>, T> && std::is_same_v<std::remove_const_t<K>, T> &&
       std::is_same_v<std::remove_const_t<V>, T>);
  if constexpr (plain_rows<Spec> && !needs_rows<Spec> && same) {
    using driver = few<T, Arch, Spec>;
    const typename driver::operands x{{q.data, q.extent, q.stride},
                                      {k.data, k.extent, k.stride},
                                      {v.data, v.extent, v.stride},
                                      {static_cast<T*>(out.data), out.extent, out.stride},
                                      lse};
    if (!driver::fits(x)) return false;
    driver::run(spec, x);
    return true;
  } else {
    return false;
  }
}

}  // namespace detail

// o_i = Σ_j p_ij v_j of the given kind of attention.
//   q [B,H,Lq,D], k [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], out [B,H,Lq,Dv], lse [B,H,Lq]; H a multiple of
//   Hkv; query row r sits at position r + Lk - Lq, or r + offset where the spec gives one.
// Computes in float, or in double if q, k and v are double. A query that may see no key gives zeros
// and lse = -inf; what a mask hides never leaks, NaN included. Same bits for any executor.
// Throws std::invalid_argument, before anything is written, if a shape or a policy does not fit.
// O(Lq · Lk · (D + Dv)) for what the mask leaves; memory linear in the lengths.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
            const outputs& to, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, V>;
  if (to.out.type == element_of<T>::value && !to.observe &&
      detail::attend_few<Arch>(spec, q, k, v, to.out, &to.lse))
    return;
  detail::attend_any<T, Arch>(spec, view<const Q>(q), view<const K>(k), view<const V>(v), to,
                              executor, scratch);
}
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V, storable O>
  requires(!std::is_const_v<O>)
void attend(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
            const view<O>& out, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, V>;
  if constexpr (std::is_same_v<O, T>)
    if (detail::attend_few<Arch>(spec, q, k, v, out, nullptr)) return;
  detail::attend_any<T, Arch>(spec, view<const Q>(q), view<const K>(k), view<const V>(v),
                              outputs{.out = out}, executor, scratch);
}
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend(const Spec& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
            const result& out, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  attend<Arch>(spec, q, k, v, outputs{.out = out}, executor, scratch);
}

}  // namespace heed
