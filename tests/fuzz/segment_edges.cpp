// SPDX-License-Identifier: BSL-1.0
// Operators whose edges bring rows of their own, and aggregation, against their references.
#include <heed/reference/segment/edge_kv.hpp>
#include <heed/reference/segment/gated_gcn.hpp>
#include <heed/reference/segment/gin_pna.hpp>
#include <heed/reference/segment/grit.hpp>
#include <heed/segment/edge_kv.hpp>
#include <heed/segment/gated_gcn.hpp>
#include <heed/segment/gin_pna.hpp>
#include <heed/segment/grit.hpp>

#include "fuzz/segment.hpp"

namespace heed::fuzz {

namespace exact = heed::reference::segment;

static tally seen;

// What the weights are of scores s, and log Σ e^s.
static vector softmax(const edge_call& c, const vector& s, const vector& lse) {
  vector alpha(c.edges());
  for (index i = 0; i < c.nodes(); ++i)
    for (index e = c.graph().begin(i); e < c.graph().end(i); ++e)
      alpha(e) = std::exp(s(e) - lse(i));
  return alpha;
}
static vector log_sums(const edge_call& c, const vector& s) {
  return denominators(c, s, vector::Ones(c.edges()), vector::Zero(c.nodes()));
}

static void edge_kv_call(engine& random) {
  edge_call c(random);
  const memory q = c.rows(c.nodes(), c.depth), k = c.rows(c.sources(), c.depth),
               v = c.rows(c.sources(), c.width), keys = c.any_rows(c.edges(), c.depth),
               values = c.any_rows(c.edges(), c.width);
  const bool keyed = one_in(random, 2), valued = one_in(random, 2);
  edge_kv spec{.graph = c.graph()};
  if (keyed) spec.keys = keys.read();
  if (valued) spec.values = values.read();
  if (one_in(random, 3)) spec.scale = uniform(random, 0.01, 0.5);
  const double scale = spec.scale != 0 ? spec.scale : 1 / std::sqrt(double(c.depth));
  memory out = c.written(c.nodes(), c.width), lse = c.written(c.nodes(), 1);
  INFO("edge_kv " << c.describe() << " keys " << keyed << " values " << valued);
  c.same_bits({&out, &lse}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      attend_edges(spec, q.as<T>(), k.as<T>(), v.as<T>(), {.out = out.write(), .lse = lse.write()},
                   executor, scratch);
    });
  });
  for (index h = 0; h < c.heads; ++h) {
    const matrix qs = head(q, h), ks = head(k, h), vs = head(v, h);
    matrix r = head(keys, h), s = head(values, h);
    if (!keyed) r.setZero();
    if (!valued) s.setZero();
    vector scores(c.edges()), off(c.edges());
    for (index i = 0; i < c.nodes(); ++i)
      for (index e = c.graph().begin(i); e < c.graph().end(i); ++e) {
        const index j = c.from(e);
        scores(e) = scale * qs.row(i).dot(ks.row(j) + r.row(e));
        off(e) =
            score_off(c.epsilon(), 2 * c.depth,
                      scale * qs.row(i).cwiseAbs().dot(ks.row(j).cwiseAbs() + r.row(e).cwiseAbs()));
      }
    const vector log_sum = log_sums(c, scores);
    const auto w = weighted_off(
        c, off, softmax(c, scores, log_sum), c.width,
        [&](index e, index d) { return std::abs(vs(c.from(e), d)) + std::abs(s(e, d)); }, log_sum);
    compare("out", out, h, exact::edge_kv(test::plain(c.g), qs, ks, vs, r, s, scale), w.out, seen);
    compare("lse", lse, h, log_sum, w.lse, seen);
  }
}

static void grit_call(engine& random) {
  edge_call c(random);
  const memory q = c.rows(c.nodes(), c.depth), k = c.rows(c.sources(), c.depth),
               v = c.rows(c.sources(), c.width), factor = c.any_rows(c.edges(), c.depth),
               shift = c.any_rows(c.edges(), c.depth), weight = c.any_rows(1, c.depth, 0.5),
               value = c.any_rows(c.depth, c.width, 0.3);
  const bool shifted = one_in(random, 2), mixed = one_in(random, 2);
  grit spec{.graph = c.graph(), .factor = factor.read(), .weight = weight.read()};
  if (shifted) spec.shift = shift.read();
  if (mixed) spec.value = value.read();
  if (one_in(random, 3)) spec.bound = uniform(random, 0.5, 8);
  memory out = c.written(c.nodes(), c.width), edge = c.written(c.edges(), c.depth),
         lse = c.written(c.nodes(), 1);
  INFO("grit " << c.describe() << " shift " << shifted << " value " << mixed);
  c.same_bits({&out, &edge, &lse}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      attend_edges(spec, q.as<T>(), k.as<T>(), v.as<T>(),
                   {.out = out.write(), .edge = edge.write(), .lse = lse.write()}, executor,
                   scratch);
    });
  });
  const double epsilon = c.epsilon();
  for (index h = 0; h < c.heads; ++h) {
    const matrix qs = head(q, h), ks = head(k, h), vs = head(v, h), f = head(factor, h);
    matrix b = head(shift, h), m = head(value, h);
    if (!shifted) b.setZero();
    if (!mixed) m.setZero();
    const vector a = head(weight, h).transpose();
    const auto want = exact::grit(test::plain(c.g), qs, ks, vs, f, b, a, m, spec.bound);
    // x = (q + k) w is off by 2 ε of its terms, and so ρ(x) by that over √|x|, but at most by √2
    // times its root.
    matrix edge_off(c.edges(), c.depth);
    vector scores(c.edges()), off(c.edges());
    for (index i = 0; i < c.nodes(); ++i)
      for (index e = c.graph().begin(i); e < c.graph().end(i); ++e) {
        double size = 0, moved = 0;
        for (index d = 0; d < c.depth; ++d) {
          const double x = (qs(i, d) + ks(c.from(e), d)) * f(e, d);
          const double x_off =
              2 * epsilon * (std::abs(qs(i, d)) + std::abs(ks(c.from(e), d))) * std::abs(f(e, d));
          const double root = std::sqrt(std::abs(x));
          edge_off(e, d) = std::min(std::sqrt(2 * x_off), x == 0 ? INFINITY : x_off / root) +
                           2 * epsilon * (root + std::abs(b(e, d)));
          size += std::abs(a(d)) * (want.edge(e, d) + edge_off(e, d));
          moved += std::abs(a(d)) * edge_off(e, d);
        }
        scores(e) = std::clamp(want.edge.row(e).dot(a), -spec.bound, spec.bound);
        off(e) = score_off(epsilon, c.depth, size) + moved;
      }
    const vector log_sum = log_sums(c, scores), alpha = softmax(c, scores, log_sum);
    const matrix sizes = want.edge * m.cwiseAbs(), later = edge_off * m.cwiseAbs();
    auto w = weighted_off(
        c, off, alpha, c.width,
        [&](index e, index d) { return std::abs(vs(c.from(e), d)) + sizes(e, d) + later(e, d); },
        log_sum);
    // Σ_e α_e ê_e is multiplied by the D rows of m at the end.
    for (index i = 0; i < c.nodes(); ++i)
      for (index d = 0; d < c.width; ++d)
        w.out(i, d) += c.sum(i, [&](index e) {
          return alpha(e) * (later(e, d) + epsilon * double(c.depth + 4) * sizes(e, d));
        });
    compare("edge", edge, h, want.edge, edge_off, seen);
    compare("out", out, h, want.out, w.out, seen);
    compare("lse", lse, h, log_sum, w.lse, seen);
  }
}

static void gated_gcn_call(engine& random) {
  edge_call c(random);
  const memory a = c.any_rows(c.nodes(), c.depth), b = c.rows(c.sources(), c.depth),
               target = c.any_rows(c.nodes(), c.depth), source = c.any_rows(c.sources(), c.depth),
               edge = c.any_rows(c.edges(), c.depth);
  const bool edged = one_in(random, 2), added = one_in(random, 2);
  gated_gcn spec{.graph = c.graph(), .target = target.read(), .source = source.read()};
  if (edged) spec.edge = edge.read();
  memory out = c.written(c.nodes(), c.depth), gate = c.written(c.edges(), c.depth);
  INFO("gated_gcn " << c.describe() << " edges " << edged << " a " << added);
  c.same_bits({&out, &gate}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      attend_edges(spec, added ? a.read() : operand{}, b.as<T>(),
                   {.out = out.write(), .gate = gate.write()}, executor, scratch);
    });
  });
  const double epsilon = c.epsilon();
  for (index h = 0; h < c.heads; ++h) {
    matrix as = head(a, h), es = head(edge, h);
    if (!added) as.setZero();
    if (!edged) es.setZero();
    const matrix bs = head(b, h), ts = head(target, h), ss = head(source, h);
    matrix eta(c.edges(), c.depth), eta_off = eta, off(c.nodes(), c.depth);
    for (index i = 0; i < c.nodes(); ++i)
      for (index d = 0; d < c.depth; ++d) {
        double most = 0, gates = 1e-6, size = 0;
        for (index e = c.graph().begin(i); e < c.graph().end(i); ++e) {
          const double x = ts(i, d), y = ss(c.from(e), d), z = es(e, d);
          eta(e, d) = 1 / (1 + std::exp(-(x + y + z)));
          // σ moves by no more of itself than its argument moves.
          const double share =
              std::expm1(epsilon * (2 * (std::abs(x) + std::abs(y) + std::abs(z)) + 8));
          eta_off(e, d) = share * eta(e, d);
          most = std::max(most, share);
          gates += eta(e, d), size += eta(e, d) * std::abs(bs(c.from(e), d));
        }
        const double share = most + epsilon * (4 + double(c.graph().degree(i)));
        off(i, d) = 2 * share * size / gates + epsilon * (std::abs(as(i, d)) + size / gates);
      }
    compare("gate", gate, h, eta, eta_off, seen);
    compare("out", out, h, exact::gated_gcn(test::plain(c.g), as, bs, es, ts, ss), off, seen);
  }
}

static void gin_pna_call(engine& random) {
  const bool square = one_in(random, 2);
  edge_call c(random, square);
  const memory x = c.rows(c.sources(), c.depth), self = c.table(1);
  memory weights = c.table(c.edges());
  weights.each([&](index b, index h, index l, index d) {
    weights.set(b, h, l, d, one_in(random, 5) ? 0 : uniform(random, 0.1, 1));
  });
  const bool weighted = one_in(random, 2), itself = square && one_in(random, 2);
  constexpr reducer kinds[] = {reducer::sum, reducer::mean,      reducer::max,
                               reducer::min, reducer::deviation, reducer::variance};
  std::vector<reducer> chosen;
  for (index n = between(random, 1, 7); n > 0; --n) chosen.push_back(kinds[between(random, 0, 5)]);
  gin_pna spec{.graph = c.graph(), .reducers = chosen};
  if (weighted) spec.weights = weights.read();
  if (itself) spec.self = self.read();
  memory out = c.written(c.nodes(), index(chosen.size()) * c.depth);
  INFO("gin_pna " << c.describe() << " weights " << weighted << " self " << itself);
  c.same_bits({&out}, [&](const executor_ref& executor, const workspace_ref& scratch) {
    with_type(c.type, [&]<class T>(std::type_identity<T>) {
      aggregate_edges(spec, x.as<T>(), out.write(), executor, scratch);
    });
  });
  for (index h = 0; h < c.heads; ++h) {
    const matrix xs = head(x, h);
    vector w = vector::Ones(c.edges());
    if (weighted) w = column(weights, h, c.edges());
    const double own = itself ? self.get(0, self.extent[1] == 1 ? 0 : h, 0, 0) : 0;
    const matrix all = exact::gin_pna(test::plain(c.g), xs, w, own);
    matrix want(c.nodes(), index(chosen.size()) * c.depth), off = want;
    for (index i = 0; i < c.nodes(); ++i)
      for (index d = 0; d < c.depth; ++d) {
        double most = 0, size = 0, mass = 0;
        for (index e = c.graph().begin(i); e < c.graph().end(i); ++e) {
          if (w(e) == 0) continue;
          most = std::max(most, std::abs(xs(c.from(e), d)));
          size += w(e) * std::abs(xs(c.from(e), d)), mass += w(e);
        }
        // Sums over n edges: n ε of their size. Squares of differences from a mean that is off by
        // as much, of numbers up to `most`.
        const double terms = c.epsilon() * (8 + double(c.graph().degree(i)));
        const double spread = 4 * terms * most * most;
        for (std::size_t n = 0; n < chosen.size(); ++n) {
          const index at = index(n) * c.depth + d, kind = static_cast<index>(chosen[n]);
          want(i, at) = all(i, kind * c.depth + d);
          switch (chosen[n]) {
            case reducer::sum:
              off(i, at) = terms * (size + (itself ? std::abs(own * xs(i, d)) : 0));
              break;
            case reducer::mean:
              off(i, at) = mass > 0 ? 2 * terms * size / mass : 0;
              break;
            case reducer::max:
            case reducer::min:
              off(i, at) = 0;
              break;
            case reducer::deviation:
              off(i, at) = spread / std::sqrt(all(i, 5 * c.depth + d) + 1e-5) +
                           2 * c.epsilon() * want(i, at);
              break;
            case reducer::variance:
              off(i, at) = spread;
          }
        }
      }
    compare("out", out, h, want, off, seen);
  }
}

TEST_CASE("operators with rows of edges") {
  fuzz_rounds("segment edges", [](engine& random) {
    edge_kv_call(random), grit_call(random), gated_gcn_call(random), gin_pna_call(random);
    seen.calls += 4;
  });
  std::printf("segment edges: %ld calls, %ld rows, error / allowed %.3f\n", seen.calls, seen.rows,
              seen.worst);
}

}  // namespace heed::fuzz
