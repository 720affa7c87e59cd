// SPDX-License-Identifier: BSL-1.0
// heed::attend: the front. Has the call checked, erases types, and chooses the driver.
#pragma once

#include <heed/attention/checked.hpp>
#include <heed/attention/few.hpp>
#include <heed/attention/patches.hpp>
#include <heed/attention/picked.hpp>
#include <heed/attention/sliding.hpp>
#include <heed/attention/split.hpp>
#include <heed/attention/stream.hpp>
#include <heed/attention/turned.hpp>
#include <heed/attention/whole_rows.hpp>

namespace heed {

namespace detail {

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
    if constexpr (requires { out.batch; })
      if (out.batch) return false;  // no single stride runs through it
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
