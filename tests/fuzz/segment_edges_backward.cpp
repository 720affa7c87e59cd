// SPDX-License-Identifier: BSL-1.0
// Gradients of operators that write rows of edges, and of aggregation.
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gated_gcn_backward.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/gin_pna_backward.hpp>
#include <heed/segment/grit.hpp>
#include <heed/segment/grit_backward.hpp>

#include "fuzz/segment.hpp"
#include "fuzz/slopes.hpp"

namespace heed::fuzz {

static void grit_call(engine& random) {
  edge_call c = draw_slopes(random);
  // (q + k) w stays away from 0, where ρ has no slope.
  const auto within = [&](index l, double low, double high, bool either_sign = false) {
    memory x(element::f64, {1, c.heads, l, c.depth}, use::read, random);
    x.each([&](index b, index h, index i, index d) {
      x.set(b, h, i, d, uniform(random, low, high) * (either_sign && one_in(random, 2) ? -1 : 1));
    });
    return x;
  };
  learned q("q", c.random, within(c.nodes(), 1, 2)),
      k("k", c.random, within(c.sources(), -0.5, 0.5)),
      v("v", c.random, c.rows(c.sources(), c.width)),
      factor("factor", c.random, within(c.edges(), 0.3, 1.5, true)),
      shift("shift", c.random, c.rows(c.edges(), c.depth)),
      weight("weight", c.random, c.any_rows(1, c.depth, 0.5)),
      value("value", c.random, c.any_rows(c.depth, c.width, 0.3));
  grit spec{.graph = c.graph(), .factor = factor.in(), .weight = weight.in()};
  std::vector<learned*> all{&q, &k, &v, &factor, &weight};
  if (one_in(random, 2)) spec.shift = shift.in(), all.push_back(&shift);
  if (one_in(random, 2)) spec.value = value.in(), all.push_back(&value);
  if (one_in(random, 3)) spec.bound = uniform(random, 0.5, 8);
  const memory d_out = c.rows(c.nodes(), c.width), d_edge = c.rows(c.edges(), c.depth);
  const bool by_edge = one_in(random, 2);
  memory out = c.written(c.nodes(), c.width), edge = c.written(c.edges(), c.depth),
         lse = c.written(c.nodes(), 1);
  INFO("grit " << c.describe() << " by edges " << by_edge);
  const auto loss = [&] {
    attend_edges(spec, q.in(), k.in(), v.in(),
                 {.out = out.write(), .edge = edge.write(), .lse = lse.write()});
    return product(out, d_out) + (by_edge ? product(edge, d_edge) : 0);
  };
  const transposed by(c.graph(), c.sources());
  check_slopes(c.random, all, curve::kinked, loss,
               [&](const executor_ref& executor, const workspace_ref& scratch) {
                 grit_gradients to{.dq = q.to(),
                                   .dk = k.to(),
                                   .dv = v.to(),
                                   .spec = {.factor = factor.to(), .weight = weight.to()}};
                 if (spec.shift.present()) to.spec.shift = shift.to();
                 if (spec.value.present()) to.spec.value = value.to();
                 attend_edges_backward(spec, by, q.in(), k.in(), v.in(), {out.read(), lse.read()},
                                       d_out.read(), by_edge ? d_edge.read() : operand{}, to,
                                       executor, scratch);
               });
}

static void gated_gcn_call(engine& random) {
  edge_call c = draw_slopes(random);
  learned a("a", c.random, c.rows(c.nodes(), c.depth)),
      b("b", c.random, c.rows(c.sources(), c.depth)),
      target("target", c.random, c.rows(c.nodes(), c.depth)),
      source("source", c.random, c.rows(c.sources(), c.depth)),
      edge("edge", c.random, c.rows(c.edges(), c.depth));
  gated_gcn spec{.graph = c.graph(), .target = target.in(), .source = source.in()};
  std::vector<learned*> all{&a, &b, &target, &source};
  if (one_in(random, 2)) spec.edge = edge.in(), all.push_back(&edge);
  const memory d_out = c.rows(c.nodes(), c.depth), d_gate = c.rows(c.edges(), c.depth);
  const bool by_gate = one_in(random, 2);
  memory out = c.written(c.nodes(), c.depth), gate = c.written(c.edges(), c.depth);
  INFO("gated_gcn " << c.describe() << " by gates " << by_gate);
  const auto loss = [&] {
    attend_edges(spec, a.in(), b.in(), {.out = out.write(), .gate = gate.write()});
    return product(out, d_out) + (by_gate ? product(gate, d_gate) : 0);
  };
  const transposed by(c.graph(), c.sources());
  check_slopes(c.random, all, curve::smooth, loss,
               [&](const executor_ref& executor, const workspace_ref& scratch) {
                 gated_gcn_gradients to{.da = a.to(),
                                        .db = b.to(),
                                        .spec = {.target = target.to(), .source = source.to()}};
                 if (spec.edge.present()) to.spec.edge = edge.to();
                 attend_edges_backward(spec, by, b.in(), d_out.read(),
                                       by_gate ? d_gate.read() : operand{}, to, executor, scratch);
               });
}

static void gin_pna_call(engine& random) {
  const bool square = one_in(random, 2);
  edge_call c = draw_slopes(random, square);
  memory drawn = c.table(c.edges());
  drawn.each([&](index b, index h, index l, index d) {
    drawn.set(b, h, l, d, one_in(random, 5) ? 0 : uniform(random, 0.1, 1));
  });
  learned x("x", c.random, c.rows(c.sources(), c.depth)),
      weights("weights", c.random, std::move(drawn)), self("self", c.random, c.table(1));
  constexpr reducer kinds[] = {reducer::sum, reducer::mean,      reducer::max,
                               reducer::min, reducer::deviation, reducer::variance};
  std::vector<reducer> chosen;
  for (index n = between(random, 1, 7); n > 0; --n) chosen.push_back(kinds[between(random, 0, 5)]);
  gin_pna spec{.graph = c.graph(), .reducers = chosen};
  std::vector<learned*> all{&x};
  if (one_in(random, 2)) spec.weights = weights.in(), all.push_back(&weights);
  if (square && one_in(random, 2)) spec.self = self.in(), all.push_back(&self);
  const memory d_out = c.rows(c.nodes(), index(chosen.size()) * c.depth);
  memory out = c.written(c.nodes(), index(chosen.size()) * c.depth);
  INFO("gin_pna " << c.describe());
  const auto loss = [&] {
    aggregate_edges(spec, x.in(), out.write());
    return product(out, d_out);
  };
  const transposed by(c.graph(), c.sources());
  check_slopes(
      c.random, all, curve::kinked, loss,
      [&](const executor_ref& executor, const workspace_ref& scratch) {
        gin_pna_gradients to{.dx = x.to()};
        if (spec.weights.present()) to.spec.weights = weights.to();
        if (spec.self.present()) to.spec.self = self.to();
        aggregate_edges_backward(spec, by, x.in(), d_out.as<double>(), to, executor, scratch);
      },
      true);
}

TEST_CASE("gradients of operators that write rows of edges") {
  fuzz_rounds("segment edges backward", [](engine& random) {
    grit_call(random), gated_gcn_call(random), gin_pna_call(random);
  });
}

}  // namespace heed::fuzz
