// SPDX-License-Identifier: BSL-1.0
// Graphs, tables and numbers at their ends: nothing is left unwritten, read beyond or made NaN.
#include <heed/segment.hpp>

#include "support/exact.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
const float nan_value = std::nanf("");

// One node with `edges` edges, all of source 0.
struct star {
  std::vector<index> offsets;
  std::vector<int> sources;
  explicit star(index edges) : offsets{0, edges}, sources(std::size_t(edges), 0) {}
  csr graph() const { return {offsets, sources}; }
};

template <class T> tensor<T> row(std::vector<T> x) {
  tensor<T> t({1, 1, index(x.size()), 1});
  t.data = std::move(x);
  return t;
}

}  // namespace

TEST_CASE("an edge of weight 0 has no share, whatever its logit") {
  const star two(2);
  for (const float hidden : {nan_value, inf, 200.f}) {
    const auto logits = row<float>({hidden, 1}), w = row<float>({0, 1}), d = row<float>({1, 2});
    auto alpha = unwritten<float>({1, 1, 2, 1}), dl = alpha, lse = unwritten<float>({1, 1, 1, 1});
    const segment_softmax spec{.graph = two.graph(), .weight = w.in()};
    normalize_edges(spec, logits.in(), {.out = alpha.in(), .lse = lse.in()});
    CHECK(alpha.data == std::vector<float>{0, 1});
    normalize_edges_backward(spec, logits.in(), lse.in(), d.in(), {.logits = dl.in()});
    CHECK(dl.data == std::vector<float>{0, 0});
  }
}

TEST_CASE("small cutoffs keep their gradients") {
  const star two(2);
  for (const float c : {1e-3f, 1e-10f, 1e-20f, 1e-30f}) {
    const auto logits = row<float>({0, 0}), cutoff = row<float>({c, c}), d = row<float>({1, 2});
    auto alpha = unwritten<float>({1, 1, 2, 1}), dl = alpha, dc = alpha;
    auto lse = unwritten<float>({1, 1, 1, 1});
    const segment_softmax spec{.graph = two.graph(), .cutoff = cutoff.in()};
    normalize_edges(spec, logits.in(), {.out = alpha.in(), .lse = lse.in()});
    normalize_edges_backward(spec, logits.in(), lse.in(), d.in(),
                             {.logits = dl.in(), .spec = {.cutoff = dc.in()}});
    // α = 1/2 each; dc = 2 dl / c. Logarithms of up to 140 are rounded.
    CHECK(dl(0, 0, 0) == Approx(-0.25).epsilon(1e-4));
    CHECK(dl(0, 0, 1) == Approx(0.25).epsilon(1e-4));
    CHECK(double(dc(0, 0, 1)) * double(c) == Approx(0.5).epsilon(1e-4));
  }
}

TEST_CASE("null and sink logits far below 0") {
  const star one(1);
  for (const double at : {0.0, -100.0, -800.0}) {
    const auto logit = row<double>({at}), z = row<double>({at}), d = row<double>({1});
    auto alpha = unwritten<double>({1, 1, 1, 1}), lse = alpha, dl = alpha, dz = alpha;
    segment_softmax spec{.graph = one.graph(), .null = z.in()};
    const auto run = [&](auto gradient) {
      normalize_edges(spec, logit.in(), {.out = alpha.in(), .lse = lse.in()});
      segment_softmax_gradients to{.logits = dl.in()};
      gradient(to);
      normalize_edges_backward(spec, logit.in(), lse.in(), d.in(), to);
    };
    run([&](auto& to) { to.spec.null = dz.in(); });
    CHECK(alpha(0, 0, 0) == Approx(0.5));
    CHECK(dz(0, 0, 0) == Approx(-0.25));
    CHECK(dl(0, 0, 0) == Approx(0.25));
    spec.null = {}, spec.sink = z.in();
    run([&](auto& to) { to.spec.sink = dz.in(); });
    // α = e^z / (e^z + softplus(ζ)), which is 1/2 far below 0
    const double share = 1 / (1 + std::log1p(std::exp(at)) / std::exp(at));
    CHECK(alpha(0, 0, 0) == Approx(at < -700 ? 0.5 : share));
    if (at < -50) CHECK(dz(0, 0, 0) == Approx(-0.25));
  }
  const auto logit = row<float>({-100}), z = row<float>({-100});
  auto alpha = unwritten<float>({1, 1, 1, 1}), lse = alpha;
  normalize_edges(segment_softmax{.graph = one.graph(), .sink = z.in()}, logit.in(),
                  {.out = alpha.in(), .lse = lse.in()});
  CHECK(alpha(0, 0, 0) == Approx(0.5));
}

TEST_CASE("what is learned once for all edges or heads gets a gradient without edges or heads") {
  const star none(0);
  const transposed by(none.graph(), 1);
  const auto q = row<float>({1}), b = row<float>({0});
  auto out = unwritten<float>({1, 1, 1, 1}), lse = out, db = out;
  const segment_dot spec{.graph = none.graph(), .bias = b.in()};
  attend_edges(spec, q.in(), q.in(), q.in(), {.out = out.in(), .lse = lse.in()});
  attend_edges_backward(spec, by, q.in(), q.in(), q.in(), {out.in(), lse.in()}, q.in(),
                        {.spec = {.bias = db.in()}});
  CHECK(db(0, 0, 0) == 0);

  const star two(2);
  const transposed of_two(two.graph(), 1);
  const float nothing = 0;
  const auto rows = [&](index n) { return view<const float>(&nothing, {1, 0, n, 1}); };
  const auto bias = row<float>({0, 0}), null = row<float>({0});
  auto dbias = unwritten<float>({1, 1, 2, 1}), dnull = unwritten<float>({1, 1, 1, 1});
  attend_edges_backward(segment_dot{.graph = two.graph(), .bias = bias.in(), .null = null.in()},
                        of_two, rows(1), rows(1), rows(1), {rows(1), rows(1)}, rows(1),
                        {.spec = {.bias = dbias.in(), .null = dnull.in()}});
  CHECK(dbias.data == std::vector<float>{0, 0});
  CHECK(dnull(0, 0, 0) == 0);
  dbias = unwritten<float>({1, 1, 2, 1});
  normalize_edges_backward(segment_softmax{.graph = two.graph(), .prior = bias.in()}, rows(2),
                           rows(1), rows(2), {.spec = {.prior = dbias.in()}});
  CHECK(dbias.data == std::vector<float>{0, 0});
  const reducer all[] = {reducer::sum};
  dbias = unwritten<float>({1, 1, 2, 1}), dnull = unwritten<float>({1, 1, 1, 1});
  aggregate_edges_backward(
      gin_pna{.graph = two.graph(), .weights = bias.in(), .reducers = all, .self = null.in()},
      of_two, rows(1), rows(1), {.spec = {.weights = dbias.in(), .self = dnull.in()}});
  CHECK(dbias.data == std::vector<float>{0, 0});
  CHECK(dnull(0, 0, 0) == 0);
}

TEST_CASE("rows without channels need no data") {
  const star two(2);
  const transposed by(two.graph(), 1);
  const view<float> node(nullptr, {1, 1, 1, 0}), edges(nullptr, {1, 1, 2, 0});
  scale_by_degree(degree_scaler{.graph = two.graph(), .one = node, .two = node}, node, node);
  attend_edges(gated_gcn{.graph = two.graph(), .target = node, .source = node, .edge = edges},
               operand(node), node, {.out = node, .gate = edges});
  const reducer all[] = {reducer::sum};
  aggregate_edges(gin_pna{.graph = two.graph(), .reducers = all}, node, node);
  const auto q = row<float>({1}), factor = row<float>({1, 1});
  auto lse = unwritten<float>({1, 1, 1, 1}), dq = lse;
  const edge_kv kv{.graph = two.graph()};
  attend_edges(kv, q.in(), q.in(), node, {.out = node, .lse = lse.in()});
  CHECK(lse(0, 0, 0) == Approx(1 + std::log(2)));
  attend_edges_backward(kv, by, q.in(), q.in(), node, {node, lse.in()}, node, {.dq = dq.in()});
  CHECK(dq(0, 0, 0) == 0);
  const grit with{.graph = two.graph(), .factor = factor.in(), .weight = q.in()};
  attend_edges(with, q.in(), q.in(), node, {.out = node, .lse = lse.in()});
  dq = unwritten<float>({1, 1, 1, 1});
  attend_edges_backward(with, by, q.in(), q.in(), node, {node, lse.in()}, node, operand{},
                        {.dq = dq.in()});
  CHECK(dq(0, 0, 0) == 0);
}

TEST_CASE("edge_kv passes nothing on where every score is -inf") {
  const star one(1);
  const transposed by(one.graph(), 1);
  const auto q = row<float>({-1}), k = row<float>({inf}), v = row<float>({3}), d = row<float>({1});
  auto out = unwritten<float>({1, 1, 1, 1}), lse = out, dv = out;
  const edge_kv spec{.graph = one.graph()};
  attend_edges(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  CHECK(out(0, 0, 0) == 0);
  CHECK(lse(0, 0, 0) == -inf);
  attend_edges_backward(spec, by, q.in(), k.in(), v.in(), {out.in(), lse.in()}, d.in(),
                        {.dv = dv.in()});
  CHECK(dv(0, 0, 0) == 0);
}

TEST_CASE("graphs and tables that do not fit are refused") {
  const std::vector<index> offsets{0, 1, 2}, apart{0, 0, 0, 0, 0, 1, 2}, falling{0, 5, 2};
  const std::vector<int> sources{0, 0};
  const csr graph{offsets, sources};
  const auto q = row<float>({1, 1}), k = row<float>({1}), one = row<float>({1});
  auto out = unwritten<float>({1, 1, 2, 1}), lse = out, dv = unwritten<float>({1, 1, 1, 1});
  CHECK_THROWS_WITH(
      attend_edges_backward(segment_dot{.graph = graph}, transposed({apart, sources}, 1), q.in(),
                            k.in(), k.in(), {out.in(), lse.in()}, q.in(), {.dv = dv.in()}),
      ContainsSubstring("of another graph"));
  CHECK(std::isnan(dv(0, 0, 0)));
  const reducer all[] = {reducer::sum};
  CHECK_THROWS_WITH(aggregate_edges_backward(
                        gin_pna{.graph = graph, .weights = one.in(), .reducers = all},
                        transposed(graph, 1), k.in(), q.in(), {.spec = {.weights = dv.in()}}),
                    ContainsSubstring("a number for every edge"));
  CHECK_THROWS_AS(sparsify(view<float>(nullptr, {1, 1, 2, 2}), 0.1), std::invalid_argument);
  CHECK_THROWS_WITH(
      scale_by_degree(degree_scaler{.graph = {falling, sources}, .one = one.in(), .two = one.in()},
                      q.in(), out.in()),
      ContainsSubstring("must not decrease"));
  CHECK_THROWS_AS(transposed({std::vector<index>{0, 0}, {}}, -1), std::invalid_argument);
}

}  // namespace heed::test
