// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/relative_mass.hpp>
#include <heed/reference/observe/relative_mass.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

// π of a call, and what saw it.
template <class T, class Spec, class Use>
void watched(const Spec& spec, index m, const tensor<T>& q, const tensor<T>& k, const tensor<T>& v,
             Use use) {
  auto pi = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], 2 * m + 1});
  auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
  relative_mass mass(pi.in());
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &mass});
  use(mass, pi);
}

MatrixXd expected(const observed_head& t, index m) {
  return reference::observe::relative_mass(t.p, m, t.s.cols() - t.s.rows());
}

}  // namespace

TEMPLATE_TEST_CASE("relative_mass is that of the reference", "", float, double) {
  using T = TestType;
  // No distance at all, less than a panel, more than any.
  for (const index m : {0, 1, 7, 40, 700})
    each_observed_call<T>([m](const auto& spec, const auto& q, const auto& k, const auto& v,
                              const std::vector<observed_head>& heads) {
      watched(spec, m, q, k, v, [&](const auto&, const auto& pi) {
        for (const observed_head& t : heads)
          check_close(rows_of(pi, t), expected(t, m), weight_tolerance<T>(t, q.extent[3]), t.where);
      });
    });
}

TEST_CASE("relative_mass of weights without a row sum") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  watched(spec, 9, q, k, k, [&](const auto&, const auto& pi) {
    for (const observed_head& t : observed_heads(spec, q, k))
      check_close(rows_of(pi, t), expected(t, 9),
                  tolerance<float>(8, 8, t.p.rowwise().sum().maxCoeff()), t.where);
  });
}

TEST_CASE("relative_mass has the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2);
  same_for_any_crew([&](executor_ref crew) {
    auto pi = unwritten<float>({2, 4, 100, 25}), out = unwritten<float>({2, 4, 100, 8});
    relative_mass mass(pi.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &mass},
           crew);
    return pi.data;
  });
}

TEST_CASE("relative_mass refuses what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), even({1, 2, 3, 4}, 7.f), tall({1, 2, 4, 3}, 7.f),
      good({1, 2, 3, 3}, 7.f);
  const auto run = [&](tensor<>& pi) {
    relative_mass mass(pi.in());
    attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &mass});
  };
  CHECK_THROWS_WITH(run(even), ContainsSubstring("2m+1 channels"));
  CHECK_THROWS_WITH(run(tall), ContainsSubstring("[1, 2, 3, 3]"));
  relative_mass mass(good.in());
  CHECK_THROWS_AS(relative_mass::gradient(mass, tall.in()), std::invalid_argument);
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
}

}  // namespace heed::test
