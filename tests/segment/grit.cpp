// SPDX-License-Identifier: BSL-1.0
// segment/grit, rrwp and degree_scaler against their references, gradients against differences.
#include <Eigen/Core>
#include <heed/reference/segment/grit.hpp>
#include <heed/segment/degree_scaler.hpp>
#include <heed/segment/grit_backward.hpp>
#include <heed/segment/rrwp.hpp>

#include "support/edge_graphs.hpp"

using namespace heed::test;
using heed::grit;
using heed::transposed;
namespace exact = heed::reference::segment;

namespace {

template <class T> struct operands {
  graph g;
  tensor<T> q, k, v, factor, shift, weight, value, out, edge, lse;

  operands(const graph& of, heed::index h, heed::index d, heed::index dv)
      : g(of),
        q(random<T>({1, h, g.nodes(), d}, 1)),
        k(random<T>({1, h, g.source_nodes, d}, 2)),
        v(random<T>({1, h, g.source_nodes, dv}, 3)),
        factor(random<T>({1, h, g.edges(), d}, 4)),
        shift(random<T>({1, h, g.edges(), d}, 5)),
        weight(random<T>({1, h, 1, d}, 6)),
        value(random<T>({1, h, d, dv}, 7, 0.3)),
        out(unwritten<T>({1, h, g.nodes(), dv})),
        edge(unwritten<T>({1, h, g.edges(), d})),
        lse(unwritten<T>({1, h, g.nodes(), 1})) {}
  grit spec(bool shifted = true, bool product = true, double bound = 5) const {
    grit s{.graph = g.in(), .factor = factor.in(), .weight = weight.in(), .bound = bound};
    if (shifted) s.shift = shift.in();
    if (product) s.value = value.in();
    return s;
  }
  void run(const grit& s) {
    attend_edges(s, q.in(), k.in(), v.in(), {.out = out.in(), .edge = edge.in(), .lse = lse.in()});
  }
  // ρ magnifies what lies near 0: an error of ε in x is one of √ε there.
  void check(const grit& s, const std::string& name) {
    out = unwritten<T>(out.extent), edge = unwritten<T>(edge.extent);
    run(s);
    for (heed::index h = 0; h < q.extent[1]; ++h) {
      const auto b = shift.head(0, h);
      const auto m = value.head(0, h);
      const auto r = exact::grit(plain(g), q.head(0, h), k.head(0, h), v.head(0, h),
                                 factor.head(0, h), s.shift.present() ? b : 0 * b,
                                 weight.head(0, h).row(0), s.value.present() ? m : 0 * m, s.bound);
      const double near = std::sqrt(double(std::numeric_limits<T>::epsilon())) / 8;
      check_close(edge.head(0, h), r.edge, near, name + " edges");
      check_close(out.head(0, h), r.out, near * std::sqrt(double(q.extent[3])), name);
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("grit equals its reference", "", float, double) {
  for (const graph& g : graphs())
    for (const heed::index d : {1, 6, 33}) {
      operands<TestType> x(g, g.edges() > 3000 ? 1 : 2, d, d == 6 ? 17 : d);
      x.check(x.spec(), g.name + ", D " + std::to_string(d));
    }
  operands<TestType> x(small_graph(), 3, 8, 8);
  x.check(x.spec(false, true), "no shift");
  x.check(x.spec(true, false), "no product");
  x.check(x.spec(true, true, 0.5), "clamped");
}

TEST_CASE("grit has the gradients that differences have") {
  for (const graph& g : {small_graph(), hub_graph()})
    for (const bool all : {true, false}) {
      if (!all && g.name == "hub") continue;
      operands<double> x(g, 2, 5, 4);
      // Away from the kinks of ρ at 0.
      for (double& e : x.q.data) e = 1.5 + 0.2 * e;
      for (double& e : x.k.data) e = 0.2 * e;
      for (double& e : x.factor.data) e = (e < 0 ? -0.5 : 0.5) + 0.3 * e;
      const grit spec = x.spec(all, all, 1.5);
      const transposed turned(g.in(), g.source_nodes);
      const auto d_out = random<double>(x.out.extent, 9),
                 d_edge = random<double>(x.edge.extent, 10);
      auto dq = unwritten<double>(x.q.extent), dk = unwritten<double>(x.k.extent),
           dv = unwritten<double>(x.v.extent), df = unwritten<double>(x.factor.extent),
           ds = unwritten<double>(x.shift.extent), dw = unwritten<double>(x.weight.extent),
           dm = unwritten<double>(x.value.extent);
      x.run(spec);
      const auto run = [&](const heed::executor_ref& executor) {
        heed::grit_gradients to{.dq = dq.in(),
                                .dk = dk.in(),
                                .dv = dv.in(),
                                .spec = {.factor = df.in(), .shift = ds.in(), .weight = dw.in()}};
        if (all) to.spec.value = dm.in();
        attend_edges_backward(spec, turned, x.q.in(), x.k.in(), x.v.in(),
                              {.out = x.out.in(), .lse = x.lse.in()}, d_out.in(),
                              all ? heed::operand(d_edge.in()) : heed::operand(), to, executor);
      };
      run(backwards{});
      const auto one = dw.data, other = dk.data;
      run({});
      CHECK(one == dw.data);
      CHECK(other == dk.data);
      const auto loss = [&] {
        x.run(spec);
        return product(x.out, d_out) + (all ? product(x.edge, d_edge) : 0);
      };
      const double step = 1e-6, digits = 1e-6;  // relu and the clamp have kinks
      check_slopes("q", loss, x.q.data, dq.data, step, digits);
      check_slopes("k", loss, x.k.data, dk.data, step, digits);
      check_slopes("v", loss, x.v.data, dv.data, step, digits);
      check_slopes("factor", loss, x.factor.data, df.data, step, digits);
      check_slopes("weight", loss, x.weight.data, dw.data, step, digits);
      if (!all) continue;
      check_slopes("shift", loss, x.shift.data, ds.data, step, digits);
      check_slopes("value", loss, x.value.data, dm.data, step, digits);
    }
}

TEST_CASE("grit learns nothing from a graph without nodes") {
  operands<double> x(graphs().front(), 2, 3, 3);
  auto dw = unwritten<double>(x.weight.extent);
  const transposed turned(x.g.in(), x.g.source_nodes);
  x.run(x.spec());
  attend_edges_backward(x.spec(), turned, x.q.in(), x.k.in(), x.v.in(),
                        {.out = x.out.in(), .lse = x.lse.in()}, x.out.in(), {},
                        {.spec = {.weight = dw.in()}});
  for (const double e : dw.data) CHECK(e == 0);
}

TEST_CASE("rrwp equals powers of the walk's matrix") {
  auto ring = of_degrees({3, 0, 1, 6, 2, 4, 0, 5, 1, 2}, 10, 31, "ten");
  const auto pairs = of_degrees(std::vector<heed::index>(10, 10), 10, 32, "pairs");
  for (const graph& on : {ring, pairs}) {
    auto p = unwritten<double>({1, 1, on.edges(), 5}), own = unwritten<double>({1, 1, 10, 5});
    heed::rrwp(ring.in(), on.in(), {.edges = p.in(), .nodes = own.in()}, backwards{});
    check_close(p.head(0, 0), exact::rrwp(plain(ring), plain(on), 5), 1e-14, "pairs");
    graph self{.source_nodes = 10};
    for (int i = 0; i < 10; ++i) self.sources.push_back(i), self.offsets.push_back(i + 1);
    check_close(own.head(0, 0), exact::rrwp(plain(ring), plain(self), 5), 1e-14, "nodes");
  }
}

TEST_CASE("degree_scaler equals its reference, and so do its gradients") {
  const graph g = hub_graph();
  auto x = random<double>({1, 2, g.nodes(), 19}, 1), y = unwritten<double>(x.extent);
  auto one = random<double>({1, 2, 1, 19}, 2), two = random<double>({1, 2, 1, 19}, 3);
  const auto dy = random<double>(x.extent, 4);
  auto dx = unwritten<double>(x.extent), d1 = unwritten<double>(one.extent),
       d2 = unwritten<double>(one.extent);
  const heed::degree_scaler spec{g.in(), one.in(), two.in()};
  const auto loss = [&] {
    scale_by_degree(spec, x.in(), y.in());
    return product(y, dy);
  };
  loss();
  for (heed::index h = 0; h < 2; ++h)
    check_close(
        y.head(0, h),
        exact::degree_scaled(plain(g), x.head(0, h), one.head(0, h).row(0), two.head(0, h).row(0)),
        1e-13);
  scale_by_degree_backward(spec, x.in(), dy.in(), dx.in(), {.one = d1.in(), .two = d2.in()});
  check_slopes("x", loss, x.data, dx.data);
  check_slopes("one", loss, one.data, d1.data);
  check_slopes("two", loss, two.data, d2.data);
}

TEST_CASE("grit and rrwp refuse what does not fit") {
  operands<float> x(small_graph(), 2, 3, 3);
  grit wrong = x.spec();
  wrong.value = x.weight.in();
  CHECK_THROWS_AS(x.run(wrong), std::invalid_argument);
  wrong = x.spec();
  wrong.bound = 0;
  CHECK_THROWS_AS(x.run(wrong), std::invalid_argument);
  CHECK(std::isnan(x.out.data.front()));
  auto p = unwritten<double>({1, 1, x.g.edges() + 1, 5});
  graph g = of_degrees({1, 2}, 2, 1, "");
  CHECK_THROWS_AS(heed::rrwp(g.in(), g.in(), {.edges = p.in()}), std::invalid_argument);
}
