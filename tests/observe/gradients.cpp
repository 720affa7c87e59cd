// SPDX-License-Identifier: BSL-1.0
// Gradients of what observers beside a call see: one file, for they share the calls.
#include <heed/observe/group_mass.hpp>
#include <heed/observe/relative_mass.hpp>
#include <heed/observe/row_entropy.hpp>

#include "support/observer_gradients.hpp"

namespace heed::test {

namespace {

// f(spec) for each kind of call; weights without a row sum too.
template <class F> void each_call(const F& check) {
  each_observed_gradient(check);
  check(attention{.mask = causal{}, .normalizer = sigmoid{}});
}

}  // namespace

TEST_CASE("the gradient of columns") {
  // Unsorted, one twice, ends included.
  const auto chosen = [](index keys) {
    return std::vector<index>{keys - 1, 0, keys / 2, 0, keys / 3};
  };
  each_call([&](const auto& spec) { check_columns_gradient(spec, chosen); });
}

TEST_CASE("group_mass's gradient") {
  constexpr index groups = 5;
  each_call([](const auto& spec) {
    check_observer_gradient(
        spec, [](index) { return groups; },
        [](index keys, const view<double>& x, auto use) {
          // Runs, single keys, and keys of no group.
          std::vector<int> labels;
          for (index j = 0; j < keys; ++j)
            labels.push_back(int(j < 8 ? j / 4 : j % 7 - 1) % groups);
          group_mass mass(labels, x);
          use(mass);
        });
  });
}

TEST_CASE("relative_mass's gradient") {
  each_call([](const auto& spec) {
    check_observer_gradient(
        spec, [](index) { return index{5}; },
        [](index, const view<double>& x, auto use) {
          relative_mass mass(x);
          use(mass);
        });
  });
}

TEST_CASE("row_entropy's gradient") {
  each_observed_gradient([](const auto& spec) {
    check_observer_gradient(
        spec, [](index) { return index{1}; },
        [](index, const view<double>& x, auto use) {
          row_entropy entropy(x);
          use(entropy);
        });
  });
}

}  // namespace heed::test
