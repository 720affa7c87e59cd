// SPDX-License-Identifier: BSL-1.0
// Graphs as edge lists: the edges of a destination lie together, compressed rows of sources. An
// edge's number is its place in `sources`; tensors of edges are [1,H,E,D] in this order.
//
// `csr` borrows, `transposed` owns: the same edges grouped by source, for gradients and for
// messages in the other direction. Destinations and sources may be different sets of nodes.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <span>
#include <vector>

namespace heed {

// What an operator asks of the sources of one destination.
enum class edge_order {
  any,        // any order, repeated edges count as often as they are there
  ascending,  // repeats allowed
  unique      // ascending without repeats
};

struct csr {
  std::span<const index> offsets{};  // [N+1], from 0 to E: edges of node i from offsets[i] on
  std::span<const int> sources{};    // [E]

  constexpr index nodes() const { return std::max<index>(0, index(offsets.size()) - 1); }
  constexpr index edges() const { return index(sources.size()); }
  constexpr index begin(index node) const { return offsets[static_cast<std::size_t>(node)]; }
  constexpr index end(index node) const { return offsets[static_cast<std::size_t>(node) + 1]; }
  constexpr index degree(index node) const { return end(node) - begin(node); }
  constexpr int source(index edge) const { return sources[static_cast<std::size_t>(edge)]; }

  // Degrees, for what reads nothing else. O(N).
  void check_offsets(const char* operation) const {
    const auto text = [](index n) { return std::to_string(n); };
    if (offsets.empty())
      check::fail(operation, "offsets must hold one entry more than there are nodes: none given");
    if (offsets.front() != 0)
      check::fail(operation, "offsets must start at 0: " + text(offsets.front()));
    for (index i = 0; i < nodes(); ++i)
      if (begin(i) > end(i))
        check::fail(operation, "offsets must not decrease: offsets[" + text(i + 1) +
                                   "] = " + text(end(i)) + " after " + text(begin(i)));
  }
  // Names the first offender. O(N + E).
  void check(const char* operation, index source_nodes, edge_order order = edge_order::any) const {
    const auto text = [](index n) { return std::to_string(n); };
    check_offsets(operation);
    if (source_nodes < 0)
      check::fail(operation, "there cannot be " + text(source_nodes) + " sources");
    if (offsets.back() != edges())
      check::fail(operation, "offsets must end at the number of edges, " + text(edges()) + ": " +
                                 text(offsets.back()));
    for (index e = 0; e < edges(); ++e)
      if (source(e) < 0 || source(e) >= source_nodes)
        check::fail(operation, "edge " + text(e) + " comes from node " + text(source(e)) +
                                   ", there are " + text(source_nodes));
    if (order == edge_order::any) return;
    for (index i = 0; i < nodes(); ++i)
      for (index e = begin(i) + 1; e < end(i); ++e) {
        const auto at = [&] {
          return " of node " + text(i) + ": edge " + text(e) + " from " + text(source(e));
        };
        if (source(e) < source(e - 1))
          check::fail(operation,
                      "sources must ascend, those" + at() + " after " + text(source(e - 1)));
        if (order == edge_order::unique && source(e) == source(e - 1))
          check::fail(operation, "edges must not repeat, one" + at() + " is there twice");
      }
  }
};

// Edges by source, in the order of their numbers: sums over them have one order. `by_source()` is a
// graph whose nodes are the sources and whose `sources` are the destinations; its edge t is edge
// `edge(t)` of the graph it was made from.
class transposed {
 public:
  transposed() = default;
  // Throws as `csr::check`.
  transposed(const csr& graph, index source_nodes) {
    graph.check("heed::transposed", source_nodes);
    offsets_.assign(static_cast<std::size_t>(source_nodes) + 1, 0);
    destinations_.resize(graph.sources.size()), edges_.resize(graph.sources.size());
    for (const int s : graph.sources) ++offsets_[static_cast<std::size_t>(s) + 1];
    for (std::size_t i = 1; i < offsets_.size(); ++i) offsets_[i] += offsets_[i - 1];
    std::vector<index> next(offsets_.begin(), offsets_.end() - 1);
    for (index i = 0; i < graph.nodes(); ++i)
      for (index e = graph.begin(i); e < graph.end(i); ++e) {
        const auto t = static_cast<std::size_t>(next[static_cast<std::size_t>(graph.source(e))]++);
        destinations_[t] = static_cast<int>(i), edges_[t] = e;
      }
  }

  csr by_source() const { return {offsets_, destinations_}; }
  std::span<const index> edges() const { return edges_; }
  index edge(index t) const { return edges_[static_cast<std::size_t>(t)]; }

  // Whether it was made from this graph; what costs less than the check of a graph.
  void check(const char* operation, const csr& graph, index source_nodes) const {
    if (by_source().nodes() != source_nodes || edges_.size() != graph.sources.size())
      check::fail(operation, "the transposed graph has " + std::to_string(by_source().nodes()) +
                                 " sources and " + std::to_string(edges_.size()) +
                                 " edges, the graph " + std::to_string(source_nodes) + " and " +
                                 std::to_string(graph.edges()));
    for (index s = 0; s < source_nodes; ++s)
      for (index t = by_source().begin(s); t < by_source().end(s); ++t)
        if (const index e = edge(t), i = by_source().source(t);
            graph.source(e) != s || i >= graph.nodes() || e < graph.begin(i) || e >= graph.end(i))
          check::fail(operation, "the transposed graph is of another graph: edge " +
                                     std::to_string(e) + " does not go from node " +
                                     std::to_string(s) + " to " + std::to_string(i));
  }

 private:
  std::vector<index> offsets_{0};
  std::vector<int> destinations_;
  std::vector<index> edges_;
};

}  // namespace heed
