// SPDX-License-Identifier: BSL-1.0
// Operators along edges against their definitions: graphs, shapes, strides, types, threads.
#define EIGEN_USE_THREADS
#include <heed/core/executor.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/reference/segment/dot.hpp>
#include <heed/reference/segment/gat.hpp>
#include <heed/segment/dot.hpp>
#include <heed/segment/gatv2.hpp>
#include <heed/segment/softmax.hpp>

#include "support/exact.hpp"
#include "support/graphs.hpp"
#include "support/operands.hpp"

namespace heed {
template <> struct element_of<Eigen::half> {
  static constexpr element value = element::f16;
};
template <> struct element_of<Eigen::bfloat16> {
  static constexpr element value = element::bf16;
};
}  // namespace heed

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::view;
namespace exact = heed::reference::segment;

namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

// exp errs by 2 ulp and by what the logit errs by; sums over edges are of weights that sum to 1.
template <class T> double allowed(const graph& g, heed::index depth) {
  heed::index most = 1;
  for (heed::index i = 0; i < g.nodes(); ++i) most = std::max(most, g.in().degree(i));
  return tolerance<T>(16, depth + most, 4);
}
Eigen::VectorXd exact_lse(const exact::edges& g, const Eigen::VectorXd& s,
                          const Eigen::VectorXd& extra) {
  Eigen::VectorXd top = Eigen::VectorXd::Constant(g.nodes, none), lse(g.nodes);
  for (std::size_t e = 0; e < g.count(); ++e)
    top(g.to[e]) = std::max(top(g.to[e]), s(heed::index(e)));
  for (heed::index i = 0; i < g.nodes; ++i) {
    double sum = extra(i);
    for (std::size_t e = 0; e < g.count(); ++e)
      if (g.to[e] == i) sum += std::exp(s(heed::index(e)));
    lse(i) = std::log(sum);
  }
  return lse;
}

template <class T> struct shape_case {
  heed::index heads, depth, value_depth;
};

}  // namespace

TEMPLATE_TEST_CASE("dot products along edges are their definition", "", float, double) {
  using T = TestType;
  for (const graph& g : graphs())
    for (const auto& [H, D, Dv] : {shape_case<T>{1, 1, 1}, {8, 32, 32}, {3, 17, 5}, {2, 7, 70}}) {
      INFO(g.name << " heads " << H << " depth " << D << " " << Dv);
      const auto q = random<T>({1, H, g.nodes(), D}, 1),
                 k = random<T>({1, H, g.source_nodes, D}, 2),
                 v = random<T>({1, H, g.source_nodes, Dv}, 3),
                 bias = random<T>({1, H, g.edges(), 1}, 4), null = random<T>({1, H, 1, 1}, 5);
      for (const bool with : {false, true}) {
        auto out = unwritten<T>({1, H, g.nodes(), Dv}), lse = unwritten<T>({1, H, g.nodes(), 1});
        heed::segment_dot spec{.graph = g.in()};
        if (with) spec.bias = bias.in(), spec.null = null.in();
        heed::attend_edges(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
        auto plain = unwritten<T>(out.extent);
        heed::attend_edges<heed::simd::scalar>(spec, q.in(), k.in(), v.in(), {.out = plain.in()});
        const auto list = g.list();
        for (heed::index h = 0; h < H; ++h) {
          const Eigen::VectorXd zero = Eigen::VectorXd::Zero(g.edges()),
                                one = Eigen::VectorXd::Ones(g.edges()),
                                b = with ? numbers(bias, h) : zero,
                                s = exact::dot_logits(list, q.head(0, h), k.head(0, h), b);
          const Eigen::VectorXd extra =
              Eigen::VectorXd::Constant(g.nodes(), with ? std::exp(double(null.in()(0, h, 0))) : 0);
          const Eigen::MatrixXd want =
              with ? exact::weighted_sum(list, exact::softmax(list, s, one, one, extra),
                                         v.head(0, h))
                   : exact::dot(list, q.head(0, h), k.head(0, h), v.head(0, h), zero);
          check_close(out.head(0, h), want, allowed<T>(g, D), "out");
          check_close(plain.head(0, h), want, allowed<T>(g, D), "scalar");
          check_close(numbers(lse, h), exact_lse(list, s, extra), allowed<T>(g, D), "lse");
        }
      }
    }
}

TEMPLATE_TEST_CASE("graph attention is its definition", "", float, double) {
  using T = TestType;
  for (const graph& g : graphs())
    for (const auto& [H, D, unused] : {shape_case<T>{1, 1, 0}, {4, 16, 0}, {3, 37, 0}}) {
      INFO(g.name << " heads " << H << " depth " << D);
      const auto x = random<T>({1, H, g.nodes(), D}, 1),
                 y = random<T>({1, H, g.source_nodes, D}, 2), a = random<T>({1, H, 1, D}, 3, 0.5),
                 b = random<T>({1, H, 1, D}, 4, 0.5), bias = random<T>({1, 1, g.edges(), 1}, 5);
      auto out = unwritten<T>(x.extent), out2 = out, lse = unwritten<T>({1, H, g.nodes(), 1});
      heed::attend_edges(
          heed::gat{
              .graph = g.in(), .target = a.in(), .source = b.in(), .bias = bias.in(), .slope = 0.1},
          x.in(), y.in(), {.out = out.in(), .lse = lse.in()});
      heed::attend_edges(heed::gatv2{.graph = g.in(), .weight = a.in(), .bias = bias.in()}, x.in(),
                         y.in(), {.out = out2.in()});
      const auto list = g.list();
      for (heed::index h = 0; h < H; ++h) {
        const Eigen::MatrixXd l = x.head(0, h), r = y.head(0, h);
        const Eigen::VectorXd a1 = a.head(0, h).transpose(), a2 = b.head(0, h).transpose(),
                              e = numbers(bias, 0),
                              s = exact::gat_logits(list, l, r, a1, a2, e, 0.1),
                              s2 = exact::gatv2_logits(list, l, r, a1, e, 0.2);
        const double off = allowed<T>(g, D) * 4;
        check_close(out.head(0, h), exact::weighted_sum(list, exact::softmax(list, s), r), off,
                    "gat");
        check_close(numbers(lse, h), exact_lse(list, s, Eigen::VectorXd::Zero(g.nodes())), off,
                    "lse");
        check_close(out2.head(0, h), exact::weighted_sum(list, exact::softmax(list, s2), r), off,
                    "gatv2");
      }
    }
}

TEMPLATE_TEST_CASE("a softmax over edges is its definition", "", float, double) {
  using T = TestType;
  for (const graph& g : graphs())
    for (const heed::index H : {1, 8, 19})
      for (const bool with : {false, true}) {
        INFO(g.name << " heads " << H << (with ? " DPA4" : ""));
        const auto logits = random<T>({1, H, g.edges(), 1}, 1, 3),
                   prior = random<T>({1, 1, g.edges(), 1}, 2), sink = random<T>({1, H, 1, 1}, 3);
        auto weight = uniform<T>({1, 1, g.edges(), 1}, 4), cutoff = uniform<T>(weight.extent, 5);
        for (std::size_t e = 0; e < weight.data.size(); ++e) {
          weight.data[e] = std::abs(weight.data[e]), cutoff.data[e] = std::abs(cutoff.data[e]);
          if (e % 7 == 0) weight.data[e] = 0;
          if (e % 5 == 0) cutoff.data[e] = 0;
        }
        heed::segment_softmax spec{.graph = g.in()};
        if (with)
          spec.prior = prior.in(), spec.weight = weight.in(), spec.cutoff = cutoff.in(),
          spec.sink = sink.in(), spec.epsilon = 0.01;
        auto out = unwritten<T>(logits.extent), lse = unwritten<T>({1, H, g.nodes(), 1});
        heed::normalize_edges(spec, logits.in(), {.out = out.in(), .lse = lse.in()});
        const auto list = g.list();
        for (heed::index h = 0; h < H; ++h) {
          Eigen::VectorXd l = numbers(logits, h), want = exact::softmax(list, l);
          if (with) {
            l += numbers(prior, 0);
            const double z = std::log1p(std::exp(double(sink.in()(0, h, 0)))) + 0.01;
            want = exact::softmax(list, l, numbers(weight, 0), numbers(cutoff, 0),
                                  Eigen::VectorXd::Constant(g.nodes(), z));
          }
          check_close(numbers(out, h), want, allowed<T>(g, 9), "weights");
          if (!with)
            check_close(numbers(lse, h), exact_lse(list, l, Eigen::VectorXd::Zero(g.nodes())),
                        allowed<T>(g, 9), "lse");
        }
      }
}

TEST_CASE("rows lie anywhere, of any type, and threads change nothing") {
  const auto all = graphs();
  const graph& g = all[5];
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const heed::index H = 3, D = 21;
  const auto check = [&]<class S>(S) {
    engine random_bits(7);
    const auto make = [&](const heed::extents& e, unsigned stream) {
      auto x =
          laid_out<S>(e, {.permuted = true, .strided_channels = stream % 2 == 0, .reversed = true},
                      random_bits, S(NAN));
      std::mt19937 bits(stream);
      x.each([&](S& y) { y = S(float(bits() % 17) / 8 - 1); });
      return x;
    };
    const auto q = make({1, H, g.nodes(), D}, 1), k = make({1, H, g.source_nodes, D}, 2),
               v = make({1, H, g.source_nodes, D}, 3);
    const auto dense = [&](const auto& x) {
      tensor<double> t(x.extent);
      for (heed::index h = 0; h < H; ++h)
        for (heed::index i = 0; i < x.extent[2]; ++i)
          for (heed::index c = 0; c < D; ++c) t(0, h, i, c) = double(x.read()(0, h, i, c));
      return t;
    };
    tensor<float> out({1, H, g.nodes(), D}), again = out, two = out;
    const heed::segment_dot spec{.graph = g.in()};
    heed::attend_edges(spec, q.read(), k.read(), v.read(), {.out = out.in()});
    heed::workspace scratch;
    for (int times = 0; times < 2; ++times) {
      scratch.for_each_arena([](heed::arena& a) {
        std::fill_n(reinterpret_cast<unsigned char*>(a.data()), a.capacity(), 0xff);
      });
      heed::attend_edges(spec, q.read(), k.read(), v.read(), {.out = again.in()}, heed::on(device),
                         scratch);
      CHECK(out.data == again.data);
    }
    const auto dq = dense(q), dk = dense(k), dv = dense(v);
    for (heed::index h = 0; h < H; ++h)
      check_close(out.head(0, h),
                  exact::dot(g.list(), dq.head(0, h), dk.head(0, h), dv.head(0, h),
                             Eigen::VectorXd::Zero(g.edges())),
                  allowed<float>(g, D), "strided");
  };
  check(float{}), check(double{}), check(Eigen::half{}), check(Eigen::bfloat16{});
}

TEST_CASE("graphs are checked before anything is written") {
  const auto x = random<float>({1, 2, 3, 4}, 1);
  auto out = random<float>({1, 2, 3, 4}, 2);
  const auto before = out.data;
  const auto refused = [&](std::vector<heed::index> offsets, std::vector<int> sources,
                           const char* text, heed::edge_order order = heed::edge_order::any) {
    CHECK_THROWS_WITH(
        heed::attend_edges(heed::segment_dot{.graph = {offsets, sources}, .order = order}, x.in(),
                           x.in(), x.in(), {.out = out.in()}),
        ContainsSubstring(text));
    CHECK(out.data == before);
  };
  refused({0, 1, 2, 3}, {0, 3, 7}, "edge 1 comes from node 3, there are 3");
  refused({0, 1, 2, 3}, {0, 2, -1}, "edge 2 comes from node -1, there are 3");
  refused({0, 2, 1, 3}, {0, 1, 2}, "offsets[2] = 1 after 2");
  refused({0, 1, 2, 4}, {0, 1, 2}, "end at the number of edges, 3: 4");
  refused({1, 1, 2, 3}, {0, 1, 2}, "start at 0: 1");
  refused({0, 1, 3}, {0, 1, 2}, "q must be [1, 2, 2, 4]");
  refused({0, 2, 2, 3}, {1, 0, 2}, "edge 1 from 0 after 1", heed::edge_order::ascending);
  refused({0, 2, 2, 3}, {1, 1, 2}, "edge 1 from 1 is there twice", heed::edge_order::unique);
  const auto odd = random<float>({1, 2, 3, 5}, 3);
  const std::vector<heed::index> offsets{0, 0, 0, 0};
  const heed::csr none{offsets, {}};
  CHECK_THROWS_WITH(heed::attend_edges(heed::segment_dot{.graph = none}, x.in(), odd.in(), x.in(),
                                       {.out = out.in()}),
                    ContainsSubstring("k must be [1, 2, 3, 4]"));
  CHECK_THROWS_WITH(heed::attend_edges(heed::gatv2{.graph = none, .weight = odd.in()}, x.in(),
                                       x.in(), {.out = out.in()}),
                    ContainsSubstring("weight must be [1, 2, 1, 4]"));
  CHECK_THROWS_WITH(
      heed::normalize_edges(heed::segment_softmax{.graph = none}, x.in(), {.out = out.in()}),
      ContainsSubstring("logits must be [1, 2, 0, 1]"));
  CHECK(out.data == before);
}

TEST_CASE("a transposed graph has the same edges by source") {
  for (const graph& g : graphs()) {
    const heed::transposed t(g.in(), g.source_nodes);
    t.check("test", g.in(), g.source_nodes);
    const heed::csr by = t.by_source();
    by.check("test", g.nodes(), heed::edge_order::ascending);
    for (heed::index s = 0; s < by.nodes(); ++s)
      for (heed::index e = by.begin(s); e < by.end(s); ++e) {
        CHECK(g.in().source(t.edge(e)) == s);
        CHECK(g.in().begin(by.source(e)) <= t.edge(e));
        CHECK(t.edge(e) < g.in().end(by.source(e)));
        if (e > by.begin(s)) CHECK(t.edge(e) > t.edge(e - 1));
      }
  }
}
