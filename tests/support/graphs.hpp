// SPDX-License-Identifier: BSL-1.0
// Graphs of tests.
#pragma once

#include <heed/reference/segment/softmax.hpp>
#include <heed/segment/csr.hpp>
#include <numeric>

#include "support/tensor.hpp"

namespace heed::test {

struct graph {
  std::vector<index> offsets{0};
  std::vector<int> sources{};
  index source_nodes = 0;
  std::string name{};

  csr in() const { return {offsets, sources}; }
  index nodes() const { return in().nodes(); }
  index edges() const { return in().edges(); }
  reference::segment::edges list() const {
    reference::segment::edges l{{}, {sources.begin(), sources.end()}, nodes()};
    for (index i = 0; i < nodes(); ++i) l.to.insert(l.to.end(), std::size_t(in().degree(i)), i);
    return l;
  }
  Eigen::MatrixXd adjacency() const {
    Eigen::MatrixXd a = Eigen::MatrixXd::Zero(nodes(), source_nodes);
    for (index i = 0; i < nodes(); ++i)
      for (index e = in().begin(i); e < in().end(i); ++e) a(i, in().source(e)) += 1;
    return a;
  }
};

/// Nodes of the given degrees, with sources at random: repeats may occur.
inline graph of_degrees(const std::vector<index>& degrees, index source_nodes, unsigned stream,
                        std::string name) {
  graph g{.source_nodes = source_nodes, .name = std::move(name)};
  std::mt19937 bits(seed() + 7919u * stream);
  for (const index d : degrees) {
    g.offsets.push_back(g.offsets.back() + d);
    for (index e = 0; e < d; ++e) g.sources.push_back(int(bits() % unsigned(source_nodes)));
  }
  return g;
}

/// Awkward ones: without nodes or edges, isolated nodes, one hub of several tasks between ordinary
/// nodes, more sources than destinations and fewer.
inline std::vector<graph> graphs() {
  std::vector<index> mixed(97), hubs(40, 3), flat(700, 2);
  for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = index((i * i) % 37);
  hubs[0] = 513, hubs[7] = 2000, hubs[8] = 511, hubs[9] = 0, hubs[39] = 1100;
  return {of_degrees({}, 3, 1, "empty"),     of_degrees({0, 0, 0}, 1, 2, "isolated"),
          of_degrees({1}, 1, 3, "one"),      of_degrees({0, 17, 0, 16, 33, 1, 0}, 5, 4, "few"),
          of_degrees(mixed, 61, 5, "mixed"), of_degrees(hubs, 301, 6, "hubs"),
          of_degrees(flat, 900, 7, "flat"),  of_degrees({1536}, 7, 8, "hub alone")};
}

/// One number a head and edge or node, as [count].
template <class T> Eigen::VectorXd numbers(const tensor<T>& t, index h) {
  return t.head(0, h).col(0);
}

}  // namespace heed::test
