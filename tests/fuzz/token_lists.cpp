// SPDX-License-Identifier: BSL-1.0
// attend_lists and its gradients against dense attention under a mask for each list, in double.
#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/select/attend_lists_backward.hpp>

#include "fuzz/kv_run.hpp"
#include "support/lists.hpp"
#include "support/operands.hpp"

namespace heed::fuzz {

using test::operand_block;

using block_of = operand_block<double>;

block_of drawn(const extents& e, engine& random) {
  const test::layout how{.permuted = one_in(random, 2),
                         .strided_channels = one_in(random, 4),
                         .reversed = one_in(random, 4),
                         .broadcast = one_in(random, 6)};
  return test::input<double>(e, how, random);
}
block_of result_of(const extents& e, engine& random) {
  const test::layout how{.permuted = one_in(random, 2), .strided_channels = one_in(random, 4)};
  return test::output<double>(e, how, random);
}

void near(block_of& got, const std::vector<double>& expected, const char* name) {
  INFO(name);
  double worst = 0;
  std::size_t i = 0;
  got.each([&](double x) {
    const double off = std::abs(x - expected[i++]);
    worst = std::max(worst, std::isnan(off) ? INFINITY : off);
  });
  // Sums of up to 5 · 300 products of numbers of order 1, each rounded.
  REQUIRE(worst <= 1e-11);
  REQUIRE(test::rest_untouched(got));
}

template <class Mask> void one_call(const Mask& inside, engine& random) {
  const index kv = between(random, 1, 3), h = kv * between(random, 1, 2);
  const index lq = one_in(random, 4) ? between(random, 60, 260) : between(random, 1, 30);
  const test::list_shape s{between(random, 1, 3),
                           h,
                           kv,
                           lq,
                           one_in(random, 2) ? lq : between(random, 0, 300),
                           between(random, 1, one_in(random, 3) ? 40 : 9),
                           between(random, 1, one_in(random, 3) ? 40 : 9),
                           between(random, 0, 4),
                           one_in(random, 4)};
  const block_of q = drawn({s.b, s.h, s.lq, s.d}, random),
                 k = drawn({s.b, s.kv, s.lk, s.d}, random),
                 v = drawn({s.b, s.kv, s.lk, s.dv}, random),
                 gate = drawn({s.b, s.h, s.lq, 1}, random),
                 d_out = drawn({s.b, s.h, s.lq, s.dv}, random);
  const row_selection chosen = test::random_lists(s, static_cast<unsigned>(random()));
  const row_lists lists = chosen.lists();
  const bool gated = one_in(random, 2);
  const gathered g{lists, one_in(random, 2) ? overlap::sum : overlap::mean,
                   gated ? operand(gate.read()) : operand{}};
  const attention spec{.mask = inside};
  block_of out = result_of(d_out.extent, random), dq = result_of(q.extent, random),
           dk = result_of(k.extent, random), dv = result_of(v.extent, random),
           dg = result_of(gate.extent, random);
  attend_lists(g, spec, q.read(), k.read(), v.read(), out.mutable_view(), test::backwards{});
  attend_lists_backward(g, spec, q.read(), k.read(), v.read(), d_out.read(),
                        {.dq = dq.mutable_view(),
                         .dk = dk.mutable_view(),
                         .dv = dv.mutable_view(),
                         .gate = gated ? result(dg.mutable_view()) : result{}});

  const auto zeros = [](const extents& e) { return test::tensor<double>(e, 0); };
  auto want = zeros(d_out.extent), want_q = zeros(q.extent), want_k = zeros(k.extent),
       want_v = zeros(v.extent), want_g = zeros(gate.extent), count = zeros(gate.extent),
       scaled = zeros(d_out.extent);
  const auto has = [](std::span<const int> list, index row) {
    return std::binary_search(list.begin(), list.end(), static_cast<int>(row));
  };
  const auto each_row = [&](auto f) {
    for (index b = 0; b < s.b; ++b)
      for (index i = 0; i < s.h; ++i)
        for (index r = 0; r < s.lq; ++r) f(b, i, r);
  };
  each_row([&](index b, index i, index r) {
    for (index l = 0; l < lists.each(); ++l)
      count(b, i, r) += has(lists.queries_of(lists.first(b, i) + l), r);
    const double f = (gated ? gate.read()(b, i, r) : 1) /
                     (g.merge == overlap::mean ? std::max(1.0, count(b, i, r)) : 1);
    for (index c = 0; c < s.dv; ++c) scaled(b, i, r, c) = f * d_out.read()(b, i, r, c);
  });
  const auto add = [](test::tensor<double>& to, const test::tensor<double>& x) {
    for (std::size_t i = 0; i < x.data.size(); ++i) to.data[i] += x.data[i];
  };
  for (index l = 0; l < lists.each(); ++l) {
    const attention dense{.mask = inside && where([&](const position& at) {
                                    const index i = lists.first(at.b, at.h) + l;
                                    return has(lists.queries_of(i), at.row) &&
                                           has(lists.keys_of(i), at.slot);
                                  })};
    auto o = zeros(want.extent), by_q = zeros(q.extent), by_k = zeros(k.extent),
         by_v = zeros(v.extent);
    attend(dense, q.read(), k.read(), v.read(), o.in());
    attend_backward(dense, q.read(), k.read(), v.read(), {}, scaled.in(),
                    {.dq = by_q.in(), .dk = by_k.in(), .dv = by_v.in()});
    add(want, o), add(want_q, by_q), add(want_k, by_k), add(want_v, by_v);
  }
  each_row([&](index b, index i, index r) {
    const double share = g.merge == overlap::mean ? std::max(1.0, count(b, i, r)) : 1;
    for (index c = 0; c < s.dv; ++c) {
      want_g(b, i, r) += want(b, i, r, c) / share * d_out.read()(b, i, r, c);
      want(b, i, r, c) *= (gated ? gate.read()(b, i, r) : 1) / share;
    }
  });
  near(out, want.data, "out"), near(dq, want_q.data, "dq"), near(dk, want_k.data, "dk");
  near(dv, want_v.data, "dv");
  if (gated) near(dg, want_g.data, "the gradient of the gate");
}

TEST_CASE("lists of rows") {
  fuzz_rounds("lists of rows", [](engine& random) {
    switch (between(random, 0, 2)) {
      case 0:
        return one_call(full{}, random);
      case 1:
        return one_call(causal{}, random);
      default:
        return one_call(window{between(random, 0, 20), between(random, 0, 9)}, random);
    }
  });
}

}  // namespace heed::fuzz
