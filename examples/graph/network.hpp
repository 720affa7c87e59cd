// SPDX-License-Identifier: BSL-1.0
// packages.txt, as packages.py writes it: nodes with names and sections, edges in both directions.
#pragma once

#include <algorithm>
#include <fstream>
#include <heed/segment/csr.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace graph {

using heed::index;

enum class part { none, train, choose, test };

// What an edge j -> i means to node i.
enum kind : int { itself, needed, needed_by };
inline constexpr int kinds = 3;

struct network {
  std::vector<std::string> sections, names;
  std::vector<int> section;  // -1: not asked for
  std::vector<part> parts;
  std::vector<index> offsets;
  std::vector<int> sources, kind_of;  // of edges

  index nodes() const { return index(names.size()); }
  heed::csr edges() const { return {offsets, sources}; }
  std::vector<index> of(part which) const {
    std::vector<index> list;
    for (index i = 0; i < nodes(); ++i)
      if (parts[std::size_t(i)] == which) list.push_back(i);
    return list;
  }
};

// Every node with itself; without `connected` nothing else, so that what a model learns from the
// graph can be told from what it learns from names.
inline void connect(network& n, const std::vector<std::vector<int>>& needs, bool connected) {
  struct edge {
    int source;
    kind why;
    bool operator<(const edge& o) const { return source < o.source; }
  };
  std::vector<std::vector<edge>> in(needs.size());
  for (std::size_t i = 0; i < needs.size(); ++i) {
    in[i].push_back({int(i), itself});
    for (const int j : needs[i])
      if (connected) {
        in[i].push_back({j, needed});
        in[std::size_t(j)].push_back({int(i), needed_by});
      }
  }
  n.offsets.assign(1, 0), n.sources.clear(), n.kind_of.clear();
  for (auto& list : in) {
    std::stable_sort(list.begin(), list.end());
    for (const edge& e : list) n.sources.push_back(e.source), n.kind_of.push_back(e.why);
    n.offsets.push_back(index(n.sources.size()));
  }
}

inline network read(const std::string& path, bool connected) {
  std::ifstream file(path);
  network n;
  std::string line, mark, word;
  if (!std::getline(file, line)) throw std::runtime_error("cannot read '" + path + "'");
  for (std::istringstream words(line); words >> word;) n.sections.push_back(word);
  std::vector<std::vector<int>> needs;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    if (!(words >> mark >> word) || mark.size() != 2)
      throw std::runtime_error("'" + path + "': cannot read '" + line + "'");
    n.names.push_back(word);
    n.section.push_back(mark[1] == '-' ? -1 : mark[1] - '0');
    n.parts.push_back(mark[0] == 't'   ? part::train
                      : mark[0] == 'v' ? part::choose
                      : mark[0] == 'e' ? part::test
                                       : part::none);
    needs.emplace_back();
    for (int j; words >> j;) needs.back().push_back(j);
  }
  for (const auto& list : needs)
    for (const int j : list)
      if (j < 0 || index(j) >= n.nodes())
        throw std::runtime_error("'" + path + "' has no package " + std::to_string(j));
  connect(n, needs, connected);
  return n;
}

}  // namespace graph
