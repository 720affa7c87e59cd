// SPDX-License-Identifier: BSL-1.0
// heads/differential: the difference of two maps over the same values (Ye et al., Differential
// Transformer, 2024).
//
//   o = n( softmax(Q₁K₁ᵀ/√D) V − λ softmax(Q₂K₂ᵀ/√D) V )       n, λ: heads/head_difference.hpp
//
//   const differential spec{.first = attention{.mask = causal{}}, .heads = {.init = 0.8}};
//   attend_differential(spec, twin_heads(q), twin_heads(k), v, out);        prefill
//   attend_differential(spec, twin_channels(q), cache, out);                rows [k₁, k₂ | v]
//
// q₁, q₂ [B,H,Lq,D], k₁, k₂ [B,Hkv,Lk,D], v [B,Hkv,Lk,Dv], out [B,H,Lq,Dv]; in the paper Dv = 2D.
// Each map is a call of `attend` of any spec and over any source. The first leaves its rows in
// scratch, the second takes them in as it finishes its own: the cost is that of 2H heads, and a
// pass over rows, O(Lq · Lk · (D + Dv)).
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/attention/dense_rows.hpp>
#include <heed/heads/head_difference.hpp>
#include <heed/heads/twin.hpp>
#include <heed/kv/key_channels.hpp>

namespace heed {

// Without a spec of its own the second map is as the first. `.output` is of the joined rows.
template <class First = attention<>, class Second = none, class Output = none> struct differential {
  First first{};
  Second second{};
  head_difference heads{};
  Output output{};
};

// Rows and lse of each map are kept where they have a place: the backward pass takes them.
struct differential_outputs {
  result out{};
  outputs first{}, second{};
};

// Scratch of repeated calls. Not for two calls at once.
template <class T> struct differential_workspace {
  std::vector<T> first, numbers;
  workspace engine;
};

namespace detail {

template <class First, class Second, class Output>
const auto& second_map(const differential<First, Second, Output>& spec) {
  if constexpr (std::is_same_v<Second, none>)
    return spec.first;
  else
    return spec.second;
}
template <class A, class B> auto in_turn(const A& a, const B& b) {
  if constexpr (std::is_same_v<A, none>)
    return b;
  else if constexpr (std::is_same_v<B, none>)
    return a;
  else
    return a | b;
}

// Everything that both calls and the rows between them demand.
template <class Spec>
problem_shape checked_differential(const char* who, const Spec& spec, const twin<operand>& q,
                                   const twin<operand>& k, const operand& v,
                                   const differential_outputs& to, const kv_ref* source) {
  if (q.first.extent != q.second.extent || k.first.extent != k.second.extent)
    check::fail(who, "both maps must have the same extents",
                {{"q1", q.first}, {"q2", q.second}, {"k1", k.first}, {"k2", k.second}});
  for (const outputs* kept : {&to.first, &to.second})
    if (kept->out.present() && kept->out.extent != to.out.extent)
      check::fail(who, "kept rows must have the shape of out",
                  {{"out", to.out}, {"kept", kept->out}});
  const outputs first{to.out, to.first.lse}, second{to.out, to.second.lse};
  checked(spec.first, q.first, k.first, v, first, source);
  const problem_shape shape =
      checked(second_map(spec), q.second, k.second, v, second, source).shape;
  spec.heads.check(shape);
  check_rows(spec.output, shape, {shape.batch, shape.heads, shape.queries, shape.value_depth});
  return shape;
}

// call(second?, spec, outputs) is `attend` of one of the maps.
template <class T, class Spec, class Call>
void run_differential(const Spec& spec, const problem_shape& shape, const differential_outputs& to,
                      differential_workspace<T>& memory, const Call& call) {
  outputs first = to.first;
  if (!first.out.present()) first.out = dense_rows(memory.first, to.out.extent);
  call(std::false_type{}, spec.first, first);
  const auto& map = second_map(spec);
  const difference_row<T> rows(spec.heads, shape, first.out, to.second.out, memory.numbers);
  const auto joined = exchanged(map, map.mask, map.weights, map.value,
                                in_turn(in_turn(map.output, rows), spec.output));
  outputs second = to.second;
  second.out = to.out;
  call(std::true_type{}, joined, second);
}

}  // namespace detail

// Computes in float, or in double if q, k and v are double. A row without keys gives zeros. Same
// bits for any executor. Throws std::invalid_argument, before anything is written, if a shape or a
// policy does not fit.
template <class Arch = simd::best, class First, class Second, class Output, storable Q, storable K,
          storable V>
void attend_differential(const differential<First, Second, Output>& spec, const twin<view<Q>>& q,
                         const twin<view<K>>& k, const view<V>& v, const differential_outputs& to,
                         const executor_ref& executor = {},
                         differential_workspace<compute_type<Q, K, V>>* scratch = nullptr) {
  using T = compute_type<Q, K, V>;
  const twin<view<const Q>> queries = q;
  const twin<view<const K>> keys = k;
  const auto shape = detail::checked_differential("heed::attend_differential", spec, queries, keys,
                                                  view<const V>(v), to, nullptr);
  differential_workspace<T> own;
  auto& memory = scratch ? *scratch : own;
  detail::run_differential(
      spec, shape, to, memory, [&](auto second, const auto& map, const outputs& into) {
        attend<Arch>(map, second ? q.second : q.first, second ? k.second : k.first, v, into,
                     executor, memory.engine);
      });
}
template <class Arch = simd::best, class First, class Second, class Output, storable Q, storable K,
          storable V>
void attend_differential(const differential<First, Second, Output>& spec, const twin<view<Q>>& q,
                         const twin<view<K>>& k, const view<V>& v,
                         const std::type_identity_t<result>& out, const executor_ref& executor = {},
                         differential_workspace<compute_type<Q, K, V>>* scratch = nullptr) {
  attend_differential<Arch>(spec, q, k, v, differential_outputs{.out = out}, executor, scratch);
}

// The same over a source of rows [k₁, k₂ | v], of 2D channels of keys: a cache.
template <class Arch = simd::best, class First, class Second, class Output, storable Q,
          kv_source Source>
void attend_differential(const differential<First, Second, Output>& spec, const twin<view<Q>>& q,
                         const Source& source, const differential_outputs& to,
                         const executor_ref& executor = {},
                         differential_workspace<compute_type<Q>>* scratch = nullptr) {
  constexpr const char* who = "heed::attend_differential";
  const index depth = source.depth() / 2;
  if (source.depth() % 2 != 0)
    check::fail(who,
                "keys must be [k1, k2], not of " + std::to_string(source.depth()) + " channels");
  const key_channels first(source, 0, depth), second(source, depth, depth);
  second.check();
  const twin<view<const Q>> queries = q;
  operand k, v;
  k.extent = {source.batch(), source.heads(), kv_ref(first).longest(), depth};
  v.extent = {source.batch(), source.heads(), kv_ref(first).longest(), source.value_depth()};
  const kv_ref any(first);
  const auto shape = detail::checked_differential(who, spec, queries, {k, k}, v, to, &any);
  differential_workspace<compute_type<Q>> own;
  auto& memory = scratch ? *scratch : own;
  detail::run_differential(spec, shape, to, memory,
                           [&](auto other, const auto& map, const outputs& into) {
                             attend<Arch>(map, other ? q.second : q.first, other ? second : first,
                                          into, executor, memory.engine);
                           });
}
template <class Arch = simd::best, class First, class Second, class Output, storable Q,
          kv_source Source>
void attend_differential(const differential<First, Second, Output>& spec, const twin<view<Q>>& q,
                         const Source& source, const std::type_identity_t<result>& out,
                         const executor_ref& executor = {},
                         differential_workspace<compute_type<Q>>* scratch = nullptr) {
  attend_differential<Arch>(spec, q, source, differential_outputs{.out = out}, executor, scratch);
}

}  // namespace heed
