// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/observe/columns.hpp>

#include "support/observed.hpp"

namespace heed::test {

/// The gradient of Σ c_i w_i, w the weights of keys `chosen(Lk)`, against central differences.
template <class Spec, class Chosen>
void check_columns_gradient(const Spec& spec, const Chosen& chosen) {
  const auto weigh = [](std::size_t i) { return std::cos(1.0 + 0.7 * double(i)); };
  const auto watched = [&](const auto& q, const auto& k, const auto& v, auto use) {
    const std::vector<index> keys = chosen(k.extent[2]);
    auto map = unwritten<double>({q.extent[0], q.extent[1], q.extent[2], index(keys.size())});
    auto out = unwritten<double>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    columns some(keys, map.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &some});
    use(some, map);
  };
  check_observed_gradient(
      spec,
      [&](const auto& q, const auto& k, const auto& v) {
        double sum = 0;
        watched(q, k, v, [&](const auto&, const auto& map) {
          for (std::size_t i = 0; i < map.data.size(); ++i) sum += weigh(i) * map.data[i];
        });
        return sum;
      },
      [&](const auto& q, const auto& k, const auto& v, auto use) {
        watched(q, k, v, [&](const auto& some, auto g) {
          for (std::size_t i = 0; i < g.data.size(); ++i) g.data[i] = weigh(i);
          use(columns::gradient(some, g.in()));
        });
      });
}

}  // namespace heed::test
