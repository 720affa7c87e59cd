// SPDX-License-Identifier: BSL-1.0
// Gradients along axes of a grid against differences, and of rows and columns together.
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/neighborhood/axial.hpp>
#include <heed/neighborhood/criss_cross.hpp>
#include <heed/numerics/merge.hpp>
#include <heed/score/relative_bias.hpp>
#include <numeric>

#include "support/differences.hpp"
#include "support/gradients.hpp"

namespace heed::test {

TEST_CASE("gradients along axes against differences") {
  constexpr index tokens = 2 * 3 * 4, B = 2;
  for (const auto& a : {axial<3>{{2, 3, 4}, 0}, axial<3>{{2, 3, 4}, 1}, axial<3>{{2, 3, 4}, 2},
                        axial<3>{{2, 3, 4}, 1, 2}}) {
    INFO("axes " << a.first << " to " << a.last);
    auto q = random<double>({B, 4, tokens, 3}, 1), k = random<double>({B, 2, tokens, 3}, 2),
         v = random<double>({B, 2, tokens, 2}, 3), out = unwritten<double>({B, 4, tokens, 2}),
         lse = unwritten<double>({B, 4, tokens, 1});
    const auto by_out = random<double>(out.extent, 4), by_lse = random<double>(lse.extent, 5);
    learned table(extents{1, 4, 5, 1});
    const attention spec{.mask = causal{}, .score = relative_bias::clipped(table.table())};
    const auto loss = [&] {
      attend_along(a, spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
      return std::inner_product(out.data.begin(), out.data.end(), by_out.data.begin(), 0.0) +
             std::inner_product(lse.data.begin(), lse.data.end(), by_lse.data.begin(), 0.0);
    };
    loss();
    for (const bool kept : {true, false}) {
      auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
           dv = unwritten<double>(v.extent);
      attend_along_backward(
          a, spec, q.in(), k.in(), v.in(), kept ? saved{out.in(), lse.in()} : saved{},
          {by_out.in(), by_lse.in()},
          {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = {.score = {table.to()}}});
      check_gradient(dq.data, differences(q.data, loss), "dq");
      check_gradient(dk.data, differences(k.data, loss), "dk");
      check_gradient(dv.data, differences(v.data, loss), "dv");
      check_gradient(table.gradient.data, differences(table.value.data, loss), "table");
      loss();
    }
  }
}

TEST_CASE("rows, and columns without the token itself, merge to criss-cross attention") {
  constexpr index Y = 11, X = 9;
  const extents wide{2, 2, Y * X, 8}, one{2, 2, Y * X, 1};
  const auto q = random<double>(wide, 1), k = random<double>(wide, 2), v = random<double>(wide, 3),
             d_out = random<double>(wide, 4);
  using tensors = std::vector<tensor<double>>;
  tensors out(3, tensor<double>(wide)), lse(3, tensor<double>(one)), dq = out, dk = out, dv = out;
  const auto to = [&](std::size_t n) { return outputs{.out = out[n].in(), .lse = lse[n].in()}; };
  const axial<2> rows{{Y, X}, 1}, columns{{Y, X}, 0};
  const attention whole{.mask = criss_cross<2>{{Y, X}}};
  const attention rest{.mask = !window{.left = 0}};
  attend_along(rows, attention{}, q.in(), k.in(), v.in(), to(0));
  attend_along(columns, rest, q.in(), k.in(), v.in(), to(1));
  merge({{out[0].in(), lse[0].in()}, {out[1].in(), lse[1].in()}}, to(0));
  attend(whole, q.in(), k.in(), v.in(), to(2));

  const saved merged{out[0].in(), lse[0].in()};
  attend_along_backward(rows, attention{}, q.in(), k.in(), v.in(), merged, d_out.in(),
                        {.dq = dq[0].in(), .dk = dk[0].in(), .dv = dv[0].in()});
  attend_along_backward(columns, rest, q.in(), k.in(), v.in(), merged, d_out.in(),
                        {.dq = dq[1].in(), .dk = dk[1].in(), .dv = dv[1].in()});
  attend_backward(whole, q.in(), k.in(), v.in(), {}, d_out.in(),
                  {.dq = dq[2].in(), .dk = dk[2].in(), .dv = dv[2].in()});
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 2; ++h) {
      check_close(out[0].head(b, h), out[2].head(b, h), tolerance<double>(8, 8, 4));
      check_close(lse[0].head(b, h), lse[2].head(b, h), tolerance<double>(8, 8, 4));
      for (const tensors* g : {&dq, &dk, &dv})
        check_close((*g)[0].head(b, h) + (*g)[1].head(b, h), (*g)[2].head(b, h),
                    tolerance<double>(32, 8, 10));
    }
}

}  // namespace heed::test
