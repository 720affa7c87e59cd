// SPDX-License-Identifier: BSL-1.0
// Gradients of value/relational, by the other form of its sums:
//
//   R_i^{h,l} = c <q_i^l, T_i^{h,l}>,  T_i^{h,l} = Σ_j p_ij^h k_j^l
//
// [S, T] is one call over values [s, k¹ … k^R] (relative symbols watch it), and everything follows
// from its gradients:
//   dT^{h,l} = c dR^{h,l} q^l,  dq^l = c Σ_h dR^{h,l} T^{h,l},  dR = dO W_rᵀ,  dS = dO W_sᵀ
// A pair costs 12 D + 6 (Ds + R Dr) flops a head, the forward call included; memory is linear in
// the lengths, H (Ds + R Dr) numbers a query.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/value/relational.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored.
template <class Spec> struct relational_gradients {
  result dq{}, dk{};  // of the attention
  result d_relation_q{}, d_relation_k{}, dweight{};
  result dsymbols{}, drelative_symbols{}, dsymbol_weight{};
  spec_gradients<Spec> spec{};
};

namespace detail {

// Values [s, k¹ … k^R] for each kv head whose symbols differ.
template <class T> view<T> joined_values(const relational_problem& x, std::vector<T>& memory) {
  const extents &s = x.x.symbols.extent, &r = x.x.k.extent;
  const index symbols = x.values.extent[3], heads = x.x.symbols.present() ? s[1] : 1;
  view<T> to = dense_rows(memory, {r[0], heads, r[2], symbols + r[1] * r[3]});
  for (index b = 0; b < r[0]; ++b)
    for (index h = 0; h < heads; ++h)
      for (index j = 0; j < r[2]; ++j) {
        T* const row = memory.data() + ((b * heads + h) * r[2] + j) * to.extent[3];
        if (symbols > 0)
          simd::load_row(x.x.symbols.type, x.x.symbols.row(b, h, j), x.x.symbols.stride[3], symbols,
                         row);
        for (index l = 0; l < r[1]; ++l)
          simd::load_row(x.x.k.type, x.x.k.row(b, l, j), x.x.k.stride[3], r[3],
                         row + symbols + l * r[3]);
      }
  if (heads == 1) to.extent[1] = x.k.extent[1], to.stride[1] = 0;
  return to;
}

// Channels [first, first + count) of dV summed over its heads, or of head h for a result that has
// them.
template <class T>
void store_value_gradient(const view<T>& from, index first, index count, const result& to,
                          index head, T* row) {
  const extents& e = from.extent;
  for (index b = 0; b < e[0]; ++b)
    for (index j = 0; j < e[2]; ++j)
      for (index h = 0; h < (head < 0 ? to.extent[1] : 1); ++h) {
        const bool one = head < 0 && to.extent[1] == e[1];
        std::fill_n(row, count, T(0));
        for (index i = one ? h : 0; i < (one ? h + 1 : e[1]); ++i)
          for (index c = 0; c < count; ++c) row[c] += from(b, i, j, first + c);
        simd::store_row(to.type, row, count, to.row(b, head < 0 ? h : head, j), to.stride[3]);
      }
}

}  // namespace detail

// With d_out = dL/d_out, writes the gradients asked for. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or a policy does not fit.
template <class Arch = simd::best, class Spec, storable Q, storable K>
void attend_relational_backward(const Spec& spec, const view<Q>& q, const view<K>& k,
                                const relation_operands& relations,
                                const std::type_identity_t<operand>& d_out,
                                const std::type_identity_t<relational_gradients<Spec>>& to,
                                const executor_ref& executor = {},
                                const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K>;
  constexpr const char* who = "heed::attend_relational_backward";
  detail::check_relational<Spec>();
  const operand queries = view<const Q>(q), keys = view<const K>(k);
  const detail::relational_problem x(who, queries, keys, relations, d_out.extent);
  const auto same = [&](const char* name, const operand& given, const operand& of) {
    if (given.present() && given.extent != of.extent)
      check::fail(who, std::string(name) + " must have the shape of what it belongs to",
                  {{name, given}, {"operand", of}});
  };
  same("dq", to.dq, queries), same("dk", to.dk, keys);
  same("d_relation_q", to.d_relation_q, relations.q);
  same("d_relation_k", to.d_relation_k, relations.k);
  same("dweight", to.dweight, relations.weight), same("dsymbols", to.dsymbols, relations.symbols);
  same("drelative_symbols", to.drelative_symbols, relations.relative_symbols);
  same("dsymbol_weight", to.dsymbol_weight, relations.symbol_weight);
  if (const extents& e = d_out.extent; !d_out.present() && e[0] * e[1] * e[2] * e[3] > 0)
    check::fail(who, "d_out must not be null");
  check_gradients(spec, to.spec);

  const extents& e = queries.extent;
  const index symbols = x.values.extent[3], count = relations.q.extent[1],
              depth = relations.q.extent[3], wide = symbols + count * depth;
  std::vector<T> memory[10];
  const auto values = detail::joined_values(x, memory[0]),
             sums = detail::dense_rows(memory[1], {e[0], e[1], e[2], wide}),
             d_sums = detail::dense_rows(memory[2], sums.extent),
             related = detail::dense_rows(memory[3], x.sums()),
             d_related = detail::dense_rows(memory[4], x.sums());
  detail::relative_symbols<T> apart(relations.relative_symbols, e);
  outputs forward{.out = sums, .observe = apart.watcher()};
  if constexpr (has_lse<decltype(Spec::normalizer)>)
    forward.lse = detail::dense_rows(memory[5], {e[0], e[1], e[2], 1});
  const operand joined = values;
  detail::attend_any<T, Arch>(spec, queries, keys, joined, forward, executor, scratch);

  workspace own;
  workspace& from = scratch.scratch ? *scratch.scratch : own;
  detail::products<T, Arch> by(executor, from,
                               std::max({wide, d_out.extent[3], count, x.symbol_depth(),
                                         relations.relative_symbols.extent[2]}));
  by.multiply({{d_out, detail::transpose_of(relations.weight)}}, d_related);
  const observed_gradient* observed = nullptr;
  if (relations.symbol_weight.present()) {
    const bool tokens = symbols > 0;
    const auto s = tokens ? sums.slice_channels(0, symbols)
                          : detail::dense_rows(memory[8], x.symbol_sums()),
               ds = tokens ? d_sums.slice_channels(0, symbols)
                           : detail::dense_rows(memory[9], x.symbol_sums());
    apart.sum(by, s);
    by.multiply({{d_out, detail::transpose_of(relations.symbol_weight)}}, ds);
    if (to.dsymbol_weight.present()) by.multiply_rows(s, d_out, to.dsymbol_weight);
    observed = apart.backward(by, ds, to.drelative_symbols);
  }
  // One relation and sequence a task: rows of dq^l belong to one.
  executor.for_each(e[0] * count, [&](index task, index) {
    const index b = task / count, l = task % count;
    std::vector<T> q_row(static_cast<std::size_t>(depth)), dq_row(q_row.size());
    const T c = static_cast<T>(relations.scale);
    for (index i = 0; i < e[2]; ++i) {
      simd::load_row(relations.q.type, relations.q.row(b, l, i), relations.q.stride[3], depth,
                     q_row.data());
      std::fill(dq_row.begin(), dq_row.end(), T(0));
      for (index h = 0; h < e[1]; ++h) {
        const T* const t = &sums(b, h, i, symbols + l * depth);
        const T d = c * d_related(b, h, i, l);
        related(b, h, i, l) = c * simd::dot_row<Arch>(q_row.data(), t, depth);
        simd::add_scaled<Arch>(d, t, depth, dq_row.data());
        for (index n = 0; n < depth; ++n)
          d_sums(b, h, i, symbols + l * depth + n) = d * q_row[static_cast<std::size_t>(n)];
      }
      if (to.d_relation_q.present())
        simd::store_row(to.d_relation_q.type, dq_row.data(), depth, to.d_relation_q.row(b, l, i),
                        to.d_relation_q.stride[3]);
    }
  });
  if (to.dweight.present()) by.multiply_rows(related, d_out, to.dweight);

  view<T> dv{};
  if (to.d_relation_k.present() || to.dsymbols.present())
    dv = detail::dense_rows(memory[6], values.extent);
  detail::attend_backward_any<T, Arch>(spec, queries, keys, joined, saved{forward.out, forward.lse},
                                       operand(d_sums),
                                       gradients<Spec>{.dq = to.dq,
                                                       .dk = to.dk,
                                                       .dv = dv.data ? result(dv) : result{},
                                                       .spec = to.spec,
                                                       .observed = observed},
                                       executor, scratch);
  memory[7].resize(static_cast<std::size_t>(std::max(symbols, depth)));
  if (to.dsymbols.present())
    detail::store_value_gradient(dv, 0, symbols, to.dsymbols, -1, memory[7].data());
  for (index l = 0; to.d_relation_k.present() && l < count; ++l)
    detail::store_value_gradient(dv, symbols + l * depth, depth, to.d_relation_k, l,
                                 memory[7].data());
}

}  // namespace heed
