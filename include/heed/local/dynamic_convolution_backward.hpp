// SPDX-License-Identifier: BSL-1.0
// Gradients of local/dynamic_convolution.
//
//   convolve_backward(spec, x, d_out, {.dx = dx, .spec = {.weight = dw}})
#pragma once

#include <heed/local/backward.hpp>
#include <heed/local/dynamic_convolution.hpp>

namespace heed {

// Where the gradients go; what is absent is not stored.
struct dynamic_convolution_gradients {
  result dx{};
  dynamic_convolution::gradient spec{};
};

// With L any function of what `convolve` gives, d_out = dL/dout: writes the gradients asked for.
// Those of the weights are of the weights as given, before the softmax. Same bits for any executor.
// Throws std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable X>
void convolve_backward(const dynamic_convolution& spec, const view<X>& x, const operand& d_out,
                       const dynamic_convolution_gradients& to, const executor_ref& executor = {},
                       const workspace_ref& scratch = {}) {
  detail::local_backward<compute_type<X>, Arch>(
      detail::local_of("heed::convolve_backward", spec, view<const X>(x)), d_out,
      {.x = to.dx, .weight = to.spec.weight}, executor, scratch);
}

}  // namespace heed
