// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/extra.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/reference/weights/column_scale.hpp>
#include <heed/score/softcap.hpp>
#include <heed/weights/column_add.hpp>

#include "support/differences.hpp"
#include "support/scores.hpp"
#include "support/weights.hpp"

namespace heed::test {
namespace {

// Scales of both signs and some zeros; `positive` without either sign or zero.
template <class T> tensor<T> scales(const extents& e, bool positive, unsigned stream = 9) {
  auto c = random<T>(e, stream);
  for (std::size_t i = 0; i < c.data.size(); ++i)
    c.data[i] = positive ? T(std::exp(double(c.data[i]) / 2)) : i % 5 == 3 ? T(0) : c.data[i];
  return c;
}
reference::vector column(const tensor<float>& x, index b, index h) {
  return x.head(x.extent[0] == 1 ? 0 : b, x.extent[1] == 1 ? 0 : h).col(0);
}

}  // namespace

TEST_CASE("column_scale and column_add are their formula") {
  for (const bool shared : {false, true}) {
    tensor<float> c({0, 0, 0, 0}), a = c;
    const auto draw = [&](const shape& x) {
      const extents e{shared ? 1 : x.b, shared ? 1 : x.h, x.lk, 1};
      c = scales<float>(e, false), a = scales<float>(e, false, 10);
    };
    const auto formula = [&](const Eigen::MatrixXd& p, index b, index h, bool scaled, bool added) {
      const reference::vector zero = reference::vector::Zero(p.cols());
      const reference::vector one = reference::vector::Ones(p.cols());
      return reference::weights::column_scale(p, reference::mask::causal(p.rows(), p.cols()),
                                              scaled ? column(c, b, h) : one,
                                              added ? column(a, b, h) : zero);
    };
    agree_edited<float>(
        [&](const shape& x) {
          draw(x);
          return attention{.mask = causal{}, .weights = column_scale{c.in()}};
        },
        [&](const Eigen::MatrixXd& p, index b, index h) { return formula(p, b, h, true, false); });
    // Rows sum to as much as Σ |a_j|: 0.64 a key on average.
    for (const bool scaled : {false, true})
      agree_edited<float>(
          [&](const shape& x) {
            draw(x);
            column_add edit{a.in()};
            if (scaled) edit.scale = c.in();
            return attention{.mask = causal{}, .weights = edit};
          },
          [&](const Eigen::MatrixXd& p, index b, index h) {
            return formula(p, b, h, scaled, true);
          },
          250);
  }
}

TEST_CASE("renormalized_column_scale is its formula, zeros hide") {
  tensor<float> c({0, 0, 0, 0});
  for (const bool zeros : {false, true})
    agree_edited<float>(
        [&](const shape& x) {
          c = scales<float>({1, x.h, x.lk, 1}, true);
          for (std::size_t i = 0; zeros && i < c.data.size(); i += 3) c.data[i] = 0;
          return attention{.mask = causal{}, .score = renormalized_column_scale{c.in()}};
        },
        [&](const Eigen::MatrixXd& p, index b, index h) {
          return reference::weights::renormalized_column_scale(p, column(c, b, h));
        });
}

TEST_CASE("column edits give the same bits for any number of threads") {
  const auto c = scales<float>({1, 4, 333, 1}, false);
  const shape x{2, 4, 2, 130, 333, 16, 8};
  check_threads(attention{.mask = causal{}, .weights = column_scale{c.in()}}, x);
  check_threads(attention{.mask = causal{}, .weights = column_add{c.in(), c.in()}}, x);
}

TEST_CASE("column edits leave extra slots, the log-sum-exp and hidden values alone") {
  const auto c = scales<double>({1, 1, 40, 1}, false);
  const auto k = random<double>({1, 1, 40, 6}, 2), slot = random<double>({1, 1, 2, 6}, 4);
  auto v = random<double>({1, 1, 40, 6}, 3);
  for (index j = 30; j < 40; ++j) v(0, 0, j, 1) = std::numeric_limits<double>::quiet_NaN();
  const auto q = random<double>({1, 2, 20, 6}, 1);
  auto out = unwritten<double>({1, 2, 20, 6}), expected = out, other = out;
  auto lse = unwritten<double>({1, 2, 20, 1}), same = lse;
  const extra_slots more{slot.in(), slot.in()};
  const auto check = [&](const auto& spec) {
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    reference::attend(spec, q.in(), k.in(), v.in(), expected.in());
    for (index h = 0; h < 2; ++h)
      check_close(out.head(0, h), expected.head(0, h), tolerance<double>(8, 40, 8));
    CHECK(lse.data == same.data);
  };
  attend(attention{.mask = causal{}, .offset = 0, .extra = more}, q.in(), k.in(), v.in(),
         {.out = other.in(), .lse = same.in()});
  check(attention{.mask = causal{}, .weights = column_scale{c.in()}, .offset = 0, .extra = more});
  check(attention{
      .mask = causal{}, .weights = column_add{c.in(), c.in()}, .offset = 0, .extra = more});
}

TEST_CASE("gradients by q, k, v and by the columns are central differences") {
  for (const bool shared : {false, true}) {
    gradient_case x{.b = 2, .h = 4, .kv = 2, .lq = 5, .lk = 6};
    const extents e{shared ? 1 : 2, shared ? 1 : 4, 6, 1};
    auto c = scales<double>(e, false), a = scales<double>(e, false, 11),
         positive = scales<double>(e, true), dc = unwritten<double>(e), da = dc;

    const attention scaled{.mask = causal{}, .score = softcap{3}, .weights = column_scale{c.in()}};
    spec_gradients<std::remove_const_t<decltype(scaled)>> g;
    g.weights = {dc.in()};
    x.check(scaled, true, g);
    check_gradient(dc.data, differences(c.data, [&] { return x.loss(scaled, true); }), "dc");

    const attention both{
        .mask = causal{}, .normalizer = sigmoid{}, .weights = column_add{a.in(), c.in()}};
    spec_gradients<std::remove_const_t<decltype(both)>> gb;
    x.check(both, false, gb);  // without: only the edited keys are visited
    gb.weights = {da.in(), dc.in()};
    x.check(both, false, gb);
    check_gradient(dc.data, differences(c.data, [&] { return x.loss(both, false); }), "dc");
    check_gradient(da.data, differences(a.data, [&] { return x.loss(both, false); }), "da");

    const attention again{.mask = causal{}, .score = renormalized_column_scale{positive.in()}};
    spec_gradients<std::remove_const_t<decltype(again)>> gr;
    gr.score = {dc.in()};
    x.check(again, true, gr);
    check_gradient(dc.data, differences(positive.data, [&] { return x.loss(again, true); }), "dc");
  }
}

TEST_CASE("columns that do not fit are refused") {
  const auto c = scales<float>({1, 1, 5, 1}, true), six = scales<float>({1, 1, 6, 1}, true);
  const tensor<float> negative({1, 1, 5, 1}, -1), zero({1, 1, 5, 1}, 0), broken({1, 1, 5, 1});
  check_refused(attention{.weights = column_scale{six.in()}}, "the scale is [1, 1, 6, 1]");
  check_refused(attention{.weights = column_scale{}}, "without data");
  check_refused(attention{.weights = column_add{six.in()}}, "the values is [1, 1, 6, 1]");
  check_refused(attention{.weights = column_add{c.in(), six.in()}}, "the scale is [1, 1, 6, 1]");
  check_refused(attention{.score = renormalized_column_scale{six.in()}}, "the scale is");
  for (const auto* x : {&negative, &broken})
    check_refused(attention{.score = renormalized_column_scale{x->in()}}, "must not be negative");
  auto dc = unwritten<float>({1, 1, 5, 1});
  CHECK_THROWS_WITH(
      renormalized_column_scale{zero.in()}.check(renormalized_column_scale::gradient{dc.in()}),
      Catch::Matchers::ContainsSubstring("no gradient by a scale of 0"));
  CHECK_THROWS_WITH((column_add{c.in()}.check(column_add::gradient{{}, dc.in()})),
                    Catch::Matchers::ContainsSubstring("there is no scale"));
}

}  // namespace heed::test
