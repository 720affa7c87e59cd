// SPDX-License-Identifier: BSL-1.0
// V-bias: o <- o + v*, v* [B|1, H|1, 1, Dv], as `.output`. Throws std::invalid_argument on other
// shapes. One addition an output.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>

namespace heed {

struct output_bias {
  operand values;

  template <class T> void operator()(T* x, index depth, const row_position& at) const {
    for (index c = 0; c < depth; ++c) x[c] += broadcast::element<T>(values, at.b, at.h, at.row, c);
  }

  struct gradient {
    result values;  // as the bias
  };
  index sums(const gradient& g) const { return broadcast::sums(g.values); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::output_bias", values, g.values);
  }
  template <class Arch, class T>
  void row_backward(const T*, T* dx, index depth, const row_position& at, const gradient& g,
                    double* sum) const {
    if (g.values.present())
      for (index c = 0; c < depth; ++c)
        sum[broadcast::sum_at(g.values, at.b, at.h, at.row, c)] += double(dx[c]);
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.values, sum); }
  void check(const row_shape& rows) const {
    broadcast::check("heed::output_bias", "the bias", values,
                     {rows.batch, rows.heads, rows.rows, rows.channels});
  }
};

}  // namespace heed
