// SPDX-License-Identifier: BSL-1.0
// reference::attend_backward: gradients of any `attention` spec, one query at a time, in double.
//
//   p = f(s) / d,  o = Σ p v,  dp = dO·v,  δ = Σ p dp
//   softmax family   ds = |p| dp − p δ
//   f of one score   ds = f'(s) (dp − d' δ) / d, d' = ∂d/∂Σf: 0, 1, or the sign of a bounded sum
//   dv = Σ p dO,  dq = c Σ ds ∂s/∂q,  dk = Σ ds ∂s/∂k
// The gradients of what policies learn are not here: tests take differences of the call for them.
#pragma once

#include <heed/reference/backward_row.hpp>

namespace heed::reference {

namespace detail {

inline void store(const result& to, const row& x, index b, index h, index l) {
  if (to.present())
    simd::store_row(to.type, x.data(), index(x.size()), to.row(b, h, l), to.stride[3]);
}
inline void add(row& to, double factor, const row& x) {
  if (factor != 0)
    for (std::size_t c = 0; c < to.size(); ++c) to[c] += factor * x[c];
}

template <class Spec>
constexpr bool plain_similarity = !requires(const decltype(Spec::similarity)& s, double* x) {
  s.template key<simd::scalar>(x, index{}, row_position{});
};

// From the rows as the similarity wants them to the operands: the derivative of `.query`, and of
// `.key`, the similarity included.
template <class Spec>
std::vector<row> query_jacobian(const Spec& spec, const row& q, const row_position& at) {
  return jacobian([&](const row& x) { return rewritten_query(spec, x, index(q.size()), at); }, q);
}
template <class Spec>
std::vector<row> key_jacobian(const Spec& spec, const row& k, const row_position& at) {
  return jacobian([&](const row& x) { return whole_key(spec, x, index(k.size()), at); }, k);
}
template <class F> std::vector<row> row_jacobian(const F& f, const row& x, const row_position& at) {
  return jacobian([&](const row& y) { return transformed(f, y, at); }, x);
}

// One kv head of one sequence.
template <class Spec>
void backward_head(const Spec& spec, const problem& p, const operand& d_out, const sequence& s,
                   index kv, const result& dq, const result& dk, const result& dv) {
  const auto width = static_cast<std::size_t>(packed_width(spec.similarity, p.shape.depth));
  std::vector<row> by_k(static_cast<std::size_t>(s.keys), row(width)),
      by_v(by_k.size(), row(static_cast<std::size_t>(p.shape.value_depth)));
  const index group = p.shape.group();
  for (index h = kv * group; h < (kv + 1) * group; ++h)
    for (index i = 0; i < s.rows; ++i) {
      const backward_row x = trace(spec, p, d_out, s, h, i);
      row by_q(width);
      for (const backward_pair& pair : x.pairs) {
        add(by_q, p.scale * pair.ds * pair.slope, pair.by_q);
        if (pair.extra) continue;
        const auto j = static_cast<std::size_t>(pair.at.k);
        add(by_k[j], pair.ds * pair.slope, pair.by_k);
        add(by_v[j], pair.p * pair.edit, x.d_out);
      }
      if constexpr (!std::is_same_v<decltype(Spec::query), none> || !plain_similarity<Spec>)
        by_q = times(query_jacobian(spec, loaded(p.q, s.batch, h, x.at.row), x.at), by_q);
      store(dq, by_q, s.batch, h, x.at.row);
    }
  for (index j = 0; j < s.keys; ++j) {
    const row_position at{s.b, kv, j, s.slot + j};
    row &k = by_k[static_cast<std::size_t>(j)], &v = by_v[static_cast<std::size_t>(j)];
    if constexpr (!std::is_same_v<decltype(Spec::key), none> || !plain_similarity<Spec>)
      k = times(key_jacobian(spec, loaded(p.k, s.batch, kv, at.row), at), k);
    if constexpr (!std::is_same_v<decltype(Spec::value), none>)
      v = times(row_jacobian(spec.value, loaded(p.v, s.batch, kv, at.row), at), v);
    store(dk, k, s.batch, kv, at.row);
    store(dv, v, s.batch, kv, at.row);
  }
}

}  // namespace detail

// As heed::attend_backward for q, k and v; what is absent is not written. Naive: a query costs
// O(Lk · (D + Dv)) and what the differences of its policies take.
template <class Spec, storable Q, storable K, storable V>
void attend_backward(const Spec& spec, view<Q> q, view<K> k, view<V> v, const operand& d_out,
                     const result& dq, const result& dk, const result& dv) {
  const operand from[] = {view<const Q>(q), view<const K>(k), view<const V>(v)};
  outputs like;  // checked, never written
  like.out.data = const_cast<void*>(d_out.data), like.out.type = d_out.type;
  like.out.extent = d_out.extent, like.out.stride = d_out.stride;
  const auto p = heed::detail::checked(spec, from[0], from[1], from[2], like);
  const heed::detail::sequences<decltype(Spec::plan)> items{p, spec.plan};
  for (index b = 0; b < items.count(); ++b)
    for (index kv = 0; kv < p.shape.kv_heads; ++kv)
      detail::backward_head(spec, p, d_out, items[b], kv, dq, dk, dv);
}

}  // namespace heed::reference
