// SPDX-License-Identifier: BSL-1.0
// Relational attention: the definition, and gradients in double.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/value/relational.hpp>
#include <heed/score/bias.hpp>
#include <heed/value/relational_backward.hpp>
#include <heed/value/relational_source.hpp>

#include "support/caches.hpp"
#include "support/differences.hpp"
#include "support/executors.hpp"
#include "support/golden_tensors.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::attention;
namespace reference = heed::reference;

namespace {

// H and R around blocks of four; panels, tiles and tasks of several; no keys; no symbols.
struct sizes {
  heed::index b, h, kv, r, s, lq, lk, d, dr, ds, dv;
};
const std::vector<sizes>& all_sizes() {
  static const std::vector<sizes> all{
      {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},    {2, 4, 2, 3, 2, 13, 29, 7, 5, 3, 6},
      {1, 6, 3, 5, 1, 70, 300, 8, 4, 5, 3}, {1, 2, 2, 8, 1, 1100, 700, 4, 16, 4, 5},
      {2, 2, 1, 4, 1, 7, 5, 3, 2, 4, 3},    {1, 2, 2, 2, 2, 3, 0, 4, 2, 3, 2},
      {1, 5, 5, 4, 0, 30, 260, 4, 3, 0, 2}};
  return all;
}

template <class T> struct model {
  sizes x;
  tensor<T> q, k, qr, kr, w_r, s, w_s;

  explicit model(const sizes& n)
      : x(n),
        q(random<T>({n.b, n.h, n.lq, n.d}, 1)),
        k(random<T>({n.b, n.kv, n.lk, n.d}, 2)),
        qr(random<T>({n.b, n.r, n.lq, n.dr}, 3)),
        kr(random<T>({n.b, n.r, n.lk, n.dr}, 4)),
        w_r(random<T>({1, n.h, n.r, n.dv}, 5)),
        s(random<T>({n.b, n.s, n.lk, n.ds}, 6)),
        w_s(random<T>({1, n.h, n.ds, n.dv}, 7)) {}
  heed::relation_operands relations() const {
    heed::relation_operands to{.q = qr.in(), .k = kr.in(), .weight = w_r.in(), .scale = 0.6};
    if (x.s > 0) to.symbols = s.in(), to.symbol_weight = w_s.in();
    // Something to point at, where there are no keys.
    static const float nothing = 0;
    if (kr.data.empty()) to.k.data = &nothing, to.symbols.data = &nothing;
    return to;
  }
  heed::extents out() const { return {x.b, x.h, x.lq, x.dv}; }
  Eigen::MatrixXd scores(heed::index b, heed::index h) const {
    return q.head(b, h) * k.head(b, h / (x.h / x.kv)).transpose() / std::sqrt(double(x.d));
  }
  Eigen::MatrixXd expected(heed::index b, heed::index h, const Eigen::MatrixXd& p) const {
    std::vector<Eigen::MatrixXd> ql, kl;
    for (heed::index l = 0; l < x.r; ++l) ql.push_back(qr.head(b, l)), kl.push_back(kr.head(b, l));
    Eigen::MatrixXd symbols = Eigen::MatrixXd::Zero(x.lk, 1), by = Eigen::MatrixXd::Zero(1, x.dv);
    if (x.s > 0) symbols = s.head(b, x.s == 1 ? 0 : h / (x.h / x.kv)), by = w_s.head(0, h);
    return reference::value::relational(p, ql, kl, w_r.head(0, h), symbols, by, 0.6);
  }
};

template <class T, class Arch, class Spec, class Weights>
void agree(const Spec& spec, const Weights& weights) {
  for (const sizes& n : all_sizes()) {
    const model<T> m(n);
    auto out = unwritten<T>(m.out()), again = out;
    heed::attend_relational<Arch>(spec, m.q.in(), m.k.in(), m.relations(), out.in());
    heed::attend_relational<Arch>(spec, m.q.in(), m.k.in(), m.relations(), again.in(), backwards{});
    CHECK(out.data == again.data);
    for (heed::index b = 0; b < n.b; ++b)
      for (heed::index h = 0; h < n.h; ++h) {
        const Eigen::MatrixXd p = weights(m.scores(b, h), reference::mask::causal(n.lq, n.lk));
        // Sums of R relations of Dr products each, and of Ds symbols; few have a weight.
        check_close(out.head(b, h), m.expected(b, h, p),
                    tolerance<T>(16, n.d + n.dr + n.r + n.ds,
                                 4 * std::max(1.0, p.size() ? p.rowwise().sum().maxCoeff() : 1.0)),
                    std::to_string(n.h) + " heads, " + std::to_string(n.r) + " relations");
      }
  }
}

double dot(const tensor<double>& x, const tensor<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) sum += x.data[i] * y.data[i];
  return sum;
}

}  // namespace

TEST_CASE("relational attention is its definition") {
  const attention spec{.mask = heed::causal{}};
  const auto softmax = [](const auto& s, const auto& a) {
    return reference::normalizer::softmax(s, a);
  };
  agree<double, heed::simd::best>(spec, softmax);
  agree<float, heed::simd::best>(spec, softmax);
  agree<float, heed::simd::scalar>(spec, softmax);
  agree<double, heed::simd::best>(
      attention{.mask = heed::causal{}, .normalizer = heed::sigmoid()},
      [](const auto& s, const auto& a) { return reference::normalizer::sigmoid(s, a, 0); });
}

TEST_CASE("gradients of relational attention are those of differences") {
  for (const sizes& n : {sizes{2, 4, 2, 3, 2, 4, 5, 3, 2, 3, 2},
                         {1, 2, 2, 2, 1, 3, 4, 2, 3, 2, 3},
                         {1, 2, 1, 1, 0, 3, 4, 2, 3, 0, 3}}) {
    model<double> m(n);
    auto bias = random<double>({1, n.h, n.lq, n.lk}, 8);
    const auto g = random<double>(m.out(), 9);
    const attention spec{.mask = heed::causal{}, .score = heed::bias{bias.in()}};
    const auto loss = [&] {
      auto out = unwritten<double>(m.out());
      attend_relational(spec, m.q.in(), m.k.in(), m.relations(), out.in());
      return dot(out, g);
    };
    auto dq = unwritten<double>(m.q.extent), dk = unwritten<double>(m.k.extent),
         dqr = unwritten<double>(m.qr.extent), dkr = unwritten<double>(m.kr.extent),
         dw_r = unwritten<double>(m.w_r.extent), ds = unwritten<double>(m.s.extent),
         dw_s = unwritten<double>(m.w_s.extent), db = unwritten<double>(bias.extent);
    heed::relational_gradients<std::remove_const_t<decltype(spec)>> to{.dq = dq.in(),
                                                                       .dk = dk.in(),
                                                                       .d_relation_q = dqr.in(),
                                                                       .d_relation_k = dkr.in(),
                                                                       .dweight = dw_r.in()};
    if (n.s > 0) to.dsymbols = ds.in(), to.dsymbol_weight = dw_s.in();
    to.spec.score = {db.in()};
    attend_relational_backward(spec, m.q.in(), m.k.in(), m.relations(), g.in(), to);
    check_gradient(dq.data, differences(m.q.data, loss), "dq");
    check_gradient(dk.data, differences(m.k.data, loss), "dk");
    check_gradient(dqr.data, differences(m.qr.data, loss), "dqr");
    check_gradient(dkr.data, differences(m.kr.data, loss), "dkr");
    check_gradient(dw_r.data, differences(m.w_r.data, loss), "dw_r");
    check_gradient(db.data, differences(bias.data, loss), "dbias");
    if (n.s > 0) {
      check_gradient(ds.data, differences(m.s.data, loss), "ds");
      check_gradient(dw_s.data, differences(m.w_s.data, loss), "dw_s");
    }
    const auto kept = dkr.data;
    attend_relational_backward(spec, m.q.in(), m.k.in(), m.relations(), g.in(), to, backwards{});
    CHECK(kept == dkr.data);
  }
}

TEST_CASE("relational attention is what NumPy gives") {
  const auto check = []<class T>(const golden_case& c, T) {
    const auto of = [&](const char* name) { return tensor_of<T>(c[name]); };
    const auto q = of("q"), k = of("k"), qr = of("qr"), kr = of("kr"), w_r = of("w_r"), s = of("s"),
               w_s = of("w_s"), g = of("d_out");
    const heed::relation_operands x{.q = qr.in(),
                                    .k = kr.in(),
                                    .weight = w_r.in(),
                                    .symbols = s.in(),
                                    .symbol_weight = w_s.in(),
                                    .scale = c["scale"].data.at(0)};
    tensor<T> out(g.extent), dq(q.extent), dk(k.extent), dqr(qr.extent), dkr(kr.extent),
        dw_r(w_r.extent), ds(s.extent), dw_s(w_s.extent);
    const attention spec{.mask = heed::causal{}};
    attend_relational(spec, q.in(), k.in(), x, out.in());
    attend_relational_backward(spec, q.in(), k.in(), x, g.in(),
                               {.dq = dq.in(),
                                .dk = dk.in(),
                                .d_relation_q = dqr.in(),
                                .d_relation_k = dkr.in(),
                                .dweight = dw_r.in(),
                                .dsymbols = ds.in(),
                                .dsymbol_weight = dw_s.in()});
    for (const auto& [name, y] : {std::pair{"out", &out},
                                  {"dq", &dq},
                                  {"dk", &dk},
                                  {"dqr", &dqr},
                                  {"dkr", &dkr},
                                  {"dw_r", &dw_r},
                                  {"ds", &ds},
                                  {"dw_s", &dw_s}})
      check_golden(c, name, *y, std::max(1e-8, tolerance<T>(32, 16, 4)));
  };
  for (const golden_case& c : golden_family("streams", "relational"))
    check(c, double{}), check(c, float{});
}

TEST_CASE("packed sequences relate to themselves, and hidden tokens do not leak") {
  const sizes n{1, 2, 2, 3, 1, 9, 9, 3, 2, 3, 4};
  model<double> m(n);
  const std::vector<int> starts{0, 4, 4, 9};
  const attention packed{.mask = heed::causal{}, .plan = heed::varlen{starts, starts}};
  auto whole = unwritten<double>(m.out());
  attend_relational(packed, m.q.in(), m.k.in(), m.relations(), whole.in());
  // What only the last query may see, and a query of nothing but NaN.
  for (heed::index c = 0; c < 2; ++c) m.kr(0, 1, 8, c) = m.qr(0, 2, 1, c) = std::nan("");
  auto out = unwritten<double>(m.out()), dqr = unwritten<double>(m.qr.extent);
  attend_relational(packed, m.q.in(), m.k.in(), m.relations(), out.in());
  attend_relational_backward(packed, m.q.in(), m.k.in(), m.relations(),
                             random<double>(m.out(), 9).in(), {.d_relation_q = dqr.in()});
  for (heed::index h = 0; h < 2; ++h)
    for (heed::index i = 0; i < 9; ++i)
      for (heed::index c = 0; c < 4; ++c) {
        const bool hurt = i == 1 || i == 8;
        CHECK(std::isnan(out(0, h, i, c)) == hurt);
        if (!hurt) CHECK(out(0, h, i, c) == whole(0, h, i, c));
      }
  for (heed::index i = 0; i < 9; ++i) CHECK(std::isfinite(dqr(0, 1, i, 0)) == (i != 8));
  for (heed::index h = 0; h < 2; ++h) {
    const Eigen::MatrixXd p = reference::normalizer::softmax(m.scores(0, h).bottomRightCorner(5, 5),
                                                             reference::mask::causal(5, 5));
    Eigen::MatrixXd all = Eigen::MatrixXd::Zero(9, 9);
    all.bottomRightCorner(5, 5) = p;
    const Eigen::MatrixXd want = model<double>(n).expected(0, h, all);
    check_close(whole.head(0, h).bottomRows(5), want.bottomRows(5), 1e-13);
  }
}

TEST_CASE("relations over a cache") {
  using heed::kv_type;
  for (const kv_type type : {kv_type::f32, kv_type::f16, kv_type::i8})
    for (const heed::index lq : {1, 20})
      for (const heed::index ds : {3, 0}) {
        const sizes n{2, 4, 2, 3, ds > 0 ? 2 : 0, lq, 0, 8, 4, ds, 5};
        const model<float> m(n);
        const scattered_source source({.lengths = {90, 37},
                                       .heads = 2,
                                       .depth = 8,
                                       .value_depth = ds + 12,
                                       .k = type,
                                       .v = type,
                                       .longest_run = 17});
        auto x = m.relations();
        x.k = {}, x.symbols = {};
        auto out = unwritten<float>(m.out());
        attend_relational(attention{.mask = heed::causal{}}, m.q.in(), source, x, out.in());
        for (heed::index b = 0; b < 2; ++b)
          for (heed::index h = 0; h < 4; ++h) {
            const dense_kv kv = dense_of(source, b, h / 2);
            const heed::index length = kv.k.rows();
            const Eigen::MatrixXd p =
                reference::normalizer::softmax(m.q.head(b, h) * kv.k.transpose() / std::sqrt(8.0),
                                               reference::mask::causal(lq, length));
            std::vector<Eigen::MatrixXd> ql, kl;
            for (heed::index l = 0; l < 3; ++l) {
              ql.push_back(m.qr.head(b, l));
              kl.push_back(kv.v.middleCols(ds + 4 * l, 4));
            }
            Eigen::MatrixXd symbols = Eigen::MatrixXd::Zero(length, 1),
                            by = Eigen::MatrixXd::Zero(1, 5);
            if (ds > 0) symbols = kv.v.leftCols(ds), by = m.w_s.head(0, h);
            // int8 rows meet 16-bit codes of queries and weights.
            check_close(out.head(b, h),
                        reference::value::relational(p, ql, kl, m.w_r.head(0, h), symbols, by, 0.6),
                        tolerance<float>(32, 90, 4) + (type == kv_type::i8 ? 40 * 0x1p-16 : 0));
          }
      }
  const model<float> m({1, 2, 1, 3, 1, 2, 0, 8, 4, 3, 5});
  const scattered_source source({.lengths = {4}, .depth = 8, .value_depth = 14});
  auto x = m.relations();
  x.symbols = {};
  auto out = unwritten<float>(m.out());
  const auto refuse = [&](const char* text) {
    CHECK_THROWS_WITH(attend_relational(attention{}, m.q.in(), source, x, out.in()),
                      ContainsSubstring(text));
    CHECK(std::isnan(out.data[0]));
  };
  refuse("qr [B,R,Lq,Dr] alone");
  x.k = {};
  refuse("15 channels, not 14");
  x.weight.extent[2] = 2;
  refuse("[H,R,Dv] and [H,Ds,Dv]");
}

TEST_CASE("relations that do not fit are refused before anything is written") {
  const model<float> m({1, 2, 1, 3, 1, 4, 5, 3, 2, 3, 2});
  auto out = unwritten<float>(m.out());
  const auto refuse = [&](const heed::relation_operands& x, const char* text) {
    CHECK_THROWS_WITH(attend_relational(attention{}, m.q.in(), m.k.in(), x, out.in()),
                      ContainsSubstring(text));
    CHECK(std::isnan(out.data[0]));
  };
  auto x = m.relations();
  x.k.extent[1] = 2;
  refuse(x, "kr [B,R,Lk,Dr]");
  x = m.relations(), x.weight.extent[2] = 2;
  refuse(x, "[H,R,Dv]");
  x = m.relations(), x.symbols.extent[2] = 4;
  refuse(x, "symbols must be");
  x = m.relations(), x.symbols = {};
  refuse(x, "come together");
  x = m.relations(), x.q.data = nullptr;
  refuse(x, "must not be null");
  const auto wrong = random<float>({1, 3, 4, 3}, 1);
  auto dq = unwritten<float>(wrong.extent);
  CHECK_THROWS_WITH(attend_relational_backward(attention{}, m.q.in(), m.k.in(), m.relations(),
                                               out.in(), {.dq = dq.in()}),
                    ContainsSubstring("dq must have the shape"));
}
