// SPDX-License-Identifier: BSL-1.0
// Differential attention: the definition, caches, gradients in double.
#include <heed/heads/differential_backward.hpp>
#include <heed/heads/output_gate.hpp>
#include <heed/mask/causal.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/heads/differential.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/score/bias.hpp>

#include "support/caches.hpp"
#include "support/differences.hpp"
#include "support/executors.hpp"
#include "support/golden_tensors.hpp"

using namespace heed::test;
using heed::attention;
using heed::differential;
using heed::twin;
using doubles = std::vector<double>;
using Catch::Matchers::ContainsSubstring;
namespace reference = heed::reference;

namespace {

struct sizes {
  heed::index b, h, kv, lq, lk, d, dv;
  bool per_head;
};
const std::vector<sizes>& all_sizes() {
  static const std::vector<sizes> all{
      {1, 1, 1, 1, 1, 1, 1, false},    {2, 4, 2, 13, 29, 7, 3, true},
      {1, 2, 1, 61, 40, 16, 33, true}, {1, 2, 2, 4, 300, 8, 150, false},
      {2, 2, 2, 3, 0, 4, 5, true},     {1, 1, 1, 300, 300, 8, 16, false}};
  return all;
}

// Everything of one call, q and k of both maps side by side.
template <class T> struct model {
  sizes x;
  tensor<T> q, k, v;
  tensor<double> vectors, gain;

  explicit model(const sizes& s)
      : x(s),
        q(random<T>({s.b, s.h, s.lq, 2 * s.d}, 1)),
        k(random<T>({s.b, s.kv, s.lk, 2 * s.d}, 2)),
        v(random<T>({s.b, s.kv, s.lk, s.dv}, 3)),
        vectors(random<double>({1, 4, s.per_head ? s.h : 1, s.d}, 4, 0.5 / std::sqrt(double(s.d)))),
        gain(random<double>({1, 1, s.per_head ? s.h : 1, s.dv}, 5)) {}

  heed::head_difference rule() const {
    return {
        .q1 = part(0), .k1 = part(1), .q2 = part(2), .k2 = part(3), .init = 0.4, .gain = gain.data};
  }
  std::span<const double> part(heed::index i) const {
    const auto n = vectors.data.size() / 4;
    return {vectors.data.data() + std::size_t(i) * n, n};
  }
  heed::extents out() const { return {x.b, x.h, x.lq, x.dv}; }
  Eigen::MatrixXd expected(heed::index b, heed::index h, const Eigen::MatrixXd& keys,
                           const Eigen::MatrixXd& values) const {
    const auto row = [&](const tensor<double>& t, heed::index i) -> Eigen::VectorXd {
      return t.head(0, i).row(x.per_head ? h : 0);
    };
    const double lambda = reference::heads::differential_lambda(
        row(vectors, 0), row(vectors, 1), row(vectors, 2), row(vectors, 3), 0.4);
    const Eigen::MatrixXd queries = q.head(b, h);
    return reference::heads::differential_norm(
        reference::heads::differential(queries.leftCols(x.d), keys.leftCols(x.d),
                                       queries.rightCols(x.d), keys.rightCols(x.d), values, lambda,
                                       reference::mask::causal(x.lq, keys.rows())),
        row(gain, 0), 0.4, 1e-5);
  }
};

// The norm divides by the size of a difference, which may be small: what is off grows by that.
template <class T> double allowed(const sizes& x) { return tolerance<T>(60, x.lk + x.d, 4); }

template <class T> void agree() {
  heed::differential_workspace<T> scratch;
  for (const sizes& s : all_sizes()) {
    const model<T> m(s);
    const differential spec{.first = attention{.mask = heed::causal{}}, .heads = m.rule()};
    auto out = unwritten<T>(m.out()), again = out, first = out, second = out;
    const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
    attend_differential(spec, q, k, m.v.in(), out.in(), {}, &scratch);
    attend_differential(
        spec, q, k, m.v.in(),
        heed::differential_outputs{
            .out = again.in(), .first = {.out = first.in()}, .second = {.out = second.in()}},
        backwards{});
    CHECK(out.data == again.data);
    auto plain = unwritten<T>(m.out());
    attend(spec.first, q.second, k.second, m.v.in(), plain.in());
    CHECK(second.data == plain.data);
    attend(spec.first, q.first, k.first, m.v.in(), plain.in());
    CHECK(first.data == plain.data);
    for (heed::index b = 0; b < s.b; ++b)
      for (heed::index h = 0; h < s.h; ++h) {
        const heed::index kv = h / (s.h / s.kv);
        check_close(out.head(b, h), m.expected(b, h, m.k.head(b, kv), m.v.head(b, kv)),
                    allowed<T>(s), std::to_string(s.lq) + " x " + std::to_string(s.lk));
      }
  }
}

template <class Spec> heed::differential_gradients<Spec> gradients_of(const Spec&) { return {}; }

double dot(const tensor<double>& x, const tensor<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) sum += x.data[i] * y.data[i];
  return sum;
}

}  // namespace

TEST_CASE("differential attention is its definition") {
  agree<double>();
  agree<float>();
}

TEST_CASE("a difference of plain maps, and of rows kept in half") {
  const model<float> m({1, 2, 1, 7, 9, 4, 70, false});
  const differential plain{.first = attention{.scale = 0.3},
                           .heads = {.init = 0.25, .norm = false}};
  auto out = unwritten<float>(m.out()), first = out, second = out;
  const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
  attend_differential(plain, q, k, m.v.in(), out.in());
  attend(plain.first, q.first, k.first, m.v.in(), first.in());
  attend(plain.first, q.second, k.second, m.v.in(), second.in());
  for (std::size_t i = 0; i < out.data.size(); ++i)
    CHECK(out.data[i] == Approx(first.data[i] - 0.25f * second.data[i]).margin(1e-6));
  // Rows of the first map that lie elsewhere, in another type and with channels apart.
  tensor<double> apart({1, 2, 7, 140});
  auto again = unwritten<float>(m.out());
  const heed::view<double> strided(apart.data.data(), m.out(), {1960, 980, 140, 2});
  attend_differential(plain, q, k, m.v.in(),
                      heed::differential_outputs{.out = again.in(), .first = {.out = strided}});
  CHECK(again.data == out.data);
}

TEST_CASE("heads 2h and 2h + 1, and halves of channels") {
  auto x = random<float>({2, 4, 3, 6}, 1);
  const auto heads = twin_heads(x.in()), channels = twin_channels(x.in());
  CHECK(heads.first.extent == heed::extents{2, 2, 3, 6});
  CHECK(heads.first(1, 1, 2, 5) == x(1, 2, 2, 5));
  CHECK(heads.second(1, 1, 2, 5) == x(1, 3, 2, 5));
  CHECK(channels.second.extent == heed::extents{2, 4, 3, 3});
  CHECK(channels.second(1, 3, 2, 1) == x(1, 3, 2, 4));
  CHECK_THROWS_WITH(twin_heads(random<float>({1, 3, 1, 2}, 1).in()), ContainsSubstring("in pairs"));
  CHECK_THROWS_WITH(twin_channels(random<float>({1, 2, 1, 3}, 1).in()),
                    ContainsSubstring("halves"));
}

TEST_CASE("differential attention over sources") {
  using heed::kv_type;
  for (const auto& [type, group] : {std::pair{kv_type::f32, heed::index(0)},
                                    {kv_type::f16, 0},
                                    {kv_type::i8, 0},
                                    {kv_type::i8, 4},
                                    {kv_type::i4, 8}})
    for (const heed::index lq : {1, 20})
      for (const bool zeros : {false, true}) {
        const sizes s{2, 4, 2, lq, 0, 8, 6, true};
        const model<float> m(s);
        const scattered_source source({.lengths = {90, 37},
                                       .heads = 2,
                                       .depth = 16,
                                       .value_depth = 6,
                                       .k = type,
                                       .v = kv_type::f32,
                                       .group = group,
                                       .zeros = zeros,
                                       .longest_run = 17});
        auto out = unwritten<float>(m.out());
        const differential spec{.first = attention{.mask = heed::causal{}}, .heads = m.rule()};
        attend_differential(spec, twin_channels(m.q.in()), source, out.in());
        for (heed::index b = 0; b < 2; ++b)
          for (heed::index h = 0; h < 4; ++h) {
            const dense_kv kv = dense_of(source, b, h / 2);
            // int8 rows meet 16-bit codes of the queries.
            check_close(out.head(b, h), m.expected(b, h, kv.k, kv.v),
                        allowed<float>({1, 1, 1, lq, 90, 8, 6, true}) +
                            (type == kv_type::i8 ? 40 * 0x1p-16 : 0));
          }
      }
}

TEST_CASE("gradients of differential attention are those of differences") {
  model<double> m({2, 2, 1, 5, 7, 3, 4, true});
  auto bias1 = random<double>({1, 2, 5, 7}, 6), bias2 = random<double>({1, 2, 5, 7}, 7),
       gate = random<double>({2, 1, 5, 4}, 8);
  const auto g = random<double>(m.out(), 9);
  const auto run = [&](auto spec, auto learned) {
    const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
    const auto loss = [&m, &g, spec, q, k] {
      auto out = unwritten<double>(m.out());
      attend_differential(spec(), q, k, m.v.in(), out.in());
      return dot(out, g);
    };
    auto dq = unwritten<double>(m.q.extent), dk = unwritten<double>(m.k.extent),
         dv = unwritten<double>(m.v.extent), again = dv;
    doubles d[4], d_gain(m.gain.data.size());
    for (auto& each : d) each.resize(m.part(0).size());
    auto to = gradients_of(spec());
    to.dq = twin_channels(dq.in()), to.dk = twin_channels(dk.in()), to.dv = dv.in();
    to.heads = {d[0], d[1], d[2], d[3], d_gain};
    learned(to);
    attend_differential_backward(spec(), q, k, m.v.in(), {}, g.in(), to);
    check_gradient(dq.data, differences(m.q.data, loss), "dq");
    check_gradient(dk.data, differences(m.k.data, loss), "dk");
    check_gradient(dv.data, differences(m.v.data, loss), "dv");
    if (spec().heads.norm) check_gradient(d_gain, differences(m.gain.data, loss), "dgain");
    const doubles by_vectors = differences(m.vectors.data, loss);
    doubles got;
    for (const auto& each : d) got.insert(got.end(), each.begin(), each.end());
    check_gradient(got, by_vectors, "d lambda");
    // What the forward call kept gives the same.
    auto out = unwritten<double>(m.out()), first = out, second = out,
         lse1 = unwritten<double>({2, 2, 5, 1}), lse2 = lse1;
    attend_differential(
        spec(), q, k, m.v.in(),
        heed::differential_outputs{
            .out = out.in(), .first = {first.in(), lse1.in()}, .second = {second.in(), lse2.in()}});
    const doubles kept_q = dq.data;
    to.dv = again.in();
    attend_differential_backward(
        spec(), q, k, m.v.in(),
        {.first = {first.in(), lse1.in()}, .second = {second.in(), lse2.in()}}, g.in(), to,
        backwards{});
    CHECK(again.data == dv.data);
    CHECK(kept_q == dq.data);
    return loss;
  };
  run([&] { return differential{.first = attention{.mask = heed::causal{}}, .heads = m.rule()}; },
      [](auto&) {});
  run(
      [&] {
        auto rule = m.rule();
        rule.norm = false;
        return differential{.first = attention{.mask = heed::causal{}}, .heads = rule};
      },
      [](auto& to) { to.heads.gain = {}; });
  auto db1 = unwritten<double>(bias1.extent), db2 = db1, d_gate = unwritten<double>(gate.extent);
  const auto loss = run(
      [&] {
        return differential{.first = attention{.score = heed::bias{bias1.in()}},
                            .second = attention{.score = heed::bias{bias2.in()}},
                            .heads = m.rule(),
                            .output = heed::output_gate{gate.in()}};
      },
      [&](auto& to) {
        to.first.score = {db1.in()}, to.second.score = {db2.in()}, to.output = {d_gate.in()};
      });
  check_gradient(db1.data, differences(bias1.data, loss), "dbias of the first map");
  check_gradient(db2.data, differences(bias2.data, loss), "dbias of the second");
  check_gradient(d_gate.data, differences(gate.data, loss), "dgate");
}

TEST_CASE("packed sequences have differences of their own") {
  const model<double> m({1, 2, 2, 9, 9, 3, 4, true});
  const std::vector<int> starts{0, 4, 4, 9};
  const differential packed{
      .first = attention{.mask = heed::causal{}, .plan = heed::varlen{starts, starts}},
      .heads = m.rule()};
  const differential one{.first = attention{.mask = heed::causal{}}, .heads = m.rule()};
  const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
  const auto g = random<double>(m.out(), 9);
  auto out = unwritten<double>(m.out()), part = out, dq = unwritten<double>(m.q.extent),
       dq_part = dq, dk = dq, dk_part = dq;
  attend_differential(packed, q, k, m.v.in(), out.in());
  auto to = gradients_of(packed);
  to.dq = twin_channels(dq.in()), to.dk = twin_channels(dk.in());
  attend_differential_backward(packed, q, k, m.v.in(), {}, g.in(), to);
  for (const auto& [first, count] : {std::pair{0, 4}, {4, 5}}) {
    const auto cut = [f = first, n = count](auto x) { return x.slice_rows(f, n); };
    const twin some_q{cut(q.first), cut(q.second)}, some_k{cut(k.first), cut(k.second)};
    attend_differential(one, some_q, some_k, cut(m.v.in()), cut(part.in()));
    auto some = gradients_of(one);
    some.dq = twin_channels(cut(dq_part.in())), some.dk = twin_channels(cut(dk_part.in()));
    attend_differential_backward(one, some_q, some_k, cut(m.v.in()), {}, cut(g.in()), some);
  }
  for (heed::index h = 0; h < 2; ++h) {
    check_close(out.head(0, h), part.head(0, h), 1e-14);
    check_close(dq.head(0, h), dq_part.head(0, h), 1e-14);
    check_close(dk.head(0, h), dk_part.head(0, h), 1e-14);
  }
}

TEST_CASE("rows without keys give zeros, and hidden values do not leak") {
  model<double> m({1, 2, 2, 6, 4, 3, 4, true});
  for (heed::index h = 0; h < 2; ++h)
    for (heed::index c = 0; c < 4; ++c) m.v(0, h, 3, c) = std::nan("");
  const differential spec{.first = attention{.mask = heed::causal{}}, .heads = m.rule()};
  auto out = unwritten<double>(m.out()), dq = unwritten<double>(m.q.extent);
  const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
  attend_differential(spec, q, k, m.v.in(), out.in());
  auto to = gradients_of(spec);
  to.dq = twin_channels(dq.in());
  attend_differential_backward(spec, q, k, m.v.in(), {}, random<double>(m.out(), 9).in(), to);
  for (heed::index h = 0; h < 2; ++h)
    for (heed::index r = 0; r < 6; ++r) {
      const auto row = out.head(0, h).row(r).eval();
      if (r < 2) CHECK(row.isZero(0));
      CHECK(row.allFinite() == (r < 5));
      CHECK(dq.head(0, h).row(r).allFinite() == (r < 5));
    }
}

TEST_CASE("differential attention is what NumPy gives") {
  const auto check = []<class T>(const golden_case& c, T) {
    const auto of = [&](const char* name) { return tensor_of<T>(c[name]); };
    const auto q1 = of("q1"), q2 = of("q2"), k1 = of("k1"), k2 = of("k2"), v = of("v"),
               g = of("d_out"), lq1 = of("lq1"), lk1 = of("lk1"), lq2 = of("lq2"), lk2 = of("lk2"),
               gain = of("gain");
    const differential spec{.first = attention{.mask = heed::causal{}},
                            .heads = {.q1 = lq1.data,
                                      .k1 = lk1.data,
                                      .q2 = lq2.data,
                                      .k2 = lk2.data,
                                      .init = c["init"].data.at(0),
                                      .gain = gain.data}};
    tensor<T> out(g.extent), dq1(q1.extent), dq2(q2.extent), dk1(k1.extent), dk2(k2.extent),
        dv(v.extent), dlq1(lq1.extent), dlk1(lq1.extent), dlq2(lq1.extent), dlk2(lq1.extent),
        dgain(gain.extent);
    attend_differential(spec, twin{q1.in(), q2.in()}, twin{k1.in(), k2.in()}, v.in(), out.in());
    attend_differential_backward(
        spec, twin{q1.in(), q2.in()}, twin{k1.in(), k2.in()}, v.in(), {}, g.in(),
        {.dq = {dq1.in(), dq2.in()},
         .dk = {dk1.in(), dk2.in()},
         .dv = dv.in(),
         .heads = {dlq1.data, dlk1.data, dlq2.data, dlk2.data, dgain.data}});
    for (const auto& [name, x] : {std::pair{"out", &out},
                                  {"dq1", &dq1},
                                  {"dq2", &dq2},
                                  {"dk1", &dk1},
                                  {"dk2", &dk2},
                                  {"dv", &dv},
                                  {"dlq1", &dlq1},
                                  {"dlk1", &dlk1},
                                  {"dlq2", &dlq2},
                                  {"dlk2", &dlk2},
                                  {"dgain", &dgain}})
      check_golden(c, name, *x, std::max(1e-8, tolerance<T>(60, 16, 8)));
  };
  for (const golden_case& c : golden_family("streams", "differential"))
    check(c, double{}), check(c, float{});
}

TEST_CASE("differential operands that do not fit are refused before anything is written") {
  model<float> m({1, 2, 1, 3, 5, 4, 6, true});
  auto out = unwritten<float>(m.out());
  const auto q = twin_channels(m.q.in()), k = twin_channels(m.k.in());
  differential<> spec{.heads = m.rule()};
  const auto refuse = [&](const auto& s, const auto& keys, const char* text) {
    CHECK_THROWS_WITH(attend_differential(s, q, keys, m.v.in(), out.in()), ContainsSubstring(text));
    CHECK(std::isnan(out.data[0]));
  };
  refuse(spec, twin{k.first, k.second.slice_channels(0, 3)}, "same extents");
  auto wrong = spec;
  wrong.heads.q2 = m.part(0).first(4);
  refuse(wrong, k, "four vectors");
  wrong = spec;
  wrong.heads.gain = m.part(0).first(5);
  refuse(wrong, k, "gain must be");
  wrong = spec;
  wrong.heads.epsilon = -1;
  refuse(wrong, k, "epsilon");
  const auto d_out = random<float>({1, 2, 3, 5}, 1);
  CHECK_THROWS_WITH(attend_differential_backward(spec, q, k, m.v.in(), {}, d_out.in(), {}),
                    ContainsSubstring("d_out must be"));
  const scattered_source odd({.lengths = {4}, .depth = 7, .value_depth = 6}),
      split({.lengths = {4}, .depth = 8, .value_depth = 6, .k = heed::kv_type::i8, .group = 3});
  CHECK_THROWS_WITH(attend_differential(spec, q, odd, out.in()), ContainsSubstring("[k1, k2]"));
  CHECK_THROWS_WITH(attend_differential(spec, q, split, out.in()),
                    ContainsSubstring("a group of 3"));
  CHECK_THROWS_WITH(heed::key_channels(odd, 4, 4), ContainsSubstring("4 channels from 4 on"));
  CHECK(std::isnan(out.data[0]));
}
