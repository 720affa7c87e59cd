// SPDX-License-Identifier: BSL-1.0
// Operators along edges read and write any type and any strides: with the bits of the same numbers
// as floats side by side.
#include <Eigen/Core>
#include <heed/core/axes.hpp>
#include <heed/eigen.hpp>
#include <heed/segment/degree_scaler.hpp>
#include <heed/segment/edge_kv_backward.hpp>
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gated_gcn_backward.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/gin_pna_backward.hpp>
#include <heed/segment/grit.hpp>
#include <heed/segment/grit_backward.hpp>

#include "support/edge_graphs.hpp"

using namespace heed::test;

namespace {

/// Numbers that T holds, as floats [H,L,D] and as T [D,H,L], two apart.
template <class T> struct both {
  tensor<float> plain;
  std::vector<T> other;

  explicit both(const heed::extents& e, unsigned stream)
      : plain(random<float>(e, stream)),
        other(2 * plain.data.size(), T(std::numeric_limits<float>::quiet_NaN())) {
    for (float& x : plain.data) x = float(T(x));
    for (heed::index h = 0; h < e[1]; ++h)
      for (heed::index l = 0; l < e[2]; ++l)
        for (heed::index d = 0; d < e[3]; ++d) at()(0, h, l, d) = T(plain(0, h, l, d));
  }
  heed::view<T> at() {
    const auto& e = plain.extent;
    return {other.data(), e, {0, 2 * e[2], 2, 2 * e[1] * e[2]}};
  }
  heed::view<float> in() { return plain.in(); }
};
/// A result of either.
template <class T> struct results {
  both<T> x;
  explicit results(const heed::extents& e) : x(e, 77) {}
  heed::result to(bool other) {
    if (other) return x.at();
    return x.in();
  }
  void agree(const std::string& name) {
    for (heed::index h = 0; h < x.plain.extent[1]; ++h)
      for (heed::index l = 0; l < x.plain.extent[2]; ++l)
        for (heed::index d = 0; d < x.plain.extent[3]; ++d) {
          INFO(name << " of head " << h << ", row " << l << ", channel " << d);
          REQUIRE(float(x.at()(0, h, l, d)) == float(T(x.plain(0, h, l, d))));
        }
  }
};

template <class T> struct operands {
  static constexpr heed::index H = 2, D = 19;
  graph g = of_degrees({3, 0, 1, 6, 20, 4, 0, 5}, 8, 51, "eight");
  heed::transposed turned{g.in(), 8};
  both<T> q{{1, H, 8, D}, 1}, k{{1, H, 8, D}, 2}, v{{1, H, 8, D}, 3}, d{{1, H, 8, D}, 4},
      r{{1, H, g.edges(), D}, 5}, s{{1, H, g.edges(), D}, 6}, a{{1, H, 1, D}, 7},
      m{{1, H, D, D}, 8};
  results<T> out{{1, H, 8, D}}, edge{{1, H, g.edges(), D}}, dq{{1, H, 8, D}}, dk{{1, H, 8, D}},
      dv{{1, H, 8, D}}, dr{{1, H, g.edges(), D}}, ds{{1, H, g.edges(), D}}, da{{1, H, 1, D}},
      dm{{1, H, D, D}};
  tensor<float> kept{{1, H, 8, D}}, lse{{1, H, 8, 1}};

  // f(other): once with either.
  template <class F> void twice(const F& f) { f(false), f(true); }
  heed::operand of(both<T>& x, bool other) {
    if (other) return x.at();
    return x.in();
  }
  // Computed in float: a view of the other type, or of floats.
  template <class F> void with(bool other, const F& f) {
    if (other)
      f(q.at(), k.at(), v.at());
    else
      f(q.in(), k.in(), v.in());
  }
};

}  // namespace

TEMPLATE_TEST_CASE("any type, any strides", "", float, Eigen::half, Eigen::bfloat16) {
  operands<TestType> x;
  const heed::csr g = x.g.in();
  SECTION("edge_kv") {
    x.twice([&](bool other) {
      const heed::edge_kv spec{.graph = g, .keys = x.of(x.r, other), .values = x.of(x.s, other)};
      x.with(other, [&](auto q, auto k, auto v) {
        attend_edges(spec, q, k, v, {.out = x.kept.in(), .lse = x.lse.in()});
        attend_edges(spec, q, k, v, {.out = x.out.to(other)});
        attend_edges_backward(spec, x.turned, q, k, v, {.out = x.kept.in(), .lse = x.lse.in()},
                              x.of(x.d, other),
                              {.dq = x.dq.to(other),
                               .dk = x.dk.to(other),
                               .dv = x.dv.to(other),
                               .spec = {.keys = x.dr.to(other), .values = x.ds.to(other)}});
      });
    });
  }
  SECTION("grit") {
    x.twice([&](bool other) {
      const heed::grit spec{.graph = g,
                            .factor = x.of(x.r, other),
                            .shift = x.of(x.s, other),
                            .weight = x.of(x.a, other),
                            .value = x.of(x.m, other)};
      x.with(other, [&](auto q, auto k, auto v) {
        attend_edges(spec, q, k, v, {.out = x.kept.in(), .lse = x.lse.in()});
        attend_edges(spec, q, k, v, {.out = x.out.to(other), .edge = x.edge.to(other)});
        attend_edges_backward(spec, x.turned, q, k, v, {.out = x.kept.in(), .lse = x.lse.in()},
                              x.of(x.d, other), x.of(x.s, other),
                              {.dq = x.dq.to(other),
                               .dk = x.dk.to(other),
                               .dv = x.dv.to(other),
                               .spec = {.factor = x.dr.to(other),
                                        .shift = x.ds.to(other),
                                        .weight = x.da.to(other),
                                        .value = x.dm.to(other)}});
      });
    });
    x.da.agree("weight"), x.dm.agree("value"), x.edge.agree("edge");
  }
  SECTION("gated_gcn") {
    x.twice([&](bool other) {
      const heed::gated_gcn spec{.graph = g,
                                 .target = x.of(x.q, other),
                                 .source = x.of(x.k, other),
                                 .edge = x.of(x.r, other)};
      x.with(other, [&](auto, auto, auto v) {
        attend_edges(spec, x.of(x.d, other), v, {.out = x.out.to(other), .gate = x.edge.to(other)});
        attend_edges_backward(spec, x.turned, v, x.of(x.d, other), x.of(x.s, other),
                              {.da = x.dq.to(other),
                               .db = x.dv.to(other),
                               .spec = {.target = x.dk.to(other), .edge = x.dr.to(other)}});
      });
    });
    x.edge.agree("gate");
  }
  SECTION("gin_pna and degree_scaler") {
    using heed::reducer;
    static constexpr reducer one[] = {reducer::deviation};
    x.twice([&](bool other) {
      const heed::gin_pna spec{.graph = g, .reducers = one};
      const heed::degree_scaler scaler{g, x.of(x.a, other), x.of(x.a, other)};
      x.with(other, [&](auto q, auto k, auto v) {
        aggregate_edges(spec, v, x.out.to(other));
        aggregate_edges_backward(spec, x.turned, v, k, {.dx = x.dv.to(other)});
        scale_by_degree(scaler, q, x.dq.to(other));
        scale_by_degree_backward(scaler, q, k, x.dk.to(other), {.one = x.da.to(other)});
      });
    });
    x.da.agree("one");
  }
  x.out.agree("out"), x.dq.agree("dq"), x.dk.agree("dk"), x.dv.agree("dv");
  x.dr.agree("of edges"), x.ds.agree("of edges, the second");
}
