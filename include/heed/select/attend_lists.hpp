// SPDX-License-Identifier: BSL-1.0
// attend_lists: the queries of each list attend to the keys of the same list.
//
//   attend_lists(gathered{.lists = chosen.lists()}, attention{.mask = causal{}}, q, k, v, out);
//
// What selectors of tokens feed (`select/routing`, `select/expert_choice`, `select/biformer`): rows
// are gathered, attended list by list, and added up where they came from. q [B,H,Lq,D],
// k [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], out [B,H,Lq,Dv] as for `attend`; masks and transforms see the
// positions of the rows in q and k. Cost: Σ queries · keys of each list, and copies of the rows.
#pragma once

#include <heed/select/gathered.hpp>

namespace heed {

namespace detail {

// Bytes that are gathered at once: rows that stay in cache until they are packed took 10 ms where
// all rows at once took 14 (BiFormer, 64 x 64 tokens, 64 channels).
inline constexpr index list_wave = 1 << 21;

template <class T, class Arch, class Spec>
HEED_NOINLINE void attend_lists_any(const gathered& g, const Spec& spec, const operand& q,
                                    const operand& k, const operand& v, const result& out,
                                    const executor_ref& executor, list_workspace* scratch) {
  check_gathered<Spec>();
  const outputs to{.out = out};
  const problem p = checked(spec, q, k, v, to);
  gathered_rows<T, Arch, Spec> rows("heed::attend_lists", g, spec, p, executor, list_wave);
  const index nq = rows.queries().most, nk = rows.keys().most;
  const index depth = p.shape.depth, width = p.shape.value_depth;
  T *qs = nullptr, *ks = nullptr, *vs = nullptr, *os = nullptr;
  const auto take = [&](auto& from) {
    rows.take(from, width);
    qs = from.template take<T>(nq * depth), ks = from.template take<T>(nk * depth);
    vs = from.template take<T>(nk * width),
    os = from.template take<T>(rows.queries().total * width);
  };
  list_workspace own;
  list_workspace& memory = scratch ? *scratch : own;
  lay_out(memory.rows, take);

  rows.place();
  for (index list = 0; list < rows.lists();) {
    const auto w = rows.wave_at(list);
    const extents eq{1, 1, w.queries, depth}, ek{1, 1, w.keys, depth}, ev{1, 1, w.keys, width};
    rows.gather(w, rows.queries(), q, 1, qs);
    if (!rows.shared()) rows.gather(w, rows.keys(), k, p.shape.group(), ks);
    rows.gather(w, rows.keys(), v, p.shape.group(), vs);
    T* const o = os + rows.queries().starts[list] * width;
    if (w.queries > 0)
      attend_any<T, Arch>(rows.packed(w), view<const T>(qs, eq),
                          view<const T>(rows.shared() ? qs : ks, ek), view<const T>(vs, ev),
                          outputs{.out = view<T>(o, {1, 1, w.queries, width})}, executor,
                          memory.engine);
    list = w.last;
  }
  rows.scatter(rows.queries(), os, 1, true, out);
}

}  // namespace detail

// Writes every row of out. Computes in float, or in double if q, k and v are double. Same bits for
// any executor. Throws std::invalid_argument, before anything is written, if a shape, a list or a
// policy does not fit.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend_lists(const gathered& g, const Spec& spec, const view<Q>& q, const view<K>& k,
                  const view<V>& v, const std::type_identity_t<result>& out,
                  const executor_ref& executor = {}, list_workspace* scratch = nullptr) {
  detail::attend_lists_any<compute_type<Q, K, V>, Arch>(g, spec, view<const Q>(q), view<const K>(k),
                                                        view<const V>(v), out, executor, scratch);
}

}  // namespace heed
