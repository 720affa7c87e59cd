// SPDX-License-Identifier: BSL-1.0
// segment/edge_kv against its reference, and its gradients against differences.
#include <Eigen/Core>
#include <heed/core/axes.hpp>
#include <heed/reference/segment/edge_kv.hpp>
#include <heed/segment/edge_kv_backward.hpp>

#include "support/edge_graphs.hpp"

using namespace heed::test;
using heed::attend_edges;
using heed::edge_kv;
using heed::transposed;

namespace {

template <class T> struct operands {
  graph g;
  tensor<T> q, k, v, ek, ev, out, lse;

  operands(const graph& of, heed::index h, heed::index d, heed::index dv)
      : g(of),
        q(random<T>({1, h, g.nodes(), d}, 1)),
        k(random<T>({1, h, g.source_nodes, d}, 2)),
        v(random<T>({1, h, g.source_nodes, dv}, 3)),
        ek(random<T>({1, h, g.edges(), d}, 4)),
        ev(random<T>({1, h, g.edges(), dv}, 5)),
        out(unwritten<T>({1, h, g.nodes(), dv})),
        lse(unwritten<T>({1, h, g.nodes(), 1})) {}
  edge_kv spec() const { return {.graph = g.in(), .keys = ek.in(), .values = ev.in()}; }
  void run() { attend_edges(spec(), q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()}); }
  void check(const std::string& name, bool keys = true, bool values = true) const {
    for (heed::index h = 0; h < q.extent[1]; ++h) {
      const auto r = ek.head(0, h), s = ev.head(0, h);
      check_close(out.head(0, h),
                  heed::reference::segment::edge_kv(
                      plain(g), q.head(0, h), k.head(0, h), v.head(0, h), keys ? r : 0 * r,
                      values ? s : 0 * s, 1 / std::sqrt(double(q.extent[3]))),
                  tolerance<T>(8, q.extent[3], 4), name);
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("edge_kv equals its reference", "", float, double) {
  for (const graph& g : graphs())
    for (const heed::index d : {1, 5, 16, 33}) {
      operands<TestType> x(g, g.edges() > 3000 ? 1 : 3, d, d == 5 ? 18 : d);
      x.run();
      x.check(g.name + ", D " + std::to_string(d));
    }
}

TEST_CASE("edge_kv without keys or values of edges") {
  operands<float> x(small_graph(), 2, 9, 6);
  const edge_kv keys{.graph = x.g.in(), .keys = x.ek.in()};
  attend_edges(keys, x.q.in(), x.k.in(), x.v.in(), {.out = x.out.in()});
  x.check("keys", true, false);
  const edge_kv values{.graph = x.g.in(), .values = x.ev.in()};
  attend_edges(values, x.q.in(), x.k.in(), x.v.in(), {.out = x.out.in()});
  x.check("values", false, true);
}

TEST_CASE("edge_kv reads any layout") {
  operands<float> x(small_graph(), 2, 9, 9);
  // [D,L,H]: neither channels nor heads lie together.
  const auto turned = [](const tensor<float>& t) {
    std::vector<double> y;
    for (heed::index d = 0; d < t.extent[3]; ++d)
      for (heed::index l = 0; l < t.extent[2]; ++l)
        for (heed::index h = 0; h < t.extent[1]; ++h) y.push_back(double(t.in()(0, h, l, d)));
    return y;
  };
  const auto q = turned(x.q), k = turned(x.k), ek = turned(x.ek), ev = turned(x.ev);
  std::vector<double> out(x.out.data.size());
  const auto as = [&](auto& data, const tensor<float>& of) {
    return heed::as<"DLH">(data.data(), {of.extent[3], of.extent[2], of.extent[1]});
  };
  const edge_kv spec{.graph = x.g.in(), .keys = as(ek, x.ek), .values = as(ev, x.ev)};
  attend_edges(spec, as(q, x.q), as(k, x.k), x.v.in(), {.out = as(out, x.out)});
  for (heed::index i = 0; i < 2; ++i)
    for (heed::index l = 0; l < x.g.nodes(); ++l)
      for (heed::index d = 0; d < 9; ++d)
        x.out(0, i, l, d) = static_cast<float>(as(out, x.out)(0, i, l, d));
  x.check("turned");
}

TEST_CASE("edge_kv has the gradients that differences have") {
  for (const graph& g : {small_graph(), hub_graph()}) {
    operands<double> x(g, 2, 5, 7);
    const transposed turned(x.g.in(), x.g.source_nodes);
    const auto d_out = random<double>(x.out.extent, 9);
    auto dq = unwritten<double>(x.q.extent), dk = unwritten<double>(x.k.extent),
         dv = unwritten<double>(x.v.extent), dek = unwritten<double>(x.ek.extent),
         dev = unwritten<double>(x.ev.extent);
    const auto run = [&](const heed::executor_ref& executor) {
      attend_edges_backward(x.spec(), turned, x.q.in(), x.k.in(), x.v.in(),
                            {.out = x.out.in(), .lse = x.lse.in()}, d_out.in(),
                            {.dq = dq.in(),
                             .dk = dk.in(),
                             .dv = dv.in(),
                             .spec = {.keys = dek.in(), .values = dev.in()}},
                            executor);
    };
    x.run();
    run(backwards{});
    const auto other = dk.data, also = dq.data;
    run({});
    CHECK(dk.data == other);
    CHECK(dq.data == also);
    const auto loss = [&] { return x.run(), product(x.out, d_out); };
    check_slopes("q", loss, x.q.data, dq.data);
    check_slopes("k", loss, x.k.data, dk.data);
    check_slopes("v", loss, x.v.data, dv.data);
    check_slopes("keys", loss, x.ek.data, dek.data);
    check_slopes("values", loss, x.ev.data, dev.data);
  }
}

TEST_CASE("edge_kv refuses what does not fit") {
  operands<float> x(small_graph(), 2, 3, 3);
  const auto refuses = [&](const edge_kv& spec, const std::string& word) {
    try {
      attend_edges(spec, x.q.in(), x.k.in(), x.v.in(), {.out = x.out.in()});
      FAIL("not refused: " << word);
    } catch (const std::invalid_argument& e) {
      CHECK(std::string(e.what()).find(word) != std::string::npos);
    }
    CHECK(std::isnan(x.out.data.front()));
  };
  edge_kv spec = x.spec();
  spec.keys = x.q.in();
  refuses(spec, "keys must be");
  spec = x.spec();
  auto wrong = x.g;
  wrong.sources.back() = 8;
  spec.graph = wrong.in();
  refuses(spec, "comes from node 8");
}
