// SPDX-License-Identifier: BSL-1.0
// Gradients of local/value_depthwise.
//
//   add_convolution_backward(spec, v, d_out, {.dv = dv, .spec = {.weight = dw, .bias = db}})
#pragma once

#include <heed/local/backward.hpp>
#include <heed/local/value_depthwise.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored. That of what `out` held is d_out itself.
struct value_depthwise_gradients {
  result dv{};
  value_depthwise::gradient spec{};
};

// With L any function of what `add_convolution` leaves in out, d_out = dL/dout: writes the
// gradients asked for, dv not added to another. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable V>
void add_convolution_backward(const value_depthwise& spec, const view<V>& v, const operand& d_out,
                              const value_depthwise_gradients& to,
                              const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  detail::local_backward<compute_type<V>, Arch>(
      detail::local_of("heed::add_convolution_backward", spec, view<const V>(v)), d_out,
      {.x = to.dv, .weight = to.spec.weight, .bias = to.spec.bias}, executor, scratch);
}

}  // namespace heed
