// SPDX-License-Identifier: BSL-1.0
// Operators whose edges bring rows of their own, and aggregation:
//   segment/<kind>/h<H>/d<D>/e<edges>/t<threads>   edge_kv, grit, gated_gcn, gin_pna on the graph
//   of
//                                                  bench/segment.cpp
// `gbps` counts the rows of sources and of the edges themselves, each edge once; `share` is of the
// rate at which as many threads read just these rows. A head at either end is held against the
// reference first.
#define EIGEN_USE_THREADS
#include "support/graphs.hpp"

#include <heed/reference/segment/edge_kv.hpp>
#include <heed/reference/segment/gated_gcn.hpp>
#include <heed/reference/segment/gin_pna.hpp>
#include <heed/reference/segment/grit.hpp>
#include <heed/segment/edge_kv.hpp>
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/grit.hpp>

namespace {

using bench::trial;
using heed::index;
using heed::reference::matrix;
namespace exact = heed::reference::segment;

enum class kind { edge_kv, grit, gated_gcn, gin_pna };

struct layer {
  kind what;
  index heads, depth, edges;

  index width() const { return heads * depth; }
  const char* name() const {
    constexpr const char* names[] = {"edge_kv", "grit", "gated_gcn", "gin_pna"};
    return names[static_cast<int>(what)];
  }
  bool aggregates() const { return what == kind::gin_pna; }
  // How many rows of sources, and of its own, an edge reads.
  index source_tables() const { return aggregates() ? 1 : 2; }
  index edge_tables() const { return aggregates() ? 0 : what == kind::gated_gcn ? 1 : 2; }
};

constexpr heed::reducer reducers[] = {heed::reducer::sum,       heed::reducer::mean,
                                      heed::reducer::max,       heed::reducer::min,
                                      heed::reducer::deviation, heed::reducer::variance};

struct operands {
  layer l;
  bench::graph g;
  // Of nodes: q or a, d; k or e; v, b or x. Of edges: keys, w or c; values or b.
  bench::buffer<float> q, d, k, v, first, second, weight, value, adjacency, out;

  operands(const layer& of, index nodes)
      : l(of),
        g(bench::power_law(nodes, of.edges, 2.5, false)),
        q(rows_of(nodes, 1)),
        d(rows_of(nodes, 2)),
        k(rows_of(nodes, 3)),
        v(rows_of(nodes, 4)),
        first(rows_of(of.edge_tables() > 0 ? of.edges : 0, 5)),
        second(rows_of(of.edge_tables() > 1 ? of.edges : 0, 6)),
        weight(rows_of(1, 7)),
        value(rows_of(of.depth, 8)),
        adjacency(bench::normal_numbers(of.edges, 9)),
        out(v.size() * (of.aggregates() ? std::size(reducers) : 1), 0.f) {
    const float scale = 1 / std::sqrt(float(of.depth));
    for (float& x : weight) x *= scale;
    for (float& x : value) x *= scale;
    for (float& x : adjacency) x = std::abs(x);
  }
  bench::buffer<float> rows_of(index count, std::uint64_t seed) const {
    return bench::normal_numbers(count * l.width(), seed);
  }
  template <class T> heed::view<T> rows(T* data, index count, index depth) const {
    return bench::heads_inside(data, 1, l.heads, count, depth);
  }
  heed::view<const float> nodes(const bench::buffer<float>& x) const {
    return rows(x.data(), g.nodes(), l.depth);
  }
  heed::view<const float> edges(const bench::buffer<float>& x) const {
    return rows(x.data(), l.edges, l.depth);
  }
  heed::view<const float> learned(const bench::buffer<float>& x, index count) const {
    return bench::heads_outside(x.data(), 1, l.heads, count, l.depth);
  }
  index out_depth() const { return index(out.size()) / (g.nodes() * l.heads); }

  void call(const heed::executor_ref& on, heed::workspace& scratch) {
    const auto to = rows(out.data(), g.nodes(), out_depth());
    switch (l.what) {
      case kind::edge_kv:
        return heed::attend_edges(
            heed::edge_kv{.graph = g.in(), .keys = edges(first), .values = edges(second)}, nodes(q),
            nodes(k), nodes(v), {.out = to}, on, scratch);
      case kind::grit:
        return heed::attend_edges(heed::grit{.graph = g.in(),
                                             .factor = edges(first),
                                             .shift = edges(second),
                                             .weight = learned(weight, 1),
                                             .value = learned(value, l.depth)},
                                  nodes(q), nodes(k), nodes(v), {.out = to}, on, scratch);
      case kind::gated_gcn:
        return heed::attend_edges(
            heed::gated_gcn{
                .graph = g.in(), .target = nodes(d), .source = nodes(k), .edge = edges(first)},
            nodes(q), nodes(v), {.out = to}, on, scratch);
      case kind::gin_pna:
        return heed::aggregate_edges(
            heed::gin_pna{.graph = g.in(),
                          .weights = heed::view<const float>{adjacency.data(), {1, 1, l.edges, 1}},
                          .reducers = reducers},
            nodes(v), to, on, scratch);
    }
  }

  static matrix head(const heed::view<const float>& x, index h) {
    matrix m(x.extent[2], x.extent[3]);
    for (index i = 0; i < m.rows(); ++i)
      for (index c = 0; c < m.cols(); ++c) m(i, c) = double(x(0, h, i, c));
    return m;
  }
  matrix reference(index h) const {
    const exact::graph along{g.offsets, {g.sources.begin(), g.sources.end()}};
    const auto node = [&](const bench::buffer<float>& x) { return head(nodes(x), h); };
    const auto edge = [&](const bench::buffer<float>& x) { return head(edges(x), h); };
    switch (l.what) {
      case kind::edge_kv:
        return exact::edge_kv(along, node(q), node(k), node(v), edge(first), edge(second),
                              1 / std::sqrt(double(l.depth)));
      case kind::grit:
        return exact::grit(along, node(q), node(k), node(v), edge(first), edge(second),
                           head(learned(weight, 1), h).transpose(),
                           head(learned(value, l.depth), h))
            .out;
      case kind::gated_gcn:
        return exact::gated_gcn(along, node(q), node(v), edge(first), node(d), node(k));
      default: {
        const heed::reference::vector a =
            Eigen::Map<const Eigen::VectorXf>(adjacency.data(), l.edges).cast<double>();
        return exact::gin_pna(along, node(v), a, 0);
      }
    }
  }
  // Sums over the edges of a hub, and roots of what is near 0, keep half of the digits of a float.
  void check() const {
    for (const index h : {index{0}, l.heads - 1}) {
      const matrix want = reference(h);
      const auto got = rows(out.data(), g.nodes(), out_depth());
      for (index i = 0; i < want.rows(); ++i)
        for (index c = 0; c < want.cols(); ++c)
          if (!(std::abs(double(got(0, h, i, c)) - want(i, c)) <=
                1e-3 * (1 + std::abs(want(i, c)))))
            bench::fail(std::string(l.name()) + " is wrong at head " + std::to_string(h) +
                        ", node " + std::to_string(i) + ", channel " + std::to_string(c) + ": " +
                        std::to_string(got(0, h, i, c)) + " instead of " +
                        std::to_string(want(i, c)));
    }
  }

  // Seconds to read the rows that the edges name, and their own.
  double read(int threads, bench::crew& team, const std::vector<int>& own) const {
    const double named = bench::seconds_to_read({v.data(), k.data()}, l.source_tables(), l.width(),
                                                g.sources, threads, team);
    if (l.edge_tables() == 0) return named;
    return named + bench::seconds_to_read({first.data(), second.data()}, l.edge_tables(), l.width(),
                                          own, threads, team);
  }
};

void run(trial& t, layer l) {
  if (!t.timed()) l.edges = 5000;
  operands o(l, t.timed() ? 65536 : 900);
  heed::workspace scratch;
  const int threads = t.form().threads;
  const auto call = [&] {
    threads == 1 ? o.call({}, scratch) : o.call(heed::on(bench::device(threads)), scratch);
  };
  call();
  o.check();
  if (!t.timed()) return;
  bench::crew team(threads);
  std::vector<int> own(static_cast<std::size_t>(l.edges));
  std::iota(own.begin(), own.end(), 0);
  double read = 1e9;
  const auto bound = [&] {
    for (int i = 0; i < 3; ++i) read = std::min(read, o.read(threads, team, own));
  };
  bound();
  const double bytes =
      double((l.source_tables() + l.edge_tables()) * l.edges * l.width()) * sizeof(float);
  const double best = t.measure_bytes({{"heed",
                                        [&](int times) {
                                          const bench::leading here(threads);
                                          return bench::seconds_per_call(times, call);
                                        }}},
                                      bytes);
  bound();
  t.note("read_gbps", bytes / read * 1e-9);
  t.note("share", read / best);
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2})
    for (const layer& l : {layer{kind::edge_kv, 8, 32, 200000},
                           {kind::grit, 8, 32, 200000},
                           {kind::gated_gcn, 8, 32, 200000},
                           {kind::gin_pna, 8, 32, 1000000}})
      all.add(std::string("segment/") + l.name() + "/h" + std::to_string(l.heads) + "/d" +
                  std::to_string(l.depth) + "/e" + bench::count(l.edges) + "/t" +
                  std::to_string(threads),
              {.threads = threads}, [l](trial& t) { run(t, l); });
  return all.run();
}
