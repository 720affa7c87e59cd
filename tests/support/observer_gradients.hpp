// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/observe/columns.hpp>

#include "support/observed.hpp"

namespace heed::test {

/// The gradient of Σ c_i x_i against central differences, x what an observer writes: `width(Lk)`
/// numbers a row. with(Lk, x, use) makes the observer and gives it to `use`.
template <class Spec, class Width, class With>
void check_observer_gradient(const Spec& spec, const Width& width, const With& with) {
  const auto weigh = [](std::size_t i) { return std::cos(1.0 + 0.7 * double(i)); };
  const auto watched = [&](const auto& q, const auto& k, const auto& v, auto use) {
    const index keys = k.extent[2];
    auto x = unwritten<double>({q.extent[0], q.extent[1], q.extent[2], width(keys)});
    auto out = unwritten<double>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    with(keys, x.in(), [&](auto& seen) {
      attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &seen});
      use(seen, x);
    });
  };
  check_observed_gradient(
      spec,
      [&](const auto& q, const auto& k, const auto& v) {
        double sum = 0;
        watched(q, k, v, [&](const auto&, const auto& x) {
          for (std::size_t i = 0; i < x.data.size(); ++i) sum += weigh(i) * x.data[i];
        });
        return sum;
      },
      [&](const auto& q, const auto& k, const auto& v, auto use) {
        watched(q, k, v, [&]<class Observer>(const Observer& seen, auto g) {
          for (std::size_t i = 0; i < g.data.size(); ++i) g.data[i] = weigh(i);
          use(typename Observer::gradient(seen, g.in()));
        });
      });
}

/// The same by the weights of keys `chosen(Lk)`.
template <class Spec, class Chosen>
void check_columns_gradient(const Spec& spec, const Chosen& chosen) {
  check_observer_gradient(
      spec, [&](index keys) { return index(chosen(keys).size()); },
      [&](index keys, const view<double>& x, auto use) {
        const std::vector<index> which = chosen(keys);
        columns some(which, x);
        use(some);
      });
}

}  // namespace heed::test
