// SPDX-License-Identifier: BSL-1.0
// What a window hides takes no part in a gradient, NaN included.
#include <heed/attention/attend_backward.hpp>

#include "support/neighborhood.hpp"

using namespace heed::test;
using heed::neighborhood;

namespace {

struct gradients_of {
  tensor<double> dq, dk, dv;
};

gradients_of run(const grid_case<2>& x, const tensor<double>& q, const tensor<double>& k,
                 const tensor<double>& v, const tensor<double>& d_out) {
  gradients_of g{unwritten<double>(x.q()), unwritten<double>(x.k()), unwritten<double>(x.v())};
  heed::attend_backward(heed::attention{.mask = x.grid}, q.in(), k.in(), v.in(), {}, d_out.in(),
                        {.dq = g.dq.in(), .dk = g.dk.in(), .dv = g.dv.in()});
  return g;
}

// Row i of both, to the rounding of sums in another order.
bool same(const tensor<double>& got, const tensor<double>& want, heed::index i) {
  return got.head(0, 0).row(i).isApprox(want.head(0, 0).row(i), 1e-11);
}

}  // namespace

TEST_CASE("what a window hides leaks into no gradient") {
  for (const bool causal : {false, true})
    for (const heed::index stride : {1, 2}) {
      const grid_case<2> x{{{6, 23}, {3, 5}, {1, stride}, {1, 1}, {false, causal}}, 1, 1, 1, 8, 8};
      const auto q = random<double>(x.q(), 1), k = random<double>(x.k(), 2),
                 v = random<double>(x.v(), 3), d_out = random<double>(x.out(), 4);
      const gradients_of clean = run(x, q, k, v, d_out);
      for (const heed::index bad : {heed::index{1}, heed::index{2 * 23 + 16}, x.tokens() - 1}) {
        const auto spoiled = [&](tensor<double> y) {
          for (heed::index c = 0; c < 8; ++c) y(0, 0, bad, c) = NAN;
          return y;
        };
        const auto sees = [&](heed::index i, heed::index j) {
          return x.grid({.q = i, .k = j, .row = i, .slot = j});
        };
        const gradients_of by_key = run(x, q, spoiled(k), v, d_out),
                           by_value = run(x, q, k, spoiled(v), d_out),
                           by_query = run(x, spoiled(q), k, v, d_out),
                           by_gradient = run(x, q, k, v, spoiled(d_out));
        for (heed::index i = 0; i < x.tokens(); ++i) {
          INFO(x.name() << "token " << i << " and " << bad);
          if (!sees(i, bad)) {
            CHECK(same(by_key.dq, clean.dq, i));
            CHECK(same(by_value.dq, clean.dq, i));
          }
          CHECK(same(by_value.dv, clean.dv, i));
          if (!sees(bad, i))
            for (const gradients_of* g : {&by_query, &by_gradient}) {
              CHECK(same(g->dk, clean.dk, i));
              CHECK(same(g->dv, clean.dv, i));
            }
          if (i != bad) {
            CHECK(same(by_query.dq, clean.dq, i));
            CHECK(same(by_gradient.dq, clean.dq, i));
          }
        }
      }
    }
}
