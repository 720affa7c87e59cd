// SPDX-License-Identifier: BSL-1.0
// Gradients of segment/gin_pna, in up to three visits: of each destination, for its mean, variance
// and the edges that its extremes come from; of its edges once more, for their weights; of the
// edges of each source, for dx. A maximum passes its gradient on to the first edge that has it.
//
//   aggregate_edges_backward(gin_pna{…}, by_source, x, d_out, {.dx = dx, .spec = {.weights = da}})
#pragma once

#include <heed/segment/gin_pna_gradient.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void aggregate_backward(const gin_pna_problem& p, const transposed& turned,
                                      const operand& d_out, const gin_pna_gradients& to,
                                      const executor_ref& executor, const workspace_ref& scratch) {
  const char* const operation = "heed::aggregate_edges_backward";
  const index heads = p.heads(), nodes = p.graph().nodes();
  p.check(operation);
  turned.check(operation, p.graph(), p.x.extent[2]);
  check_rows(operation, {"d_out", d_out}, {1, heads, nodes, p.width()});
  check_optional(operation, {"dx", to.dx}, p.x.extent);
  check_optional(operation, {"gradient of weights", to.spec.weights}, p.spec.weights.extent);
  check_optional(operation, {"gradient of self", to.spec.self}, p.spec.self.extent);
  if (to.spec.weights.present() && to.spec.weights.extent[2] != p.graph().edges())
    check::fail(operation, "a gradient of edges needs a number for every edge",
                {{"gradient of weights", to.spec.weights}});
  if (p.graph().edges() > std::numeric_limits<edge_number<T>>::max())
    check::fail(operation, "too many edges for float");
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const csr by_source = turned.by_source();
  gin_pna_nodes<T, Arch> first{{p, true}, d_out, nullptr, nullptr};
  node_visit<T> down(p.graph(), first.state()), along(p.graph(), 0);
  node_visit<T> up(by_source, heads * p.depth());
  const index tasks = std::max<index>(1, down.tasks());
  const auto pieces = [&](auto& from) {
    first.nodes = from.template take<T>(nodes * heads * gin_pna_node<T>::size(p));
    first.self = from.template take<T>(tasks * heads);
    down.take(from), along.take(from), up.take(from);
  };
  lay_out(memory.shared(), pieces);
  std::fill_n(first.self, tasks * heads, T(0));
  down.run(first, executor, memory);
  if (to.spec.weights.present())
    along.run(gin_pna_weights<T, Arch>{p, first.nodes, to.spec.weights}, executor, memory);
  if (to.dx.present())
    up.run(gin_pna_by_source<T, Arch>{p, turned, first.nodes, to.dx}, executor, memory);
  const index own_rows = to.spec.self.present() ? to.spec.self.extent[1] : 0;
  for (index i = 0; i < own_rows; ++i) {
    T sum = 0;
    for (index h = i; h < (own_rows == 1 ? heads : i + 1); ++h)
      for (index t = 0; t < tasks; ++t) sum += first.self[t * heads + h];
    write_row(to.spec.self, i, 0, &sum);
  }
}

}  // namespace detail

// d_out [1,H,N,k·D]; `by_source` is transposed(spec.graph, M). Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or the graph does not fit.
template <class Arch = simd::best, storable X, storable O>
void aggregate_edges_backward(const gin_pna& spec, const transposed& by_source, const view<X>& x,
                              const view<O>& d_out,
                              const std::type_identity_t<gin_pna_gradients>& to,
                              const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  detail::aggregate_backward<compute_type<X, O>, Arch>({spec, view<const X>(x)}, by_source,
                                                       view<const O>(d_out), to, executor, scratch);
}

}  // namespace heed
