// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/column_mass_gradient.hpp>

#include "support/observed.hpp"

namespace heed::test {

TEST_CASE("column_mass's gradient") {
  const auto weigh = [](std::size_t i) { return std::cos(1.0 + 0.7 * double(i)); };
  const std::vector<double> w{1, 0, 0.5, 1, 1, 0, 1, 2, 1};
  const auto check = [&](const auto& spec, const column_rows& which) {
    check_observed_gradient(
        spec,
        [&](const auto& q, const auto& k, const auto&) {
          auto mass = unwritten<double>({q.extent[0], q.extent[1], k.extent[2], 1});
          column_mass(spec, q.in(), k.in(), {}, {.mass = mass.in()}, which);
          double sum = 0;
          for (std::size_t i = 0; i < mass.data.size(); ++i) sum += weigh(i) * mass.data[i];
          return sum;
        },
        [&](const auto& q, const auto& k, const auto&, auto use) {
          auto g = unwritten<double>({q.extent[0], q.extent[1], k.extent[2], 1});
          for (std::size_t i = 0; i < g.data.size(); ++i) g.data[i] = weigh(i);
          use(column_mass_gradient(spec, q.in(), k.in(), {}, g.in(), which));
        });
  };
  each_observed_gradient([&](const auto& spec) {
    check(spec, {});
    check(spec, {.last = 4, .later = true, .mean = true});
  });
  check(attention{}, {.weights = w, .later = true});
  check(attention{.mask = causal{}, .normalizer = sigmoid{}}, {});
}

}  // namespace heed::test
