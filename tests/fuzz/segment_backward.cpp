// SPDX-License-Identifier: BSL-1.0
// Gradients of dot products, with rows of edges too, graph attention and softmax along edges.
#include <heed/segment/dot_backward.hpp>
#include <heed/segment/edge_kv_backward.hpp>
#include <heed/segment/gatv2_backward.hpp>
#include <heed/segment/softmax_backward.hpp>
#include <tuple>

#include "fuzz/segment.hpp"
#include "fuzz/slopes.hpp"

namespace heed::fuzz {

// Dot products along edges. draw(c): two operands more, some(spec): where they go, each in half of
// the calls.
template <class Gradients, class Spec, class Draw, class Some>
static void product_call(engine& random, const char* name, Spec spec, const Draw& draw,
                         const Some& some) {
  edge_call c = draw_slopes(random);
  auto [one, other] = draw(c);
  learned q("q", c.random, c.rows(c.nodes(), c.depth)),
      k("k", c.random, c.rows(c.sources(), c.depth)),
      v("v", c.random, c.rows(c.sources(), c.width)), first("first", c.random, std::move(one)),
      second("second", c.random, std::move(other));
  spec.graph = c.graph();
  std::vector<learned*> all{&q, &k, &v};
  const auto [to_first, to_second] = some(spec);
  if (one_in(random, 2)) to_first = first.in(), all.push_back(&first);
  if (one_in(random, 2)) to_second = second.in(), all.push_back(&second);
  if (one_in(random, 3)) spec.scale = uniform(random, 0.01, 0.5);
  const memory d_out = c.rows(c.nodes(), c.width);
  memory out = c.written(c.nodes(), c.width), lse = c.written(c.nodes(), 1);
  INFO(name << " " << c.describe());
  const auto loss = [&] {
    attend_edges(spec, q.in(), k.in(), v.in(), {.out = out.write(), .lse = lse.write()});
    return product(out, d_out);
  };
  const transposed by(c.graph(), c.sources());
  check_slopes(c.random, all, curve::smooth, loss,
               [&](const executor_ref& executor, const workspace_ref& scratch) {
                 Gradients to{.dq = q.to(), .dk = k.to(), .dv = v.to()};
                 const auto [d_first, d_second] = some(to.spec);
                 const auto [is_first, is_second] = some(spec);
                 if (is_first.present()) d_first = first.to();
                 if (is_second.present()) d_second = second.to();
                 attend_edges_backward(spec, by, q.in(), k.in(), v.in(), {out.read(), lse.read()},
                                       d_out.read(), to, executor, scratch);
               });
}

template <class Spec, class To>
static void gat_call(engine& random, const char* name, Spec spec, const To& rows_of) {
  edge_call c = draw_slopes(random);
  learned x("x_dst", c.random, c.rows(c.nodes(), c.depth)),
      y("x_src", c.random, c.rows(c.sources(), c.depth)),
      a("first row", c.random, c.any_rows(1, c.depth, 0.5)),
      b("source", c.random, c.any_rows(1, c.depth, 0.5)),
      bias("bias", c.random, c.table(c.edges())), null("null", c.random, c.table(c.nodes(), true));
  spec.graph = c.graph(), spec.slope = uniform(random, 0, 1);
  std::vector<learned*> all{&x, &y, &a};
  if (one_in(random, 2)) spec.bias = bias.in(), all.push_back(&bias);
  if (one_in(random, 2)) spec.null = null.in(), all.push_back(&null);
  if (rows_of(spec, a.in(), b.in())) all.push_back(&b);
  const memory d_out = c.rows(c.nodes(), c.depth);
  memory out = c.written(c.nodes(), c.depth), lse = c.written(c.nodes(), 1);
  INFO(name << " " << c.describe());
  const auto loss = [&] {
    attend_edges(spec, x.in(), y.in(), {.out = out.write(), .lse = lse.write()});
    return product(out, d_out);
  };
  const transposed by(c.graph(), c.sources());
  check_slopes(c.random, all, curve::kinked, loss,
               [&](const executor_ref& executor, const workspace_ref& scratch) {
                 gat_gradients<Spec> to{.d_dst = x.to(), .d_src = y.to()};
                 if (spec.bias.present()) to.spec.bias = bias.to();
                 if (spec.null.present()) to.spec.null = null.to();
                 rows_of(to.spec, a.to(), b.to());
                 attend_edges_backward(spec, by, x.in(), y.in(), {out.read(), lse.read()},
                                       d_out.read(), to, executor, scratch);
               });
}

static void softmax_call(engine& random) {
  edge_call c = draw_slopes(random);
  const auto share = [&] {
    memory m = c.table(c.edges());
    m.each([&](index b, index h, index l, index d) {
      m.set(b, h, l, d, one_in(random, 6) ? 0 : uniform(random, 0.05, 1));
    });
    return m;
  };
  learned logits("logits", c.random, c.rows(c.edges(), 1)),
      prior("prior", c.random, c.table(c.edges())), weight("weight", c.random, share()),
      cutoff("cutoff", c.random, share()), null("null", c.random, c.table(c.nodes(), true)),
      sink("sink", c.random, c.table(c.nodes(), true));
  segment_softmax spec{.graph = c.graph()};
  std::vector<learned*> all{&logits};
  const auto take = [&](operand& to, learned& x) {
    if (one_in(random, 2)) to = x.in(), all.push_back(&x);
  };
  take(spec.prior, prior), take(spec.weight, weight), take(spec.cutoff, cutoff);
  take(spec.null, null), take(spec.sink, sink);
  spec.epsilon = uniform(random, 0.01, 0.1);
  const memory d_out = c.rows(c.edges(), 1);
  memory out = c.written(c.edges(), 1), lse = c.written(c.nodes(), 1);
  INFO("softmax " << c.describe());
  const auto loss = [&] {
    normalize_edges(spec, logits.in(), {.out = out.write(), .lse = lse.write()});
    return product(out, d_out);
  };
  const auto of = [](const operand& x, learned& l) { return x.present() ? l.to() : result{}; };
  check_slopes(
      c.random, all, curve::smooth, loss,
      [&](const executor_ref& executor, const workspace_ref& scratch) {
        normalize_edges_backward(spec, logits.in(), lse.read(), d_out.read(),
                                 {.logits = logits.to(),
                                  .spec = {.prior = of(spec.prior, prior),
                                           .weight = of(spec.weight, weight),
                                           .cutoff = of(spec.cutoff, cutoff),
                                           .null = of(spec.null, null),
                                           .sink = of(spec.sink, sink)}},
                                 executor, scratch);
      },
      true);
}

TEST_CASE("gradients along edges") {
  fuzz_rounds("segment backward", [](engine& random) {
    product_call<segment_dot_gradients>(
        random, "dot", segment_dot{},
        [](edge_call& c) { return std::pair(c.table(c.edges()), c.table(c.nodes(), true)); },
        [](auto& of) { return std::tie(of.bias, of.null); });
    product_call<edge_kv_gradients>(
        random, "edge_kv", edge_kv{},
        [](edge_call& c) {
          return std::pair(c.rows(c.edges(), c.depth), c.rows(c.edges(), c.width));
        },
        [](auto& of) { return std::tie(of.keys, of.values); });
    gat_call(random, "gat", gat{}, [](auto& to, const auto& a, const auto& b) {
      return to.target = a, to.source = b, true;
    });
    gat_call(random, "gatv2", gatv2{},
             [](auto& to, const auto& a, const auto&) { return to.weight = a, false; });
    softmax_call(random);
  });
}

}  // namespace heed::fuzz
