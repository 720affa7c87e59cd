// SPDX-License-Identifier: BSL-1.0
// Relative random walk probabilities (Ma et al., GRIT, 2023): for a pair of nodes, the chances to
// walk from one to the other in 0, 1, …, K - 1 steps.
//
//   rrwp(g, pairs, {.edges = as<"LD">(p), .nodes = as<"LD">(own)})
//
// [I, M, …, M^{K-1}]_ij with M = D⁻¹A; row i of A counts the edges of node i in `g`, which a walk
// takes with equal chances. `pairs` are the edges that want a row of p [1,1,E,K]; `own` [1,1,N,K],
// the same of each node and itself. A walk from a node without edges ends there.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/segment/edge_rows.hpp>
#include <heed/segment/problem.hpp>

namespace heed {

struct rrwp_outputs {
  result edges{}, nodes{};  // those wanted
};

namespace detail {

// The chances to be at each node, after steps from one of them: 0 wherever it has not been.
struct random_walk {
  const csr& graph;
  double *now, *next;       // [N], zeros
  index *reached, *coming;  // the nodes where they are not
  index here = 0, there = 0;

  void start(index node) { now[node] = 1, reached[0] = node, here = 1; }
  void step() {
    for (index n = 0; n < here; ++n) {
      const index i = reached[n];
      const double share = now[i] / double(std::max<index>(1, graph.degree(i)));
      if (share == 0) continue;  // below what a double holds
      for (index e = graph.begin(i); e < graph.end(i); ++e) {
        const index j = graph.source(e);
        if (next[j] == 0) coming[there++] = j;
        next[j] += share;
      }
    }
    clear();
    std::swap(now, next), std::swap(reached, coming), std::swap(here, there);
  }
  void clear() {
    for (index n = 0; n < here; ++n) now[reached[n]] = 0;
    here = 0;
  }
};

}  // namespace detail

// In double; O(K · edges within K - 1 steps) for each node, and N for each of 256 tasks. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a graph or a shape does not fit: both
// graphs have the same N nodes as destinations and sources.
inline void rrwp(const csr& graph, const csr& pairs, const rrwp_outputs& to,
                 const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const char* const operation = "heed::rrwp";
  const index nodes = graph.nodes();
  const index steps = to.edges.present() ? to.edges.extent[3] : to.nodes.extent[3];
  graph.check(operation, nodes), pairs.check(operation, nodes);
  if (pairs.nodes() != nodes)
    check::fail(operation, "pairs must have the nodes of the graph, " + std::to_string(nodes) +
                               ": " + std::to_string(pairs.nodes()));
  detail::check_optional(operation, {"edges", to.edges}, {1, 1, pairs.edges(), steps});
  detail::check_optional(operation, {"nodes", to.nodes}, {1, 1, nodes, steps});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  // A task clears a row of all nodes: few tasks.
  const index rows = std::max<index>(16, (nodes + 255) / 256);
  executor.for_each((nodes + rows - 1) / rows, [&](index task, index worker) {
    index most = 1;
    for (index i = task * rows; i < std::min(nodes, (task + 1) * rows); ++i)
      most = std::max(most, pairs.degree(i));
    arena& from = memory.worker(worker);
    double *now = nullptr, *next = nullptr, *p = nullptr;
    index *reached = nullptr, *coming = nullptr;
    const auto pieces = [&](auto& a) {
      now = a.template take<double>(nodes), next = a.template take<double>(nodes);
      reached = a.template take<index>(nodes), coming = a.template take<index>(nodes);
      p = a.template take<double>((most + 1) * steps);
    };
    detail::lay_out(from, pieces);
    std::fill_n(now, nodes, 0.0), std::fill_n(next, nodes, 0.0);
    detail::random_walk walk{graph, now, next, reached, coming};
    for (index i = task * rows; i < std::min(nodes, (task + 1) * rows); ++i) {
      const index degree = pairs.degree(i);
      walk.start(i);
      for (index s = 0; s < steps; ++s) {
        for (index e = 0; e < degree; ++e)
          p[e * steps + s] = walk.now[pairs.source(pairs.begin(i) + e)];
        p[degree * steps + s] = walk.now[i];
        if (s + 1 < steps) walk.step();
      }
      walk.clear();
      for (index e = 0; e < degree; ++e)
        detail::write_row(to.edges, 0, pairs.begin(i) + e, p + e * steps);
      detail::write_row(to.nodes, 0, i, p + degree * steps);
    }
  });
}

}  // namespace heed
