// SPDX-License-Identifier: BSL-1.0
// Gradients of selective scans against central differences, in double.
#include <heed/recurrence/mamba_backward.hpp>

#include "support/differences.hpp"
#include "support/selective.hpp"

using namespace heed::test;
using heed::recurrent_state;
using heed::selective_scan;

namespace {

using operands = selective_operands<double>;
using state = recurrent_state<double>;

heed::state_format format(const operands& o) {
  return {.kind = "mamba", .heads = 1, .rows = o.x.c, .columns = o.x.n};
}
std::vector<double> numbers(const state& s) {
  const auto all = s.matrices();
  std::vector<double> list;
  for (heed::index i = 0; i < all.size(); ++i) list.push_back(all.data[i]);
  return list;
}

struct gradients {
  tensor<double> u, delta, b, c, a, d, bias, z;
  state before;

  explicit gradients(const operands& o)
      : u(o.u.extent), delta(u), b(o.b.extent), c(b), a(o.a.extent), d(o.d.extent), bias(d), z(u) {}
  heed::selective_scan_gradients to(const selective_scan& spec) {
    heed::selective_scan_gradients all{
        .du = u.in(), .ddelta = delta.in(), .db = b.in(), .dc = c.in(), .spec = {.a = a.in()}};
    if (spec.d.present()) all.spec.d = d.in();
    if (spec.delta_bias.present()) all.spec.delta_bias = bias.in();
    if (spec.gate.present()) all.spec.gate = z.in();
    return all;
  }
};

// L = Σ out ⊙ weights + Σ last state ⊙ weights.
template <class Arch = heed::simd::best> void check(operands& o, const selective_scan& spec) {
  const heed::index sequences =
      spec.cu_seqlens.empty() ? o.x.b : heed::index(spec.cu_seqlens.size()) - 1;
  const auto d_out = random<double>(o.u.extent, 21);
  auto h = random<double>({sequences, 1, o.x.c, o.x.n}, 22), dh = random<double>(h.extent, 23);
  const auto given = [&](const tensor<double>& from) {
    state s(format(o), sequences);
    if (!from.data.empty()) std::copy(from.data.begin(), from.data.end(), s.head(0, 0));
    return s;
  };
  const auto loss = [&] {
    auto out = unwritten<double>(o.u.extent);
    state s = given(h);
    heed::scan<Arch>(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in(), s);
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
    const auto last = numbers(s);
    for (std::size_t i = 0; i < last.size(); ++i) sum += last[i] * dh.data[i];
    return sum;
  };
  gradients g(o);
  g.before = given(dh);
  heed::scan_backward<Arch>(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), given(h), d_out.in(),
                            g.before, g.to(spec));
  INFO(o.x.name());
  check_gradient(g.u.data, differences(o.u.data, loss), "du");
  check_gradient(g.delta.data, differences(o.delta.data, loss), "ddelta");
  check_gradient(g.b.data, differences(o.b.data, loss), "db");
  check_gradient(g.c.data, differences(o.c.data, loss), "dc");
  check_gradient(g.a.data, differences(o.a.data, loss), "da");
  if (spec.d.present()) check_gradient(g.d.data, differences(o.d.data, loss), "dd");
  if (spec.delta_bias.present())
    check_gradient(g.bias.data, differences(o.bias.data, loss), "ddelta_bias");
  if (spec.gate.present()) check_gradient(g.z.data, differences(o.z.data, loss), "dz");
  check_gradient(numbers(g.before), differences(h.data, loss), "first state");
}

}  // namespace

TEST_CASE("gradients of a selective scan") {
  for (const selective_shape& x :
       {selective_shape{1, 1, 1, 1, 1}, {2, 5, 3, 1, 1}, {2, 9, 6, 4, 2}, {1, 35, 5, 6, 1}}) {
    operands o(x);
    selective_scan spec = o.full();
    check(o, spec);
    check<heed::simd::scalar>(o, spec);
    spec.reverse = true;
    check(o, spec);
    check(o, o.plain());
  }
}

TEST_CASE("gradients of a long scan and of many channels") {
  operands tall({1, 71, 2, 2, 1}), wide({1, 3, 131, 2, 1});
  check(tall, tall.full());
  check(wide, wide.full());
}

TEST_CASE("gradients of packed sequences") {
  const std::vector<int> cu{0, 0, 1, 34, 34, 40};
  operands o({1, 40, 3, 5, 1});
  for (const bool reverse : {false, true}) {
    selective_scan spec = o.full();
    spec.cu_seqlens = cu, spec.reverse = reverse;
    check(o, spec);
  }
}

TEST_CASE("nothing to scan") {
  operands none({2, 0, 3, 2, 1}), nobody({0, 4, 3, 2, 1});
  check(none, none.full());
  check(nobody, nobody.full());
}

TEST_CASE("a call without states, and gradients nobody wants") {
  operands o({2, 40, 5, 3, 1});
  const auto d_out = random<double>(o.u.extent, 21);
  gradients all(o), some(o);
  state last, before(format(o), 2);
  heed::scan_backward(o.full(), o.u.in(), o.delta.in(), o.b.in(), o.c.in(), before, d_out.in(),
                      last, all.to(o.full()));
  heed::scan_backward(o.full(), o.u.in(), o.delta.in(), o.b.in(), o.c.in(), d_out.in(),
                      {.dc = some.c.in()});
  CHECK(some.c.data == all.c.data);
  CHECK(numbers(last).size() == 30);
  heed::scan_backward(o.full(), o.u.in(), o.delta.in(), o.b.in(), o.c.in(), d_out.in(),
                      {.spec = {.d = some.d.in()}});
  CHECK(some.d.data == all.d.data);
}

TEST_CASE("gradients at decays of exactly 0 and 1 are finite") {
  operands o({1, 40, 9, 5, 1});
  const double infinity = std::numeric_limits<double>::infinity();
  const auto run = [&](double delta, double a) {
    std::fill(o.delta.data.begin(), o.delta.data.end(), delta);
    std::fill(o.a.data.begin(), o.a.data.end(), a);
    const auto d_out = random<double>(o.u.extent, 21);
    gradients g(o);
    g.before = state();
    const selective_scan spec{.a = o.a.in()};
    heed::scan_backward(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), state(), d_out.in(),
                        g.before, g.to(spec));
    for (const auto* x : {&g.u, &g.delta, &g.b, &g.c, &g.a})
      for (const double y : x->data) REQUIRE(std::isfinite(y));
    for (const double y : numbers(g.before)) REQUIRE(std::isfinite(y));
    return g;
  };
  for (const double a : {-1.0, -infinity})
    for (const double x : run(1e30, a).a.data) CHECK(x == 0);
  run(0, -infinity);
  run(0, 0);
  run(1, 0);
  // Where decays are 1 or 0 the gradient of the first state is that of a sum, or nothing.
  for (const double x : numbers(run(1e30, -1).before)) CHECK(x == 0);
  for (const double x : numbers(run(0, -1).before)) CHECK(x != 0);
}

TEST_CASE("gradients that do not fit are refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  operands o({2, 4, 6, 3, 2});
  gradients g(o);
  const auto d_out = random<double>(o.u.extent, 21);
  const auto refused = [&](const selective_scan& spec, const heed::operand& d, const state& before,
                           const heed::selective_scan_gradients& to, const char* text) {
    state last;
    CHECK_THROWS_WITH(
        heed::scan_backward(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), before, d, last, to),
        ContainsSubstring("heed::scan_backward: ") && ContainsSubstring(text));
  };
  auto to = g.to(o.full());
  refused(o.full(), d_out.in().slice_rows(0, 2), {}, to, "d_out must have the shape of u");
  refused(o.full(), d_out.in(), state({.kind = "mamba", .heads = 2}, 2), to, "but the call needs");
  to.db = g.b.in().slice_rows(0, 1);
  refused(o.full(), d_out.in(), {}, to, "db must have the shape of b");
  refused(selective_scan{.a = o.a.in()}, d_out.in(), {}, g.to(o.full()),
          "dd must have the shape of d");
  for (const double x : g.u.data) CHECK(std::isnan(x));
}
