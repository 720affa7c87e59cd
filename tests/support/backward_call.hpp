// SPDX-License-Identifier: BSL-1.0
// One backward call whose outputs and scratch held NaN, to compare two ways of making it.
#pragma once

#include "support/executors.hpp"
#include "support/gradients.hpp"

namespace heed::test {

template <class T> struct backward_call {
  tensor<T> q, k, v, d_out, d_lse, out, lse, dq, dk, dv;

  backward_call(const backward_shape& x)
      : q(random<T>(x.q(), 1)),
        k(random<T>(x.k(), 2)),
        v(random<T>(x.v(), 3)),
        d_out(random<T>(x.out(), 4)),
        d_lse(random<T>({x.b, x.h, x.lq, 1}, 5)),
        out(x.out()),
        lse({x.b, x.h, x.lq, 1}),
        dq(x.q()),
        dk(x.k()),
        dv(x.v()) {}
  template <class Spec> void run(const Spec& spec, const executor_ref& executor = {}) {
    static workspace scratch;
    scratch.for_each_arena([](arena& a) { std::fill_n(a.data(), a.capacity(), std::byte{0xff}); });
    for (auto* x : {&dq, &dk, &dv})
      std::fill(x->data.begin(), x->data.end(), std::numeric_limits<T>::quiet_NaN());
    attend(spec, q.in(), k.in(), v.in(), outputs{.out = out.in(), .lse = lse.in()});
    attend_backward(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()},
                    {d_out.in(), d_lse.in()}, {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()},
                    executor, scratch);
  }
};

template <class T>
void check_same(const backward_call<T>& got, const backward_call<T>& want, double allowed) {
  for (auto [x, y] : {std::pair{&got.dq, &want.dq}, {&got.dk, &want.dk}, {&got.dv, &want.dv}})
    for (index b = 0; b < x->extent[0]; ++b)
      for (index h = 0; h < x->extent[1]; ++h) check_close(x->head(b, h), y->head(b, h), allowed);
}

}  // namespace heed::test
