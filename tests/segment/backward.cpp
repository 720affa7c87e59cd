// SPDX-License-Identifier: BSL-1.0
// Gradients of operators along edges against differences of the same operators, in double.
#define EIGEN_USE_THREADS
#include <heed/core/executor.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/segment/dot_backward.hpp>
#include <heed/segment/gatv2_backward.hpp>
#include <heed/segment/softmax_backward.hpp>

#include "support/exact.hpp"
#include "support/graphs.hpp"
#include "support/operands.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;

namespace {

double product(const tensor<double>& a, const tensor<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.data.size(); ++i) sum += a.data[i] * b.data[i];
  return sum;
}

// Central differences of f by some numbers of x, where `got` is its gradient.
template <class F>
void check_gradient(const char* name, tensor<double>& x, const tensor<double>& got, const F& f,
                    double allowed = 1e-6) {
  REQUIRE(got.extent == x.extent);
  const std::size_t step = std::max<std::size_t>(1, x.data.size() / 40) | 1;
  for (std::size_t i = 0; i < x.data.size(); i += step) {
    const double before = x.data[i], h = 1e-5;
    x.data[i] = before + h;
    const double up = f();
    x.data[i] = before - h;
    const double down = f();
    x.data[i] = before;
    INFO(name << " " << i << " of " << x.data.size() << " seed " << seed());
    CHECK(got.data[i] == Approx((up - down) / (2 * h)).margin(allowed * 10).epsilon(1e-5));
  }
}

struct dot_problem {
  const graph& g;
  tensor<double> q, k, v, bias, null, d_out, out, lse, dq, dk, dv, db, dn;
  heed::segment_dot spec;

  dot_problem(const graph& of, heed::index H, heed::index D, heed::index Dv, bool shared)
      : g(of),
        q(random<double>({1, H, g.nodes(), D}, 1)),
        k(random<double>({1, H, g.source_nodes, D}, 2)),
        v(random<double>({1, H, g.source_nodes, Dv}, 3)),
        bias(random<double>({1, shared ? 1 : H, g.edges(), 1}, 4)),
        null(random<double>({1, H, shared ? 1 : g.nodes(), 1}, 5)),
        d_out(random<double>({1, H, g.nodes(), Dv}, 6)),
        out(d_out.extent),
        lse({1, H, g.nodes(), 1}),
        dq(q.extent),
        dk(k.extent),
        dv(v.extent),
        db(bias.extent),
        dn(null.extent),
        spec{.graph = g.in(), .bias = bias.in(), .null = null.in()} {}
  double loss() {
    heed::attend_edges(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    return product(out, d_out);
  }
  void backward(const heed::executor_ref& on = {}) {
    loss();
    heed::attend_edges_backward(
        spec, heed::transposed(g.in(), g.source_nodes), q.in(), k.in(), v.in(),
        {out.in(), lse.in()}, d_out.in(),
        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = {.bias = db.in(), .null = dn.in()}},
        on);
  }
};

std::vector<graph> small_graphs() {
  auto all = graphs();
  all.erase(all.begin() + 6);
  return all;
}

}  // namespace

TEST_CASE("gradients of dot products along edges are differences") {
  for (const graph& g : small_graphs())
    for (const bool shared : {false, true}) {
      INFO(g.name << shared);
      dot_problem p(g, shared ? 1 : 3, shared ? 8 : 5, shared ? 19 : 4, shared);
      p.backward();
      const auto f = [&] { return p.loss(); };
      check_gradient("q", p.q, p.dq, f), check_gradient("k", p.k, p.dk, f);
      check_gradient("v", p.v, p.dv, f), check_gradient("bias", p.bias, p.db, f);
      check_gradient("null", p.null, p.dn, f);
    }
}

TEST_CASE("gradients of graph attention are differences") {
  for (const graph& g : small_graphs()) {
    const heed::index H = 2, D = 5;
    const heed::transposed by(g.in(), g.source_nodes);
    auto x = random<double>({1, H, g.nodes(), D}, 1),
         y = random<double>({1, H, g.source_nodes, D}, 2), a = random<double>({1, H, 1, D}, 3),
         b = random<double>({1, H, 1, D}, 4), bias = random<double>({1, H, g.edges(), 1}, 5),
         null = random<double>({1, 1, 1, 1}, 6);
    const auto d_out = random<double>(x.extent, 7);
    tensor<double> out(x.extent), lse({1, H, g.nodes(), 1}), dx(x.extent), dy(y.extent),
        da(a.extent), db(a.extent), de(bias.extent), dn(null.extent);
    INFO(g.name);
    {
      const heed::gat spec{.graph = g.in(),
                           .target = a.in(),
                           .source = b.in(),
                           .bias = bias.in(),
                           .null = null.in()};
      const auto f = [&] {
        heed::attend_edges(spec, x.in(), y.in(), {.out = out.in(), .lse = lse.in()});
        return product(out, d_out);
      };
      f();
      heed::attend_edges_backward(
          spec, by, x.in(), y.in(), {out.in(), lse.in()}, d_out.in(),
          {.d_dst = dx.in(),
           .d_src = dy.in(),
           .spec = {.target = da.in(), .source = db.in(), .bias = de.in(), .null = dn.in()}});
      check_gradient("gat x_dst", x, dx, f), check_gradient("gat x_src", y, dy, f);
      check_gradient("gat target", a, da, f), check_gradient("gat source", b, db, f);
      check_gradient("gat bias", bias, de, f), check_gradient("gat null", null, dn, f);
    }
    {
      const heed::gatv2 spec{
          .graph = g.in(), .weight = a.in(), .bias = bias.in(), .null = null.in()};
      const auto f = [&] {
        heed::attend_edges(spec, x.in(), y.in(), {.out = out.in(), .lse = lse.in()});
        return product(out, d_out);
      };
      f();
      heed::attend_edges_backward(spec, by, x.in(), y.in(), {out.in(), lse.in()}, d_out.in(),
                                  {.d_dst = dx.in(),
                                   .d_src = dy.in(),
                                   .spec = {.weight = da.in(), .bias = de.in(), .null = dn.in()}});
      check_gradient("gatv2 left", x, dx, f), check_gradient("gatv2 right", y, dy, f);
      check_gradient("gatv2 weight", a, da, f), check_gradient("gatv2 bias", bias, de, f);
      check_gradient("gatv2 null", null, dn, f);
    }
  }
}

TEST_CASE("gradients of a softmax over edges are differences") {
  for (const graph& g : small_graphs())
    for (const heed::index H : {1, 3}) {
      auto logits = random<double>({1, H, g.edges(), 1}, 1),
           prior = random<double>({1, 1, g.edges(), 1}, 2), null = random<double>({1, H, 1, 1}, 3),
           sink = random<double>({1, 1, g.nodes(), 1}, 4);
      auto weight = uniform<double>({1, 1, g.edges(), 1}, 5),
           cutoff = uniform<double>({1, H, g.edges(), 1}, 6);
      for (double& w : weight.data) w = std::abs(w) + 0.01;
      for (double& c : cutoff.data) c = std::abs(c);
      if (g.edges() > 20) cutoff.data[7] = 0;
      const auto d = random<double>(logits.extent, 7);
      tensor<double> out(d.extent), lse({1, H, g.nodes(), 1}), dl(d.extent), dp(prior.extent),
          dn(null.extent), dz(sink.extent), dw(weight.extent), dc(cutoff.extent);
      const heed::segment_softmax spec{.graph = g.in(),
                                       .prior = prior.in(),
                                       .weight = weight.in(),
                                       .cutoff = cutoff.in(),
                                       .null = null.in(),
                                       .sink = sink.in(),
                                       .epsilon = 0.1};
      const auto f = [&] {
        heed::normalize_edges(spec, logits.in(), {.out = out.in(), .lse = lse.in()});
        return product(out, d);
      };
      f();
      heed::normalize_edges_backward(spec, logits.in(), lse.in(), d.in(),
                                     {.logits = dl.in(),
                                      .spec = {.prior = dp.in(),
                                               .weight = dw.in(),
                                               .cutoff = dc.in(),
                                               .null = dn.in(),
                                               .sink = dz.in()}});
      INFO(g.name << " heads " << H);
      check_gradient("logits", logits, dl, f), check_gradient("prior", prior, dp, f);
      check_gradient("weight", weight, dw, f), check_gradient("cutoff", cutoff, dc, f);
      check_gradient("null", null, dn, f), check_gradient("sink", sink, dz, f);
      // At weight 0 the difference has one side only.
      if (g.edges() > 20 && H == 1) {
        weight.data[3] = 0;
        const double at = f();
        heed::normalize_edges_backward(spec, logits.in(), lse.in(), d.in(),
                                       {.spec = {.weight = dw.in()}});
        weight.data[3] = 1e-7;
        CHECK(dw.data[3] == Approx((f() - at) / 1e-7).epsilon(1e-4).margin(1e-6));
      }
    }
}

TEST_CASE("gradients do not depend on threads, and float's are double's") {
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const auto all = graphs();
  const graph& g = all[5];
  dot_problem p(g, 3, 21, 16, false), one = p;
  one.spec.bias = one.bias.in(), one.spec.null = one.null.in();
  p.backward(), one.backward(heed::on(device));
  CHECK((p.dq.data == one.dq.data && p.dk.data == one.dk.data && p.dv.data == one.dv.data));
  CHECK((p.db.data == one.db.data && p.dn.data == one.dn.data));

  const auto as_float = [](const tensor<double>& t) {
    tensor<float> f(t.extent);
    std::copy(t.data.begin(), t.data.end(), f.data.begin());
    return f;
  };
  // Any layout of operands and results.
  engine bits(5);
  const auto laid = [&](const tensor<double>& t) {
    auto x = laid_out<float>(t.extent, {.permuted = true, .strided_channels = true}, bits,
                             std::numeric_limits<float>::quiet_NaN());
    auto from = t.data.begin();
    x.each([&](float& y) { y = float(*from++); });
    return x;
  };
  const auto q = as_float(p.q), k = as_float(p.k), out = as_float(p.out), lse = as_float(p.lse);
  const auto v = laid(p.v), d_out = laid(p.d_out);
  tensor<float> dq(q.extent), dv(p.v.extent), db(p.db.extent);
  auto dk = laid(p.k);
  heed::attend_edges_backward(
      p.spec, heed::transposed(g.in(), g.source_nodes), q.in(), k.in(), v.read(),
      {out.in(), lse.in()}, d_out.read(),
      {.dq = dq.in(), .dk = dk.mutable_view(), .dv = dv.in(), .spec = {.bias = db.in()}});
  for (heed::index h = 0; h < 3; ++h) {
    // ds is a difference of numbers of order 4; sums run over the edges of a node.
    const double allowed = tolerance<float>(32, 2000, 4);
    check_close(dq.head(0, h), p.dq.head(0, h), allowed, "dq");
    check_close(dv.head(0, h), p.dv.head(0, h), allowed, "dv");
    check_close(db.head(0, h), p.db.head(0, h), allowed, "db");
    tensor<float> copy(p.k.extent);
    for (heed::index i = 0; i < g.source_nodes; ++i)
      for (heed::index c = 0; c < 21; ++c) copy(0, h, i, c) = dk.read()(0, h, i, c);
    check_close(copy.head(0, h), p.dk.head(0, h), allowed, "dk");
  }
}

TEST_CASE("gradients refuse what does not fit, before anything is written") {
  const auto all = graphs();
  const graph &g = all[3], &other = all[4];
  dot_problem p(g, 2, 3, 3, false);
  p.loss();
  const auto run = [&](const heed::transposed& by, const heed::edge_forward& f,
                       const heed::segment_dot_gradients& to) {
    heed::attend_edges_backward(p.spec, by, p.q.in(), p.k.in(), p.v.in(), f, p.d_out.in(), to);
  };
  const heed::transposed by(g.in(), g.source_nodes);
  CHECK_THROWS_WITH(run(heed::transposed(other.in(), other.source_nodes), {p.out.in(), p.lse.in()},
                        {.dq = p.dq.in()}),
                    ContainsSubstring("the transposed graph has 61 sources"));
  graph turned = g;
  turned.sources[3] = (turned.sources[3] + 1) % 5;
  CHECK_THROWS_WITH(
      run(heed::transposed(turned.in(), 5), {p.out.in(), p.lse.in()}, {.dq = p.dq.in()}),
      ContainsSubstring("of another graph: edge"));
  CHECK_THROWS_WITH(run(by, {p.out.in(), {}}, {.dq = p.dq.in()}), ContainsSubstring("lse must be"));
  CHECK_THROWS_WITH(run(by, {p.out.in(), p.lse.in()}, {.dq = p.dq.in(), .dk = p.dq.in()}),
                    ContainsSubstring("dk must be"));
  CHECK(std::isnan(p.dq.data[0]));
}
