// SPDX-License-Identifier: BSL-1.0
// Operators along edges, their gradients and their references against NumPy
// (tests/golden/segment_edges/generate.py names the tensors).
#include <Eigen/Core>
#include <heed/reference/segment/edge_kv.hpp>
#include <heed/reference/segment/gated_gcn.hpp>
#include <heed/reference/segment/gin_pna.hpp>
#include <heed/reference/segment/grit.hpp>
#include <heed/segment/edge_kv.hpp>
#include <heed/segment/edge_kv_backward.hpp>
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gated_gcn_backward.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/gin_pna_backward.hpp>
#include <heed/segment/grit.hpp>
#include <heed/segment/grit_backward.hpp>
#include <heed/segment/rrwp.hpp>

#include "support/edge_graphs.hpp"
#include "support/golden.hpp"

using namespace heed::test;
namespace exact = heed::reference::segment;

namespace {

/// A case: its graph, its inputs, and somewhere for what is computed of them.
struct family {
  golden_case c;
  graph g;
  std::map<std::string, tensor<double>> in, got;

  explicit family(const std::string& name)
      : c([&] {
          for (golden_case& one : golden_cases(golden_folder("segment_edges")))
            if (one.name == name) return one;
          throw std::out_of_range(name);
        }()),
        g(of("offsets", "sources")) {
    for (const auto& [tensor_name, x] : c.tensors)
      if (x.shape.size() == 4) {
        const heed::extents e{x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
        in.emplace(tensor_name, e).first->second.data = x.data;
        got.emplace(tensor_name, e);
      }
  }
  graph of(const std::string& offsets, const std::string& sources) const {
    const auto o = c[offsets].integers(), s = c[sources].integers();
    return {.offsets = {o.begin(), o.end()},
            .sources = {s.begin(), s.end()},
            .source_nodes = heed::index(c["source_nodes"].scalar())};
  }
  heed::view<double> operator()(const std::string& name) { return in.at(name).in(); }
  heed::view<double> to(const std::string& name) { return got.at(name).in(); }
  Eigen::MatrixXd head(const std::string& name, heed::index h) const {
    return in.at(name).head(0, h);
  }
  // Inputs are of order 1 and sums of at most a dozen terms.
  void compare(const std::string& name, const std::string& of = "") {
    const tensor<double>& mine = got.at(name);
    for (heed::index h = 0; h < mine.extent[1]; ++h)
      check_close(mine.head(0, h), head(name, h), 1e-11, c.name + " " + name + of);
  }
  void check(const Eigen::MatrixXd& mine, const std::string& name, heed::index h) const {
    check_close(mine, head(name, h), 1e-12, c.name + " reference " + name);
  }
};

}  // namespace

TEST_CASE("edge_kv agrees with NumPy") {
  family f("edge_kv/five");
  tensor<double> lse({1, 2, f.g.nodes(), 1});
  const heed::edge_kv spec{.graph = f.g.in(), .keys = f("keys"), .values = f("values")};
  attend_edges(spec, f("q"), f("k"), f("v"), {.out = f.to("out"), .lse = lse.in()});
  attend_edges_backward(spec, {f.g.in(), f.g.source_nodes}, f("q"), f("k"), f("v"),
                        {.out = f("out"), .lse = lse.in()}, f("d_out"),
                        {.dq = f.to("d_q"),
                         .dk = f.to("d_k"),
                         .dv = f.to("d_v"),
                         .spec = {.keys = f.to("d_keys"), .values = f.to("d_values")}});
  for (const char* name : {"out", "d_q", "d_k", "d_v", "d_keys", "d_values"}) f.compare(name);
  for (heed::index h = 0; h < 2; ++h)
    f.check(exact::edge_kv(plain(f.g), f.head("q", h), f.head("k", h), f.head("v", h),
                           f.head("keys", h), f.head("values", h), 1 / std::sqrt(3.0)),
            "out", h);
}

TEST_CASE("grit agrees with NumPy") {
  family f("grit/five");
  tensor<double> lse({1, 2, f.g.nodes(), 1});
  const heed::grit spec{.graph = f.g.in(),
                        .factor = f("factor"),
                        .shift = f("shift"),
                        .weight = f("weight"),
                        .value = f("value")};
  attend_edges(spec, f("q"), f("k"), f("v"),
               {.out = f.to("out"), .edge = f.to("edge"), .lse = lse.in()});
  attend_edges_backward(spec, {f.g.in(), f.g.source_nodes}, f("q"), f("k"), f("v"),
                        {.out = f("out"), .lse = lse.in()}, f("d_out"), f("d_edge"),
                        {.dq = f.to("d_q"),
                         .dk = f.to("d_k"),
                         .dv = f.to("d_v"),
                         .spec = {.factor = f.to("d_factor"),
                                  .shift = f.to("d_shift"),
                                  .weight = f.to("d_weight"),
                                  .value = f.to("d_value")}});
  for (const char* name :
       {"out", "edge", "d_q", "d_k", "d_v", "d_factor", "d_shift", "d_weight", "d_value"})
    f.compare(name);
  for (heed::index h = 0; h < 2; ++h) {
    const auto r =
        exact::grit(plain(f.g), f.head("q", h), f.head("k", h), f.head("v", h), f.head("factor", h),
                    f.head("shift", h), f.head("weight", h).row(0), f.head("value", h));
    f.check(r.out, "out", h);
    f.check(r.edge, "edge", h);
  }
}

TEST_CASE("gin_pna agrees with NumPy") {
  family f("gin_pna/five");
  using heed::reducer;
  static constexpr reducer all[] = {reducer::sum, reducer::mean,      reducer::max,
                                    reducer::min, reducer::deviation, reducer::variance};
  const heed::gin_pna spec{
      .graph = f.g.in(), .weights = f("weights"), .reducers = all, .self = f("self")};
  aggregate_edges(spec, f("x"), f.to("out"));
  aggregate_edges_backward(
      spec, {f.g.in(), f.g.source_nodes}, f("x"), f("d_out"),
      {.dx = f.to("d_x"), .spec = {.weights = f.to("d_weights"), .self = f.to("d_self")}});
  // An edge of weight 0 is none, and learns nothing.
  for (std::size_t e = 0; e < f.in.at("weights").data.size(); ++e)
    if (f.in.at("weights").data[e] == 0) f.in.at("d_weights").data[e] = 0;
  for (const char* name : {"out", "d_x", "d_weights", "d_self"}) f.compare(name);
  for (heed::index h = 0; h < 2; ++h)
    f.check(exact::gin_pna(plain(f.g), f.head("x", h), f.head("weights", h).col(0),
                           f.head("self", h)(0, 0)),
            "out", h);
}

TEST_CASE("gated_gcn agrees with NumPy") {
  family f("gated_gcn/five");
  const heed::gated_gcn spec{
      .graph = f.g.in(), .target = f("target"), .source = f("source"), .edge = f("edge")};
  attend_edges(spec, f("a"), f("b"), {.out = f.to("out"), .gate = f.to("gate")});
  attend_edges_backward(
      spec, {f.g.in(), f.g.source_nodes}, f("b"), f("d_out"), f("d_gate"),
      {.da = f.to("d_a"),
       .db = f.to("d_b"),
       .spec = {.target = f.to("d_target"), .source = f.to("d_source"), .edge = f.to("d_edge")}});
  for (const char* name : {"out", "gate", "d_a", "d_b", "d_target", "d_source", "d_edge"})
    f.compare(name);
  for (heed::index h = 0; h < 2; ++h)
    f.check(exact::gated_gcn(plain(f.g), f.head("a", h), f.head("b", h), f.head("edge", h),
                             f.head("target", h), f.head("source", h)),
            "out", h);
}

TEST_CASE("rrwp agrees with NumPy") {
  family f("rrwp/five");
  const graph pairs = f.of("pairs_offsets", "pairs_sources");
  heed::rrwp(f.g.in(), pairs.in(), {.edges = f.to("edges"), .nodes = f.to("nodes")});
  f.compare("edges");
  f.compare("nodes");
  f.check(exact::rrwp(plain(f.g), plain(pairs), 6), "edges", 0);
}
