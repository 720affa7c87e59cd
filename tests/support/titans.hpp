// SPDX-License-Identifier: BSL-1.0
// Inputs of recurrence/titans on which the memory stays of order 1.
#pragma once

#include <heed/recurrence/titans.hpp>

#include "support/exact.hpp"
#include "support/operands.hpp"

namespace heed::test {

struct titans_shape {
  index b, h, l, d, dv;
};
inline constexpr titans_shape titans_shapes[] = {{1, 1, 1, 1, 1},    {2, 3, 7, 5, 3},
                                                 {1, 2, 64, 16, 64}, {1, 1, 131, 33, 7},
                                                 {2, 1, 0, 3, 4},    {1, 1, 37, 64, 0}};

template <class T> struct titans_inputs {
  tensor<T> q, k, v, momentum, keep, rate;

  explicit titans_inputs(const titans_shape& x)
      : q(random<T>({x.b, x.h, x.l, x.d}, 1)),
        // Keys of length about 1, and a rate below 1 over a chunk: gradient descent converges.
        k(random<T>({x.b, x.h, x.l, x.d}, 2, 1 / std::sqrt(double(x.d)))),
        v(random<T>({x.b, x.h, x.l, x.dv}, 3)),
        momentum(uniform<T>({x.b, x.h, x.l, 1}, 4)),
        keep(uniform<T>({x.b, x.h, x.l, 1}, 5)),
        rate(uniform<T>({x.b, x.h, x.l, 1}, 6)) {
    for (T& y : momentum.data) y = T(0.5) * y - T(1);
    for (T& y : keep.data) y = T(0.25) * (y - T(1));
    for (T& y : rate.data) y = T(0.05) * (y + T(1));
  }
  titans spec(index chunk) {
    return {
        .log_momentum = momentum.in(), .log_keep = keep.in(), .rate = rate.in(), .chunk = chunk};
  }
};

}  // namespace heed::test
