// SPDX-License-Identifier: BSL-1.0
// Selective scans against the paper: any shape, state, packing and direction.
#include "support/selective.hpp"

using namespace heed::test;
using heed::recurrent_state;
using heed::selective_scan;

namespace {

// Largest number that a sum may meet: N terms of a state times C, and their gate.
template <class T> double allowed(const selective_operands<T>& o, const Eigen::MatrixXd& out) {
  return tolerance<T>(16, o.x.n, 1 + (out.size() ? out.cwiseAbs().maxCoeff() : 0));
}

template <class T, class Arch = heed::simd::best>
void check_scan(const selective_operands<T>& o, const selective_scan& spec) {
  recurrent_state<T> state;
  auto out = unwritten<T>(o.u.extent);
  heed::scan<Arch>(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in(), state);
  for (heed::index b = 0; b < o.x.b; ++b) {
    Eigen::MatrixXd h = Eigen::MatrixXd::Zero(o.x.c, o.x.n);
    const Eigen::MatrixXd y = o.expected(spec, b, 0, o.x.l, h);
    check_close(out.head(b, 0), y, allowed(o, y), o.x.name());
    check_close(state_matrix(state, b), h, allowed(o, h), o.x.name() + ", state");
    CHECK(state.tokens(b) == o.x.l);
  }
  auto again = unwritten<T>(o.u.extent);
  heed::scan<Arch>(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), again.in());
  CHECK(again.data == out.data);
}

}  // namespace

TEMPLATE_TEST_CASE("a selective scan is the recurrence of the paper", "", float, double) {
  for (const selective_shape& x : selective_shapes()) {
    selective_operands<TestType> o(x);
    selective_scan spec = o.full();
    check_scan(o, spec);
    check_scan<TestType, heed::simd::scalar>(o, spec);
    spec.reverse = true;
    check_scan(o, spec);
    check_scan(o, o.plain());
  }
}

TEMPLATE_TEST_CASE("a sequence may be split anywhere", "", float, double) {
  const selective_operands<TestType> o({2, 75, 19, 7, 1});
  recurrent_state<TestType> whole;
  auto expected = unwritten<TestType>(o.u.extent), out = expected;
  heed::scan(o.full(), o.u.in(), o.delta.in(), o.b.in(), o.c.in(), expected.in(), whole);
  for (const heed::index size : {1, 5, 32, 74}) {
    recurrent_state<TestType> state;
    std::fill(out.data.begin(), out.data.end(), TestType(NAN));
    for (heed::index at = 0; at < o.x.l; at += size) {
      const heed::index n = std::min(size, o.x.l - at);
      selective_scan spec = o.full();
      spec.gate = o.z.in().slice_rows(at, n);
      const auto call = [&](auto f) {
        f(spec, o.u.in().slice_rows(at, n), o.delta.in().slice_rows(at, n),
          o.b.in().slice_rows(at, n), o.c.in().slice_rows(at, n), out.in().slice_rows(at, n));
      };
      if (size == 1)
        call([&](const auto&... x) { heed::step(x..., state); });
      else
        call([&](const auto&... x) { heed::scan(x..., state); });
    }
    CHECK(out.data == expected.data);
    CHECK(state == whole);
  }
}

TEST_CASE("packed sequences are sequences") {
  const selective_operands<double> o({1, 90, 21, 6, 3});
  const std::vector<int> cu{0, 0, 1, 40, 40, 77, 90};
  for (const bool reverse : {false, true}) {
    selective_scan spec = o.full();
    spec.cu_seqlens = cu, spec.reverse = reverse;
    heed::state_format format{.kind = "mamba", .heads = 1, .rows = 21, .columns = 6};
    recurrent_state<double> state(format, 6);
    const auto first = random<double>({6, 1, 21, 6}, 9);
    std::copy(first.data.begin(), first.data.end(), state.head(0, 0));
    auto out = unwritten<double>(o.u.extent);
    heed::scan(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in(), state);
    for (heed::index i = 0; i < 6; ++i) {
      const int at = cu[std::size_t(i)], n = cu[std::size_t(i) + 1] - at;
      Eigen::MatrixXd h = first.head(i, 0);
      const Eigen::MatrixXd y = o.expected(spec, 0, at, n, h);
      check_close(out.head(0, 0).middleRows(at, n), y, 1e-13 * (1 + h.cwiseAbs().maxCoeff()));
      check_close(state_matrix(state, i), h, 1e-13 * (1 + h.cwiseAbs().maxCoeff()));
      CHECK(state.tokens(i) == n);
    }
  }
}

TEST_CASE("a state of the past with nothing to add") {
  const selective_operands<float> o({2, 0, 5, 3, 1});
  recurrent_state<float> state({.kind = "mamba", .heads = 1, .rows = 5, .columns = 3}, 2);
  std::fill_n(state.head(0, 0), 30, 2.5f);
  const auto before = state;
  auto out = unwritten<float>(o.u.extent);
  heed::scan(o.full(), o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in(), state);
  CHECK(state == before);
}

TEST_CASE("decays of exactly 0 and 1") {
  selective_operands<float> o({1, 40, 20, 5, 1});
  const auto run = [&](float delta, float a, heed::index token) {
    std::fill(o.delta.data.begin(), o.delta.data.end(), delta);
    std::fill(o.a.data.begin(), o.a.data.end(), a);
    auto out = unwritten<float>(o.u.extent);
    heed::scan(selective_scan{.a = o.a.in()}, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in());
    for (const float y : out.data) REQUIRE(std::isfinite(y));
    return out(0, 0, token, 3);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const heed::index t : {0, 39}) {
    double product = 0, sum = 0;
    for (heed::index n = 0; n < 5; ++n) {
      product += double(o.b(0, 0, t, n)) * double(o.c(0, 0, t, n)) * double(o.u(0, 0, t, 3));
      for (heed::index s = 0; s <= t; ++s)
        sum += double(o.b(0, 0, s, n)) * double(o.c(0, 0, t, n)) * double(o.u(0, 0, s, 3));
    }
    // The past forgotten, by a huge step or an infinite decay; nothing forgotten; nothing seen.
    CHECK(run(1e20f, -1, t) == Approx(1e20 * product).epsilon(1e-5));
    CHECK(run(1, -infinity, t) == Approx(product).epsilon(1e-5));
    CHECK(run(1, 0, t) == Approx(sum).epsilon(1e-4));
    CHECK(run(0, -infinity, t) == 0);
  }
}

TEST_CASE("what does not fit is refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  const selective_operands<float> o({2, 4, 6, 3, 2});
  auto out = unwritten<float>(o.u.extent);
  recurrent_state<float> state;
  const auto refused = [&](const selective_scan& spec, const auto& delta, const auto& b,
                           const heed::result& to, const char* text) {
    CHECK_THROWS_WITH(heed::scan(spec, o.u.in(), delta, b, o.c.in(), to, state),
                      ContainsSubstring("heed::scan: ") && ContainsSubstring(text));
  };
  const auto delta = o.delta.in();
  const auto b = o.b.in();
  selective_scan spec = o.full();
  refused(spec, delta.slice_rows(0, 3), b, out.in(), "delta must have the shape of u");
  refused(spec, delta, b.slice_channels(0, 2), out.in(), "b and c must have the same shape");
  refused(spec, delta, b, out.in().slice_rows(0, 1), "out must have the shape of u");
  spec.a = o.a.in().slice_channels(0, 1);
  refused(spec, delta, b, out.in(), "a must be [1,1,C,N]");
  spec = o.full(), spec.d = o.d.in().slice_channels(0, 5);
  refused(spec, delta, b, out.in(), "d must be [1,1,1,C]");
  spec = o.full(), spec.gate = o.z.in().slice_rows(0, 2);
  refused(spec, delta, b, out.in(), "the gate must have the shape of u");
  const std::vector<int> cu{0, 4};
  spec = o.full(), spec.cu_seqlens = cu;
  refused(spec, delta, b, out.in(), "a batch of 1");
  state = recurrent_state<float>({.kind = "mamba", .heads = 1, .rows = 5, .columns = 3}, 2);
  refused(o.full(), delta, b, out.in(), "mamba [1 heads of 6 x 3");
  CHECK_THROWS_WITH(heed::step(o.full(), o.u.in(), delta, b, o.c.in(), out.in(), state),
                    ContainsSubstring("heed::step: a step takes one token"));
  for (const float y : out.data) CHECK(std::isnan(y));
}
