// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/local_linear: the front. A key head is a task, and sums over its queries
// in their order.
#pragma once

#include <heed/recurrence/local_linear.hpp>
#include <heed/recurrence/local_linear_fit_backward.hpp>

namespace heed {

// Absent: not wanted. d_ridge has the extents of the ridge.
struct local_linear_gradients {
  result dq{}, dk{}, dv{}, d_ridge{};
};

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void local_linear_backward(const local_linear_call& call, const operand& d_out,
                                         const local_linear_gradients& to,
                                         const executor_ref& executor,
                                         const workspace_ref& scratch) {
  constexpr const char* operation = "heed::scan_backward(local_linear)";
  using panel = local_linear_fit_backward<T, Arch>;
  call.check(operation, d_out, "d_out");
  const auto wanted = [&](const char* name, const result& y, const operand& like) {
    if (y.present() && y.extent != like.extent)
      check::fail(operation, std::string(name) + " must be " + check::print(like.extent),
                  {{"q", call.q}, {"k", call.k}, {"v", call.v}, {name, y}});
  };
  wanted("dq", to.dq, call.q), wanted("dk", to.dk, call.k), wanted("dv", to.dv, call.v);
  wanted("d_ridge", to.d_ridge, call.spec.ridge);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  const index heads = call.q.extent[1], kv = call.k.extent[1], group = call.group();
  const index sequences = call.list.count(), depth = call.depth(), dv = call.value_depth();
  const index longest = call.longest();
  const local_linear_rows<T> all(call.k, call.v, executor, memory.shared());
  std::vector<double> ridge(std::size_t(sequences * heads));
  executor.for_each(sequences * kv, [&](index task, index worker) {
    const index i = task / kv, head = task % kv;
    const auto at = call.list[i], keys = call.keys(i);
    arena& a = memory.worker(worker);
    a.reserve(std::size_t(panel::bytes(depth, dv, longest)));
    panel x(a, depth, dv, longest);
    for (index h = head * group; h < (head + 1) * group; ++h)
      for (index first = 0, count; first < at.length; first += count) {
        count = std::min(panel::pitch, at.length - first);
        call.begin(x, i, h, first, count, all.rows(keys, head));
        for (index n = 0; n < count; ++n)
          load(d_out, at.b, h, at.first + first + n, x.rows + n * dv);
        simd::to_lanes<T, Arch>(x.rows, dv, count, dv, T(1), x.d_o, x.pitch);
        ridge[std::size_t(i * heads + h)] += x.run(call.scale<T>(), call.spec.uniform);
        if (to.dq.present())
          for (index n = 0; n < count; ++n)
            store(to.dq, at.b, h, at.first + first + n, x.rows + n * depth);
      }
    for (index j = 0; j < keys.length; ++j) {
      if (to.dk.present()) store(to.dk, keys.b, head, keys.first + j, x.dk + j * x.width);
      if (to.dv.present()) store(to.dv, keys.b, head, keys.first + j, x.dv + j * x.columns);
    }
  });
  if (!to.d_ridge.present()) return;
  std::vector<double> sums(std::size_t(broadcast::sums(to.d_ridge)));
  for (index n = 0; n < sequences * heads; ++n)
    sums[std::size_t(broadcast::sum_at(to.d_ridge, 0, n % heads, 0, 0))] += ridge[std::size_t(n)];
  broadcast::store_sums(to.d_ridge, sums.data());
}

}  // namespace detail

// Gradients of L where d_out [B,H,Lq,Dv] is dL/d out of scan(spec, q, k, v, out). Nothing of the
// forward pass is kept: weights and fits are made anew. Same bits for any executor. Where two keys
// share the largest score of a row there is a kink, and the first of them is taken. Throws
// std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V, storable G>
void scan_backward(const local_linear& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                   const view<G>& d_out, const local_linear_gradients& to,
                   const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::local_linear_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  detail::local_linear_backward<compute_type<Q, K, V>, Arch>(call, view<const G>(d_out), to,
                                                             executor, scratch);
}

}  // namespace heed
