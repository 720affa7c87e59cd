// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/rows.hpp>
#include <heed/reference/observe/rows.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

std::vector<index> chosen(index queries) { return {queries - 1, 0, queries / 2, queries - 1}; }

template <class T> void agrees() {
  each_observed_call<T>([](const auto& spec, const auto& q, const auto& k, const auto& v,
                           const std::vector<observed_head>& heads) {
    const auto queries = chosen(q.extent[2]);
    const auto n = static_cast<index>(queries.size());
    auto map = unwritten<T>({q.extent[0], q.extent[1], n, k.extent[2]});
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    rows some(queries, map.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &some});
    for (const observed_head& t : heads) {
      const MatrixXd got = map.head(t.item, t.h);
      for (index i = 0; i < n; ++i) {
        const index row = queries[std::size_t(i)] - t.row;
        if (row < 0 || row >= t.s.rows()) continue;
        // Keys of other sequences are not seen.
        MatrixXd all = MatrixXd::Zero(t.s.rows(), k.extent[2]);
        all.middleCols(t.slot, t.p.cols()) = t.p;
        check_close(MatrixXd(got.row(i)), reference::observe::rows(all, {row}),
                    weight_tolerance<T>(t, q.extent[3]), t.where);
      }
    }
  });
}

}  // namespace

TEST_CASE("rows are those of the reference") {
  agrees<float>();
  agrees<double>();
}

TEST_CASE("rows of weights without a row sum, into a layout of channels apart") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const auto queries = chosen(30);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  auto map = unwritten<float>({1, 2, 300, 4}), out = unwritten<float>({1, 2, 30, 8});
  const view<float> turned{map.data.data(), {1, 2, 4, 300}, {2400, 1200, 1, 4}};
  rows some(queries, turned);
  attend(spec, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &some});
  for (const observed_head& t : observed_heads(spec, q, k))
    check_close(MatrixXd(map.head(0, t.h).transpose()), reference::observe::rows(t.p, queries),
                tolerance<float>(8, 8), t.where);
}

TEST_CASE("rows have the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2);
  const auto queries = chosen(100);
  same_for_any_crew([&](executor_ref crew) {
    auto map = unwritten<float>({2, 4, 4, 300}), out = unwritten<float>({2, 4, 100, 8});
    rows some(queries, map.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &some},
           crew);
    return map.data;
  });
}

TEST_CASE("rows refuse what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), map({1, 2, 2, 3}, 7.f);
  const std::vector<index> beyond{0, 3}, one{0};
  rows far(beyond, map.in()), narrow(one, map.in());
  const auto run = [&](observer& o) {
    attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &o});
  };
  CHECK_THROWS_WITH(run(far), ContainsSubstring("no query 3"));
  CHECK_THROWS_WITH(run(narrow), ContainsSubstring("[1, 2, 1, 3]"));
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
}

}  // namespace heed::test
