// SPDX-License-Identifier: BSL-1.0
// Dot products, graph attention and softmax along edges against their references.
#include <heed/reference/segment/dot.hpp>
#include <heed/reference/segment/gat.hpp>
#include <heed/segment/dot.hpp>
#include <heed/segment/gatv2.hpp>
#include <heed/segment/softmax.hpp>

#include "fuzz/segment.hpp"

namespace heed::fuzz {

namespace exact = heed::reference::segment;

static tally seen;

// `terms` products of total size size(h, e) are in the score of an edge.
struct scored {
  vector s, size;
  matrix values;  // of sources
  index terms;
};

// Checks out and lse of attend_edges(spec, …); score(h) are the references' logits.
template <class Spec, class Run, class Score>
void check_attention(edge_call& c, Spec spec, index width, const Run& run, const Score& score) {
  const bool with_null = one_in(c.random, 2);
  const memory null = c.table(c.nodes(), true);
  if (with_null) spec.null = null.read();
  memory out = c.written(c.nodes(), width), lse = c.written(c.nodes(), 1);
  const bool wants_lse = one_in(c.random, 2);
  INFO(c.describe() << " null " << with_null);
  c.same_bits({&out, &lse}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    edge_outputs to{.out = out.write()};
    if (wants_lse) to.lse = lse.write();
    run(spec, to, executor, scratch);
  });
  const exact::edges list = c.g.list();
  const vector one = vector::Ones(c.edges());
  for (index h = 0; h < c.heads; ++h) {
    const scored x = score(h);
    vector extra = vector::Zero(c.nodes());
    if (with_null) extra = column(null, h, c.nodes()).array().exp();
    const vector alpha = exact::softmax(list, x.s, one, one, extra);
    vector off(c.edges());
    for (index e = 0; e < c.edges(); ++e) off(e) = score_off(c.epsilon(), x.terms, x.size(e));
    const vector log_sum = denominators(c, x.s, one, extra);
    const auto w = weighted_off(
        c, off, alpha, width, [&](index e, index d) { return std::abs(x.values(c.from(e), d)); },
        log_sum);
    compare("out", out, h, exact::weighted_sum(list, alpha, x.values), w.out, seen);
    if (wants_lse) compare("lse", lse, h, log_sum, w.lse, seen);
  }
}

// The order that the sources have.
static edge_order order_of(const edge_call& c) {
  for (index i = 0; i < c.nodes(); ++i)
    for (index e = c.graph().begin(i) + 1; e < c.graph().end(i); ++e)
      if (c.from(e) < c.from(e - 1)) return edge_order::any;
  return edge_order::ascending;
}

static void dot_call(engine& random) {
  edge_call c(random);
  const memory q = c.rows(c.nodes(), c.depth), k = c.rows(c.sources(), c.depth),
               v = c.rows(c.sources(), c.width), bias = c.table(c.edges());
  const bool biased = one_in(random, 2);
  segment_dot spec{.graph = c.graph(), .order = order_of(c)};
  if (biased) spec.bias = bias.read();
  if (one_in(random, 3)) spec.scale = uniform(random, 0.01, 0.5);
  const double scale = spec.scale != 0 ? spec.scale : 1 / std::sqrt(double(c.depth));
  const auto run = [&](const segment_dot& s, const edge_outputs& to, const executor_ref& executor,
                       const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      attend_edges(s, q.as<T>(), k.as<T>(), v.as<T>(), to, executor, scratch);
    });
  };
  check_attention(c, spec, c.width, run, [&](index h) {
    const matrix qs = head(q, h) * (scale * std::sqrt(double(c.depth))), ks = head(k, h);
    vector b = vector::Zero(c.edges());
    if (biased) b = column(bias, h, c.edges());
    scored x{exact::dot_logits(c.g.list(), qs, ks, b), b.cwiseAbs(), head(v, h), c.depth + 1};
    const auto list = c.g.list();
    x.size = exact::dot_logits(list, qs.cwiseAbs(), ks.cwiseAbs(), x.size);
    return x;
  });
}

static void gat_call(engine& random) {
  edge_call c(random);
  const memory l = c.rows(c.nodes(), c.depth), r = c.rows(c.sources(), c.depth),
               a = c.any_rows(1, c.depth, 0.5), b = c.any_rows(1, c.depth, 0.5),
               bias = c.table(c.edges());
  const bool biased = one_in(random, 2);
  const double slope = uniform(random, 0, 1);
  const auto bias_of = [&](index h) {
    return biased ? column(bias, h, c.edges()) : vector(vector::Zero(c.edges()));
  };
  const auto run = [&](const auto& s, const edge_outputs& to, const executor_ref& executor,
                       const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      attend_edges(s, l.as<T>(), r.as<T>(), to, executor, scratch);
    });
  };
  const auto list = c.g.list();
  gat first{.graph = c.graph(), .target = a.read(), .source = b.read(), .slope = slope};
  gatv2 second{.graph = c.graph(), .weight = a.read(), .slope = slope};
  if (biased) first.bias = bias.read(), second.bias = bias.read();
  check_attention(c, first, c.depth, run, [&](index h) {
    const matrix x = head(l, h), y = head(r, h);
    const vector at = head(a, h).transpose(), from = head(b, h).transpose(), e = bias_of(h);
    return scored{exact::gat_logits(list, x, y, at, from, e, slope),
                  exact::gat_logits(list, x.cwiseAbs(), y.cwiseAbs(), at.cwiseAbs(),
                                    from.cwiseAbs(), e.cwiseAbs(), slope),
                  y, 2 * c.depth + 1};
  });
  check_attention(c, second, c.depth, run, [&](index h) {
    const matrix x = head(l, h), y = head(r, h);
    const vector at = head(a, h).transpose(), e = bias_of(h);
    return scored{
        exact::gatv2_logits(list, x, y, at, e, slope),
        exact::gatv2_logits(list, x.cwiseAbs(), y.cwiseAbs(), at.cwiseAbs(), e.cwiseAbs(), slope),
        y, c.depth + 1};
  });
}

static void softmax_call(engine& random) {
  edge_call c(random);
  const memory logits = c.rows(c.edges(), 1), prior = c.table(c.edges()),
               null = c.table(c.nodes(), true), sink = c.table(c.nodes(), true);
  memory weight = c.table(c.edges()), cutoff = c.table(c.edges());
  for (memory* m : {&weight, &cutoff})
    m->each([&](index b, index h, index l, index d) {
      m->set(b, h, l, d, one_in(random, 6) ? 0 : uniform(random, 0.05, 1));
    });
  const bool priors = one_in(random, 2), weights = one_in(random, 2), cutoffs = one_in(random, 2),
             nulls = one_in(random, 2), sinks = one_in(random, 2);
  segment_softmax spec{.graph = c.graph()};
  if (priors) spec.prior = prior.read();
  if (weights) spec.weight = weight.read();
  if (cutoffs) spec.cutoff = cutoff.read();
  if (nulls) spec.null = null.read();
  if (sinks) spec.sink = sink.read(), spec.epsilon = uniform(random, 0, 0.1);
  memory out = c.written(c.edges(), 1), lse = c.written(c.nodes(), 1);
  INFO(c.describe() << " prior " << priors << " weight " << weights << " cutoff " << cutoffs
                    << " null " << nulls << " sink " << sinks);
  c.same_bits({&out, &lse}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      normalize_edges(spec, logits.as<T>(), {.out = out.write(), .lse = lse.write()}, executor,
                      scratch);
    });
  });
  for (index h = 0; h < c.heads; ++h) {
    const vector one = vector::Ones(c.edges()), none = vector::Zero(c.edges());
    const vector l = column(logits, h, c.edges()), p = priors ? column(prior, h, c.edges()) : none,
                 w = weights ? column(weight, h, c.edges()) : one,
                 cut = cutoffs ? column(cutoff, h, c.edges()) : one;
    vector extra = vector::Zero(c.nodes());
    if (nulls) extra = column(null, h, c.nodes()).array().exp();
    if (sinks) extra.array() += column(sink, h, c.nodes()).array().exp().log1p() + spec.epsilon;
    const vector all = (w.array() * cut.array().square()).matrix();
    const vector alpha = exact::softmax(c.g.list(), l + p, w, cut, extra),
                 log_sum = denominators(c, l + p, all, extra);
    // In the engine log(c² w) is a term of the logit: three of at most 2 · log(1 / 0.05).
    matrix allowed(c.edges(), 1), lse_allowed(c.nodes(), 1);
    for (index i = 0; i < c.nodes(); ++i) {
      double off = 4 * c.epsilon() * std::abs(extra(i) > 0 ? std::log(extra(i)) : 0);
      for (index e = c.graph().begin(i); e < c.graph().end(i); ++e)
        off = std::max(off, score_off(c.epsilon(), 4, std::abs(l(e)) + std::abs(p(e)) + 9));
      const double share = std::expm1(off) + c.epsilon() * (8 + double(c.graph().degree(i)));
      for (index e = c.graph().begin(i); e < c.graph().end(i); ++e)
        allowed(e, 0) = 2 * share * alpha(e) + 1e-37;
      lse_allowed(i, 0) =
          share + (std::isfinite(log_sum(i)) ? 4 * c.epsilon() * std::abs(log_sum(i)) : 0);
    }
    compare("weights", out, h, alpha, allowed, seen);
    compare("lse", lse, h, log_sum, lse_allowed, seen);
    for (index e = 0; e < c.edges(); ++e)
      if (all(e) == 0) REQUIRE(out.get(0, h, e, 0) == 0);
  }
}

TEST_CASE("operators along edges") {
  fuzz_rounds("segment", [](engine& random) {
    dot_call(random), gat_call(random), softmax_call(random);
    seen.calls += 4;
  });
  std::printf("segment: %ld calls, %ld rows, error / allowed %.3f\n", seen.calls, seen.rows,
              seen.worst);
}

}  // namespace heed::fuzz
