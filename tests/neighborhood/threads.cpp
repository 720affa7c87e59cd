// SPDX-License-Identifier: BSL-1.0
// Same bits of neighbourhoods and of their gradients for any number of threads.
#include <heed/attention/attend_backward.hpp>

#include "support/neighborhood.hpp"
#include "support/weights.hpp"

using namespace heed::test;
using heed::neighborhood;

namespace {

template <int N> void check_gradient_threads(const neighborhood<N>& grid) {
  const grid_case<N> x{grid, 2, 4, 2, 8, 12};
  const heed::attention spec{.mask = grid};
  const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2), v = random<float>(x.v(), 3),
             d_out = random<float>(x.out(), 4);
  const auto run = [&](const auto& executor) {
    auto dq = unwritten<float>(x.q()), dk = unwritten<float>(x.k()), dv = unwritten<float>(x.v());
    heed::attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                          {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()}, executor);
    std::vector<float> all = dq.data;
    all.insert(all.end(), dk.data.begin(), dk.data.end());
    all.insert(all.end(), dv.data.begin(), dv.data.end());
    return all;
  };
  const std::vector<float> alone = run(heed::serial{});
  for (const float value : alone) REQUIRE(value == value);
  for (const heed::index count : {2, 16}) CHECK(run(threads{count}) == alone);
}

}  // namespace

TEST_CASE("the number of threads changes no bit of a neighbourhood") {
  for (const heed::index stride : {1, 2}) {
    const neighborhood<2> grid{{30, 37}, {5, 7}, {stride, stride}, {1, 2}};
    check_threads(heed::attention{.mask = grid}, {2, 4, 2, grid.tokens(), grid.tokens(), 16, 16});
  }
}

TEST_CASE("the number of threads changes no bit of a neighbourhood's gradients") {
  for (const heed::index stride : {1, 2})
    check_gradient_threads(
        neighborhood<2>{{20, 37}, {4, 5}, {stride, stride}, {1, 2}, {false, true}});
  check_gradient_threads(neighborhood<3>{{4, 7, 18}, {3, 3, 4}});
}
