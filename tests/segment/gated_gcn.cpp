// SPDX-License-Identifier: BSL-1.0
// segment/gated_gcn against its reference, its gradients against differences.
#include <Eigen/Core>
#include <heed/reference/segment/gated_gcn.hpp>
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gated_gcn_backward.hpp>

#include "support/edge_graphs.hpp"

using namespace heed::test;
using heed::gated_gcn;
using heed::transposed;

namespace {

template <class T> struct operands {
  graph g;
  tensor<T> a, b, c, d, e, out, gate;

  operands(const graph& of, heed::index h, heed::index n)
      : g(of),
        a(random<T>({1, h, g.nodes(), n}, 1)),
        b(random<T>({1, h, g.source_nodes, n}, 2)),
        c(random<T>({1, h, g.edges(), n}, 3)),
        d(random<T>({1, h, g.nodes(), n}, 4)),
        e(random<T>({1, h, g.source_nodes, n}, 5)),
        out(unwritten<T>(a.extent)),
        gate(unwritten<T>(c.extent)) {}
  gated_gcn spec() const {
    return {.graph = g.in(), .target = d.in(), .source = e.in(), .edge = c.in()};
  }
  void run() { attend_edges(spec(), a.in(), b.in(), {.out = out.in(), .gate = gate.in()}); }
};

}  // namespace

TEMPLATE_TEST_CASE("gated_gcn equals its reference", "", float, double) {
  for (const graph& g : graphs())
    for (const heed::index n : {1, 5, 33}) {
      operands<TestType> x(g, 2, n);
      x.run();
      for (heed::index h = 0; h < 2; ++h) {
        const std::string name = g.name + ", C " + std::to_string(n);
        check_close(
            x.out.head(0, h),
            heed::reference::segment::gated_gcn(plain(g), x.a.head(0, h), x.b.head(0, h),
                                                x.c.head(0, h), x.d.head(0, h), x.e.head(0, h)),
            tolerance<TestType>(8, 40, 4), name);
        for (heed::index i = 0; i < g.nodes(); ++i)
          for (heed::index at = g.in().begin(i); at < g.in().end(i); ++at) {
            const double z =
                double(x.d(0, h, i)) + double(x.e(0, h, g.in().source(at))) + double(x.c(0, h, at));
            REQUIRE(double(x.gate(0, h, at)) ==
                    Approx(1 / (1 + std::exp(-z))).margin(tolerance<TestType>(8, 1)));
          }
      }
    }
}

TEST_CASE("gated_gcn has the gradients that differences have") {
  for (const graph& g : {small_graph(), hub_graph()}) {
    operands<double> x(g, 2, 3);
    const transposed turned(g.in(), g.source_nodes);
    const auto d_out = random<double>(x.out.extent, 9), d_gate = random<double>(x.gate.extent, 10);
    auto da = unwritten<double>(x.a.extent), db = unwritten<double>(x.b.extent),
         dc = unwritten<double>(x.c.extent), dd = unwritten<double>(x.d.extent),
         de = unwritten<double>(x.e.extent);
    const auto run = [&](const heed::executor_ref& executor) {
      attend_edges_backward(x.spec(), turned, x.b.in(), d_out.in(), d_gate.in(),
                            {.da = da.in(),
                             .db = db.in(),
                             .spec = {.target = dd.in(), .source = de.in(), .edge = dc.in()}},
                            executor);
    };
    run(backwards{});
    const auto one = db.data, other = dd.data;
    run({});
    CHECK(one == db.data);
    CHECK(other == dd.data);
    const auto loss = [&] {
      x.run();
      return product(x.out, d_out) + product(x.gate, d_gate);
    };
    check_slopes("a", loss, x.a.data, da.data);
    check_slopes("b", loss, x.b.data, db.data);
    check_slopes("edge", loss, x.c.data, dc.data);
    check_slopes("target", loss, x.d.data, dd.data);
    check_slopes("source", loss, x.e.data, de.data);
  }
}

TEST_CASE("gated_gcn without a or edges, and what it refuses") {
  operands<double> x(small_graph(), 1, 4);
  gated_gcn spec = x.spec();
  spec.edge = {};
  attend_edges(spec, {}, x.b.in(), {.out = x.out.in()});
  const Eigen::MatrixXd zero = x.c.head(0, 0) * 0;
  check_close(x.out.head(0, 0),
              heed::reference::segment::gated_gcn(plain(x.g), x.a.head(0, 0) * 0, x.b.head(0, 0),
                                                  zero, x.d.head(0, 0), x.e.head(0, 0)),
              1e-13);
  spec.edge = x.b.in();
  x.out = unwritten<double>(x.out.extent);
  CHECK_THROWS_AS(attend_edges(spec, {}, x.b.in(), {.out = x.out.in()}), std::invalid_argument);
  CHECK(std::isnan(x.out.data.front()));
}
