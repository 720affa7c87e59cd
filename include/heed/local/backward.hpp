// SPDX-License-Identifier: BSL-1.0
// The loops of local/ backward: inputs, then weights.
#pragma once

#include <heed/local/forward.hpp>
#include <heed/local/position_gradient.hpp>

namespace heed::detail {

template <class T, class Arch>
HEED_NOINLINE void local_backward(const local_problem& p, const operand& d_out,
                                  const local_gradients& to, const executor_ref& executor,
                                  const workspace_ref& scratch) {
  check_rows(p, "d_out", d_out);
  if (to.x.present()) check_like(p, "dx", to.x, "x", p.x);
  if (to.weight.present()) check_like(p, "dweight", to.weight, "weight", p.weight);
  if (to.share.present()) check_like(p, "dlambda", to.share, "lambda", p.share);
  if (to.bias.present()) check_like(p, "dbias", to.bias, "bias", p.bias);
  const extents& w = p.weight.extent;
  if (to.learned() && w[0] * w[1] * w[2] > 0 && !p.weight.present())
    check::fail(p.operation, "weight must not be null", {{"weight", p.weight}});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  if (to.x.present()) {
    local_problem turned = p;
    turned.x = d_out, turned.bias = {}, turned.add = false, turned.turned = true;
    local_forward<T, Arch>(turned, to.x).run(executor, memory);
  }
  if (!to.learned()) return;
  if (p.each())
    position_gradient<T, Arch>(p, d_out, to).run(executor, memory);
  else
    channel_gradient<T, Arch>(p, d_out, to).run(executor, memory);
}

}  // namespace heed::detail
