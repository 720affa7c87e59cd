// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/column_mass_gradient.hpp>
#include <heed/observe/sink_rate.hpp>
#include <heed/reference/observe/column_mass.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// The weight that the options give to the rows of a sequence.
Eigen::VectorXd row_weights(const column_rows& o, index row, index count) {
  Eigen::VectorXd w = Eigen::VectorXd::Zero(count);
  for (index i = 0; i < count; ++i)
    if (i >= o.rows.begin && i < o.rows.end && (o.last == column_rows::all || i >= count - o.last))
      w(i) = o.weights.get(row + i, 1);
  return w;
}

template <class T> void agrees(const column_rows& options, bool with_lse) {
  each_observed_call<T>([&](const auto& spec, const auto& q, const auto& k, const auto& v,
                            const std::vector<observed_head>& heads) {
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    auto lse = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], 1});
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    std::vector<double> weights;
    for (index i = 0; i < q.extent[2]; ++i) weights.push_back(double(i % 3) / 2);
    column_rows which = options;
    if (options.mean) which.weights = weights;
    auto mass = unwritten<T>({q.extent[0], q.extent[1], k.extent[2], 1}), variance = mass;
    column_mass(spec, q.in(), k.in(), with_lse ? operand(lse.in()) : operand{},
                {.mass = mass.in(), .variance = variance.in()}, which);
    for (const observed_head& t : heads) {
      const auto w = row_weights(which, t.row, t.s.rows());
      auto expected = reference::observe::column_mass(t.p, w, which.later);
      if (which.mean)
        for (index j = 0; j < expected.mass.size(); ++j)
          if (expected.count(j) > 0) expected.mass(j) /= expected.count(j);
      // lse in T adds its own rounding to that of the scores.
      const double each = 2 * weight_tolerance<T>(t, q.extent[3]);
      const auto part = [&](const auto& x) {
        return MatrixXd(x.head(t.item, t.h).middleRows(t.slot, t.s.cols()));
      };
      const double rows = std::max(1.0, t.p.size() ? t.p.colwise().sum().maxCoeff() : 0);
      check_close(part(mass), MatrixXd(expected.mass), each * rows, t.where);
      check_close(part(variance), MatrixXd(expected.variance), each, t.where);
    }
  });
}

}  // namespace

TEST_CASE("column_mass is that of the reference") {
  agrees<float>({}, true);
  agrees<double>({}, true);
  agrees<double>({}, false);
}

TEST_CASE("column_mass of some queries, of later ones, and their mean") {
  agrees<double>({.later = true, .mean = true}, true);
  agrees<float>({.rows = {5, 30}}, true);
  agrees<float>({.last = 3, .later = true}, true);
}

TEST_CASE("column_mass of weights without a row sum, and by their sum") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  auto mass = unwritten<float>({1, 2, 300, 1}), divided = mass;
  column_mass(spec, q.in(), k.in(), {}, {.mass = mass.in()});
  attention by_sum = spec;
  by_sum.normalizer.by = divisor::sum;
  column_mass(by_sum, q.in(), k.in(), {}, {.mass = divided.in()});
  for (const observed_head& t : observed_heads(spec, q, k)) {
    check_close(mass.head(0, t.h), MatrixXd(t.p.colwise().sum().transpose()),
                tolerance<float>(8, 8, 30), t.where);
    MatrixXd p = t.p;
    for (index i = 0; i < p.rows(); ++i) p.row(i) /= p.row(i).sum();
    check_close(divided.head(0, t.h), MatrixXd(p.colwise().sum().transpose()),
                tolerance<float>(8, 8, 30), t.where);
  }
}

TEST_CASE("column_mass has the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 300, 8}, 1), k = random<float>({2, 2, 700, 8}, 2);
  same_for_any_crew([&](executor_ref crew) {
    auto mass = unwritten<float>({2, 4, 700, 1}), variance = mass;
    column_mass(attention{.mask = causal{}}, q.in(), k.in(), {},
                {.mass = mass.in(), .variance = variance.in()}, {}, crew);
    return std::pair(mass.data, variance.data);
  });
  const auto g = random<float>({2, 4, 700, 1}, 3);
  same_for_any_crew([&](executor_ref crew) {
    const column_mass_gradient by(attention{.mask = causal{}}, q.in(), k.in(), {}, g.in(), {},
                                  crew);
    std::vector<double> delta;
    for (index h = 0; h < 4; ++h)
      for (index i = 0; i < 300; ++i) delta.push_back(by.delta({1, h, i + 400, i}));
    return delta;
  });
}

TEST_CASE("column_mass hides what a mask hides, NaN included") {
  auto q = random<float>({1, 1, 5, 4}, 1), k = random<float>({1, 1, 9, 4}, 2);
  for (index c = 0; c < 4; ++c) k(0, 0, 8, c) = std::numeric_limits<float>::quiet_NaN();
  const auto hidden = [](const position& at) { return at.k < 8; };
  auto mass = unwritten<float>({1, 1, 9, 1});
  column_mass(attention{.mask = hidden}, q.in(), k.in(), {}, {.mass = mass.in()});
  double sum = 0;
  for (index j = 0; j < 9; ++j) sum += double(mass(0, 0, j));
  CHECK(sum == Approx(5));
  CHECK(mass(0, 0, 8) == 0);
}

TEST_CASE("column_mass refuses what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1), k = random<float>({1, 2, 5, 4}, 2);
  tensor<> mass({1, 2, 5, 1}, 7.f), wrong({1, 2, 3, 1}, 7.f), lse({1, 2, 5, 1}, 0.f);
  const std::vector<float> w{1, 2};
  const auto run = [&](const operand& l, const result& to, const column_rows& which) {
    column_mass(attention{}, q.in(), k.in(), l, {.mass = to}, which);
  };
  CHECK_THROWS_WITH(run({}, wrong.in(), {}), ContainsSubstring("[1, 2, 5, 1]"));
  CHECK_THROWS_WITH(run(lse.in(), mass.in(), {}), ContainsSubstring("lse must be [B,H,Lq]"));
  CHECK_THROWS_WITH(run({}, mass.in(), {.weights = w}), ContainsSubstring("one weight a query"));
  CHECK_THROWS_AS(run({}, mass.in(), {.last = -1}), std::invalid_argument);
  CHECK_THROWS_AS(column_mass(attention{.normalizer = sigmoid{}}, q.in(), k.in(), wrong.in(),
                              {.mass = mass.in()}),
                  std::invalid_argument);
  const view<const float> less_than_none(nullptr, {1, 2, -5, 4});
  CHECK_THROWS_AS(column_mass(attention{}, q.in(), less_than_none, {}, {}), std::invalid_argument);
  CHECK_THROWS_AS(column_mass_gradient(attention{}, q.in(), k.in(), {}, wrong.in()),
                  std::invalid_argument);
  CHECK(std::all_of(mass.data.begin(), mass.data.end(), [](float x) { return x == 7.f; }));
}

TEST_CASE("sink_rate, outstanding keys and centralisation") {
  const auto a = uniform<double>({2, 3, 6, 1}, 1);
  MatrixXd all(6, 6);
  for (index h = 0; h < 6; ++h) all.row(h) = a.head(h / 3, h % 3).transpose();
  for (const double epsilon : {-0.5, 0.0, 0.3})
    for (index key = 0; key < 6; ++key)
      CHECK(sink_rate(a.in(), key, epsilon) == reference::observe::sink_rate(all, key, epsilon));
  tensor<double> b({1, 2, 4, 1}, 1.0);
  b(0, 1, 2) = 5;
  CHECK(outstanding(b.in(), 0, 0, 3).empty());
  CHECK(outstanding(b.in(), 0, 1, 3) == std::vector<index>{2});
  CHECK(outstanding(b.in(), 0, 1, 4).empty());
  CHECK(centralisation(b.in(), 0, 0) == 0);
  CHECK(centralisation(b.in(), 0, 1) == Approx(12.0 / 24));
  for (index j = 0; j < 4; ++j) b(0, 0, j) = j == 1;
  CHECK(centralisation(b.in(), 0, 0) == 1);
}

TEST_CASE("Readers of a column mass refuse keys, heads and items that are not there") {
  const auto a = uniform<double>({2, 3, 6, 1}, 1);
  for (const index key : {-1, 6})
    CHECK_THROWS_WITH(sink_rate(a.in(), key, 0),
                      ContainsSubstring("heed::sink_rate: there is no key"));
  CHECK_THROWS_AS(outstanding(a.in(), 2, 0, 3), std::invalid_argument);
  CHECK_THROWS_AS(outstanding(a.in(), 0, -1, 3), std::invalid_argument);
  CHECK_THROWS_AS(centralisation(a.in(), 0, 3), std::invalid_argument);
}

}  // namespace heed::test
