// SPDX-License-Identifier: BSL-1.0
// reference::attend: any `attention` spec, one query at a time, in double.
//
// The oracle of the engine: it takes the same policies and knows nothing of tiles, lanes, packing
// or threads. It cannot see a wrong policy; those have references of their own beside this file.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/heads/grouped.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/score/row_queries.hpp>
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

// The scores of the keys that a query sees; q is not scaled.
template <class S>
void modify_row(const S& f, double* s, const std::vector<heed::position>& pairs, const row& q) {
  if constexpr (is_chain<S>) {
    modify_row(f.first, s, pairs, q);
    modify_row(f.second, s, pairs, q);
  } else if constexpr (heed::detail::modifies_rows<S>) {
    if (pairs.empty()) return;
    const auto keys = static_cast<index>(pairs.size());
    const heed::position& at = pairs.front();
    row scratch(static_cast<std::size_t>(f.scratch(index{1}, keys)));
    f.template modify_rows<simd::scalar>(
        row_scores<double>{.s = s,
                           .heads = 1,
                           .keys = keys,
                           .rows = 1,
                           .pitch = 1,
                           .head_pitch = keys,
                           .first = 0,
                           .own = 1,
                           .b = at.b,
                           .h = at.h,
                           .q = at.q,
                           .row = at.row,
                           .k = at.k},
        row_queries<double>{.q = q.data(), .pitch = 1, .factor = 1}, scratch.data());
  } else {
    for (std::size_t j = 0; j < pairs.size(); ++j) s[j] = modified(f, s[j], pairs[j]);
  }
}

// Edits of the weights of keys, which are the last ones of the row: extra slots go first.
template <class W>
void edit_weights([[maybe_unused]] const W& policy, [[maybe_unused]] double finish,
                  [[maybe_unused]] const std::vector<heed::position>& pairs,
                  [[maybe_unused]] row& weights) {
  [[maybe_unused]] const std::size_t extra = weights.size() - pairs.size();
  if constexpr (scales_weights<W, simd::scalar, double>) {
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      const heed::position& x = pairs[j];
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

// Scores become weights, still to be multiplied by what is returned.
template <class N>
double normalise(const N& given, const heed::position& at, [[maybe_unused]] index keys,
                 [[maybe_unused]] const std::vector<heed::position>& pairs, row& weights,
                 row_state<double>& state) {
  if constexpr (heed::detail::takes_rows<N>) {
    static_assert(!heed::detail::takes_all_queries<N>, "the oracle knows one query at a time");
    row all(static_cast<std::size_t>(keys), masked<double>);
    for (std::size_t j = 0; j < pairs.size(); ++j)
      all[static_cast<std::size_t>(pairs[j].k)] = weights[j];
    row scratch(static_cast<std::size_t>(given.scratch(keys, 1)));
    given.template solve<simd::scalar>(row_scores<double>{.s = all.data(),
                                                          .heads = 1,
                                                          .keys = keys,
                                                          .rows = 1,
                                                          .pitch = 1,
                                                          .head_pitch = keys,
                                                          .first = 0,
                                                          .own = 1,
                                                          .b = at.b,
                                                          .h = at.h,
                                                          .q = at.q,
                                                          .row = at.row,
                                                          .k = 0},
                                       scratch.data());
    for (std::size_t j = 0; j < pairs.size(); ++j)
      weights[j] = all[static_cast<std::size_t>(pairs[j].k)];
    return 1;
  } else {
    const auto& normalizer = steps_of(given);
    state = normalizer.template start<double>(row_position{at.b, at.h, at.q, at.row});
    double factor = 1;
    if (!weights.empty())
      normalizer.template absorb<simd::scalar>(weights.data(), index{1},
                                               static_cast<index>(weights.size()), state, factor);
    return normalizer.finish(state);
  }
}

template <class Spec>
void attend_row(const Spec& spec, const problem& p, const sequence& s, index h, index i) {
  static_assert(!heed::detail::mixes_heads<decltype(Spec::weights)>,
                "the oracle knows one head at a time: heed/reference/heads has mixed ones");
  const problem_shape& shape = p.shape;
  const index kv = kv_head_of(h, shape);
  const heed::position at{s.b, h, i + s.offset, 0, s.row + i, 0};
  row q = loaded(p.q, s.batch, h, s.row + i);
  q = rewritten_query(spec, q, shape.depth, {s.b, h, at.q, at.row});
  const row unscaled = q;
  for (double& x : q) x *= p.scale;

  row weights;
  std::vector<row> values;
  std::vector<heed::position> pairs;
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
    heed::position pair = at;
    pair.k = j, pair.slot = s.slot + j;
    if (!spec.mask(pair)) continue;
    row k = loaded(p.k, s.batch, kv, pair.slot), v = loaded(p.v, s.batch, kv, pair.slot);
    simd::transform_row<simd::scalar>(spec.key, k.data(), shape.depth,
                                      row_position{s.b, kv, j, pair.slot});
    simd::transform_row<simd::scalar>(spec.value, v.data(), shape.value_depth,
                                      row_position{s.b, kv, j, pair.slot});
    weights.push_back(
        similarity(spec, q, rewritten_key(spec, k, shape.depth, {s.b, kv, j, pair.slot})));
    values.push_back(v);
    pairs.push_back(pair);
  }
  modify_row(spec.score, weights.data() + (weights.size() - pairs.size()), pairs, unscaled);

  row_state<double> state{};
  const double finish = normalise(spec.normalizer, at, s.keys, pairs, weights, state);
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
