// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/row_top.hpp>
#include <heed/reference/observe/row_top.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

struct found {
  std::vector<int> keys;
  extents extent;
  int operator()(index b, index h, index l, index i) const {
    return keys[std::size_t(((b * extent[1] + h) * extent[2] + l) * extent[3] + i)];
  }
  view<int> in() { return {keys.data(), extent}; }
};
found unfound(const extents& e) {
  return {std::vector<int>(std::size_t(e[0] * e[1] * e[2] * e[3]), -77), e};
}

// Keys may come in another order where their scores differ by less than rounding.
template <class T> void agrees(index n) {
  each_observed_call<T>([n](const auto& spec, const auto& q, const auto& k, const auto& v,
                            const std::vector<observed_head>& heads) {
    const extents shape{q.extent[0], q.extent[1], q.extent[2], n};
    auto keys = unfound(shape);
    auto weights = unwritten<T>(shape);
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    row_top top(keys.in(), weights.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &top});
    for (const observed_head& t : heads) {
      const auto expected = reference::observe::row_top(t.s, t.a, n);
      const double close = weight_tolerance<T>(t, q.extent[3]);
      MatrixXd p = MatrixXd::Zero(t.s.rows(), n);
      index wrong = 0;
      for (index r = 0; r < t.s.rows(); ++r) {
        const auto& best = expected[std::size_t(r)];
        for (index i = 0; i < n; ++i) {
          const index key = keys(t.item, t.h, t.row + r, i);
          if (i >= index(best.size())) {
            wrong += key != -1;
            continue;
          }
          const index j = key - t.slot;
          if (j < 0 || j >= t.s.cols() || !t.a(r, j)) {
            ++wrong;
            continue;
          }
          wrong += t.s(r, best[std::size_t(i)]) - t.s(r, j) > 2 * close;
          p(r, i) = t.p(r, j);
        }
      }
      INFO(t.where);
      CHECK(wrong == 0);
      check_close(rows_of(weights, t), p, close, t.where);
    }
  });
}

}  // namespace

TEST_CASE("row_top finds the keys of the reference") {
  agrees<float>(1);
  agrees<float>(7);
  agrees<double>(3);
  agrees<float>(11);
}

TEST_CASE("row_top takes the first of equal keys, and orders what underflows") {
  const index n = 300;
  tensor<> q({1, 1, 2, 1}, 1.f), k({1, 1, n, 1}, 0.f), out({1, 1, 2, 1}), w({1, 1, 2, 4});
  k(0, 0, 260) = 500, k(0, 0, 7) = 300, k(0, 0, 299) = 301;
  auto keys = unfound({1, 1, 2, 4});
  row_top top(keys.in(), w.in());
  attend(attention{}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &top});
  for (index i = 0; i < 2; ++i) {
    CHECK(keys(0, 0, i, 0) == 260);
    CHECK(keys(0, 0, i, 1) == 299);
    CHECK(keys(0, 0, i, 2) == 7);
    CHECK(keys(0, 0, i, 3) == 0);
    CHECK(w(0, 0, i, 0) == 1.f);
    CHECK(w(0, 0, i, 1) == 0.f);
  }
}

TEST_CASE("row_top takes equal keys in their order, in whole panels and in tails") {
  const tensor<> q({1, 1, 150, 2}, 1.f), k({1, 1, 300, 2}, 1.f);
  auto out = unwritten<float>({1, 1, 150, 2});
  for (const index n : {1, 2, 3, 4, 8, 11}) {
    auto keys = unfound({1, 1, 150, n});
    auto w = unwritten<float>({1, 1, 150, n});
    row_top top(keys.in(), w.in());
    attend(attention{}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &top});
    index wrong = 0;
    for (index r = 0; r < 150; ++r)
      for (index i = 0; i < n; ++i) wrong += keys(0, 0, r, i) != i;
    CAPTURE(n);
    CHECK(wrong == 0);
  }
}

TEST_CASE("row_top of weights without a row sum") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  auto keys = unfound({1, 2, 30, 70});
  auto w = unwritten<float>({1, 2, 30, 70}), out = unwritten<float>({1, 2, 30, 8});
  row_top top(keys.in(), w.in());
  attend(spec, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &top});
  for (const observed_head& t : observed_heads(spec, q, k))
    for (index r = 0; r < 30; ++r) {
      const auto best = reference::observe::row_top(t.s, t.a, 70)[std::size_t(r)];
      for (index i = 0; i < 70; ++i)
        CHECK(double(w(0, t.h, r, i)) == Approx(t.p(r, best[std::size_t(i)])).margin(1e-6));
    }
}

TEST_CASE("row_top has the same results for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2);
  same_for_any_crew([&](executor_ref crew) {
    auto keys = unfound({2, 4, 100, 5});
    auto w = unwritten<float>({2, 4, 100, 5}), out = unwritten<float>({2, 4, 100, 8});
    row_top top(keys.in(), w.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &top},
           crew);
    return std::pair(keys.keys, w.data);
  });
}

TEST_CASE("row_top refuses what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), w({1, 2, 3, 2}, 7.f);
  auto keys = unfound({1, 2, 3, 2}), tall = unfound({1, 2, 4, 2}), none = unfound({1, 2, 3, 0});
  row_top wrong(tall.in(), w.in()), empty(none.in(), w.in()), mixed(keys.in(), out.in());
  const auto run = [&](observer& o) {
    attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &o});
  };
  CHECK_THROWS_WITH(run(wrong), ContainsSubstring("[B,H,Lq,n]"));
  CHECK_THROWS_WITH(run(empty), ContainsSubstring("at least 1"));
  CHECK_THROWS_WITH(run(mixed), ContainsSubstring("[1, 2, 3, 2]"));
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
  CHECK(keys.keys[0] == -77);
}

}  // namespace heed::test
