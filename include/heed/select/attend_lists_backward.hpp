// SPDX-License-Identifier: BSL-1.0
// Gradients of attend_lists by q, k, v and the gate; the choice of lists has none.
//
//   out_i = g_i Σ_l o_il / n_i    do_il = g_i / n_i dout_i,   dg_i = Σ_l o_il·dout_i / n_i
//
// n_i the lists of query i where they are averaged, else 1. Cost: the forward call and a backward
// one, all lists at once, and copies of the rows.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/select/attend_lists.hpp>
#include <heed/select/data.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored. A query without a list has dq = 0 and, as
// its output does not depend on it, dgate = 0.
struct list_gradients {
  result dq{}, dk{}, dv{};
  result gate{};  // as the gate
};

namespace detail {

template <class T, class Arch, class Spec>
HEED_NOINLINE void attend_lists_backward_any(const gathered& g, const Spec& spec, const operand& q,
                                             const operand& k, const operand& v,
                                             const operand& d_out, const list_gradients& to,
                                             const executor_ref& executor,
                                             list_workspace* scratch) {
  constexpr const char* operation = "heed::attend_lists_backward";
  check_gathered<Spec>();
  operand like = q;
  like.extent[3] = v.extent[3];
  T unwritten;
  const outputs absent{.out = view<T>(&unwritten, like.extent, {0, 0, 0, 0})};
  const problem p = checked(spec, q, k, v, absent);
  gathered_rows<T, Arch, Spec> rows(operation, g, spec, p, executor,
                                    std::numeric_limits<index>::max());
  const auto same = [&](const char* name, const operand& x, const extents& e, bool needed) {
    if ((needed || x.present()) && x.extent != e)
      check::fail(operation, std::string(name) + " must be " + check::print(e), {{name, x}});
  };
  same("d_out", d_out, like.extent, true);
  check_data(operation, {{"d_out", d_out}});
  same("dq", to.dq, q.extent, false), same("dk", to.dk, k.extent, false);
  same("dv", to.dv, v.extent, false);
  same("the gradient of the gate", to.gate, {q.extent[0], q.extent[1], q.extent[2], 1}, false);
  if (to.gate.present() && !g.gate.present())
    check::fail(operation, "there is no gate to have a gradient");

  const index nq = rows.queries().total, nk = rows.keys().total;
  const index depth = p.shape.depth, width = p.shape.value_depth;
  T *qs, *ks, *vs, *os, *lse, *d_os, *dqs, *dks, *dvs, *dots;
  const auto take = [&](auto& from) {
    rows.take(from, std::max(depth, width));
    for (T** x : {&qs, &dqs}) *x = from.template take<T>(nq * depth);
    for (T** x : {&ks, &dks}) *x = from.template take<T>(nk * depth);
    for (T** x : {&vs, &dvs}) *x = from.template take<T>(nk * width);
    for (T** x : {&os, &d_os}) *x = from.template take<T>(nq * width);
    for (T** x : {&lse, &dots}) *x = from.template take<T>(nq);
  };
  list_workspace own;
  list_workspace& memory = scratch ? *scratch : own;
  lay_out(memory.rows, take);

  rows.place();
  const auto all = rows.wave_at(0);
  const auto& at = rows.queries();
  rows.gather(all, at, q, 1, qs), rows.gather(all, at, d_out, 1, d_os);
  rows.gather(all, rows.keys(), k, p.shape.group(), ks);
  rows.gather(all, rows.keys(), v, p.shape.group(), vs);
  const auto inner = rows.packed(all);
  const view<T> packed_q(qs, {1, 1, nq, depth}), packed_k(ks, {1, 1, nk, depth}),
      packed_v(vs, {1, 1, nk, width}), packed_o(os, {1, 1, nq, width}),
      packed_lse(lse, {1, 1, nq, 1});
  constexpr bool logarithmic = has_lse<decltype(Spec::normalizer)>;
  outputs again{.out = packed_o};
  saved kept{.out = packed_o};
  if constexpr (logarithmic) again.lse = packed_lse, kept.lse = packed_lse;
  if (nq > 0)
    attend_any<T, Arch>(inner, packed_q, packed_k, packed_v, again, executor, memory.engine);
  executor.for_each(rows.heads(), [&](index n, index) {
    const T* const share = rows.share(n);
    for (int i = at.starts[n * rows.each()]; i < at.starts[(n + 1) * rows.each()]; ++i) {
      T* const row = d_os + i * width;
      dots[i] = simd::dot_row<Arch>(os + i * width, row, width);
      for (index c = 0; c < width; ++c) row[c] *= share[at.places[i]];
    }
  });
  if (nq > 0)
    attend_backward_any<T, Arch>(
        inner, packed_q, packed_k, packed_v, kept, upstream(view<const T>(d_os, {1, 1, nq, width})),
        gradients<std::remove_const_t<decltype(inner)>>{.dq = view<T>(dqs, {1, 1, nq, depth}),
                                                        .dk = view<T>(dks, {1, 1, nk, depth}),
                                                        .dv = view<T>(dvs, {1, 1, nk, width})},
        executor, memory.engine);
  else
    std::fill_n(dks, nk * depth, T(0)), std::fill_n(dvs, nk * width, T(0));
  const index group = p.shape.group();
  if (to.dq.present()) rows.scatter(at, dqs, 1, false, to.dq);
  if (to.dk.present()) rows.scatter(rows.keys(), dks, group, false, to.dk);
  if (to.dv.present()) rows.scatter(rows.keys(), dvs, group, false, to.dv);
  if (to.gate.present()) rows.scatter_gate(dots, to.gate);
}

}  // namespace detail

// With d_out = dL/d_out of `attend_lists`, writes the gradients asked for, every row of them. The
// forward call is made again. Same bits for any executor. Throws std::invalid_argument, before
// anything is written, if a shape, a list or a policy does not fit.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend_lists_backward(const gathered& g, const Spec& spec, const view<Q>& q, const view<K>& k,
                           const view<V>& v, const std::type_identity_t<operand>& d_out,
                           const list_gradients& to, const executor_ref& executor = {},
                           list_workspace* scratch = nullptr) {
  detail::attend_lists_backward_any<compute_type<Q, K, V>, Arch>(
      g, spec, view<const Q>(q), view<const K>(k), view<const V>(v), d_out, to, executor, scratch);
}

}  // namespace heed
