// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/columns.hpp>
#include <heed/reference/observe/columns.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// Unsorted, one twice, ends included.
std::vector<index> chosen(index keys) {
  std::vector<index> all;
  for (const index j : {keys - 1, index{0}, keys / 2, index{0}, keys / 3})
    if (j >= 0 && j < keys) all.push_back(j);
  return all;
}

template <class T> void agrees() {
  each_observed_call<T>([](const auto& spec, const auto& q, const auto& k, const auto& v,
                           const std::vector<observed_head>& heads) {
    const auto keys = chosen(k.extent[2]);
    const auto n = static_cast<index>(keys.size());
    auto map = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], n});
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    columns some(keys, map.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &some});
    for (const observed_head& t : heads) {
      // Keys of other sequences are not seen.
      MatrixXd all = MatrixXd::Zero(t.s.rows(), k.extent[2]);
      all.middleCols(t.slot, t.p.cols()) = t.p;
      check_close(rows_of(map, t), reference::observe::columns(all, keys),
                  weight_tolerance<T>(t, q.extent[3]), t.where);
    }
  });
}

}  // namespace

TEST_CASE("columns are those of the reference") {
  agrees<float>();
  agrees<double>();
}

TEST_CASE("columns of weights without a row sum") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const auto keys = chosen(300);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  auto map = unwritten<float>({1, 2, 30, 5}), out = unwritten<float>({1, 2, 30, 8});
  columns some(keys, map.in());
  attend(spec, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &some});
  for (const observed_head& t : observed_heads(spec, q, k))
    check_close(rows_of(map, t), reference::observe::columns(t.p, keys), tolerance<float>(8, 8),
                t.where);
}

TEST_CASE("columns have the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2);
  const auto keys = chosen(300);
  same_for_any_crew([&](executor_ref crew) {
    auto map = unwritten<float>({2, 4, 100, 5}), out = unwritten<float>({2, 4, 100, 8});
    columns some(keys, map.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &some},
           crew);
    return map.data;
  });
}

TEST_CASE("columns refuse what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), map({1, 2, 3, 2}, 7.f);
  const std::vector<index> beyond{0, 3}, one{0}, two{0, 2};
  columns far(beyond, map.in()), narrow(one, map.in()), good(two, map.in());
  const auto run = [&](observer& o) {
    attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &o});
  };
  CHECK_THROWS_WITH(run(far), ContainsSubstring("no key 3"));
  CHECK_THROWS_WITH(run(narrow), ContainsSubstring("[1, 2, 3, 1]"));
  CHECK_THROWS_AS(columns::gradient(good, out.in()), std::invalid_argument);
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
}

}  // namespace heed::test
