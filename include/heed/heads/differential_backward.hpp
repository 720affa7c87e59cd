// SPDX-License-Identifier: BSL-1.0
// Gradients of heads/differential.
//
//   dO₁, dO₂, dλ, dg from dO        one pass over rows, in shares of rows cut by the shape
//   each map                        attend_backward with dO₁ or dO₂; the two dV are added
//
// Costs what the gradients of 2H heads cost, and the pass. Kept rows spare the forward call.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/heads/differential.hpp>

namespace heed {

// What the forward call kept of each map; what is absent is computed again.
struct differential_saved {
  saved first{}, second{};
};

// What is absent is not stored. Without a spec of its own the second map has the policies of the
// first: what they learn has as its gradient the sum of `.first` and `.second`.
template <class Spec> struct differential_gradients {
  using second_spec =
      std::remove_cvref_t<decltype(detail::second_map(std::declval<const Spec&>()))>;

  twin<result> dq{}, dk{};
  result dv{};
  head_difference::gradient heads{};
  spec_gradients<decltype(Spec::first)> first{};
  spec_gradients<second_spec> second{};
  gradient_of<decltype(Spec::output)> output{};
};

namespace detail {

// dO to dO₁ and dO₂, and the sums of what is learned in between.
template <class T, class Arch, class Spec>
void join_backward(const Spec& spec, const problem& p, const view<T>& first, const view<T>& second,
                   const operand& d_out, const view<T>& d_first, const view<T>& d_second,
                   const differential_gradients<Spec>& to, const executor_ref& executor) {
  const problem_shape& shape = p.shape;
  const index depth = shape.value_depth, rows = first.extent[2];
  std::vector<T> numbers;
  const difference_row<T> join(spec.heads, shape, first, {}, numbers);
  const index lambdas = spec.heads.lambdas(shape.depth),
              gains = to.heads.gain.size() > 0 ? std::max<index>(spec.heads.gain.size(), depth) : 0,
              all = lambdas + gains + sums_of(spec.output, to.output);
  const index units = std::clamp<index>(rows, 1, simd::most_units);
  std::vector<double> sums(static_cast<std::size_t>(units * all));
  const auto sequences_of =
      sequences<std::remove_cvref_t<decltype(spec.first.plan)>>{p, spec.first.plan};
  clear_gradient(spec.output, to.output);
  executor.for_each(units, [&](index unit, index) {
    double* const sum = sums.data() + unit * all;
    std::vector<T> memory(static_cast<std::size_t>((4 + links<decltype(Spec::output)>()) * depth));
    T *const y = memory.data(), *const z = y + depth, *const d = z + depth, *const dx = d + depth;
    const span some{rows * unit / units, rows * (unit + 1) / units};
    const auto one = [&](const sequence& s, index h, index row) {
      const T *const f = &first(s.batch, h, row), *const x = &second(s.batch, h, row);
      std::copy_n(x, depth, y);
      join.template join<Arch>(f, y, depth, h);
      simd::load_row(d_out.type, d_out.row(s.batch, h, row), d_out.stride[3], depth, d);
      if constexpr (!std::is_same_v<decltype(Spec::output), none>) {
        std::copy_n(y, depth, z);
        join.template finish<Arch>(z, depth, h);
        transform_row_backward<Arch>(spec.output, z, d, depth,
                                     row_position{s.b, h, row - s.row + s.offset, row}, to.output,
                                     sum + lambdas + gains, dx + depth);
      }
      join.template backward<Arch>(y, x, d, dx, depth, h, sum, gains > 0 ? sum + lambdas : nullptr,
                                   1 - spec.heads.init);
      std::copy_n(d, depth, &d_first(s.batch, h, row));
      std::copy_n(dx, depth, &d_second(s.batch, h, row));
    };
    for (index b = 0; b < sequences_of.count() && depth > 0; ++b) {
      const sequence s = sequences_of[b];
      const index last = std::min(some.end, s.row + s.rows);
      for (index h = 0; h < shape.heads; ++h)
        for (index row = std::max(some.begin, s.row); row < last; ++row) one(s, h, row);
    }
  });
  for (index unit = 1; unit < units; ++unit)
    for (index i = 0; i < all; ++i)
      sums[static_cast<std::size_t>(i)] += sums[static_cast<std::size_t>(unit * all + i)];
  spec.heads.deliver(to.heads, sums.data(), sums.data() + lambdas, shape.depth);
  deliver(spec.output, to.output, sums.data() + lambdas + gains);
}

// Rows of one map in the compute type: those kept, or those of another call.
template <class T, class Arch, class Map, class Q, class K, class V>
view<T> map_rows(const Map& map, const view<Q>& q, const view<K>& k, const view<V>& v,
                 const extents& shape, saved& forward, std::vector<T>& memory,
                 std::vector<T>& lse_memory, const executor_ref& executor,
                 const workspace_ref& scratch) {
  const auto rows = dense_rows(memory, shape);
  if (forward.out.present()) {
    const operand& x = forward.out;
    for (index b = 0; b < shape[0]; ++b)
      for (index h = 0; h < shape[1]; ++h)
        for (index l = 0; l < shape[2]; ++l)
          simd::load_row(x.type, x.row(b, h, l), x.stride[3], shape[3],
                         memory.data() + ((b * shape[1] + h) * shape[2] + l) * shape[3]);
    return rows;
  }
  outputs again{.out = rows};
  if constexpr (has_lse<decltype(Map::normalizer)>)
    again.lse = dense_rows(lse_memory, {shape[0], shape[1], shape[2], 1});
  attend<Arch>(map, q, k, v, again, executor, scratch);
  forward = {again.out, again.lse};
  return rows;
}

}  // namespace detail

// With d_out = dL/d_out, writes the gradients asked for. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or a policy does not fit.
template <class Arch = simd::best, class First, class Second, class Output, storable Q, storable K,
          storable V>
void attend_differential_backward(
    const differential<First, Second, Output>& spec, const twin<view<Q>>& q, const twin<view<K>>& k,
    const view<V>& v, const differential_saved& forward, const std::type_identity_t<operand>& d_out,
    const std::type_identity_t<differential_gradients<differential<First, Second, Output>>>& to,
    const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, V>;
  constexpr const char* who = "heed::attend_differential_backward";
  const extents shape{q.first.extent[0], q.first.extent[1], q.first.extent[2], v.extent[3]};
  T unwritten{};
  const differential_outputs absent{.out = view<T>(&unwritten, shape, {0, 0, 0, 0})};
  const twin<view<const Q>> queries = q;
  const twin<view<const K>> keys = k;
  const twin<operand> all_q = queries, all_k = keys;
  const operand values = view<const V>(v);
  detail::checked_differential(who, spec, all_q, all_k, values, absent, nullptr);
  const auto same = [&](const char* name, const operand& x, const extents& e) {
    if (x.present() && x.extent != e)
      check::fail(who, std::string(name) + " must be " + check::print(e), {{name, x}});
  };
  if (!d_out.present() && shape[0] * shape[1] * shape[2] * shape[3] > 0)
    check::fail(who, "d_out must not be null");
  same("d_out", d_out, shape), same("dv", to.dv, v.extent);
  same("dq1", to.dq.first, q.first.extent), same("dq2", to.dq.second, q.first.extent);
  same("dk1", to.dk.first, k.first.extent), same("dk2", to.dk.second, k.first.extent);
  for (const saved* kept : {&forward.first, &forward.second}) {
    same("kept rows", kept->out, shape);
    same("kept lse", kept->lse, {shape[0], shape[1], shape[2], 1});
  }
  const auto& second_map = detail::second_map(spec);
  spec.heads.check(to.heads);
  check_gradients(spec.first, to.first), check_gradients(second_map, to.second);
  check_gradient(spec.output, to.output);

  std::vector<T> memory[4], lse[2], dv[2];
  differential_saved rows = forward;
  const auto first = detail::map_rows<T, Arch>(spec.first, q.first, k.first, v, shape, rows.first,
                                               memory[0], lse[0], executor, scratch),
             second = detail::map_rows<T, Arch>(second_map, q.second, k.second, v, shape,
                                                rows.second, memory[1], lse[1], executor, scratch),
             d_first = detail::dense_rows(memory[2], shape),
             d_second = detail::dense_rows(memory[3], shape);
  const outputs unused{.out = absent.out};
  const auto p = detail::checked(spec.first, all_q.first, all_k.first, values, unused);
  detail::join_backward<T, Arch>(spec, p, first, second, d_out, d_first, d_second, to, executor);
  result dv1, dv2;
  if (to.dv.present())
    dv1 = detail::dense_rows(dv[0], v.extent), dv2 = detail::dense_rows(dv[1], v.extent);
  attend_backward<Arch>(spec.first, q.first, k.first, v, rows.first, d_first,
                        {.dq = to.dq.first, .dk = to.dk.first, .dv = dv1, .spec = to.first},
                        executor, scratch);
  attend_backward<Arch>(second_map, q.second, k.second, v, rows.second, d_second,
                        {.dq = to.dq.second, .dk = to.dk.second, .dv = dv2, .spec = to.second},
                        executor, scratch);
  if (!to.dv.present()) return;
  for (std::size_t i = 0; i < dv[0].size(); ++i) dv[0][i] += dv[1][i];
  detail::store_dense(dv[0], to.dv);
}

}  // namespace heed
