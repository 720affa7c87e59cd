// SPDX-License-Identifier: BSL-1.0
// Neighbourhood attention and its gradients against NumPy; tests/golden/neighborhood holds them.
#include "support/golden_tensors.hpp"

#include <heed/attention/attend_backward.hpp>

#include "support/neighborhood.hpp"

namespace heed::test {
namespace {

template <int N> neighborhood<N> grid_of(const golden_tensor& axes) {
  neighborhood<N> grid;
  for (std::size_t n = 0; n < N; ++n) {
    const double* const a = axes.data.data() + 5 * n;
    grid.size[n] = index(a[0]), grid.window[n] = index(a[1]), grid.stride[n] = index(a[2]);
    grid.dilation[n] = index(a[3]), grid.causal[n] = a[4] != 0;
  }
  return grid;
}

// `terms` of the size of the largest number.
template <class T>
void compare(const golden_case& c, const std::string& name, const tensor<T>& got, index terms) {
  const auto want = tensor_of<double>(c[name]);
  double largest = 1;
  for (const double x : want.data) largest = std::max(largest, std::abs(x));
  REQUIRE(got.extent == want.extent);
  for (index b = 0; b < want.extent[0]; ++b)
    for (index h = 0; h < want.extent[1]; ++h)
      check_close(got.head(b, h), want.head(b, h), tolerance<T>(8, terms, largest),
                  c.name + " " + name);
}

template <class T, int N> void check(const golden_case& c) {
  const neighborhood<N> grid = grid_of<N>(c["axes"]);
  const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
             d_out = tensor_of<T>(c["d_out"]);
  const index d = q.extent[3], kv = k.extent[1];
  // No bias is one of zeros, no extra keys are none.
  const auto entries = relative_position_bias<N>::of(grid, {}).entries();
  const auto table = c.has("bias") ? tensor_of<T>(c["bias"]) : tensor<T>({1, 1, entries, 1}, T(0));
  const auto more_k = c.has("extra_k") ? tensor_of<T>(c["extra_k"]) : tensor<T>({1, kv, 0, d});
  const auto more_v =
      c.has("extra_v") ? tensor_of<T>(c["extra_v"]) : tensor<T>({1, kv, 0, v.extent[3]});
  const attention spec{.mask = grid,
                       .score = relative_position_bias<N>::of(grid, table.in()),
                       .extra = extra_slots{more_k.in(), more_v.in()}};
  auto out = unwritten<T>(d_out.extent), dq = unwritten<T>(q.extent), dk = unwritten<T>(k.extent),
       dv = unwritten<T>(v.extent), d_table = unwritten<T>(table.extent);
  auto lse = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], 1});
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  compare(c, "out", out, d);
  compare(c, "lse", lse, d);
  attend_backward(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()}, d_out.in(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = {.score = {d_table.in()}}});
  compare(c, "dq", dq, d + v.extent[3]);
  compare(c, "dk", dk, d + v.extent[3]);
  compare(c, "dv", dv, d + v.extent[3]);
  if (c.has("bias")) compare(c, "d_bias", d_table, q.extent[2]);
}

template <class T> void check_all() {
  int seen = 0;
  for (const golden_case& c : golden_cases(golden_folder("neighborhood"))) {
    ++seen;
    switch (c["axes"].shape[0]) {
      case 1:
        check<T, 1>(c);
        break;
      case 2:
        check<T, 2>(c);
        break;
      default:
        check<T, 3>(c);
    }
  }
  CHECK(seen == 7);
}

}  // namespace

TEST_CASE("NumPy: neighbourhood attention") { check_all<double>(); }

}  // namespace heed::test
