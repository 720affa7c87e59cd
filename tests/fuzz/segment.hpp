// SPDX-License-Identifier: BSL-1.0
// Random graphs, operands along their edges in any type and layout, and what sums over edges may be
// off by. HEED_FUZZ_SECONDS and HEED_FUZZ_SEED as in fuzz/run.hpp.
#pragma once

#include "fuzz/executors.hpp"
#include "fuzz/rounds.hpp"
#include "fuzz/tally.hpp"
#include "support/edge_graphs.hpp"

namespace heed::fuzz {

using reference::matrix;
using reference::vector;

// Without nodes or edges, isolated nodes, loops, repeated edges, hubs of several tasks.
inline test::graph draw_graph(engine& random, bool square, index largest_hub) {
  test::graph g;
  const index nodes = one_in(random, 20) ? 0 : between(random, 1, one_in(random, 4) ? 150 : 20);
  const bool bare = one_in(random, 15);
  g.source_nodes = square ? nodes : between(random, bare ? 0 : 1, one_in(random, 3) ? 5 : 200);
  const index hub = nodes > 0 && one_in(random, 4) ? between(random, 0, nodes - 1) : -1;
  for (index i = 0; i < nodes; ++i) {
    index degree = one_in(random, 4) ? 0 : between(random, 0, one_in(random, 10) ? 70 : 9);
    if (i == hub) degree = between(random, largest_hub / 4, largest_hub);
    for (index e = bare ? degree : 0; e < degree; ++e) {
      const bool loop = i < g.source_nodes && one_in(random, 8);
      const bool again = e > 0 && one_in(random, 8);
      g.sources.push_back(again  ? g.sources.back()
                          : loop ? int(i)
                                 : int(between(random, 0, g.source_nodes - 1)));
    }
    g.offsets.push_back(index(g.sources.size()));
  }
  return g;
}

// One head as a matrix. Extents of 1 stand for every head.
inline matrix head(const memory& x, index h) {
  matrix m(x.extent[2], x.extent[3]);
  for (index l = 0; l < m.rows(); ++l)
    for (index d = 0; d < m.cols(); ++d) m(l, d) = x.get(0, x.extent[1] == 1 ? 0 : h, l, d);
  return m;
}
// One number a row, of `rows` rows of which a table may hold one.
inline vector column(const memory& x, index h, index rows) {
  vector v(rows);
  for (index l = 0; l < rows; ++l)
    v(l) = x.get(0, x.extent[1] == 1 ? 0 : h, x.extent[2] == 1 ? 0 : l, 0);
  return v;
}

// A graph and the shape of what lies along it.
struct edge_call {
  engine& random;
  test::graph g;
  index heads, depth, width;
  bool in_double = false;  // whatever may be of any type
  element type;            // of what decides the type that is computed in
  double spread = 1;
  workspace scratch{};

  explicit edge_call(engine& bits, bool square = false, index largest_hub = 2100)
      : random(bits),
        g(draw_graph(bits, square, largest_hub)),
        heads(between(bits, 1, one_in(bits, 6) ? 11 : 3)),
        depth(between(bits, 1, one_in(bits, 4) ? 70 : 20)),
        width(between(bits, 1, one_in(bits, 4) ? 70 : 20)),
        type(any_element()) {
    if (g.edges() * heads * (depth + width) > 100000) heads = 1;
    if (g.edges() * heads * (depth + width) > 100000) depth = 1 + depth % 9, width = 1 + width % 9;
    if (one_in(random, 5)) spread = 4;
  }

  element any_element() {
    return in_double ? element::f64 : static_cast<element>(between(random, 0, 3));
  }
  double epsilon() const { return type == element::f64 ? 0x1p-52 : 0x1p-23; }
  csr graph() const { return g.in(); }
  index nodes() const { return g.nodes(); }
  index sources() const { return g.source_nodes; }
  index edges() const { return g.edges(); }
  std::string describe() const {
    return "nodes " + std::to_string(nodes()) + " sources " + std::to_string(sources()) +
           " edges " + std::to_string(edges()) + " heads " + std::to_string(heads) + " depth " +
           std::to_string(depth) + " width " + std::to_string(width) + " type " +
           check::print(type);
  }

  memory numbers(element of, const extents& e, double size) {
    memory x(of, e, use::read, random);
    std::normal_distribution<double> normal(0, size);
    x.each([&](index b, index h, index l, index d) { x.set(b, h, l, d, normal(random)); });
    return x;
  }
  // [1,H,L,D] of the type that is computed in, or of any.
  memory rows(index l, index d) { return numbers(type, {1, heads, l, d}, spread); }
  memory any_rows(index l, index d, double size = 1) {
    return numbers(any_element(), {1, heads, l, d}, size);
  }
  // [1,H|1,L|1,1]
  memory table(index l, bool shared_rows = false) {
    const index h = one_in(random, 3) ? 1 : heads;
    return numbers(any_element(), {1, h, shared_rows && one_in(random, 2) ? 1 : l, 1}, 1);
  }
  memory written(index l, index d) {
    return {any_element(), {1, heads, l, d}, use::written, random};
  }

  template <class Run> void same_bits(const std::vector<memory*>& to, const Run& run) {
    fuzz::same_bits(random, scratch, to, run);
  }

  // Σ_e over the edges of node i.
  template <class F> double sum(index i, F f) const {
    double s = 0;
    for (index e = graph().begin(i); e < graph().end(i); ++e) s += f(e);
    return s;
  }
  index from(index e) const { return graph().source(e); }
};

// A call for differences: all in double, scores of order 1, and one hub that is cut.
inline edge_call draw_slopes(engine& random, bool square = false) {
  edge_call c(random, square, 1100);
  c.type = element::f64, c.spread = 1, c.in_double = true;
  return c;
}

inline void compare(const char* name, memory& got, index h, const matrix& want,
                    const matrix& allowed, tally& seen) {
  for (index i = 0; i < want.rows(); ++i, ++seen.rows)
    for (index c = 0; c < want.cols(); ++c) {
      const double x = got.get(0, h, i, c);
      if (seen.good(x, want(i, c), allowed(i, c), got.type)) continue;
      CAPTURE(name, h, i, c, x, want(i, c), allowed(i, c));
      FAIL("not what the reference says");
    }
}

// What a score that is a sum of `terms` products of total size Σ|…| may be off by, and its
// exponential as a share of itself: the sum by half an ε of its size a term, exp by 4 ε and by what
// its argument is rounded by.
inline double score_off(double epsilon, index terms, double size) {
  return epsilon * ((double(terms) / 2 + 4) * size + 4);
}

// o_i = Σ_e α_e v_e and lse of one head, given scores off by `off`: weights and their sum each by
// expm1(off) of themselves, a sum over n edges by n ε of its size, which is Σ α_e |v_e|.
struct weighted {
  matrix out;  // of o
  vector lse;
};
template <class Size>
weighted weighted_off(const edge_call& c, const vector& off, const vector& alpha, index width,
                      const Size& size, const vector& lse) {
  weighted w{matrix::Zero(c.nodes(), width), vector::Zero(c.nodes())};
  for (index i = 0; i < c.nodes(); ++i) {
    double most = 0;
    for (index e = c.graph().begin(i); e < c.graph().end(i); ++e) most = std::max(most, off(e));
    const double share = std::expm1(most) + c.epsilon() * (8 + double(c.graph().degree(i)));
    for (index d = 0; d < width; ++d)
      w.out(i, d) = 2 * share * c.sum(i, [&](index e) { return alpha(e) * size(e, d); }) + 1e-30;
    w.lse(i) = share + (std::isfinite(lse(i)) ? 4 * c.epsilon() * std::abs(lse(i)) : 0);
  }
  return w;
}

// log(extra_i + Σ_e weight_e e^{s_e})
inline vector denominators(const edge_call& c, const vector& s, const vector& weight,
                           const vector& extra) {
  vector lse(c.nodes());
  for (index i = 0; i < c.nodes(); ++i) {
    double top = extra(i) > 0 ? std::log(extra(i)) : -INFINITY;
    for (index e = c.graph().begin(i); e < c.graph().end(i); ++e)
      if (weight(e) > 0) top = std::max(top, s(e));
    const double rest = extra(i) > 0 ? std::exp(std::log(extra(i)) - top) : 0;
    lse(i) =
        top == -INFINITY ? top : top + std::log(rest + c.sum(i, [&](index e) {
                                   return weight(e) > 0 ? weight(e) * std::exp(s(e) - top) : 0.0;
                                 }));
  }
  return lse;
}

}  // namespace heed::fuzz
