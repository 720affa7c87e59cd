// SPDX-License-Identifier: BSL-1.0
// Gradients through the Eigen door: the same bits as through views, in any storage order.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>

#include <algorithm>

#include "support/catch.hpp"

using heed::as;

namespace {

constexpr Eigen::Index B = 2, H = 2, L = 37, D = 9;
using row_major = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using column_major = Eigen::Tensor<float, 4>;

bool same(const row_major& a, const row_major& b) {
  return std::equal(a.data(), a.data() + a.size(), b.data());
}

}  // namespace

TEST_CASE("gradients of tensors are those of their views") {
  row_major q(B, H, L, D), k(B, H, L, D), v(B, H, L, D), d_out(B, H, L, D);
  for (row_major* x : {&q, &k, &v, &d_out}) x->setRandom();
  row_major out(B, H, L, D), dq(B, H, L, D), dk(B, H, L, D), dv(B, H, L, D);
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(B, H, L);
  const heed::attention spec{.mask = heed::causal{}};
  heed::attend(spec, q, k, v, {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});
  heed::attend_backward(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                        {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, as<"BHLD">(d_out),
                        {.dq = as<"BHLD">(dq), .dk = as<"BHLD">(dk), .dv = as<"BHLD">(dv)});
  REQUIRE(std::any_of(dq.data(), dq.data() + dq.size(), [](float x) { return x != 0; }));

  row_major other(B, H, L, D), other_k(B, H, L, D), other_v(B, H, L, D);
  heed::attend_backward(
      spec, q, k, v, {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, d_out,
      {.dq = as<"BHLD">(other), .dk = as<"BHLD">(other_k), .dv = as<"BHLD">(other_v)});
  CHECK(same(dq, other));
  CHECK(same(dk, other_k));
  CHECK(same(dv, other_v));

  // Column-major, (D,L,H,B).
  const column_major ck = k.swap_layout(), cv = v.swap_layout(), cd = d_out.swap_layout();
  const column_major whole = q.swap_layout();
  column_major cdq(D, L, H, B);
  heed::attend_backward(spec, whole, ck, cv, {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, cd,
                        {.dq = as<"DLHB">(cdq)});
  CHECK(std::equal(dq.data(), dq.data() + dq.size(), cdq.data()));
}
