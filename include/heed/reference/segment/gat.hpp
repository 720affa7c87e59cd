// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/segment/softmax.hpp>

namespace heed::reference::segment {

inline double leaky_relu(double x, double slope) { return x < 0 ? slope * x : x; }

/// Veličković et al., Graph attention networks (2018), on projected rows x = W h of one head:
/// s_e = LeakyReLU(a_dst · x_to + a_src · x_from + bias_e).
inline vector gat_logits(const edges& g, const matrix& x_dst, const matrix& x_src,
                         const vector& a_dst, const vector& a_src, const vector& bias,
                         double slope) {
  vector s = bias;
  for (std::size_t e = 0; e < g.count(); ++e)
    s(index(e)) = leaky_relu(
        bias(index(e)) + x_dst.row(g.to[e]).dot(a_dst) + x_src.row(g.from[e]).dot(a_src), slope);
  return s;
}

/// Brody et al., How attentive are graph attention networks? (2022):
/// s_e = a · LeakyReLU(l_to + r_from) + bias_e.
inline vector gatv2_logits(const edges& g, const matrix& l, const matrix& r, const vector& a,
                           const vector& bias, double slope) {
  vector s = bias;
  for (std::size_t e = 0; e < g.count(); ++e)
    for (index c = 0; c < l.cols(); ++c)
      s(index(e)) += a(c) * leaky_relu(l(g.to[e], c) + r(g.from[e], c), slope);
  return s;
}

}  // namespace heed::reference::segment
