// SPDX-License-Identifier: BSL-1.0
// Symbols of relational attention by relative position: the definition, gradients, refusals.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/value/relational.hpp>
#include <heed/value/relational_backward.hpp>
#include <heed/value/relational_source.hpp>

#include "support/caches.hpp"
#include "support/differences.hpp"
#include "support/exact.hpp"
#include "support/executors.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// Tables of `own` heads, 1 or all of them, clipped at m.
struct sizes {
  index b, h, kv, r, lq, lk, d, dr, own, m, ds, dv;
};

template <class T> struct model {
  sizes x;
  tensor<T> q, k, qr, kr, w_r, a, w_s;

  explicit model(const sizes& n)
      : x(n),
        q(random<T>({n.b, n.h, n.lq, n.d}, 1)),
        k(random<T>({n.b, n.kv, n.lk, n.d}, 2)),
        qr(random<T>({n.b, n.r, n.lq, n.dr}, 3)),
        kr(random<T>({n.b, n.r, n.lk, n.dr}, 4)),
        w_r(random<T>({1, n.h, n.r, n.dv}, 5)),
        a(random<T>({1, n.own, 2 * n.m + 1, n.ds}, 6)),
        w_s(random<T>({1, n.h, n.ds, n.dv}, 7)) {}
  relation_operands relations() const {
    return {.q = qr.in(),
            .k = kr.in(),
            .weight = w_r.in(),
            .relative_symbols = a.in(),
            .symbol_weight = w_s.in(),
            .scale = 0.6};
  }
  extents out() const { return {x.b, x.h, x.lq, x.dv}; }
  // Of keys and queries [first, last) of item b, which are a sequence.
  template <class Weights>
  Eigen::MatrixXd expected(index b, index h, const Weights& weights, span own = {}) const {
    const bool whole = own.empty();
    const span rows = whole ? span{0, x.lq} : own, keys = whole ? span{0, x.lk} : own;
    const auto some = [](const Eigen::MatrixXd& y, span s) {
      return Eigen::MatrixXd(y.middleRows(s.begin, s.size()));
    };
    const Eigen::MatrixXd p =
        weights(some(q.head(b, h), rows) * some(k.head(b, h / (x.h / x.kv)), keys).transpose() /
                    std::sqrt(double(x.d)),
                reference::mask::causal(rows.size(), keys.size()));
    std::vector<Eigen::MatrixXd> ql, kl;
    for (index l = 0; l < x.r; ++l)
      ql.push_back(some(qr.head(b, l), rows)), kl.push_back(some(kr.head(b, l), keys));
    return reference::value::relational_by_distance(p, ql, kl, w_r.head(0, h),
                                                    a.head(0, x.own == 1 ? 0 : h), w_s.head(0, h),
                                                    0.6, keys.size() - rows.size());
  }
};

template <class T, class Spec, class Weights> void agree(const Spec& spec, const Weights& weights) {
  for (const sizes& n :
       {sizes{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1}, sizes{2, 4, 2, 3, 13, 29, 7, 5, 4, 3, 3, 6},
        sizes{1, 6, 3, 5, 70, 300, 8, 4, 1, 16, 5, 3},
        sizes{1, 2, 2, 2, 300, 300, 4, 2, 2, 500, 4, 9},
        sizes{1, 2, 1, 1, 9, 4, 3, 2, 1, 2, 2, 2}}) {
    const model<T> m(n);
    auto out = unwritten<T>(m.out()), again = out;
    attend_relational(spec, m.q.in(), m.k.in(), m.relations(), out.in());
    attend_relational(spec, m.q.in(), m.k.in(), m.relations(), again.in(), shuffled{3});
    CHECK(out.data == again.data);
    for (index b = 0; b < n.b; ++b)
      for (index h = 0; h < n.h; ++h) {
        const Eigen::MatrixXd want = m.expected(b, h, weights);
        check_close(
            out.head(b, h), want,
            tolerance<T>(16, n.d + n.dr + n.r + n.ds, std::max(4.0, want.cwiseAbs().maxCoeff())),
            std::to_string(n.lq) + " rows, " + std::to_string(n.m) + " apart");
      }
  }
}

const auto softmax_of = [](const auto& s, const auto& a) {
  return reference::normalizer::softmax(s, a);
};

}  // namespace

TEST_CASE("relative symbols are their definition") {
  agree<double>(attention{.mask = causal{}}, softmax_of);
  agree<float>(attention{.mask = causal{}}, softmax_of);
  agree<double>(
      attention{.mask = causal{}, .normalizer = sigmoid{.bias = -3}},
      [](const auto& s, const auto& a) { return reference::normalizer::sigmoid(s, a, -3); });
}

TEST_CASE("gradients of relative symbols are those of differences") {
  for (const sizes& n :
       {sizes{2, 4, 2, 3, 4, 5, 3, 2, 4, 2, 3, 2}, sizes{1, 2, 2, 2, 3, 6, 2, 3, 1, 1, 2, 3}}) {
    model<double> m(n);
    const auto g = random<double>(m.out(), 9);
    const attention spec{.mask = causal{}};
    const auto loss = [&] {
      auto out = unwritten<double>(m.out());
      attend_relational(spec, m.q.in(), m.k.in(), m.relations(), out.in());
      double sum = 0;
      for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * g.data[i];
      return sum;
    };
    struct asked {
      const char* name;
      tensor<double>&x, dx;
    };
    std::vector<asked> all;
    for (auto [name, x] : {std::pair{"dq", &m.q},
                           {"dk", &m.k},
                           {"dqr", &m.qr},
                           {"dkr", &m.kr},
                           {"dw_r", &m.w_r},
                           {"da", &m.a},
                           {"dw_s", &m.w_s}})
      all.push_back({name, *x, unwritten<double>(x->extent)});
    attend_relational_backward(spec, m.q.in(), m.k.in(), m.relations(), g.in(),
                               {.dq = all[0].dx.in(),
                                .dk = all[1].dx.in(),
                                .d_relation_q = all[2].dx.in(),
                                .d_relation_k = all[3].dx.in(),
                                .dweight = all[4].dx.in(),
                                .drelative_symbols = all[5].dx.in(),
                                .dsymbol_weight = all[6].dx.in()});
    for (const asked& y : all) check_gradient(y.dx.data, differences(y.x.data, loss), y.name);
    auto da = unwritten<double>(m.a.extent);
    attend_relational_backward(spec, m.q.in(), m.k.in(), m.relations(), g.in(),
                               {.drelative_symbols = da.in()}, shuffled{3});
    CHECK(da.data == all[5].dx.data);
  }
}

TEST_CASE("relative symbols count positions within packed sequences") {
  const sizes n{1, 2, 2, 3, 9, 9, 3, 2, 1, 2, 3, 4};
  const model<double> m(n);
  const std::vector<int> starts{0, 4, 4, 9};
  const attention packed{.mask = causal{}, .plan = varlen{starts, starts}};
  auto out = unwritten<double>(m.out());
  attend_relational(packed, m.q.in(), m.k.in(), m.relations(), out.in());
  for (index h = 0; h < 2; ++h)
    for (const span own : {span{0, 4}, span{4, 9}})
      check_close(out.head(0, h).middleRows(own.begin, own.size()),
                  m.expected(0, h, softmax_of, own), 1e-13);
}

TEST_CASE("relative symbols over a cache") {
  const sizes n{2, 4, 2, 3, 3, 0, 8, 4, 4, 6, 3, 5};
  const model<float> m(n);
  const scattered_source source({.lengths = {90, 37},
                                 .heads = 2,
                                 .depth = 8,
                                 .value_depth = 12,
                                 .k = kv_type::f32,
                                 .v = kv_type::f32,
                                 .longest_run = 17});
  auto x = m.relations();
  x.k = {};
  auto out = unwritten<float>(m.out());
  attend_relational(attention{.mask = causal{}}, m.q.in(), source, x, out.in());
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 4; ++h) {
      const dense_kv kv = dense_of(source, b, h / 2);
      const Eigen::MatrixXd p = softmax_of(m.q.head(b, h) * kv.k.transpose() / std::sqrt(8.0),
                                           reference::mask::causal(3, kv.k.rows()));
      std::vector<Eigen::MatrixXd> ql, kl;
      for (index l = 0; l < 3; ++l)
        ql.push_back(m.qr.head(b, l)), kl.push_back(kv.v.middleCols(4 * l, 4));
      check_close(
          out.head(b, h),
          reference::value::relational_by_distance(p, ql, kl, m.w_r.head(0, h), m.a.head(0, h),
                                                   m.w_s.head(0, h), 0.6, kv.k.rows() - 3),
          tolerance<float>(32, 90, 4));
    }
  x.relative_symbols.extent[2] = 4;
  CHECK_THROWS_WITH(attend_relational(attention{}, m.q.in(), source, x, out.in()),
                    ContainsSubstring("[1|H,2m+1,Ds]"));
}

TEST_CASE("relative symbols that do not fit are refused before anything is written") {
  const model<float> m({1, 2, 1, 3, 4, 5, 3, 2, 2, 1, 3, 2});
  auto out = unwritten<float>(m.out());
  const auto refuse = [&](const relation_operands& x, const char* text) {
    CHECK_THROWS_WITH(attend_relational(attention{}, m.q.in(), m.k.in(), x, out.in()),
                      ContainsSubstring(text));
    CHECK(std::isnan(out.data[0]));
  };
  auto x = m.relations();
  x.relative_symbols.extent[2] = 2;
  refuse(x, "[1|H,2m+1,Ds]");
  x = m.relations(), x.symbol_weight.extent[2] = 2;
  refuse(x, "[1|H,2m+1,Ds]");
  x = m.relations(), x.symbol_weight = {};
  refuse(x, "come together");
  x = m.relations(), x.symbols = m.kr.in();
  refuse(x, "not both");
  auto da = unwritten<float>({1, 1, 3, 3});
  CHECK_THROWS_WITH(attend_relational_backward(attention{}, m.q.in(), m.k.in(), m.relations(),
                                               out.in(), {.drelative_symbols = da.in()}),
                    ContainsSubstring("drelative_symbols must have the shape"));
}

}  // namespace heed::test
