// SPDX-License-Identifier: BSL-1.0
// Gradients of neighbourhood attention against central differences in double.
#include "support/gradients.hpp"
#include "support/neighborhood.hpp"

using namespace heed::test;
using heed::neighborhood;
using heed::relative_position_bias;

namespace {

template <int N> void check_grid_gradients(const grid_case<N>& x) {
  check_gradients(x.name(), heed::attention{.mask = x.grid}, {}, {},
                  {x.b, x.h, x.kv, x.tokens(), x.tokens(), x.d, x.dv});
}

/// With a bias and extra keys, both learned.
template <int N> void check_learned_gradients(const grid_case<N>& x) {
  learned bias(heed::extents{1, x.h % 4 ? 1 : x.h, x.entries(), 1}),
      k(heed::extents{1, x.kv, 2, x.d}, 1, 0, 12), v(heed::extents{1, x.kv, 2, x.dv}, 1, 0, 13);
  const heed::attention spec{.mask = x.grid,
                             .score = relative_position_bias<N>::of(x.grid, bias.table()),
                             .extra = heed::extra_slots{k.table(), v.table()}};
  check_gradients(x.name(), spec, {.score = {bias.to()}, .extra = {k.to(), v.to()}},
                  {&bias, &k, &v}, {x.b, x.h, x.kv, x.tokens(), x.tokens(), x.d, x.dv});
}

}  // namespace

TEST_CASE("gradients in one dimension") {
  for (const heed::index size : {1, 7, 23, 40})
    for (const heed::index window : {1, 2, 5, 12})
      if (window <= size) check_grid_gradients<1>({{{size}, {window}}, 1, 4, 2, 5, 3});
  draws from(6);
  for (int n = 0; n < 12; ++n)
    check_grid_gradients<1>({draw_windows<1>({from.from(1, 40)}, from), 2, 2, 1, 3, 4});
}

TEST_CASE("gradients in two dimensions") {
  for (const heed::index size : {5, 13, 16, 24, 33})
    for (const heed::index window : {2, 3, 7, 13})
      if (window <= size) check_grid_gradients<2>({{{5, size}, {3, window}}, 1, 2, 1, 3, 4});
  draws from(7);
  for (int n = 0; n < 16; ++n)
    check_grid_gradients<2>(
        {draw_windows<2>({from.from(1, 8), from.from(1, 24)}, from), 1, 4, 2, 5, 3});
}

TEST_CASE("gradients in three dimensions") {
  check_grid_gradients<3>({{{3, 4, 19}, {2, 3, 5}}, 1, 2, 1, 4, 3});
  draws from(8);
  for (int n = 0; n < 12; ++n)
    check_grid_gradients<3>(
        {draw_windows<3>({from.from(1, 4), from.from(1, 4), from.from(1, 12)}, from), 1, 2, 2, 3,
         4});
}

TEST_CASE("gradients of a bias and of extra keys") {
  draws from(9);
  for (const heed::index size : {5, 16, 21})
    check_learned_gradients<2>({{{4, size}, {3, 4}}, 1, 4, 2, 3, 4});
  for (int n = 0; n < 12; ++n)
    check_learned_gradients<2>(
        {draw_windows<2>({from.from(1, 6), from.from(1, 20)}, from), 2, 4, 2, 5, 3});
}
