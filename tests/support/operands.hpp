// SPDX-License-Identifier: BSL-1.0
// Operands in random layouts: any order of the axes in memory, gaps, strided channels, negative and
// zero strides. What no index reaches holds NaN in inputs and a mark in outputs.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/view.hpp>
#include <limits>
#include <random>
#include <vector>

namespace heed::test {

using engine = std::mt19937;

template <class T> struct operand_block {
  static inline const T mark = T(12345);

  std::vector<T> memory;
  extents extent, stride;
  index origin = 0;

  view<T> mutable_view() { return {memory.data() + origin, extent, stride}; }
  operator view<T>() { return mutable_view(); }  // NOLINT
  view<const T> read() const { return {memory.data() + origin, extent, stride}; }

  template <class F> void each(F f) {
    const view<T> v = mutable_view();
    for (index b = 0; b < extent[0]; ++b)
      for (index h = 0; h < extent[1]; ++h)
        for (index l = 0; l < extent[2]; ++l)
          for (index d = 0; d < extent[3]; ++d) f(v(b, h, l, d));
  }
};

struct layout {
  bool permuted = false, strided_channels = false, reversed = false, broadcast = false;
};

template <class T>
operand_block<T> laid_out(const extents& e, const layout& how, engine& random, T filling) {
  operand_block<T> x{{}, e, {}};
  std::array<std::size_t, 4> order{3, 2, 1, 0};
  if (how.permuted)
    std::shuffle(order.begin() + (how.strided_channels ? 0 : 1), order.end(), random);
  index step = how.strided_channels ? 2 : 1, last = 0;
  for (std::size_t axis : order) {
    const index n = std::max<index>(e[axis], 1);
    const bool zero = how.broadcast && axis != 3 && random() % 2 == 0;
    const bool back = how.reversed && random() % 2 == 0;
    x.stride[axis] = zero ? 0 : back ? -step : step;
    if (zero) continue;
    if (back) x.origin += (n - 1) * step;
    last += (n - 1) * step;
    step *= n;
    if (how.permuted || how.strided_channels) step += static_cast<index>(random() % 3);
  }
  x.memory.assign(static_cast<std::size_t>(last + 1), filling);
  return x;
}

template <class T> operand_block<T> input(const extents& e, const layout& how, engine& random) {
  auto x = laid_out<T>(e, how, random, std::numeric_limits<T>::quiet_NaN());
  std::uniform_real_distribution<double> uniform(-1, 1);
  x.each([&](T& value) { value = static_cast<T>(uniform(random)); });
  return x;
}
template <class T> operand_block<T> output(const extents& e, layout how, engine& random) {
  how.broadcast = false;
  auto x = laid_out<T>(e, how, random, operand_block<T>::mark);
  x.each([](T& value) { value = std::numeric_limits<T>::quiet_NaN(); });
  return x;
}
// Writes the mark over all that may be written; true if nothing else had been.
template <class T> bool rest_untouched(operand_block<T> x) {
  x.each([](T& value) { value = operand_block<T>::mark; });
  return std::all_of(x.memory.begin(), x.memory.end(),
                     [](T value) { return value == operand_block<T>::mark; });
}

}  // namespace heed::test
