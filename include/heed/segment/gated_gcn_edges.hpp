// SPDX-License-Identifier: BSL-1.0
// What segment/gated_gcn computes, and the gate of an edge.
#pragma once

#include <heed/segment/edge_rows.hpp>
#include <heed/segment/node_visit.hpp>
#include <heed/segment/problem.hpp>
#include <heed/simd/exp2.hpp>

namespace heed {

struct gated_gcn {
  csr graph{};
  operand target{};  // d [1,H,N,C]
  operand source{};  // e [1,H,M,C]
  operand edge{};    // c [1,H,E,C], or nothing

  struct gradient {
    result target{}, source{}, edge{};
  };
};

struct gated_gcn_outputs {
  result out{};   // [1,H,N,C]
  result gate{};  // η [1,H,E,C], or nothing
};

namespace detail {

inline constexpr double least_gates = 1e-6;

struct gated_gcn_problem {
  const gated_gcn& spec;
  operand a, b;

  const csr& graph() const { return spec.graph; }
  index heads() const { return b.extent[1]; }
  index depth() const { return b.extent[3]; }
  void check(const char* operation) const {
    const index h = heads(), n = graph().nodes(), m = b.extent[2], c = depth();
    check_optional(operation, {"a", a}, {1, h, n, c});
    check_rows(operation, {"b", b}, {1, h, m, c});
    check_rows(operation, {"target", spec.target}, {1, h, n, c});
    check_rows(operation, {"source", spec.source}, {1, h, m, c});
    check_optional(operation, {"edge", spec.edge}, {1, h, graph().edges(), c});
    graph().check(operation, m);
  }
};

template <class T, class Arch> struct gated_gcn_edges {
  const gated_gcn_problem& p;

  struct rooms {
    rows_in<T> a, b, d, e, c;
    T* eta;
    template <class Memory>
    rooms(Memory& from, const gated_gcn_edges& g)
        : a(from, g.p.a),
          b(from, g.p.b),
          d(from, g.p.spec.target),
          e(from, g.p.spec.source),
          c(from, g.p.spec.edge),
          eta(from.template take<T>(g.p.depth())) {}
  };
  // r.eta = σ(d_i + e_j + c_e)
  void gate(rooms& r, index h, index node, index edge, index source) const {
    const T *const d = r.d(h, node), *const e = r.e(h, source);
    const T* const own = r.c.present() ? r.c(h, edge) : nullptr;
    each_channel<T, Arch>(p.depth(), [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      B z = simd::load<T, A>(d + c) + simd::load<T, A>(e + c);
      if (own) z = z + simd::load<T, A>(own + c);
      simd::store(r.eta + c, B(simd::sigmoid(z)));
    });
  }
};

}  // namespace detail

}  // namespace heed
