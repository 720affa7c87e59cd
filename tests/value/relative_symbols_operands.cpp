// SPDX-License-Identifier: BSL-1.0
// Symbols by relative position: any layout and element type, masks with rows that see nothing,
// tables with rows that nobody meets, gradients of windows and of packed sequences.
#include <Eigen/Core>
#include <heed/eigen.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/reference/value/relational.hpp>
#include <heed/value/relational_backward.hpp>

#include "support/differences.hpp"
#include "support/observed.hpp"
#include "support/operands.hpp"

namespace heed::test {
namespace {

struct sizes {
  index b, h, kv, r, lq, lk, d, dr, own, m, ds, dv;
};

template <class T> Eigen::MatrixXd matrix_of(const view<const T>& x, index b, index h) {
  Eigen::MatrixXd m(x.extent[2], x.extent[3]);
  for (index l = 0; l < x.extent[2]; ++l)
    for (index c = 0; c < x.extent[3]; ++c) m(l, c) = double(x(b, h, l, c));
  return m;
}

// What a call takes, and what it gives: q, k, qr, kr, W_r, a, W_s, out.
std::array<extents, 8> shapes(const sizes& n) {
  return {{{n.b, n.h, n.lq, n.d},
           {n.b, n.kv, n.lk, n.d},
           {n.b, n.r, n.lq, n.dr},
           {n.b, n.r, n.lk, n.dr},
           {1, n.h, n.r, n.dv},
           {1, n.own, 2 * n.m + 1, n.ds},
           {1, n.h, n.ds, n.dv},
           {n.b, n.h, n.lq, n.dv}}};
}

template <class X> relation_operands relations_of(const std::array<X, 7>& x) {
  return {.q = x[2],
          .k = x[3],
          .weight = x[4],
          .relative_symbols = x[5],
          .symbol_weight = x[6],
          .scale = 0.6};
}

// A call of dense operands.
template <class T> struct model {
  sizes x;
  std::vector<tensor<T>> of;

  explicit model(const sizes& n) : x(n) {
    for (unsigned i = 0; i < 7; ++i) of.push_back(random<T>(shapes(n)[i], i + 1));
  }
  std::array<view<const T>, 7> views() const {
    return {of[0].in(), of[1].in(), of[2].in(), of[3].in(), of[4].in(), of[5].in(), of[6].in()};
  }
  template <class Spec> tensor<T> run(const Spec& spec) const {
    auto out = unwritten<T>(shapes(x)[7]);
    attend_relational(spec, of[0].in(), of[1].in(), relations_of(views()), out.in());
    return out;
  }
  template <class Spec>
  std::vector<tensor<T>> backward(const Spec& spec, const tensor<T>& d_out) const {
    std::vector<tensor<T>> to;
    for (const auto& y : of) to.push_back(unwritten<T>(y.extent));
    attend_relational_backward(spec, of[0].in(), of[1].in(), relations_of(views()), d_out.in(),
                               {.dq = to[0].in(),
                                .dk = to[1].in(),
                                .d_relation_q = to[2].in(),
                                .d_relation_k = to[3].in(),
                                .dweight = to[4].in(),
                                .drelative_symbols = to[5].in(),
                                .dsymbol_weight = to[6].in()});
    return to;
  }
  // The rows of a sequence and head.
  Eigen::MatrixXd expected(const observed_head& t) const {
    const index first = t.s.cols() - t.s.rows();
    std::vector<Eigen::MatrixXd> ql, kl;
    for (index l = 0; l < x.r; ++l) {
      ql.push_back(of[2].head(t.item, l).middleRows(t.row, t.s.rows()));
      kl.push_back(of[3].head(t.item, l).middleRows(t.slot, t.s.cols()));
    }
    return reference::value::relational_by_distance(t.p, ql, kl, of[4].head(0, t.h),
                                                    of[5].head(0, x.own == 1 ? 0 : t.h),
                                                    of[6].head(0, t.h), 0.6, first);
  }
};

const std::vector<int> some_keys{31, 0}, some_queries{9, 13};
const attention padded{.mask = window{.left = 9, .right = 4} && lengths{some_keys, some_queries}};

// Of T in the given layout: forward by the reference, gradients by those of dense doubles.
template <class T> void any_operands(const layout& how, engine& bits) {
  const sizes n{2, 4, 2, 3, 13, 40, 7, 5, 4, 3, 3, 6};
  std::array<operand_block<T>, 7> x;
  model<double> same(n);
  for (std::size_t i = 0; i < 7; ++i) {
    x[i] = input<T>(shapes(n)[i], how, bits);
    std::size_t at = 0;
    x[i].each([&](T& value) { same.of[i].data[at++] = double(value); });
  }
  const std::array<view<const T>, 7> views{x[0].read(), x[1].read(), x[2].read(), x[3].read(),
                                           x[4].read(), x[5].read(), x[6].read()};
  // Sums in float or double; half is rounded once more, to 11 bits.
  using wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const auto allowed = [](const auto& want) {
    const double size = std::max(4.0, want.cwiseAbs().maxCoeff());
    return tolerance<wide>(64, 40, size) + (sizeof(T) == 2 ? 0x1p-11 * size : 0);
  };
  auto out = output<T>(shapes(n)[7], how, bits);
  attend_relational(padded, views[0], views[1], relations_of(views), view<T>(out));
  CHECK(rest_untouched(out));
  for (const observed_head& t : observed_heads(padded, same.of[0], same.of[1])) {
    const Eigen::MatrixXd want = same.expected(t);
    check_close(matrix_of(out.read(), t.item, t.h), want, allowed(want), t.where);
  }

  auto g = input<T>(shapes(n)[7], how, bits);
  tensor<double> same_g(shapes(n)[7]);
  std::size_t at = 0;
  g.each([&](T& value) { same_g.data[at++] = double(value); });
  std::vector<operand_block<T>> to;
  for (std::size_t i = 0; i < 7; ++i) to.push_back(output<T>(shapes(n)[i], how, bits));
  const auto into = [&](std::size_t i) { return result(view<T>(to[i])); };
  attend_relational_backward(padded, views[0], views[1], relations_of(views), g.read(),
                             {.dq = into(0),
                              .dk = into(1),
                              .d_relation_q = into(2),
                              .d_relation_k = into(3),
                              .dweight = into(4),
                              .drelative_symbols = into(5),
                              .dsymbol_weight = into(6)});
  const auto want = same.backward(padded, same_g);
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(rest_untouched(to[i]));
    for (index b = 0; b < to[i].extent[0]; ++b)
      for (index h = 0; h < to[i].extent[1]; ++h)
        check_close(matrix_of(to[i].read(), b, h), want[i].head(b, h), allowed(want[i].head(b, h)),
                    "gradient " + std::to_string(i));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("relative symbols of any layout and type", "", double, float, Eigen::half) {
  engine bits(seed());
  any_operands<TestType>({}, bits);
  any_operands<TestType>({.permuted = true, .strided_channels = true, .reversed = true}, bits);
}

TEST_CASE("gradients of relative symbols in windows and packed sequences") {
  const std::vector<int> queries{0, 2, 2, 5}, keys{0, 4, 6, 8};
  const auto check = [](const auto& spec, const sizes& n) {
    model<double> m(n);
    const auto g = random<double>(shapes(n)[7], 9);
    const auto loss = [&] {
      const auto out = m.run(spec);
      double sum = 0;
      for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * g.data[i];
      return sum;
    };
    for (const observed_head& t : observed_heads(spec, m.of[0], m.of[1]))
      check_close(m.run(spec).head(t.item, t.h).middleRows(t.row, t.s.rows()), m.expected(t), 1e-13,
                  t.where);
    const auto got = m.backward(spec, g);
    for (std::size_t i = 0; i < 7; ++i)
      check_gradient(got[i].data, differences(m.of[i].data, loss), std::to_string(i));
  };
  // More queries than keys: the first rows of the window see none.
  const attention near{.mask = window{.left = 3, .right = 1}};
  check(near, {1, 4, 2, 2, 8, 5, 3, 2, 1, 2, 3, 2});
  const attention packed{.mask = window{.left = 1, .right = 1}, .plan = varlen{queries, keys}};
  check(packed, {1, 2, 1, 2, 5, 8, 3, 2, 2, 1, 2, 3});
}

TEST_CASE("symbols that a row does not meet may hold anything") {
  const sizes n{1, 2, 2, 3, 5, 6, 4, 2, 2, 3, 3, 4};
  const attention spec{.mask = causal{}};
  const auto g = random<double>(shapes(n)[7], 9);
  model<double> m(n);
  auto whole = m.run(spec);
  const auto gradients = m.backward(spec, g);
  // Nobody sees what comes after it.
  for (index h = 0; h < 2; ++h)
    for (index c = 0; c < 3; ++c) m.of[5](0, h, 4, c) = m.of[5](0, h, 6, c) = std::nan("");
  CHECK(m.run(spec).data == whole.data);
  const auto again = m.backward(spec, g);
  for (std::size_t i = 0; i < 7; ++i) CHECK(again[i].data == gradients[i].data);
  // Queries 2, 3 and 4 are 3 or more after some key; one head has this.
  m.of[5](0, 1, 0, 1) = std::numeric_limits<double>::infinity();
  auto out = m.run(spec);
  auto dq = m.backward(spec, g)[0];
  for (index h = 0; h < 2; ++h)
    for (index i = 0; i < 5; ++i) {
      CHECK(std::isfinite(out(0, h, i, 0)) == !(h == 1 && i >= 2));
      CHECK(std::isfinite(dq(0, h, i, 0)) == !(h == 1 && i >= 2));
      if (h == 0 || i < 2) CHECK(out(0, h, i, 1) == whole(0, h, i, 1));
    }
}

TEST_CASE("relative symbols without keys or queries") {
  static const float nothing = 0;
  for (const sizes& n :
       {sizes{1, 2, 2, 2, 3, 0, 4, 2, 1, 1, 2, 3}, {1, 2, 2, 2, 0, 3, 4, 2, 1, 1, 2, 3}}) {
    const model<float> m(n);
    auto x = relations_of(m.views());
    if (n.lk == 0) x.k.data = &nothing;
    if (n.lq == 0) x.q.data = &nothing;
    auto out = unwritten<float>(shapes(n)[7]), da = unwritten<float>(shapes(n)[5]);
    attend_relational(attention{}, m.of[0].in(), m.of[1].in(), x, out.in());
    for (const float y : out.data) CHECK(y == 0);
    attend_relational_backward(attention{}, m.of[0].in(), m.of[1].in(), x,
                               tensor<float>(shapes(n)[7], 1.f).in(),
                               {.drelative_symbols = da.in()});
    for (const float y : da.data) CHECK(y == 0);
  }
}

}  // namespace heed::test
