// SPDX-License-Identifier: BSL-1.0
// segment/gin_pna against its reference, its gradients against differences.
#include <Eigen/Core>
#include <heed/reference/segment/gin_pna.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/gin_pna_backward.hpp>
#include <heed/segment/sparsify.hpp>

#include "support/edge_graphs.hpp"

using namespace heed::test;
using heed::gin_pna;
using heed::reducer;
using heed::transposed;

namespace {

constexpr reducer all[] = {reducer::sum, reducer::mean,      reducer::max,
                           reducer::min, reducer::deviation, reducer::variance};

template <class T> struct operands {
  graph g;
  tensor<T> x, weights, self, out;

  operands(const graph& of, heed::index h, heed::index d, std::span<const reducer> which = all)
      : g(of),
        x(random<T>({1, h, g.source_nodes, d}, 1)),
        weights(uniform<T>({1, h, g.edges(), 1}, 2)),
        self(random<T>({1, h, 1, 1}, 3)),
        out(unwritten<T>({1, h, g.nodes(), heed::index(which.size()) * d})),
        reducers(which) {
    // A quarter of the edges are none.
    for (T& w : weights.data) w = std::abs(w) < T(0.25) ? T(0) : std::abs(w);
  }
  gin_pna spec(bool itself) const {
    gin_pna s{.graph = g.in(), .weights = weights.in(), .reducers = reducers};
    if (itself) s.self = self.in();
    return s;
  }
  std::span<const reducer> reducers;
};

// Nodes and sources are one.
graph square(const std::vector<heed::index>& degrees, const char* name) {
  return of_degrees(degrees, heed::index(degrees.size()), 41, name);
}

}  // namespace

TEMPLATE_TEST_CASE("gin_pna equals its reference", "", float, double) {
  for (const graph& g : graphs())
    for (const heed::index d : {1, 7, 32}) {
      operands<TestType> x(g, g.edges() > 3000 ? 1 : 3, d);
      const bool itself = g.nodes() == g.source_nodes;
      aggregate_edges(x.spec(itself), x.x.in(), x.out.in());
      heed::index longest = 1;
      for (heed::index i = 0; i < g.nodes(); ++i) longest = std::max(longest, g.in().degree(i));
      for (heed::index h = 0; h < x.x.extent[1]; ++h) {
        const auto exact = heed::reference::segment::gin_pna(
            plain(g), x.x.head(0, h), numbers(x.weights, h), itself ? double(x.self(0, h, 0)) : 0);
        const double largest = exact.size() > 0 ? exact.cwiseAbs().maxCoeff() : 0;
        check_close(x.out.head(0, h), exact, tolerance<TestType>(4, longest, 1 + largest),
                    g.name + ", D " + std::to_string(d));
      }
    }
}

TEST_CASE("gin_pna without weights, with some reducers, with itself") {
  static constexpr reducer some[] = {reducer::variance, reducer::sum, reducer::sum};
  operands<double> x(square({3, 0, 1, 2}, "four"), 2, 5, some);
  gin_pna spec = x.spec(true);
  spec.weights = {};
  aggregate_edges(spec, x.x.in(), x.out.in());
  for (heed::index h = 0; h < 2; ++h) {
    const auto whole = heed::reference::segment::gin_pna(
        plain(x.g), x.x.head(0, h), Eigen::VectorXd::Ones(x.g.edges()), x.self(0, h, 0));
    Eigen::MatrixXd expected(4, 15);
    expected << whole.middleCols(25, 5), whole.leftCols(5), whole.leftCols(5);
    check_close(x.out.head(0, h), expected, 1e-13);
  }
}

TEST_CASE("gin_pna keeps a variance beside a large mean") {
  operands<float> x(square({4, 3, 300, 5}, "far"), 1, 3);
  for (float& e : x.x.data) e += 1000;
  aggregate_edges(x.spec(false), x.x.in(), x.out.in());
  const auto exact =
      heed::reference::segment::gin_pna(plain(x.g), x.x.head(0, 0), numbers(x.weights, 0), 0);
  check_close(x.out.head(0, 0).rightCols(3), exact.rightCols(3), 1e-3);
}

TEST_CASE("gin_pna has the gradients that differences have") {
  for (const graph& g :
       {square({3, 0, 1, 6, 2, 4, 0, 5}, "small"), square({2, 0, 1100, 1, 600, 3}, "hub")})
    for (const heed::index shared : {1, 2}) {
      operands<double> x(g, 2, 3);
      if (shared == 1) {
        x.weights = uniform<double>({1, 1, g.edges(), 1}, 2);
        for (double& w : x.weights.data) w = 0.3 + std::abs(w);
        x.self = random<double>({1, 1, 1, 1}, 3);
      }
      const transposed turned(g.in(), g.source_nodes);
      const auto d_out = random<double>(x.out.extent, 5);
      auto dx = unwritten<double>(x.x.extent), dw = unwritten<double>(x.weights.extent),
           ds = unwritten<double>(x.self.extent);
      const auto run = [&](const heed::executor_ref& executor) {
        aggregate_edges_backward(x.spec(true), turned, x.x.in(), d_out.in(),
                                 {.dx = dx.in(), .spec = {.weights = dw.in(), .self = ds.in()}},
                                 executor);
      };
      run(backwards{});
      const auto one = dx.data, other = ds.data;
      run({});
      CHECK(one == dx.data);
      CHECK(other == ds.data);
      const auto loss = [&] {
        aggregate_edges(x.spec(true), x.x.in(), x.out.in());
        return product(x.out, d_out);
      };
      check_slopes("x", loss, x.x.data, dx.data, 1e-6);  // extremes have kinks
      check_slopes("self", loss, x.self.data, ds.data);
      if (shared == 1) check_slopes("weights", loss, x.weights.data, dw.data);
      for (std::size_t e = 0; e < dw.data.size(); ++e)
        if (x.weights.data[e] == 0) CHECK(dw.data[e] == 0);
    }
}

TEST_CASE("a maximum passes its gradient on to the first edge that has it") {
  graph g{.offsets = {0, 3}, .sources = {1, 0, 2}, .source_nodes = 3};
  tensor<double> x({1, 1, 3, 1}, 2), dx(x.extent), d_out({1, 1, 1, 1}, 1);
  static constexpr reducer most[] = {reducer::max};
  aggregate_edges_backward(gin_pna{.graph = g.in(), .reducers = most}, transposed(g.in(), 3),
                           x.in(), d_out.in(), {.dx = dx.in()});
  CHECK(dx.data == std::vector<double>{0, 1, 0});
}

TEST_CASE("gin_pna does not read what no edge weighs") {
  graph g{.offsets = {0, 2}, .sources = {0, 1}, .source_nodes = 2};
  tensor<float> x({1, 1, 2, 1}, 3), w({1, 1, 2, 1}, 0.5f), out({1, 1, 1, 6}), dx(x.extent),
      dw(w.extent), d_out(out.extent, 1);
  x.data[1] = std::numeric_limits<float>::quiet_NaN(), w.data[1] = 0;
  const gin_pna spec{.graph = g.in(), .weights = w.in(), .reducers = all};
  aggregate_edges(spec, x.in(), out.in());
  CHECK(out.data == std::vector<float>{1.5f, 3, 3, 3, std::sqrt(1e-5f), 0});
  aggregate_edges_backward(spec, {g.in(), 2}, x.in(), d_out.in(),
                           {.dx = dx.in(), .spec = {.weights = dw.in()}});
  CHECK(dx.data == std::vector<float>{0.5f + 1 + 2, 0});
  CHECK(dw.data[1] == 0);
}

TEST_CASE("sparsify keeps what exceeds the threshold") {
  tensor<float> a({1, 2, 2, 3}, 0);
  a(0, 0, 0, 1) = 1, a(0, 1, 0, 1) = 0.5f, a(0, 0, 1, 0) = 1, a(0, 1, 1, 2) = 2;
  const auto g = heed::sparsify(a.in(), 0.5);
  CHECK(std::vector<int>(g.edges().sources.begin(), g.edges().sources.end()) ==
        std::vector<int>{1, 2});
  CHECK(std::vector<heed::index>(g.edges().offsets.begin(), g.edges().offsets.end()) ==
        std::vector<heed::index>{0, 1, 2});
  CHECK(std::vector<double>(g.weights().begin(), g.weights().end()) ==
        std::vector<double>{0.75, 1});
}

TEST_CASE("gin_pna refuses what does not fit") {
  operands<float> x(small_graph(), 2, 3);
  x.weights.data[5] = -1;
  const auto refuses = [&](const gin_pna& spec, const std::string& word) {
    try {
      aggregate_edges(spec, x.x.in(), x.out.in());
      FAIL("not refused: " << word);
    } catch (const std::invalid_argument& e) {
      CHECK(std::string(e.what()).find(word) != std::string::npos);
    }
    CHECK(std::isnan(x.out.data.front()));
  };
  refuses(x.spec(false), "edge 5 of head 0");
  x.weights.data[5] = 1;
  refuses(x.spec(true), "only where sources are the nodes");
}
