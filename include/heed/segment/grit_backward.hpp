// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/grit, in two visits: of the edges of each destination (dq, what edges and
// heads learn), then of the edges of each source (dk, dv). ê is computed again in both; kept
// between them are a weight and a dscore of each edge and head, and value · d_out of each node.
//
// ρ has an infinite slope at 0, taken as 0; relu has 0 at 0; the clamp passes gradients on up to
// the bound itself.
//
//   attend_edges_backward(grit{…}, by_source, q, k, v, {.out = out, .lse = lse}, d_out, d_edge,
//                         {.dq = dq, .dk = dk, .dv = dv, .spec = {.factor = dw, …}})
#pragma once

#include <heed/segment/grit.hpp>
#include <heed/segment/grit_gradient.hpp>
#include <heed/segment/replay.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void grit_backward(const grit_saved& p, const grit_gradients& to,
                                 const transposed& turned, const executor_ref& executor,
                                 const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges_backward(grit)";
  const grit_problem& x = p.problem;
  const index nodes = x.graph().nodes(), edges = x.graph().edges();
  const index heads = x.heads(), depth = x.depth(), width = x.width();
  x.check(operation);
  turned.check(operation, x.graph(), x.k.extent[2]);
  check_rows(operation, {"out", p.out}, {1, heads, nodes, width});
  check_rows(operation, {"lse", p.lse}, {1, heads, nodes, 1});
  check_rows(operation, {"d_out", p.d_out}, {1, heads, nodes, width});
  check_optional(operation, {"d_edge", p.d_edge}, {1, heads, edges, depth});
  check_optional(operation, {"dq", to.dq}, x.q.extent);
  check_optional(operation, {"dk", to.dk}, x.k.extent);
  check_optional(operation, {"dv", to.dv}, x.v.extent);
  check_optional(operation, {"gradient of factor", to.spec.factor}, {1, heads, edges, depth});
  check_optional(operation, {"gradient of shift", to.spec.shift}, {1, heads, edges, depth});
  check_optional(operation, {"gradient of weight", to.spec.weight}, {1, heads, 1, depth});
  check_optional(operation, {"gradient of value", to.spec.value}, {1, heads, depth, width});
  const bool product = x.spec.value.present();
  if (to.spec.value.present() && !product)
    check::fail(operation, "there is no value to have a gradient");
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const csr by_source = turned.by_source();
  // Sums of what heads learn, one of them a task: few tasks.
  node_visit<T> down(x.graph(), 3 * heads * depth, 128);
  node_visit<T> up(by_source, heads * (depth + width));
  const index tasks = std::max<index>(1, down.tasks());
  const index learned = heads * depth * (1 + (product ? width : 0));
  grit_kept<T> kept{};
  const auto pieces = [&](auto& from) {
    kept.weights = from.template take<T>(edges * heads);
    kept.slopes = from.template take<T>(edges * heads);
    kept.turned = from.template take<T>(product ? nodes * heads * depth : 0);
    kept.value = from.template take<T>(product ? heads * depth * width : 0);
    kept.learned = from.template take<T>(tasks * learned);
    down.take(from), up.take(from);
  };
  lay_out(memory.shared(), pieces);
  if (product)
    for (index h = 0; h < heads; ++h)
      for (index c = 0; c < depth; ++c)
        simd::load_row(x.spec.value.type, x.spec.value.row(0, h, c), x.spec.value.stride[3], width,
                       kept.value + (h * depth + c) * width);
  std::fill_n(kept.learned, tasks * learned, T(0));
  down.run(grit_by_destination<T, Arch>{{p, to, kept}}, executor, memory);
  for (index t = 1; t < tasks; ++t)
    add_scaled<T, Arch>(T(1), kept.learned + t * learned, learned, kept.learned);
  for (index h = 0; h < heads; ++h) {
    write_row(to.spec.weight, h, 0, kept.learned + h * depth);
    for (index c = 0; c < depth && product; ++c)
      write_row(to.spec.value, h, c, kept.learned + heads * depth + (h * depth + c) * width);
  }
  if (to.dk.present() || to.dv.present())
    up.run(grit_by_source<T, Arch>{{p, to, kept}, turned}, executor, memory);
}

}  // namespace detail

// `forward` is what attend_edges wrote, lse included; d_edge [1,H,E,D] is the gradient by ê, or
// nothing; `by_source` is transposed(spec.graph, M). Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges_backward(const grit& spec, const transposed& by_source, const view<Q>& q,
                           const view<K>& k, const view<V>& v, const edge_forward& forward,
                           const operand& d_out, const operand& d_edge, const grit_gradients& to,
                           const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::grit_saved p{{spec, view<const Q>(q), view<const K>(k), view<const V>(v)},
                             forward.out,
                             forward.lse,
                             d_out,
                             d_edge};
  detail::grit_backward<compute_type<Q, K, V>, Arch>(p, to, by_source, executor, scratch);
}

}  // namespace heed
