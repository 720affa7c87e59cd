// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/group_mass.hpp>
#include <heed/reference/observe/group_mass.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr index groups = 5;

// Runs, single keys, and keys of no group.
std::vector<int> labelled(index keys) {
  std::vector<int> labels;
  for (index j = 0; j < keys; ++j) labels.push_back(int(j % 40 < 20 ? j / 20 % 6 : j % 7 - 1));
  return labels;
}

template <class T> void agrees() {
  each_observed_call<T>([](const auto& spec, const auto& q, const auto& k, const auto& v,
                           const std::vector<observed_head>& heads) {
    const auto labels = labelled(k.extent[2]);
    auto pi = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], groups});
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    group_mass mass(labels, pi.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &mass});
    for (const observed_head& t : heads) {
      const std::vector<int> own(labels.begin() + t.slot, labels.begin() + t.slot + t.s.cols());
      check_close(rows_of(pi, t), reference::observe::group_mass(t.p, own, groups),
                  weight_tolerance<T>(t, q.extent[3]), t.where);
    }
  });
}

}  // namespace

TEST_CASE("group_mass is that of the reference") {
  agrees<float>();
  agrees<double>();
}

TEST_CASE("group_mass of weights without a row sum") {
  const auto q = random<float>({1, 2, 30, 8}, 1), k = random<float>({1, 2, 300, 8}, 2);
  const auto labels = labelled(300);
  const attention spec{.mask = causal{}, .normalizer = sigmoid{.bias = -2}};
  auto pi = unwritten<float>({1, 2, 30, groups}), out = unwritten<float>({1, 2, 30, 8});
  group_mass mass(labels, pi.in());
  attend(spec, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &mass});
  for (const observed_head& t : observed_heads(spec, q, k))
    check_close(rows_of(pi, t), reference::observe::group_mass(t.p, labels, groups),
                tolerance<float>(8, 8, t.p.rowwise().sum().maxCoeff()), t.where);
}

TEST_CASE("group_mass with labels of their own for each batch item") {
  const auto q = random<float>({2, 2, 30, 8}, 1), k = random<float>({2, 1, 70, 8}, 2);
  auto labels = labelled(140);
  auto pi = unwritten<float>({2, 2, 30, groups}), out = unwritten<float>({2, 2, 30, 8});
  group_mass mass(labels, pi.in());
  attend(attention{}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &mass});
  for (const observed_head& t : observed_heads(attention{}, q, k)) {
    const std::vector<int> own(labels.begin() + t.item * 70, labels.begin() + t.item * 70 + 70);
    check_close(rows_of(pi, t), reference::observe::group_mass(t.p, own, groups),
                weight_tolerance<float>(t, 8), t.where);
  }
}

TEST_CASE("group_mass has the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2);
  const auto labels = labelled(300);
  same_for_any_crew([&](executor_ref crew) {
    auto pi = unwritten<float>({2, 4, 100, groups}), out = unwritten<float>({2, 4, 100, 8});
    group_mass mass(labels, pi.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = &mass},
           crew);
    return pi.data;
  });
}

TEST_CASE("group_mass refuses what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), pi({1, 2, 3, 2}, 7.f), wrong({1, 2, 4, 2});
  const std::vector<int> labels{0, 1, 0}, short_labels{0, 1};
  group_mass few(short_labels, pi.in()), tall(labels, wrong.in()), good(labels, pi.in());
  const auto run = [&](observer& o) {
    attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &o});
  };
  CHECK_THROWS_WITH(run(few), ContainsSubstring("one label a key"));
  CHECK_THROWS_WITH(run(tall), ContainsSubstring("[1, 2, 3, 2]"));
  CHECK_THROWS_AS(group_mass::gradient(good, wrong.in()), std::invalid_argument);
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
}

}  // namespace heed::test
