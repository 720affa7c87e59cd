// SPDX-License-Identifier: BSL-1.0
// reference::attend: any `attention` spec, one query at a time, in double.
//
// The oracle of the engine: it takes the same policies and knows nothing of tiles, lanes, packing
// or threads. It cannot see a wrong policy; those have references of their own beside this file.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/heads/grouped.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <vector>

namespace heed::reference {

namespace detail {

using heed::detail::problem;
using heed::detail::sequence;
using row = std::vector<double>;

inline row loaded(const operand& x, index b, index h, index l) {
  row values(static_cast<std::size_t>(x.extent[3]));
  simd::load_row(x.type, x.row(b, h, l), x.stride[3], x.extent[3], values.data());
  return values;
}

// One row as the similarity wants it: prologue first.
template <class Spec>
row rewritten_key(const Spec& spec, row x, index depth, const row_position& at) {
  x.resize(static_cast<std::size_t>(packed_width(spec.similarity, depth)));
  if constexpr (requires { spec.similarity.template key<simd::scalar>(x.data(), depth, at); })
    spec.similarity.template key<simd::scalar>(x.data(), depth, at);
  return x;
}
template <class Spec>
row rewritten_query(const Spec& spec, row x, index depth, const row_position& at) {
  simd::transform_row<simd::scalar>(spec.query, x.data(), depth, at);
  x.resize(static_cast<std::size_t>(packed_width(spec.similarity, depth)));
  if constexpr (requires { spec.similarity.template query<simd::scalar>(x.data(), depth, at); })
    spec.similarity.template query<simd::scalar>(x.data(), depth, at);
  return x;
}

template <class Spec> double similarity(const Spec& spec, const row& q, const row& k) {
  const auto width = static_cast<index>(q.size());
  double s = 0;
  if constexpr (requires {
                  spec.similarity.template scores<simd::scalar>(index{1}, k.data(), width, index{1},
                                                                q.data(), index{1}, width, &s);
                })
    spec.similarity.template scores<simd::scalar>(index{1}, k.data(), width, index{1}, q.data(),
                                                  index{1}, width, &s);
  else
    for (std::size_t c = 0; c < q.size(); ++c) s += q[c] * k[c];
  return s;
}

// Edits of the weights of keys, which are the last ones of the row: extra slots go first.
template <class W>
void edit_weights([[maybe_unused]] const W& policy, [[maybe_unused]] double finish,
                  [[maybe_unused]] const std::vector<position>& pairs,
                  [[maybe_unused]] row& weights) {
  [[maybe_unused]] const std::size_t extra = weights.size() - pairs.size();
  if constexpr (scales_weights<W, simd::scalar, double>) {
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      const position& x = pairs[j];
      scale_weights<simd::scalar>(policy,
                                  tile{.b = x.b,
                                       .h = x.h,
                                       .q = x.q,
                                       .row = x.row,
                                       .rows = 1,
                                       .k = x.k,
                                       .slot = x.slot,
                                       .keys = 1,
                                       .pitch = 1},
                                  &weights[extra + j]);
    }
  } else if constexpr (requires { policy.edit(weights.data(), pairs.data(), index{}); }) {
    for (double& p : weights) p *= finish;
    policy.edit(weights.data() + extra, pairs.data(), static_cast<index>(pairs.size()));
    if (finish != 0)
      for (double& p : weights) p /= finish;
  }
}

template <class Spec>
void attend_row(const Spec& spec, const problem& p, const sequence& s, index h, index i) {
  const problem_shape& shape = p.shape;
  const index kv = kv_head_of(h, shape);
  const position at{s.b, h, i + s.offset, 0, s.row + i, 0};
  row q = loaded(p.q, s.batch, h, s.row + i);
  q = rewritten_query(spec, q, shape.depth, {s.b, h, at.q, at.row});
  for (double& x : q) x *= p.scale;

  row weights;
  std::vector<row> values;
  std::vector<position> pairs;
  if constexpr (!std::is_same_v<decltype(Spec::extra), none>)
    for (index j = 0; j < spec.extra.slots(); ++j) {
      row k(static_cast<std::size_t>(packed_width(spec.similarity, shape.depth))),
          v(static_cast<std::size_t>(shape.value_depth));
      spec.extra.key(s.b, kv, j, k.data());
      spec.extra.value(s.b, kv, j, v.data(), shape.value_depth);
      weights.push_back(similarity(spec, q, rewritten_key(spec, k, shape.depth, {s.b, kv, j, j})));
      values.push_back(v);
    }
  for (index j = 0; j < s.keys; ++j) {
    position pair = at;
    pair.k = j, pair.slot = s.slot + j;
    if (!spec.mask(pair)) continue;
    row k = loaded(p.k, s.batch, kv, pair.slot), v = loaded(p.v, s.batch, kv, pair.slot);
    simd::transform_row<simd::scalar>(spec.key, k.data(), shape.depth,
                                      row_position{s.b, kv, j, pair.slot});
    simd::transform_row<simd::scalar>(spec.value, v.data(), shape.value_depth,
                                      row_position{s.b, kv, j, pair.slot});
    weights.push_back(modified(
        spec.score,
        similarity(spec, q, rewritten_key(spec, k, shape.depth, {s.b, kv, j, pair.slot})), pair));
    values.push_back(v);
    pairs.push_back(pair);
  }

  const auto& normalizer = steps_of(spec.normalizer);
  row_state<double> state = normalizer.template start<double>(row_position{s.b, h, at.q, at.row});
  double factor = 1;
  if (!weights.empty())
    normalizer.template absorb<simd::scalar>(weights.data(), index{1},
                                             static_cast<index>(weights.size()), state, factor);
  const double finish = normalizer.finish(state);
  edit_weights(spec.weights, finish, pairs, weights);
  row out(static_cast<std::size_t>(shape.value_depth));
  for (std::size_t j = 0; j < weights.size(); ++j)
    for (std::size_t d = 0; d < out.size(); ++d)
      if (weights[j] != 0) out[d] += weights[j] * values[j][d];
  for (double& x : out) x *= finish;
  simd::transform_row<simd::scalar>(spec.output, out.data(), shape.value_depth,
                                    row_position{s.b, h, at.q, at.row});
  const result& to = p.to.out;
  simd::store_row(to.type, out.data(), shape.value_depth, to.row(s.batch, h, at.row), to.stride[3]);
  if constexpr (has_lse<decltype(Spec::normalizer)>)
    if (p.to.lse.present()) {
      const double lse = spec.normalizer.lse(state);
      simd::store_row(p.to.lse.type, &lse, 1, p.to.lse.row(s.batch, h, at.row), 1);
    }
}

}  // namespace detail

// As heed::attend, same checks included. O(Lq · Lk · (D + Dv)) with no attempt at speed.
template <class Spec, storable Q, storable K, storable V>
void attend(const Spec& spec, view<Q> q, view<K> k, view<V> v, const outputs& to) {
  const operand from[] = {view<const Q>(q), view<const K>(k), view<const V>(v)};
  const auto p = heed::detail::checked(spec, from[0], from[1], from[2], to);
  const heed::detail::sequences<decltype(Spec::plan)> items{p, spec.plan};
  for (index b = 0; b < items.count(); ++b)
    for (index h = 0; h < p.shape.heads; ++h)
      for (index i = 0; i < items[b].rows; ++i) detail::attend_row(spec, p, items[b], h, i);
}
template <class Spec, storable Q, storable K, storable V>
void attend(const Spec& spec, view<Q> q, view<K> k, view<V> v, const result& out) {
  reference::attend(spec, q, k, v, outputs{.out = out});
}

}  // namespace heed::reference
